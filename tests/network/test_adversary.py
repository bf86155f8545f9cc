"""Byzantine nodes: who they are, what they forge when they gossip and hand over, who is judged, what protects."""

import re
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.algorithms import registry
from tests.network.rounds import is_share, run

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
KEY = jax.random.key(5)


def liars(attack: Any = None, **who: Any) -> tj.Network:
    """A network with an adversary."""
    return tj.Network(adversary=tj.adversary(tj.attacks.sign_flip() if attack is None else attack, **who))


def held(holders: list[int], dim: int = 3, round: int = 4, seed: int = 0) -> tj.State:
    """A state of some round in which these nodes hold slots with parameters of their own."""
    x = np.random.default_rng(seed).normal(size=(len(holders), dim)).astype(np.float32)
    return tj.State(jnp.asarray(x), jnp.zeros((len(holders), 0)), jnp.array(holders, jnp.int32), jnp.int32(round))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_share_of_all_nodes_lies_each_for_good(share: float) -> None:
    adversary = tj.adversary(tj.attacks.zero(), share=share, seed=3)
    nodes = jnp.arange(100_000)
    lies = np.asarray(adversary.lies(nodes))
    assert is_share(lies, share)
    np.testing.assert_array_equal(adversary.lies(nodes[::-1]), lies[::-1])
    other = np.asarray(tj.adversary(tj.attacks.zero(), share=share, seed=4).lies(nodes))
    assert is_share(lies & other, share**2)
    assert not adversary.lies(jnp.array([-1])).any()


@pytest.mark.slow
def test_who_lies_is_found_among_any_number_of_nodes_from_the_holders_alone() -> None:
    task = tj.tasks.quadratic(nodes=10**8, dim=3)
    algorithm = tj.teleportation(active=32, topology="ring", optimizer=SGD, aggregation=tj.robust.median())
    network = liars(share=0.25)
    result = tj.simulate(algorithm, task, rounds=100, network=network, progress=False)
    assert is_share(np.repeat([1, 0], [result.history["byzantine"][-1], 3200 - result.history["byzantine"][-1]]), 0.25)


def test_nodes_may_be_listed() -> None:
    adversary = tj.adversary(tj.attacks.zero(), nodes=[7, 2, 9])
    np.testing.assert_array_equal(np.flatnonzero(adversary.lies(jnp.arange(-1, 12))) - 1, [2, 7, 9])


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["ring", "complete", "star", "one_peer_exponential"])
def test_gossip_carries_what_is_forged_and_nobody_hears_himself_forged(topology: str) -> None:
    graph, state = tj.topology.from_spec(topology, 6), held([10, 11, 12, 13, 14, 15])
    network = liars(nodes=[11, 14]).bind(20)
    _, mixed, _ = network.gossip(KEY, graph.mixing(), state.params, state, 12)
    x, honest = np.asarray(state.params), np.array([0, 2, 3, 5])
    sent = x.copy()
    sent[[1, 4]] = -x[honest].mean(axis=0)
    matrix = graph.matrix(4)
    wanted = matrix @ sent + np.diag(matrix)[:, None] * (x - sent)
    np.testing.assert_allclose(mixed, wanted, atol=1e-6)


def test_several_trees_that_travel_together_are_all_forged() -> None:
    state, network = held([0, 1, 2]), liars(tj.attacks.zero(), nodes=[1]).bind(3)
    both = state.params, {"tracker": 2 * state.params}
    _, (x, y), _ = network.gossip(KEY, tj.topology.complete(3).mixing(), both, state, 12)
    wanted = (state.params[0] + state.params[2]) / 3
    np.testing.assert_allclose(x[0], wanted, atol=1e-6)
    np.testing.assert_allclose(y["tracker"][0], 2 * wanted, atol=1e-6)


def test_who_moves_in_gets_what_the_former_holder_forges() -> None:
    state, network = held([10, 11, 12, 13]), liars(nodes=[11, 13]).bind(20)
    new = jnp.array([11, 5, 12, 13], jnp.int32)  # 11 takes over from 10, 5 from 11; 12 and 13 stay
    after, moved = network.hand_off(KEY, state, new, 12)
    wanted = np.asarray(state.params).copy()
    wanted[1] = -wanted[[0, 2]].mean(axis=0)
    np.testing.assert_allclose(after.params, wanted, atol=1e-6)
    assert moved.tolist() == [True, True, False, False]
    first, _ = network.hand_off(KEY, replace(state, round=jnp.int32(0)), new, 12)
    np.testing.assert_array_equal(first.params, state.params)
    served, _ = network.hand_off(KEY, state, new, 12, served=True)  # the server is honest
    np.testing.assert_array_equal(served.params, state.params)


def test_where_a_fetch_failed_the_neighbours_holder_is_who_may_forge() -> None:
    faults = tj.network.faults.independent(hand_off=1.0, retries=0, recovery="neighbour")
    state = held([10, 11, 12])
    for liar, forged in ((11, True), (10, False)):
        network = replace(liars(tj.attacks.zero(), nodes=[liar]), faults=faults).bind(20)
        after, _ = network.hand_off(KEY, state, jnp.array([1, 11, 12], jnp.int32), 12)
        np.testing.assert_allclose(after.params[0], np.zeros(3) if forged else state.params[1])


@pytest.mark.slow
def test_protected_hand_off_is_what_the_rule_makes_of_several_former_holders() -> None:
    state, network = held([10, 11, 12, 13, 14], seed=1), liars(nodes=[11]).bind(20)
    new = jnp.array([10, 5, 6, 11, 14], jnp.int32)
    algorithm = tj.teleportation(active=5, topology="ring", optimizer=SGD, hand_off="median:sources=3")
    after, _ = network.hand_off(KEY, state, new, 12, sources=algorithm.sources)
    x = np.asarray(state.params)
    sent = x.copy()
    sent[1] = -x[[0, 2, 3, 4]].mean(axis=0)
    fetched = np.median([np.roll(sent, -j, axis=0) for j in range(3)], axis=0)
    np.testing.assert_allclose(after.params, np.where(np.array([0, 1, 1, 1, 0])[:, None], fetched, x), atol=1e-6)
    ideal, _ = tj.Network().hand_off(KEY, state, new, 12, sources=algorithm.sources)
    fetched = np.median([np.roll(x, -j, axis=0) for j in range(3)], axis=0)
    np.testing.assert_allclose(ideal.params, np.where(np.array([0, 1, 1, 1, 0])[:, None], fetched, x), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("travels", [True, False])
def test_the_optimizer_state_is_aggregated_where_it_travels(travels: bool) -> None:
    momentum = tj.optimizer(optax.adam, learning_rate=0.1)
    algorithm = tj.teleportation(
        active=4, topology="ring", optimizer=momentum, hand_off="median:sources=3", state_travels=travels
    )
    task = tj.tasks.quadratic(nodes=50, dim=2, heterogeneity=2.0)
    state = algorithm.init(KEY, task)
    state, _ = algorithm.step(KEY, state, task)
    moments = state.opt_state[0].mu
    after, moved = tj.Network().hand_off(KEY, state, (state.holders + 1) % 50, 12, sources=algorithm.sources)
    fetched = np.median([np.roll(moments, -j, axis=0) for j in range(3)], axis=0)
    np.testing.assert_allclose(after.opt_state[0].mu, fetched if travels else moments, atol=1e-7)
    assert after.opt_state[0].count.dtype == state.opt_state[0].count.dtype
    assert moved.all()
    assert np.abs(fetched - moments).max() > 1e-4


@pytest.mark.slow
def test_its_messages_time_and_load_are_counted() -> None:
    task = tj.tasks.quadratic(nodes=40, dim=5)
    result = {}
    for hand_off in (None, "median:sources=3"):
        algorithm = tj.teleportation(active=6, topology="ring", optimizer=SGD, hand_off=hand_off)
        links = tj.network.links.plane(pace=1.0, seed=1)
        result[hand_off] = tj.simulate(
            algorithm, task, rounds=50, network=tj.Network(links=links), load=True, progress=False
        )
    plain, safe = result[None].final(), result["median:sources=3"].final()
    assert safe["messages_handoff"][0] == 3 * plain["messages_handoff"][0]
    assert safe["bytes_handoff"][0] == 3 * plain["bytes_handoff"][0]
    assert safe["messages_gossip"][0] == plain["messages_gossip"][0]
    assert safe["time"][0] > plain["time"][0]  # the slowest of three
    for way in ("messages_out", "messages_in"):
        sent = {hand_off: one.load()[way].sum() for hand_off, one in result.items()}
        assert sent["median:sources=3"] == safe["messages_gossip"][0] + safe["messages_handoff"][0]
        assert sent[None] == plain["messages_gossip"][0] + plain["messages_handoff"][0]


def test_honest_slots_alone_are_judged() -> None:
    task = tj.tasks.quadratic(nodes=6, dim=4, heterogeneity=3.0, seed=2)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    network = liars(tj.attacks.gaussian(50.0), nodes=[4])
    result = tj.simulate(algorithm, task, rounds=5, network=network, progress=False)
    state, honest = result.state, np.arange(6) != 4
    mean = np.asarray(state.params)[honest].mean(axis=0)
    np.testing.assert_allclose(result.history["loss"][-1], task.evaluate(jnp.asarray(mean))["loss"], rtol=1e-5)
    own = [float(task.evaluate(x)["loss"]) for x in np.asarray(state.params)[honest]]
    np.testing.assert_allclose(result.history["loss_slots"][-1], np.mean(own), rtol=1e-5)
    assert result.history["byzantine"].to_list() == list(range(6))


def test_where_all_lie_the_row_is_empty() -> None:
    task = tj.tasks.quadratic(nodes=4, dim=3)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    result = tj.simulate(algorithm, task, rounds=2, network=liars(share=0.999), progress=False)
    assert result.history["loss"].is_null().all()
    assert result.history["byzantine"][-1] == 8


@pytest.mark.slow
def test_a_server_aggregates_what_its_clients_send_with_its_own_model_for_what_is_missing() -> None:
    task = tj.tasks.quadratic(nodes=5, dim=3, heterogeneity=4.0, seed=1)
    rule = tj.robust.trimmed_mean(1)
    algorithm = tj.fedavg(clients=5, optimizer=SGD, aggregation=rule)
    network = liars(tj.attacks.little_is_enough(1.0), nodes=[2])
    state, told = run(algorithm, task, network, rounds=1)
    start = algorithm.init(jax.random.key(9), task).params
    grads = tj.gradients(jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[1], start, jnp.arange(5), task)
    sent = np.array(start - 0.1 * grads)
    honest = np.delete(sent, 2, axis=0)
    sent[2] = honest.mean(axis=0) + honest.std(axis=0, ddof=1)
    np.testing.assert_allclose(told["params"][0], np.tile(np.sort(sent, axis=0)[1:4].mean(axis=0), (5, 1)), rtol=1e-5)
    clipping = tj.fedavg(clients=5, optimizer=SGD, aggregation=tj.robust.centered_clipping(0.0))
    state, _ = run(clipping, task, network, rounds=3)
    np.testing.assert_array_equal(state.params, start)  # no client moves the server
    lost = replace(network, loss=1.0)
    state, _ = run(tj.fedavg(clients=5, optimizer=SGD, aggregation=rule), task, lost, rounds=1)
    assert np.isfinite(state.params).all()


@pytest.mark.slow
def test_shares_radii_and_strengths_are_batch_axes() -> None:
    task = tj.tasks.quadratic(nodes=12, dim=3, noise=0.5)
    make = lambda radius: tj.decentralized_sgd(
        topology="exponential", optimizer=SGD, aggregation=tj.robust.clipped_gossip(radius)
    )
    tune = {"share": [0.1, 0.4], "tau": [0.5, 2.0], "radius": [0.3, 3.0]}
    run = {"rounds": 20, "eval_every": 20, "progress": False}
    network = lambda share, tau: liars(tj.attacks.inner_product(tau), share=share)
    many = tj.simulate(make(1.0), task, network=network(0.2, 1.0), tune=tune, **run).final()
    for share in tune["share"]:
        for tau in tune["tau"]:
            for radius in tune["radius"]:
                one = tj.simulate(make(radius), task, network=network(share, tau), **run).final()
                same = many.filter(share=share, tau=tau, radius=radius)
                np.testing.assert_allclose(one["loss"], same["loss"], rtol=1e-5)
                assert one["byzantine"].to_list() == same["byzantine"].to_list()
    assert many["byzantine"].n_unique() == 2


@pytest.mark.slow
def test_labels_are_flipped_before_the_run() -> None:
    task = tj.tasks.digits(nodes=20, alpha=None)
    flipped = tj.tasks.label_flipped(task, [3, 5])
    rows = np.asarray(task.table)
    for node in range(20):
        own, then = (np.asarray(one.samples.labels)[rows[node]] for one in (task, flipped))
        np.testing.assert_array_equal(then, 9 - own if node in (3, 5) else own)
    test = slice(rows.size, None)
    np.testing.assert_array_equal(task.samples.labels[test], flipped.samples.labels[test])
    weights = np.asarray(flipped.subset.weights)[:, 0]
    assert set(np.asarray(flipped.subset.rows)[weights > 0]) == set(
        rows[[n for n in range(20) if n not in (3, 5)]].ravel()
    )
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    network = liars(tj.attacks.label_flip(), nodes=[3, 5])
    given = tj.simulate(algorithm, task, rounds=6, network=network, progress=False)
    wrapped = tj.simulate(algorithm, flipped, rounds=6, progress=False)
    for one, other in zip(jax.tree.leaves(given.state.params), jax.tree.leaves(wrapped.state.params), strict=True):
        np.testing.assert_array_equal(one, other)
    assert given.history["byzantine"][-1] == 12


@pytest.mark.slow
def test_a_share_of_label_flippers_is_the_same_as_their_list() -> None:
    task, algorithm = tj.tasks.digits(nodes=20, alpha=None), tj.decentralized_sgd(topology="ring", optimizer=SGD)
    share = tj.adversary(tj.attacks.label_flip(), share=0.3, seed=1)
    nodes = np.flatnonzero(share.lies(jnp.arange(20)))
    one, other = (
        tj.simulate(algorithm, task, rounds=4, network=tj.Network(adversary=adversary), progress=False)
        for adversary in (share, tj.adversary(tj.attacks.label_flip(), nodes=nodes))
    )
    assert one.history.equals(other.history)
    assert 0 < len(nodes) < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        tj.gradient_tracking(topology="ring", optimizer=SGD),
        tj.push_sum(topology="directed_exponential", optimizer=SGD),
        tj.choco_sgd(topology="ring", optimizer=SGD, compressor=tj.compression.top_k(0.5), consensus_step=0.1),
        tj.random_walk(optimizer=SGD, tokens=2),
        tj.scaffold(clients=3, optimizer=SGD),
        tj.all_reduce_sgd(optimizer=SGD),
        tj.gossip_pairs(topology="ring", optimizer=SGD),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_any_method_meets_attackers(algorithm: tj.Algorithm) -> None:
    task = tj.tasks.quadratic(nodes=8, dim=3)
    quiet, attacked = (
        tj.simulate(algorithm, task, rounds=6, network=network, progress=False)
        for network in (None, liars(tj.attacks.inner_product(0.5), nodes=[1, 2]))
    )
    assert attacked.history["byzantine"][-1] > 0
    assert attacked.history["loss"][-1] != quiet.history["loss"][-1]


def test_who_fails_with_several_candidates_says_so() -> None:
    joint = tj.joint_teleportation(active=[1, 2], topology="ring", optimizer=SGD)
    task = tj.tasks.quadratic(nodes=9)
    with pytest.raises(ValueError, match="simulate each candidate by itself"):
        tj.simulate(joint, task, rounds=2, network=liars(nodes=[1]))
    with pytest.raises(ValueError, match="adversary"):
        tj.simulate(tj.relay_sgd(topology="tree", optimizer=SGD), task, rounds=2, network=liars(nodes=[1]))


BAD = {
    "share = 1.0": (lambda: liars(share=1.0), "share is 1.0; give a number of at least 0 and below 1"),
    "share = -0.1": (lambda: liars(share=-0.1), "share is -0.1"),
    "neither": (lambda: liars(), "share is None and nodes is None; give one of the two"),
    "both": (lambda: liars(share=0.1, nodes=[1]), "give one of the two"),
    "twice": (lambda: liars(nodes=[1, 1]), "nodes has 1 twice"),
    "negative": (lambda: liars(nodes=[-1]), "nodes has -1"),
    "all": (lambda: liars(nodes=range(12)).bind(12), "nodes of the adversary has all 12 nodes of the task; leave one"),
    "floats": (lambda: liars(nodes=[1.5]), "give a list of nodes"),
    "no attack": (lambda: tj.adversary("sign_flip", share=0.1), "attack is 'sign_flip'; give one of telejax.attacks"),
    "no adversary": (lambda: tj.Network(adversary=0.1), "adversary is 0.1; give telejax.adversary("),
    "beyond": (
        lambda: tj.simulate(
            tj.random_walk(optimizer=SGD), tj.tasks.quadratic(nodes=9), rounds=1, network=liars(nodes=[9])
        ),
        "nodes of the adversary has 9, and the task 9; give nodes from 0 to 8",
    ),
    "no labels": (
        lambda: tj.simulate(
            tj.random_walk(optimizer=SGD),
            tj.tasks.quadratic(nodes=9),
            rounds=1,
            network=liars(tj.attacks.label_flip(), nodes=[1]),
        ),
        "has no label_flipped(nodes)",
    ),
    "all flipped": (lambda: tj.tasks.label_flipped(tj.tasks.digits(nodes=10), range(10)), "all nodes of the task"),
    "tau": (lambda: tj.attacks.inner_product(-1.0), "tau is -1.0"),
    "scale": (lambda: tj.attacks.gaussian(float("nan")), "scale is nan"),
    "row": (lambda: tj.attacks.mimic(-1), "row is -1"),
    "no key": (lambda: tj.attacks.gaussian()(jnp.ones((2, 3))), "key is None"),
    "honest": (lambda: tj.attacks.zero()(jnp.ones(3)), "give an array (m, d)"),
    "f of a ring": (
        lambda: tj.teleportation(active=8, topology="ring", optimizer=SGD, aggregation=tj.robust.trimmed_mean(2)),
        "slot 0 of topology 'ring' in round 0 has 3 vectors",
    ),
    "f of a star": (
        lambda: tj.teleportation(active=8, topology="star", optimizer=SGD, aggregation=tj.robust.krum(1)),
        "has 2 vectors",
    ),
    "f of a matching": (
        lambda: tj.teleportation(
            active=8, topology="one_peer_exponential", optimizer=SGD, aggregation=tj.robust.meamed(1)
        ),
        "has 2 vectors",
    ),
    "f of a graph of nodes": (
        lambda: tj.simulate(
            tj.decentralized_sgd(topology="ring", optimizer=SGD, aggregation=tj.robust.trimmed_mean(2)),
            tj.tasks.quadratic(nodes=9),
            rounds=1,
        ),
        "slot 0 of topology 'ring'",
    ),
    "f of clients": (
        lambda: tj.fedavg(clients=4, optimizer=SGD, aggregation=tj.robust.multi_krum(2)),
        "give f of at most 1",
    ),
    "f of nnm": (
        lambda: tj.fedavg(
            clients=4, optimizer=SGD, aggregation=tj.robust.nearest_neighbour_mixing(2, tj.robust.median())
        ),
        "nearest_neighbour_mixing stands f = 2",
    ),
    "f of all": (
        lambda: tj.fedavg(clients=4, optimizer=SGD, aggregation=tj.robust.nearest_neighbour_averaging(4)),
        "leaves out f = 4; give f of at most 3",
    ),
    "no rule": (lambda: tj.fedavg(clients=4, optimizer=SGD, aggregation=3), "aggregation is 3; give one of"),
    "no such rule": (lambda: tj.fedavg(clients=4, optimizer=SGD, aggregation="mean"), "did you mean 'median'"),
    "no f": (lambda: tj.fedavg(clients=4, optimizer=SGD, aggregation="krum"), "krum needs f; write krum:f=1"),
    "radius": (lambda: tj.robust.centered_clipping(-1.0), "radius is -1.0"),
    "steps": (lambda: tj.robust.geometric_median(steps=0), "steps is 0"),
    "floor": (lambda: tj.robust.geometric_median(floor=0.0), "floor is 0.0"),
    "start": (lambda: tj.robust.geometric_median(start="mean"), "start"),
    "f": (lambda: tj.robust.trimmed_mean(-1), "f is -1"),
    "x": (lambda: tj.robust.median()(jnp.ones(3)), "give an array (m, d) of floats"),
    "own": (lambda: tj.robust.median()(jnp.ones((3, 2)), own=3), "own is 3"),
    "few": (lambda: tj.robust.trimmed_mean(1)(jnp.ones((2, 2))), "x has 2 vectors"),
}
HAND_OFF = {
    "median:sources=9": "sources is 9; give from 2 to 8, the active slots",
    "median:sources=1": "hand_off is 'median:sources=1': sources is 1",
    "geometric_median:floor=-1,sources=3": "hand_off is 'geometric_median:floor=-1': floor is -1.0",
    "median": "sources",
    "median:sources=x": "sources",
    "mean:sources=3": "unknown rule in hand_off 'mean'; did you mean 'median'?",
    "trimmed_mean:sources=3": "trimmed_mean needs f",
    "trimmed_mean:f=2,sources=3": "give f of at most 1",
    "median:sources=3,f=1": "'f'",
    "": "without its number of sources",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, words = BAD[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


@pytest.mark.parametrize("hand_off", HAND_OFF)
def test_a_bad_hand_off_is_named(hand_off: str) -> None:
    with pytest.raises(ValueError, match=re.escape(HAND_OFF[hand_off])):
        tj.teleportation(active=8, topology="ring", optimizer=SGD, hand_off=hand_off)


def test_rules_may_be_given_as_texts() -> None:
    made = tj.decentralized_sgd(topology="ring", optimizer=SGD, aggregation="nearest_neighbour_mixing:f=1,rule=median")
    assert made.aggregation == tj.robust.nearest_neighbour_mixing(1, tj.robust.median())
    built = registry.build(
        "teleportation:aggregation=trimmed_mean:f=1,hand_off=median:sources=3/complete", SGD, workers=4
    )
    assert built.name == "TELEPORTATION complete k=4, hand-off median of 3, trimmed_mean(1)"


def test_one_slot_has_no_other_sources() -> None:
    with pytest.raises(ValueError, match="leave it out"):
        tj.teleportation(active=1, topology="complete", optimizer=SGD, hand_off="median:sources=2")


def test_a_compressor_and_several_sources_are_refused_together() -> None:
    with pytest.raises(ValueError, match="give one of the two"):
        tj.teleportation(
            active=8,
            topology="ring",
            optimizer=SGD,
            hand_off="median:sources=3",
            hand_off_compressor=tj.compression.cast(jnp.bfloat16),
        )
