"""Wrong kinds and values are refused where they enter, by argument, value and remedy, before anything is compiled.

``ARGUMENTS`` has a line for each argument of a public function: values that it refuses, and what the answer must hold
beside its name and the value. What algorithms, tasks and metrics of a user's own break is in ``test_bad_contract.py``.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
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

import telejax as tj
from picture_files import idx_bytes, write_cifar, write_mnist
from refusals import ReachedCompilation, check
from telejax import data, tasks, theory, topology
from telejax.cli import main
from telejax.errors import short

NAN, INF = float("nan"), float("inf")
COUNTS = [0, 2.5, "8", True, NAN, [8]]
NUMBERS = ["0.1", True, NAN, INF, -1.0, 1j, [0.1]]
FRACTIONS = [*NUMBERS, 1.5]
SEEDS = [-1, 0.5, "0", True, None]
FLAGS = ["no", 1, None]
COUNT, NUMBER, POSITIVE = "give an integer of at least 1", "give a finite number of at least 0", "number above 0"
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
RING = topology.ring(4)
MIXING = RING.mixing()
PAIRS = np.full((2, 2), 0.5)
IMAGES, LABELS = np.zeros((40, 8, 8, 1), np.float32), np.arange(40) % 4
DATA = data.from_arrays((IMAGES, LABELS), (IMAGES, LABELS))
TABLE = data.iid(LABELS, 4)
BATCH = jnp.zeros((2, 8, 8, 1))
KEY_0 = jax.random.key(0)
PROBLEM = theory.ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
RAGGED = [[1], [1, 2]]


def model(outputs: Callable[[Any], Any], dense: bool = True) -> nn.Module:
    """A model of other outputs."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            flat = inputs.reshape(len(inputs), -1)
            return outputs(nn.Dense(4)(flat) if dense else flat[:, :4])

    return Model()


class Dropping(nnx.Module):
    """An nnx model with a stream of random numbers."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.drop, self.dense = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(64, 4, rngs=rngs)

    def __call__(self, inputs):
        return self.drop(self.dense(inputs.reshape(len(inputs), -1)))


def simulate(**arguments: Any) -> Any:
    return tj.simulate(**{"algorithm": DSGD, "task": QUADRATIC, "rounds": 3, "progress": False, **arguments})


def compare(**arguments: Any) -> Any:
    return tj.compare(**{"methods": [DSGD], "task": QUADRATIC, "rounds": 3, "progress": False, **arguments})


def search(**arguments: Any) -> Any:
    return tj.search(**{"task": QUADRATIC, "optimizer": SGD, "rounds": 3, "progress": False, **arguments})


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
            "seed": (SEEDS, SEED),
        },
    ),
    (partial(tasks.quadratic, nodes=8), {"dim": ([10**10], "needs 640.0 GB, and")}),
    (partial(tasks.koloskova_quadratic, nodes=8), {"dim": ([10**10], "needs 1920.0 GB, and")}),
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
        {"nodes": ([0, 2.5, "8", 10**9], "e"), "batch": ([2**31, 10**9], "GB are free; give fewer samples")},
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
            "evaluated": (["x", 0, True], COUNT),
            "node_batch": (["x", 0, 1.5, True], "give an integer of at least 1, "),
            "seed": (SEEDS, SEED),
        },
    ),
    (
        partial(tasks.classification, data=DATA),
        {"partition": ([None and 0, "x", RAGGED, [["a"]], 3, [[0.5]]][1:], "give integers of shape (nodes, samples")},
    ),
    (data.digits, {"seed": (SEEDS, SEED)}),
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
            "table": ([None, "x", [1], [[99]], [[0.5]]], "give integers of shape (nodes, samples of a node)"),
            "labels": ([None, "x", []], LABELS_GIVE),
            "classes": ([*COUNTS, 3], "give a"),
        },
    ),
    (
        partial(tj.plots.plot_partition, table=TABLE, labels=LABELS),
        {"names": (["x", 3, ["a"]], "give a"), "table": ([None, [1]], "give integers"), "labels": ([None], "give the")},
    ),
    (
        partial(data.random_crop, key=KEY_0, images=BATCH),
        {
            "key": ([0, None], KEY),
            "images": ([None, jnp.zeros(3)], "give floats of"),
            "padding": ([-1, 2.5, "x"], SEED),
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
    (topology.block_diagonal, {"topologies": ([None, RING, "ring", 3], "give a list of at least one Topology")}),
    (partial(topology.with_self_loops, weight=0.5), {"topology": ([None, "ring"], PLATE)}),
    (partial(topology.with_self_loops, RING), {"weight": ([*NUMBERS, 1.0], "give a number of at least 0 and below 1")}),
    (partial(topology.check_stochastic, RING), {"stochastic": (["x", None], "give one of: both, column, row")}),
    *(
        (getattr(RING, name), {"round": (SEEDS, SEED)})
        for name in ("matrix", "sparse", "messages", "to_networkx", "draw")
    ),
    (RING.rounds_to_consensus, {"tolerance": ([*NUMBERS, 0], POSITIVE)}),
    (
        partial(tj.mix, mixing=MIXING, kept=jnp.ones(4)),
        {
            "mixing": ([None, "ring", RING], "give what topology.mixing() returns"),
            "round": (["x", 0.5, None, True], "give an integer"),
        },
    ),
    (tj.neighbours, {"mixing": ([None, "ring", RING], "give what topology.mixing() returns")}),
    (partial(tj.neighbours, MIXING), {"round": (["x", 0.5, None], "give an integer")}),
    (tj.block_diagonal, {"parts": ([None, MIXING, "ring", 3], "give a list of at least one mixing")}),
    (tj.bind_mixing, {}),
    (partial(tj.bind_mixing, nodes=4), {"mixing": ([None, "ring", RING], "give what topology.mixing()")}),
    (partial(tj.bind_mixing, MIXING), {"nodes": (COUNTS, COUNT)}),
    (
        partial(tj.node_mixing, topology="ring"),
        {"topology": ([None, 3], PLATE), "stochastic": (["x", None], "give one of: both")},
    ),
    (
        partial(tj.optimizer, optax.sgd, learning_rate=0.1),
        {
            "learning_rate": (NUMBERS, NUMBER),
            "momentum": ([*FRACTIONS, "x", 2], "give a number from 0 to below 1"),
            "nesterov": (["x", 1], FLAG),
        },
    ),
    (partial(tj.optimizer, learning_rate=0.1), {"factory": ([None, "sgd", 3], "give a function such as optax.sgd")}),
    (
        partial(tj.optimizer, optax.adam, learning_rate=0.1),
        {
            "b1": ([2, 1.0, "x", NAN], "from 0 to below 1"),
            "b2": ([2, 1.5], "below 1"),
            "eps": (["x", -1.0, NAN], NUMBER),
        },
    ),
    (partial(tj.optimizer, optax.adamw, learning_rate=0.1), {"weight_decay": ([-1.0, INF, "x"], NUMBER)}),
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
        {"active": ([*COUNTS, "auto"], "use telejax.auto"), "topology": ([None], PLATE)},
    ),
    (partial(tj.teleportation, topology="ring", optimizer=SGD), {"active": ([5 * 10**9], "from 1 to 2147483647")}),
    (partial(tj.fedavg, optimizer=SGD, clients=2), {"clients": (COUNTS, COUNT), "local_steps": (COUNTS, COUNT)}),
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
            "seeds": ([10**9, 10**12], "GB are free; give fewer seeds"),
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
            "target": (["x", NAN, INF, True], "give a finite number"),
            "progress": (FLAGS, FLAG),
        },
    ),
    (
        search,
        {
            "task": ([None, 3, "x"], "give a task, such as telejax.tasks.quadratic(nodes=100)"),
            "candidates": ([5, "x"], LIST_OF_K),
            "tune": ([0.1, "x"], "give a list of step sizes"),
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
            "nodes": (COUNTS, COUNT),
            "rounds": (COUNTS, COUNT),
            "p": ([*FRACTIONS, 0], "give a consensus rate above 0 and at most 1"),
            "tau": (COUNTS, COUNT),
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
            "draws": ([*COUNTS, 1], "give an integer of at least 2"),
            "steps": (COUNTS, COUNT),
            "seed": (SEEDS, SEED),
        },
    ),
    (theory.measure, {"task": ([None, DSGD, 3], "give a task, such as telejax.tasks.quadratic(nodes=100)")}),
    (tj.load, {"path": ([None, 3, "", ["a"]], FOLDER)}),
    (tj.SweepSpec.from_toml, {"path": ([None, 3, ""], SPEC)}),
]


def rows() -> Iterator[Any]:
    """Each value of each argument."""
    for function, refused in ARGUMENTS:
        called = getattr(getattr(function, "func", function), "__name__", "")
        for argument, (values, remedy) in refused.items():
            for value in values:
                yield pytest.param(function, argument, value, remedy, id=f"{called}({argument}={short(value, 24)})")


ROWS = list(rows())


@pytest.mark.parametrize(("function", "argument", "value", "remedy"), ROWS)
def test_arguments(function: Callable[..., Any], argument: str, value: Any, remedy: str, uncompiled: None) -> None:
    called = (
        {"path": "spec", "table": "table"}.get(argument, argument) if function == tj.SweepSpec.from_toml else argument
    )
    check(lambda: function(**{argument: value}), (called, short(value), remedy))
