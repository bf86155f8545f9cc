"""The command line: exit codes, errors without tracebacks, and the files it writes."""

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import telejax as tj
from telejax.cli import main

pytestmark = pytest.mark.usefixtures("compiled_fast")

TINY = ["--dataset", "quadratic", "--nodes", "8", "--rounds", "6", "--eval-every", "3", "--seeds", "2"]
TINY += ["--no-progress", "--methods", "dsgd/ring", "teleportation/ring"]

FILES = {".telejax", "SHA256SUMS", "comparison.png", "config.json", "history.parquet"}


def without(usual: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The usual options but those that are given anew."""
    kept, option = [], ""
    for word in usual:
        option = word if word.startswith("--") else option
        if option not in arguments:
            kept.append(word)
    return kept


def compare(*arguments: str, out: Path) -> int:
    return main(["compare", *arguments, "--out", str(out)])


def test_a_tiny_comparison_writes_its_files(tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "compare"
    assert compare(*TINY, "--active", "2", "--learning-rates", "0.02", "0.05", "0.1", out=out) == 0
    assert {file.name for file in out.iterdir()} == FILES
    history = pl.read_parquet(out / "history.parquet")
    assert history.height == 2 * 2 * 3 * 3  # methods, seeds, step sizes, rows
    assert set(history["method"]) == {"DSGD ring", "TELEPORTATION ring k=2"}
    assert history.group_by("method").agg(pl.col("learning_rate").filter("tuned").n_unique())[
        "learning_rate"
    ].to_list() == [1, 1]
    config = json.loads((out / "config.json").read_text())
    assert config["nodes"] == 8 and config["rounds"] == 6 and config["tune"] == {"learning_rate": [0.02, 0.05, 0.1]}
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert "TELEPORTATION" in printed.out and "DSGD ring" in printed.out
    assert f"Written: {out}/history.parquet" in printed.out
    assert "Best step size at the edge of the grid: " in printed.out  # 0.1 is best here
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "dsgd/rign"], "unknown topology 'rign'; did you mean 'ring'?"),
        (["--methods", "teleportation/torsu"], "unknown topology 'torsu'; did you mean 'torus'?"),
        (["--methods", "dsdg/ring"], "unknown method 'dsdg'; did you mean 'dsgd'?"),
        (["--methods", "token", "token"], "methods is ['one token', 'one token']; give at least one method"),
        (["--active", "9"], "active is 9 and the task has 8 nodes; activate at most 8"),
        (["--active", "0"], "--active is 0; give an integer of at least 1"),
        (["--rounds", "0"], "--rounds is 0; give an integer of at least 1"),
        (["--eval-every", "0"], "--eval-every is 0; give an integer of at least 1"),
        (["--seeds", "0"], "--seeds is 0; give an integer of at least 1"),
        (["--seed", "-1"], "--seed is -1; give an integer of at least 0"),
        (["--learning-rates", "0.1", "-1"], "--learning-rates is -1.0; give a finite number above 0"),
        (["--learning-rates", "0.1", "0.1"], "tune is [0.1, 0.1]; give at least one value, and each only once"),
        (["--noise", "-1"], "noise is -1.0; give a finite number of at least 0"),
        (["--dataset", "digits", "--alpha", "0"], "--alpha is 0.0; give a finite number above 0"),
        (["--dataset", "digits", "--alpha", "-1"], "--alpha is -1.0; give a finite number above 0"),
        (
            ["--dataset", "digits", "--nodes", "2000"],
            "nodes is 2000 and there are 1400 training samples; use at most 1400",
        ),
    ],
)
def test_wrong_values_exit_with_2_and_say_what_to_do(
    arguments: list[str], message: str, tmp_path: Path, capsys
) -> None:
    assert compare(*without(TINY, arguments), *arguments, out=tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.startswith("telejax: ")
    assert printed.out == "" and "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_mistyped_options_exit_with_2(tmp_path: Path, capsys) -> None:
    for wrong in (["compare", "--nods", "8"], ["compare", "--nodes", "eight"], ["comparre"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out


def test_an_existing_folder_is_refused_before_anything_is_computed(tmp_path: Path, capsys, monkeypatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")

    def computed(*_, **__) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr("telejax.studies.compare.compare.compare", computed)
    assert compare(*TINY, out=out) == 2
    assert f"--out is {str(out)!r}, which exists; choose another" in capsys.readouterr().err
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_force_replaces_a_folder_of_telejax(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in FILES - {".telejax", "SHA256SUMS"}:  # as before there was a marker
        (out / name).write_text("old")
    assert compare(*TINY, "--learning-rates", "0.02", "0.05", "0.1", "--force", out=out) == 0
    assert {file.name for file in out.iterdir()} == FILES


@pytest.mark.slow
def test_a_divergent_run_exits_with_1_and_saves_its_history(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    arguments = ["--rounds", "60", "--eval-every", "10", "--learning-rates", "50", "60", "70"]
    assert compare(*TINY, *arguments, out=out) == 1
    history = pl.read_parquet(out / "history.parquet")
    assert history.filter(pl.col("round") == pl.col("round").max().over("method"))["diverged"].all()
    assert not history.filter(round=0)["diverged"].any()
    printed = capsys.readouterr()
    assert "give smaller ones with --learning-rates" in printed.out.replace("\n", " ")
    assert "Traceback" not in printed.out + printed.err


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "--help"], ["compare", "--rounds", "0"]])
def test_help_and_early_errors_answer_without_jax(arguments: list[str]) -> None:
    script = (
        "import sys; from telejax.cli import main\n"
        f"try: code = main({arguments!r})\n"
        "except SystemExit as exit: code = exit.code\n"
        "print('jax' in sys.modules, code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == ("False 2" if "0" in arguments else "False 0")
    assert ("compare" in done.stdout and "usage" in done.stdout) == ("--help" in arguments)


def test_the_package_runs_as_a_program():
    run = partial(subprocess.run, capture_output=True, text=True, timeout=120)
    version = run([sys.executable, "-m", "telejax", "--version"], check=True).stdout
    assert version.strip() == tj.__version__
    wrong = run([sys.executable, "-m", "telejax", "compare", "--nodes", "1_0"])
    assert wrong.returncode == 2 and "plain digits" in wrong.stderr


@pytest.mark.parametrize("value", ["1_0", "１０"])
@pytest.mark.parametrize(
    "command",
    [
        ("topologies", "--nodes", "20", "--names", "torus:rows={}"),
        ("compare", "--dataset", "quadratic", "--nodes", "12", "--methods", "fedavg:local_steps={}", "--active", "2"),
    ],
)
def test_numbers_of_a_spec_are_in_plain_digits(command, value, tmp_path, capsys):
    given = [part.format(value) for part in command]
    assert main([*given, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert repr(value) in told and "=2" in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["1_0", "１２", "1_0.5", " 25"])
def test_numbers_that_only_python_reads_are_refused(value, tmp_path, capsys):
    assert main(["compare", "--nodes", value, "--out", str(tmp_path / "out")]) == 2
    assert f"--nodes is {value!r}; write numbers in plain digits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
