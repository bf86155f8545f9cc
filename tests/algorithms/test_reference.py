"""Every algorithm equals its NumPy reference, and ``simulate`` counts what the reference counts.

The gradient of the quadratic is written out again from its definition; only what is random is taken from
telejax: the holders that a step reports, and the noise ``sigma / sqrt(d) * normal(key of the node)``, drawn with
the documented key of a node (``fold_in(data key of the round, node)``, and the local step folded in where there
are several).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference

import telejax as tj
from telejax.mixing import forms as mixing
from telejax.random.normal import fast_normal
from telejax.topology import lower

pytestmark = pytest.mark.usefixtures("little_optimised")

NODES, DIM, ROUNDS, EVAL_EVERY, SEED, RATE = 12, 3, 50, 7, 11, 0.04
ZETA, SIGMA, SPREAD = 2.0, 1.0, 1.5
TOLERANCE = 1e-10  # float64: 50 contracting rounds of numbers of order one, each rounded at 1e-16


def random_matrix() -> np.ndarray:
    """A dense doubly stochastic matrix that is not symmetric: a mean of permutations."""
    stream = np.random.default_rng(3)
    return np.mean([np.eye(NODES)[stream.permutation(NODES)] for _ in range(40)], axis=0)


def slot_sequence(slots: int) -> tj.Topology:
    """Rounds of different forms: a ring, the mean of all, one peer."""
    graphs = tj.topology
    return graphs.sequence([graphs.ring(slots), graphs.complete(slots), graphs.one_peer_exponential(slots)])


@contextmanager
def as_dense(wanted: bool) -> Iterator[None]:
    """Mix by matrix product, which telejax chooses for more neighbours than these small graphs have."""
    with pytest.MonkeyPatch.context() as patch:
        if wanted:
            patch.setattr(lower, "MAX_NEIGHBOURS", 2)
        yield


@dataclass(frozen=True)
class Case:
    """An algorithm, and the arguments of its reference."""

    algorithm: str
    options: dict
    topology: str | None = None
    slots: int = NODES
    splits_key: bool = True
    """Whether the round's key is split into (activate, data) first."""
    steps: int = 1

    def graph(self) -> tj.Topology | None:
        named = {
            None: lambda n: None,
            "dense": lambda n: tj.topology.from_matrix(random_matrix()),
            "sequence": slot_sequence,
        }
        on = NODES if self.algorithm == "random_walk" else self.slots
        build = named.get(self.topology)
        return build(on) if build else tj.topology.from_spec(self.topology, on)

    def build(self, momentum: float | None) -> tj.Algorithm:
        numbers = {} if momentum is None else {"momentum": momentum}
        graph = {"topology": self.graph()} if self.topology else {}
        sgd = tj.optimizer(optax.sgd, learning_rate=RATE, **numbers)
        with as_dense(self.topology == "dense"):
            return getattr(tj, self.algorithm)(optimizer=sgd, **graph, **self.options)


CASES = {
    "dsgd ring": Case("decentralized_sgd", {}, "ring", splits_key=False),
    "dsgd one-peer": Case("decentralized_sgd", {}, "one_peer_exponential", splits_key=False),
    "dsgd dense": Case("decentralized_sgd", {}, "dense", splits_key=False),
    "all-reduce": Case("all_reduce_sgd", {}, splits_key=False),
    "teleportation travels": Case("teleportation", {"active": 5}, "ring", slots=5),
    "teleportation left behind": Case("teleportation", {"active": 5, "state_travels": False}, "ring", slots=5),
    "teleportation sequence": Case("teleportation", {"active": 2}, "sequence", slots=2),
    "teleportation all": Case("teleportation", {"active": NODES, "state_travels": False}, "star"),
    "fedavg": Case("fedavg", {"clients": 4}, slots=4),
    "fedavg local": Case("fedavg", {"clients": 4, "local_steps": 3}, slots=4, steps=3),
    "fedavg travels": Case("fedavg", {"clients": 4, "local_steps": 2, "state_travels": True}, slots=4, steps=2),
    "fedavg all": Case("fedavg", {"clients": NODES, "local_steps": 2}, steps=2),
    "one token": Case("random_walk", {}, slots=1),
    "tokens": Case("random_walk", {"tokens": 3}, slots=3),
    "tokens on a graph": Case("random_walk", {"tokens": 3}, "torus", slots=3),
}


WITHOUT_MOMENTUM = ["dsgd ring", "teleportation left behind", "fedavg local", "tokens"]


@pytest.mark.fast_cases("teleportation left behind")
@pytest.mark.parametrize("name", CASES)
def test_algorithm_and_accounting_equal_the_reference(name: str, x64: None) -> None:
    for momentum in (0.8, 0.0):  # one program: the momentum is a number
        check(CASES[name], momentum)


@pytest.mark.fast_cases("dsgd ring")
@pytest.mark.parametrize("name", WITHOUT_MOMENTUM)
def test_plain_sgd_equals_the_reference(name: str, x64: None) -> None:
    check(CASES[name], None)  # without a velocity in the state, which shows in the bytes


def check(case: Case, momentum: float | None) -> None:
    task = tj.tasks.quadratic(nodes=NODES, dim=DIM, heterogeneity=ZETA, noise=SIGMA, spread=SPREAD)
    algorithm = case.build(momentum)
    result = tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=EVAL_EVERY, seed=SEED, progress=False)

    run_key = jax.random.split(jax.random.key(SEED))[1]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(run_key, jnp.arange(ROUNDS))
    holders, handoffs, stepped = stepwise(algorithm, task, keys)
    expected = run_reference(case, task, holders, keys, momentum or 0.0)

    np.testing.assert_allclose(stepped, expected.params, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(result.state.params, expected.params, rtol=0, atol=TOLERANCE)
    assert result.state.params.dtype == np.float64
    np.testing.assert_array_equal(np.cumsum([0, *handoffs]), expected.handoffs)

    at = [*range(0, ROUNDS, EVAL_EVERY), ROUNDS]
    history = result.history
    assert history["round"].to_list() == at
    travels = momentum is not None and case.options.get("state_travels", case.algorithm != "fedavg")
    copy = 8 * DIM  # bytes of float64 parameters; the velocity doubles them where it travels
    message = 2 * copy if travels and case.algorithm == "fedavg" else copy
    handoff = 2 * copy if travels else copy
    counted = {
        "gradients": [expected.gradients[t] for t in at],
        "messages_gossip": [expected.gossip[t] for t in at],
        "messages_handoff": [expected.handoffs[t] for t in at],
        "messages": [expected.gossip[t] + expected.handoffs[t] for t in at],
        "bytes_gossip": [expected.gossip[t] * message for t in at],
        "bytes_handoff": [expected.handoffs[t] * handoff for t in at],
        "bytes": [expected.gossip[t] * message + expected.handoffs[t] * handoff for t in at],
    }
    for column, values in counted.items():
        assert history[column].to_list() == values, column

    mean = expected.params.mean(axis=0)
    optimum = np.asarray(task.optimum)
    last = history.row(-1, named=True)
    measured = {
        "loss": 0.5 * np.sum((mean - optimum) ** 2),
        "grad_norm_sq": np.sum((mean - optimum) ** 2),
        "loss_slots": np.mean([0.5 * np.sum((x - optimum) ** 2) for x in expected.params]),
        "consensus": np.mean([np.sum((x - mean) ** 2) for x in expected.params]),
    }
    for column, value in measured.items():
        assert last[column] == pytest.approx(value, abs=TOLERANCE), column


def stepwise(algorithm: tj.Algorithm, task, keys: jax.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Holders and hand-offs of every round, and the last parameters, from ``init`` and ``step`` alone."""
    state, info = _scan_steps(algorithm.bind(task), task, keys)
    handoffs = np.asarray(info.counters.get("handoffs", jnp.zeros((len(keys), 1), jnp.int32)))
    return np.asarray(info.holders), handoffs[:, 0], np.asarray(state.params)


@jax.jit
def _scan_steps(algorithm, task, keys):
    def round(state, key):
        return algorithm.step(key, state, task)

    return jax.lax.scan(round, algorithm.init(jax.random.key(0), task), keys)


def run_reference(case: Case, task, holders: np.ndarray, keys: jax.Array, momentum: float) -> reference.Outcome:
    noise = draw_noise(case, keys)
    angles = 2 * np.pi * np.asarray(_positions(task)) / NODES
    curvature = np.exp(SPREAD * np.cos(angles))
    curvature /= curvature.mean()
    u, v = np.asarray(task.plane)
    slopes = ZETA * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)
    optimum = np.asarray(task.optimum)

    def gradient(x: np.ndarray, node: int, round: int, step: int) -> np.ndarray:
        return curvature[node] * (x - optimum) + slopes[node] + noise[round, node, step]

    graph = case.graph()
    matrices = [graph.matrix(t) for t in range(graph.period)] if graph else None
    start, shared = np.zeros(DIM), {"rate": RATE, "momentum": momentum}
    options = {k: v for k, v in case.options.items() if k in ("local_steps", "state_travels")}
    match case.algorithm:
        case "decentralized_sgd":
            return reference.decentralized_sgd(start, NODES, ROUNDS, gradient, matrices, **shared)
        case "all_reduce_sgd":
            return reference.all_reduce_sgd(start, NODES, ROUNDS, gradient, **shared)
        case "teleportation":
            return reference.teleportation(start, holders, gradient, matrices, **shared, **options)
        case "fedavg":
            return reference.fedavg(start, holders, gradient, **shared, **options)
        case "random_walk":
            return reference.random_walk(start, holders, gradient, **shared)
    raise AssertionError(case.algorithm)


@jax.jit
def _positions(task):
    return jax.vmap(task.shuffle)(jnp.arange(NODES, dtype=jnp.int32))


def draw_noise(case: Case, keys: jax.Array) -> np.ndarray:
    """(rounds, nodes, steps, dim): the noise that each node would add, whether it is active or not."""
    data_keys = jax.vmap(lambda key: jax.random.split(key)[1])(keys) if case.splits_key else keys
    return SIGMA / np.sqrt(DIM) * np.asarray(_normals(data_keys, case.steps))


@partial(jax.jit, static_argnames="steps")
def _normals(data_keys, steps):
    def one(key, node, step):
        node_key = jax.random.fold_in(key, node)
        return fast_normal(node_key if steps == 1 else jax.random.fold_in(node_key, step), (DIM,))

    over = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
    return over(data_keys, jnp.arange(NODES), jnp.arange(steps))


def graph_walk(topology: tj.Topology, rounds: int, tokens: int, dense: bool = False) -> np.ndarray:
    """Where the tokens were, int (rounds, tokens)."""
    nodes = topology.nodes
    task = tj.tasks.quadratic(nodes=nodes, dim=2, heterogeneity=0.0)
    with as_dense(dense):
        walk = tj.random_walk(tokens=tokens, topology=topology, optimizer=tj.optimizer(optax.sgd, learning_rate=0.0))
    assert type(walk.graph) is (mixing.Dense if dense else mixing.Neighbours)
    keys = jax.random.split(jax.random.key(5), rounds)
    return stepwise(walk, task, keys)[0]


def irregular() -> tj.Topology:
    """Uneven rows of uneven degree: node 0 hears four others, node 5 only node 4."""
    matrix = np.zeros((6, 6))
    for i, j, weight in [(0, 1, 0.1), (0, 2, 0.2), (0, 3, 0.3), (0, 4, 0.1), (4, 5, 0.2)]:
        matrix[i, j] = matrix[j, i] = weight
    return tj.topology.from_matrix(matrix + np.diag(1 - matrix.sum(axis=1)))


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True], ids=["lists", "dense"])
@pytest.mark.parametrize("graph", ["irregular", "unsymmetric"])
def test_walk_on_a_graph_follows_the_rows_of_its_matrix(graph: str, dense: bool) -> None:
    topology = irregular() if graph == "irregular" else tj.topology.from_matrix(random_matrix())
    matrix = topology.matrix()
    at = graph_walk(topology, rounds=2000, tokens=6, dense=dense)
    moves = np.zeros_like(matrix)
    np.add.at(moves, (at[:-1].ravel(), at[1:].ravel()), 1)
    assert moves[matrix == 0].sum() == 0, "a token moved where there is no edge"
    visits = moves.sum(axis=1, keepdims=True)
    expected = np.where(matrix > 0, visits * matrix, 1.0)
    # moves out of a node are multinomial over its row, so the sum of all rows' statistics is chi-square with
    # (non-zeros - rows) degrees; six standard deviations above its mean happens once in 10^8 runs or less
    statistic = np.sum(np.where(matrix > 0, (moves - expected) ** 2 / expected, 0.0))
    degrees = np.count_nonzero(matrix) - len(matrix)
    assert statistic < degrees + 6 * np.sqrt(2 * degrees)


@pytest.mark.slow
def test_walk_on_a_time_varying_graph_uses_the_round_it_is_in() -> None:
    topology = tj.topology.one_peer_exponential(8)
    at = graph_walk(topology, rounds=300, tokens=4)
    for t in range(1, len(at)):
        for before, now in zip(at[t - 1], at[t], strict=True):
            assert (now - before) % 8 in (0, 1 << (t % 3)), f"round {t}: {before} -> {now}"


@pytest.mark.slow
def test_walk_starts_at_distinct_uniform_nodes() -> None:
    topology = tj.topology.ring(6)
    task = tj.tasks.quadratic(nodes=6, dim=2)
    walk = tj.random_walk(tokens=2, topology=topology, optimizer=tj.optimizer(optax.sgd, learning_rate=0.0))
    state = walk.init(jax.random.key(0), task)
    first = jax.jit(jax.vmap(lambda key: walk.step(key, state, task)[1].holders))
    holders = np.asarray(first(jax.random.split(jax.random.key(1), 6000)))
    assert (holders[:, 0] != holders[:, 1]).all()
    pairs = np.bincount(holders[:, 0] * 6 + holders[:, 1], minlength=36).reshape(6, 6)
    statistic = np.sum((pairs[~np.eye(6, dtype=bool)] - 200) ** 2 / 200)
    assert statistic < 29 + 6 * np.sqrt(2 * 29)  # chi-square with 30 - 1 degrees
