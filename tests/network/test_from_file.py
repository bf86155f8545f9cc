"""Networks from TOML files: what they hold, and the line and key of whatever is wrong."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.network.from_file import FACTORIES
from telejax.network.presence import Trace
from telejax.network.world import Moment, World

EXAMPLES = sorted((Path(__file__).parents[2] / "experiments" / "networks").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "net.toml"
    file.write_text(text)
    return file


def test_it_is_the_network_that_python_would_make(tmp_path: Path) -> None:
    text = """
[network]
loss = 0.1
outage = 0
waiting = "neighbours"
contention = true

[links]
kind = "server"
latency = 1
bandwidth = 5e6
[links.peers]
kind = "sites"
sizes = [3, 2]
wireless = [1]
between = {latency = 0.5, bandwidth = 1e3}
radio.latency = 0.25

[machines]
kind = "stragglers"
share = 0.5
[presence]
kind = "epochs"
away = 0.25
length = 3
[activation]
kind = "duty"
limit = 0.1
[faults]
kind = "independent"
hand_off = 0.2
recovery = "neighbour"
"""
    read = tj.Network.from_toml(write(tmp_path, text))
    links, part = tj.network.links, tj.network
    between, radio = links.uniform(0.5, 1e3), links.uniform(0.25)
    made = tj.Network(
        loss=0.1,
        outage=0,
        waiting="neighbours",
        contention=True,
        links=links.server(1, 5e6, peers=links.sites([3, 2], wireless=[1], between=between, radio=radio)),
        machines=part.machines.stragglers(share=0.5),
        presence=part.presence.epochs(away=0.25, length=3),
        activation=part.activation.duty(limit=0.1),
        faults=part.faults.independent(hand_off=0.2, recovery="neighbour"),
    )
    assert jax.tree.structure(read) == jax.tree.structure(made)
    jax.tree.map(np.testing.assert_array_equal, read, made)


MADE = [
    ("links", "uniform", "latency = 0.1"),
    ("links", "preferred", 'topology = "ring"\ntau = 3'),
    ("links", "sites", "sizes = [2]"),
    ("links", "plane", "pace = 2"),
    ("links", "server", ""),
    ("machines", "constant", "seconds = 2"),
    ("machines", "lognormal", "fixed = false"),
    ("machines", "stragglers", ""),
    ("presence", "epochs", "away = 0.1"),
    ("presence", "markov", "leave = 0.1\nback = 0.2"),
    ("activation", "uniform", ""),
    ("activation", "weighted", "weights = [1, 2.5]"),
    ("activation", "weighted", 'weights = "speed"'),
    ("activation", "shuffled_epochs", "seed = 3"),
    ("activation", "duty", "limit = 0.5"),
    ("activation", "adaptive", ""),
    ("faults", "independent", "failure = 0.1"),
    ("adversary", "sign_flip", "share = 0.1"),
    ("adversary", "inner_product", "tau = 2\nnodes = [1, 3]"),
    ("adversary", "little_is_enough", "share = 0.1\nseed = 3"),
    ("adversary", "mimic", "row = 1\nshare = 0.1"),
    ("adversary", "gaussian", "scale = 2\nshare = 0.1"),
    ("adversary", "zero", "share = 0.1"),
    ("adversary", "label_flip", "share = 0.1"),
]


@pytest.mark.parametrize(("part", "kind", "keys"), MADE)
def test_every_kind_can_be_written(part: str, kind: str, keys: str, tmp_path: Path) -> None:
    made = getattr(tj.Network.from_toml(write(tmp_path, f'[{part}]\nkind = "{kind}"\n{keys}\n')), part)
    assert (made is None) == (kind == "uniform" and part == "activation")


def test_no_kind_is_left_out() -> None:
    from_csv = {("links", "csv"), ("machines", "csv"), ("presence", "trace")}
    assert {(part, kind) for part, kinds in FACTORIES.items() for kind in kinds} == from_csv | {
        (part, kind) for part, kind, _ in MADE
    }
    own = [one for one in vars(tj.attacks).values() if getattr(one, "__module__", "") == tj.attacks.__name__]
    assert {*FACTORIES["adversary"]} == {one.__name__ for one in own if one.__name__[0].islower()}
    for part, kinds in FACTORIES.items():
        if part == "adversary":  # whose kinds are those of its attack
            continue
        module = getattr(tj.network, part)
        assert all(getattr(module, "from_csv" if kind == "csv" else kind) is make for kind, make in kinds.items())


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "links.csv").write_text("sender,receiver,latency,bandwidth\n0,1,0.5,10\n1,0,0.25,10\n")
    (tmp_path / "machines.csv").write_text("node,seconds\n0,1\n1,3\n")
    (tmp_path / "spells.csv").write_text("node,up,down\n0,0,10\n1,5,8\n")
    text = '[links]\nkind = "csv"\npath = "data/links.csv"\n[machines]\nkind = "csv"\npath = "machines.csv"\n'
    file = write(tmp_path, f'{text}[presence]\nkind = "trace"\npath = "spells.csv"\nperiod = 12\n')
    monkeypatch.chdir(tmp_path.parent)
    network = tj.Network.from_toml(file)
    assert float(network.links.takes(jnp.int32(1), jnp.int32(0), 10)) == 1.25
    assert network.machines.seconds.tolist() == [1, 3]
    np.testing.assert_allclose(network.presence.availability(), [10 / 12, 3 / 12])


@pytest.mark.parametrize("file", EXAMPLES, ids=[file.stem for file in EXAMPLES])
def test_examples_are_networks(file: Path) -> None:
    network = tj.Network.from_toml(file)
    assert network.timed and network.bind(60).nodes == 60


def test_examples_are_there() -> None:
    assert [file.stem for file in EXAMPLES] == ["branches", "factories", "phones"]


SITES = "[links]\nkind = 'sites'\nsizes = [1]\n"
BAD = [
    ("[network]\nloss = 2", "line 2, [network] loss: loss is 2; give a probability from 0 to 1"),
    ("[network]\nlos = 2", "line 2, [network] los: unknown key of [network] 'los'; did you mean 'loss'?"),
    ("[network]\nload = 2", "line 2, [network] load: unknown key of [network] 'load'"),
    ("[network]\nwaiting = 'barier'", "line 2, [network] waiting: unknown waiting 'barier'; did you mean 'barrier'?"),
    ("[network]\ncontention = true", "line 2, [network] contention: contention is True, and there are no links"),
    ("# sites\n[link]", "line 2, [link]: unknown table of a network 'link'; did you mean 'links'?"),
    ("loss = 0.1", "line 1, loss: unknown table of a network 'loss'"),
    ("links = 3", 'line 1, [links] is 3; give one table [links] with kind = "uniform"'),
    ("[[links]]\nkind = 'uniform'", "line 1, [links] is [{'kind': 'uniform'}]; give one table [links]"),
    ("\n[links]\nlatency = 1", "line 2, [links] has no kind; give kind = one of uniform, preferred"),
    ("[links]\nkind = 'unifrom'", "line 2, [links] kind: unknown kind of links 'unifrom'; did you mean 'uniform'?"),
    ("[links]\nkind = ['csv']", "line 2, [links] kind: unknown kind of links ['csv']"),
    (
        "[links]\nkind = 'uniform'\nlatncy = 1",
        "line 3, [links] latncy: unknown key of links of kind 'uniform' 'latncy'",
    ),
    ("[links]\nkind = 'uniform'\nlatency = -1", "line 3, [links] latency: latency is -1; give a number of at least 0"),
    ("[links]\nkind = 'uniform'\nlatency = 1979-05-27", "line 3, [links] latency: latency is datetime.date"),
    ("[links]\nkind = 'preferred'", "line 1, [links] of kind 'preferred' needs topology; give it"),
    ("[links]\nkind = 'preferred'\ntopology = 'rign'", "line 3, [links] topology: unknown topology 'rign'"),
    ("[links]\nkind = 'sites'\nsizes = [\n    1,\n    0,\n]", "line 3, [links] sizes: sizes[1] is 0; give an integer"),
    (f"{SITES}[links.between]\nbandwith = 1", "line 5, [links.between] bandwith: unknown key of links.between of kind"),
    (
        f"{SITES}within = {{latency = 'x'}}",
        "line 4, [links.within] latency: latency is 'x'; give a number of at least 0",
    ),
    (f"{SITES}within.latency = -1", "line 4, [links.within] latency: latency is -1; give a number of at least 0"),
    (f"{SITES}radio = 3", "line 4, [links.radio] is 3; give one table [links.radio]"),
    ("[links]\nkind = 'server'\n[links.peers]\nlatency = 1", "line 3, [links.peers] has no kind; give kind = one of"),
    (
        "[links]\nkind = 'csv'\npath = 'no.csv'",
        "no.csv', which cannot be read: No such file or directory; give the path of a CSV",
    ),
    ("[links]\nkind = 'csv'\npath = 3", "line 3, [links] path: path is 3; give the path of a CSV file"),
    ("[presence]\nkind = 'epochs'\naway = true", "line 3, [presence] away: away is True; give a number"),
    (
        "[presence]\nkind = 'trace'\npath = 'ok.csv'",
        "line 1, [presence]: presence is a trace, in seconds, and the network",
    ),
    ("[presence]\nkind = 'trace'\npath = 'bad.csv'", "line 3: down is 2.0 and up 5.0; give a later down"),
    ("[activation]\nkind = 'weighted'\nweights = 'sped'", "line 3, [activation] weights: unknown weights 'sped'"),
    ("[faults]\nkind = 'independent'\nrecovery = 'lots'", "line 3, [faults] recovery: unknown recovery 'lots'"),
    ("[network]\nloss = 0.1\nloss = 0.2", "is not TOML: Cannot overwrite a value (at "),
    ("[network\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ok.csv").write_text("node,up,down\n0,0,10\n")
    (tmp_path / "bad.csv").write_text("node,up,down\n0,0,10\n1,5,2\n")
    file = write(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        tj.Network.from_toml(file)
    assert str(caught.value).startswith(str(file))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "no.toml", "which cannot be read: No such file or directory; give a TOML file"),
        (tmp_path, "which cannot be read: it is no regular file"),
        (3, "path is 3; give the path of a TOML file"),
    ):
        with pytest.raises(ValueError, match=message):
            tj.Network.from_toml(path)  # type: ignore[arg-type]


def present(trace: Trace, node: int, whole: int, rest: float = 0.0) -> bool:
    now = Moment(jnp.int32(0), jnp.int32(whole), jnp.float32(rest))
    return bool(jax.jit(trace.present)(World(), jnp.int32(node), now))


@pytest.mark.slow
def test_a_trace_of_unix_times_begins_with_its_first_spell(tmp_path: Path) -> None:
    file = write(tmp_path, "node,up,down\n0,1700000000,1700000060\n1,1700000030.5,1700000100\n")
    trace = tj.network.presence.trace(file)
    assert [present(trace, 0, second) for second in (0, 59, 60, 99, 100, 159, 160)] == [1, 1, 0, 0, 1, 1, 0]
    assert [present(trace, 1, 30, rest) for rest in (0.25, 0.5)] == [False, True]
    np.testing.assert_allclose(trace.availability(), [0.6, 0.695])


@pytest.mark.slow
def test_seconds_of_a_year_stay_apart(tmp_path: Path) -> None:
    day, year = 86400, 365 * 86400
    file = write(tmp_path, "node,up,down\n" + "".join(f"0,{n * day},{n * day + 1}\n" for n in range(365)))
    trace = tj.network.presence.trace(file, period=year)
    for begins in (0, 364 * day, 20 * year, 60 * year + 7 * day):
        assert [present(trace, 0, begins + late, 0.75) for late in (0, 1, day - 1)] == [True, False, False]
