"""``telejax advise``: from a file to a folder with a report, and what it refuses before it computes."""

import json

import pytest

from telejax import cli

pytestmark = pytest.mark.usefixtures("compiled_fast")

SITES = """
[[site]]
count = 6
samples = 30
labels = [0, 1, 2]
latency = 0.1
bandwidth = 1e6
seconds = 0.2
[data]
classes = 3
features = 6
[aim]
accuracy = {accuracy}
"""
METHOD = ("--methods", "local_training", "--seeds", "2", "--no-cache", "--no-progress")


def advise(tmp_path, accuracy: float, *options: str) -> int:
    (tmp_path / "sites.toml").write_text(SITES.format(accuracy=accuracy))
    return cli.main(["advise", str(tmp_path / "sites.toml"), "--out", str(tmp_path / "out"), *options])


@pytest.mark.slow
def test_a_file_becomes_a_folder_with_a_report(tmp_path, capsys):
    assert advise(tmp_path, 0.5, *METHOD, "--language", "ja") == 0
    printed = capsys.readouterr().out
    assert "Training together does not pay" in " ".join(printed.split()) and "report.html" in printed
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["command"].startswith("telejax advise") and config["advice"]["recommended"] == "local training"
    assert "単独学習" in (tmp_path / "out" / "report.html").read_text()
    assert cli.main(["report", str(tmp_path / "out"), "--force"]) == 0
    assert "Should we?" in (tmp_path / "out" / "report.html").read_text()
    assert advise(tmp_path, 0.5, *METHOD) == 2 and "exists" in capsys.readouterr().err


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_told_with_how_to_write_it(tmp_path, capsys, monkeypatch):
    def full(file, content):
        raise OSError(f"{str(file)!r} cannot be written: no space left")

    with monkeypatch.context() as patch:
        patch.setattr("telejax.results.report.page.write_file", full)
        assert advise(tmp_path, 0.5, *METHOD) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "no space left" in told and f"telejax report {tmp_path / 'out'} writes it" in told
    assert cli.main(["report", str(tmp_path / "out")]) == 0


@pytest.mark.slow
def test_an_aim_that_nothing_reaches_says_what_is_nearest_and_keeps_all(tmp_path, capsys):
    assert advise(tmp_path, 1.0, *METHOD) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no candidate reaches the aim" in told and "comes nearest" in told and "lower the accuracies" in told
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seeds", "1"), "--seeds is 1"),
        (("--methods", "teleportatoin/ring"), "did you mean 'teleportation'?"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_simulated(options, words, tmp_path, capsys):
    assert advise(tmp_path, 0.5, *options) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_wrong_file_is_refused_with_its_line(tmp_path, capsys):
    (tmp_path / "sites.toml").write_text("[[site]]\ncount = 6\nsmaples = 3\n")
    assert cli.main(["advise", str(tmp_path / "sites.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "line 3, [site] smaples" in capsys.readouterr().err
