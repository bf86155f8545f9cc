"""Wrong kinds and values are refused where they enter, by argument, value and remedy, before anything is compiled.

``ARGUMENTS`` has a line for each argument of a public function: values that it refuses, and what the answer must hold
beside its name and the value. What algorithms, tasks and metrics of a user's own break is in ``test_bad_contract.py``.
"""

import itertools
import json
import numbers
import os
import pickle
import re
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial, reduce
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
import polars as pl
import pytest
from flax import nnx
from matplotlib.figure import Figure
from picture_files import idx_bytes, write_cifar, write_mnist
from refusals import ReachedCompilation, check
from scipy import sparse

import telejax as tj
from telejax import advice, data, models, plots, tasks, theory, topology
from telejax import network as net
from telejax.algorithms import registry
from telejax.algorithms.joint import joint_teleportation
from telejax.algorithms.local import corrected
from telejax.cli import main
from telejax.errors import short
from telejax.optimizers import decayed_sgd
from telejax.simulation.start import check_order

NAN, INF = float("nan"), float("inf")
COUNTS = [0, 2.5, "8", True, NAN, [8]]
NUMBERS = ["0.1", True, NAN, INF, -1.0, 1j, [0.1]]
FRACTIONS = [*NUMBERS, 1.5]
SEEDS = [-1, 0.5, "0", True, None]
FLAGS = ["no", 1, None]
COUNT, NUMBER, POSITIVE = "give an integer of at least 1", "give a finite number of at least 0", "number above 0"
PROBABILITY, WHOLE_SHARE, INTEGER = (
    "give a probability from 0 to 1, or None",
    "give a number of at least 0 and at most 1",
    "give an integer",
)
DURATION, SPREAD = "give a number of at least 0 and at most 2.14748e+09", "give a number of at least 0 and at most 20"
SLOWER = "give a finite number of at least 1"
GIVE_LINKS = "telejax.network.links.uniform(latency, bandwidth)"
SEED, FLAG, PLATE = "give an integer of at least 0", "give True or False", "give a Topology"
TEXT, KEY, OPTIMIZER = "give a text", "give a key", "give telejax.optimizer(optax.sgd, learning_rate=0.1)"
LIST_OF_K = "give a list of at least one number of active nodes"
LABELS_GIVE, FOLDER, SPEC = (
    "give the integer class, from 0",
    "give the path of a folder",
    "give the path of a TOML file",
)

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
QUADRATIC = tasks.quadratic(nodes=8, dim=3)
DSGD = tj.decentralized_sgd(topology="ring", optimizer=SGD)
MOMENTUM = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.5))


def method(name: str, **options: Any) -> Any:
    return getattr(tj, name)(topology="ring", optimizer=SGD, **options)


JOINT = joint_teleportation(active=[1, 2], topology="ring", optimizer=SGD)
RING = topology.ring(4)
MIXING = RING.mixing()
PAIRS = np.full((2, 2), 0.5)
IMAGES, LABELS = np.zeros((40, 8, 8, 1), np.float32), np.arange(40) % 4
DATA = data.from_arrays((IMAGES, LABELS), (IMAGES, LABELS))
TABLE = data.iid(LABELS, 4)
BATCH = jnp.zeros((2, 8, 8, 1))
SLOTS = jnp.ones((2, 3))
KEY_0 = jax.random.key(0)
HISTORY = pl.DataFrame({"round": [0], "group": [0], "active": [8], "loss": [1.0], "name": ["x"]})
BANDS = pl.DataFrame({"round": [0], "mean": [1.0], "low": [1.0], "high": [1.0]})
RUN = tj.Result(HISTORY.drop("name").with_columns(seed=0, learning_rate=0.1, diverged=False), {}, {})


class Empty:
    """An executor that answers with nothing."""

    def submit(self, *given: Any) -> None:
        """Nothing is done."""


FINISHED = ThreadPoolExecutor(1)
FINISHED.shutdown()
PROBLEM = theory.ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
RAGGED = [[1], [1, 2]]
SECONDS = np.ones((2, 2))
CSV_READERS = net.links.from_csv, net.machines.from_csv, net.presence.trace


def model(outputs: Callable[[Any], Any], dense: bool = True) -> nn.Module:
    """A model of other outputs."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            flat = inputs.reshape(len(inputs), -1)
            return outputs(nn.Dense(4)(flat) if dense else flat[:, :4])

    return Model()


class Rude:
    """What answers every question with an error of its own."""

    def _answer(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("rude")

    __float__ = __abs__ = __iter__ = __len__ = __str__ = __repr__ = __array__ = __fspath__ = __getattr__ = _answer


numbers.Real.register(Rude)


class Dead:
    """What a weak reference to something deleted is like: it does not even tell its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise ReferenceError


class Stubborn:
    """What is called and asked for attributes in vain."""

    def _answer(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("stubborn")

    __call__ = __repr__ = __getattr__ = _answer


class Willing:
    """What has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self


class Letters(str):
    """A text that cannot be shown."""

    def __repr__(self) -> str:
        raise KeyError("no repr")


OVERRIDDEN = (
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "hash",
    "iter",
    "len",
    "bool",
    "contains",
    "getitem",
    "int",
    "float",
    "abs",
)


def own(value: Any) -> Any:
    """The value as one of a subclass of a user's, all of whose methods fail, with a repr."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("own")

    kind = type(value)
    names = [f"__{name}__" for name in OVERRIDDEN] + ["items", "keys", "values", "strip", "partition"]
    told = repr(value)
    methods = {name: fail for name in names if hasattr(kind, name)} | {"__repr__": lambda _: told}
    return type(f"Own{kind.__name__}", (kind,), methods)(value)


class Posing:
    """What says that it is of another class."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return vars(self)["kind"]  # type: ignore[no-any-return]


def deleted(array: Any) -> Any:
    """An array of jax whose numbers are gone."""
    copy = jnp.array(array, copy=True)
    copy.delete()
    return copy


def deep(levels: int = 3000) -> Any:
    """A pytree that is nested deeper than jax goes."""
    return reduce(lambda inner, _: (inner,), range(levels), SLOTS)


class Task:
    """A quadratic with members of one's own."""

    def __init__(self, **members: Any) -> None:
        usual = {name: getattr(QUADRATIC, name) for name in ("nodes", "init", "loss", "evaluate")}
        self.__dict__.update({**usual, **members})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Odd:
    """A task that starts with what it is given."""

    started: Any = field(metadata={"static": True})
    nodes: int = field(default=8, metadata={"static": True})
    told: str = field(default="loss", metadata={"static": True})

    def init(self, key: Any) -> Any:
        return self.started

    def loss(self, params: Any, node: Any, key: Any) -> Any:
        return jnp.float32(0)

    def evaluate(self, params: Any) -> Any:
        return {self.told: jnp.float32(1)}


NO_FUNCTIONS = optax.GradientTransformation(1, 2)  # type: ignore[arg-type]
LINKS = np.array([[0.0, 1.0], [1.0, 0.0]])


class Bytes(os.PathLike[Any]):
    """A path in bytes."""

    def __fspath__(self) -> Any:
        return b"a"


class Dropping(nnx.Module):
    """An nnx model with a stream of random numbers."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.drop, self.dense = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(64, 4, rngs=rngs)

    def __call__(self, inputs):
        return self.drop(self.dense(inputs.reshape(len(inputs), -1)))


def local_update(key: Any, params: Any, holders: Any, task: Any, opt_state: Any = (), steps: Any = 1) -> Any:
    return tj.local_update(key, params, opt_state, holders, task, SGD, steps)


def stepping(**arguments: Any) -> Any:
    """A local update with a step of one's own."""
    opt_state = jax.vmap(SGD.build().init)(SLOTS)
    return tj.local_update(KEY_0, SLOTS, opt_state, jnp.array([0, 3]), QUADRATIC, SGD, **arguments)


def simulate(**arguments: Any) -> Any:
    return tj.simulate(**{"algorithm": DSGD, "task": QUADRATIC, "rounds": 3, "progress": False, **arguments})


def scaling(**arguments: Any) -> Any:
    asked = {"methods": [DSGD], "make_task": lambda nodes: tasks.quadratic(nodes=nodes), "nodes": [4, 8], "rounds": 3}
    return tj.scaling(**{**asked, "progress": False, **arguments})


def compare(**arguments: Any) -> Any:
    return tj.compare(**{"methods": [DSGD], "task": QUADRATIC, "rounds": 3, "progress": False, **arguments})


def search(**arguments: Any) -> Any:
    return tj.search(**{"task": QUADRATIC, "optimizer": SGD, "rounds": 3, "progress": False, **arguments})


def over(algorithm: Any = MOMENTUM, tune: Any = None, **parts: Any) -> Any:
    """A run on a network of these parts."""
    return simulate(algorithm=algorithm, tune=tune, network=tj.Network(**parts))


EVERY_PART: dict[str, Any] = {
    "loss": 0.1,
    "links": net.links.uniform(),
    "machines": net.machines.constant(),
    "presence": net.presence.epochs(0.1),
    "activation": net.activation.adaptive(),
    "faults": net.faults.independent(hand_off=0.1),
}


# the function with its other arguments: argument -> values that it refuses, words of the remedy
Refused = dict[str, tuple[list[Any], str]]
ARGUMENTS: list[tuple[Callable[..., Any], Refused]] = [
    (
        partial(tasks.quadratic, nodes=8),
        {
            "nodes": ([1, 2.5, "8", True, None, 2**31], "give a"),
            "dim": ([1, 8.0, "8", None], "give an integer of at least 2"),
            "heterogeneity": (NUMBERS, NUMBER),
            "noise": (NUMBERS, NUMBER),
            "spread": ([*NUMBERS, 1e5], "give a"),
            "distance_sq": (NUMBERS, NUMBER),
            "placement": (["x", None, 3], "give one of: shuffled, sorted"),
            "seed": ([*SEEDS, np.timedelta64(1, "s")], SEED),
        },
    ),
    (
        partial(tasks.quadratic, nodes=8),
        {"dim": ([10**10], "needs 640.0 GB and"), "noise": ([np.timedelta64(1, "s")], NUMBER)},
    ),
    (partial(tasks.quadratic, nodes=8), {"dim": ([10**400], "needs more than 10^15 GB and")}),
    (partial(tasks.koloskova_quadratic, nodes=8), {"dim": ([10**400], "needs more than 10^15 GB and")}),
    (partial(tasks.koloskova_quadratic, nodes=8), {"dim": ([10**10], "needs 1920.0 GB and")}),
    (
        partial(tasks.koloskova_quadratic, nodes=8),
        {
            "nodes": (COUNTS, COUNT),
            "dim": (COUNTS, COUNT),
            "heterogeneity": (["0.1", True, NAN], NUMBER),
            "noise": (["0.1", True, NAN], NUMBER),
            "seed": (SEEDS, SEED),
        },
    ),
    (
        tasks.digits,
        {"nodes": ([0, 2.5, "8", 10**9], "e"), "batch": ([2**31, 10**9, 10**400], "GB are free; give fewer samples")},
    ),
    (
        partial(tasks.classification, data=DATA, nodes=4),
        {
            "data": ([(IMAGES, LABELS), None, "digits", data.digits], "give a data set, such as telejax.data.digits()"),
            "nodes": (COUNTS, COUNT),
            "alpha": ([0, "0.1", True, NAN], POSITIVE),
            "placement": (["x", 3], "give one of: shuffled, sorted"),
            "model": ([None, 3], "give a name (mlp, logistic, lenet, vgg), a flax.linen module"),
            "batch": (COUNTS, COUNT),
            "augment": ([3], "give one of crop, flip, crop+flip or a function"),
            "evaluated": ([0, 1.5, True], COUNT),
            "node_batch": (["x", 0, 1.5, True], "give an integer of at least 1, "),
            "seed": (SEEDS, SEED),
        },
    ),
    (
        partial(tasks.classification, data=DATA),
        {"partition": (["x", RAGGED, [["a"]], 3, [[0.5]]], "give integers of shape (nodes, samples")},
    ),
    (data.digits, {"seed": (SEEDS, SEED)}),
    (
        partial(data.synthetic, 10),
        {
            "classes": ([*COUNTS, 1], "give an integer from 2 to"),
            "features": (COUNTS, COUNT),
            "clusters": (COUNTS, COUNT),
            "spread": ([*NUMBERS, 0], POSITIVE),
            "seed": (SEEDS, SEED),
        },
    ),
    (
        data.synthetic,
        {"samples": ([0, 2.5, "8", True], COUNT), "labels": ([3, [0.5], [[1]], ["a"]], "from 0 to 9")},
    ),
    (partial(data.synthetic, 10), {"test_labels": ([3, [0.5], []], "from 0 to 9")}),
    (data.fashion_mnist, {"data_dir": ([3, True, ["a"], ""], FOLDER)}),
    (data.cifar10, {"data_dir": ([3, ""], FOLDER)}),
    (
        partial(data.from_arrays, (IMAGES, LABELS), (IMAGES, LABELS)),
        {
            "name": ([3, None], TEXT),
            "validation": ([0, 2.5, "8", True], COUNT),
            "normalise": (FLAGS, FLAG),
            "seed": (SEEDS, SEED),
        },
    ),
    (
        partial(data.from_arrays, test=(IMAGES, LABELS)),
        {
            "train": ([None, 3, (IMAGES,), "ab", IMAGES], "give a pair of arrays, (inputs, labels)"),
        },
    ),
    *(
        (partial(function, labels=LABELS, nodes=4), {"labels": (values, LABELS_GIVE), "seed": (SEEDS, SEED)})
        for function in (
            data.iid,
            partial(data.dirichlet, alpha=0.1),
            partial(data.dirichlet_free, alpha=0.1),
            data.shards,
        )
        for values in [[None, "abc", 3, [0.5], [[0, 1], [1, 0]], [], RAGGED, ["a", "b"], [-1]]]
    ),
    (partial(data.iid, LABELS), {"nodes": (COUNTS, COUNT)}),
    (partial(data.dirichlet, LABELS, 4), {"alpha": ([*NUMBERS, 0], POSITIVE)}),
    (partial(data.dirichlet_free, LABELS, 4, 0.1), {"at_least": (COUNTS, COUNT)}),
    (partial(data.shards, LABELS, 4), {"shards_per_node": (COUNTS, COUNT)}),
    (
        partial(data.by_assignment, owners=LABELS),
        {"owners": ([None, 3, [], RAGGED, [None, 1], [0.5, NAN]], "give one owner for each"), "seed": (SEEDS, SEED)},
    ),
    (
        partial(data.label_counts, table=TABLE, labels=LABELS, classes=4),
        {
            "table": (
                [None, "x", [1], [[99]], [[0.5]], np.zeros((0, 3), int)],
                "give integers of shape (nodes, samples of a node)",
            ),
            "labels": ([None, "x", []], LABELS_GIVE),
            "classes": ([*COUNTS, 3], "give a"),
        },
    ),
    (
        partial(tj.plots.plot_partition, table=TABLE, labels=LABELS),
        {
            "names": (["x", 3, ["a"], [[1], RAGGED, 1, 1]], "give a"),
            "table": ([None, [1]], "give integers"),
            "labels": ([None], "give the"),
        },
    ),
    (
        partial(tj.plots.plot_histories, metric="loss", histories={"a": HISTORY}),
        {
            "histories": ([1, None, "x", HISTORY], "give a mapping of labels to histories"),
            "metric": (["kept", None, 1], "give one of"),
            "x": (["kept", None, 1], "give one of"),
            "axes": ([1, "x"], "give matplotlib axes"),
            "settings": ([1, "text", range(10**12), None], "give a list of names of columns"),
            "labels": ([1, "x", ["a"]], "give a mapping of columns to texts"),
            "log": (["x", 1], FLAG),
        },
    ),
    (
        partial(tj.plots.plot_bands, table=BANDS, x="round", metric="loss", lines=[]),
        {
            "table": ([0, None, HISTORY], "give a "),
            "x": (["kept", None], "give one of"),
            "metric": ([None, 3], TEXT),
            "lines": ([None, 3, "round"], "give a list of names of columns"),
        },
    ),
    (
        partial(tj.plots.draw_topology, topology=RING),
        {
            "topology": ([1, None, "ring", topology.Topology], PLATE),
            "round": (SEEDS, "give an integer from 0 to"),
            "axes": ([1], "give matplotlib axes"),
        },
    ),
    (
        partial(tj.plots.topology_sheet, topologies=[RING]),
        {
            "topologies": ([0, None, RING, "ring"], "give a list of Topology"),
            "columns": ([*COUNTS, None, 10**9], "give an integer from 1 to 100"),
            "rounds": ([*COUNTS, -1, None, 10**9], "give an integer from 1 to 1000"),
        },
    ),
    (tj.plots.figure_png, {"axes": ([1, None, "x"], "give matplotlib axes")}),
    (
        partial(tj.plots.figure_png, Figure().subplots()),
        {"dpi": ([2.5, 2, 10**12, 10**400, jnp.int32(20), "20", None, True], "give an integer from 10 to 1200")},
    ),
    (tj.plots.plot_search, {"found": ([1, None, "x", RING], "give what telejax.search returned")}),
    (
        partial(data.random_crop, key=KEY_0, images=BATCH),
        {
            "key": ([0, None], KEY),
            "images": ([None, jnp.zeros(3)], "give floats of"),
            "padding": ([-1, 2.5, "x"], SEED),
        },
    ),
    (
        partial(data.random_crop, KEY_0, BATCH),
        {
            "padding": ([2**33, 9], "give a few pixels"),
        },
    ),
    (partial(data.random_flip, key=KEY_0, images=BATCH), {"key": ([0], KEY), "images": ([None], "give floats of")}),
    (
        partial(tj.sample_distinct, KEY_0, nodes=8, count=2),
        {"nodes": ([*COUNTS, 2**31], "from 1 to 2147483647"), "count": (COUNTS, COUNT)},
    ),
    (partial(tj.sample_distinct, nodes=8, count=2), {"key": ([0, None, "x"], KEY)}),
    *((graph, {"nodes": ([0, 2.5, "8", True, None], COUNT)}) for graph in topology.NAMES.values()),
    *(
        (partial(topology.NAMES[name], 8), {"seed": ([*SEEDS, 2**32], "give an integer from 0 to 2^32 - 1")})
        for name in ("d_equistatic", "od_equidyn", "random_matching", "random_regular", "erdos_renyi", "small_world")
    ),
    *(
        (partial(topology.NAMES[name], 8), {"weights": (["x", None, 3], "give one of: fastest, lazy, max_degree")})
        for name in ("grid", "path", "star", "tree", "barbell", "random_regular", "erdos_renyi", "stochastic_block")
    ),
    (partial(topology.torus, 8), {"rows": ([0, "2", True, 3], "give a")}),
    (partial(topology.tree, 8), {"branching": (COUNTS, COUNT)}),
    (partial(topology.barbell, 8), {"clique": ([0, "2", True], COUNT)}),
    (partial(topology.base_graph, 8), {"degree": (COUNTS, COUNT)}),
    (partial(topology.d_equistatic, 8), {"m": ([0, "2", True], COUNT)}),
    (partial(topology.od_equidyn, 8), {"eta": (FRACTIONS, "give a number above 0 and at most 1")}),
    (partial(topology.erdos_renyi, 8), {"probability": (FRACTIONS, "give a number above 0 and at most 1")}),
    (partial(topology.stochastic_block, 8), {"inside": (FRACTIONS, "at most 1"), "bridges": (COUNTS, COUNT)}),
    (
        partial(topology.small_world, 8),
        {
            "degree": ([3, 8], "give an even degree"),
            "probability": (FRACTIONS, "give a number of at least 0 and at most 1"),
        },
    ),
    (partial(topology.random_walk, 8), {"graph": ([3, None, ["ring"]], PLATE)}),
    (
        partial(topology.resolve, topology="ring", nodes=8),
        {"topology": ([3, None, ["ring"], b"ring", len], PLATE), "nodes": (COUNTS, COUNT)},
    ),
    (partial(topology.from_spec, "ring"), {"nodes": (COUNTS, COUNT)}),
    (
        partial(topology.table, 4, names=["ring"]),
        {
            "names": (["ring", None, 3], "give a list of names"),
            "seed": (SEEDS, "give an integer from 0"),
            "tolerance": ([*NUMBERS, 0], POSITIVE),
        },
    ),
    (
        partial(topology.from_networkx, nx.path_graph(3)),
        {"name": ([3, None], TEXT), "weights": (["x", None], "give one of: fastest")},
    ),
    (topology.from_networkx, {"graph": ([None, 3, "x", np.eye(3), RING], "give a networkx graph")}),
    (partial(topology.from_matrix, PAIRS), {"connected": (FLAGS, FLAG), "name": ([3], TEXT)}),
    (partial(topology.directed, PAIRS), {"stochastic": (["x", None, "both"], "give one of: column, row")}),
    (partial(topology.directed, PAIRS, "row"), {"connected": (FLAGS, FLAG)}),
    (partial(topology.reweighted, weights="lazy"), {"topology": ([None, "ring", 3], PLATE)}),
    (partial(topology.permuted, order=[0]), {"topology": ([None, "ring"], PLATE)}),
    (partial(topology.permuted, RING), {"order": ([None, "x", [0, 1], RAGGED, 3], "give each of the integers 0 to 3")}),
    (topology.sequence, {"topologies": ([None, RING, "ring", 3], "give a list of at least one Topology")}),
    (partial(topology.resolve, "ring", 8), {"needs": ([None, "fixed", 3, topology.Needs], "give telejax.topology")}),
    (partial(topology.Topology.build, "x", RING.rounds), {"connected": (["yes", 1, None], FLAG)}),
    (
        partial(topology.stochastic_block, 8),
        {"bridges": ([10**12, 10**400], "GB are free; give fewer bridges or clusters")},
    ),
    (partial(topology.block_diagonal, [RING]), {"name": ([0, None, np.zeros(2)], TEXT)}),
    (topology.block_diagonal, {"topologies": ([None, RING, "ring", 3], "give a list of at least one Topology")}),
    (partial(topology.with_self_loops, weight=0.5), {"topology": ([None, "ring"], PLATE)}),
    (partial(topology.with_self_loops, RING), {"weight": ([*NUMBERS, 1.0], "give a number of at least 0 and below 1")}),
    (
        topology.Needs,
        {
            "stochastic": (["x", None], "give one of: both, column, row"),
            "fixed": (FLAGS, FLAG),
            "symmetric": (FLAGS, FLAG),
            "above": (["x", True, NAN, 1j], "give a finite number"),
        },
    ),
    *(
        (getattr(RING, name), {"round": (SEEDS, "give an integer from 0 to 2147483647")})
        for name in ("matrix", "sparse", "messages", "to_networkx", "draw")
    ),
    (RING.rounds_to_consensus, {"tolerance": ([*NUMBERS, 0], POSITIVE)}),
    (
        partial(tj.mix, mixing=MIXING, kept=jnp.ones(4)),
        {
            "mixing": ([None, "ring", RING], "give what topology.mixing() returns"),
            "round": (["x", 0.5, None, True, pl.Series([1]), np.timedelta64(1, "s"), np.zeros(2, int)], "give an int"),
        },
    ),
    (tj.neighbours, {"mixing": ([None, "ring", RING], "give what topology.mixing() returns")}),
    (partial(tj.neighbours, MIXING), {"round": (["x", 0.5, None, np.array(1, "m8[s]")], "give an integer")}),
    (tj.block_diagonal, {"parts": ([None, MIXING, "ring", 3], "give a list of at least one mixing")}),
    (partial(tj.bind_mixing, nodes=4), {"mixing": ([None, "ring", RING], "give what topology.mixing()")}),
    (partial(tj.bind_mixing, MIXING), {"nodes": (COUNTS, COUNT)}),
    (
        partial(tj.node_mixing, topology="ring"),
        {
            "topology": ([None, 3], PLATE),
            "stochastic": (["x", None], "give one of: both"),
            "fixed": (FLAGS, FLAG),
            "symmetric": (FLAGS, FLAG),
            "above": (["x", True, NAN, 1j], "give a finite number"),
        },
    ),
    (
        partial(tj.optimizer, optax.sgd, learning_rate=0.1),
        {
            "learning_rate": (NUMBERS, NUMBER),
            "momentum": ([*FRACTIONS, "x", 2, len, int, jnp.array(2.0), jnp.array(NAN), KEY_0], "from 0 to below 1"),
            "nesterov": (["x", 1, int, jnp.array(True)], FLAG),
        },
    ),
    (partial(tj.optimizer, learning_rate=0.1), {"factory": ([None, "sgd", 3], "give a function such as optax.sgd")}),
    (
        partial(tj.optimizer, optax.adam, learning_rate=0.1),
        {
            "b1": ([2, 1.0, "x", NAN], "from 0 to below 1"),
            "b2": ([2, 1.5], "below 1"),
            "eps": (["x", -1.0, NAN, None, len], NUMBER),
            "mu_dtype": ([int, np.bool_, "complex64", "U4", np.longdouble, 3], "give a type of floats with a sign"),
        },
    ),
    (
        partial(decayed_sgd, learning_rate=0.1),
        {
            "learning_rate": (NUMBERS, NUMBER),
            "momentum": (FRACTIONS, "from 0 to below 1"),
            "weight_decay": ([-1.0, INF, "x", 1j, int, str, list], NUMBER),
        },
    ),
    (partial(decayed_sgd, 0.1), {"weight_decay": ([len], "which fails for a step")}),
    (partial(tj.robust.from_spec, "spec"), {"spec": ([None, 3, ["mean"]], "give a rule as a text")}),
    (partial(tj.robust.from_spec, spec="median"), {"argument": ([None, 3], TEXT)}),
    (
        partial(net.links.uniform().takes, sender=0, receiver=1, size=1.0),
        {
            "sender": ([None, "x", 0.5, RAGGED], "give integers, the numbers of nodes"),
            "receiver": ([None, "x", 0.5, True], "give integers, the numbers of nodes"),
            "size": (["x", None, NAN, -1.0, 10**400], "give"),
        },
    ),
    (partial(tj.optimizer, optax.adamw, learning_rate=0.1), {"weight_decay": ([-1.0, INF, "x", None], NUMBER)}),
    (partial(tj.optimizer, optax.rmsprop, learning_rate=0.1), {"decay": ([2.0, "x"], "from 0 to below 1")}),
    *(
        (function, {"optimizer": ([None, "sgd", 3, 0.1], OPTIMIZER)})
        for function in (
            partial(tj.teleportation, active=4, topology="ring"),
            partial(tj.decentralized_sgd, topology="ring"),
            partial(tj.fedavg, clients=2),
            tj.random_walk,
            tj.all_reduce_sgd,
            tj.auto,
            search,
        )
    ),
    *(
        (partial(function, optimizer=SGD), {"topology": ([3, ["ring"], 0.5], PLATE)})
        for function in (partial(tj.teleportation, active=4), tj.decentralized_sgd, tj.random_walk, tj.auto, search)
    ),
    *(
        (partial(function, optimizer=SGD), {"state_travels": (FLAGS, FLAG)})
        for function in (
            partial(tj.teleportation, active=4, topology="ring"),
            partial(tj.fedavg, clients=2),
            partial(tj.joint_teleportation, active=[1, 2], topology="ring"),
            tj.auto,
            search,
        )
    ),
    (
        partial(tj.teleportation, topology="ring", optimizer=SGD),
        {"active": ([*COUNTS, "auto"], "use telejax.auto")},
    ),
    (partial(tj.teleportation, topology="ring", optimizer=SGD), {"active": ([5 * 10**9], "from 1 to 2147483647")}),
    (partial(tj.fedavg, optimizer=SGD, clients=2), {"clients": (COUNTS, COUNT), "local_steps": (COUNTS, COUNT)}),
    (partial(tj.fedavg, optimizer=SGD, clients=2), {"server_optimizer": ([0.1, "sgd", optax.sgd], OPTIMIZER)}),
    (tj.compression.TopK, {"share": ([*FRACTIONS, 0, 2.0], "give a number above 0 and at most 1")}),
    (partial(tj.compression.RandomK, unbiased=False), {"share": ([*FRACTIONS, 0], "above 0 and at most 1")}),
    (partial(tj.compression.RandomK, 0.5), {"unbiased": (FLAGS, FLAG)}),
    (partial(tj.compression.QSGD, unbiased=False), {"levels": ([*COUNTS, -1, 2**31], "from 1 to 16777216")}),
    (partial(tj.compression.QSGD, 4), {"unbiased": (FLAGS, FLAG)}),
    (tj.compression.Cast, {"dtype": (["int8", None, 3, "x"], "give a type of floats with a sign")}),
    (partial(replace, tj.compression.top_k(0.5)), {"share": ([NAN], "give a number above 0 and at most 1")}),
    (partial(tj.random_walk, optimizer=SGD), {"tokens": (COUNTS, COUNT)}),
    (partial(tj.joint_teleportation, topology="ring", optimizer=SGD), {"active": ([3, None, "x"], "give a list of")}),
    (
        partial(tj.auto, optimizer=SGD),
        {
            "candidates": ([3, "x"], LIST_OF_K),
            "objective": (["x", None, 3], "give one of: mean, slots"),
            "tolerance": (NUMBERS, NUMBER),
        },
    ),
    (
        simulate,
        {
            "progress": (FLAGS, FLAG),
            "seeds": ([10**9, 10**12, 10**400], "GB are free; give fewer seeds"),
            "checkpoint": (["a/" * 2000, "a/" * 400, "a" * 300], "longer than a path may be; give a new folder"),
            "metrics": ([np.array(3)], "give a list of telejax.Metric"),
            "tune": ([memoryview(b"ab"), jax.ShapeDtypeStruct((2,), "float32"), np.array(3)], "give a list of step"),
            "until": ([("loss", np.complex64(1)), ("loss", np.timedelta64(1, "s"))], "give a finite number to reach"),
            "devices": (["cpu:0", "cpu:x", "cpu:99", "foo:2", ":"], "e"),
        },
    ),
    (simulate, {"seed": ([2**32, 2**63], "give seeds of at most 4294967295")}),
    (
        compare,
        {
            "methods": ([DSGD, None, "dsgd", 3, {"a": DSGD}, QUADRATIC], "give a list of algorithms"),
            "task": ([None, 3, "x"], "give a task, such as telejax.tasks.quadratic(nodes=100)"),
            "tune": ([0.1, "x"], "give a list of step sizes"),
            "rounds": (COUNTS, COUNT),
            "seeds": ([0, 2.0, True, None, [1, 2]], COUNT),
            "seed": (SEEDS, SEED),
            "target": (["x", NAN, INF, True, np.complex64(1), 1j, np.longdouble("1e4000")], "give a finite number"),
            "progress": (FLAGS, FLAG),
        },
    ),
    (
        search,
        {
            "task": ([None, 3, "x"], "give a task, such as telejax.tasks.quadratic(nodes=100)"),
            "candidates": ([5, "x"], LIST_OF_K),
            "tune": ([0.1, "x", np.array(3)], "give a list of step sizes"),
            "rounds": (COUNTS, COUNT),
            "objective": (["x", None], "give one of: mean, slots"),
            "tolerance": (NUMBERS, NUMBER),
            "seeds": ([0, 2.0, True, None, [1, 2]], COUNT),
            "seed": (SEEDS, SEED),
            "skip": (FLAGS, FLAG),
            "eval_every": (COUNTS, COUNT),
        },
    ),
    (
        partial(theory.ProblemConstants, smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0),
        {
            "smoothness": ([*NUMBERS, 0], POSITIVE),
            "noise_sq": (NUMBERS, NUMBER),
            "heterogeneity_sq": (NUMBERS, NUMBER),
            "suboptimality": ([*NUMBERS, 0], POSITIVE),
        },
    ),
    (
        partial(theory.decentralized_sgd, problem=PROBLEM, nodes=4, rounds=9, p=0.5),
        {
            "problem": ([None, QUADRATIC, 3], "give telejax.theory.measure(task)"),
            "nodes": ([*COUNTS, 10**400], "give an integer from 1 to"),
            "rounds": ([*COUNTS, 10**400], "give an integer from 1 to"),
            "p": ([*FRACTIONS, 0, 5e-324], "give a consensus rate of at least 1e-100 and at most 1"),
            "tau": ([*COUNTS, 10**400], "give an integer from 1 to"),
        },
    ),
    (partial(theory.teleportation, PROBLEM, nodes=4, rounds=9, p=0.5), {"active": (COUNTS, COUNT)}),
    (
        partial(theory.bounds, problem=PROBLEM, nodes=4),
        {"gradients": (["x", 0, 2], "give at least 4, the gradients of one round")},
    ),
    (
        partial(theory.bounds, problem=PROBLEM, nodes=4, rounds=9),
        {"problem": ([None], "measure(task)"), "topology": ([3, None], PLATE), "candidates": ([5, "x"], LIST_OF_K)},
    ),
    (partial(theory.plot, PROBLEM), {"found": ([3, None], "give what telejax.search returned")}),
    (
        partial(theory.measure, QUADRATIC),
        {
            "minimum": (["x", NAN, True, None], "give a finite number"),
            "nodes": ([*COUNTS, 1], "give an integer of at least 2"),
            "draws": ([*COUNTS, 1, 10**12], "give an integer from 2 to"),
            "steps": ([*COUNTS, 10**12], "give an integer from 1 to"),
            "seed": ([*SEEDS, 2**64], "give an integer "),
        },
    ),
    (theory.measure, {"task": ([None, DSGD, 3], "give a task, such as telejax.tasks.quadratic(nodes=100)")}),
    (tj.load, {"path": ([None, 3, "", ["a"]], FOLDER)}),
    # networks
    (
        tj.Network,
        {
            "loss": (FRACTIONS, PROBABILITY),
            "outage": (FRACTIONS, PROBABILITY),
            "links": (
                [0.5, "uniform", net.links.uniform, net.machines.constant()],
                "links.uniform(latency, bandwidth)",
            ),
            "machines": ([1.0, "constant", net.links.uniform()], "machines.constant(seconds), or None"),
            "presence": ([0.5, "epochs", net.presence.epochs], "presence.epochs(away), or None"),
            "activation": ([0.5, "uniform"], "activation.shuffled_epochs(), or None"),
            "faults": ([0.5, "independent"], "faults.independent(failure=0.01), or None"),
            "waiting": (["all", None, True], "give one of: barrier, neighbours"),
            "contention": (FLAGS, FLAG),
        },
    ),
    (
        net.links.uniform,
        {"latency": ([*NUMBERS, None], DURATION), "bandwidth": ([*NUMBERS, 0, None], POSITIVE)},
    ),
    (
        partial(net.links.preferred, "ring"),
        {"cost": ([*NUMBERS, None], DURATION), "tau": ([*NUMBERS, None], NUMBER)},
    ),
    (net.links.preferred, {"topology": (["rign", None, 3], "")}),
    (
        partial(net.links.sites, [2, 3]),
        {
            "within": ([0.1, net.links.plane(), "x"], GIVE_LINKS),
            "between": ([0.1, net.links.plane(), "x"], GIVE_LINKS),
            "radio": ([0.1, net.links.plane(), "x"], GIVE_LINKS),
        },
    ),
    (net.links.sites, {"sizes": ([None, 3, "ab"], "give the nodes of each site, such as [12, 30]")}),
    (
        net.links.plane,
        {
            "latency": (NUMBERS, DURATION),
            "pace": (NUMBERS, DURATION),
            "bandwidth": ([*NUMBERS, 0], POSITIVE),
            "seed": ([*SEEDS, 2**32], INTEGER),
        },
    ),
    (
        net.links.server,
        {
            "latency": (NUMBERS, DURATION),
            "bandwidth": ([*NUMBERS, 0], POSITIVE),
            "peers": ([0.1, "x", net.machines.constant()], GIVE_LINKS),
        },
    ),
    (
        partial(net.links.table, bandwidth=SECONDS),
        {"latency": ([None, 3, "x", RAGGED, [1.0, 2.0], [[True]], [[1.0, 2.0]], []], "give an array (nodes, nodes)")},
    ),
    (
        partial(net.links.table, SECONDS),
        {"bandwidth": ([None, 3, "x", RAGGED, [1.0, 2.0], [[True]]], "give an array (nodes, nodes)")},
    ),
    (
        partial(net.links.table, SECONDS, SECONDS),
        {
            "uplink": (
                [[1.0], [[1.0, 1.0]], ["a", "b"], 3],
                "give 2 finite numbers above 0",
            )
        },
    ),
    (net.machines.constant, {"seconds": ([*NUMBERS, None, 3e9], DURATION)}),
    (
        net.machines.lognormal,
        {
            "median": (NUMBERS, DURATION),
            "sigma": ([*NUMBERS, 21], SPREAD),
            "fixed": (FLAGS, FLAG),
            "seed": (SEEDS, INTEGER),
        },
    ),
    (
        net.machines.stragglers,
        {
            "seconds": (NUMBERS, DURATION),
            "share": (FRACTIONS, WHOLE_SHARE),
            "slowdown": ([*NUMBERS, 0.5], SLOWER),
            "fixed": (FLAGS, FLAG),
            "seed": (SEEDS, INTEGER),
        },
    ),
    (net.machines.table, {"seconds": ([None, 3, "x", [], RAGGED, [[1.0]], ["a"]], "give the seconds of a gradient")}),
    (
        partial(net.presence.epochs, 0.1),
        {
            "length": ([*COUNTS, 2**31], INTEGER),
            "seed": ([*SEEDS, 2**32], INTEGER),
            "wait": (NUMBERS, DURATION),
            "limit": (COUNTS, COUNT),
        },
    ),
    (net.presence.epochs, {"away": ([one for one in FRACTIONS if one != [0.1]], WHOLE_SHARE)}),
    (net.presence.epochs, {"away": ([[[0.1]], ["x"], []], "give a probability from 0 to 1, or one for each node")}),
    (
        partial(net.links.access, [0.1, 0.2], [1e6, 1e6]),
        {"server": ([3, "x", net.links.server()], GIVE_LINKS)},
    ),
    (
        partial(net.links.access, bandwidth=[1e6]),
        {"latency": ([None, 3, "x", [], ["a"], [[1.0]]], "give a number for")},
    ),
    (partial(net.presence.markov, back=0.1), {"leave": (FRACTIONS, WHOLE_SHARE)}),
    (
        partial(net.presence.markov, 0.1),
        {"back": (FRACTIONS, WHOLE_SHARE)},
    ),
    (
        partial(net.presence.markov, 0.1, 0.1),
        {"seed": (SEEDS, INTEGER), "wait": (NUMBERS, DURATION), "limit": (COUNTS, COUNT)},
    ),
    (
        net.activation.weighted,
        {"weights": ([None, 3, [], [[1.0]], RAGGED, ["a"], [True]], "give a finite number above 0 for each node")},
    ),
    (net.activation.weighted, {"weights": (["sped", "loss"], "availability, data, speed")}),
    (partial(net.activation.weighted, "speed"), {"correct": (FLAGS, FLAG)}),
    (net.activation.shuffled_epochs, {"seed": ([*SEEDS, 2**32], INTEGER)}),
    (net.activation.duty, {"limit": ([*FRACTIONS, 0], "give a number above 0 and at most 1")}),
    (
        net.activation.adaptive,
        {
            "floor": ([*FRACTIONS, 0], "give a number above 0 and at most 1"),
            "memory": ([*FRACTIONS, 0], "give a number above 0 and at most 1"),
        },
    ),
    (
        net.faults.independent,
        {
            "hand_off": (FRACTIONS, WHOLE_SHARE),
            "failure": (FRACTIONS, WHOLE_SHARE),
            "retries": ([-1, 1.5, "2", True, None, 101], INTEGER),
            "timeout": (NUMBERS, DURATION),
            "recovery": (["lots", None, True], ": lost, neighbour, rollback"),
        },
    ),
    *((read, {"path": ([None, 3, ""], "give the path of a CSV file")}) for read in CSV_READERS),
    (tj.Network.from_toml, {"path": ([None, 3, ""], SPEC)}),
    (simulate, {"load": (FLAGS, FLAG), "record": ([*COUNTS, 10**10], "give an integer")}),
    (simulate, {"network": ([0.1, "lossy", tj.Network, net.links.uniform()], "give a telejax.Network(...)")}),
    (plots.plot_timeline, {"timeline": ([None, 3, RUN], "give result.timeline()")}),
    (tj.SweepSpec.from_toml, {"path": ([None, 3, ""], SPEC)}),
]


SITE = {"count": 3, "latency": 0.1, "bandwidth": 1e6, "seconds": 0.2, "samples": 10}
AIM = advice.Aim(accuracy=0.9)
ADVICE = [
    (
        partial(advice.Group, **{**SITE, "count": 3}),
        {"spread": ([*NUMBERS, 21], SPREAD), "away": ([*FRACTIONS, 1.0], "below 1")},
    ),
    (
        partial(advice.Group, **SITE),
        {"labels": ([3, "ab", [], [1, 1], [-1], [0.5]], "give"), "name": ([3, None], "a text")},
    ),
    (partial(advice.Group, **SITE), {"data": (["a.csv", 3], "give the number of labelled samples")}),
    *(
        (partial(advice.Group, **SITE), {name: (values, remedy)})
        for name, (values, remedy) in {
            "count": (COUNTS, "give an integer from 1 to"),
            "latency": (NUMBERS, DURATION),
            "bandwidth": ([*NUMBERS, 0], POSITIVE),
            "seconds": (NUMBERS, DURATION),
            "samples": ([0, 2.5, "8", True, [8]], "give the labelled samples of each site, at least 1"),
        }.items()
    ),
    (
        advice.Data,
        {
            "kind": ([3, None, "mnist"], "give one of"),
            "alpha": ([*NUMBERS, 0], POSITIVE),
            "classes": ([*COUNTS, 1], "give an integer from 2 to"),
            "features": (COUNTS, "give an integer from 1 to"),
            "spread": ([*NUMBERS, 0], POSITIVE),
            "seed": (SEEDS, "give an integer from 0 to"),
        },
    ),
    (
        advice.Learner,
        {
            "kind": ([NAN, 3, None], "give a name (mlp, logistic"),
            "batch": (COUNTS, "give an integer from 1 to"),
            "bytes": ([*NUMBERS, 0], POSITIVE),
        },
    ),
    (
        advice.Aim,
        {
            "accuracy": ([*NUMBERS, 0, 1.1], "number above 0 and at most 1"),
            "worst": ([*NUMBERS, 0, 1.1], "number above 0 and at most 1"),
        },
    ),
    (
        partial(advice.Aim, 0.9),
        {
            "hours": ([*NUMBERS, 0], POSITIVE),
            "gigabytes_a_day": ([*NUMBERS, 0], POSITIVE),
            "cost": (NUMBERS, NUMBER),
            "least": ([3, "money"], "give one of: bytes, cost, load, time"),
        },
    ),
    (
        advice.Prices,
        {
            "site_hour": (NUMBERS, NUMBER),
            "gigabyte": (NUMBERS, NUMBER),
            "server": (NUMBERS, NUMBER),
            "currency": ([3, None, ""], "give a text"),
        },
    ),
    (
        partial(advice.Sites, [advice.Group(**SITE)], AIM),
        {
            "data": ([3, None, "digits"], "give a Data"),
            "model": ([3, "mlp"], "give a Learner"),
            "prices": ([3, {}], "advice.Prices(...), or None"),
            "server": ([3, net.links.server()], "or None"),
            "world": ([3, None], "give a Network"),
        },
    ),
    (partial(advice.Sites, aim=AIM), {"groups": ([3, None, advice.Group(**SITE)], "advice.Group(...)")}),
    (partial(advice.Sites, [advice.Group(**SITE)]), {"aim": ([0.9, None], "give a Aim")}),
    (tj.advise, {"sites": ([3, None, AIM], "or the path of a site file")}),
    (
        partial(tj.advise, advice.Sites([advice.Group(**SITE)], AIM)),
        {
            "seeds": ([*COUNTS, 1, 65], "give an integer from 2 to"),
            "seed": (SEEDS, "give an integer from 0 to"),
            "progress": (FLAGS, FLAG),
            "methods": ([3, "dsgd/ring", {}, [1], [None], [b"a"], np.zeros((2, 2))], "give texts, such as"),
        },
    ),
    (
        partial(tj.advise, advice.Sites([advice.Group(**SITE)], AIM)),
        {"methods": ([["dsgd/ring", "dsgd/ring"]], "give each only once")},
    ),
]
"""Of advice, of which nothing is compiled before all is known."""


def rows() -> Iterator[Any]:
    """Each value of each argument."""
    for function, refused in [*ARGUMENTS, *ADVICE]:
        called = getattr(getattr(function, "func", function), "__name__", "")
        for argument, (values, remedy) in refused.items():
            for value in values:
                yield pytest.param(function, argument, value, remedy, id=f"{called}({argument}={short(value, 24)})")


ROWS = list(rows())


SHAPED = {"labels", "owners", "table", "partition", "images"}
"""Arguments that are told by their shape and type where they are arrays."""


@pytest.mark.parametrize(("function", "argument", "value", "remedy"), ROWS)
def test_arguments(function: Callable[..., Any], argument: str, value: Any, remedy: str, uncompiled: None) -> None:
    called = "spec" if function == tj.SweepSpec.from_toml else argument
    check(lambda: function(**{argument: value}), (called, "" if argument in SHAPED else short(value), remedy))


def classified(**arguments: Any) -> Any:
    return tasks.classification(**{"data": DATA, "nodes": 4, **arguments})


def arrays(inputs: Any = IMAGES, labels: Any = LABELS) -> Any:
    return data.from_arrays((inputs, labels), (IMAGES, LABELS))


HOLDERS = jnp.array([0, 3])
STATE = tj.State(jnp.ones((8, 3)), (), jnp.arange(8, dtype=jnp.int32), jnp.int32(0))
TIMELINE = pl.DataFrame({name: [1.0] for name in ("slot", "node", "fetched_from", *plots.TIMES)})

LEARNING: list[dict[str, float | None]] = [{"learning_rate": 0.1}, {"learning_rate": 0.2}]


def begun(seeds: Any = (0,), learning_rate: Any = (0.1,)) -> tj.Result:
    """A result of these seeds and step sizes."""
    runs = [{"seed": seed, "learning_rate": rate, "diverged": False} for seed in seeds for rate in learning_rate]
    return tj.Result(HISTORY.drop("name").join(pl.DataFrame(runs), how="cross"), {}, {})


CIRCLE: dict[str, Any] = {}
CIRCLE["a"] = CIRCLE
DELETED = jnp.ones(())
DELETED.delete()


class Endless:
    """A sequence whose items are itself."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> "Endless":
        return self


CALLS: list[tuple[Callable[[], Any], str | tuple[str, ...]]] = [
    # what holds itself, is deleted or beyond any memory
    (lambda: MOMENTUM.init_optimizer(CIRCLE), ("params is {'a': {...}}, into which jax cannot look", "give a pytree")),
    (lambda: net.machines.table(Endless()), ("seconds is", "give the seconds of a gradient")),
    (lambda: tj.Network(loss=DELETED), ("loss is", PROBABILITY)),
    (lambda: tj.Network(outage=np.broadcast_to(0.1, 10**12)), ("outage is", PROBABILITY)),
    # networks, as they are bound
    (lambda: tj.Network().bind(12, samples="x"), ("samples is 'x'", "give the samples of each node, (12,)")),
    (lambda: tj.Network().bind(-5), ("nodes is -5", COUNT)),
    (lambda: tj.Network(nodes=0), ("nodes is 0", "network.bind(nodes) tells it")),
    (lambda: tj.Network(machines=object()).check(), ("machines is an object", "machines.constant(seconds), or None")),
    (lambda: tj.Network(machines=object()).bind(3), ("machines is an object", "machines.constant(seconds), or None")),
    (lambda: net.machines.stragglers(1e9, slowdown=3.0), ("seconds times slowdown is 3000000000.0", DURATION)),
    # records of other kinds than studies make
    (lambda: tj.Comparison({"A": 3}, {}, "loss", 1.0), ("runs['A'] is 3", "give a Result")),
    (lambda: tj.Comparison({"A": RUN}, {}, "loss", "x"), ("target is 'x'", "give a float")),
    (lambda: tj.Comparison({}, {}, "loss", 1.0, [3]), ("chosen is [3]", "give a dict")),
    (lambda: tj.Scaling({8: RUN}, {}), ("comparisons[8] is", "give a Comparison")),
    (lambda: tj.SearchResult(None, HISTORY, 3, {}), ("grid is None", "give a DataFrame")),
    (lambda: tj.Sweep(HISTORY, 3, 0), ("axes is 3", "give a tuple")),
    # graphs that fail, or whose weights are unknown
    (lambda: topology.resolve(lambda nodes: 1 / 0, 4), ("topology is", "fails for 4 nodes: ZeroDivisionError", "give")),
    (lambda: topology.random_regular(10**7, weights="nope"), "unknown weights 'nope'"),
    (lambda: topology.small_world(10**7, weights="nope"), "unknown weights 'nope'"),
    (lambda: replace(DATA, name=3), ("name is 3", TEXT)),
    (lambda: plots.plot_bands(BANDS, "round", " 3 ", []), ("metric is ' 3 '", "give the name of the column")),
    (lambda: tj.SweepSpec.from_dict(BASE, "x"), ("where is 'x'", "give a function")),
    (lambda: tj.SweepSpec.from_dict(BASE, folder=5), ("folder is 5", "give the path of a folder")),
    (lambda: PROBLEM.averaging(1.0, 0, 5), ("workers is 0", COUNT)),
    (lambda: PROBLEM.graph(1.0, 0.0, 5), ("q is 0.0", "give a number above 0 and at most 1")),
    # subclasses of the builtins, and what says that it is one
    (lambda: tj.topology.ring(own(0)), "nodes is 0; give an integer of at least 1"),
    (lambda: tj.topology.path(4, weights=own("x")), "unknown weights 'x'; give one of"),
    (lambda: tj.Metric(own(""), len), "name of a Metric is ''; give the name of its column"),
    (
        lambda: simulate(tune=own([0.1, -1.0])),
        ("tune is [0.1, -1.0], which cannot be read as a list", "give a list of"),
    ),
    (lambda: simulate(tune=[0.1, own(-1.0)]), "tune is -1.0; give a finite number above 0"),
    (lambda: simulate(tune=own({"learning_rate": [0.1]})), ("which cannot be read as a mapping", "give a list of")),
    (lambda: simulate(until=own(("los", 0.1))), "cannot be read as a list"),
    (lambda: simulate(until=("loss", own(NAN))), ("until is", "give a finite number to reach")),
    (lambda: simulate(seeds=own([0, 1])), ("seeds is [0, 1]", "cannot be read as a list")),
    (lambda: compare(tune=own({"learning_rate": [0.1]})), ("tune is", "cannot be read as a mapping")),
    (lambda: search(tune=own({"learning_rate": [0.1]})), ("tune is", "cannot be read as a mapping")),
    (lambda: tj.topology.directed(own([[1.0]]), "row"), ("matrix is [[1.0]]", "give a mixing matrix")),
    (lambda: plots.plot_histories(own({"a": HISTORY}), "loss"), ("histories is", "cannot be read as a mapping")),
    (lambda: tj.studies.sweep.spec.SweepSpec.from_dict(own({"rounds": 1})), ("spec is", "cannot be read as a mapping")),
    (lambda: data.from_arrays(own([IMAGES, LABELS]), (IMAGES, LABELS)), ("train is", "give a pair of arrays")),
    (lambda: tj.topology.reweighted(Posing(tj.Topology), "lazy"), ("topology is", "give a Topology")),
    (lambda: tj.topology.from_matrix(Dead()), ("matrix is", "give real numbers of shape (nodes, nodes)")),
    (lambda: simulate(algorithm=Dead()), ("algorithm is", "give an algorithm")),
    (lambda: simulate(task=Dead()), ("task is", "give a task")),
    (lambda: simulate(network=Posing(tj.Network)), ("network is", "give a telejax.Network(...)")),
    (lambda: simulate(seeds=Dead()), ("seeds is", "give an integer of at least 1")),
    (lambda: tj.Network(links=Dead()), ("links is", f"give {GIVE_LINKS}")),
    (lambda: compare(tune=Dead()), ("tune is", "give a list of step sizes")),
    (lambda: tj.decentralized_sgd(topology=Dead(), optimizer=SGD), ("topology is", PLATE)),
    (lambda: data.iid(itertools.count(), 2), ("labels is", LABELS_GIVE)),
    (
        lambda: joint_teleportation(active=itertools.count(1), topology="ring", optimizer=SGD),
        ("active is", "give a list"),
    ),
    # deleted arrays, deep pytrees, keys of another kind
    (
        lambda: tj.gradients(KEY_0, deleted(SLOTS), HOLDERS, QUADRATIC),
        ("params has an array that is deleted", "give one"),
    ),
    (lambda: tj.gradients(KEY_0, SLOTS, deleted(HOLDERS), QUADRATIC), ("holders has an array that is deleted", "give")),
    (
        lambda: tj.gradients(KEY_0, deep(), HOLDERS, QUADRATIC),
        ("params is a tuple, into which jax cannot look", "not as deep"),
    ),
    (
        lambda: local_update(KEY_0, SLOTS, HOLDERS, QUADRATIC, deep()),
        ("opt_state is a tuple, into which", "not as deep"),
    ),
    (lambda: stepping(step=corrected, given=deep()), ("given is a tuple, into which jax cannot look", "not as deep")),
    (lambda: tj.mix(MIXING, deep()), ("is a tuple, into which jax cannot look", "not as deep")),
    (lambda: tj.mix(MIXING, deleted(jnp.ones((4, 2)))), ("has an array that is deleted", "give one that is there")),
    (lambda: tasks.label_flipped(Willing(), [1]), ("nodes of task is", "give an integer of at least 1")),
    (
        lambda: joint_teleportation(active=range(10**12), topology="ring", optimizer=SGD),
        ("active is range(0, 1000000000000)", "give a list of numbers"),
    ),
    (
        lambda: data.from_arrays((IMAGES, LABELS.astype(object)), (IMAGES, LABELS)),
        "train labels is a ndarray of object, shape (40,), which is no array of numbers",
    ),
    (lambda: advice.Learner(kind="mpl"), "unknown kind of model 'mpl'; did you mean 'mlp'?"),
    (lambda: RUN.save("~"), ("path is '~', which would be a folder called '~'", "give Path('~').expanduser()")),
    (lambda: simulate(checkpoint="~user/x"), ("checkpoint is '~user/x', which would be a folder called", "expanduser")),
    (lambda: check_order(begun([1, 0]), [0, 1], LEARNING), ("seeds has", "[0, 1] after [1, 0]", "the order of the")),
    (
        lambda: check_order(begun(learning_rate=[0.1, 0.2]), [0], LEARNING[::-1]),
        ("tune has", "after [{'learning_rate': 0.1}, {'learning_rate': 0.2}]", "give tune in the order of the result"),
    ),
    (lambda: simulate(state=replace(STATE, params=deleted(SLOTS))), ("state has an array that is deleted", "give one")),
    (lambda: simulate(state=replace(STATE, round=deleted(3))), ("state has an array that is deleted", "give one")),
    (lambda: tasks.quadratic(nodes=8, noise=deleted(1.0)), ("noise is", "cannot be read here", NUMBER)),
    (lambda: simulate(tune=deleted([0.1, 0.2])), ("tune is", "cannot be read as a list")),
    (lambda: tj.network.links.table(deleted(LINKS), LINKS), ("latency is", "give an array (nodes, nodes)")),
    (
        lambda: data.from_arrays((deleted(IMAGES), LABELS), (IMAGES, LABELS)),
        ("train inputs is", "give numbers of shape"),
    ),
    (lambda: tj.sample_distinct(jnp.zeros(3, jnp.uint32), 8, 2), ("key is", KEY)),
    (lambda: tj.sample_distinct(jnp.zeros((3, 2), jnp.uint32), 8, 2), ("key is", KEY)),
    (lambda: tj.sample_distinct(deleted(jax.random.PRNGKey(0)), 8, 2), ("key is", KEY)),
    # kinds of what is kept
    (lambda: tj.as_optimizer(SGD, name=3), ("name is 3", TEXT)),
    (lambda: tj.testing.TreeTask(4, "abc"), ("targets is 'abc'", "give an array of floats, (nodes,)")),
    (
        lambda: tj.testing.TreeTask(4, np.ones(3)),
        ("targets is array([1., 1., 1.])", "give an array of floats, (nodes,)"),
    ),
    (lambda: tj.Network(loss=jnp.array([1j])), ("loss is", PROBABILITY)),
    (lambda: tj.Network(outage=jax.random.key(0)), ("outage is", PROBABILITY)),
    # results and timelines that were altered
    *(
        (lambda name=name: replace(RUN, history=RUN.history.drop(name)), (f"history has no {name}", "give that of"))
        for name in ("round", "seed", "group", "learning_rate", "active", "diverged")
    ),
    *(
        (lambda column=column: replace(RUN, history=RUN.history.with_columns(column)), ("history has", words))
        for column, words in (
            (pl.lit(None, pl.Int64).alias("round"), "rows without round"),
            (pl.lit("0").alias("round"), "no whole numbers in round"),
            (pl.lit(NAN).alias("round"), "no whole numbers in round"),
            (pl.lit(None, pl.Int64).alias("seed"), "rows without seed"),
            (pl.lit("x").alias("learning_rate"), "no numbers in learning_rate"),
            (pl.Series("learning_rate", [object()]), "no numbers in learning_rate"),
            (pl.lit("x").alias("loss"), "no floats in loss"),
            (pl.lit("x").alias("diverged"), "no true or false in diverged"),
        )
    ),
    (lambda: replace(RUN, history=RUN.history.clear()), "history has no rows; give that of simulate"),
    (lambda: replace(RUN, config={"nodes": "x"}), ("config has 'nodes': 'x', no int", "give that of simulate")),
    *(
        (
            lambda name=name: plots.plot_timeline(TIMELINE.with_columns(pl.lit("x").alias(name))),
            (f"column {name!r} of timeline is of String", "give one of numbers"),
        )
        for name in TIMELINE.columns
    ),
    # networks
    (lambda: tj.robust.from_spec("aggregation", 3), ("aggregation is 3", "give a rule as a text")),
    (lambda: tj.robust.from_spec(None, "median"), ("argument is None", "give a text")),
    (lambda: net.machines.from_csv("."), ("path is '.', which is no regular file", "give the path of a CSV file")),
    (lambda: tj.topology.ring(Dead()), ("nodes is", "Dead", "give an integer of at least 1")),
    (lambda: simulate(progress=Dead()), ("progress is", "Dead", "give True or False")),
    (lambda: simulate(task=Odd(SLOTS, told="\udcab")), ("evaluate returned one named", "give the name of its column")),
    (lambda: scaling(make_task=tasks.quadratic), ("make_task is", "give a function of the number of nodes")),
    *(
        (
            lambda part=part: tj.simulate(
                tj.relay_sgd(topology="path", optimizer=SGD), QUADRATIC, rounds=1, network=tj.Network(**part)
            ),
            (f"network has {next(iter(part))}=, and RelaySGD", "or take another method"),
        )
        for part in ({"loss": 0.1}, {"outage": 0.1}, {"presence": net.presence.epochs(0.1)})
    ),
    *(
        (
            lambda bad=bad: net.links.table(SECONDS, SECONDS, uplink=[1.0, bad]),
            (f"uplink of node 1 is {bad}", "give a finite number above 0"),
        )
        for bad in (0.0, NAN, -1.0)
    ),
    # models
    (lambda: classified(model="mpl"), "unknown model 'mpl'; did you mean 'mlp'?"),
    (lambda: classified(model="x"), "unknown model 'x'; give one of: lenet, logistic, mlp, vgg"),
    (lambda: classified(model=model(lambda y: (y, y))), ("model returned tuple", "one array of floats")),
    (lambda: classified(model=model(lambda y: y.astype(int))), ("model returned an array of int32", "floats")),
    (lambda: classified(model=model(lambda y: y + 1j)), ("model returned an array of complex64", "floats")),
    (lambda: classified(model=model(lambda y: None)), ("model returned NoneType", "let it return logits")),
    (lambda: classified(model=model(lambda y: y[0])), ("model gives logits of shape ()", "one output a class")),
    (lambda: classified(model=model(lambda y: y, dense=False)), ("model has no parameters", "a dense layer")),
    (lambda: classified(model=model(nn.Dropout(0.5, deterministic=False))), ("model does", "no random numbers")),
    (lambda: classified(model=Dropping), ("model does not take", "no random numbers, as of Dropout")),
    (lambda: classified(model=nnx.Dropout), ("model does not take", "no random numbers, as of Dropout")),
    (lambda: classified(model=lambda rngs: 3), ("model does not take", "it makes int of nnx.Rngs")),
    (lambda: classified(model=tj.models.MLP(4, hidden=(0,))), "hidden is 0; give an integer of at least 1"),
    (lambda: classified(model=tj.models.MLP(4, hidden=("a",))), "hidden is 'a'; give an integer of at least 1"),
    (lambda: classified(model=tj.models.MLP(0)), "classes is 0; give an integer of at least 1"),
    (lambda: classified(model=tj.models.MLP(5)), ("model gives logits of shape (5,)", "has 4 classes")),
    (lambda: classified(batch=2**31), ("batch is 2147483648", "needs 549.8 GB", "give fewer samples a gradient")),
    (lambda: classified(evaluated=[1, 2]), "evaluated is [1, 2]; give one number, or three"),
    (lambda: classified(augment=len), ("augment does not take", "leave it out")),
    # pictures
    (lambda: tj.plots.plot_histories({"a": 1}, "loss"), ("histories['a'] is 1", "give a mapping of labels")),
    (lambda: tj.plots.plot_histories({1: HISTORY}, "loss"), ("label of histories is 1", "give a mapping of labels")),
    (lambda: tj.plots.plot_histories({"a": HISTORY}, "name"), ("column 'name' of histories['a'] is of", "of numbers")),
    (
        lambda: tj.plots.plot_histories({"a": HISTORY}, "loss", settings=["name"]),
        ("column 'name' of histories['a'] is of", "give one of numbers"),
    ),
    (lambda: tj.plots.plot_histories({"a": HISTORY}, "loss", settings=range(5)), ("settings is 0", "give a list of")),
    (lambda: tj.plots.plot_histories({"a": BANDS}, "mean"), ("has no column 'group'", "give a table that has")),
    (lambda: tj.plots.plot_bands(BANDS, "round", "loss", ["x"]), ("unknown lines 'x'", "give one of")),
    (lambda: tj.plots.topology_sheet([RING, 1]), ("topologies[1] is 1", PLATE)),
    # data
    (lambda: arrays(labels=RAGGED), ("train labels is [[1], [1, 2]]", "one integer class for each")),
    (lambda: arrays(labels=None), ("train labels is None", "one integer class for each")),
    (lambda: arrays(labels=["a"] * 40), ("train has labels of type <U1", "give integers from 0")),
    (lambda: arrays(labels=LABELS / 2), ("train has labels of type float64", "give integers from 0")),
    (lambda: arrays(inputs=RAGGED), ("train inputs is [[1], [1, 2]]", "give numbers of shape (samples, ...)")),
    (lambda: arrays(inputs=IMAGES * 1j), ("train has inputs", "type complex64", "give numbers of shape")),
    (lambda: arrays(inputs=["a"] * 40), ("train has inputs", "type <U1", "give numbers of shape")),
    (lambda: arrays(inputs=np.zeros((40, 0))), ("train has inputs of shape (40, 0)", "give numbers of shape")),
    (lambda: arrays(inputs="ab"), ("train has inputs of shape ()", "give numbers of shape")),
    *(
        (
            partial(classified, data=replace(DATA, **{name: data.Split(IMAGES[:0], np.zeros(0, np.int32))})),
            (f"in {name}", "give"),
        )
        for name in ("train", "validation", "test")
    ),
    (lambda: data.shards(LABELS, 4, 11), ("shards_per_node 11", "use fewer")),
    # graphs
    (lambda: topology.from_spec("torus:rows=2,rows=3", 6), ("topology is 'torus:rows=2,rows=3'", "give it once")),
    (lambda: topology.from_spec("foo", 6), "unknown topology 'foo'; give one of: barbell, base"),
    (lambda: topology.from_spec("rign", 6), "unknown topology 'rign'; did you mean 'ring'?"),
    (lambda: topology.from_spec("", 6), "unknown topology ''; give one of"),
    (lambda: topology.from_spec("ring:x=1", 6), ("and ring takes no parameters", "out")),
    (lambda: topology.from_spec("torus:rows=x", 6), ("has the value 'x'", "as in name:parameter=2")),
    (lambda: topology.from_spec("torus:rows", 6), ("has the value ''", "as in name:parameter=2")),
    (lambda: topology.from_spec("torus:rows=nan", 6), "rows is nan; give an integer of at least 1"),
    (lambda: topology.from_spec("torus:rows=2.0", 6), "rows is 2.0; give an integer of at least 1"),
    (lambda: topology.from_spec("grid:weights=x", 6), ("unknown weights 'x'", "give one of: fastest")),
    (lambda: topology.from_spec(None, 6), "spec is None; give a name, such as 'ring'"),
    (lambda: topology.from_spec(["ring"], 6), "spec is ['ring']; give a name, such as 'ring'"),
    (lambda: topology.resolve(lambda n: 3, 6), "topology(6) is 3; let the function return a Topology"),
    (lambda: topology.resolve(RING, 6), ("topology 'ring' has 4 nodes where 6 mix", "build it with 6 nodes")),
    (lambda: topology.table(4, ["x"]), "unknown topology 'x'; give one of"),
    (lambda: topology.table(4, [3]), "topology is 3; give a name"),
    (lambda: topology.sequence([]), "topologies is empty; give a list of at least one Topology"),
    (lambda: topology.sequence(["ring"]), "topologies[0] is 'ring'; give a Topology"),
    (lambda: topology.block_diagonal([RING, 3]), "topologies[1] is 3; give a Topology"),
    (lambda: topology.directed([], "row"), "matrix is empty; give a mixing matrix"),
    *(
        (partial(topology.from_matrix, matrix), ("matrix", remedy))
        for matrix, remedy in (
            (None, "give real numbers of shape (nodes, nodes)"),
            ("x", "give real numbers of shape (nodes, nodes)"),
            (3, "give real numbers of shape (nodes, nodes)"),
            ([0.5, 0.5], "give real numbers of shape (nodes, nodes)"),
            (RAGGED, "give real numbers of shape (nodes, nodes)"),
            ([["a"]], "give real numbers of shape (nodes, nodes)"),
            (PAIRS * 1j, "give real numbers of shape (nodes, nodes)"),
            (PAIRS * NAN, "finite"),
            (PAIRS * 2, "not doubly stochastic"),
            (np.eye(2), "add edges"),
        )
    ),
    (lambda: RING.average(np.ones(3)), ("x has the shape (3,)", "give numbers of shape (4, ...)")),
    (lambda: RING.average("x"), ("x has the shape ()", "give numbers of shape (4, ...)")),
    (lambda: RING.average(None), ("x is None", "give numbers of shape (4, ...)")),
    (lambda: tj.mix(MIXING, None), "kept is None, without arrays; give a pytree"),
    (lambda: tj.mix(MIXING, 3.0), ("kept has a leaf", "give arrays of shape (slots, ...)")),
    (lambda: tj.mix(MIXING, jnp.ones(3)), ("kept has a leaf of shape (3,)", "needs that leading axis")),
    (lambda: tj.mix(MIXING, np.ones(4), sent=np.ones(4, complex)), ("sent has a leaf of complex", "give both alike")),
    (lambda: tj.mix(MIXING, jnp.ones(4), sent=jnp.ones(4, "bfloat16")), ("sent has a leaf of bfloat16", "both alike")),
    (lambda: tj.mix(MIXING, jnp.ones(4), sent="x"), ("sent has a leaf", "give arrays of shape (slots, ...)")),
    (lambda: tj.block_diagonal([]), "parts is empty; give a list of at least one mixing"),
    (lambda: tj.block_diagonal([RING]), ("parts[0] is Topology", "give a list of at least one mixing")),
    (lambda: tj.bind_mixing(MIXING, 5), ("topology 'ring' has 4 nodes", "build the topology with 5 nodes")),
    # networks
    (lambda: net.links.access([-1.0], [1e6]), ("latency of node 0 is -1.0", DURATION)),
    (lambda: net.links.access([0.1, NAN], [1e6, 1e6]), ("latency of node 1 is nan", DURATION)),
    (lambda: net.links.access([0.1], [0.0]), ("bandwidth of node 0 is 0.0", POSITIVE)),
    (lambda: net.links.access([0.1], [1e6, 1e6]), ("bandwidth is of 2 nodes and latency of 1", "give both alike")),
    (lambda: net.presence.epochs([1, [2]]), ("away is [1, [2]]", "or one for each node")),
    (lambda: theory.noise_for(2.0, uses=0, level="node"), ("uses is 0", "at least 1")),
    (lambda: data.synthetic(labels=range(10**9)), ("labels has 1000000000 entries", "at most")),
    (lambda: data.synthetic(60, features=2**31), ("with 2147483648 features", "give fewer of either")),
    (lambda: net.presence.epochs([0.1, 2.0]), ("away of node 1 is 2.0", WHOLE_SHARE)),
    (lambda: net.links.sites([]), "sizes is empty; give the nodes of each site, such as [12, 30]"),
    (lambda: net.links.sites([3, 0]), ("sizes[1] is 0", COUNT)),
    (lambda: net.links.sites([3, -2]), ("sizes[1] is -2", COUNT)),
    (lambda: net.links.sites(["2"]), ("sizes[0] is '2'", COUNT)),
    (lambda: net.links.sites([2.5]), ("sizes[0] is 2.5", COUNT)),
    (lambda: net.links.sites([2**31 - 1, 1]), ("sizes adds up to 2147483648", "give at most 2147483647 nodes")),
    (lambda: net.links.sites([3, 2], wireless=[2]), ("wireless is 2", "give an integer from 0 to 1")),
    (lambda: net.links.sites([3, 2], wireless=[True]), ("wireless is True", "give an integer from 0 to 1")),
    (lambda: net.links.sites([3, 2], wireless=1), ("wireless is 1", "give the numbers of sites, from 0")),
    (lambda: net.links.table([[0, -1.0], [1, 0]], SECONDS), ("latency from node 0 to 1 is -1.0", "of at least 0")),
    (lambda: net.links.table([[0, 1], [NAN, 0]], SECONDS), ("latency from node 1 to 0 is nan", "of at least 0")),
    (lambda: net.links.table(SECONDS, [[0, 0], [1, 0]]), ("bandwidth from node 0 to 1 is 0.0", "number above 0")),
    (lambda: net.links.table(SECONDS, [[0, 1], [INF, 0]]), ("bandwidth from node 1 to 0 is inf", "number above 0")),
    (lambda: net.links.table(np.ones((3, 3)), SECONDS), ("bandwidth is of 2 nodes and latency of 3", "both alike")),
    (lambda: net.machines.table([1.0, -1.0]), ("seconds of node 1 is -1.0", DURATION)),
    (lambda: net.machines.table([NAN, 1.0]), ("seconds of node 0 is nan", DURATION)),
    (lambda: net.machines.table([1.0, INF]), ("seconds of node 1 is inf", DURATION)),
    (
        lambda: net.activation.weighted([1.0, 0.0]),
        ("weights of node 1 is 0.0", "give a finite number above 0"),
    ),
    (lambda: net.activation.weighted([-1.0, 1.0]), ("weights of node 0 is -1.0", "give a finite number above 0")),
    (lambda: net.activation.weighted([1.0, NAN]), ("weights of node 1 is nan", "give a finite number above 0")),
    *(
        (
            lambda parts=parts: over(**parts),
            (f"{name} is of {size} nodes, and the task has 8", "give those of all nodes"),
        )
        for name, size, parts in (
            ("machines", 2, {"machines": net.machines.table([1.0, 2.0])}),
            ("links", 5, {"links": net.links.sites([3, 2])}),
            ("links", 2, {"links": net.links.table(SECONDS, SECONDS)}),
            ("links", 3, {"links": net.links.server(peers=net.links.sites([3]))}),
            ("activation", 2, {"activation": net.activation.weighted([1.0, 2.0])}),
        )
    ),
    (
        lambda: over(links=net.links.preferred(topology.ring(5))),
        ("topology 'ring' has 5 nodes", "build it with 8 nodes"),
    ),
    (
        lambda: over(activation=net.activation.weighted("speed")),
        ("weighted by 'speed'", "give machines=telejax.network"),
    ),
    (lambda: over(activation=net.activation.weighted("data")), ("weighted by 'data'", "in samples_per_node")),
    (lambda: over(activation=net.activation.weighted("availability")), ("by 'availability'", "give presence=telejax")),
    (lambda: tj.Network(waiting="neighbours"), ("waiting is 'neighbours', and there are no clocks", "leave it out")),
    (
        lambda: tj.fedavg(clients=2, proximal=0.1, optimizer=SGD),
        ("proximal is 0.1 and local_steps is 1", "give local_steps of at least 2"),
    ),
    (lambda: tj.Network(contention=True), ("contention is True, and there are no links", "links.uniform()")),
    (
        lambda: over(tj.fedavg(clients=3, optimizer=SGD), links=net.links.uniform()),
        ("without a server, which FedAvg k=3, 1 local needs", "links.server(latency, bandwidth, peers=...)"),
    ),
    (
        lambda: over(JOINT, faults=net.faults.independent(failure=0.1, recovery="neighbour")),
        ("faults recover from a neighbour, which may be of another candidate", "give another recovery"),
    ),
    *(
        (lambda tune=tune: over(tune=tune, **EVERY_PART), words)
        for tune, words in (
            ({"latency": [-1.0]}, ("tune['latency'] is -1.0", NUMBER)),
            ({"bandwidth": [0.0]}, ("tune['bandwidth'] is 0.0", POSITIVE)),
            ({"seconds": [NAN]}, ("tune['seconds'] is nan", "give a finite number")),
            ({"network.loss": [2.0]}, ("loss is 2.0", PROBABILITY)),
            ({"away": [1.5]}, ("tune['away'] is 1.5", WHOLE_SHARE)),
            ({"hand_off": [2.0]}, ("tune['hand_off'] is 2.0", WHOLE_SHARE)),
            ({"floor": [0.0]}, ("tune['floor'] is 0.0", "give a number above 0 and at most 1")),
            ({"latenzy": [1.0]}, ("unknown number in tune 'latenzy'", "did you mean 'latency'?")),
        )
    ),
    # what would not fit the memory
    (lambda: topology.star(2**30), ("star with 1073741824 nodes", "GB are free; give fewer")),
    (lambda: topology.torus(2**31 - 1), ("torus with 2147483647 nodes", "GB are free; give fewer")),
    (lambda: topology.grid(2**30), ("grid with", "GB are free; give fewer")),
    (lambda: topology.path(2**30), ("path with", "GB are free; give fewer")),
    (lambda: topology.tree(2**30), ("tree with", "GB are free; give fewer")),
    (lambda: topology.barbell(10**6, clique=5 * 10**5), ("barbell with", "GB are free; give fewer")),
    (lambda: topology.hypercube(2**30), ("hypercube with", "GB are free; give fewer")),
    (lambda: topology.one_peer_hypercube(2**30), ("one_peer_hypercube with", "GB are free; give fewer")),
    (lambda: topology.base_graph(2**31 - 1), ("base graph with", "GB are free; give fewer")),
    (lambda: topology.erdos_renyi(10**7, probability=0.5), ("erdos_renyi with", "GB are free; give fewer")),
    (lambda: topology.random_regular(10**9), ("random_regular with", "GB are free; give fewer")),
    (lambda: topology.small_world(10**9), ("small_world with", "GB are free; give fewer")),
    (lambda: topology.stochastic_block(10**7, inside=0.5), ("stochastic_block with", "GB are free; give fewer")),
    (lambda: topology.ring(10**6).matrix(), ("the dense matrix of 'ring' with", "GB are free; give fewer")),
    (lambda: topology.complete(10**6).sparse(), ("the matrix of 'complete' with", "GB are free; give fewer")),
    (lambda: topology.random_matching(2**31 - 1).sparse(), ("peers of a round with", "GB are free; give fewer")),
    (
        lambda: topology.one_peer_exponential(10**12 + 1).consensus_rate(),
        ("the consensus rate of a graph with", "GB are free; give fewer"),
    ),
    (lambda: topology.ou_equidyn(2**31 - 1).mean_messages, ("the distances of a matching", "give fewer")),
    (lambda: topology.random_walk(2**40), ("a circulant graph with", "GB are free; give fewer")),
    (lambda: topology.reweighted(topology.complete(10**6), "lazy"), ("a complete graph with", "give fewer")),
    (lambda: topology.ring(10**30), ("nodes is 1000000000000000000000000000000", "give at most 2^53")),
    (lambda: topology.torus(2**63), ("nodes is 9223372036854775808", "give at most 2^53")),
    (lambda: topology.grid(2**53), ("grid with 9007199254740992 nodes", "GB are free; give fewer")),
    (lambda: topology.table(2**63, ["ring"]), ("nodes is 9223372036854775808", "give at most 2^53")),
    # numbers that float32 does not hold
    (lambda: tasks.quadratic(nodes=8, spread=1e39), ("spread is 1e+39", "give a number of at most 3.4e+38")),
    (lambda: tasks.quadratic(nodes=8, noise=1e20), ("noise is 1e+20", "give at most 1e+15")),
    (lambda: tasks.koloskova_quadratic(nodes=8, heterogeneity=1e20), ("heterogeneity is 1e+20", "at most 1e+15")),
    (lambda: simulate(tune=[1e-320]), ("tune is 1e-320, which is 0 in float32", "give a larger step size")),
    (lambda: simulate(until=("loss", 10**400)), ("until is", "give a finite number to reach")),
    (lambda: simulate(rounds=None, gradients=10**30), ("gradients is", "rounds are counted in int32, give at most")),
    (
        lambda: theory.bounds(PROBLEM, nodes=2**40, rounds=9, topology="exponential"),
        ("the consensus rate of a graph with 1099511627776 nodes", "GB are free; give fewer"),
    ),
    (lambda: theory.bounds(PROBLEM, nodes=4, gradients=10**30), ("gradients is", "give an integer from 1 to")),
    (
        lambda: theory.measure(QUADRATIC, np.full(3, NAN, np.float32)),
        ("params has numbers that are not finite", "give"),
    ),
    # folders in which other things live, and flags that are none
    (lambda: simulate(checkpoint="."), ("checkpoint is '.', which is the working directory", "give a new folder")),
    (lambda: simulate(checkpoint="/"), ("checkpoint is '/', which is a parent of", "give a new folder")),
    *(
        (partial(simulate, algorithm=tj.auto(optimizer=SGD), checkpoint=path), ("checkpoint is", told, "a new folder"))
        for path, told in ((".", "the working directory"), ("..", "a parent of"), (Path.home(), "the home directory"))
    ),
    (lambda: tj.sweep(BASE, "."), ("out is '.', which is the working directory", "give a new folder")),
    (lambda: tj.sweep(BASE, "a\0b"), ("out is 'a\\x00b'", "give the path of a folder")),
    (lambda: RUN.save("nowhere", overwrite="no"), ("overwrite is 'no'", FLAG)),
    (lambda: tj.load("x" * 5000), ("path is a str that begins with 'xxx", "and is longer than a path may be", FOLDER)),
    (lambda: tj.sample_distinct(jax.random.split(KEY_0), 8, 2), ("key holds (2,) keys", KEY)),
    (lambda: data.label_counts(TABLE, LABELS, 10**10), ("classes is 10000000000", "give an integer from 1 to")),
    (lambda: topology.from_spec("ring:=", 8), ("topology is 'ring:=', and ring takes no parameters", "leave := out")),
    (lambda: topology.directed(np.eye(4), "row"), ("is not connected", "from_matrix and directed take it")),
    (
        lambda: tj.optimizer(lambda learning_rate: optax.GradientTransformation(lambda p: "x", None), learning_rate=1),
        ("whose init returned 'x'", "return arrays"),
    ),
    (
        lambda: tj.as_optimizer(optax.GradientTransformation(lambda p: (), lambda g, s, p: (g, s, p))),
        ("whose update returned a tuple", "return updates and a state"),
    ),
    (
        lambda: tasks.classification(DATA, nodes=4, model=models.MLP(4, hidden=64)),
        ("hidden is 64", "give a list of widths"),
    ),
    (
        lambda: tasks.classification(DATA, nodes=4, model=models.VGG(4, groups=0)),
        ("groups is 0", COUNT),
    ),
    (lambda: tasks.classification(DATA, nodes=4, evaluated="all"), ("evaluated is 'all'", COUNT)),
    (lambda: tj.testing.check_algorithm(lambda: DSGD), ("make fails when it is called", "returns an algorithm")),
    (lambda: tj.testing.check_algorithm(lambda optimizer: None), ("make(optimizer) is None", "returns an algorithm")),
    (
        lambda: tj.testing.check_algorithm(lambda optimizer: DSGD, only=[]),
        ("only is empty", "give a sequence of names"),
    ),
    (lambda: tj.compare([DSGD], QUADRATIC, rounds=5, tune={}), "tune is empty; give a list of step sizes"),
    (lambda: tj.compare([DSGD], QUADRATIC, rounds=5, target=10**400), ("target is", "give a finite number to reach")),
    # numbers of a method, wherever they are given
    (
        lambda: simulate(algorithm=method("prox_skip"), tune={"chi": [0.5]}),
        ("tune['chi'] is 0.5", "give a finite number of at"),
    ),
    (
        lambda: simulate(algorithm=method("prox_skip"), tune={"probability": [1.5]}),
        ("tune['probability'] is 1.5", "at most 1"),
    ),
    (
        lambda: simulate(algorithm=method("k_gt"), tune={"communication_step": [0.0]}),
        ("is 0.0", "give a finite number above 0"),
    ),
    (
        lambda: simulate(algorithm=method("quasi_global_momentum"), tune={"beta": [1.5]}),
        ("is 1.5", "at least 0 and below 1"),
    ),
    (
        lambda: simulate(algorithm=method("choco_sgd"), tune={"consensus_step": [0.0]}),
        ("is 0.0", "give a finite number above"),
    ),
    (lambda: method("decentralized_sgd", local_steps=2**31), ("local_steps is 2147483648", "give at most 2^31 - 1")),
    (lambda: method("k_gt", local_steps=10**50), ("local_steps is", "give at most 2^31 - 1")),
    (lambda: tj.compression.qsgd(2**31), ("levels is 2147483648", "give an integer from 1 to 16777216")),
    (lambda: tj.compression.cast(None), ("dtype is None", "give a type of floats with a sign")),
    (lambda: tj.compression.cast("longdouble"), ("dtype is 'longdouble'", "give a type of floats with a sign")),
    (lambda: tj.compression.cast(jnp.float8_e8m0fnu), ("dtype is", "give a type of floats with a sign")),
    (lambda: tj.compression.top_k(0.5).bits(0), ("d is 0", COUNT)),
    (lambda: tj.compression.top_k(0.5).delta("3"), ("d is '3'", COUNT)),
    (lambda: tj.compression.top_k(0.5)(KEY_0, 3), ("x is 3", "give a pytree of arrays of floats")),
    (lambda: tj.compression.top_k(0.5)(KEY_0, jnp.zeros(0)), ("x is", "give a pytree of arrays of floats")),
    (lambda: tj.compression.top_k(0.5).message_bytes(None), ("x is None", "give a pytree of arrays of floats")),
    (lambda: replace(DATA, std=(0.0,)), ("std is 0.0", "give a finite number above 0")),
    (lambda: replace(DATA, std=(-1.0,)), ("std is -1.0", "give a finite number above 0")),
    (lambda: replace(DATA, mean=(1.0, 2.0)), ("mean has 2 numbers for 1 channels", "give one or as many")),
    (lambda: replace(DATA, mean="x"), ("mean is 'x'", "give a number for each channel")),
    (lambda: tj.testing.check_task(QUADRATIC, nodes=3), ("nodes is 3", "give a list of nodes")),
    (lambda: tj.testing.check_algorithm(lambda o: DSGD, nodes=10**30), ("nodes is", "give an integer from 2 to 1000")),
    (lambda: tj.testing.check_algorithm(lambda o: DSGD, only=3), ("only is 3", "such as ('mesh',)")),
    (lambda: topology.from_matrix(np.ma.masked_array(PAIRS)), ("matrix is a masked array", "give real numbers")),
    (lambda: topology.directed([[0.9, 0.5], [0.5, 0.5]], "row"), "matrix is not row-stochastic: row 0 sums to 1.4"),
    (lambda: simulate(seeds=memoryview(b"3")), ("seeds is", "give an integer of at least 1")),
    (lambda: tj.mix(MIXING, jnp.ones(4), 0, jnp.ones((4, 2))), ("sent has a leaf of shape (4, 2)", "give both alike")),
    (
        lambda: models.convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 1, 2)), strides=0),
        ("strides is 0", "two integers"),
    ),
    (
        lambda: models.convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 1, 2)), padding=((1, 1),)),
        ("padding is ((1, 1),)", "give VALID, SAME, or zeros before and after"),
    ),
    (
        lambda: models.convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 1, 2)), padding="FULL"),
        ("unknown padding 'FULL'", "VALID"),
    ),
    (lambda: models.max_pool(jnp.ones((2, 1, 1, 3))), ("maps has 1 x 1 pixels", "give at least 2 x 2")),
    (
        lambda: models.Conv(0, (3, 3)).init(KEY_0, jnp.ones((1, 8, 8, 2))),
        "features is 0; give an integer",
    ),
    (lambda: models.Conv(4, 3).init(KEY_0, jnp.ones((1, 8, 8, 2))), ("kernel_size is 3", "give two integers")),
    (
        lambda: models.GroupNorm(epsilon=-1).init(KEY_0, jnp.ones((2, 8, 8, 2))),
        ("epsilon is -1", "give a finite number above 0"),
    ),
    (lambda: theory.measure(QUADRATIC, np.array(["a"] * 3)), ("params is", "no arrays of numbers")),
    (
        lambda: tasks.classification(DATA, nodes=4, augment=lambda key, x: x.astype(int)),
        ("augment makes int32[2,8,8,1] of a batch float32[2,8,8,1]", "and floats"),
    ),
    # what does not go together
    (lambda: topology.Topology("x", ()), ("rounds of topology 'x' is empty", "telejax.topology.from_matrix")),
    (lambda: topology.Topology.build("x", 3), ("rounds of topology 'x' is 3", "telejax.topology.from_matrix")),
    (lambda: topology.Topology("x", 3), ("rounds of topology 'x' is 3", "telejax.topology.from_matrix")),
    (lambda: topology.Topology("x", ("a",)), ("rounds of topology 'x' holds 'a'", "telejax.topology.from_matrix")),
    (lambda: topology.Topology("x", RING.rounds + topology.ring(5).rounds), ("rounds over [4, 5] nodes", "the same")),
    (lambda: topology.Topology("x", RING.rounds, None), ("unknown stochastic None", "give one of: both")),
    (lambda: topology.from_spec("matcha:graph=", 6), ("has the value ''", "a word, as in name:parameter=word")),
    (lambda: topology.Topology(3, RING.rounds), ("name is 3", TEXT)),
    (lambda: topology.table(8, ["ring"], tolerance=1.5), ("tolerance is 1.5", "above 0 and below 1")),
    (lambda: RING.rounds_to_consensus(tolerance=1.0), ("tolerance is 1.0", "above 0 and below 1")),
    (
        lambda: topology.reweighted(topology.directed(PAIRS, "row"), "lazy"),
        ("topology 'directed' is directed", "only undirected edges take new weights"),
    ),
    (lambda: tj.mix(MIXING, jnp.ones(4), round=2**31), ("round is 2147483648", "give an integer from")),
    (lambda: tj.neighbours(MIXING, round=2**40), ("round is 1099511627776", "give an integer from")),
    (lambda: JOINT.keep([7]), ("places is 7", "give an integer from 0 to 1")),
    (lambda: data.label_counts([[0, -2]], [0, 1], 2), ("table has the number -2", "shorter rows ending in -1")),
    (lambda: data.Dataset("x", None, None, None), ("train is None", "give a Split")),
    (lambda: models.convolve(None, None), ("maps is None", "give an array of four axes")),
    (lambda: models.convolve(jnp.ones((1, 8, 8, 2)), 3), ("kernel is 3", "give an array of four axes")),
    (lambda: models.max_pool(None), ("maps is None", "give an array of four axes")),
    (
        lambda: models.convolve(jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 1, 2)), form="x"),
        ("unknown form 'x'", "windows"),
    ),
    (lambda: models.as_network("mlp", 0), ("classes is 0", COUNT)),
    (lambda: models.as_network("mlp", "x"), ("classes is 'x'", COUNT)),
    (lambda: RING.draw(axes=3), ("axes is 3", "give matplotlib axes")),
    (
        lambda: tj.gradients(KEY_0, jnp.ones((1, 4, 3)), jnp.zeros(1, int), QUADRATIC),
        ("params is not like what task.init returns", "give a row of it for each slot"),
    ),
    (lambda: tj.Network(load=object()).check(), ("load is an object", "leave it out")),
    (lambda: tj.Network(record=object()).bind(3), ("record is an object", "leave it out")),
    (lambda: RUN.report(overwrite="junk"), ("overwrite is 'junk'", "give True or False")),
    (lambda: tj.topology.from_spec("torus:", 9), ("topology is 'torus:'", "nothing after the colon")),
    (lambda: registry.build("dsgd/", SGD, workers=4), ("method is 'dsgd/'", "give a topology")),
    (
        lambda: tj.theory.optimal_active(PROBLEM, nodes=9, rounds=9, tolerance="junk"),
        ("tolerance is 'junk' and objective 'bound'", "leave it out, or give objective='slots'"),
    ),
    (
        lambda: tj.theory.optimal_active(PROBLEM, nodes=9, rounds=9, learning_rates=[0.1]),
        ("learning_rates is [0.1] and objective 'bound'", "leave it out, or give objective='slots'"),
    ),
    (
        lambda: tj.theory.optimal_active(
            tj.tasks.quadratic(nodes=9, dim=3), rounds=9, objective="slots", learning_rates=3
        ),
        ("learning_rates is 3", "give"),
    ),
    (
        lambda: tj.theory.optimal_active(
            tj.tasks.quadratic(nodes=9, dim=3), rounds=9, objective="slots", tolerance="junk"
        ),
        ("tolerance is 'junk'", "give a finite number"),
    ),
    (
        lambda: tj.theory.epsilon(1.0, uses=10, batch=2, samples=100, nodes=50),
        ("nodes is 50, and level is 'sample'", "give level='node', or leave it out"),
    ),
    (lambda: tj.Bound("x"), ("least is 'x'", "give a number")),
    (lambda: tj.Bound(NAN), ("least is nan", "give a number")),
    (lambda: tj.Bound(most="x"), ("most is 'x'", "give a number")),
    (lambda: tj.Bound(most=2**200), ("most is 16069", "at most 3.4e+38, or infinity")),
    (lambda: tj.Bound(below=NAN), ("below is nan", "give True or False")),
    (lambda: tj.Bound(exclusive=1j), ("exclusive is 1j", "give True or False")),
    (lambda: tj.Bound(1.0, most=0.0), ("least is 1 and most 0", "give a larger most")),
    (lambda: tj.gradients(0, jnp.ones((1, 3)), jnp.zeros(1, int), QUADRATIC), ("key is 0", KEY)),
    (lambda: tj.gradients(KEY_0, jnp.ones((1, 3)), jnp.zeros(1, int), None), ("task is None", "give a task")),
    (lambda: tj.apply_gradients(jnp.ones((1, 3)), jnp.ones((1, 3)), (), "sgd"), ("optimizer is 'sgd'", OPTIMIZER)),
    (lambda: tj.testing.check_task(None), ("task is None", "give a task")),
    (lambda: tj.testing.check_algorithm(None), ("make is None", "give a function of an optimizer")),
    (lambda: tj.testing.check_algorithm(DSGD.bind, tasks="x"), ("tasks is 'x'", "give a list of tasks")),
    (lambda: tj.testing.check_algorithm(DSGD.bind, tasks=[3]), ("tasks is 3", "give a list of tasks")),
    (lambda: tj.testing.check_algorithm(DSGD.bind, without=3), ("without is 3", "give a sequence of names")),
    (lambda: tj.testing.check_algorithm(DSGD.bind, without=None), ("without is None", "give a sequence of names")),
    (
        lambda: tj.testing.check_algorithm(DSGD.bind, only=["trees"], without=["trees"]),
        ("only is ['trees'] and without ['trees']", "leave at least one check"),
    ),
    (lambda: tj.testing.check_algorithm(DSGD.bind, only="mesh"), ("only is 'mesh'", "give a sequence of names")),
    (lambda: tj.compare([DSGD], tasks.digits(nodes=4), rounds=5, target=-1), ("target is -1.0", "right answers")),
    (lambda: tj.compare([DSGD], QUADRATIC, rounds=5, tune={"mometum": [0.1]}), "unknown number in tune 'mometum'"),
    (lambda: simulate(on_evaluation=lambda: None), ("on_evaluation is", "give a function of the new rows")),
    (lambda: simulate(on_evaluation=lambda a, b: None), ("on_evaluation is", "cannot be called with one argument")),
    (lambda: simulate(checkpoint="a\0b"), ("checkpoint is 'a\\x00b'", "give a new folder")),
    # optimizers and methods
    (lambda: tj.optimizer(optax.adamw, learning_rate=0.1, mask=3), ("mask is 3", "give booleans like the parameters")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda step: None), ("returned NoneType", "to one number")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda step: jnp.ones(3)), ("returned float32[3]", "to one number")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda step: True), ("returned bool[]", "to one number")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda step: np.uint32(1)), ("returned uint32[]", "to one number")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda step: -1.0), ("learning_rate is -1.0", NUMBER)),
    (lambda: tj.optimizer(optax.sgd, learning_rate=lambda: 0.1), ("which fails for a step", "to one number")),
    (lambda: tj.optimizer(lambda **numbers: None, learning_rate=0.1), ("returned NoneType", "such as optax.sgd")),
    (lambda: tj.optimizer(optax.sgd(0.1)), ("factory is", "give a function such as optax.sgd, not its result")),
    (lambda: tj.optimizer(optax.sgd), ("sgd does not take {}", "'learning_rate'")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=0.1, foo=1), ("sgd does not take", "'foo'")),
    (lambda: tj.optimizer(optax.lbfgs, learning_rate=0.1), ("optimizer is lbfgs", "give one without a line search")),
    (lambda: tj.as_optimizer(optax.lbfgs()), ("a ready optax transformation", "give one without a line search")),
    (lambda: tj.as_optimizer("sgd"), ("optimizer is 'sgd'", OPTIMIZER)),
    (lambda: tj.decentralized_sgd(topology="foo", optimizer=SGD), "unknown topology 'foo'; give one of"),
    (lambda: tj.random_walk(topology="rign", optimizer=SGD), "unknown topology 'rign'; did you mean 'ring'?"),
    (lambda: tj.auto(topology="rign", optimizer=SGD), "unknown topology 'rign'; did you mean 'ring'?"),
    (lambda: tj.teleportation(active=5, topology=RING, optimizer=SGD), ("topology 'ring' has 4", "build it with 5")),
    (lambda: tj.joint_teleportation(active=[], topology="ring", optimizer=SGD), "active is empty; give at least one"),
    (lambda: tj.joint_teleportation(active=[2.5], topology="ring", optimizer=SGD), ("active is 2.5", COUNT)),
    *(
        (partial(function, candidates=candidates), words)
        for function in (partial(tj.auto, optimizer=SGD), search, partial(theory.bounds, PROBLEM, nodes=8, rounds=9))
        for candidates, words in (
            ([], "candidates is empty; give a list of at least one"),
            ([0], "candidates is 0; give an integer of at least 1"),
            ([2.5], "candidates is 2.5; give an integer of at least 1"),
            ([True], "candidates is True; give an integer of at least 1"),
            ([1, 1], "candidates is [1, 1]; give each number of active nodes only once"),
        )
    ),
    # numbers that float32 does not hold, in a network and in a method
    (lambda: tj.network.links.uniform(bandwidth=1e-300), ("bandwidth is 1e-300, which is 0 in float32", "above 0")),
    (lambda: tj.network.links.plane(bandwidth=1e-46), ("bandwidth is 1e-46, which is 0 in float32", "above 0")),
    (lambda: tj.network.links.table([[0, 1e39], [1, 0]], LINKS), ("latency from node 0 to 1 is 1e+39", "3.4e+38")),
    (lambda: tj.network.links.table(LINKS, [[0, 1], [1e-300, 0]]), ("bandwidth from node 1 to 0 is", "0 in float32")),
    (lambda: tj.network.links.table([[0, NAN], [1, 0]], LINKS), ("latency from node 0 to 1 is nan", DURATION)),
    *(
        (partial(tj.network.links.table, LINKS, LINKS, uplink), ("uplink", remedy))
        for uplink, remedy in (
            (["a", "b"], "give 2 finite numbers above 0"),
            (["1", "2"], "give 2 finite numbers above 0"),
            ([True, True], "give 2 finite numbers above 0"),
            (np.array(["2020", "2021"], "M8[s]"), "give 2 finite numbers above 0"),
            ([1.0, 2.0, 3.0], "give 2 finite numbers above 0"),
            (memoryview(b"ab"), "give 2 finite numbers above 0"),
            ([1e300, 1.0], "uplink of node 0 is 1e+300; give a number of at most 3.4e+38"),
            ([1.0, 1e-300], "uplink of node 1 is 1e-300, which is 0 in float32"),
        )
    ),
    (lambda: tj.network.machines.table([1e300, 1.0]), ("seconds of node 0 is 1e+300", "at most 3.4e+38")),
    (lambda: tj.network.machines.table(bytearray(b"ab")), ("seconds is bytearray", "give the seconds of a gradient")),
    (
        lambda: tj.network.activation.weighted([1e30, 1e-30]),
        ("weights of node 1 is 1e-30", "differ by less than 2^100"),
    ),
    (
        lambda: tj.network.activation.weighted("data").bind(3, {"data": np.array([2, 0, 1])}),
        ("samples_per_node of node 1 is 0", "give numbers above 0"),
    ),
    (lambda: tj.network.activation.weighted(np.array([1, np.longdouble("1e400")])), ("weights of node 1", "3.4e+38")),
    (lambda: tj.network.activation.duty(0.1).check(8, 1), ("raise the limit of duty to 0.12 or more",)),
    (lambda: tj.network.links.sites([2**62] * 3), ("sizes adds up to 13835058055282163712", "give at most 2147483647")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=0.1, momentum=1 - 1e-12), ("momentum is", "below 1")),
    (lambda: method("prox_skip", probability=1e-300), ("probability is 1e-300, which is 0 in float32", "above 0")),
    (lambda: method("prox_skip", dual_step=1e-300), ("dual_step is 1e-300, which is 0 in float32", "above 0")),
    (lambda: method("choco_sgd", consensus_step=1e-300), ("consensus_step is 1e-300, which is 0", "above 0")),
    (lambda: method("k_gt", communication_step=1e-300), ("communication_step is 1e-300, which is 0", "above 0")),
    (lambda: tj.optimizer(optax.sgd, learning_rate=1e-46), ("learning_rate is 1e-46, which is 0 in float32", "larger")),
    # what a run tells a network
    (lambda: tj.Network(record=3), ("record is 3; leave it out", "simulate(record=20) asks for it")),
    (lambda: tj.Network(load=True), ("load is True; leave it out", "simulate(load=True) asks for it")),
    (lambda: tj.Network(nodes="x"), ("nodes is 'x'; leave it out", "network.bind(nodes) tells it")),
    (lambda: tj.Network(loss=np.array([0.5, 3.0])), ("loss is array", "give a probability from 0 to 1")),
    (lambda: tj.Network(loss=np.ma.array(0.5, mask=True)), ("loss is ", "give a probability from 0 to 1")),
    (lambda: tj.Network(outage=np.array(["a"])), ("outage is array", "give a probability from 0 to 1")),
    (lambda: tj.Network(loss=Stubborn()), ("loss is a Stubborn", "give a probability from 0 to 1")),
    # paths and texts that no file takes
    (lambda: RUN.save("/tmp/\udcff"), ("path is '/tmp/\\udcff'", "give the path of a new folder")),
    (lambda: tj.sweep(BASE, "\udcff"), ("out is '\\udcff'", "give the path of a folder")),
    (lambda: simulate(checkpoint="\udcff"), ("checkpoint is '\\udcff'", "give a new folder")),
    (lambda: simulate(profile="\udcff"), ("profile is '\\udcff'", "give the path of a folder")),
    (lambda: RUN.save(Letters("/")), ("path is '/'", "give a new folder")),
    (lambda: tj.Metric("\ud800", len), ("name of a Metric is '\\ud800'", "give the name of its column")),
    (lambda: tj.Metric(Rude(), len), ("name of a Metric is a Rude", "give the name of its column")),
    (lambda: tj.Metric("m", Letters()), ("fn of Metric 'm' is a Letters", "give fn(models")),
    (lambda: tj.Metric("m", len, Rude()), ("higher_is_better of Metric 'm' is a Rude", "give True, False or None")),
    (lambda: tj.Metric("m", len, None, Rude()), ("label of Metric 'm' is a Rude", TEXT)),
    (lambda: topology.permuted(RING, Letters("a")), ("order is a Letters", "give each of the integers 0 to 3")),
    (lambda: topology.sequence([RING, RING], name=Rude()), ("name is a Rude", TEXT)),
    (lambda: simulate(devices=Letters("a")), ("devices is a Letters", "give a platform and how many")),
    (lambda: simulate(devices="x" * 10**5), ("devices is a str", "give a platform and how many")),
    (lambda: simulate(devices="foo:1"), ("devices is 'foo:1'", "give one of this machine, as in 'cpu:2'")),
    (lambda: tj.testing.check_algorithm(lambda o: DSGD, only=Letters("a")), ("only is a Letters", "give a sequence")),
    (lambda: tj.SweepSpec.from_dict({**BASE, "rounds": Rude()}), "rounds is a Rude; give an integer"),
    (lambda: tj.SweepSpec.from_dict({**BASE, "rounds": "x" * 10**5}), "rounds is a str; give an integer"),
    # integers with more digits than Python shows
    (lambda: topology.ring(10**5000), ("nodes is an int of more digits than can be shown", "give a smaller one")),
    (lambda: simulate(rounds=10**5000), ("rounds is an int of more digits than can be shown", "give a smaller one")),
    # tasks and optimizers that are broken
    *(
        (partial(function, KEY_0, params, np.array([0, 3]), QUADRATIC), ("params is not like what task.init", "a row"))
        for function in (tj.gradients, lambda *args: local_update(*args, opt_state=jax.vmap(SGD.build().init)(args[1])))
        for params in (jnp.ones((2, 2)), {"a": SLOTS})
    ),
    (
        lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), Task(loss=lambda params, node, key: params)),
        ("task.loss returned float32[3]", "return a scalar float"),
    ),
    *(
        (partial(tj.gradients, KEY_0, SLOTS, np.array([0, 3]), Task(loss=loss)), ("task.loss fails", "a scalar float"))
        for loss in (lambda params, node: params, lambda params, node, key: float(params[0]))
    ),
    (lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), Task(nodes=None)), ("task.nodes is None", "a static field")),
    (lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), Stubborn()), ("task is a Stubborn", "was not called")),
    (lambda: stepping(step=lambda: 3), ("step is <function", "cannot be called with five arguments")),
    (lambda: stepping(step=Stubborn()), ("step is a Stubborn", "cannot be called with five arguments")),
    (lambda: tj.as_optimizer(NO_FUNCTIONS), ("optimizer is", "init or update is no function", "optax.sgd(0.1)")),
    (lambda: tj.optimizer(lambda: NO_FUNCTIONS), ("init or update is no function", "give such as optax.sgd(0.1)")),
    (
        lambda: tj.optimizer(optax.identity, learning_rate=0.1),
        ("identity does not take", "the arguments that it names"),
    ),
    (
        lambda: tj.optimizer(optax.sgd, learning_rate=topology.ring),
        ("learning_rate is <function ring", "which fails for a step", "to one number"),
    ),
    (lambda: simulate(algorithm=Stubborn()), ("algorithm is a Stubborn", "was not called")),
    (lambda: simulate(task=Stubborn()), ("task is a Stubborn", "was not called")),
    (lambda: simulate(on_evaluation=Stubborn()), ("on_evaluation is a Stubborn", "with one argument")),
    (lambda: simulate(tune=np.linspace(0.1, 0.2, 10**6)), ("tune has 1000000 combinations", "give at most 100000")),
    (lambda: tj.decentralized_sgd(topology=tj.Network, optimizer=SGD).bind(QUADRATIC), ("topology is <class", PLATE)),
    # containers
    (lambda: data.Split(None, None), ("inputs is None", "make the data set with from_arrays")),
    (lambda: data.Split(IMAGES, LABELS - 1), ("labels holds -1", "give the integer class, from 0")),
    (lambda: data.Split(IMAGES, LABELS + 2**31), ("labels holds 2147483651", "number the classes from 0, to 16777215")),
    (
        lambda: replace(DATA, test=data.Split((IMAGES * 255).astype(np.uint8), LABELS)),
        ("train has inputs of float32 and test of uint8", "give all as uint8, or none"),
    ),
    (lambda: data.Split(IMAGES, LABELS[:3]), ("labels has 3 samples and inputs 40", "an integer label for each")),
    (lambda: data.Split(IMAGES, LABELS / 2), ("labels is ", "an integer label for each")),
    (lambda: tj.testing.TreeTask("x", None), ("nodes is 'x'", COUNT)),
    (lambda: tj.Result(None, {}, {}), ("history is None", "give a table of polars")),
    (lambda: simulate(on_evaluation=tj.live), ("on_evaluation is telejax.live", "call it, as in live('loss')")),
    (
        lambda: simulate(rounds=2**31 - 1, eval_every=1),
        ("the history of 2,147,483,648 evaluations needs", "GB are free; eval_every is 1; give a larger one"),
    ),
    (lambda: tj.Result(HISTORY, [], {}), ("config is []", "give a dictionary")),
    (lambda: tj.Result(pl.DataFrame(), {}, {}), ("history has no active", "give that of simulate")),
    (lambda: tj.Result(RUN.history.clear(), {}, {}), ("history has no rows", "give that of simulate")),
    (lambda: RUN.load(summary="no"), ("summary is 'no'", FLAG)),
    (lambda: models.logistic_regression("x"), ("classes is 'x'", COUNT)),
    (lambda: topology.from_matrix(sparse.coo_array(np.ones(3))), ("matrix has shape (3,)", "give one row a node")),
    (lambda: topology.directed(np.ones((2, 2)), "row"), ("row 0 sums to 2, not 1", "divide each row by its sum")),
    # what cannot be asked
    (lambda: tasks.quadratic(nodes=8, noise=Rude()), ("noise is a Rude, whose value cannot be read", NUMBER)),
    (lambda: tasks.quadratic(nodes=Rude()), "nodes is a Rude; give an integer of at least 2"),
    (lambda: tasks.quadratic(nodes=8, placement=Rude()), "unknown placement a Rude; give one of"),
    (lambda: tj.load(Rude()), ("path is a Rude", FOLDER)),
    (lambda: search(candidates=Rude()), ("candidates is a Rude, which cannot be read as a list", LIST_OF_K)),
    (lambda: search(candidates=range(10**12)), ("candidates is range(0, 1000000000000)", LIST_OF_K)),
    (lambda: data.iid(Rude(), 4), ("labels is a Rude", LABELS_GIVE)),
    (lambda: jax.jit(tj.compression.top_k)(0.5), ("share is", "whose value cannot be read here; give a number above")),
    (lambda: jax.jit(tj.compression.qsgd)(3), ("levels is", "give an integer from 1")),
    (lambda: tj.load("a\ud800b"), ("path is 'a\\ud800b'", FOLDER)),
    (lambda: tj.load(Bytes()), ("path is", FOLDER)),
    (lambda: classified(node_batch=np.array([1, 2])), ("node_batch is array([1, 2])", "give an integer")),
    (lambda: tasks.classification(DATA, nodes=np.array([1, 2]), partition=TABLE), ("nodes is array([1, 2])", COUNT)),
    (lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), Rude()), ("task is a Rude", "give a task")),
    (lambda: tj.gradients(Rude(), SLOTS, np.array([0, 3]), QUADRATIC), ("key is a Rude", KEY)),
    (lambda: tj.gradients(KEY_0, Rude(), np.array([0, 3]), QUADRATIC), ("params has a leaf Rude", "give floats")),
    (lambda: tj.gradients(pl.Series([1]), SLOTS, np.array([0, 3]), QUADRATIC), ("key is", KEY)),
    (lambda: tj.mix(MIXING, Rude()), ("kept has a leaf Rude", "give arrays")),
    (lambda: tj.apply_gradients(SLOTS, SLOTS, (), Rude()), ("optimizer is a Rude", OPTIMIZER)),
    (lambda: simulate(seeds=Rude()), ("seeds is a Rude", COUNT)),
    (lambda: simulate(tune=Rude()), ("tune is a Rude", "give a list of step sizes")),
    (lambda: simulate(until=Rude()), ("until is a Rude", "give a metric and its target")),
    (lambda: simulate(metrics=Rude()), ("metrics is a Rude", "give a list of telejax.Metric")),
    (lambda: simulate(metrics=range(10**12)), ("metrics is range(0, 1000000000000)", "give a list of telejax.Metric")),
    # parts of a step
    *(
        (partial(function, KEY_0, SLOTS, holders, QUADRATIC), ("holders is ", "give integers, a node of the task"))
        for function in (tj.gradients, local_update)
        for holders in ([0, 3], np.array(["a", "b"]), np.zeros(2, "M8[s]"), np.zeros((2, 1), int), None)
    ),
    *(
        (partial(function, KEY_0, params, np.array([0, 3]), QUADRATIC), ("params ", "a row"))
        for function in (tj.gradients, local_update)
        for params in (None, 0, jnp.float32(0), jnp.ones((2, 3), int), jnp.ones((3, 3)), np.array(["a", "b"]))
    ),
    *(
        (partial(tj.apply_gradients, grads, SLOTS, (), SGD), ("grads ", "give "))
        for grads in (jnp.ones((1, 3)), jnp.ones(3), None, "x", {"a": SLOTS}, np.full((2, 3), "a"))
    ),
    *(
        (partial(tj.apply_gradients, SLOTS, SLOTS, state, SGD), ("opt_state is not that of the optimizer", "give jax"))
        for state in (None, jax.vmap(optax.adam(0.1).init)(SLOTS)[:1], np.zeros((2, 3), complex), SLOTS)
    ),
    *(
        (partial(tj.local_update, KEY_0, params, state, np.array([0, 3]), QUADRATIC, SGD), ("opt_state is not", "give"))
        for params in [SLOTS]
        for state in ((), jax.vmap(optax.adam(0.1).init)(params), jax.vmap(optax.sgd(0.1, 0.9).init)(params))
    ),
    *(
        (partial(stepping, step=step), ("step is ", "give a function of transformation, gradient"))
        for step in ("f", 3, np.zeros(2), dict)
    ),
    *(
        (partial(stepping, step=step), ("step is ", f"which returned {told}", "return parameters and optimizer state"))
        for step, told in (
            (print, "None"),
            (lambda *_: 3, "int32[]"),
            (lambda transformation, grads, params, opt_state, given: params, "float32[3]"),
            (lambda transformation, grads, params, opt_state, given: (params[:1], opt_state), "(float32[1]"),
            (lambda transformation, grads, params, opt_state, given: ("x", opt_state), "(str"),
            (lambda transformation, grads, params, opt_state, given: (params, None), "(float32[3], None)"),
        )
    ),
    *(
        (partial(stepping, step=corrected, given=given), ("given has a leaf ", "give arrays of shape (2, ...)"))
        for given in ([1], KEY_0, "x", jnp.ones((3, 3)), {"a": np.ones((2, 3)), "b": 1.0}, Rude())
    ),
    (lambda: stepping(given=SLOTS), ("given is ", "step is None", "give the step that reads it")),
    (lambda: local_update(KEY_0, SLOTS, np.array([0, 3]), tj.tasks.Task), "task is Task, which was not called; give a"),
    (lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), tasks.quadratic), "task is quadratic, which was not called"),
    (lambda: tj.gradients(KEY_0, SLOTS, np.array([0, 3]), type(QUADRATIC)), "task is Quadratic, which was not called"),
    (
        lambda: local_update(KEY_0, SLOTS, np.array([0, 3]), QUADRATIC, opt_state=None),
        ("opt_state is not that of the optimizer", "give jax"),
    ),
    (
        lambda: local_update(KEY_0, SLOTS, np.array([0, 3]), QUADRATIC, steps=2**31),
        ("steps is 2147483648", "give an integer from 1 to"),
    ),
    *(
        (partial(tj.mix, MIXING, leaf), ("kept has a leaf ", "give "))
        for leaf in (np.ones(4, np.longdouble), sparse.eye_array(4), np.ma.ones(4), np, np.zeros(4, "m8[s]"))
    ),
    *(
        (partial(function, KEY_0, images), ("images is ", "give floats of shape"))
        for function in (data.random_flip, data.random_crop, data.crop_and_flip)
        for images in (np.full((1, 2, 2, 1), "a"), np.full((1, 2, 2, 1), None), np.zeros((1, 2, 2, 1), "M8[s]"))
    ),
    *(
        (partial(tj.compression.cast, dtype), ("dtype is ", "give a type of floats with a sign"))
        for dtype in (jnp.array(2), np, {"a": []}, sparse.eye_array(4), np.float16(0.5))
    ),
    # runs
    (lambda: simulate(seed=1, seeds=[2]), ("seed is 1 and seeds is [2]", "give one of the two")),
    (lambda: simulate(seeds=[0, [1]]), "seeds is [1]; give an integer of at least 0"),
    (lambda: simulate(seeds=[0.5]), "seeds is 0.5; give an integer of at least 0"),
    (lambda: simulate(seeds=["a"]), "seeds is 'a'; give an integer of at least 0"),
    (lambda: simulate(seeds={1, 2}), "seeds is {1, 2}; give an integer"),
    (lambda: simulate(seeds=[2**32]), "seeds reaches 4294967296; give seeds of at most 4294967295"),
    (
        lambda: simulate(tune={"momentum": [2.0]}, algorithm=MOMENTUM),
        "momentum is 2.0; give a number from 0 to below 1",
    ),
    (lambda: simulate(tune=[INF]), "tune is inf; give a finite number above 0"),
    (lambda: compare(methods=[]), "methods is []; give at least one method"),
    (lambda: compare(methods=["dsgd"]), "methods[0] is 'dsgd'; give an algorithm"),
    (lambda: compare(methods=[DSGD, None]), "methods[1] is None; give an algorithm"),
    (lambda: compare(methods=[tj.teleportation]), "methods[0] is teleportation, which was not called"),
    (lambda: compare(methods=[QUADRATIC]), ("methods[0] is", "give algorithms and then the task, in this order")),
    (lambda: compare(methods=[DSGD, DSGD]), ("methods is ['DSGD ring', 'DSGD ring']", "each only once")),
    (lambda: compare(task=tasks.quadratic), "task is quadratic, which was not called; give a task"),
    (lambda: compare(gradients=5), "rounds is 3 and gradients is 5; give exactly one"),
    (lambda: compare(seeds=2, tune_seeds=3), "tune_seeds is 3 and seeds is 2; give at most as many"),
    (lambda: compare(tune_seeds=0), "tune_seeds is 0; give an integer of at least 1"),
    (lambda: scaling(nodes=[]), "nodes is []; give a list of different numbers of nodes"),
    (lambda: scaling(nodes=[4, 4]), "nodes is [4, 4]; give a list of different numbers of nodes"),
    (lambda: scaling(nodes=[0]), "nodes is 0; give an integer of at least 1"),
    (lambda: scaling(nodes=8), "nodes is 8; give a list of different numbers of nodes"),
    (lambda: scaling(make_task=QUADRATIC), "make_task is a Quadratic; give a function of the number of nodes"),
    (lambda: scaling(make_task=lambda nodes: QUADRATIC), "make_task gives a task of"),
    (lambda: scaling(make_task=lambda nodes: None), ("task is None", "give a task")),
    (lambda: search(task=DSGD), ("task is", "which has no nodes", "give a task")),
    (lambda: search(candidates=[9]), "candidates holds 9 and the task has 8 nodes; activate at most 8"),
    (lambda: search(topology=RING), ("cannot be built for candidates [1, 2, 8]", "leave them out")),
    (lambda: theory.measure(QUADRATIC, np.zeros(4)), ("params is not like", "give such as result.model")),
    (lambda: theory.measure(QUADRATIC, "x"), ("params is not like", "give such as result.model")),
    (lambda: theory.measure(QUADRATIC, minimum=10.0), ("minimum is 10.0", "give a lower one")),
]


@pytest.mark.parametrize(("call", "words"), CALLS, ids=range(len(CALLS)))
def test_calls(call: Callable[[], Any], words: str | tuple[str, ...], uncompiled: None) -> None:
    check(call, words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        lambda: tasks.quadratic(nodes=np.int64(8), noise=np.float32(0.5), heterogeneity=np.array(1.0), spread=1),
        lambda: tasks.quadratic(nodes=8, noise=jnp.float32(0.5), heterogeneity=jnp.bfloat16(1.0)),
        lambda: tasks.quadratic(nodes=own(8), noise=own(0.5), placement=own("sorted"), seed=own(3)),
        lambda: method("decentralized_sgd", order=own("combine_then_adapt"), local_steps=own(1)),
        lambda: tj.topology.path(own(4)),
        lambda: tj.Network(loss=own(0.5), waiting=own("barrier")),
        lambda: tj.network.links.table(SECONDS, SECONDS).bind(1),
        lambda: topology.small_world(1),
        lambda: topology.small_world(2),
        lambda: tj.optimizer(optax.sgd, learning_rate=np.float32(0.1), momentum=None),
        lambda: tj.optimizer(optax.adamw, learning_rate=optax.constant_schedule(0.1), weight_decay=0),
        lambda: tj.optimizer(lambda learning_rate, momentum: optax.sgd(learning_rate), learning_rate=0.1, momentum=2.0),
        lambda: tj.as_optimizer(optax.chain(optax.clip(1.0), optax.adam(0.1))),
        lambda: tj.fedavg(clients=2, optimizer=SGD, state_travels=np.bool_(True)),
        lambda: tj.compression.Cast("bfloat16").bits(3),
        lambda: stepping(step=corrected, given=SLOTS),
        lambda: decayed_sgd(optax.constant_schedule(0.1), momentum=None, weight_decay=jnp.float32(0.1)),
        lambda: tj.topology.Topology.build("x", list(RING.rounds), connected=True),
        lambda: tj.theory.bounds(PROBLEM, nodes=2**31, rounds=10),
        lambda: tj.auto(optimizer=SGD, candidates=np.array([1, 2])),
        lambda: tj.network.links.uniform(latency=1e-300),
        lambda: method("prox_skip", dual_step=Fraction(1, 2)).dual_step + 0.5,
        lambda: tj.plots.plot_histories({"a": HISTORY.with_columns(messages=pl.lit(3))}, "messages"),
        lambda: topology.table(4, ("ring",)),
        lambda: tasks.digits(nodes=np.uint64(5)),
        lambda: tasks.classification(DATA, nodes=np.uint8(3), alpha=None),
        lambda: data.label_counts(TABLE.astype(np.uint64), LABELS.astype(np.uint64), 4),
        lambda: theory.measure(QUADRATIC, seed=2**32 - 1),
        lambda: check_order(begun([0, 1], [0.1, 0.2]), [0, 1], LEARNING),
        lambda: check_order(begun([0, 1], [0.1, 0.2]), [1, 2], [{"learning_rate": 0.3}]),
    ],
)
def test_what_is_right_is_taken(call: Callable[[], Any]) -> None:
    call()


@pytest.mark.slow
def test_integers_of_numpy_are_saved(tmp_path: Path, any_types: None) -> None:
    three = np.int64(3)
    found = compare(rounds=three, tune=[0.1], seeds=np.int64(2), seed=three)
    assert json.loads((found.save(tmp_path / "rounds") / "config.json").read_text())["seed"] == 3
    found = compare(rounds=None, gradients=np.int64(100), tune=[0.1], seeds=1)
    assert json.loads((found.save(tmp_path / "gradients") / "config.json").read_text())["gradients"] == 100


def test_traces_that_cannot_be_written(tmp_path: Path, uncompiled: None) -> None:
    (tmp_path / "file").write_text("taken")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name, told in (
        ("file", "which exists"),
        ("link", "a symbolic link to nothing"),
        ("file/inner", "below"),
        ("link/inner", "below"),
    ):
        path = tmp_path / name
        check(lambda path=path: simulate(rounds=9, profile=path), (f"profile is {str(path)!r}", told, "a new folder"))


def test_numbers_of_an_optimizer_are_floats_or_small_integers() -> None:
    given = {"momentum": jnp.array(0.5), "learning_rate": 0.1, "weight_decay": 2**31}
    assert tj.optimizer(decayed_sgd, **given).numbers == {**given, "momentum": 0.5, "weight_decay": 2.0**31}
    half = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=Fraction(1, 2))
    assert half.numbers["momentum"] == 0.5 and type(half.numbers["momentum"]) is float
    assert tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0).options == (("momentum", 0),)
    taken = jax.jit(
        lambda beta: jnp.zeros(tj.optimizer(optax.sgd, learning_rate=0.1, momentum=beta).numbers["momentum"].shape)
    )
    assert jax.eval_shape(taken, 0.5).shape == ()


BASE: dict[str, Any] = {
    "rounds": 10,
    "task": {"name": "quadratic", "nodes": 8},
    "method": {"name": "dsgd", "topology": "ring"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
SPECS: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("rounds", 0, "rounds is 0; give an integer from 1"),
    ("rounds", 2**31, "rounds is 2147483648; give an integer from 1 to 2147483647"),
    ("rounds", "x", "rounds is 'x'; give an integer"),
    ("rounds", [1], "rounds is [1]; give an integer"),
    ("rounds", True, "rounds is True; give an integer"),
    ("eval_every", 0, "eval_every is 0; give an integer from 1"),
    ("eval_every", 2.5, "eval_every is 2.5; give an integer"),
    ("seeds", [], "seeds is an empty list; give at least one value"),
    ("seeds", [-1], "seeds is -1; give an integer from 0"),
    ("seeds", 3, "seeds is 3; give a list, such as [0, 1, 2] for three seeds"),
    ("seeds", [2**32], "seeds is 4294967296; give an integer from 0 to 4294967295"),
    ("seeds", [2**63], "give an integer below 2^63"),
    ("seeds", [0, 0], "seeds is [0, 0]; give each value only once"),
    ("seeds", [0.5], "seeds is 0.5; give an integer"),
    ("task", None, "[task] is None; give a table with name = one of"),
    ("task", {"name": "qudratic"}, "unknown task 'qudratic'; did you mean 'quadratic'?"),
    ("task", {"name": 3}, "[task] name is 3; give a text"),
    ("task", {"name": "quadratic"}, "quadratic needs nodes; give a value"),
    ("task", {"name": "quadratic", "nodes": 8.0}, "[task] nodes is 8.0; give an integer"),
    ("task", {"name": "quadratic", "nodes": []}, "[task] nodes is an empty list; give at least one value"),
    ("task", {"name": "quadratic", "nodes": 8, "foo": 1}, ("[task] foo: unknown parameter", "give one of")),
    ("task", {"name": "quadratic", "nodes": 8, "noise": NAN}, "[task] noise is nan; give a finite number"),
    ("method", [], "method is an empty list; give at least one [[method]]"),
    ("method", "dsgd", "[method] is 'dsgd'; give a table with name = one of"),
    ("method", [3], "[method] is 3; give a table with name = one of"),
    ("method", {"name": "dsgd"}, "dsgd needs topology; give a value"),
    ("method", {"name": "dsgd", "topology": 3}, "[method] topology is 3; give a text"),
    ("method", {"name": "dsgd", "topology": "rign"}, "unknown topology 'rign'; did you mean 'ring'?"),
    ("method", {"name": "token", "tokens": 2}, "[method] tokens is 2, which token fixes; leave it out"),
    (
        "optimizer",
        {"name": "sgd", "learning_rate": [0]},
        "[optimizer] learning_rate is 0.0; give a finite number above 0",
    ),
    ("optimizer", {"name": "sgd", "learning_rate": INF}, "[optimizer] learning_rate is inf; give a finite number"),
    ("optimizer", {"name": "sgd", "learning_rate": "x"}, "[optimizer] learning_rate is 'x'; give a number"),
    (
        "optimizer",
        {"name": "sgd", "learning_rate": 0.1, "momentum": 2.0},
        "momentum is 2.0; give a number from 0 to below 1",
    ),
    ("optimizer", {"name": "adam", "learning_rate": 0.1, "b1": [2]}, "b1 is 2.0; give a number from 0 to below 1"),
    (
        "optimizer",
        {"name": "sgd", "learning_rate": [0.1, 0.10000000149]},
        ("[optimizer] learning_rate is [0.1, 0.10000000149], of which some are the same in float32", "only once"),
    ),
    ("optimizer", {"name": "sgd"}, "sgd needs learning_rate; give a value"),
    ("foo", 1, ("foo: unknown key 'foo'", "give one of: eval_every, method")),
]


@pytest.mark.parametrize(("key", "value", "words"), SPECS)
def test_specs(key: str, value: Any, words: str | tuple[str, ...]) -> None:
    check(lambda: tj.SweepSpec.from_dict({**BASE, key: value}), words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spec": None}, "spec is None; give the path of a TOML file"),
        ({"spec": 3}, "spec is 3; give the path of a TOML file"),
        ({"spec": "/nowhere.toml"}, ("spec is '/nowhere.toml', which cannot be read", "give a TOML file")),
        ({"spec": "/"}, ("spec is '/', which cannot be read: it is no regular file", "give a TOML file")),
        ({"out": None}, "out is None; give the path of a folder"),
        ({"out": ""}, "out is ''; give the path of a folder"),
        ({"out": "~/x"}, ("out is '~/x', which would be a folder called '~'", "give Path('~/x').expanduser()")),
        ({"executor": 3}, "executor is 3; give a concurrent.futures executor"),
        ({"shard": "1/1"}, "shard is '1/1'; give i/N with i from 0 to N - 1"),
        ({"shard": 3}, "shard is 3; give i/N"),
        ({"shard": Rude()}, "shard is a Rude; give i/N"),
        ({"executor": Stubborn()}, ("executor is a Stubborn", "give a concurrent.futures executor")),
        ({"executor": ThreadPoolExecutor}, ("executor is", "give a concurrent.futures executor")),
        (
            {"executor": Empty()},
            ("executor is", "whose submit returned None; give a concurrent.futures executor"),
        ),
        ({"executor": FINISHED}, ("executor is", "which takes no work", "give a new one")),
        ({"shard": [0, 1]}, "shard is [0, 1]; give i/N"),
        ({"progress": "no"}, "progress is 'no'; give True or False"),
    ],
)
def test_sweeps(arguments: dict[str, Any], words: str | tuple[str, ...], tmp_path: Path, uncompiled: None) -> None:
    check(lambda: tj.sweep(**{"spec": BASE, "out": tmp_path, **arguments}), words)


def test_an_empty_table_in_the_place_of_a_number_of_the_network(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_text("[network]\nloss = 0.1\n")
    spec = {**BASE, "network": {"file": str(file), "loss": {}}}
    check(lambda: tj.SweepSpec.from_dict(spec), ("loss of the network is an empty table", "give a number"))


def test_a_folder_of_others_is_no_place_for_a_sweep(tmp_path: Path, uncompiled: None) -> None:
    mine, link = tmp_path / "mine", tmp_path / "link"
    mine.mkdir()
    link.symlink_to(mine)
    (mine / "notes.txt").write_text("mine")
    for out in (mine, link):
        check(lambda out=out: tj.sweep(BASE, out), ("out is", "holds notes.txt and no spec.json", "choose another"))
    assert [file.name for file in mine.iterdir()] == ["notes.txt"]


def test_a_shard_without_cells_says_that_others_are_missing(tmp_path: Path) -> None:
    outcome = tj.sweep(BASE, tmp_path, shard="99/100", progress=False)
    assert "missing=1" in repr(outcome) and outcome.failures().is_empty()
    check(outcome.summary, ("no finished cells", "run those first"))


def test_a_band_along_an_axis_of_its_own_is_refused() -> None:
    table = HISTORY.with_columns(cell=0, seed=0, learning_rate=0.1)
    outcome = tj.Sweep(table, ("learning_rate",), 0)
    check(lambda: outcome.summary(by="learning_rate"), ("by is 'learning_rate', an axis of this sweep", "leave it out"))


@pytest.mark.parametrize("config", ["{}", "[]", "{", "3", "[" * 200_000])
def test_folders_that_hold_no_result(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "history.parquet")
    (tmp_path / "params.msgpack").write_bytes(flax.serialization.msgpack_serialize({}))
    check(
        lambda: tj.load(tmp_path),
        ("path is", "which holds no saved" if config.endswith(("{", "[")) else "give the folder of a result"),
    )
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "a", "nodes": 3}))
    check(
        lambda: tj.load(tmp_path),
        (
            "history.parquet has no active and no diverged and no group and no learning_rate",
            "give the folder of a result",
        ),
    )


ROW = {
    "seed": [0],
    "learning_rate": [0.1],
    "group": [0],
    "round": [0],
    "active": [3],
    "loss": [1.0],
    "diverged": [False],
}


@pytest.mark.parametrize(
    ("rows", "nodes", "params", "words"),
    [
        ({name: values[:0] for name, values in ROW.items()}, 3, {}, "has no rows; give"),
        (ROW | {"loss": ["x"]}, 3, {}, "has no whole numbers in round, seed, group, or no floats in loss"),
        (ROW | {"round": [0.5]}, 3, {}, "has no whole numbers in round, seed, group, or no floats in loss"),
        (ROW, "x", {}, "whose config.json has 'nodes': 'x', no int"),
        (ROW, -1, {}, "whose config.json has 'nodes': -1, no number of nodes"),
        (ROW, True, {}, "whose config.json has 'nodes': True, no number of nodes"),
        (ROW | {"diverged": ["x"]}, 3, {}, "history.parquet has no true or false in diverged"),
        (ROW | {"diverged": pl.Series([None], dtype=pl.Boolean)}, 3, {}, "history.parquet has rows without diverged"),
        (ROW | {"round": pl.Series([None], dtype=pl.Int64)}, 3, {}, "history.parquet has rows without round"),
        (ROW | {"round": [None]}, 3, {}, "has no whole numbers in round, seed, group, or no floats in loss"),
        ({name: values for name, values in ROW.items() if name != "active"}, 3, {}, "history.parquet has no active"),
        (ROW | {"active": ["x"]}, 3, {}, "history.parquet has no numbers in active"),
        (ROW | {"consensus": ["x"], "active": [None]}, 3, {}, "history.parquet has no numbers in active, consensus"),
        (ROW | {"learning_rate": ["x"]}, 3, {}, "history.parquet has no numbers in learning_rate"),
        (ROW, 3, 3, "whose params.msgpack holds no parameters"),
        (ROW, 3, {}, "whose params.msgpack holds no parameters"),
        (ROW, 3, np.zeros((2, 2)), "params.msgpack has float64 of shape (2, 2), no numbers with the axes (1, 1, 1)"),
        (ROW, 3, {"a": np.zeros((1, 2, 1, 3))}, "params.msgpack has float64 of shape (1, 2, 1, 3), no numbers"),
        (ROW, 3, {"a": "x"}, "params.msgpack has 'x', no numbers with the axes (1, 1, 1) of seeds"),
    ],
)
def test_results_that_are_none(rows: dict[str, Any], nodes: Any, params: Any, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "a", "nodes": nodes}))
    pl.DataFrame(rows).write_parquet(tmp_path / "history.parquet")
    (tmp_path / "params.msgpack").write_bytes(flax.serialization.msgpack_serialize(params))
    check(lambda: tj.load(tmp_path), (words, "give the folder of a result.save"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("tune", -1), ("tune", [None]), ("higher_is_better", -1), ("algorithm", None), ("seeds", "x"), ("labels", 3)],
)
def test_configs_that_are_damaged(name: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"algorithm": "a", "nodes": 3, name: value}))
    pl.DataFrame(ROW).write_parquet(tmp_path / "history.parquet")
    (tmp_path / "params.msgpack").write_bytes(flax.serialization.msgpack_serialize({}))
    check(lambda: tj.load(tmp_path), (f"config.json has {name!r}: {value!r}", "give the folder of a result.save"))
    (tmp_path / "params.msgpack").write_bytes(b"")
    check(lambda: tj.load(tmp_path), "holds no saved result: params.msgpack cannot be read")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "history.parquet")
    check(lambda: tj.load(tmp_path), ("holds no saved result", "history.parquet cannot be read: it is no regular file"))


def test_an_answer_that_is_no_truth() -> None:
    check(
        lambda: simulate(on_evaluation=lambda rows: rows), ("on_evaluation returned", "return True to stop, False or")
    )


def test_tables_that_are_nested_too_deep(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text("a = " + "[" * 3000)
    check(lambda: tj.sweep(tmp_path / "sweep.toml", tmp_path / "out"), "is nested too deep")


def test_a_value_that_cannot_be_shown_is_told_by_its_class(uncompiled: None) -> None:
    class Hidden:
        def __repr__(self):
            raise RuntimeError("hidden")

    check(lambda: simulate(seed=Hidden()), "seed is a Hidden; give an integer of at least 0")


def test_a_sweep_folder_with_a_spec_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_bytes(bytes([255, 254]))
    check(
        lambda: tj.sweep(BASE, tmp_path, progress=False), ("out is", "whose spec.json cannot be read", "choose another")
    )


def test_a_command_without_memory_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise MemoryError("Unable to allocate 373. GiB")

    monkeypatch.setattr("telejax.topology.table", full)
    monkeypatch.setattr("telejax.topology.tables.table", full)
    assert main(["topologies", "--out", str(tmp_path / "out")]) == 2
    assert "there is not enough memory" in capsys.readouterr().err


def test_files_that_are_damaged(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar", False)
    pixels = np.zeros((2, 3072), np.uint8)
    for labels, words in (
        ([0, 1.7], "a label 1.7"),
        ([0, 10], "a label 10"),
        ([0, -1], "a label -1"),
        ([0, 266], "a label 266"),
    ):
        (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}))
        check(lambda: data.cifar10(folder), ("data_batch_1", words, "not integers from 0 to 9"))
    folder = write_mnist(tmp_path / "mnist")
    for packed in folder.glob("train-*.gz"):
        packed.unlink()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((9, 0, 0), np.uint8)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(9, dtype=np.uint8)))
    check(lambda: data.mnist(folder), ("train-images", "without pixels; fetch it again"))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(9, dtype=np.uint8) + 2))
    check(lambda: data.mnist(folder), ("train-labels", "a label 10, above 9"))
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((9, 4, 4), np.uint8)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(9, np.uint8)))
    check(lambda: data.mnist(folder), ("t10k-labels", "those of training none above 0", "fetch both again"))


COMMANDS: list[tuple[str, str | tuple[str, ...]]] = [
    ("", "Missing subcommand"),
    ("foo", ("Unrecognized options", "run telejax --help, which lists what may be given")),
    ("compare --foo", ("Unrecognized options", "run telejax compare --help, which lists what may be given")),
    ("compare --nodes x", ("--nodes", "run telejax compare --help, which lists what may be given")),
    ("compare --nodes 0", "--nodes is 0; give an integer of at least 1"),
    ("compare --nodes 8 8", "--nodes is 8 8; give different numbers of nodes"),
    ("compare --nodes", "--nodes is empty; give different numbers of nodes"),
    ("compare --tune-seeds 4 --seeds 3", "--tune-seeds is 4; give an integer from 1 to 3"),
    ("compare --nodes 2.5", "--nodes"),
    ("compare --nodes 8 --nodes=16", ("--nodes is given more than once", "give it once, with all its values")),
    ("compare --methods token --methods dsgd/ring", ("--methods is given more than once", "give it once")),
    ("search --learning_rates 0.1 --learning-rates 1", ("--learning-rates is given more than once", "give it once")),
    ("compare --nodes 1000000000", ("nodes is 1000000000", "use at most 1400 nodes")),
    ("compare --methods dsgd/ring --active 4", "--active is 4, which none of dsgd/ring takes; leave it out"),
    ("compare --seed -1", "--seed is -1; give an integer of at least 0"),
    ("compare --seed 99999999999", ("seed reaches 100000000001", "give seeds of at most 4294967295")),
    ("compare --seed 9223372036854775808", "give seeds of at most 4294967295"),
    ("compare --seeds 0", "--seeds is 0; give an integer of at least 1"),
    ("compare --seeds 1000000000", "seeds is 1000000000, which needs 1024.0 GB"),
    ("compare --alpha x", "--alpha"),
    ("compare --alpha 0", "--alpha is 0.0; give a finite number above 0"),
    ("compare --alpha nan", "--alpha is nan; give a finite number above 0"),
    ("compare --momentum 1", "--momentum is 1.0; give a number from 0 to below 1"),
    ("compare --momentum nan", "--momentum is nan; give a finite number"),
    ("compare --learning-rates", "--learning-rates is empty; give at least one step size"),
    ("compare --learning-rates 0", "--learning-rates is 0.0; give a finite number above 0"),
    ("compare --learning-rates inf", "--learning-rates is inf; give a finite number above 0"),
    ("compare --methods", "--methods is empty; give at least one method"),
    ("compare --methods foo", "unknown method 'foo'; give one of: all-reduce"),
    ("compare --methods ''", "unknown method ''; give one of: all-reduce"),
    ("compare --methods fedavg/ring", ("method is 'fedavg/ring'", "leave /ring out")),
    ("compare --methods all-reduce/ring", ("method is 'all-reduce/ring'", "leave /ring out")),
    ("compare --methods token/rign", "unknown topology 'rign'; did you mean 'ring'?"),
    ("compare --methods token:tokens=2", ("method is 'token:tokens=2', which gives tokens", "leave it out")),
    ("compare --methods dsgd/torus:rows=2,rows=5", ("gives rows twice", "give it once")),
    ("compare --methods fedavg:local_steps=1,local_steps=2", ("local_steps of", "is '1' and '2'; give it once")),
    ("compare --methods fedavg:local_steps=0", "local_steps is 0; give an integer of at least 1"),
    ("compare --methods fedavg:local_steps=x", "local_steps of method fedavg is 'x'; give an integer"),
    (
        "compare --methods fedavg:foo=1",
        ("unknown parameter of method fedavg 'foo'", "give one of: aggregation, clients"),
    ),
    ("compare --methods teleportation:active=0", "active is 0; give an integer of at least 1"),
    ("compare --active 101", "active is 101 and the task has 100 nodes; activate at most 100"),
    ("compare --rounds 2147483648", "rounds is 2147483648; rounds are counted in int32"),
    ("compare --eval-every 0", "--eval-every is 0; give an integer of at least 1"),
    ("compare --optimizer foo", "unknown optimizer 'foo'; give one of: adagrad"),
    ("compare --optimizer adma", "unknown optimizer 'adma'; did you mean 'adam'?"),
    ("compare --optimizer adam:b1=2", "b1 is 2.0; give a number from 0 to below 1"),
    ("compare --optimizer adam:b1=x", "b1 of optimizer adam is 'x'; give a number"),
    ("compare --optimizer adam:b1=0.8,b1=0.9", "is '0.8' and '0.9'; give it once"),
    ("compare --optimizer sgd:momentum=2", "momentum is 2.0; give a number from 0 to below 1"),
    ("compare --task foo", "--task is 'foo'; give package.module:name"),
    ("compare --task nope:x", ("task is 'nope:x'", "run where Python can import it")),
    ("compare --task math:pi", ("task is 'math:pi'", "give a function that makes a task")),
    ("compare --task math:hypot", ("parameters that cannot be read", "give a Python function")),
    ("compare --task refusals:task_of", ("which needs nodes", "annotate it, as in nodes: int")),
    (
        "compare --task textwrap:fill",
        ("which needs text; write textwrap:fill:text=... and annotate it, as in text: float"),
    ),
    ("compare --task telejax.tasks:quadratic --model lenet", ("--model is lenet", "no parameter model; leave it out")),
    ("compare --task telejax.tasks:koloskova_quadratic --placement sorted", ("--placement is sorted", "leave it out")),
    ("compare --task telejax.tasks:quadratic --data-dir /", ("--data-dir is /", "no parameter data_dir; leave it out")),
    (
        "compare --task telejax.tasks:quadratic:noise=2 --noise 3",
        ("--noise is 3.0", "gives noise=2; leave one of them"),
    ),
    ("compare --task telejax.tasks:quadratic:nodes=5 --nodes 6", ("--nodes is 6", "gives nodes=5; leave one of them")),
    ("search --task telejax.tasks:quadratic:nodes=5 --nodes 6", ("--nodes is 6", "gives nodes=5; leave one of them")),
    ("compare --task telejax.tasks:quadratic --alpha 1", ("--alpha is 1.0", "leave it out")),
    ("compare --task telejax.tasks:quadratic --dataset digits", ("--dataset is digits and --task", "give one of")),
    ("compare --dataset foo", "--dataset"),
    ("compare --dataset mnist --data-dir /nowhere", ("in /nowhere", "fetch the four IDX files")),
    ("compare --data-dir /x", ("--data-dir is '/x'", "leave it out")),
    *(
        (f"{command} --dataset quadratic {option}", (f"{told}, which --dataset quadratic", "leave it out"))
        for command in ("compare", "search")
        for option, told in (
            ("--model lenet", "--model is lenet"),
            ("--alpha 0.1", "--alpha is 0.1"),
            ("--batch 8", "--batch is 8"),
            ("--augment flip", "--augment is flip"),
            ("--evaluated 10000", "--evaluated is 10000"),
            ("--node-batch 4", "--node-batch is 4"),
        )
    ),
    ("compare --heterogeneity 5", ("--heterogeneity is 5.0, which --dataset digits", "leave it out")),
    ("search --noise 1", ("--noise is 1.0, which --dataset digits", "give --dataset quadratic")),
    ("compare --dataset quadratic --noise nan", "--noise is nan; give a finite number of at least 0"),
    ("compare --dataset quadratic --heterogeneity -1", "--heterogeneity is -1.0; give a finite number"),
    ("compare --batch 2147483648", ("batch is 2147483648", "give fewer samples a gradient")),
    ("compare --evaluated 0", "--evaluated is 0; give an integer of at least 1"),
    ("compare --model foo", "--model"),
    ("compare --model lenet", ("model does not take inputs of shape (64,)", "choose an MLP")),
    ("compare --augment flip", ("augment does not take inputs of shape (64,)", "leave it out")),
    ("compare --placement foo", "--placement"),
    ("search --rounds 1 --gradients 1", "--rounds is 1 and --gradients is 1; give one of the two"),
    ("search --gradients 5", "gradients is 5; give at least 64"),
    ("search --candidates", "candidates is empty; give a list of at least one"),
    ("search --candidates 0", "--candidates is 0; give an integer of at least 1"),
    ("search --candidates 101", "candidates holds 101 and the task has 100 nodes; activate at most 100"),
    ("search --candidates 1 1", "candidates is [1, 1]; give each number of active nodes only once"),
    ("search --tolerance -1", "--tolerance is -1.0; give a finite number of at least 0"),
    ("search --tolerance nan", "--tolerance is nan; give a finite number of at least 0"),
    ("search --objective x", "--objective"),
    ("search --topology foo", "unknown topology 'foo'; give one of"),
    ("search --seeds 0", "--seeds is 0; give an integer of at least 1"),
    ("sweep", "Missing from telejax sweep"),
    ("sweep /nowhere.toml", ("spec is '/nowhere.toml'", "give a TOML file")),
    ("sweep /", ("spec is '/'", "give a TOML file")),
    ("search --task sys:exit", ("a function that was called ended the program with SystemExit", "of sys:exit; let it")),
    ("sweep SPEC --shard x", "shard is 'x'; give i/N with i from 0 to N - 1"),
    ("sweep SPEC --shard 1/1", "shard is '1/1'; give i/N with i from 0 to N - 1"),
    ("sweep SPEC --metric los", "unknown column of --metric 'los'; did you mean 'loss'?"),
    ("sweep SPEC --metric x", "unknown column of --metric 'x'; give one of"),
    ("topologies --nodes 0", "--nodes is 0; give an integer of at least 1"),
    ("topologies --names foo", "unknown topology 'foo'; give one of"),
    ("topologies --names torus:rows=5,rows=5", ("gives rows twice", "give it once")),
    ("topologies --names hypercube", ("topology 'hypercube': nodes is 25", "such as 16 or 32")),
    ("topologies --nodes 100000000000000000000 --names ring", "give at most 2^53"),
    ("topologies --seed -1", "--seed is -1; give an integer of at least 0"),
    ("topologies --seed 4294967296", "seed is 4294967296; give an integer from 0 to 2^32 - 1"),
]


@pytest.mark.parametrize(("line", "words"), COMMANDS)
def test_commands(line: str, words: str | tuple[str, ...], tmp_path: Path, capsys: Any, uncompiled: None) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text("""rounds = 2
task = {name = "quadratic", nodes = 8}
method = {name = "dsgd", topology = "ring"}
optimizer = {name = "sgd", learning_rate = 0.1}
""")
    out = ["--out", str(tmp_path / "out")] if line.split(" ")[0] in ("compare", "search", "sweep", "topologies") else []
    try:
        code = main([*shlex.split(line.replace("SPEC", str(spec))), *out])
    except SystemExit as stop:  # of an option that cannot be read
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    assert code == 2 and "Traceback" not in printed.err
    told = re.sub(r"\s+", " ", printed.err)
    for word in (words,) if isinstance(words, str) else words:
        assert word in told


def test_a_method_walks_on_the_graph_it_is_given(uncompiled: None, tmp_path: Path) -> None:
    with pytest.raises(ReachedCompilation):
        main(["compare", "--methods", "token/ring", "--out", str(tmp_path / "out")])


def test_tables_with_a_column_twice_or_without_values(tmp_path: Path) -> None:
    for text, words in (
        ("node,seconds,seconds\n0,1,2\n", "column seconds is given twice; give it once"),
        ("node,seconds,seconds\n0,1\n", "column seconds is given twice; give it once"),
        ("node,seconds,note\n0,1\n", "column note has no value in any row; leave it out"),
    ):
        (tmp_path / "a.csv").write_text(text)
        check(lambda: tj.network.machines.from_csv(tmp_path / "a.csv"), ("a.csv, line 1: ", words))


def test_traces_that_cannot_be_told_apart(tmp_path: Path) -> None:
    for rows, words in (
        ("0,0,1e-9\n0,5,1e9", "line 2: the spell from 0.0 to 1e-09 is shorter than 0.5 seconds"),
        ("0,0,4e9", "is 4e+09 seconds, and clocks count to 2^31; give a shorter trace"),
    ):
        (tmp_path / "a.csv").write_text(f"node,up,down\n{rows}\n")
        check(lambda: tj.network.presence.trace(tmp_path / "a.csv"), words)


def test_a_trace_of_a_node_that_needs_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telejax.backend.host.host_bytes", lambda: 10**9)
    (tmp_path / "a.csv").write_text("node,up,down\n2147483646,0,5\n")
    check(lambda: tj.network.presence.trace(tmp_path / "a.csv"), ("has node 2147483646", "give fewer nodes"))


def test_toml_files_with_a_mark_or_without_syntax(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("\ufeff[network]\nloss = 0.1\n", encoding="utf-8")
    assert tj.Network.from_toml(tmp_path / "a.toml").loss == 0.1
    for text in ("x", f"rounds = {'9' * 5000}"):
        (tmp_path / "a.toml").write_text(text)
        check(lambda: tj.Network.from_toml(tmp_path / "a.toml"), ("a.toml is not TOML", "write [tables]"))


@pytest.mark.parametrize("started", ["x", 1.0])
def test_a_search_of_a_task_without_arrays(started: Any, uncompiled: None) -> None:
    task = Odd(started)
    check(lambda: search(task=task), "task.init returned")
    check(lambda: theory.measure(task), "task.init returned")
