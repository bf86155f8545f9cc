"""``telejax report``: a page from every folder that telejax writes, and what it says of one that holds no result."""

import json
from pathlib import Path

import polars as pl
import pytest

from telejax.cli import main
from telejax.results.report import page

pytestmark = pytest.mark.usefixtures("compiled_fast")

TINY = ["--dataset", "quadratic", "--nodes", "8", "--rounds", "4", "--seeds", "2", "--no-progress"]
RATES = ["--learning-rates", "0.02", "0.05"]


@pytest.fixture(autouse=True)
def without_scripts(monkeypatch):
    """Only a browser reads them; see tests/results/test_report_in_browser.py."""
    monkeypatch.setattr(page, "bundle", lambda: "/* vega */")


def compare(out: Path, *more: str) -> int:
    return main(
        ["compare", *TINY, *RATES, "--eval-every", "2", "--methods", "dsgd/ring", "token", "--out", str(out), *more]
    )


def report(*arguments: object) -> int:
    return main(["report", *map(str, arguments)])


@pytest.fixture
def compared(tmp_path: Path, capsys) -> Path:
    """A folder as of a comparison, made by hand: what is damaged need not have been computed."""
    folder = tmp_path / "compare"
    folder.mkdir()
    rows = {"method": ["a", "a"], "seed": [0, 0], "learning_rate": [0.1, 0.1], "round": [0, 4], "loss": [1.0, 0.5]}
    more = {"tuned": [True, True], "diverged": [False, False], "bytes": [0, 8]}
    pl.DataFrame({**rows, **more}).write_parquet(folder / "history.parquet")
    (folder / "config.json").write_text(json.dumps({"title": "Quadratic, 8 nodes", "nodes": 8}))
    return folder


@pytest.mark.slow
def test_what_is_not_what_was_written_gets_no_report(tmp_path: Path, capsys) -> None:
    out, other = tmp_path / "compare", tmp_path / "other"
    assert compare(out) == compare(other, "--noise", "3") == 0
    for name in ("history.parquet", "config.json"):
        whole = (out / name).read_bytes()
        for damaged in (whole[:200] + bytes([whole[200] ^ 2]) + whole[201:], (other / name).read_bytes()):
            (out / name).write_bytes(damaged)
            capsys.readouterr()
            assert report(out) == 2
            told = f"whose {name} is not what was saved: its checksum differs from that in SHA256SUMS; take a copy"
            assert told in capsys.readouterr().err
        (out / name).write_bytes(whole)
    assert report(out) == 0


@pytest.mark.slow
def test_a_comparison_has_a_report_that_is_replaced_with_it(tmp_path: Path, capsys) -> None:
    out = tmp_path / "compare"
    assert compare(out) == 0
    assert report(out) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "DSGD ring" in text and 'lang="en"' in text
    assert "telejax compare --dataset quadratic --learning-rates 0.02 0.05 --nodes 8" in text
    assert report(out) == 2
    printed = capsys.readouterr()
    assert f"Written: {out}/report.html" in printed.out
    assert f"--out is '{out}/report.html', which exists; choose another, or overwrite it" in printed.err
    assert report(out, "--force", "--language", "ja") == 0
    assert 'lang="ja"' in (out / "report.html").read_text(encoding="utf-8")
    assert compare(out, "--force") == 0  # the report is telejax's, and goes with the folder
    assert not (out / "report.html").exists()


@pytest.mark.slow
def test_a_folder_that_is_replaced_while_it_is_read_gets_no_report_of_what_was_there(
    compared: Path, capsys, monkeypatch
) -> None:
    from telejax.results.report import page

    whole = page.render

    def meanwhile(*arguments, **options):
        text = whole(*arguments, **options)
        (compared / "another.parquet").write_bytes(b"new")
        return text

    with monkeypatch.context() as patch:
        patch.setattr(page, "render", meanwhile)
        assert report(compared) == 2
    assert "changed while it was read; run this again" in " ".join(capsys.readouterr().err.split())
    assert not (compared / "report.html").exists()
    assert report(compared) == 0


@pytest.mark.slow
def test_a_search_a_sweep_and_a_result_have_reports(tmp_path: Path, capsys) -> None:
    import optax

    import telejax as tj

    out = tmp_path / "search"
    assert main(["search", *TINY, *RATES, "--candidates", "1", "2", "--out", str(out)]) == 0
    assert report(out) == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "recommended" in text and "telejax search --dataset quadratic" in text
    spec = tmp_path / "spec.toml"
    task, method = '[task]\nname = "quadratic"\nnodes = 8\nnoise = [0.1, 1.0]', '[method]\nname = "random_walk"'
    spec.write_text(f'rounds = 4\n{task}\n{method}\n[optimizer]\nname = "sgd"\nlearning_rate = 0.05\n')
    assert main(["sweep", str(spec), "--out", str(tmp_path / "sweep"), "--no-progress"]) == 0
    assert report(tmp_path / "sweep", "--out", tmp_path / "new" / "sweep.html") == 0
    assert "noise = [0.1, 1.0]" in (tmp_path / "new" / "sweep.html").read_text(encoding="utf-8").replace("&#34;", '"')
    assert main(["sweep", str(spec), "--out", str(tmp_path / "sweep"), "--no-progress"]) == 0  # it still resumes
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    result = tj.simulate(walk, tj.tasks.quadratic(nodes=8, dim=4), rounds=4, progress=False)
    result.save(tmp_path / "result")
    assert report(tmp_path / "result") == 0
    assert "one token" in (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
    assert tj.load(tmp_path / "result").rounds == 4  # its checksums still hold


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def drop(name: str):
    return lambda folder: (folder / name).unlink()


def change(**columns):
    """Other columns; None leaves one out."""

    def changed(folder: Path) -> None:
        table = pl.read_parquet(folder / "history.parquet")
        gone = [name for name, value in columns.items() if value is None]
        table.drop(gone).with_columns(**{name: one for name, one in columns.items() if one is not None}).write_parquet(
            folder / "history.parquet"
        )

    return changed


DAMAGE = [
    (lambda folder: [one.unlink() for one in folder.iterdir()], "which has no history.parquet and no config.json"),
    (drop("config.json"), "which has no config.json; give a folder of telejax compare"),
    (drop("history.parquet"), "which has no history.parquet; give a folder"),
    (write("history.parquet", "PAR1 and no more"), "whose history.parquet cannot be read"),
    (write("config.json", '{"title": "Quadr'), "whose config.json cannot be read"),
    (write("config.json", "[1, 2]"), "whose config.json holds no table of names and values"),
    (write("config.json", '{"nodes": "many"}'), "whose config.json has 'nodes': 'many', no number of nodes"),
    (write("config.json", '{"target": [1]}'), "whose files are not as telejax wrote them"),
    (write("config.json", '{"algorithm": "a", "nodes": 8}'), "which has no params.msgpack"),
    (write("params.msgpack", "?"), "whose config.json is not that of a result"),
    (write("spec.json", "{}"), "a sweep without table.parquet: it is not finished; run telejax sweep again"),
    (change(tuned=None), "whose history.parquet has no tuned"),
    (change(seed=None, diverged=None), "whose history.parquet has no seed and no diverged"),
    (change(method=None), "whose history.parquet has no active and no loss_slots"),
    (change(round=pl.lit("one")), "whose history.parquet has no numbers in round"),
    (change(loss=pl.lit("low")), "whose history.parquet has no numbers in loss"),
    (change(bytes=pl.date(2026, 1, 1)), "whose history.parquet has no numbers in bytes"),
    (change(diverged=pl.lit(None)), "whose history.parquet has no true or false in diverged"),
    (change(diverged=pl.lit("no")), "whose history.parquet has no true or false in diverged"),
    (change(tuned=pl.lit(False)), "whose history.parquet has no row that is tuned"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[message[:40] for _, message in DAMAGE])
def test_a_folder_without_a_whole_result_exits_with_2_and_says_why(damage, message, compared: Path, capsys) -> None:
    damage(compared)
    before = sorted(one.name for one in compared.iterdir())
    assert report(compared) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("telejax: FOLDER is ") and message in printed.err
    assert "Traceback" not in printed.err and printed.out == ""
    assert sorted(one.name for one in compared.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/none"], "which is no folder; give a folder of telejax compare"),
        (["{folder}/config.json"], "which is no folder"),
        (["{folder}", "--out", "{folder}"], "which is a folder; give a file, such as"),
        (["{folder}", "--out", "{folder}/config.json", "--force"], "give one that ends with .html"),
        (["{folder}", "--out", "{folder}/config.json/a.html", "--force"], "cannot be written"),
        (["{folder}", "--out", ""], "which is a folder; give a file, such as report.html"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_what_to_do(arguments, message, compared: Path, capsys) -> None:
    assert report(*(one.format(folder=compared) for one in arguments)) == 2
    printed = capsys.readouterr()
    assert message in printed.err and "Traceback" not in printed.err and printed.out == ""
    assert sorted(one.name for one in compared.iterdir()) == ["config.json", "history.parquet"]


def test_an_unknown_language_exits_with_2(compared: Path, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        report(compared, "--language", "fr")
    assert caught.value.code == 2
    assert "'en', 'ja'" in capsys.readouterr().err


def test_a_missing_extra_exits_with_2(compared: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    assert report(compared) == 2
    assert "install telejax[report]" in capsys.readouterr().err
