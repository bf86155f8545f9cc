"""Site files: what they say, and where what is wrong with them stands; nothing is compiled."""

import re
from pathlib import Path

import numpy as np
import pytest

from telejax import advice
from telejax.studies.advice.runs import Trials
from telejax.studies.advice.site_data import data_of

EXAMPLES = sorted((Path(__file__).parents[2] / "experiments" / "sites").glob("*.toml"))
SITE = "[[site]]\ncount = 3\nsamples = 10\nlatency = 0.1\nbandwidth = 1e6\nseconds = 0.2\n"
AIM = "[aim]\naccuracy = 0.9\n"


def read(tmp_path: Path, text: str) -> advice.Sites:
    file = tmp_path / "sites.toml"
    file.write_text(text)
    return advice.read_sites(file)


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_the_examples_are_read(file):
    sites = advice.read_sites(file)
    assert sites.nodes == {"factories": 12, "branches": 300, "phones": 100_000}[file.stem]
    assert sites.prices is not None and sites.model.bytes is not None


def test_a_file_is_what_its_dataclasses_are(tmp_path):
    given = read(tmp_path, SITE + AIM + "hours = 2\n[network]\nloss = 0.1\n[server]\nlatency = 0.5\nbandwidth = 1e7")
    group = advice.Group(count=3, samples=10, latency=0.1, bandwidth=1e6, seconds=0.2)
    assert given.groups == (group,) and given.aim == advice.Aim(accuracy=0.9, hours=2)
    assert given.world.loss == 0.1 and given.world.contention and given.server is not None
    assert given.prices is None and given.data == advice.Data()


REFUSED = {
    "key": (
        SITE + "smaples = 3\n" + AIM,
        "line 7, [site] smaples: unknown key of [site] 'smaples'; did you mean 'samples'?",
    ),
    "table": (SITE + AIM + "[prizes]\n", "line 9, [prizes]: unknown table of a site file"),
    "aim key": (SITE + AIM + "acuracy = 1\n", "line 9, [aim] acuracy"),
    "no samples": (SITE.replace("10", "0") + AIM, "line 3, [site] samples: samples is 0; give the labelled samples"),
    "neither": (SITE.replace("samples = 10\n", "") + AIM, "samples is None and data None; give"),
    "no latency": (SITE.replace("latency = 0.1\n", "") + AIM, "[site] has no latency; give it, for a site is reached"),
    "no line": (SITE.replace("bandwidth = 1e6\n", "") + AIM, "[site] has no bandwidth; give it, for a site is reached"),
    "dead line": (
        SITE.replace("1e6", "0") + AIM,
        "line 5, [site] bandwidth: bandwidth is 0; give a finite number above",
    ),
    "no computer": (SITE.replace("seconds = 0.2\n", "") + AIM, "[site] has no seconds; give it, for a gradient takes"),
    "no count": (SITE.replace("count = 3\n", "") + AIM, "[site] has no count; give it"),
    "no sites": (AIM, "give one [[site]] with count"),
    "no aim": (SITE, "has no [aim]; give one"),
    "empty aim": (SITE + "[aim]\nhours = 3\n", "accuracy is None and worst too; give the accuracy"),
    "too much": (SITE + "[aim]\naccuracy = 90\n", "line 8, [aim] accuracy: accuracy is 90; give a number above 0"),
    "cost": (SITE + AIM + "cost = 5\n", "cost is 5, and there are no prices; give prices"),
    "one site": (SITE.replace("3", "1", 1) + AIM, r"sites.toml: count adds up to 1 site; give at least 2"),
    "always away": (
        SITE + "away = 1.0\n" + AIM,
        "line 7, [site] away: away is 1.0; give a number of at least 0 and below 1",
    ),
    "labels": (SITE + "labels = [0, 12]\n" + AIM, "labels has 12, and data has 10 classes; give less"),
    "no file": (SITE.replace("samples = 10", "data = 'a_{}.csv'") + AIM, "line 3, [site] data: there is no file"),
    "one file": (SITE.replace("samples = 10", "data = 'a.csv'") + AIM, "for 3 sites; write {} where the number"),
    "kind": (SITE + AIM + "[data]\nkind = 'digit'\n", "unknown kind of data 'digit'; did you mean 'digits'?"),
    "model": (SITE + AIM + "[model]\nkind = 'mpl'\n", "line 10, [model] kind: unknown kind of model 'mpl'; did you"),
    "network": (SITE + AIM + "[network]\nloss = 2\n", "line 10, [network] loss: loss is 2; give a probability"),
    "links": (SITE + AIM + "[links]\nkind = 'uniform'\n", "unknown table of a site file 'links'"),
    "server": (SITE + AIM + "[server]\nlatency = 0.1\nspeed = 3\n", "line 11, [server] speed: unknown key"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told_with_its_place(name, tmp_path):
    text, words = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(words).replace(r"\ ", " ")) as error:
        read(tmp_path, text)
    assert str(error.value).startswith((str(tmp_path), "path is", "cost is", "labels has", "count adds")), error.value


def test_sites_without_numbers_are_refused():
    group = advice.Group(count=3, samples=10, latency=0.1, bandwidth=1e6, seconds=0.2)
    aim = advice.Aim(accuracy=0.9)
    with pytest.raises(ValueError, match="groups is empty"):
        advice.Sites([], aim)
    with pytest.raises(ValueError, match="groups holds one, which is 3"):
        advice.Sites([3], aim)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="samples adds up to 3000, and digits has 1400"):
        data_of(advice.Sites([group.__class__(300, 0.1, 1e6, 0.2, samples=10)], aim, advice.Data("digits")))
    with pytest.raises(ValueError, match="data is given for some groups and not for others"):
        advice.Sites([group, advice.Group(1, 0.1, 1e6, 0.2, data="a.csv")], aim)


def test_sites_have_as_many_samples_of_the_labels_as_they_say():
    groups = [advice.Group(5, 0.1, 1e6, 0.2, samples=30, labels=[1, 3]), advice.Group(4, 0.1, 1e6, 0.2, samples=7)]
    for kind in ("synthetic", "digits"):
        held = data_of(advice.Sites(groups, advice.Aim(accuracy=0.9), advice.Data(kind, alpha=0.5)))  # type: ignore[arg-type]
        counts = (held.table >= 0).sum(axis=1)
        assert counts.tolist() == [30] * 5 + [7] * 4
        taken = held.table[held.table >= 0]
        assert len(np.unique(taken)) == len(taken)
        labels = held.dataset.train.labels[held.table[:5, :30]]
        assert {*np.unique(labels)} <= {1, 3}


def write(folder: Path, sites: int, rows: int = 20) -> None:
    stream = np.random.default_rng(0)
    for site in range(1, sites + 1):
        x = stream.normal(size=(rows, 2))
        label = np.where(x[:, 0] + site > 1, "good", "bad")
        lines = [f"{a},{b},{name}" for (a, b), name in zip(x, label, strict=True)]
        (folder / f"site_{site}.csv").write_text("\n".join(["hot,wet,label", *lines]))


def test_own_files_are_the_sites_and_test_them(tmp_path):
    write(tmp_path, 3)
    sites = read(tmp_path, SITE.replace("samples = 10", "data = 'site_{}.csv'") + AIM)
    held = data_of(sites)
    assert held.table.shape == (3, 14) and held.dataset.classes == 2
    assert np.bincount(held.owners).tolist() == [4, 4, 4]
    task = Trials(sites).task(np.array([0, 2]))
    assert task.nodes == 2 and task.test_owners.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "hot,wet\n1,2\n" * 6,
            "with the columns ['hot', 'wet']; give a CSV file with columns of numbers and one named",
        ),
        ("hot,label\n" + "1,a\n" * 3, "with 3 rows; give at least 5"),
        ("hot,label\n" + "1,a\n" * 5 + ",b\n", "whose column hot has no value in line 7; fill it"),
        ("hot,label\n" + "1,a\n" * 6 + "x,a\n", "whose column hot holds 'x' in line 8, no number"),
        ("hot,label\n" + "1,a\n" * 6 + "1,nan\n", "whose column label has no value in line 8; fill it"),
        ("hot,label\n" + "1e39,a\n" * 6, "whose column hot holds 1e+39 in line 2; give finite numbers"),
        ("hot,label\n" + "inf,a\n" * 6, "whose column hot holds inf in line 2; give finite numbers"),
        ("wet,label\n" + "1,a\n" * 6, "has the columns ['wet', 'label'], and"),
        ("", "which cannot be read"),
    ],
)
def test_files_that_are_no_data_are_refused(text, words, tmp_path):
    write(tmp_path, 3)
    (tmp_path / "site_2.csv").write_text(text)
    sites = read(tmp_path, SITE.replace("samples = 10", "data = 'site_{}.csv'") + AIM)
    with pytest.raises(ValueError, match=re.escape(words)):
        data_of(sites)


def test_labels_are_the_same_however_numbers_are_written(tmp_path):
    rows = {"site_1.csv": "{}", "site_2.csv": "{}.0", "site_3.csv": " {}"}
    for name, written in rows.items():
        lines = [f"0.{i},{i},{written.format(i % 3)}" for i in range(20)]
        (tmp_path / name).write_bytes("\r\n".join(["hot,wet,label", *lines, "", ""]).encode())
    held = data_of(read(tmp_path, SITE.replace("samples = 10", "data = 'site_{}.csv'") + AIM))
    assert held.dataset.classes == 3 and held.table.shape == (3, 14)


def test_a_tiny_alpha_leaves_each_site_one_class():
    group = advice.Group(200, 0.1, 1e6, 0.2, samples=30)
    for alpha in (1e-3, 1e-5, 1e-300):
        sites = advice.Sites([group], advice.Aim(accuracy=0.5), advice.Data(alpha=alpha))
        held = data_of(sites)
        classes = [len(np.unique(held.dataset.train.labels[row])) for row in held.table]
        assert np.mean(np.array(classes) == 1) > 0.9
        assert len(np.unique(held.dataset.train.labels)) == 10  # not all sites the same one


def test_what_stands_in_is_not_said_of_sites_with_data_of_their_own(tmp_path):
    write(tmp_path, 3)
    text = SITE.replace("samples = 10", "data = 'site_{}.csv'") + AIM
    assert read(tmp_path, text + "[data]\nseed = 3\n").data.seed == 3
    with pytest.raises(ValueError, match="the sites have their own; leave out all but seed"):
        read(tmp_path, text + "[data]\nclasses = 2\n")
    twice = text.replace("count = 3", "count = 1") + text.replace(AIM, "").replace("count = 3", "count = 1")
    with pytest.raises(ValueError, match="for two sites; give each a file of its own"):
        read(tmp_path, twice)
