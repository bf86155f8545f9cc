"""Base-(k+1) graphs against their definition: exact consensus for every size, within the promised length."""

import numpy as np
import pytest

import telejax as tj
from telejax.topology import base_graph, simple_base_graph


def check_exact(topology: tj.Topology, degree: int) -> None:
    product = np.eye(topology.nodes)
    for one in topology.rounds:
        matrix = one.at(0).sparse()
        assert abs(matrix - matrix.T).max() < 1e-15
        assert matrix.data.min() >= 0
        assert np.abs(matrix.sum(axis=0) - 1).max() < 1e-12
        product = matrix @ product
    # every entry is a sum of at most a few hundred products of rounded weights
    assert np.abs(product - 1 / topology.nodes).max() < 1e-9
    assert topology.max_degree <= degree
    # 2 log_b(n) + 2, in integers
    assert (degree + 1) ** max(topology.period - 2, 0) <= topology.nodes**2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "degree"), [(base_graph, 4), *((simple_base_graph, degree) for degree in range(1, 9))]
)
def test_sizes_up_to_600(build, degree):
    # all small sizes; above, every eleventh from an offset that moves with the degree, and the sizes at which a
    # floating-point logarithm fails
    sizes = [*range(1, 41), *range(41 + degree, 601, 11), 244, 245, 485, 486, 600]
    for nodes in sizes:
        if nodes == 1 or degree < nodes:
            check_exact(build(nodes, degree), degree)


@pytest.mark.slow
@pytest.mark.parametrize("degree", range(1, 9))
def test_every_size_up_to_600(degree):
    for nodes in range(degree + 1, 601, 1 if degree == 2 else 19):  # a log fails at 2, which meets all
        check_exact(base_graph(nodes, degree), degree)


@pytest.mark.parametrize(
    ("build", "nodes", "lengths"),
    [
        (base_graph, 25, [9, 6, 5, 2]),
        (base_graph, 100, [11, 8, 6, 3]),
        (simple_base_graph, 100, [13, 9, 7, 3]),
    ],
)
def test_lengths_of_the_paper(build, nodes, lengths):
    assert [build(nodes, degree).period for degree in (1, 2, 3, 4)] == lengths


def test_overflowing_size():
    check_exact(base_graph(627, 8), 8)


def test_powers_of_two_are_the_one_peer_hypercube():
    ours, cube = base_graph(16), tj.topology.one_peer_hypercube(16)
    for t in range(4):
        np.testing.assert_array_equal(ours.matrix(t), cube.matrix(t))


def test_one_node_mixes_with_nobody():
    top = base_graph(1, 3)
    assert top.period == 1
    assert top.matrix().tolist() == [[1.0]]


@pytest.mark.slow
def test_large_size_is_sparse_and_fast():
    top = base_graph(100_000)
    entries = sum(one.at(0).sparse().nnz for one in top.rounds)
    assert entries <= 2 * top.nodes * top.period
    assert top.consensus_rate() == 1.0
    assert top.is_finite_time()


@pytest.mark.parametrize("degree", [0, -1, 1.5, True])
def test_degree_is_a_positive_integer(degree):
    with pytest.raises(ValueError, match=r"degree is .*at least 1"):
        base_graph(10, degree)


@pytest.mark.parametrize("build", [base_graph, simple_base_graph])
def test_degree_below_nodes(build):
    with pytest.raises(ValueError, match="degree is 10 with 10 nodes; give a degree of at most 9"):
        build(10, 10)
