"""Consensus rates against dense singular values, closed forms and each other."""

import numpy as np
import pytest

import telejax as tj
from telejax.topology import lanczos, matrices, spectrum

T = tj.topology

# a rate of 1e-7 comes out of the dense SVD with an error of about 1e-16 / 1e-7, hence the tolerance on it below
SPECS = [
    "ring", "path", "grid", "torus", "tree", "star", "barbell", "barbell:clique=10", "exponential",
    "one_peer_exponential", "d_equistatic", "u_equistatic:m=3", "random_regular", "erdos_renyi", "small_world",
    "stochastic_block", "random_walk:graph=path", "path:weights=lazy", "grid:weights=max_degree",
]  # fmt: skip


def dense_rate(topology: tj.Topology) -> float:
    product = np.eye(topology.nodes)
    for t in range(topology.period):
        product = topology.matrix(t) @ product
    return 1 - np.linalg.svd(product - 1 / topology.nodes, compute_uv=False)[0] ** 2


@pytest.mark.parametrize("nodes", [24, 57, 200])
@pytest.mark.parametrize("spec", SPECS)
def test_against_dense_svd(spec, nodes):
    topology = tj.topology.from_spec(spec, nodes)
    assert topology.consensus_rate() == pytest.approx(dense_rate(topology), rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("spec", SPECS)
def test_lanczos_against_dense(spec):
    topology = tj.topology.from_spec(spec, 150)
    matrices = [one.at(0).sparse() for one in topology.rounds]
    low, high = lanczos.bounds(matrices)
    assert low == high
    assert high == pytest.approx(topology.consensus_rate(), rel=1e-6)
    low, high = lanczos._by_products(matrices)  # without the inverse: bounds, wherever it does not converge
    assert low <= topology.consensus_rate() * (1 + 1e-6)
    assert high >= topology.consensus_rate() * (1 - 1e-6)


@pytest.mark.slow
def test_path_in_closed_form():
    # Metropolis weights on a path are I - L / 3, and L has the eigenvalues 2 - 2 cos(pi m / n)
    for nodes in (10, 200, 100_000):
        loss = 4 * np.sin(np.pi / (2 * nodes)) ** 2 / 3
        assert T.path(nodes).consensus_rate() == pytest.approx(loss * (2 - loss), rel=1e-6)


def test_torus_in_closed_form():
    loss = 4 * np.sin(np.pi / 50) ** 2 / 5
    assert T.torus(2500).consensus_rate() == pytest.approx(loss * (2 - loss), rel=1e-6)


def test_ring_without_cancellation():
    for nodes in (10, 10**4, 10**6):
        loss = 4 * np.sin(np.pi / nodes) ** 2 / 3
        assert T.ring(nodes).consensus_rate() == pytest.approx(loss * (2 - loss), rel=1e-9)


def test_star_of_many_nodes():
    rate = T.star(20_000).consensus_rate()
    assert rate == pytest.approx(2 / 20_000, rel=1e-4)


def test_alternating_graph_near_minus_one():
    # two nodes that almost swap: the eigenvalue next to -1 decides, where I - W alone would not see it
    swap = np.array([[0.001, 0.999], [0.999, 0.001]])
    assert T.from_matrix(swap).consensus_rate() == pytest.approx(1 - 0.998**2, rel=1e-9)
    matrix = np.kron(np.eye(20), swap)
    matrix = 0.9 * matrix + 0.1 * np.kron(T.complete(20).matrix(), np.eye(2))
    top = T.from_matrix(matrix)
    low, high = lanczos.bounds([top.sparse()])
    assert low == high == pytest.approx(dense_rate(top), rel=1e-6)


def test_unresolved_is_a_bound(monkeypatch):
    topology = T.permuted(T.ring(3000), np.random.default_rng(0).permutation(3000))
    truth = T.ring(3000).consensus_rate()
    assert topology.consensus_rate() == pytest.approx(truth, rel=1e-6)
    monkeypatch.setattr(lanczos, "_by_inverse", lambda matrices: None)
    bounds = topology.consensus_bounds()
    assert not bounds.resolved
    assert bounds.low <= truth <= bounds.high
    with pytest.raises(ValueError, match=r"could not be resolved.*consensus_bounds"):
        topology.consensus_rate()
    assert topology.rounds_to_consensus() >= T.ring(3000).rounds_to_consensus()


def test_unconnected_is_zero():
    both = T.block_diagonal([T.ring(5), T.complete(3)])
    assert both.consensus_rate() == 0.0
    assert both.rounds_to_consensus() == np.inf


def test_means_within_a_period():
    lazy = T.with_self_loops(T.complete(30), 0.6)
    top = T.sequence([lazy, T.path(30), lazy])
    assert lazy.consensus_rate() == pytest.approx(1 - 0.36, rel=1e-12)
    assert top.consensus_rate() == pytest.approx(dense_rate(top), rel=1e-9)
    assert T.sequence([T.complete(30), T.path(30)]).consensus_rate() == 1.0


def test_rounds_to_consensus_is_enough_and_needed():
    for topology in (T.ring(20), T.path(12), T.one_peer_exponential(6), T.base_graph(25)):
        rounds = int(topology.rounds_to_consensus(1e-6))
        x = np.eye(topology.nodes) - 1 / topology.nodes
        history = [1.0]
        for t in range(rounds):
            x = topology.average(x, t)
            history.append(np.linalg.norm(x, ord=2) ** 2)
        assert history[rounds] <= 1e-6 * (1 + 1e-6)
        if topology.period == 1:
            assert history[rounds - 1] > 1e-6


def test_finite_time():
    assert T.base_graph(77).is_finite_time()
    assert T.one_peer_hypercube(8).is_finite_time()
    assert T.complete(5).is_finite_time()
    assert T.ring(3).is_finite_time()
    assert not T.ring(4).is_finite_time()
    assert not T.od_equidyn(8).is_finite_time()
    assert spectrum.is_finite_time(T.ring(1).rounds)


@pytest.mark.parametrize("seed", range(12))
def test_samples_of_a_spectrum_find_the_slowest_mode(seed, monkeypatch):
    random = np.random.default_rng(seed)
    nodes, rounds = int(random.integers(300, 3000)), []
    for _ in range(1 + seed % 2):
        offsets = random.integers(-6, 7, size=3).tolist()
        weights = random.random(7) * [seed % 3 > 0, *[1] * 6]  # nodes that keep nothing too, whose modes alternate
        rounds.append(
            matrices.Circulant.build(
                nodes, [0, *offsets, *(-one for one in offsets)], (weights / weights.sum()).tolist()
            )
        )
    exact = spectrum._circulant_rate(rounds)
    monkeypatch.setattr(spectrum, "ALL_MODES", 10)
    assert spectrum._is_narrow(rounds)
    assert spectrum._circulant_rate(rounds) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("power", [21, 31, 53])
def test_a_large_ring_is_answered_at_once(power):
    nodes = 2**power  # 1 - (1 - 4/3 sin^2(pi / n))^2
    assert T.ring(nodes).consensus_rate() == pytest.approx(8 / 3 * (np.pi / nodes) ** 2, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["ring", "star", "one_peer_exponential", "base:degree=2", "directed_exponential", "barbell"]
)
@pytest.mark.parametrize("decay", [0.5, 0.95])
def test_effective_neighbours_are_the_variance_of_a_walk_that_forgets(name, decay):
    topology = tj.topology.from_spec(name, 9)
    matrices, covariance = [topology.matrix(t) for t in range(topology.period)], np.zeros((9, 9))
    for _ in range(800):
        kept = []
        for matrix in matrices:
            covariance = matrix @ (decay * covariance + np.eye(9)) @ matrix.T
            kept.append(np.trace(covariance) / 9)
    assert topology.effective_neighbours(decay) == pytest.approx(1 / (1 - decay) / np.mean(kept), rel=1e-6)


def test_effective_neighbours_lie_between_nobody_and_all():
    assert tj.topology.complete(10**6).effective_neighbours() == pytest.approx(10**6)
    assert tj.topology.ring(1).effective_neighbours() == pytest.approx(1.0)
    far = [T.ring(10**5).effective_neighbours(decay) for decay in (0.5, 0.9, 0.99)]
    assert far == sorted(far) and far[0] > 1 and far[2] < 100
    assert tj.topology.from_spec("star", 2000).effective_neighbours() is None
    assert tj.topology.from_spec("random_matching", 8).effective_neighbours() is None
    with pytest.raises(ValueError, match="decay is 1; give a number above 0 and below 1"):
        T.ring(8).effective_neighbours(1)
