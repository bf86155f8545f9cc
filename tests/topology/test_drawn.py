"""Rounds drawn anew: the host's matrices are the device's, with the promised distribution and exact counts."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telejax as tj
from telejax.mixing.accounting import sent, total
from telejax.topology.matcha import CLOSE, activation, kept_square, laplacian, moments

pytestmark = pytest.mark.usefixtures("compiled_fast")

T = tj.topology
BUILDS = [T.od_equidyn, T.ou_equidyn, T.random_matching, T.epidemic, T.matcha]


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=10, deadline=None)
@given(nodes=st.sampled_from([1, 2, 9, 16]), seed=st.integers(0, 2**32 - 1), round=st.integers(0, 10**6))
def test_device_and_host_draw_the_same(build, nodes, seed, round):
    topology = build(nodes, seed=seed)
    matrix = topology.matrix(round)
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    assert matrix.min() >= 0 or build is T.matcha
    assert ((matrix > 0) & ~np.eye(nodes, dtype=bool)).sum(axis=1).max() <= topology.max_degree
    if build not in (T.od_equidyn, T.epidemic):
        np.testing.assert_array_equal(matrix, matrix.T)
    mixed = jax.jit(tj.mix)(topology.mixing(), jnp.eye(nodes), round)
    np.testing.assert_allclose(mixed, matrix, atol=1e-6)  # float32
    messages = np.count_nonzero(matrix - np.diag(np.diag(matrix)))
    assert topology.messages(round) == messages
    assert sent(topology.mixing().messages, np.array([round])).tolist() == [messages]


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS)
def test_all_leaves_share_the_draw(build):
    mixing = build(9).mixing()
    x = jnp.arange(9.0)
    mixed = jax.jit(tj.mix)(mixing, {"a": x, "b": jnp.stack([x, x], axis=1)}, 5)
    np.testing.assert_array_equal(mixed["a"], mixed["b"][:, 0])


@pytest.mark.fast_cases("9-random_matching")
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("nodes", [2, 5, 9])
def test_rate_is_that_of_the_mean_square(build, nodes):
    topology = build(nodes, seed=1)
    square, counted = moments_of(topology, draws=3000)
    rate = 1 - np.linalg.eigvalsh(square - 1 / nodes)[-1]
    assert rate == pytest.approx(topology.consensus_rate(), abs=0.06)  # a few sqrt(nodes / draws)
    assert counted == pytest.approx(topology.mean_messages, abs=0.03 * nodes)


def moments_of(topology, draws):
    """The means of W^T W and of the messages, over the first rounds, as the device mixes."""
    mixing = topology.mixing()
    mixed = lambda t: tj.mix(mixing, jnp.eye(topology.nodes), t)
    matrices = np.asarray(jax.jit(lambda: jax.lax.map(mixed, jnp.arange(draws)))())
    return np.mean(matrices.transpose(0, 2, 1) @ matrices, axis=0), sent(mixing.messages, np.arange(draws)).mean()


def test_rate_of_matchings_at_a_distance_exactly():
    nodes, weight = 9, 0.5 * 8 / 9
    distribution = T.ou_equidyn(nodes).rounds[0].distribution
    mean = np.zeros((nodes, nodes))
    for u in range(1, nodes):
        for start in range(nodes):
            mean += matching_of_the_paper(nodes, u, start) / (nodes * (nodes - 1))
    second = np.sort(np.linalg.eigvalsh(mean))[-2]
    assert distribution.spectral_gap() == pytest.approx(1 - second, rel=1e-12)
    assert T.ou_equidyn(nodes).consensus_rate() == pytest.approx(2 * weight * (1 - weight) * (1 - second))


def matching_of_the_paper(nodes, u, start):
    """Algorithm 2 of Song et al. as a loop: from ``start`` on, match with the node u further where both are free."""
    partner = np.arange(nodes)
    for place in range(nodes):
        i, j = (start + place) % nodes, (start + place + u) % nodes
        if partner[i] == i and partner[j] == j:
            partner[i], partner[j] = j, i
    return np.eye(nodes)[partner]


@pytest.mark.slow
def test_matching_is_the_papers():
    for nodes in (2, 5, 12):
        distribution = T.ou_equidyn(nodes).rounds[0].distribution
        drawn = jax.jit(jax.vmap(lambda key, of=distribution: (of._distance(key), of.partners(key))))
        for distance, partners in zip(*drawn(jax.random.split(jax.random.key(0), 30)), strict=True):
            ours = np.eye(nodes)[np.asarray(partners)]
            of_paper = [matching_of_the_paper(nodes, int(distance), start) for start in range(nodes)]
            assert any((ours == one).all() for one in of_paper)


@pytest.mark.slow
def test_epidemic_peers_are_a_mean_of_permutations_heard_once():
    topology = T.epidemic(7, peers=3, seed=2)
    square, counted = moments_of(topology, draws=3000)
    assert topology.consensus_rate() == 0.75 == pytest.approx(1 - np.linalg.eigvalsh(square - 1 / 7)[-1], abs=0.03)
    assert topology.mean_messages == pytest.approx(counted, abs=0.1)
    for t in range(5):
        matrix = topology.matrix(t)
        assert np.isin(np.round(4 * matrix, 9), range(5)).all()  # the identity and three permutations, 1/4 each
        indices, weights = tj.neighbours(topology.mixing(), t)
        for slot in range(7):
            heard = indices[:, slot][np.asarray(weights[:, slot]) > 0].tolist()
            assert len(set(heard)) == len(heard)


def test_many_peers_in_one_loop():
    topology = T.epidemic(50, peers=40)
    mixed = tj.mix(topology.mixing(), jnp.eye(50), 3)
    np.testing.assert_allclose(mixed, topology.matrix(3), atol=1e-6)


def test_matcha_splits_the_links_into_matchings():
    graph, top = T.stochastic_block(20, seed=1), T.matcha(20, graph=lambda n: T.stochastic_block(n, seed=1), budget=0.6)
    one = top.rounds[0]
    assert len(one.matchings) <= graph.max_degree + 1
    linked = np.zeros((20, 20), int)
    for matching in one.matchings:
        np.testing.assert_array_equal(matching[matching], np.arange(20))
        linked += np.eye(20, dtype=int)[matching] * (matching != np.arange(20))[:, None]
    assert ((linked == 1) <= (graph.matrix() > 0)).all() and linked.max() == 1
    assert one.probabilities.sum() <= 0.6 * (graph.max_degree + 1) + 1e-9


def test_matcha_uses_more_what_holds_a_graph_together():
    """A barbell's bridge is in one matching; without it there are two parts."""
    top = T.matcha(12, graph="barbell", budget=0.4)
    one = top.rounds[0]
    with_bridge = one.matchings[:, 5] == 6
    assert one.probabilities[with_bridge][0] == one.probabilities.max() > 0.9


@pytest.mark.parametrize("graph", ["barbell", "path", "torus"])
def test_matcha_is_at_an_optimum(graph):
    """No random probabilities of the budget connect better, and no other weight contracts more."""
    one = activation(T.resolve(graph, 12), 0.4, 0)
    count = len(one.matchings)
    connected = np.linalg.eigvalsh(laplacian(one.matchings, one.probabilities))[1]
    for seed in range(50):
        drawn = np.random.default_rng(seed).random(count)
        drawn = np.minimum(drawn * one.probabilities.sum() / drawn.sum(), 1)
        assert np.linalg.eigvalsh(laplacian(one.matchings, drawn))[1] <= connected * (1 + 2 * CLOSE)
    mean, square = moments(one.matchings, one.probabilities)
    kept = [kept_square(mean, square, change * one.weight / count) for change in (0.97, 1, 1.03)]
    assert kept[1] == min(kept)
    assert one.consensus_rate() == pytest.approx(1 - kept[1])


def test_matcha_with_all_matchings_is_fixed():
    top = T.matcha(6, graph="ring", budget=1)
    np.testing.assert_array_equal(top.matrix(0), top.matrix(9))
    assert top.messages(4) == T.ring(6).messages()


@pytest.mark.parametrize("budget", [1e-6, 1e-3])
def test_matcha_with_a_small_budget_is_found_too(monkeypatch, budget):
    matcha = sys.modules[activation.__module__]
    monkeypatch.setattr(matcha, "CUTS", 30)
    programs, solve = [], matcha.scipy.optimize.linprog
    monkeypatch.setattr(matcha.scipy.optimize, "linprog", lambda *a, **k: programs.append(1) or solve(*a, **k))
    np.testing.assert_allclose(T.matcha(25, budget=budget).rounds[0].probabilities, budget, rtol=1e-6)
    assert len(programs) < 30


def test_matcha_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "rustworkx", None)
    with pytest.raises(ValueError, match=r"install telejax\[matcha\]"):
        T.matcha(4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": 0}, "budget is 0; give a number from 1e-06 to 1"),
        ({"budget": 1e-300}, "budget is 1e-300; give a number from 1e-06 to 1"),
        ({"budget": 1.5}, "budget is 1.5"),
        ({"budget": "half"}, "budget is 'half'"),
        ({"graph": "exponential"}, "'exponential' is directed"),
        ({"graph": "base"}, "period of"),
        ({"graph": "epidemic"}, "drawn anew every round"),
        ({"graph": "rnig"}, "did you mean 'ring'"),
        ({"nodes": 5000}, "at most 1024 nodes"),
        ({"nodes": 0}, "nodes is 0"),
    ],
)
def test_what_matcha_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        T.matcha(**{"nodes": 25, **arguments})


@pytest.mark.parametrize("peers", [0, -1, 9, 1.5, "all"])
def test_peers_in_range(peers):
    with pytest.raises(ValueError, match=f"peers is {peers!r}"):
        T.epidemic(9, peers=peers)


def test_seeds_are_data():
    traces = []

    @jax.jit
    def mix(mixing, x):
        traces.append(1)
        return tj.mix(mixing, x, 3)

    x = jnp.arange(12.0)
    ends = [np.asarray(mix(T.random_matching(12, seed=seed).mixing(), x)) for seed in range(4)]
    assert len(traces) == 1
    assert len({end.tobytes() for end in ends}) > 1


@pytest.mark.slow
def test_composed():
    order = np.random.default_rng(0).permutation(7)
    drawn = T.ou_equidyn(7, seed=3)
    side = T.block_diagonal([drawn, T.one_peer_exponential(4)])
    cases = [
        T.permuted(drawn, order),
        T.with_self_loops(drawn, 0.25),
        T.sequence([drawn, T.ring(7), T.complete(7)]),
        side,
        T.permuted(T.with_self_loops(side, 0.5), np.arange(11)[::-1]),
        T.permuted(T.permuted(drawn, order), order),
        T.with_self_loops(T.permuted(T.epidemic(7, peers=3), order), 0.25),
        T.with_self_loops(T.matcha(7, graph="path"), 0.25),
    ]
    mix = jax.jit(tj.mix)
    for topology in cases:
        mixing = topology.mixing()
        for t in range(5):
            mixed = mix(mixing, jnp.eye(topology.nodes), t)
            np.testing.assert_allclose(mixed, topology.matrix(t), atol=1e-6)
            assert sent(mixing.messages, np.array([t]))[0] == topology.messages(t)
    np.testing.assert_array_equal(cases[0].matrix(4), drawn.matrix(4)[order][:, order])
    np.testing.assert_allclose(cases[1].matrix(4), 0.25 * np.eye(7) + 0.75 * drawn.matrix(4))
    assert cases[0].consensus_rate() == drawn.consensus_rate()
    assert not cases[2].consensus_bounds().low < drawn.consensus_rate()


def test_mixed_sequence_has_bounds():
    top = T.sequence([T.random_matching(6), T.ring(6)])
    bounds = top.consensus_bounds()
    products = [top.matrix(t + 1) @ top.matrix(t) for t in range(0, 800, 2)]
    rate = 1 - np.linalg.eigvalsh(np.mean([p.T @ p for p in products], axis=0) - 1 / 6)[-1]
    assert bounds.low <= rate + 0.05
    assert bounds.high == 1.0
    with pytest.raises(ValueError, match="could not be resolved"):
        top.consensus_rate()


@pytest.mark.slow
def test_history_counts_every_draw():
    topology = T.ou_equidyn(9, seed=2)
    task = tj.tasks.quadratic(nodes=9, dim=3)
    algorithm = tj.decentralized_sgd(topology=topology, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    history = tj.simulate(algorithm, task, rounds=20, eval_every=10, progress=False).history
    assert history["messages"].to_list() == [0, *(sum(topology.messages(t) for t in range(r)) for r in (10, 20))]
    assert total(topology.mixing().messages, 20) == history["messages"][-1]


@pytest.mark.parametrize("build", [T.od_equidyn, T.ou_equidyn])
@pytest.mark.parametrize("eta", [0, -0.5, 1.5, "fast"])
def test_eta_in_range(build, eta):
    with pytest.raises(ValueError, match=r"eta is .*above 0 and at most 1"):
        build(5, eta=eta)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5])
def test_seed_in_range(seed):
    with pytest.raises(ValueError, match=r"seed is .*from 0 to 2\^32 - 1"):
        T.random_matching(5, seed=seed)
