"""Nothing that a user has is lost: what may be replaced, what a failure leaves, and what is kept of a finished run."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import telejax as tj
from telejax.cli import main
from telejax.results.files import KINDS, MARKER, check_free, new_folder, write_file, write_picture
from telejax.studies.compare.comparison import Comparison

pytestmark = pytest.mark.usefixtures("compiled_fast")

TINY = ["--dataset", "quadratic", "--nodes", "8", "--rounds", "4", "--seeds", "1", "--no-progress"]
TINY += ["--learning-rates", "0.02", "0.05"]
COMPARE = ["compare", *TINY, "--eval-every", "2", "--methods", "dsgd/ring"]
SEARCH = ["search", *TINY, "--candidates", "1", "2"]
TOPOLOGIES = ["topologies", "--nodes", "8", "--names", "ring", "torus"]
COMMAND = [sys.executable, "-c", "import sys; from telejax.cli import main; sys.exit(main())"]


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder: files with their content, links with their target."""
    return {
        str(path.relative_to(folder)): (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
        )
        for path in folder.rglob("*")
    }


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("old")
    return folder


def put(path: Path | str, overwrite: bool = True) -> None:
    with new_folder(path, overwrite, later=["picture.png"]) as folder:
        (folder / "data.csv").write_text("new")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory above the working directory ``above/work``, with a link out of it; all hold files."""
    fill(tmp_path / "users" / "home", "diary.txt")
    work = fill(tmp_path / "above" / "work", "thesis.tex")
    fill(work / "sub", "figure.tex")
    (work / "link").symlink_to(work / "sub")
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "users" / "home"))
    return tmp_path


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "give the path of a new folder"),
        ("a\0b", "give the path of a new folder"),
        (".", "is the working directory"),
        ("..", "is a parent of the working directory"),
        ("sub/..", "is the working directory"),
        ("link/..", "is the working directory"),
        ("{root}/above/work", "is the working directory"),
        ("{root}/above", "is a parent of the working directory"),
        ("{root}/users/home", "is the home directory"),
        ("{root}/users", "is a parent of the home directory"),
        ("/", "is a parent of the working directory"),
    ],
)
def test_some_folders_are_never_replaced(home: Path, path: str, reason: str, overwrite: bool) -> None:
    path = path.format(root=home)
    (home / "above" / "work" / MARKER).write_text("# even so\nthesis.tex\nsub\nlink\n")
    before = tree(home)
    with pytest.raises(ValueError, match=reason) as caught:
        put(path, overwrite)
    assert str(caught.value).startswith(f"path is {path!r}") and "a new folder" in str(caught.value)
    assert tree(home) == before


def test_a_mount_point_is_never_replaced(tmp_path: Path, monkeypatch) -> None:
    disk = tmp_path / "disk"
    put(disk)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == disk)
    with pytest.raises(ValueError, match="disk', which is a mount point; give a new folder"):
        put(disk)


@pytest.mark.parametrize("command", [COMPARE, SEARCH, TOPOLOGIES], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (".", "which is the working directory"),
        ("file", "which exists and is not a folder"),
        ("link", "which is a symbolic link to "),
        ("dangling", "which is a symbolic link to 'nowhere'"),
        ("file/out", "which cannot be written: Not a directory"),
        ("sub", "which holds what telejax did not write: 'figure.tex'"),
    ],
)
def test_commands_refuse_before_anything_is_computed(
    home: Path, command: list[str], out: str, message: str, capsys, monkeypatch
) -> None:
    fill(Path(), "file")
    Path("dangling").symlink_to("nowhere")
    before = tree(home)

    def computed(*_, **__) -> None:
        raise AssertionError("something was computed")

    for name in (
        "telejax.studies.compare.compare.compare",
        "telejax.studies.search.search.search",
        "telejax.topology.table",
    ):
        monkeypatch.setattr(name, computed)
    assert main([*command, "--out", out, "--force"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"telejax: --out is {out!r}, ") and message in printed.err and printed.out == ""
    assert tree(home) == before


def test_a_folder_of_telejax_is_replaced_and_an_empty_one(tmp_path: Path) -> None:
    out = fill(tmp_path / "out")
    for _ in range(3):
        put(out)
        assert {path.name for path in out.iterdir()} == {MARKER, "data.csv"}
    fill(out, "picture.png", ".picture.png.12.34", ".DS_Store")  # written later, cut off by a kill, by a file manager
    put(out)
    assert (out / "data.csv").read_text() == "new" and not (out / "picture.png").exists()
    with pytest.raises(FileExistsError, match=r"out', which exists; choose another folder, or overwrite it"):
        put(out, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", KINDS, ids=sorted)
def test_folders_from_before_the_marker(tmp_path: Path, kind: set[str]) -> None:
    put(fill(tmp_path / "whole", *kind))
    assert (tmp_path / "whole" / MARKER).exists()
    for name, files in {"more": {*kind, "notes.txt"}, "less": kind - {min(kind)}}.items():
        folder = fill(tmp_path / name, *files)
        with pytest.raises(FileExistsError, match="which holds what telejax did not write: "):
            put(folder)
        assert {path.name for path in folder.iterdir()} == files


@pytest.mark.parametrize("added", ["notes.txt", ".hidden", "folder", "data.csv", ".data.csv.old"])
def test_what_a_user_added_is_named_and_kept(tmp_path: Path, added: str) -> None:
    out = tmp_path / "out"
    put(out)
    if added == "folder":
        fill(out / added, "data.csv")
    elif added == "data.csv":  # one of ours, moved to an archive and linked
        (out / added).rename(tmp_path / "archive.csv")
        (out / added).symlink_to(tmp_path / "archive.csv")
    else:
        fill(out, added)
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match=f"write: '{added}'; choose another folder, or move that away"):
        put(out)
    assert tree(tmp_path) == before


def test_a_file_added_while_the_new_folder_is_filled_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out)
    with pytest.raises(FileExistsError, match=r"notes\.txt"), new_folder(out, overwrite=True):
        fill(out, "notes.txt")
    assert sorted(tree(tmp_path)) == ["out", f"out/{MARKER}", "out/data.csv", "out/notes.txt"]


@pytest.mark.parametrize(("before", "failing"), [(False, 1), (True, 1), (True, 2)])
def test_a_rename_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch, before: bool, failing: int) -> None:
    out, rename, calls = tmp_path / "out", Path.rename, []
    if before:
        put(out)
        (out / "data.csv").write_text("old")

    def fail(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == failing:
            raise PermissionError("not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError, match="which cannot be written: not permitted; make room"):
        put(out)
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if before else [])
    if before:
        assert (out / "data.csv").read_text() == "old"


@pytest.mark.parametrize("length", [239, 245])
def test_a_folder_of_a_long_name_is_replaced(tmp_path: Path, length: int) -> None:
    out = tmp_path / ("a" * length)
    put(out)
    (out / "data.csv").write_text("old")
    put(out)
    assert (out / "data.csv").read_text() != "old" and [path.name for path in tmp_path.iterdir()] == [out.name]


def test_links_among_the_parents_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    (tmp_path / "later").symlink_to("new-disk")  # dangling, until the folder is made
    put(tmp_path / "runs" / "out")
    put(tmp_path / "later" / "out")
    assert (tmp_path / "disk" / "out" / "data.csv").exists() and (tmp_path / "new-disk" / "out" / "data.csv").exists()
    assert check_free(tmp_path / "runs" / "new", overwrite=False) == (tmp_path / "disk" / "new").resolve()


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch) -> None:
    film = tmp_path / "new folder" / "run.gif"
    write_file(film, b"before")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"run\.gif' cannot be written: .*No space left.*; choose another, or make room"):
        write_file(film, b"after")
    assert [file.name for file in film.parent.iterdir()] == ["run.gif"] and film.read_bytes() == b"before"


def test_a_picture_that_fails_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("old")

    def draw() -> bytes:
        raise ValueError("no such backend")

    with pytest.warns(UserWarning, match="; nothing is kept in"):
        write_picture(tmp_path / "p.png", draw, kept=["a", "b"])
    (tmp_path / "a").touch(), (tmp_path / "b").touch()
    with pytest.warns(UserWarning, match=r"p.png was not written \(ValueError: no such backend\); a and b are kept in"):
        write_picture(tmp_path / "p.png", draw, kept=["a", "b"])
    with pytest.warns(UserWarning, match="; a is kept in"):
        write_picture(tmp_path / "p.png", draw, kept=["a"])
    assert (tmp_path / "p.png").read_text() == "old" and len(list(tmp_path.iterdir())) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_picture(tmp_path / "p.png", lambda: b"new", kept=["a"])
    assert (tmp_path / "p.png").read_text() == "new"


def broken(*_, **__) -> bytes:
    raise ValueError("no such backend")


def full(*_, **__) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "data", "picture"),
    [
        (COMPARE, ["history.parquet", "config.json"], "comparison.png"),
        (SEARCH, ["table.csv", "history.parquet", "config.json"], "search.png"),
    ],
    ids=lambda words: words[0],
)
def test_a_finished_run_is_printed_and_kept_whatever_fails_then(
    tmp_path: Path, command: list[str], data: list[str], picture: str, capsys, monkeypatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("telejax.results.plots.figure_png", broken)
    assert main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "uadratic, 8 nodes" in printed.out and f"Written: {out}/{data[0]}" in printed.out
    assert f"{data[-2]} and {data[-1]}" in printed.out and picture not in printed.out
    assert printed.err == (
        f"telejax: {picture} was not written (ValueError: no such backend); "
        f"{' and '.join(data)} are kept in {str(out)!r}\n"
    )
    assert {path.name for path in out.iterdir()} == {MARKER, "SHA256SUMS", *data}
    kept = tree(tmp_path)

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    assert main([*command, "--out", str(out), "--force"]) == 1
    printed = capsys.readouterr()
    assert "uadratic, 8 nodes" in printed.out and "Written" not in printed.out
    assert f"nothing was written to {str(out)!r}: path is {str(out)!r}, which cannot be written: No sp" in printed.err
    assert "what is printed is all that is kept" in printed.err
    assert tree(tmp_path) == kept  # what was there before, and nothing aside


@pytest.mark.parametrize("fails", ["history.parquet", "config.json", "params.msgpack", "SHA256SUMS"])
def test_a_full_disk_is_told_with_the_folder_and_nothing_is_left(tmp_path: Path, monkeypatch, fails: str) -> None:
    history = pl.DataFrame({"round": [0], "seed": [0], "learning_rate": [0.1], "group": [0], "loss": [1.0]})
    run = tj.Result(history.with_columns(diverged=False, active=8), {"algorithm": "A"}, params=np.zeros((1, 1, 1)))
    run.save(tmp_path / "out")
    kept = tree(tmp_path)
    write = {name: getattr(Path, name) for name in ("write_bytes", "write_text")}

    def full(name: str) -> Callable[..., int]:
        def written(path: Path, content: bytes | str, **options: str) -> int:
            if fails in path.name:
                raise OSError(28, "No space left on device", str(path))
            return write[name](path, content, **options)

        return written

    for name in write:
        monkeypatch.setattr(Path, name, full(name))
    with pytest.raises(
        OSError, match=r"path is '[^']*out', which cannot be written: No space left on device; make room"
    ):
        run.save(tmp_path / "out", overwrite=True)
    assert tree(tmp_path) == kept


def test_saving_a_comparison_keeps_its_data_where_the_picture_fails(tmp_path: Path, monkeypatch) -> None:
    history = pl.DataFrame({"round": [0], "seed": [0], "learning_rate": [0.1], "group": [0], "loss_slots": [1.0]})
    run = tj.Result(history.with_columns(diverged=False, active=8, loss=1.0), {"algorithm": "A"}, params={})
    outcome = Comparison({"A": run}, {}, "loss", 1.0)
    monkeypatch.setattr(Comparison, "plot", broken)
    with pytest.warns(UserWarning, match="comparison.png was not written"):
        assert outcome.save(tmp_path / "out") == tmp_path / "out"
    assert pl.read_parquet(tmp_path / "out" / "history.parquet")["method"].to_list() == ["A"]


@pytest.mark.slow
def test_a_sweep_keeps_its_table_where_the_picture_fails(tmp_path: Path, capsys, monkeypatch) -> None:
    spec, out = tmp_path / "spec.toml", tmp_path / "out"
    spec.write_text(
        'rounds = 4\n[task]\nname = "quadratic"\nnodes = 4\n[method]\nname = "decentralized_sgd"\ntopology = "ring"\n'
        '[optimizer]\nname = "sgd"\nlearning_rate = [0.02, 0.05]\n'
    )
    command = ["sweep", str(spec), "--out", str(out), "--no-progress"]
    assert main(command) == 0
    before = (out / "sweep.png").read_bytes()
    assert f"Written: {out}/table.parquet and sweep.png" in capsys.readouterr().out
    monkeypatch.setattr("telejax.results.plots.figure_png", broken)
    assert main(command) == 0
    printed = capsys.readouterr()
    assert f"Written: {out}/table.parquet\n" in printed.out and "learning_rate" in printed.out
    assert "sweep.png was not written" in printed.err and "; table.parquet is kept in" in printed.err
    assert (out / "table.parquet").exists() and (out / "sweep.png").read_bytes() == before


def command(*words: str, before: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, after the Python code ``before``."""
    code = f"{before}\n{COMMAND[-1]}"
    return subprocess.run([*COMMAND[:-1], code, *words], stderr=subprocess.PIPE, text=True, timeout=120, **options)


@pytest.mark.slow
def test_a_reader_that_ends_early_is_no_error(tmp_path: Path) -> None:
    for words in ([*TOPOLOGIES, "--out", str(tmp_path / "out")], ["compare", "--help"]):
        read, write = os.pipe()
        os.close(read)  # as head does, but before the first line
        done = command(*words, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MARKER, "topologies.csv", "topologies.png"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_standard_output(tmp_path: Path) -> None:
    with open("/dev/full", "w") as stdout:
        done = command(*TOPOLOGIES, "--out", str(tmp_path / "out"), stdout=stdout)
    assert done.returncode == 1
    assert done.stderr == "telejax: standard output cannot be written: [Errno 28] No space left on device\n"
    assert (tmp_path / "out" / "topologies.png").exists()


@pytest.mark.slow
def test_a_full_disk_under_the_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # whose file would meet the limit, too
    for size, code, kept in ((0, 1, []), (5000, 0, [MARKER, "topologies.csv"])):  # bytes; the picture has more
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
        done = command(*TOPOLOGIES, "--out", str(tmp_path / "out"), before=limit, stdout=subprocess.PIPE)
        assert done.returncode == code, done.stderr
        assert "torus" in done.stdout and "Traceback" not in done.stderr
        assert ("all that is kept" if code else "topologies.csv is kept in") in done.stderr
        assert sorted(path.name for path in tmp_path.glob("out/*")) == kept
        assert [path.name for path in tmp_path.iterdir()] == (["out"] if kept else [])


@pytest.mark.slow
def test_a_wrong_backend_of_matplotlib_and_a_narrow_encoding(tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "nonsense", "PYTHONIOENCODING": "ascii"}
    environment["PYTHONWARNINGS"] = "error::UserWarning"  # also as an error, the warning is no traceback
    done = command(*TOPOLOGIES, "--out", str(tmp_path / "out"), env=environment, stdout=subprocess.PIPE)
    assert done.returncode == 0 and "torus" in done.stdout
    assert "topologies.png was not written" in done.stderr and "nonsense" in done.stderr
    assert "Traceback" not in done.stderr and (tmp_path / "out" / "topologies.csv").exists()
