"""Methods that must coincide, and what no method may change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

import telejax as tj
from telejax.optimizers import Optimizer

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, ROUNDS = 10, 30
ROUNDING = 2e-5  # float32 at parameters of order ten, 30 rounds whose sums run in different orders


def sgd(momentum: bool) -> Optimizer:
    numbers = {"momentum": 0.8} if momentum else {}
    return tj.optimizer(optax.sgd, learning_rate=0.05, **numbers)


def task(noise: float = 1.0, nodes: int = NODES) -> tj.tasks.Quadratic:
    return tj.tasks.quadratic(nodes=nodes, dim=4, heterogeneity=3.0, noise=noise)


@jax.jit
def run(algorithm, task, key):
    """The parameters after every round, (rounds, slots, dim)."""

    def round(state, round):
        state, _ = algorithm.step(jax.random.fold_in(key, round), state, task)
        return state, state.params

    return jax.lax.scan(round, algorithm.init(key, task), jnp.arange(ROUNDS))[1]


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [False, True])
def test_all_nodes_on_the_complete_graph_are_minibatch_sgd_over_all_nodes(momentum: bool) -> None:
    problem, key = task(), jax.random.key(2)
    algorithm = tj.teleportation(active=NODES, topology="complete", optimizer=sgd(momentum))
    every = np.asarray(run(algorithm, problem, key))

    @jax.jit
    def gradients(x, round):
        data_key = jax.random.split(jax.random.fold_in(key, round))[1]
        one = lambda node: jax.grad(problem.loss)(x, node, jax.random.fold_in(data_key, node))
        return jax.vmap(one)(jnp.arange(NODES, dtype=jnp.int32))

    x, velocity = np.zeros(4), np.zeros(4)
    for t in range(ROUNDS):
        mean = np.asarray(gradients(jnp.asarray(x, jnp.float32), t)).mean(axis=0)
        velocity = (0.8 if momentum else 0.0) * velocity + mean
        x = x - 0.05 * velocity
        np.testing.assert_allclose(every[t], np.tile(x, (NODES, 1)), rtol=0, atol=ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize(("momentum", "travels"), [(False, True), (True, True), (True, False)])
def test_complete_graph_on_k_slots_is_fedavg_with_one_local_step(momentum: bool, travels: bool) -> None:
    teleport = tj.teleportation(active=4, topology="complete", optimizer=sgd(momentum), state_travels=travels)
    average = tj.fedavg(clients=4, optimizer=sgd(momentum), state_travels=travels)
    left, right = (np.asarray(run(one, task(), jax.random.key(3))) for one in (teleport, average))
    np.testing.assert_allclose(left, right, rtol=0, atol=ROUNDING)
    if momentum:  # the option is no formality: it changes the iterates
        other = tj.fedavg(clients=4, optimizer=sgd(True), state_travels=not travels)
        assert np.abs(right - np.asarray(run(other, task(), jax.random.key(3)))).max() > 100 * ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [False, True])
def test_one_slot_is_the_random_walk(momentum: bool) -> None:
    teleport = tj.teleportation(active=1, topology="ring", optimizer=sgd(momentum))
    token = tj.random_walk(optimizer=sgd(momentum))
    left, right = (np.asarray(run(one, task(), jax.random.key(4))) for one in (teleport, token))
    np.testing.assert_allclose(left, right, rtol=0, atol=ROUNDING)


@struct.dataclass
class Renamed:
    """The task whose node i is node ``names[i]`` of another task."""

    task: tj.tasks.Quadratic
    names: jax.Array

    @property
    def nodes(self) -> int:
        return self.task.nodes

    def init(self, key):
        return self.task.init(key)

    def loss(self, params, node, key):
        return self.task.loss(params, self.names[node], key)

    def evaluate(self, params):
        return self.task.evaluate(params)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring", "star", "erdos_renyi", "exponential"])
def test_renaming_nodes_renames_results(name: str) -> None:
    names = np.random.default_rng(0).permutation(NODES)
    topology = tj.topology.from_spec(name, NODES)
    renamed = tj.topology.from_matrix(topology.matrix()[np.ix_(names, names)])
    problem = task(noise=0.0)
    plain = run(tj.decentralized_sgd(topology=topology, optimizer=sgd(True)), problem, jax.random.key(0))
    other = tj.decentralized_sgd(topology=renamed, optimizer=sgd(True))
    moved = run(other, Renamed(problem, jnp.asarray(names, jnp.int32)), jax.random.key(0))
    np.testing.assert_allclose(np.asarray(moved), np.asarray(plain)[:, names], rtol=0, atol=ROUNDING)
    wrong = tj.decentralized_sgd(topology=topology, optimizer=sgd(True))  # the nodes renamed, their graph not
    astray = run(wrong, Renamed(problem, jnp.asarray(names, jnp.int32)), jax.random.key(0))
    assert np.abs(np.asarray(astray) - np.asarray(plain)[:, names]).max() > 100 * ROUNDING


def test_renaming_nodes_changes_nothing_for_all_reduce() -> None:
    names = jnp.asarray(np.random.default_rng(0).permutation(NODES), jnp.int32)
    algorithm = tj.all_reduce_sgd(optimizer=sgd(True))
    plain, moved = (run(algorithm, one, jax.random.key(0)) for one in (task(0.0), Renamed(task(0.0), names)))
    np.testing.assert_allclose(np.asarray(moved), np.asarray(plain), rtol=0, atol=ROUNDING)


ALGORITHMS = {
    "dsgd": lambda: tj.decentralized_sgd(topology="ring", optimizer=sgd(True)),
    "teleportation": lambda: tj.teleportation(active=4, topology="ring", optimizer=sgd(True)),
    "fedavg": lambda: tj.fedavg(clients=4, optimizer=sgd(True)),
    "tokens": lambda: tj.random_walk(tokens=3, topology="ring", optimizer=sgd(True)),
    "all-reduce": lambda: tj.all_reduce_sgd(optimizer=sgd(True)),
}


@pytest.mark.fast_cases("teleportation", "tokens")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_seed_fixes_the_history_and_another_seed_changes_it(name: str) -> None:
    first, again, other = (
        tj.simulate(ALGORITHMS[name](), task(), rounds=10, eval_every=2, seed=seed, progress=False).history
        for seed in (7, 7, 8)
    )
    assert first.equals(again)
    assert (first["loss"][1:] != other["loss"][1:]).all()


def mean_of_permutations(nodes: int, count: int) -> np.ndarray:
    """A doubly stochastic matrix that is not symmetric."""
    stream = np.random.default_rng(count)
    return np.mean([np.eye(nodes)[stream.permutation(nodes)] for _ in range(count)], axis=0)


def graphs() -> dict[str, tj.Topology]:
    g = tj.topology
    return {
        **{name: g.from_spec(name, 8) for name in g.NAMES},
        "ring of 3": g.ring(3),
        "pair": g.ring(2),
        "alone": g.ring(1),
        "irregular": g.erdos_renyi(9, probability=0.3, seed=2),
        "torus 2 x 4": g.torus(8, rows=2),
        "wide": g.erdos_renyi(60, probability=0.9),
        "different rounds": g.sequence([g.ring(8), g.complete(8), g.star(8)]),
        "edges": g.star(5000),
        "unsymmetric": g.from_matrix(mean_of_permutations(7, 3)),
        "wide unsymmetric": g.from_matrix(mean_of_permutations(50, 80)),
    }


GRAPHS = graphs()
FORMS = {
    "ring": "Neighbours",
    "irregular": "Neighbours",
    "wide": "Dense",
    "wide unsymmetric": "Dense",
    "complete": "Mean",
    "edges": "Edges",
    "different rounds": "Periodic",
}


@pytest.mark.fast_cases(*FORMS)
@pytest.mark.parametrize("name", GRAPHS)
def test_mixing_is_the_matrix_and_keeps_the_mean(name: str) -> None:
    topology = GRAPHS[name]
    check_mixing(topology.mixing(), topology.sparse, rounds=2 * topology.period + 1)  # also rounds past the period


@pytest.mark.parametrize(("name", "form"), FORMS.items())
def test_the_graphs_above_cover_every_form(name: str, form: str) -> None:
    mixing = GRAPHS[name].mixing()
    assert type(mixing).__name__ == form
    if name in ("ring", "irregular"):
        assert (mixing.weights.shape[-1] == 1) == (name == "ring"), "weights are shared where all slots have the same"


def test_blocks_mix_apart_and_each_keeps_its_period() -> None:
    parts = [GRAPHS[name] for name in ("ring of 3", "one_peer_exponential", "wide", "different rounds", "alone")]
    blocks = tj.block_diagonal([one.mixing() for one in parts])
    period = len(blocks.messages)
    assert period == 3  # of periods 1, 3, 1, 3, 1
    matrices = []
    for t in range(period):
        whole, at = np.zeros((blocks.slots, blocks.slots)), 0
        for one in parts:
            whole[at : at + one.nodes, at : at + one.nodes] = one.matrix(t)
            at += one.nodes
        matrices.append(whole)
        assert blocks.messages[t] == np.count_nonzero(whole - np.diag(np.diag(whole)))
    check_mixing(blocks, lambda t: matrices[t % period], rounds=2 * period + 1)
    with pytest.raises(ValueError, match=r"shape \(4,\).*mixes 80"):
        tj.mix(blocks, jnp.zeros(4))


_mix = jax.jit(tj.mix)


def check_mixing(mixing, matrix, rounds: int) -> None:
    slots, stream = mixing.slots, np.random.default_rng(1)
    exact = {shape: stream.normal(size=(slots, *shape)) for shape in [(), (3,), (2, 2)]}
    tree = {
        "scalar": jnp.asarray(exact[()], jnp.float32),
        "deep": [jnp.asarray(exact[(3,)], jnp.bfloat16), (jnp.asarray(exact[(2, 2)], jnp.float32),)],
    }
    # rounding: a weighted mean of numbers up to 5 errs by a few units in the last place of its dtype, a sum over
    # 5000 slots by the root of 5000 of them; bfloat16 keeps 8 bits, float32 24
    allowed = {np.dtype(jnp.bfloat16): 5 * 2.0**-7, np.dtype(np.float32): 5e-6}
    for round in range(rounds):
        mixed = _mix(mixing, tree, jnp.int32(round))
        assert jax.tree.structure(mixed) == jax.tree.structure(tree)
        for before, after in zip(jax.tree.leaves(tree), jax.tree.leaves(mixed), strict=True):
            assert after.dtype == before.dtype and after.shape == before.shape
            x, y = (np.asarray(leaf, np.float64).reshape(slots, -1) for leaf in (before, after))
            np.testing.assert_allclose(y, matrix(round) @ x, rtol=0, atol=allowed[before.dtype])
            np.testing.assert_allclose(y.mean(axis=0), x.mean(axis=0), rtol=0, atol=allowed[before.dtype])
