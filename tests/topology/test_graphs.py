"""What all named graphs promise, and each family's own definition."""

import math
import tracemalloc

import jax
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telejax as tj
from telejax.topology.lower import mixing_of
from telejax.topology.matrices import Circulant, Sparse

pytestmark = pytest.mark.usefixtures("compiled_fast")

T = tj.topology
POWERS = ("hypercube", "one_peer_hypercube")


@pytest.mark.fast_cases("ring", "star", "one_peer_exponential")
@pytest.mark.parametrize("name", sorted(T.NAMES))
@settings(max_examples=6, deadline=None)
@given(nodes=st.sampled_from([1, 2, 3, 16, 41]), seed=st.integers(0, 1000))
def test_every_name_is_doubly_stochastic_and_mixes_on_the_device(name, nodes, seed):
    if name in POWERS:
        nodes = 1 << (nodes.bit_length() - 1)
    if name in ("random_regular", "small_world"):
        nodes += 5
    topology = T.from_spec(name, nodes, seed=seed)
    mixing = topology.mixing()
    for t in range(min(topology.period, 3)):
        matrix = topology.matrix(t)
        np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-9)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-9)
        off = matrix - np.diag(np.diag(matrix))
        assert (off if name == "matcha" else matrix).min() >= 0  # MATCHA's I - alpha L may overshoot on the diagonal
        assert topology.messages(t) == np.count_nonzero(off)
        assert np.count_nonzero(off, axis=1).max() <= topology.max_degree
        np.testing.assert_allclose(jax.jit(tj.mix)(mixing, np.eye(nodes, dtype=np.float32), t), matrix, atol=1e-6)
    assert topology.is_connected()
    assert 0 <= topology.consensus_bounds().low <= topology.consensus_bounds().high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(T.NAMES) - {"complete", "matcha"}))
def test_large_graphs_need_memory_of_nodes_times_degree(name):
    nodes = 1 << 14
    topology = T.from_spec(name, nodes)
    for one in topology.rounds:
        assert one.links().nnz <= nodes * 60 + 2 * 1000**2 * (name == "barbell")


def edges(topology):
    return {frozenset(pair) for pair in topology.to_networkx().edges}


@pytest.mark.parametrize(
    ("topology", "graph"),
    [
        (T.path(7), nx.path_graph(7)),
        (T.star(7), nx.star_graph(6)),
        (T.tree(15), nx.balanced_tree(2, 3)),
        (T.tree(13, branching=3), nx.balanced_tree(3, 2)),
        (T.barbell(10), nx.barbell_graph(5, 0)),
        (T.barbell(11, clique=4), nx.barbell_graph(4, 3)),
        (T.hypercube(8), nx.convert_node_labels_to_integers(nx.hypercube_graph(3))),
        (T.grid(12, rows=3), nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4))),
    ],
)
def test_against_networkx(topology, graph):
    assert edges(topology) == {frozenset(pair) for pair in graph.edges}


@settings(max_examples=30, deadline=None)
@given(nodes=st.integers(2, 300), m=st.integers(1, 12), seed=st.integers(0, 100))
def test_equistatic(nodes, m, seed):
    m = min(m, nodes - 1)
    directed, undirected = T.d_equistatic(nodes, m, seed), T.u_equistatic(nodes, m, seed)
    assert directed.max_degree <= m
    assert undirected.max_degree <= 2 * m
    matrix = directed.matrix()
    np.testing.assert_allclose(undirected.matrix(), (matrix + matrix.T) / 2, atol=1e-15)
    np.testing.assert_allclose(np.diag(matrix), 1 / nodes, atol=1e-15)
    weights = matrix[0][1:] * m * nodes / (nodes - 1)
    np.testing.assert_allclose(weights, np.round(weights), atol=1e-9)


def test_one_peer_hypercube():
    top = T.one_peer_hypercube(8)
    for t in range(3):
        expected = np.zeros((8, 8))
        for i in range(8):
            expected[i, i] = expected[i, i ^ (1 << t)] = 0.5
        np.testing.assert_array_equal(top.matrix(t), expected)


def test_erdos_renyi_has_the_promised_edges():
    for probability in (0.1, 0.5):
        counts = [T.erdos_renyi(60, probability, seed=seed).messages() / 2 for seed in range(40)]
        pairs = 60 * 59 / 2
        spread = math.sqrt(pairs * probability * (1 - probability) / 40)
        assert abs(np.mean(counts) - pairs * probability) < 5 * spread


def test_stochastic_block():
    top = T.stochastic_block(40, clusters=4, inside=1.0, bridges=2, seed=1)
    cluster = np.arange(40) // 10
    links = top.matrix() > 0
    assert links[cluster[:, None] == cluster[None, :]].all()
    for a in range(4):
        for b in range(a):
            assert 1 <= links[cluster == a][:, cluster == b].sum() <= 2


def test_seeds_decide():
    for name in ("random_regular", "erdos_renyi", "small_world", "stochastic_block", "u_equistatic"):
        same = [T.from_spec(f"{name}:seed=3", 30).matrix() for _ in range(2)]
        np.testing.assert_array_equal(*same)
        assert (same[0] != T.from_spec(f"{name}:seed=4", 30).matrix()).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: T.ring(0), "nodes is 0; give an integer of at least 1"),
        (lambda: T.random_regular(5, 3), "degree is 3 with 5 nodes; nodes \\* degree must be even"),
        (lambda: T.random_regular(5, 5), "give a degree below the number of nodes"),
        (lambda: T.random_regular(50, 1), "none of 100 random graphs was connected; give a degree of at least 3"),
        (lambda: T.erdos_renyi(50, 0.001), "was connected; give a probability above ln"),
        (lambda: T.erdos_renyi(50, 1.5), "probability is 1.5; give a number above 0 and at most 1"),
        (lambda: T.stochastic_block(50, inside=0.001), "was connected; give a larger probability inside"),
        (lambda: T.stochastic_block(3, clusters=4), "at most one cluster a node"),
        (lambda: T.small_world(10, degree=3), "give an even degree below the number of nodes"),
        (lambda: T.hypercube(12), "needs a power of two, such as 8 or 16"),
        (lambda: T.one_peer_hypercube(12), "needs a power of two, such as 8 or 16"),
        (lambda: T.grid(10, rows=3), "rows is 3, which does not divide nodes = 10"),
        (lambda: T.barbell(10, clique=6), "clique is 6 with 10 nodes; two cliques need at most 5"),
        (lambda: T.tree(10, branching=0), "branching is 0; give an integer of at least 1"),
        (lambda: T.u_equistatic(5, m=5), "m is 5 with 5 nodes; there are 4 basis matrices"),
        (lambda: T.d_equistatic(5, m=0), "m is 0; give an integer of at least 1"),
        (lambda: T.path(5, weights="heavy"), "unknown weights 'heavy'"),
    ],
)
def test_bad_input_names_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["ring", "complete", "random_matching", "exponential", "one_peer_exponential"])
def test_what_connects_by_construction_is_built_at_any_size(name):
    tracemalloc.start()
    topology = T.from_spec(name, 2**31 - 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert topology.nodes == 2**31 - 1 and topology.is_connected() and peak < 10**6


def test_strides_with_a_common_divisor_connect_nothing():
    even = T.Topology.build("even", [Circulant.build(8, [0, 2, 4], [0.5, 0.25, 0.25])], connected=False)
    assert not even.is_connected()
    assert T.sequence([even, T.from_matrix(T.one_peer_exponential(8).matrix(0), connected=False)]).is_connected()


@pytest.mark.parametrize("nodes", [3, 4, 7, 16, 25])
def test_neighbour_lists_of_circulant_rounds_are_those_of_their_matrices(nodes):
    topology = T.Topology.build(
        "circulant",
        [
            Circulant.build(nodes, [-1, 0, 1], [0.25, 0.5, 0.25]),
            Circulant.build(nodes, [0, 2, nodes - 2, nodes // 2], [0.25] * 4),
            Circulant.build(nodes, [1], [1.0]),
        ],
    )
    fast = topology.mixing()
    slow = mixing_of("circulant", [Sparse(one.sparse()) for one in topology.rounds])
    for name in ("own", "weights", "indices"):
        ours, theirs = np.asarray(getattr(fast, name)), np.asarray(getattr(slow, name))
        assert ours.dtype == theirs.dtype and (ours == theirs).all(), name
    assert (fast.messages, fast.symmetric) == (slow.messages, slow.symmetric)


def test_lists_that_do_not_fit_are_refused_with_what_they_need(monkeypatch):
    monkeypatch.setattr("telejax.backend.host.host_bytes", lambda: 10**9)
    with pytest.raises(
        ValueError, match=r"topology 'ring' with 2147483647 nodes needs 25.8 GB and 1.0 GB are free; give"
    ):
        T.ring(2**31 - 1).mixing()
