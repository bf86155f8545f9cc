"""The ideal network disappears, and a lossy one loses what the seed says: the right share, independently, countably."""

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.algorithms.parts import refresh_optimizer
from telejax.algorithms.random_walk import next_node
from telejax.mixing.forms import SERVER
from telejax.mixing.means import Mean
from telejax.network import draws
from telejax.random.threefry import fold_in, split

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES = 12
TASK = tj.tasks.quadratic(nodes=NODES, dim=3, heterogeneity=2.0, noise=0.5)
MOMENTUM = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.5)

METHODS = {
    "dsgd": lambda: tj.decentralized_sgd(topology="ring", optimizer=MOMENTUM),
    "all-reduce": lambda: tj.all_reduce_sgd(optimizer=MOMENTUM),
    "teleportation": lambda: tj.teleportation(active=5, topology="complete", optimizer=MOMENTUM),
    "fresh": lambda: tj.teleportation(active=4, topology="ring", optimizer=MOMENTUM, state_travels=False),
    "fedavg": lambda: tj.fedavg(clients=4, optimizer=MOMENTUM, local_steps=2),
    "tokens": lambda: tj.random_walk(tokens=3, optimizer=MOMENTUM),
    "walk": lambda: tj.random_walk(tokens=3, topology="ring", optimizer=MOMENTUM),
    "joint": lambda: tj.joint_teleportation(active=(2, 4), topology="ring", optimizer=MOMENTUM),
}


@functools.cache
def method(name: str) -> tj.Algorithm:
    return METHODS[name]().bind(TASK)


# every method again as its paper has it, without a verb -------------------------------------------------------------


def slots_of(moved, groups):
    ends = np.cumsum(groups)[:-1].tolist()
    return jnp.stack([jnp.sum(part, dtype=jnp.int32) for part in jnp.split(moved, ends)])


def dsgd(algorithm, key, state, task):
    nodes = jnp.arange(task.nodes, dtype=jnp.int32)
    params, opt_state = tj.local_update(key, state.params, state.opt_state, nodes, task, algorithm.optimizer)
    params = tj.mix(algorithm.mixing, params, state.round)
    return state.replace(params=params, opt_state=opt_state, round=state.round + 1), tj.Info(state.holders)


def all_reduce(algorithm, key, state, task):
    nodes = jnp.arange(task.nodes, dtype=jnp.int32)
    params, opt_state = tj.local_update(key, state.params, state.opt_state, nodes, task, algorithm.optimizer)
    params = tj.mix(Mean("all-reduce", task.nodes, (0,)), params, state.round)
    return state.replace(params=params, opt_state=opt_state, round=state.round + 1), tj.Info(state.holders)


def teleportation(algorithm, key, state, task, groups=None, fresh=False, steps=1, counted=True, mixing=None):
    groups = groups or (algorithm.slots(task.nodes),)
    holders = tj.sample_distinct(split(key)[0], task.nodes, sum(groups))
    moved = (holders != state.holders) & (state.round > 0)
    opt_state = state.opt_state
    if fresh:
        opt_state = refresh_optimizer(algorithm.init_optimizer(state.params), opt_state, moved)
    data_key = split(key)[1]
    params, opt_state = tj.local_update(data_key, state.params, opt_state, holders, task, algorithm.optimizer, steps)
    params = tj.mix(algorithm.mixing if mixing is None else mixing, params, state.round)
    state = state.replace(params=params, opt_state=opt_state, holders=holders, round=state.round + 1)
    return state, tj.Info(holders, {"handoffs": slots_of(moved, groups)} if counted else {})


def fedavg(algorithm, key, state, task):
    server = Mean("server", 4, (8,))
    return teleportation(algorithm, key, state, task, fresh=True, steps=2, counted=False, mixing=server)


def tokens(algorithm, key, state, task):
    holders = tj.sample_distinct(split(key)[0], task.nodes, 3)
    if algorithm.graph is not None:
        keys = split(split(key)[0], 3)
        walked = jax.vmap(next_node, in_axes=(0, None, 0, None))(keys, algorithm.graph, state.holders, state.round)
        holders = jnp.where(state.round == 0, holders, walked)
    moved = (holders != state.holders) & (state.round > 0)
    data_key = split(key)[1]
    params, opt_state = tj.local_update(data_key, state.params, state.opt_state, holders, task, algorithm.optimizer)
    state = state.replace(params=params, opt_state=opt_state, holders=holders, round=state.round + 1)
    return state, tj.Info(holders, {"handoffs": slots_of(moved, (3,))})


BY_HAND = {
    "dsgd": dsgd,
    "all-reduce": all_reduce,
    "teleportation": teleportation,
    "fresh": functools.partial(teleportation, fresh=True),
    "fedavg": fedavg,
    "tokens": tokens,
    "walk": tokens,
    "joint": functools.partial(teleportation, groups=(2, 4)),
}


def lowered(step) -> str:
    """The program of a round, before any compiler has simplified it."""

    def one_round(key, state):
        return step(key, state)

    state = jax.eval_shape(lambda key: step.keywords["algorithm"].init(key, TASK), jax.random.key(0))
    return jax.jit(one_round).lower(jax.random.key(0), state).as_text()


@pytest.mark.fast_cases("dsgd")
@pytest.mark.parametrize("name", METHODS)
def test_an_ideal_network_traces_nothing(name):
    algorithm = method(name)
    by_hand = lambda key, state, algorithm: BY_HAND[name](algorithm, key, state, TASK)
    given = lambda key, state, algorithm: algorithm.step(key, state, TASK, network=tj.Network())
    without = lambda key, state, algorithm: algorithm.step(key, state, TASK)
    lossy = lambda key, state, algorithm: algorithm.step(key, state, TASK, tj.Network(loss=0.0))
    texts = [lowered(functools.partial(step, algorithm=algorithm)) for step in (by_hand, without, given, lossy)]
    assert texts[0] == texts[1] == texts[2]
    # what can lose no message, tokens and an all-reduce, asks a lossy network for nothing either, but for its counts
    assert texts[3] != texts[0] or name in ("tokens", "walk")


def simulate(name: str, task=TASK, **options: Any) -> tj.Result:
    given = {"rounds": 12, "eval_every": 4, **options}
    return tj.simulate(method(name), task, progress=False, **given)


def arrays(result: tj.Result) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(result.state)]


def equal_bits(one: tj.Result, other: tj.Result) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(arrays(one), arrays(other), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dsgd", "teleportation", "fedavg"])
def test_an_ideal_network_changes_no_bit_and_losses_of_nothing_only_bits(name):
    plain, ideal, calm = (simulate(name, network=network) for network in (None, tj.Network(), tj.Network(loss=0.0)))
    assert equal_bits(plain, ideal) and plain.history.equals(ideal.history)
    assert (calm.history["lost"] == 0).all() and (calm.history["mean_drift"] == 0).all()
    # 12 rounds of float32 sums in another order, of numbers of order one
    np.testing.assert_allclose(calm.state.params, plain.state.params, rtol=1e-5, atol=1e-6)


# what is lost ---------------------------------------------------------------------------------------------------------


def arrived(key, network: tj.Network, nodes: np.ndarray) -> np.ndarray:
    """Whether what a node (row) sends to another (column) arrives, from the draws alone; the server is node -1."""
    nodes = jnp.asarray([*nodes, SERVER], jnp.int32)
    one, other = nodes[:, None], nodes[None]
    arrives = np.full((len(nodes), len(nodes)), True)
    if network.loss is not None:
        arrives &= ~np.asarray(draws.happens(key, draws.LOSS, network.loss, one, other))
    if network.outage is not None:
        low, high = jnp.minimum(one, other), jnp.maximum(one, other)
        arrives &= ~np.asarray(draws.happens(key, draws.OUTAGE, network.outage, low, high))
    return arrives


def thinned(matrix: np.ndarray, arrives: np.ndarray) -> np.ndarray:
    """The weight of what does not arrive goes to its receiver."""
    off = matrix * ~np.eye(len(matrix), dtype=bool)
    gone = np.where(arrives[:-1, :-1].T, 0, off)
    return matrix - gone + np.diag(gone.sum(axis=1))


def round_key(seed: int, round: int):
    return fold_in(split(jax.random.key(seed))[1], round)


def matrix_of(algorithm: tj.Algorithm) -> np.ndarray:
    indices, weights = map(np.asarray, tj.neighbours(algorithm.mixing))
    matrix = np.zeros((indices.shape[1],) * 2)
    np.add.at(matrix, (np.broadcast_to(np.arange(len(matrix)), indices.shape), indices), weights)
    return matrix


one_step = jax.jit(lambda algorithm, key, state, task, network: algorithm.step(key, state, task, network))


@pytest.mark.fast_cases("Network(loss=None, outage=0.4)")
@pytest.mark.parametrize("network", [tj.Network(loss=0.4), tj.Network(outage=0.4), tj.Network(0.2, 0.3)], ids=str)
def test_methods_lose_what_the_seed_says(network):
    names = ("dsgd", "teleportation", "fresh", "joint", "fedavg", "all-reduce")
    for name, seed in itertools.product(names if network.loss and network.outage else names[:1], range(3)):
        algorithm, key = method(name), jax.random.key(seed)
        state = network.start(algorithm.init(jax.random.key(9), TASK))
        state, info = one_step(algorithm, key, state, TASK, network)
        arrives = arrived(key, network, np.asarray(state.holders))
        groups = algorithm.groups(NODES)
        if name == "all-reduce":
            lost = np.zeros(NODES)
        elif name == "fedavg":
            lost = 0 + ~arrives[:-1, -1] + (0 + ~arrives[-1, :-1])
        else:
            matrix = matrix_of(algorithm)
            lost = np.sum((matrix != 0) & ~np.eye(len(matrix), dtype=bool) & ~arrives[:-1, :-1].T, axis=1)
        expected = [part.sum() for part in np.split(lost, np.cumsum(groups)[:-1])]
        np.testing.assert_array_equal(info.counters["lost"], expected)


def happens(round: int, one, other, probability=0.3, cause=draws.LOSS) -> np.ndarray:
    return np.asarray(draws.happens(round_key(0, round), cause, probability, jnp.asarray(one), jnp.asarray(other)))


SIDE = 600
PAIRS = SIDE**2


@pytest.mark.parametrize("probability", [0.001, 0.3, 0.9])
@pytest.mark.parametrize("first", [0, 10**8, 2**31 - SIDE])
def test_losses_are_as_frequent_as_said(first, probability):
    nodes = np.arange(SIDE, dtype=np.int64) + first
    drawn = happens(0, nodes[:, None].astype(np.int32), nodes[None].astype(np.int32), probability)
    spread = np.sqrt(probability * (1 - probability))
    # five standard deviations of a binomial: wrong once in 10^6, and the seed is fixed
    assert abs(drawn.mean() - probability) < 5 * spread / np.sqrt(PAIRS)
    for axis in (0, 1):  # the largest of 600 rows: 5.5 standard deviations, and 4 events where few are expected
        assert np.abs(drawn.mean(axis=axis) - probability).max() < 5.5 * spread / np.sqrt(SIDE) + 4 / SIDE
    assert happens(0, nodes[:9].astype(np.int32), nodes[:9].astype(np.int32), 1.0).all()
    assert not happens(0, nodes[:9].astype(np.int32), nodes[:9].astype(np.int32), 0.0).any()


def test_losses_are_independent():
    nodes = np.arange(SIDE, dtype=np.int32)
    one, other = nodes[:, None], nodes[None]
    drawn = happens(5, one, other)
    others = {
        "the next round": happens(6, one, other),
        "the other way": drawn.T,
        "the next sender": happens(5, one + 1, other),
        "the next receiver": happens(5, one, other + 1),
        "another cause": happens(5, one, other, cause=draws.OUTAGE),
        "both next": happens(5, one + 1, other + 1),
    }
    off = ~np.eye(SIDE, dtype=bool)
    for name, compared in others.items():
        counts = np.histogram2d(drawn[off], compared[off], bins=2)[0]
        expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
        # chi-square with one degree of freedom: beyond 20 once in 10^5; pairs that are counted twice double it
        assert np.sum((counts - expected) ** 2 / expected) < (40 if name == "the other way" else 20), name


def effective(network: tj.Network, seed: int = 4, top: str = "complete") -> np.ndarray:
    """The matrix that takes effect between slots of mixed-up holders."""
    order = np.random.default_rng(1).permutation(NODES).astype(np.int32)
    state = method("dsgd").init(jax.random.key(0), TASK).replace(holders=jnp.asarray(order))
    mixing = tj.topology.from_spec(top, NODES).mixing()
    state, params, heard = network.gossip(jax.random.key(seed), mixing, jnp.eye(NODES), state, 0)
    expected = thinned(tj.topology.from_spec(top, NODES).matrix(), arrived(jax.random.key(seed), network, order))
    np.testing.assert_allclose(params, expected, atol=1e-6)  # 12 float32 weights
    np.testing.assert_allclose(tj.mix(heard, jnp.eye(NODES)), expected, atol=1e-6)
    return np.asarray(params)


@pytest.mark.slow
def test_an_outage_is_both_ways_and_a_loss_is_not():
    for seed in range(3):
        both = effective(tj.Network(outage=0.4), seed)
        np.testing.assert_array_equal(both != 0, both.T != 0)
        one_way = effective(tj.Network(loss=0.4), seed)
        assert ((one_way != 0) != (one_way.T != 0)).any()
        np.testing.assert_allclose(one_way.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(effective(tj.Network(outage=1.0)), np.eye(NODES), atol=1e-6)


@pytest.mark.slow
def test_an_outage_conserves_the_mean_and_a_loss_moves_it(x64):
    rng = np.random.default_rng(0)
    graphs = ("ring", "complete", "random_matching")
    mixings = [tj.topology.from_spec(name, NODES).mixing() for name in graphs]
    mixings.append(Mean("server", NODES, (2 * NODES,), transport="server"))
    for mixing, network in itertools.product(mixings, (tj.Network(outage=0.3), tj.Network(loss=0.3))):
        state = network.start(method("dsgd").init(jax.random.key(0), TASK))
        gossip = jax.jit(
            lambda key, params, state, mixing=mixing, network=network: network.gossip(key, mixing, params, state, 0)
        )
        params = before = jnp.asarray(rng.normal(size=(NODES, 3)))
        moved = []
        for t in range(8):
            state = state.replace(round=jnp.int32(t))
            state, params, _ = gossip(jax.random.key(t), params, state)
            moved.append(np.abs(params.mean(axis=0) - before.mean(axis=0)).max())
        assert (max(moved) < 1e-12) == (network.loss is None), (mixing.name, moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dsgd", "teleportation", "joint"])
def test_the_drift_of_the_mean_is_that_of_the_last_round(name):
    network = tj.Network(loss=0.3)
    result = simulate(name, network=network, rounds=7, eval_every=7, seed=2)
    algorithm, params = method(name), np.asarray(result.state.params, float)
    arrives = arrived(round_key(2, 6), network, np.asarray(result.state.holders))
    surplus = thinned(matrix_of(algorithm), arrives).sum(axis=0) - 1
    ends = np.cumsum(algorithm.groups(NODES))[:-1]
    groups = zip(np.split(surplus, ends), np.split(params, ends), strict=True)
    expected = [np.linalg.norm(weights @ models) / len(weights) for weights, models in groups]
    assert max(expected) > 1e-4
    np.testing.assert_allclose(result.final()["mean_drift"], expected, rtol=1e-3, atol=1e-7)  # float32 differences
    assert result.history["mean_drift"][0] == 0 and result.history["lost"][0] == 0


@pytest.mark.slow
def test_what_is_lost_is_counted():
    task = tj.tasks.quadratic(nodes=100, dim=2)
    runs = {
        "ring": (tj.decentralized_sgd(topology="ring", optimizer=MOMENTUM), 0.2, None, 0.2),
        "both": (tj.decentralized_sgd(topology="ring", optimizer=MOMENTUM), 0.2, 0.1, 0.28),
        "server": (tj.fedavg(clients=50, optimizer=MOMENTUM), 0.2, None, 0.2),
    }
    for algorithm, loss, outage, share in runs.values():
        network = tj.Network(loss=loss, outage=outage)
        last = tj.simulate(algorithm, task, rounds=100, network=network, progress=False).final().row(0, named=True)
        # five standard deviations of a binomial; an outage takes two messages at once, which doubles its variance
        tolerance = 5 * np.sqrt(2 * share * (1 - share) / last["messages"])
        assert abs(last["lost"] / last["messages"] - share) < tolerance
    reliable = tj.simulate(
        tj.all_reduce_sgd(optimizer=MOMENTUM), task, rounds=9, network=tj.Network(0.5), progress=False
    )
    assert (reliable.history["lost"] == 0).all()


# runs -----------------------------------------------------------------------------------------------------------------


traces: list[str] = []


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Traced:
    """Leaves a mark whenever its loss is traced."""

    part: Any
    asked: str = field(metadata={"static": True})
    nodes = NODES

    def init(self, key):
        return self.part.init(key)

    def loss(self, params, node, key):
        traces.append("loss")
        return self.part.loss(params, node, key)

    def evaluate(self, params):
        return self.part.evaluate(params)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network.loss", "loss"])  # the column "loss" is the task's
def test_a_tuned_loss_is_one_program_with_a_column(name):
    counts = []
    for values, task in (([0.2], tj.tasks.quadratic(nodes=NODES, dim=4, noise=0.5)), ([0.0, 0.3], TASK)):
        traces.clear()  # of tasks of two shapes, neither of which was traced before
        tuned = simulate("dsgd", Traced(task, name), network=tj.Network(loss=0.1), tune={name: values})
        counts.append(len(traces))
    assert counts[0] == counts[1] > 0
    traces.clear()
    again = simulate("dsgd", Traced(TASK, name), network=tj.Network(loss=0.1), tune={name: [0.1, 0.5]})
    assert not traces and not again.history.equals(tuned.history)
    for value in (0.0, 0.3):
        alone = simulate("dsgd", network=tj.Network(loss=value)).history
        ours = tuned.history.filter(
            pl.col("network.loss" if "network.loss" in tuned.history.columns else name) == value
        )
        assert ours["lost"].to_list() == alone["lost"].to_list()
        # float32 sums in another order where runs are side by side
        np.testing.assert_allclose(ours["loss_slots"], alone["loss_slots"], rtol=1e-5)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GradientTracking(tj.Algorithm):
    """x <- W x - eta y; y <- W y + g+ - g, with x and y in one exchange."""

    optimizer: Any
    mixing: Any

    name = "gradient tracking"

    def slots(self, nodes):
        return nodes

    def first_holders(self, nodes):
        return jnp.arange(nodes, dtype=jnp.int32)

    def gossip_messages(self, nodes):
        return (self.mixing.messages,)

    def copy_bytes(self, state):
        return 2 * super().copy_bytes(state)

    def start(self, key, params, task):
        state = super().start(key, params, task)
        first = tj.gradients(key, state.params, state.holders, task)
        return state.replace(memory=tj.Memory(slot={"tracker": first, "gradient": first}))

    def step(self, key, state, task, network=tj.network.IDEAL):
        tracker, gradient = state.memory.slot["tracker"], state.memory.slot["gradient"]
        pair = (state.params, tracker)
        state, (mixed, tracker), _ = network.gossip(key, self.mixing, pair, state, self.copy_bytes(state))
        before = state.memory.slot["tracker"]
        params, opt_state = tj.apply_gradients(before, mixed, state.opt_state, self.optimizer)
        new = tj.gradients(key, params, state.holders, task)
        memory = tj.Memory(slot={"tracker": tracker + new - gradient, "gradient": new})
        return network.report(state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1))


@pytest.mark.slow
def test_exact_methods_converge_under_outages_and_stall_under_losses():
    task = tj.tasks.quadratic(nodes=NODES, dim=3, heterogeneity=3.0, placement="sorted")
    method = GradientTracking(tj.optimizer(optax.sgd, learning_rate=0.05), tj.topology.ring(NODES).mixing())
    ends = {}
    for name, network in (("ideal", None), ("outage", tj.Network(outage=0.2)), ("loss", tj.Network(loss=0.2))):
        result = tj.simulate(method, task, rounds=1500, eval_every=500, network=network, progress=False)
        ends[name] = result.final().row(0, named=True)
    assert ends["ideal"]["loss_slots"] < 1e-8 and ends["outage"]["loss_slots"] < 1e-8
    assert ends["loss"]["loss_slots"] > 1e-4
    # one draw for both trees: of 24 messages a round a fifth is lost, each counted once; five standard deviations
    assert abs(ends["loss"]["lost"] - 0.2 * 24 * 1500) < 5 * np.sqrt(0.2 * 0.8 * 24 * 1500)
    assert ends["loss"]["bytes"] == 24 * 1500 * 2 * 3 * 4


class Killed(Exception):
    """In place of a process that dies."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dsgd", "joint"])
def test_seeds_checkpoints_and_warm_starts_are_exact(name, tmp_path):
    run = functools.partial(simulate, name, network=tj.Network(loss=0.2, outage=0.1), seeds=2, tune=[0.02, 0.05])
    whole = run()

    def killed(rows):
        if rows["round"][0] == 8:
            raise Killed

    with pytest.raises(Killed):
        run(checkpoint=tmp_path / "run", on_evaluation=killed)
    resumed = run(checkpoint=tmp_path / "run")
    assert resumed.history.equals(whole.history) and equal_bits(resumed, whole)
    warm = run(rounds=4, state=run(rounds=8))
    assert warm.history.equals(whole.history.filter(pl.col("round") >= 8)) and equal_bits(warm, whole)
    lost = whole.final().filter(pl.col("learning_rate") == 0.02).group_by("seed").agg(pl.col("lost").sum())
    assert (lost["lost"] > 0).all() and lost["lost"].n_unique() == 2  # seeds lose other messages
    other_rate = whole.final().filter(pl.col("learning_rate") == 0.05).group_by("seed").agg(pl.col("lost").sum())
    assert lost.sort("seed").equals(other_rate.sort("seed"))  # step sizes the same


@pytest.mark.slow
def test_clients_that_reach_no_server_keep_their_models():
    algorithm, key = method("fedavg"), jax.random.key(1)
    network = tj.Network(loss=1.0)
    state = algorithm.init(jax.random.key(0), TASK)
    after, info = one_step(algorithm, key, network.start(state), TASK, network)
    data_key = split(key)[1]
    own, _ = tj.local_update(data_key, state.params, state.opt_state, after.holders, TASK, MOMENTUM, 2)
    np.testing.assert_allclose(after.params, own, atol=1e-6)  # the same float32 sums, compiled apart
    assert len(np.unique(np.asarray(own)[:, 0])) == 4 and info.counters["lost"].tolist() == [8]
    # where only the uploads are lost, the server has nothing to send: clients keep their models, four messages are lost
    server = Mean("server", 4, (8,), transport="server")
    delivered = server.delivered(jnp.int32(0), lambda sender, receiver: (sender == SERVER) & (receiver != SERVER))
    assert delivered.lost.tolist() == [1] * 4 and delivered.surplus.tolist() == [0] * 4
    np.testing.assert_array_equal(tj.mix(delivered.mixing, own), own)


@pytest.mark.parametrize("name", ["loss", "outage"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "often"])
def test_probabilities_are_from_0_to_1(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*give a probability from 0 to 1, or None"):
        tj.Network(**{name: value})


@pytest.mark.slow
@pytest.mark.parametrize("make", [tj.fedavg, tj.scaffold])
def test_all_clients_of_a_server_keep_their_slots(make):
    """Nobody is drawn where all take part, and no optimizer state starts afresh for a new client."""
    run = tj.simulate(make(clients=NODES, optimizer=MOMENTUM), TASK, rounds=3, progress=False)
    assert run.state.holders.tolist() == list(range(NODES))
