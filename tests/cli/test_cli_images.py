"""``telejax compare`` on a data set from files."""

import pytest
from picture_files import write_mnist

from telejax.cli import main

SHORT = ["compare", "--dataset", "fashion-mnist", "--model", "lenet", "--nodes", "6", "--active", "2", "--rounds", "2"]


@pytest.mark.slow
def test_runs_on_files(tmp_path, capsys):
    folder, out = write_mnist(tmp_path / "data"), tmp_path / "out"
    more = [
        "--model",
        "mlp",
        "--methods",
        "teleportation/ring",
        "--learning-rates",
        "0.1",
        "--seeds",
        "1",
        "--eval-every",
        "2",
    ]
    assert main([*SHORT, *more, "--data-dir", str(folder), "--out", str(out), "--no-progress"]) == 0
    assert "fashion-mnist, 6 nodes" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        ".telejax",
        "SHA256SUMS",
        "history.parquet",
        "config.json",
        "comparison.png",
    }


def test_missing_files_write_nothing(tmp_path, capsys):
    assert main([*SHORT, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "apt-get install dataset-fashion-mnist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--dataset", "digits", "--model", "lenet"], "(64,)"),
        (["--dataset", "digits", "--augment", "flip"], "augment does not take inputs of shape (64,)"),
        (["--dataset", "mnist", "--nodes", "111"], "nodes is 111 and there are 110 training samples"),
        (["--dataset", "mnist", "--alpha", "0"], "--alpha is 0.0; give a finite number above 0"),
        (["--dataset", "cifar-10"], "no data_batch_1.bin or data_batch_1 in"),
    ],
)
def test_what_cannot_be_run_is_told_and_nothing_written(options, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELEJAX_DATA", str(write_mnist(tmp_path / "data")))
    assert main(["compare", *options, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_damaged_files_write_nothing(tmp_path, capsys):
    folder = write_mnist(tmp_path / "data")
    images = folder / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-2000])
    assert main([*SHORT, "--data-dir", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "cut short" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_for_data_without_files_is_refused(capsys):
    assert main(["compare", "--data-dir", "x"]) == 2
    assert "digits reads no files" in capsys.readouterr().err
