"""``telejax compare`` on a data set from files."""

import pytest
from picture_files import write_mnist

from telejax.cli import main

SHORT = ["compare", "--dataset", "fashion-mnist", "--model", "lenet", "--nodes", "6", "--active", "2", "--rounds", "2"]


@pytest.mark.slow
def test_runs_on_files(tmp_path, capsys):
    folder, out = write_mnist(tmp_path / "data"), tmp_path / "out"
    more = ["--methods", "teleportation/ring", "--learning-rates", "0.1", "--seeds", "1", "--eval-every", "2"]
    assert main([*SHORT, *more, "--data-dir", str(folder), "--out", str(out), "--no-progress"]) == 0
    assert "fashion-mnist, 6 nodes" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"history.parquet", "config.json", "comparison.png"}


def test_missing_files_write_nothing(tmp_path, capsys):
    assert main([*SHORT, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "apt-get install dataset-fashion-mnist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_for_data_without_files_is_refused(capsys):
    assert main(["compare", "--data-dir", "x"]) == 2
    assert "digits reads no files" in capsys.readouterr().err
