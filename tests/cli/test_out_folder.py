"""What a command found is never lost to what came into its folder meanwhile, nor that to the command."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from telejax.cli import main
from telejax.cli.out_folder import OutFolder
from telejax.cli.output import Output
from telejax.results.files import MARKER, new_folder


def save(folder: Path, overwrite: bool) -> None:
    with new_folder(folder, overwrite) as aside:
        (aside / "table.csv").write_text("mine")


def other(folder: Path, overwrite: bool = False) -> None:
    with new_folder(folder, overwrite) as aside:
        (aside / "table.csv").write_text("another's")


def test_a_free_folder_is_filled_and_its_path_is_as_given(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    out = OutFolder(Path("runs/compare"), force=False)
    out.fill(save)
    assert out.path == Path("runs/compare") and (tmp_path / "runs" / "compare" / "table.csv").read_text() == "mine"
    through = OutFolder(Path("nowhere/../runs/two"), force=False)
    through.fill(save)
    assert through.path == tmp_path.resolve() / "runs" / "two" and not capsys.readouterr().err


@pytest.mark.parametrize("force", [False, True])
def test_the_result_of_another_command_stays(tmp_path: Path, force: bool, capsys) -> None:
    folder = tmp_path / "out"
    if force:
        other(folder)
    out = OutFolder(folder, force)
    other(folder, overwrite=force)
    (tmp_path / "out-2").mkdir()
    out.fill(save)
    assert (folder / "table.csv").read_text() == "another's"
    assert out.path == tmp_path / "out-3" and (out.path / "table.csv").read_text() == "mine"
    told = " ".join(capsys.readouterr().err.split())
    assert "has changed since this command began; what it found goes to" in told and told.endswith("out-3'")


def test_a_file_that_the_user_adds_meanwhile_stays(tmp_path: Path) -> None:
    other(tmp_path / "out")
    out = OutFolder(tmp_path / "out", force=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    out.fill(save)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [MARKER, "notes.txt", "table.csv"]
    assert (tmp_path / "out-2" / "table.csv").is_file()


def test_a_file_that_the_user_edits_meanwhile_stays(tmp_path: Path) -> None:
    other(tmp_path / "out")
    out = OutFolder(tmp_path / "out", force=True)
    with (tmp_path / "out" / "table.csv").open("r+") as file:  # in place: the folder is as it was
        file.write("mine")
    out.fill(save)
    assert (tmp_path / "out" / "table.csv").read_text().startswith("mine")
    assert (tmp_path / "out-2" / "table.csv").is_file()


def test_a_folder_that_is_removed_before_the_result_is_told(tmp_path: Path, capsys) -> None:
    other(tmp_path / "out")
    out = OutFolder(tmp_path / "out", force=True)
    shutil.rmtree(tmp_path / "out")
    out.fill(save)
    assert (tmp_path / "out" / "table.csv").read_text() == "mine"
    assert "out' was removed since this command began; what it found goes to a new one" in capsys.readouterr().err


def test_who_comes_in_the_last_moment_stays_too(tmp_path: Path) -> None:
    out, written = OutFolder(tmp_path / "out", force=False), []

    def late(folder: Path, overwrite: bool) -> None:
        if not written:
            other(folder)
        written.append(folder.name)
        save(folder, overwrite)

    out.fill(late)
    assert written == ["out", "out-2"] and (tmp_path / "out" / "table.csv").read_text() == "another's"


def test_a_link_to_nothing_is_walked_around(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out", force=False)
    (tmp_path / "out").symlink_to(tmp_path / "missing")
    out.fill(save)
    assert (tmp_path / "out-2" / "table.csv").is_file() and not (tmp_path / "missing").exists()


AT_ONCE = """
import sys, time
from pathlib import Path
from telejax.cli.out_folder import OutFolder
from telejax.results.files import new_folder
folder, mine = Path(sys.argv[1]), sys.argv[2]
out = OutFolder(folder / "out", force=True)
(folder / f"ready {mine}").touch()
while len([*folder.glob("ready*")]) < 3:
    time.sleep(0.001)

def save(path, overwrite):
    with new_folder(path, overwrite, later=["picture"]) as aside:
        (aside / "table.csv").write_text(mine)
    time.sleep(0.05)
    (path / "picture").write_text(mine)

out.fill(save)
"""


@pytest.mark.slow
def test_three_commands_that_end_in_one_moment_keep_their_results(tmp_path: Path) -> None:
    run = lambda name: subprocess.Popen([sys.executable, "-c", AT_ONCE, str(tmp_path), name], stderr=subprocess.PIPE)
    for process in [run(name) for name in "abc"]:
        process.communicate(timeout=120)
        assert process.returncode == 0
    found = [[(folder / name).read_text() for name in ("table.csv", "picture")] for folder in tmp_path.glob("out*")]
    assert sorted(found) == [["a", "a"], ["b", "b"], ["c", "c"]]


def test_a_folder_that_is_removed_meanwhile_is_told(tmp_path: Path, capsys) -> None:
    output = Output()
    output.print_written(tmp_path / "gone", ["table.csv"])
    assert output.failed and "gone' was removed since it was written" in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_is_as_it_was_is_replaced(tmp_path: Path) -> None:
    other(tmp_path / "out")
    out = OutFolder(tmp_path / "out", force=True)
    out.fill(save)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "table.csv").read_text() == "mine"


def test_a_command_says_where_its_table_is(tmp_path: Path, monkeypatch, capsys) -> None:
    def meanwhile(*arguments, **options):
        other(tmp_path / "out")
        return measured(*arguments, **options)

    from telejax import topology

    measured = topology.table
    monkeypatch.setattr(topology, "table", meanwhile)
    assert main(["topologies", "--nodes", "8", "--names", "ring", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "out-2/topologies.csv" in "".join(printed.out.split()) and "has changed since" in " ".join(
        printed.err.split()
    )
    assert (tmp_path / "out-2" / "topologies.png").is_file()
