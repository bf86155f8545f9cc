"""Who is active: the law of drawing one after another, and what each rule promises beside it."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from network.rounds import fits, run

import telejax as tj
from telejax.network import activation, machines, presence
from telejax.network.world import Moment, World
from telejax.random.sampling import sample_weighted
from telejax.tasks.base import gradient_of, reweighted

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.05)
DRAWS = 20_000


def of(active: int) -> tj.Algorithm:
    return tj.teleportation(active=active, topology="ring", optimizer=SGD)


def successive(weights: np.ndarray, count: int) -> dict[tuple[int, ...], float]:
    """Every ordered tuple with its probability: each node in proportion to its weight among those that are left."""
    law = {}
    for drawn in itertools.permutations(range(len(weights)), count):
        left, probability = float(np.sum(weights)), 1.0
        for node in drawn:
            probability *= weights[node] / left if left > 0 else 0.0
            left -= weights[node]
        law[drawn] = probability
    return law


def counted(drawn: np.ndarray, law: dict[tuple[int, ...], float]) -> np.ndarray:
    """How often each tuple of the law was drawn; nothing else was."""
    found, often = np.unique(drawn, axis=0, return_counts=True)
    counts = dict.fromkeys(law, 0) | dict(zip(map(tuple, found.tolist()), often.tolist(), strict=True))
    assert len(counts) == len(law), "a tuple that the law does not know: a node was drawn twice"
    return np.array(list(counts.values()))


# the law of the draws -------------------------------------------------------------------------------------------------

UNEVEN = np.array([1.0, 0.1, 0.5, 0.2, 0.7])
SMALL = {
    "likely": (UNEVEN, 2),  # found by the first turns of drawing and accepting
    "unlikely": (UNEVEN / 30, 2),  # 16 percent accept a draw in 8 turns of 4: some by turns, most by exponential clocks
    "never accepted": (UNEVEN * 1e-6, 2),  # by exponential clocks alone
    "all": (np.array([1.0, 0.05, 0.3, 0.6]), 4),  # the last one must be drawn, however unlikely
    "some not at all": (np.array([0.4, 0.0, 1.0, 0.0, 0.02]), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_few_nodes_are_drawn_one_after_another_by_their_weights(name: str) -> None:
    weights, count = SMALL[name]
    table = jnp.asarray(weights, jnp.float32)
    draw = lambda key: sample_weighted(key, len(weights), count, lambda node: table[node])
    drawn, enough = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), DRAWS))
    law = successive(weights, count)
    assert enough.all()
    assert fits(counted(np.asarray(drawn), law), np.array(list(law.values())))


@pytest.mark.slow
def test_many_nodes_are_drawn_one_after_another_by_their_weights() -> None:
    """Of 5000 nodes there are 1250 of each of four classes: the law of the classes of an ordered pair."""
    nodes, classes = 5000, np.array([1.0, 0.05, 0.0, 0.4])
    table = jnp.asarray(classes, jnp.float32)
    draw = lambda key: sample_weighted(key, nodes, 2, lambda node: table[node % 4])
    drawn, enough = map(np.asarray, jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(2), DRAWS)))
    assert enough.all() and (drawn[:, 0] != drawn[:, 1]).all()
    total = classes.sum() * nodes / 4
    law = {}
    for one, other in itertools.product(range(4), repeat=2):
        first = classes[one] / classes.sum()
        law[one, other] = first * classes[other] * (nodes / 4 - (one == other)) / (total - classes[one])
    assert fits(counted(drawn % 4, law), np.array(list(law.values())))
    ranks = drawn[drawn % 4 == 0] // 4  # inside a class all nodes are alike
    assert fits(np.histogram(ranks, bins=50, range=(0, 1250))[0], np.full(50, 1 / 50))


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [6, 5000])
def test_too_few_are_told(nodes: int) -> None:
    draw = lambda key, most: sample_weighted(key, nodes, 3, lambda node: (node < most).astype(jnp.float32))
    enough = jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(jax.random.split(jax.random.key(0), 2), jnp.arange(2, 4))[1]
    assert not enough[0].any()
    assert enough[1].all()  # 4096 turns of 6 draws miss one of 3 among 5000 nodes once in 50: the seed is fixed


@pytest.mark.slow
def test_present_nodes_are_drawn_uniformly() -> None:
    rule, nodes = presence.epochs(0.4, seed=6), 8
    network, task = tj.Network(presence=rule).bind(nodes), tj.tasks.quadratic(nodes=nodes, dim=3)
    state = network.start(of(2).init(jax.random.key(0), task))
    draw = jax.jit(jax.vmap(lambda key: network.activate(key, state, nodes, 2)[1]))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(3), DRAWS)))
    here = np.asarray(rule.present(World(), jnp.arange(nodes, dtype=jnp.int32), Moment(jnp.int32(0)))).astype(float)
    assert 3 <= here.sum() < nodes
    law = successive(here, 2)
    assert fits(counted(drawn, law), np.array(list(law.values())))


# shuffled epochs ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "count"), [(12, 4), (11, 3), (7, 7)])
def test_every_node_works_once_an_epoch(nodes: int, count: int) -> None:
    task, rounds, epochs = tj.tasks.quadratic(nodes=nodes, dim=3), nodes // count, 60
    network = tj.Network(activation=activation.shuffled_epochs(seed=4))
    _, told = run(of(count), task, network, rounds * epochs)
    orders = told["holders"].reshape(epochs, rounds * count)
    assert all(len(set(order)) == rounds * count for order in orders.tolist())
    assert len(np.unique(orders, axis=0)) > epochs - 4  # another order each, up to chance: 12! of them, but 7 hash keys
    worked = np.bincount(orders.ravel(), minlength=nodes) / epochs
    assert len(worked) == nodes
    if rounds * count == nodes:
        assert (worked == 1).all()
    else:  # the rest is another one each time: of 60 epochs a node works in 49, 3 is its deviation
        assert worked.min() > 30 / 60 and worked.max() < 1


@pytest.mark.slow
def test_an_epoch_of_a_hundred_million_nodes_costs_no_more_than_its_rounds() -> None:
    rule, nodes, count = activation.shuffled_epochs(), 10**8, 50
    turns = jax.jit(jax.vmap(lambda round: rule.scheduled(nodes, count, round)))
    for first in (0, 2 * 10**6 - 200):  # the last rounds of an epoch are those of the same order
        drawn = np.asarray(turns(first + jnp.arange(200, dtype=jnp.int32)))
        assert len(np.unique(drawn)) == drawn.size
        assert fits(np.histogram(drawn, bins=20, range=(0, nodes))[0], np.full(20, 1 / 20))
    one, other = turns(jnp.array([0], jnp.int32)), turns(jnp.array([2 * 10**6], jnp.int32))
    assert not np.intersect1d(one, other).size  # a new order; 50 of 10^8 meet once in 40,000 times


# duty -----------------------------------------------------------------------------------------------------------------

DUTY = {"nodes": 20, "count": 3, "rest": 4}


def duties(rounds: int) -> np.ndarray:
    task = tj.tasks.quadratic(nodes=DUTY["nodes"], dim=3)
    network = tj.Network(activation=activation.duty(limit=0.2))
    return run(of(DUTY["count"]), task, network, rounds)[1]["holders"]


@pytest.mark.slow
def test_no_node_works_more_than_its_share_and_those_rested_are_alike() -> None:
    holders, rest, nodes = duties(1200), DUTY["rest"], DUTY["nodes"]
    assert activation.duty(limit=0.2).rest == rest
    assert np.bincount(holders[:200].ravel(), minlength=nodes).max() <= 0.2 * 200
    ranks = []
    for round in range(rest, len(holders)):
        tired = set(holders[round - rest : round].ravel().tolist())
        rested = [node for node in range(nodes) if node not in tired]
        assert len(rested) == nodes - rest * DUTY["count"]
        ranks.append([rested.index(node) for node in holders[round]])  # fails where a tired one was drawn
    law = successive(np.ones(8), 3)
    first = np.bincount(np.array(ranks)[:, 0], minlength=8)
    assert fits(first, np.full(8, 1 / 8))
    pairs = dict.fromkeys(itertools.permutations(range(8), 2), 1 / 56)
    assert len(law) == 8 * 7 * 6
    assert fits(counted(np.array(ranks)[:, 1:], pairs), np.array(list(pairs.values())))


@pytest.mark.slow
def test_more_than_may_work_are_refused() -> None:
    network = tj.Network(activation=activation.duty(limit=0.2))
    task = tj.tasks.quadratic(nodes=20, dim=3)
    with pytest.raises(ValueError, match="one round of 5, and 5 of 20 nodes are to be active in each") as caught:
        tj.simulate(of(5), task, rounds=3, network=network, progress=False)
    assert "make at most 4 active, or raise the limit of duty" in str(caught.value)
    full = tj.simulate(of(4), task, rounds=30, network=network, load=True, progress=False).load()
    assert full["active"].to_list() == [30 * 4 // 20] * 20  # exactly as many: all work in turn


@pytest.mark.parametrize(("limit", "rest"), [(1.0, 0), (0.5, 1), (0.4, 2), (0.1, 9), (1 / 3, 2), (1e-3, 999)])
def test_a_share_is_rounded_to_more_rest(limit: float, rest: int) -> None:
    assert activation.duty(limit).rest == rest


# adaptive -------------------------------------------------------------------------------------------------------------


def test_losses_are_remembered_as_they_were_met() -> None:
    rule = activation.adaptive(floor=0.2, memory=0.25)
    world, nodes = rule.start(World(), 5), jnp.arange(5, dtype=jnp.int32)
    weights = lambda world: np.asarray(rule.weight(world, nodes, Moment(jnp.int32(0))))
    np.testing.assert_array_equal(weights(world), np.ones(5))  # nobody is known
    world = rule.met(world, jnp.array([0, 3]), jnp.array([4.0, 1.0]))
    np.testing.assert_allclose(weights(world), [1.0, 1.0, 1.0, 0.2 + 0.8 * 1 / 4, 1.0], rtol=1e-6)
    world = rule.met(world, jnp.array([3, 1]), jnp.array([2.0, 3.0]))
    # node 3: 0.75 * 1 + 0.25 * 2 = 1.25; the scale: 4 + 0.1 * (3 - 4) = 3.9
    np.testing.assert_allclose(world.node["loss_seen"], [4.0, 3.0, np.nan, 1.25, np.nan], rtol=1e-6)
    shares = np.array([1.0, 3 / 3.9, np.nan, 1.25 / 3.9, np.nan])
    np.testing.assert_allclose(weights(world), np.where(np.isnan(shares), 1, 0.2 + 0.8 * shares), rtol=1e-6)
    world = rule.met(world, jnp.array([2, 0]), jnp.array([np.inf, np.nan]))
    assert np.isnan(world.node["loss_seen"][jnp.array([0, 2])]).all() and float(world.common["loss_scale"]) < 3.9


def simulate(rule: activation.Activation, task: Any, active: int, **options: Any) -> tj.Result:
    network = tj.Network(activation=rule)
    return tj.simulate(of(active), task, network=network, load=True, progress=False, **{"rounds": 1500, **options})


@pytest.mark.slow
def test_nodes_that_fit_badly_are_drawn_more_often() -> None:
    task = tj.tasks.quadratic(nodes=16, dim=3, spread=1.5, heterogeneity=3.0)
    algorithm = tj.teleportation(active=2, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=1e-9))
    network = tj.Network(activation=activation.adaptive(floor=0.05))
    result = tj.simulate(algorithm, task, rounds=2000, eval_every=2000, network=network, load=True, progress=False)
    losses = np.array([float(task.loss(jnp.zeros(3), jnp.int32(i), jax.random.key(0))) for i in range(16)])
    np.testing.assert_allclose(result.state.world.node["loss_seen"], losses, rtol=1e-4)  # the model stays at zero
    active = result.load()["active"].to_numpy()
    assert np.corrcoef(np.argsort(np.argsort(active)), np.argsort(np.argsort(losses)))[0, 1] > 0.9
    assert active[np.argmax(losses)] > 2 * active[np.argmin(losses)]


@pytest.mark.slow
def test_a_floor_of_one_is_the_uniform_rule() -> None:
    task, options = tj.tasks.quadratic(nodes=8, dim=3, noise=1.0), {"rounds": 40, "record": 40}
    ours = simulate(activation.adaptive(floor=1.0), task, 2, **options)
    alike = simulate(activation.weighted(np.full(8, 7.0)), task, 2, **options)
    assert ours.timeline()["node"].equals(alike.timeline()["node"])
    assert ours.history["loss"].equals(alike.history["loss"])


# weighted -------------------------------------------------------------------------------------------------------------


def bound(by: str, nodes: int, samples: np.ndarray | None = None, **parts: Any) -> np.ndarray:
    rule = tj.Network(activation=activation.weighted(by), **parts).bind(nodes, samples).activation
    return np.asarray(rule.weights)


def test_weights_are_speeds_samples_or_availability(tmp_path: Path) -> None:
    (tmp_path / "spells.csv").write_text("node,up,down\n0,0,10\n1,0,2\n2,0,1\n2,5,9\n")
    trace = presence.trace(tmp_path / "spells.csv")
    np.testing.assert_allclose(bound("speed", 3, machines=machines.table([1.0, 2.0, 4.0])), [1.0, 0.5, 0.25])
    np.testing.assert_allclose(bound("speed", 2, machines=machines.table([4.0, 8.0, 1.0])), [1.0, 0.5])
    np.testing.assert_allclose(bound("data", 3, np.array([10, 40, 20])), [0.25, 1.0, 0.5])
    np.testing.assert_allclose(bound("availability", 3, presence=trace), [1.0, 0.2, 0.5], rtol=1e-6)
    for by, words, parts in (
        ("speed", "needs machines whose speeds do not change", {"machines": machines.lognormal(fixed=False)}),
        ("speed", "needs machines whose speeds do not change", {}),
        ("data", "needs a task that says how many samples each node has", {}),
        ("availability", "needs presence by a trace", {"presence": presence.epochs(0.1)}),
    ):
        with pytest.raises(ValueError, match=words):
            bound(by, 3, **parts)


WEIGHTS = np.array([8.0, 1.0, 4.0, 1.0, 2.0, 6.0])
SORTED = tj.tasks.quadratic(nodes=6, dim=3, heterogeneity=2.0, placement="sorted")


def test_the_mean_of_corrected_gradients_is_the_gradient_of_the_mean() -> None:
    rule = activation.weighted(WEIGHTS, correct=True).bind(6, {})
    gradient = gradient_of(reweighted(SORTED, rule.correction(6)))
    params, nodes = jnp.array([0.3, -1.0, 2.0]), jnp.arange(6, dtype=jnp.int32)
    key = jax.random.key(0)
    each = np.asarray(jax.vmap(lambda node: gradient(params, node, key))(nodes), np.float64)
    plain = np.asarray(jax.vmap(lambda node: jax.grad(SORTED.loss)(params, node, key))(nodes), np.float64)
    expected = np.asarray(params - SORTED.optimum)
    np.testing.assert_allclose(WEIGHTS / WEIGHTS.sum() @ each, expected, rtol=1e-5, atol=1e-5)  # float32 gradients
    assert np.abs(WEIGHTS / WEIGHTS.sum() @ plain - expected).max() > 0.1
    assert activation.weighted(WEIGHTS).bind(6, {}).correction(6) is None


@pytest.mark.slow
def test_a_corrected_run_ends_at_the_optimum_of_the_mean_and_another_at_that_of_the_weights() -> None:
    local = [SORTED.local(jnp.int32(node)) for node in range(6)]
    curvature = np.array([float(a) for a, _ in local])
    shift = np.array([np.asarray(g) for _, g in local])
    p, optimum = WEIGHTS / WEIGHTS.sum(), np.asarray(SORTED.optimum)
    others = optimum - (p @ shift) / (p @ curvature)  # where the mean of p_i grad f_i is zero
    sgd = tj.optimizer(optax.sgd, learning_rate=0.01)
    ends = {}
    for correct in (False, True):
        network = tj.Network(activation=activation.weighted(WEIGHTS, correct=correct))
        algorithm = tj.teleportation(active=1, topology="ring", optimizer=sgd)
        run_of = tj.simulate(
            algorithm, SORTED, rounds=1500, eval_every=1500, seeds=64, network=network, load=True, progress=False
        )
        ends[correct] = np.asarray(run_of.state.params, np.float64).reshape(64, 3)
        active = run_of.load().group_by("node", maintain_order=True).sum()["active"].to_numpy()
        assert fits(active, p)
    away = np.linalg.norm(others - optimum)
    for correct, target in ((False, others), (True, optimum)):
        mean, deviation = ends[correct].mean(axis=0), ends[correct].std(axis=0).max() / 8
        assert np.linalg.norm(mean - target) < 5 * deviation < away / 4  # 64 independent runs
    nearer = np.linalg.norm(ends[True] - optimum, axis=1) < np.linalg.norm(ends[True] - others, axis=1)
    assert nearer.mean() > 0.8
