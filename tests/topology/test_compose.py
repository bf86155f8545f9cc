"""Topologies from topologies, weights for graphs, directed graphs."""

import sys

import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

T = tj.topology


@settings(max_examples=20, deadline=None)
@given(st.permutations(list(range(9))), st.sampled_from(["ring", "star", "base:degree=2", "complete"]))
def test_permuted(order, spec):
    top = T.from_spec(spec, 9)
    new = T.permuted(top, order)
    for t in range(top.period):
        np.testing.assert_allclose(new.matrix(t), top.matrix(t)[order][:, order])
    assert new.consensus_rate() == pytest.approx(top.consensus_rate(), rel=1e-9)


def test_block_diagonal():
    parts = [T.base_graph(6), T.ring(4), T.complete(40)]
    both = T.block_diagonal(parts)
    assert both.period == parts[0].period
    for t in range(both.period):
        expected = scipy.linalg.block_diag(*(part.matrix(t) for part in parts))
        np.testing.assert_allclose(both.matrix(t), expected, atol=1e-15)
        np.testing.assert_allclose(tj.mix(both.mixing(), jnp.eye(50), t), expected, atol=1e-6)
        assert both.messages(t) == sum(part.messages(t) for part in parts)
    assert not both.is_connected()
    bridge = T.sequence([both, T.path(50)])
    assert bridge.consensus_rate() > 0


@pytest.mark.slow
def test_with_self_loops():
    for spec in ("ring", "star", "exponential", "complete", "one_peer_exponential"):
        top = T.from_spec(spec, 8)
        lazy = T.with_self_loops(top, 0.25)
        for t in range(top.period):
            np.testing.assert_allclose(lazy.matrix(t), 0.25 * np.eye(8) + 0.75 * top.matrix(t), atol=1e-15)
            np.testing.assert_allclose(tj.mix(lazy.mixing(), jnp.eye(8), t), lazy.matrix(t), atol=1e-6)
    np.testing.assert_array_equal(T.with_self_loops(T.star(5), 0).matrix(), T.star(5).matrix())


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1, 2], [0, 1, 2, 4], [0.0, 1.0, 2.0, 3.0]])
def test_order_is_a_permutation(order):
    with pytest.raises(ValueError, match=r"order is .*give each of the integers 0 to 3 once"):
        T.permuted(T.ring(4), order)


@pytest.mark.parametrize("weight", [-0.1, 1, 2.0, "half", np.nan])
def test_weight_in_range(weight):
    with pytest.raises(ValueError, match=r"weight is .*at least 0 and below 1"):
        T.with_self_loops(T.ring(4), weight)


def test_nothing_to_compose():
    for compose in (T.sequence, T.block_diagonal):
        with pytest.raises(ValueError, match="topologies is empty"):
            compose([])
    with pytest.raises(ValueError, match=r"rounds over \[3, 4\] nodes"):
        T.sequence([T.ring(3), T.ring(4)])


@pytest.mark.parametrize("weights", ["metropolis", "max_degree", "lazy", "random_walk", "fastest"])
@pytest.mark.parametrize("graph", [nx.path_graph(6), nx.lollipop_graph(4, 3), nx.complete_graph(5)])
def test_weights_of_a_graph(graph, weights):
    top = T.from_networkx(graph, weights=weights)
    matrix = top.matrix()
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-12)
    assert matrix.min() >= 0
    links = nx.to_numpy_array(graph) > 0
    assert not matrix[~links & ~np.eye(len(links), dtype=bool)].any()
    if weights in ("lazy", "random_walk"):
        assert np.linalg.eigvalsh(matrix).min() > -1e-12
    fastest = T.from_networkx(graph, weights="fastest").consensus_rate()
    assert top.consensus_rate() <= fastest * (1 + 1e-4)  # the solver's own tolerance


def test_fastest_in_closed_form():
    # on a ring of 6, weight 2/5 on every edge: eigenvalues 1/5 + 4/5 cos(pi m / 3), the largest in size 0.6
    assert T.reweighted(T.ring(6), "fastest").consensus_rate() == pytest.approx(1 - 0.36, rel=1e-4)


def test_fastest_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mixingmatrix", None)
    with pytest.raises(ValueError, match=r"install telejax\[fastest\], or give 'metropolis'"):
        T.path(5, weights="fastest")


def test_directed_graphs():
    cycle = nx.DiGraph([(0, 1), (1, 2), (2, 0)])
    top = T.from_networkx(cycle)
    np.testing.assert_allclose(top.matrix(), [[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    again = T.from_networkx(T.d_equistatic(10, 3).to_networkx())
    np.testing.assert_allclose(again.matrix(), T.d_equistatic(10, 3).matrix(), atol=1e-12)
    with pytest.raises(ValueError, match="graph is directed and node 0 has 0 edges in and 1 out"):
        T.from_networkx(nx.DiGraph([(0, 1), (1, 2)]))
    heavy = nx.DiGraph()
    heavy.add_weighted_edges_from([(0, 1, 0.5), (1, 0, 0.2)])
    with pytest.raises(ValueError, match="not doubly stochastic"):
        T.from_networkx(heavy)
    with pytest.raises(ValueError, match="directed; only undirected edges take new weights"):
        T.reweighted(T.d_equistatic(10, 3), "lazy")
    with pytest.raises(ValueError, match="drawn anew every round"):
        T.reweighted(T.od_equidyn(10), "lazy")


def test_unconnected_graph():
    with pytest.raises(ValueError, match="is not connected"):
        T.from_networkx(nx.empty_graph(3))
