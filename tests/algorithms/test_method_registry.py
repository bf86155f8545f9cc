"""The one list of methods, and what is made by name from it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optax
import polars as pl
import pytest

import telejax as tj
from telejax import cli
from telejax.algorithms import registry
from telejax.backend import factories
from telejax.errors import check_name

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)

OWN = """
import optax
import telejax as tj

def dsgd(optimizer, topology: str = "path"):
    return tj.decentralized_sgd(topology=topology, optimizer=optimizer)

def few(*, optimizer, active: int, travels: bool = True, untyped=0):
    return tj.teleportation(active=active, topology="ring", optimizer=optimizer, state_travels=travels)

def three(optimizer):
    return 3

def problem(nodes: int, heterogeneity: float = 1.0, dim: int = 5):
    return tj.tasks.quadratic(nodes=nodes, dim=dim, heterogeneity=heterogeneity, noise=0.5)

def decayed(learning_rate: float, decay: float = 0.0):
    return optax.chain(optax.add_decayed_weights(decay), optax.sgd(learning_rate))

constant = 3
"""


IDLE = """
def idle(optimizer, active: int = 2):
    return tj.teleportation(active=active, topology="ring", optimizer=optimizer)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's in the working directory."""
    (tmp_path / "own_things.py").write_text(OWN + IDLE)
    (tmp_path / "own_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield tmp_path
    sys.modules.pop("own_things", None)


def test_the_root_package_has_every_method_and_its_stub_is_what_the_registry_writes():
    for method in registry.METHODS:
        assert getattr(tj, method.name) is method.factory
    stub = Path(tj.__file__).with_suffix(".pyi").read_text()
    assert registry.stub(stub) == stub, "run python -m telejax.algorithms.registry"


def test_a_new_line_is_a_line_of_the_stub_and_a_removed_one_leaves_it(monkeypatch):
    stub = Path(tj.__file__).with_suffix(".pyi").read_text()
    new = registry.Method("my_method", "my_file")
    monkeypatch.setattr(registry, "METHODS", (*registry.METHODS[1:], new))
    lines = registry.stub(stub).splitlines()
    assert "from .algorithms.my_file import my_method as my_method" in lines
    assert not any("all_reduce" in line for line in lines)
    assert {line for line in stub.splitlines() if "all_reduce" not in line} < {*lines}


def test_every_file_with_a_method_is_in_the_registry():
    rooms = Path(registry.__file__).parent.glob("*.py")
    helpers = {"__init__", "base", "graphs", "joint", "local", "parts", "registry"}
    assert {room.stem for room in rooms} - helpers == {method.file for method in registry.METHODS}


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_name_makes_its_method(name):
    full, factory, fixes = registry.find(name)
    made = registry.build(name, SGD, workers=3)
    takes = factories.parameters(factory)
    workers = [one for one in registry.WORKERS if one in takes]
    assert full in [method.name for method in registry.METHODS]
    assert made.bind(tj.tasks.quadratic(nodes=8)).slots(8) == (fixes.get(*workers, 3) if workers else 8)
    with pytest.raises(ValueError, match="with nothing after" if "topology" in takes else "topology; leave / out"):
        registry.build(f"{name}/", SGD, workers=3)
    if "topology" not in takes:
        with pytest.raises(ValueError, match="takes no topology; leave /ring out"):
            registry.build(f"{name}/ring", SGD, workers=3)


def test_neither_a_mistyped_method_nor_a_graph_imports_jax():
    script = """
import sys
from telejax import cli
assert cli.main(["compare", "--methods", "dsdg/ring"]) == 2
assert cli.main(["compare", "--optimizer", "adm"]) == 2
import telejax
assert telejax.topology.table(8, ["ring", "epidemic", "ou_equidyn", "random_matching"]).height == 4
assert "jax" not in sys.modules and "optax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("own_things:dsgd", "DSGD path"),
        ("own_things:dsgd/ring", "DSGD ring"),
        ("own_things:few", "TELEPORTATION ring k=5"),
        ("own_things:few:active=2,travels=false", "TELEPORTATION ring k=2"),
        ("fedavg:local_steps=3,clients=2", "FedAvg k=2, 3 local"),
        ("teleportation:active=2/base:degree=1", "TELEPORTATION base_graph:degree=1 k=2"),
        ("telejax:auto/ring", "TELEPORTATION ring k=auto"),
        ("dsgd:topology=torus", "DSGD torus"),
        ("teleportation:active=2,topology=path", "TELEPORTATION path k=2"),
        ("tokens/torus", "5 tokens on torus"),
        ("gossip_pairs", "gossip of pairs on ring"),
        ("gossip_pairs:topology=complete", "gossip of pairs on complete"),
    ],
)
def test_methods_of_ones_own_and_their_parameters(spec, name, own):
    registry.check_spec(spec)
    assert registry.build(spec, SGD, workers=5).name == name


def test_workers_that_are_asked_for_are_those_of_ones_own_method_too(own):
    built = [registry.build("own_things:idle", SGD, workers=5, asked=asked).name for asked in (False, True)]
    assert built == ["TELEPORTATION ring k=2", "TELEPORTATION ring k=5"]
    assert registry.takes_workers("own_things:idle")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dsdg/ring", "unknown method 'dsdg'; did you mean 'dsgd'"),
        ("own_things:nothing", "method is 'own_things:nothing', and module 'own_things' has no 'nothing'"),
        ("nowhere_at_all:method", "there is no module 'nowhere_at_all'; run where Python can import it"),
        ("own_broken:method", "whose module cannot be imported: ZeroDivisionError"),
        ("own_things:constant", "which is 3; give a function that makes a method"),
        ("own_things:three", "which made 3; let it return an algorithm"),
        ("own_things:few:untyped=3", "'untyped' is a parameter .* annotate it, as in untyped: float"),
        ("own_things:few:travels=perhaps", "travels of method own_things:few is 'perhaps'; give true or false"),
        ("own_things:few:actve=3", "unknown parameter of method own_things:few 'actve'; did you mean 'active'"),
        ("own_things:problem", "which needs nodes; write own_things:problem:nodes=..."),
        ("fedavg:local_steps=two", "local_steps of method fedavg is 'two'; give an integer"),
        ("fedavg:local_steps=0", "local_steps is 0"),
        ("teleportation/rign", "unknown topology 'rign'"),
        ("teleportation:topology=rign", "unknown topology 'rign'"),
        ("dsgd:topology=torus/ring", "gives the topologies 'torus' and 'ring'; leave one of them out"),
        ("dsgd/ring:local_steps=2", "local_steps=2 is a parameter of dsgd, .*; write dsgd:local_steps=2/ring"),
        ("fedavg:local_steps=2/ring", "takes no topology; leave /ring out"),
        ("all-reduce:local_steps=2", "'local_steps' is no parameter of method all-reduce, .*; leave it out"),
    ],
)
def test_what_cannot_be_made_is_told_by_name(spec, message, own):
    with pytest.raises(ValueError, match=message):
        registry.build(spec, SGD, workers=5)


@pytest.mark.slow
def test_a_command_takes_a_task_a_method_and_an_optimizer_of_ones_own(own, capsys):
    arguments = "--nodes 6 --rounds 6 --eval-every 3 --seeds 1 --no-progress --learning-rates 0.1 0.2 --out out"
    arguments += " --task own_things:problem:dim=3 --heterogeneity 2 --optimizer own_things:decayed:decay=0.5"
    arguments += " --methods own_things:dsgd/ring fedavg:clients=2"
    assert cli.main(["compare", *arguments.split()]) == 0
    rows = pl.read_parquet("out/history.parquet")
    task = tj.tasks.quadratic(nodes=6, dim=3, heterogeneity=2.0, noise=0.5)
    sgd = tj.optimizer(
        lambda learning_rate: optax.chain(optax.add_decayed_weights(0.5), optax.sgd(learning_rate)), learning_rate=0.1
    )
    alone = tj.simulate(
        tj.decentralized_sgd(topology="ring", optimizer=sgd), task, rounds=6, eval_every=3, progress=False
    )
    mine = rows.filter((pl.col("method") == "DSGD ring") & (pl.col("learning_rate") == 0.1))
    assert mine["loss"].to_list() == pytest.approx(alone.history["loss"].to_list(), rel=1e-5)  # float32, other program


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "foo"], "--task is 'foo'; give package.module:name"),
        (["--task", "own_things:problem:dims=3"], "unknown parameter of task .* did you mean 'dim'"),
        (["--task", "own_things:few"], "--task is 'own_things:few', which needs optimizer; write"),
        (["--task", "own_things:decayed:learning_rate=1"], "was not called|no nodes"),
        (["--optimizer", "adm"], "unknown optimizer 'adm'; did you mean 'adam'"),
        (["--optimizer", "adam", "--momentum", "0.5"], "--momentum is 0.5 and --optimizer adam; leave it out"),
        (["--optimizer", "adam:b1=x"], "b1 of optimizer adam is 'x'; give a number"),
    ],
)
def test_a_command_refuses_what_it_cannot_make(arguments, message, own, capsys):
    assert cli.main(["compare", "--nodes", "6", "--rounds", "2", "--seeds", "1", "--no-progress", *arguments]) == 2
    told = capsys.readouterr().err
    assert re.search(message, told), told


@pytest.mark.slow
def test_a_sweep_takes_them_too(own):
    spec = {
        "rounds": 4,
        "task": {"name": "own_things:problem", "nodes": 6, "heterogeneity": [1.0, 2.0]},
        "method": [
            {"name": "own_things:few", "active": 2, "travels": False},
            {"name": "token"},
        ],
        "optimizer": {"name": "own_things:decayed", "learning_rate": 0.1, "decay": [0.0, 0.5]},
    }
    table = tj.sweep(spec, own / "out", progress=False).table
    assert table["status"].unique().to_list() == ["finished"]
    assert sorted(table["method"].unique()) == ["own_things:few", "random_walk"]
    assert table.filter(pl.col("method") == "random_walk")["tokens"].unique().to_list() == [1]
    assert table.filter(round=4)["loss"].n_unique() == table.filter(round=4).height == 8  # every number took part
    for part, message in (
        (
            {"method": {"name": "token", "tokens": 2}},
            r"tokens is 2, which token fixes; leave it out, or give random_walk",
        ),
        ({"method": {"name": "own_things:nothing"}}, r"\[method\] name: method is .* has no 'nothing'"),
        ({"optimizer": {"name": "own_things:decayed"}}, "own_things:decayed needs learning_rate"),
        ({"task": {"name": "own_things:problem", "nodes": "many"}}, r"\[task\] nodes is 'many'; give an integer"),
    ):
        with pytest.raises(ValueError, match=message):
            tj.sweep({**spec, **part}, own / "other", progress=False)


@pytest.mark.slow
def test_the_grid_of_a_method_is_tuned_where_it_is_compared(monkeypatch):
    """As if TELEPORTATION had its optimizer's momentum as a number of its own."""
    lines = [
        replace(one, grid={"momentum": (0.0, 0.5)}) if one.name == "teleportation" else one for one in registry.METHODS
    ]
    monkeypatch.setattr(registry, "_BY_NAME", {one.name: (one, {}) for one in lines})
    tune = {"learning_rate": [0.1], **registry.grid(["teleportation/ring", "fedavg", "own_things:dsgd"])}
    assert tune == {"learning_rate": [0.1], "momentum": (0.0, 0.5)}
    heavy = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    methods = [registry.build("teleportation/ring", heavy, workers=2), tj.random_walk(optimizer=SGD)]
    both = tj.compare(methods, tj.tasks.quadratic(nodes=6), rounds=4, tune=tune, seeds=1, progress=False)
    table = both.table()
    assert table["momentum"].to_list()[0] in (0.0, 0.5) and table["momentum"].to_list()[1] is None
    assert both.config["tune"] == {"learning_rate": [0.1], "momentum": [0.0, 0.5]}
    both.__rich__()
    with pytest.raises(ValueError, match="unknown number in tune 'mometum'; did you mean 'momentum'"):
        tj.compare(methods, tj.tasks.quadratic(nodes=6), rounds=4, tune={"mometum": [0.1]}, progress=False)


def test_names_are_those_of_the_field():
    check_name("method", "decentralized_sgd", registry.NAMES)
    assert [method.name for method in registry.METHODS] == sorted(method.name for method in registry.METHODS)
