"""Simulated time of whole methods, worked out by hand, and runs that go on, are tuned or last for years."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.network import links, machines

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.01)
BYTES = 12  # three float32: one message


def task_of(nodes: int) -> Any:
    return tj.tasks.quadratic(nodes=nodes, dim=3)


def times(algorithm: Any, nodes: int, network: tj.Network, rounds: int = 3, **options: Any) -> pl.DataFrame:
    """A row for the end of every round."""
    given = {"rounds": rounds, "eval_every": 1, "progress": False, **options}
    return tj.simulate(algorithm, task_of(nodes), network=network, **given).history.filter(pl.col("round") > 0)


def about(values: Iterable[float]) -> Any:
    return pytest.approx(list(values), rel=1e-6)  # float32 rests of a second


# methods --------------------------------------------------------------------------------------------------------------


def test_a_ring_all_reduce_takes_its_steps() -> None:
    network = tj.Network(links=links.uniform(0.5, 6.0), machines=machines.table([2.0, 0.0, 1.0, 3.0]))
    rows = times(tj.all_reduce_sgd(optimizer=SGD), 4, network)
    # 2 (4 - 1) = 6 steps of 12 / 4 = 3 bytes: 0.5 + 3 / 6 = 1 second each, after the slowest gradient, 3 seconds
    assert rows["time"].to_list() == about([9.0, 18.0, 27.0])
    # of 9 seconds the nodes compute 2, 0, 1 and 3, a mean of 1.5, and wait for the rest
    assert rows["busy"].to_list() == about([1.5 / 9] * 3)
    assert rows["waiting"].to_list() == about([7.5 / 9] * 3)


def test_a_ring_all_reduce_is_as_slow_as_its_slowest_link() -> None:
    latency, fast = np.full((3, 3), 0.1), np.full((3, 3), 4.0)
    latency[1, 2] = 0.5  # from 1 to 2, along the ring
    latency[1, 0] = 9.0  # against it: nothing goes that way
    network = tj.Network(links=links.table(latency, fast))
    # 2 (3 - 1) = 4 steps of 4 bytes, 0.5 + 4 / 4 = 1.5 seconds each
    assert times(tj.all_reduce_sgd(optimizer=SGD), 3, network)["time"].to_list() == about([6.0, 12.0, 18.0])


@pytest.mark.fast_cases("True")
@pytest.mark.parametrize("contention", [False, True])
def test_fedavg_goes_over_its_server(contention: bool) -> None:
    network = tj.Network(links=links.server(1.0, 4.0), machines=machines.constant(3.0), contention=contention)
    rows = times(tj.fedavg(clients=3, local_steps=2, optimizer=SGD), 50, network)
    # Down 1 + 12 / 4 = 4 seconds, two gradients of 3, up 4: 14. In a queue at the server the third client starts after
    # two others of 12 / 4 = 3 seconds each, 6 later: 20.
    assert rows["time"].to_list() == about([20.0, 40.0, 60.0] if contention else [14.0, 28.0, 42.0])
    assert rows["busy"].to_list() == about([6 / (20 if contention else 14)] * 3)


@pytest.mark.slow
@pytest.mark.parametrize("contention", [False, True])
def test_lines_of_its_own_bring_each_client_to_the_server(contention: bool) -> None:
    lines = links.access([0.5, 1.0, 2.0], [12.0, 4.0, 2.0], server=links.uniform(0.5, 6.0))
    network = tj.Network(links=lines, machines=machines.constant(3.0), contention=contention)
    rows = times(tj.fedavg(clients=3, optimizer=SGD), 3, network)
    # Node 2: 2 + 0.5 latency, 12 / min(2, 6) = 6: down 8.5, a gradient, up 8.5. Where the server sends one copy after
    # another, it starts after two of 12 / 6 = 2 seconds each.
    assert rows["time"].to_list() == about([24.0, 48.0, 72.0] if contention else [20.0, 40.0, 60.0])


def test_lines_of_its_own_join_each_pair() -> None:
    network = tj.Network(links=links.access([0.5, 1.0, 2.0], [12.0, 4.0, 2.0]), machines=machines.constant(0.0))
    rows = times(tj.decentralized_sgd(topology="path", optimizer=SGD), 3, network)
    assert rows["time"].to_list() == about([9.0, 18.0, 27.0])  # from 1 to 2: 1 + 2, and 12 / min(4, 2)
    with pytest.raises(ValueError, match="without a server, which FedAvg"):
        times(tj.fedavg(clients=2, optimizer=SGD), 3, network)


def test_local_training_waits_for_nobody_and_sends_nothing() -> None:
    network = tj.Network(links=links.uniform(9.0), machines=machines.table([1.0, 4.0]), waiting="neighbours")
    rows = times(tj.local_training(optimizer=SGD), 2, network)
    assert rows["time"].to_list() == about([4.0, 8.0, 12.0]) and rows["busy"].to_list() == about([2.5 / 4] * 3)
    assert rows["waiting"].to_list() == [0.0] * 3 and rows["bytes"].to_list() == [0] * 3


@pytest.mark.fast_cases("barrier")
@pytest.mark.parametrize("waiting", ["barrier", "neighbours"])
def test_a_pair_waits_for_the_one_that_computes(waiting: Any) -> None:
    network = tj.Network(links=links.uniform(1.0, 12.0), machines=machines.constant(3.0), waiting=waiting)
    pair = tj.gossip_pairs(topology="complete", optimizer=SGD)
    rows = times(pair, 2, network, rounds=1)
    # One computes 3 seconds and has heard the other, which sent at once, at 1 + 12 / 12 = 2; that one hears it at 5.
    assert rows["time"].to_list() == about([5.0])
    assert rows["busy"].to_list() == about([1.5 / 5])  # both ends
    # With neighbours the one who computed ends its round at 3, with a barrier at 5.
    assert rows["waiting"].to_list() == about([(5 if waiting == "neighbours" else 7) / 2 / 5])
    if waiting == "barrier":
        assert times(pair, 2, network, rounds=4)["time"].to_list() == about([5.0, 10.0, 15.0, 20.0])


@pytest.mark.slow
def test_one_peer_graphs_wait_for_one_message() -> None:
    network = tj.Network(links=links.uniform(0.25), machines=machines.table([1.0, 2.0, 4.0, 8.0]), waiting="neighbours")
    one_peer = tj.decentralized_sgd(topology="one_peer_exponential", optimizer=SGD)
    result = tj.simulate(one_peer, task_of(4), rounds=2, network=network, record=2, progress=False)
    indices = [np.asarray(tj.neighbours(one_peer.bind(task_of(4)).mixing, t)[0]) for t in range(2)]
    clock, seconds = np.zeros(4), np.array([1.0, 2.0, 4.0, 8.0])
    for peers in indices:  # each hears one other: c_a = max(c_a + s_a, c_b + s_b + 0.25)
        (heard,) = [row for row in peers if (row != np.arange(4)).all()]
        clock = np.maximum(clock + seconds, (clock + seconds)[heard] + 0.25)
    # Distance 1, then 2, by whom each hears: either way the slowest, 8 + 8, is heard by one of them 0.25 later.
    ended = result.timeline().filter(pl.col("round") == 1)["ended"].to_list()
    assert ended == about(clock) and max(ended) == pytest.approx(16.25)


@pytest.mark.slow
def test_a_server_with_an_optimizer_takes_the_time_of_one_without() -> None:
    network = tj.Network(links=links.server(0.5, 12.0), machines=machines.constant(1.0))
    adam = tj.optimizer(optax.adam, learning_rate=0.1)
    methods = [tj.fedavg(clients=2, optimizer=SGD, server_optimizer=one) for one in (None, adam)]
    plain, fed_adam = (times(method, 4, network)["time"].to_list() for method in methods)
    assert plain == fed_adam == about([4.0, 8.0, 12.0])  # down 0.5 + 12 / 12, a gradient, and up


@pytest.mark.slow
def test_relays_wait_for_their_neighbours_in_the_tree() -> None:
    network = tj.Network(links=links.uniform(0.5, 12.0), machines=machines.table([1.0, 0.0, 4.0]), waiting="neighbours")
    relay = tj.relay_sgd(topology="path", optimizer=SGD)
    rows = times(relay, 3, network, record=2)
    # a message takes 0.5 + 12 / 12 = 1.5: node 1 hears node 2 at 4 + 1.5, node 0 hears node 1 at 1.5, node 2 at 4
    # then node 2 at 4 + 4 = 8, whom node 1 hears at 9.5; and so on, 4 a round
    assert rows["time"].to_list() == about([5.5, 9.5, 13.5])
    ideal = tj.simulate(relay, task_of(3), rounds=3, eval_every=1, progress=False).history
    assert rows.select(ideal.columns).equals(ideal.filter(pl.col("round") > 0))  # the same models, and their messages


@pytest.mark.slow
def test_prox_skip_is_silent_in_most_rounds() -> None:
    network = tj.Network(links=links.uniform(0.5, 24.0), machines=machines.constant(2.0))
    rows = times(tj.prox_skip(topology="ring", optimizer=SGD, probability=0.3), 6, network, rounds=40)
    talked = np.diff(rows["messages"].to_numpy(), prepend=0)
    assert set(talked) == {0, 12} and 5 < (talked > 0).sum() < 20
    # 2 seconds of computing, and where all six send both ways 0.5 + 12 / 24 = 1 more
    assert rows["time"].to_list() == about(np.cumsum(np.where(talked > 0, 3.0, 2.0)))


@pytest.mark.slow
def test_candidates_side_by_side_have_clocks_of_their_own() -> None:
    network = tj.Network(links=links.uniform(0.25, 12.0), machines=machines.constant(1.0), contention=True)
    joint = tj.joint_teleportation(active=(1, 2, 4), topology="ring", optimizer=SGD)
    rows = times(joint, 10**6, network).sort("round", "group")
    # The first round: 1 second; one message of 0.25 + 12 / 12; two from every uplink, the second a second later. The
    # next ones begin with a hand-off of 1.25 seconds, for of a million nodes none is drawn twice.
    first = np.array([1.0, 2.25, 3.25])
    assert rows["time"].to_list() == about(np.concatenate([first, 2 * first + 1.25, 3 * first + 2.5]))
    busy = rows.filter(pl.col("round") == 3)["busy"].to_list()
    assert busy == about(3 / (3 * first + 2.5))


@pytest.mark.slow
def test_hand_offs_by_an_expensive_link_take_five_times_as_long() -> None:
    """Section 5.3 of the paper: cost 1 over an edge of the preferred graph, tau = 5 over any other."""
    network = tj.Network(links=links.preferred("ring", cost=1.0, tau=5.0))
    token = tj.random_walk(optimizer=SGD)
    result = tj.simulate(token, task_of(6), rounds=30, network=network, record=30, progress=False)
    steps = [
        0 if old is None else 1 if (new - old) % 6 in (1, 5) else 5
        for new, old in result.timeline().select("node", "fetched_from").iter_rows()
    ]
    assert {0, 1, 5} == set(steps)
    assert result.final()["time"].to_list() == about([sum(steps)])


# runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_time_ticks_on_after_ten_million_seconds() -> None:
    """A float32 of 3 * 10^7 has steps of two seconds: no tenth of a second would be seen."""
    network = tj.Network(machines=machines.table([0.1, 0.05, 0.0]), waiting="neighbours")
    walk = tj.random_walk(tokens=3, optimizer=SGD)
    year = 3 * 10**7
    result = tj.simulate(walk, task_of(3), rounds=1, network=network, progress=False)
    world = result.state.world
    free = world.node["free"]
    late = world.with_slot(base=world.slot["base"] + year).with_node(free=(free[0] + year, *free[1:]))
    before = max(world.slot["clock"].tolist()) + year
    state = result.state.replace(world=late)
    after = tj.simulate(walk, task_of(3), rounds=60, network=network, state=state, progress=False, record=None)
    # All three tokens are at all three nodes in every round, each for its time: 60 gradients at the slowest node.
    assert after.final()["time"].item() - before == pytest.approx(60 * 0.1, abs=0.1)
    young = tj.simulate(walk, task_of(3), rounds=61, network=network, progress=False).final()["time"].item()
    assert after.final()["time"].item() - year == pytest.approx(young, abs=1e-4)


def whole_network() -> tj.Network:
    return tj.Network(
        loss=0.1,
        links=links.sites([7, 5]),
        machines=machines.lognormal(fixed=False),
        waiting="neighbours",
        contention=True,
        presence=tj.network.presence.markov(0.1, 0.3),
        faults=tj.network.faults.independent(hand_off=0.3, failure=0.1),
        activation=tj.network.activation.duty(limit=0.3),
    )


@pytest.mark.slow
def test_a_run_that_goes_on_is_as_if_it_had_never_stopped() -> None:
    algorithm, network = tj.teleportation(active=3, topology="ring", optimizer=SGD), whole_network()
    given = {"network": network, "eval_every": 4, "progress": False, "load": True, "record": 12}
    whole = tj.simulate(algorithm, task_of(12), rounds=12, **given)
    part = tj.simulate(algorithm, task_of(12), rounds=8, **given)
    warm = tj.simulate(algorithm, task_of(12), rounds=4, state=part, **given)
    assert warm.history.equals(whole.history.filter(pl.col("round") >= 8))
    for one, other in zip(jax.tree.leaves(warm.state), jax.tree.leaves(whole.state), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert warm.load().equals(whole.load()) and warm.timeline().equals(whole.timeline())
    assert whole.history["time"].is_sorted() and whole.final()["failed"].item() > 0


traced: list[str] = []


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Traced:
    """A quadratic that leaves a mark whenever its loss is traced; never equal to one traced before."""

    part: Any
    called: str = field(metadata={"static": True})

    @property
    def nodes(self) -> int:
        return self.part.nodes

    def init(self, key: Any) -> Any:
        return self.part.init(key)

    def loss(self, params: Any, node: Any, key: Any) -> Any:
        traced.append(self.called)
        return self.part.loss(params, node, key)

    def evaluate(self, params: Any) -> Any:
        return self.part.evaluate(params)


@pytest.mark.slow
def test_latencies_that_are_tuned_are_one_program_with_columns_of_their_own() -> None:
    def simulate(called: str, latency: float = 0.1, **options: Any) -> pl.DataFrame:
        network = tj.Network(links=links.uniform(latency, 24.0), machines=machines.lognormal(), loss=0.2)
        algorithm = tj.teleportation(active=4, topology="ring", optimizer=SGD)
        given = {"rounds": 12, "eval_every": 4, "network": network, "progress": False, **options}
        return tj.simulate(algorithm, Traced(task_of(12), called), **given).history

    values = [0.0, 0.1, 2.0]
    simulate("one", tune={"latency": [0.5]})
    simulate("three", tune={"latency": values})
    assert traced.count("three") == traced.count("one") > 0
    tuned = simulate("three", tune={"latency": [value + 1 for value in values]})
    assert traced.count("three") == traced.count("one")  # other numbers are the same program
    for value in values:
        alone, ours = simulate("alone", value + 1), tuned.filter(pl.col("latency") == value + 1)
        assert ours["lost"].to_list() == alone["lost"].to_list()
        for name in ("time", "busy", "waiting", "loss"):  # sums in another order where runs are side by side
            np.testing.assert_allclose(ours[name], alone[name], rtol=1e-5, atol=1e-6)
    assert len(set(tuned.filter(pl.col("round") == 12)["time"])) == 3
