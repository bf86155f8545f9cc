"""Spanning trees, and what a graph needs to be for the methods that ask."""

import numpy as np
import pytest
from refusals import check

import telejax as tj
from telejax.topology import Needs
from telejax.topology.trees import links, parents


@pytest.mark.parametrize("name", ["ring", "complete", "torus", "star", "random_regular", "path"])
def test_a_spanning_tree_connects_all_with_one_link_less_than_nodes(name: str) -> None:
    graph = tj.topology.from_spec(name, 24)
    tree = tj.topology.spanning_tree(graph, root=5)
    assert tree.is_connected() and tree.messages() == 2 * 23
    assert {(i, j) for i, j in links(tree).tolist()} <= {(i, j) for i, j in links(graph).tolist()}
    above = parents(tree)
    assert above[0] == 0 and (np.arange(24) != above).sum() == 23


@pytest.mark.parametrize("name", ["ring", "torus", "complete", "star", "random_regular:degree=3", "hypercube"])
def test_the_least_eigenvalue_is_that_of_the_matrix(name: str) -> None:
    topology = tj.topology.from_spec(name, 16)
    least = np.linalg.eigvalsh(topology.matrix())[0]
    assert topology.is_symmetric and topology.least_eigenvalue() == pytest.approx(least, abs=1e-12)


def test_of_a_large_graph_it_is_found_by_iteration() -> None:
    assert tj.topology.torus(2500).least_eigenvalue() == pytest.approx(-0.6, abs=1e-6)


def test_what_is_not_as_needed_is_refused() -> None:
    ring, directed = tj.topology.ring(6), tj.topology.exponential(6)
    assert Needs(fixed=True, symmetric=True, above=-0.5).check(ring) is ring
    for needs, topology, words in (
        (Needs(symmetric=True), directed, "is directed and the method takes symmetric weights"),
        (Needs(fixed=True), tj.topology.one_peer_exponential(8), "has a period of 3 rounds"),
        (Needs(fixed=True), tj.topology.random_matching(8), "is drawn anew every round"),
        (Needs(above=-0.3), ring, "has the eigenvalue -0.3333 and the method takes those above -0.3"),
    ):
        check(lambda needs=needs, topology=topology: needs.check(topology), words)
    check(directed.least_eigenvalue, "is no fixed symmetric matrix")
    check(lambda: parents(ring), "topology 'ring' is no tree: 6 nodes have 6 links; give telejax.topology")
    check(lambda: tj.topology.spanning_tree(ring, root=6), "root is 6; give an integer from 0 to 5")
