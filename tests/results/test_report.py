"""The report: complete in both languages, well-formed, with the numbers of the history, and honest about them."""

import itertools
import json
import re
import sys
import tomllib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import jax.numpy as jnp
import optax
import polars as pl
import pytest
from report_history import CONFIG, advised, history

import telejax as tj
from telejax.results.report import advised as advised_words
from telejax.results.report import page
from telejax.results.report.folder import read_folder
from telejax.results.report.numbers import MOST_ROWS, along_runs, finals
from telejax.results.report.page import content, render
from telejax.results.report.subject import Subject, of_advice, of_comparison, of_result, of_search, of_sweep
from telejax.results.report.words import TEXTS, Words
from telejax.studies.sweep.sweep import Sweep

pytestmark = [pytest.mark.usefixtures("compiled_fast"), pytest.mark.slow]

LANGUAGES = ("en", "ja")
SGD = tj.optimizer(optax.sgd, learning_rate=0.1)


@pytest.fixture(autouse=True)
def without_scripts(monkeypatch):
    """The scripts of the charts take seconds to bundle, and only a browser reads them; see test_report_in_browser."""
    monkeypatch.setattr(page, "bundle", lambda: "/* vega */")


def compared(nodes: int):
    methods = [tj.decentralized_sgd(topology="ring", optimizer=SGD), tj.random_walk(optimizer=SGD)]
    task = tj.tasks.quadratic(nodes=nodes, dim=4)
    return tj.compare(methods, task, rounds=6, eval_every=2, tune=[0.01, 0.05], seeds=2, progress=False)


@pytest.fixture(scope="module")
def comparison(compiled_fast):
    return compared(8)


@pytest.fixture(scope="module")
def found(compiled_fast):
    task = tj.tasks.quadratic(nodes=8, dim=4)
    return tj.search(task, "ring", optimizer=SGD, rounds=8, candidates=[1, 2], tune=[0.01, 0.05], progress=False)


@pytest.fixture(scope="module")
def subjects(compiled_fast, comparison, found, tmp_path_factory) -> dict[str, Subject]:
    """One of every kind, each of a few rounds."""
    task = tj.tasks.quadratic(nodes=8, dim=4)
    result = tj.simulate(tj.random_walk(optimizer=SGD), task, rounds=4, seeds=2, tune=[0.01, 0.05], progress=False)
    spec = {
        "rounds": 4,
        "seeds": [0, 1],
        "task": {"name": "quadratic", "nodes": 8, "noise": [0.1, 1.0]},
        "method": {"name": "teleportation", "topology": "ring", "active": [2, 4]},
        "optimizer": {"name": "sgd", "learning_rate": 0.05},
    }
    swept = tj.sweep(spec, tmp_path_factory.mktemp("sweep"), progress=False)
    grown = pl.concat(
        one.history().with_columns(pl.lit(nodes).alias("nodes"))
        for nodes, one in {8: comparison, 4: compared(4), 16: compared(16)}.items()
    )
    return {
        "comparison": comparison._subject(),
        "growth": of_comparison(grown, {**comparison.config, "nodes": [4, 8, 16]}),
        "search": found._subject(),
        "sweep": swept._subject(),
        "result": result._subject(),
        "advice": of_advice(*advised()),
    }


KINDS = ("comparison", "growth", "search", "sweep", "result", "advice")


class Page(HTMLParser):
    """The elements of a page, with what its rules ask about."""

    VOID = ("meta", "link", "input", "br", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def test_the_languages_have_the_same_texts_with_the_same_names():
    english, japanese = (TEXTS[name] for name in LANGUAGES)
    assert english.keys() == japanese.keys() and all(english.values()) and all(japanese.values())
    for key, text in english.items():
        names = [sorted(set(re.findall(r"{(\w+)}", one))) for one in (text, japanese[key])]
        assert names[0] == names[1], key
    same = [key for key in english if english[key] == japanese[key] and re.search("[a-z]{3}", english[key])]
    assert same == []


def test_every_text_is_said_somewhere():
    sources = "".join(one.read_text() for one in Path(page.__file__).parent.glob("*") if one.suffix in (".py", ".html"))
    stems = ("column.", "quality.", "measure.", "chart_", "kind_", "line_", "section_", "word_", "fact_")
    stems += ("should_", "many_", "wrong_", "advice_least_", "miss_", "aim_", "least_", "price_", "doubt_")
    unsaid = [key for key in TEXTS["en"] if not key.startswith(stems) and sources.count(f"{key!r}") < 1]
    unsaid = [key for key in unsaid if sources.count(f'"{key}"') < 3]  # once in each language
    assert unsaid == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_well_formed_and_can_be_read_aloud(subjects, kind, language):
    text = render(subjects[kind], Words(language))
    found = Page(text)
    assert found.open == [] and text.startswith("<!DOCTYPE html>")
    assert found.all("html")[0]["lang"] == language
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = Counter(one["id"] for _, one in found.elements if "id" in one)
    assert max(ids.values()) == 1
    referred = {one["for"] for one in found.all("label") if "for" in one}
    referred |= {one["aria-labelledby"] for _, one in found.elements if "aria-labelledby" in one}
    referred |= {one["href"][1:] for one in found.all("a")}
    assert referred <= ids.keys()
    assert all(one["id"] in referred for one in found.all("select"))
    assert found.all("table") and all(one.get("scope") in ("col", "row") for one in found.all("th"))
    assert [len(found.all(tag)) for tag in ("main", "header", "nav", "footer")] == [1, 1, 1, 1]
    charts = [one for one in found.all("div") if one.get("class") == "chart"]
    assert charts and all(one["role"] == "img" and one["aria-label"] for one in charts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_no_network_for_anything(subjects, kind):
    text = render(subjects[kind], Words("en"))
    found = Page(text)
    assert "default-src 'none'" in next(one["content"] for one in found.all("meta") if "http-equiv" in one)
    assert not [one for _, one in found.elements if "src" in one or not one.get("href", "#").startswith(("#", "data:"))]
    assert "@import" not in text and "url(" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_charts_show_the_last_values_of_the_history(subjects, kind):
    subject = subjects[kind]
    made = content(subject, Words("en"))
    data = json.loads(made["data"])
    shown = {one["id"]: one for one in data["panels"]}
    assert {"chart-along", *(["chart-growth-quality", "chart-growth-cost"] if kind == "growth" else [])} <= shown.keys()
    last = subject.runs.filter(pl.col("chosen") & (pl.col("round") == pl.col("round").max().over("line", "seed")))
    for at, line in enumerate(data["lines"]):
        rows = [row for row in shown["chart-along"]["rows"] if row["line"] == at and row["n"] in (None, 8)]
        here = last.filter(line=line) if kind in ("comparison", "search") else None
        if here is not None:
            stats = rows[-1]["loss"]  # one number where the seeds end with the same
            mean, low, high = stats if isinstance(stats, list) else [stats] * 3
            assert mean == pytest.approx(here["loss"].mean(), rel=1e-5)
            assert [low, high] == pytest.approx([here["loss"].min(), here["loss"].max()], rel=1e-5)


def test_numbers_of_nodes_come_first_where_there_are_several(subjects):
    made = content(subjects["growth"], Words("en"))
    assert [panel.id for panel in made["panels"]][:2] == ["chart-growth-quality", "chart-growth-cost"]
    assert made["panels"][0].xs == ["nodes"] and {row["nodes"] for row in made["panels"][0].rows} == {4, 8, 16}
    assert "4 up to 16 sites" in made["answers"][0]
    assert made["headline"] == 1 and "traffic" in made["answers"][1]
    assert "4、8、16 ノード" in content(subjects["growth"], Words("ja"))["title"]


def test_a_search_recommends_what_the_search_does(subjects):
    subject = subjects["search"]
    best = subject.config["best"]
    assert f"let {best} work at a time" in content(subject, Words("en"))["answers"][0]
    assert f"{best} 台で十分です" in content(subject, Words("ja"))["answers"][0]


def test_the_objective_of_a_search_is_that_of_its_table(found):
    rows = finals(found._subject())
    assert [row["loss_slots"] for row in rows] == pytest.approx(found.table["slots"].to_list(), rel=1e-5)
    assert [row["learning_rate"] for row in rows] == found.table["learning_rate"].to_list()


def test_what_was_called_can_be_called_again():
    task, methods = tj.tasks.quadratic(nodes=8, dim=4), [tj.random_walk(optimizer=SGD)]
    given = {"rounds": 4, "eval_every": 2, "tune": [0.05, 0.1], "seeds": 3, "tune_seeds": 1, "seed": 5, "target": 3.0}
    names = {"tj": tj, "methods": methods, "task": task, "optimizer": SGD}
    names["make_task"] = lambda nodes: tj.tasks.quadratic(nodes=nodes, dim=4)
    whole = {
        "comparison": tj.compare(methods, task, **given, progress=False),
        "scaling": tj.scaling(methods, names["make_task"], [5, 8], **given, progress=False),
        "found": tj.search(
            task,
            "ring",
            optimizer=SGD,
            rounds=8,
            candidates=[1, 4],
            state_travels=False,
            seeds=2,
            eval_every=4,
            tune=[0.05],
            progress=False,
        ),
    }
    for name, before in whole.items():
        exec(before._subject().code, names)
        assert names[name].config == before.config, name


def test_one_simulation_tells_its_network_and_its_call():
    network = tj.Network(loss=0.1)
    walk, task = tj.random_walk(optimizer=SGD), tj.tasks.quadratic(nodes=8, dim=4)
    run = tj.simulate(walk, task, rounds=4, network=network, until=("loss", 1e9), progress=False)
    page, names = run.report(), {"tj": tj, "algorithm": walk, "task": task, "network": network}
    assert "loss 0.1" in page and "ideal: nothing is lost" not in page
    exec(run._subject().code, names)
    assert names["result"].history.equals(run.history)
    largest = tj.Metric("largest", lambda models, judged, state, task, groups: jnp.max(models), False, "largest")
    more = tj.simulate(walk, task, rounds=4, state=run, metrics=[largest], progress=False)
    assert f"# state: after {run.rounds} rounds\n" in more._subject().code
    exec(more._subject().code, names | {"state": run, "metrics": [largest]}, found := {})
    assert found["result"].history.equals(more.history)
    ideal = tj.simulate(walk, task, rounds=1, progress=False)
    assert "ideal: nothing is lost" in ideal.report() and "network" not in ideal._subject().code


@pytest.mark.parametrize("seeds", [[0, 1], [5]])
def test_a_sweep_can_be_run_again_from_its_report(tmp_path, seeds):
    from telejax.studies.sweep.spec import SweepSpec, canonical

    (tmp_path / "net.toml").write_text("[network]\nloss = 0.1\n")
    spec = {
        "rounds": 4,
        "seeds": seeds,
        "task": {"name": "quadratic", "nodes": 8, "noise": [0.1, 1.0]},
        "method": [{"name": "teleportation", "topology": "ring", "active": [2, 4]}, {"name": "random_walk"}],
        "optimizer": {"name": "sgd", "learning_rate": [0.05, 0.1]},
        "network": {"file": str(tmp_path / "net.toml"), "loss": [0.0, 0.1]},
    }
    kept = canonical(SweepSpec.from_dict(spec))
    table = pl.DataFrame(
        {"method": ["a"], "task": ["b"], "round": [0], "seed": [0], "diverged": [False], "loss": [1.0]}
    )
    again = tomllib.loads(of_sweep(table, kept).code)
    assert canonical(SweepSpec.from_dict(again)) == kept


def told(table: pl.DataFrame, part: str, **config) -> str:
    return " ".join(content(of_comparison(table, {**CONFIG, **config}), Words("en"))[part])


def test_the_answer_names_the_best_and_the_cheap_one_that_comes_close():
    answers = told(history(), "answers")
    assert "a gave the sites the best models: an average accuracy of 90.1%" in answers
    assert "b comes close, with an average accuracy of 88.6%, and sends 100 times less: 40 B instead of 4 kB" in answers


B, BEST = pl.col("method") == "b", pl.col("learning_rate") == 0.2
DIVERGED = [
    ({"diverged": B}, {}, "Diverged with every seed, so that there is no result: b."),
    ({"diverged": B & (pl.col("seed") == 0)}, {}, "Diverged with some of the seeds: b."),
    ({"diverged": pl.col("learning_rate") == 0.3}, {}, "6 of all 18 runs that were tried diverged"),
    ({"tuned": pl.col("learning_rate") == 0.3}, {}, "a (0.3) and b (0.3)"),
    ({}, {"target": {"metric": "accuracy", "value": 0.95}}, "a (reached by 0 of 3) and b (reached by 0 of 3)"),
    ({"accuracy_slots": pl.col("accuracy_slots") + B * 0.015}, {}, "The seeds of a and of b overlap"),
    ({"seed": pl.lit(0)}, {}, "There is one seed only"),
    ({}, {}, "There are only 3 seeds"),
    ({"round": pl.col("round") * 5}, {}, "measured every 5 rounds only"),
    ({"time": pl.col("round") * 1.0}, {}, "Times are simulated seconds"),
    ({}, {}, "It is one task"),
]


@pytest.mark.parametrize(("changes", "config", "words"), DIVERGED, ids=[words[:30] for *_, words in DIVERGED])
def test_what_speaks_against_is_said(changes, config, words):
    assert words in told(history(**changes), "doubts", **config)


@pytest.mark.parametrize("nodes", ["8 nodes", "25 to 350 nodes", "25, 100 and 350 nodes", "25, 100, 350 nodes"])
def test_a_title_is_told_without_its_nodes(nodes):
    subject = of_comparison(history(), {**CONFIG, "title": f"digits, alpha 0.1, {nodes}"})
    assert subject.title == "digits, alpha 0.1"


def test_a_cell_that_failed_is_told_with_its_reason(subjects):
    runs = subjects["sweep"].runs.drop("line", "chosen")
    gone = {name: pl.lit(None, dtype=runs.schema[name]) for name in ("round", "seed", "loss", "loss_slots", "diverged")}
    told = {
        "cell": pl.lit(99, dtype=pl.Int64),
        "status": pl.lit("failed"),
        "reason": pl.lit("ValueError: no such graph"),
    }
    subject = of_sweep(pl.concat([runs, runs.head(1).with_columns(**gone, **told)]), {})
    doubts = " ".join(content(subject, Words("en"))["doubts"])
    assert "runs failed, the first with: ValueError: no such graph" in doubts and "Diverged" not in doubts


def test_nothing_is_said_against_what_is_well():
    doubts = told(history(), "doubts")
    assert not [word for word in ("iverged", "reached", "overlap", "one seed", "smallest or largest") if word in doubts]


def test_numbers_that_are_none_are_no_numbers_of_the_page():
    broken = history(accuracy_slots=pl.when(B).then(float("nan")).otherwise(pl.col("accuracy_slots")), diverged=B)
    made = content(of_comparison(broken, CONFIG), Words("en"))
    assert "NaN" not in made["data"] and "Infinity" not in made["data"]
    assert "a gave the sites the best models" in " ".join(made["answers"])
    all_lost = content(of_comparison(history(diverged=pl.lit(True)), CONFIG), Words("en"))
    assert all_lost["answers"] == [TEXTS["en"]["answer_none"]]


def test_names_are_text_wherever_they_stand():
    evil = "</script><script>alert(1)</script>"
    text = render(of_comparison(history(method=pl.when(B).then(pl.lit(evil)).otherwise("method")), CONFIG), Words("en"))
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_long_histories_are_thinned_and_keep_their_ends():
    rounds = 20_000
    table = pl.DataFrame({"round": range(rounds), "loss": [1.0] * rounds}).with_columns(
        seed=pl.lit(0), learning_rate=pl.lit(0.1), group=pl.lit(0), diverged=pl.lit(False)
    )
    kept = along_runs(of_result(table, {"algorithm": "a"}), ["a"])["round"].to_list()
    assert len(kept) <= MOST_ROWS and (kept[0], kept[-1]) == (0, rounds - 1) and 1 in kept and 2 in kept


@pytest.mark.parametrize(
    ("column", "number", "text"),
    [
        ("accuracy", 0.9604, "96.0%"),
        ("bytes", 999, "999 B"),
        ("bytes", 6.734e9, "6.73 GB"),
        ("gradients", 50_000, "50,000"),
        ("round", 83.333, "83.3"),
        ("loss", 3e-5, "3e-05"),
        ("loss", 0.04321, "0.0432"),
        ("loss", float("nan"), "–"),
        ("loss", None, "–"),
    ],
)
def test_numbers_are_written_as_their_columns_are_read(column, number, text):
    assert Words("en").value(column, number) == text


def test_a_report_is_text_or_a_file(comparison, tmp_path):
    text = comparison.report()
    assert comparison.report(tmp_path / "new" / "a.html") == tmp_path / "new" / "a.html"
    assert (tmp_path / "new" / "a.html").read_text(encoding="utf-8") == text
    assert comparison.report(str(tmp_path / "new" / "a.html"), "ja", overwrite=True)
    assert 'lang="ja"' in (tmp_path / "new" / "a.html").read_text(encoding="utf-8")


def test_bad_arguments_are_refused(comparison, tmp_path):
    (tmp_path / "old.html").write_text("mine")
    with pytest.raises(ValueError, match="unknown language 'fr'; give one of: en, ja"):
        comparison.report(language="fr")
    with pytest.raises(FileExistsError, match="which exists; choose another, or overwrite it"):
        comparison.report(tmp_path / "old.html")
    with pytest.raises(FileExistsError, match="which is a folder; give a file"):
        comparison.report(tmp_path)
    with pytest.raises(ValueError, match="path is 3; give the path of a new file"):
        comparison.report(3)
    with pytest.raises(ValueError, match="overwrite is 'no'; give True or False"):
        comparison.report(tmp_path / "old.html", overwrite="no")
    with pytest.raises(OSError, match="cannot be written"):
        comparison.report(tmp_path / "old.html" / "below.html")
    assert (tmp_path / "old.html").read_text() == "mine" and [one.name for one in tmp_path.iterdir()] == ["old.html"]


@pytest.mark.parametrize("package", ["altair", "jinja2", "vl_convert"])
def test_a_missing_package_is_told_with_its_extra(comparison, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs the package {package}.*install telejax\[report\]"):
        comparison.report()


def test_a_sweep_without_cells_has_no_report():
    with pytest.raises(ValueError, match="no finished cells"):
        Sweep(pl.DataFrame(), (), 3).report()


@pytest.mark.slow
def test_searches_are_told_apart_by_their_history():
    table = pl.DataFrame(
        {"active": [1, 1], "seed": [0, 0], "learning_rate": [0.1, 0.1], "round": [0, 4], "loss": [1.0, 0.5]}
    ).with_columns(loss_slots="loss", diverged=pl.lit(False), bytes="round", gradients="round", messages="round")
    config = {"task": "Quadratic", "nodes": 4, "objective": "mean", "best": 1, "tuned": ["learning_rate"]}
    assert of_search(table, config).metric == "loss"


def cards(words: Words, **changes) -> str:
    _, config = advised(**changes)
    told = advised_words.decision(config["advice"], 300, words)
    return " ".join(" ".join([one["question"], one["answer"], *one["more"]]) for one in told)


def test_the_first_screen_of_an_advice_answers_four_questions():
    words = Words("en")
    text = cards(words)
    for told in (
        "Should we? Yes, a few sites at a time",
        "Each site alone: 60.0%",
        "With how many? 4 of 300 sites at a time",
        "Begin with 30 sites: expect 90.0% to 90.0% within 2 hours",
        "At what cost? 3 EUR, 2 hours, 6 GB",
        "For comparison, b: 250 EUR",
        "What could go wrong? One site of twenty sends wrong models: down to 10.0%",
        "A fifth more sites away: still 89.0%",
        "robust averages",
    ):
        assert told in text
    rows = advised()[1]["advice"]["table"]
    assert "No: each site alone is enough" in cards(words, recommended="c", table=rows[::-1], pilot=None, stress={})
    unreached = cards(words, recommended=None, table=[{**rows[0], "meets": False, "misses": ["hours"]}, *rows[1:]])
    assert "Not for this aim" in unreached and "misses the deadline" in unreached
    assert "Together, but with a server" in cards(words, recommended="b", table=rows[1:])


def test_a_folder_of_another_advice_is_refused(tmp_path):
    history, config = advised()
    history.write_parquet(tmp_path / "history.parquet")
    for wrong in (3, {}, {**config["advice"], "table": []}, {**config["advice"], "table": [{"name": "a"}]}):
        (tmp_path / "config.json").write_text(json.dumps({**config, "advice": wrong}))
        with pytest.raises(ValueError, match="run telejax advise again"):
            read_folder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_folder(str(tmp_path)).kind == "advice"
