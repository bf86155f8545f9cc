"""Directed graphs, and matrices whose sums are off by the rounding of float32."""

import numpy as np
import optax
import pytest

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)


def columns(nodes: int = 5) -> np.ndarray:
    """Node 0 sends to all, the others to the next one; every node divides what it sends."""
    sends = np.eye(nodes) + np.roll(np.eye(nodes), 1, axis=0)
    sends[:, 0] = 1
    return sends / sends.sum(axis=0)


def test_a_directed_graph_mixes_as_its_matrix() -> None:
    matrix = columns()
    for stochastic, one in (("column", matrix), ("row", matrix.T)):
        topology = tj.topology.directed(one, stochastic=stochastic)
        assert topology.stochastic == stochastic and topology.messages() == 8  # 4 from node 0, one from each other
        x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        np.testing.assert_allclose(tj.mix(topology.mixing(), x), one @ x, rtol=1e-5, atol=1e-6)
    alternating = tj.topology.directed([matrix, np.roll(np.eye(5), 1, axis=0)], stochastic="column")
    assert alternating.period == 2 and alternating.messages(1) == 5


def test_methods_on_undirected_graphs_refuse_a_directed_one() -> None:
    topology = tj.topology.directed(columns(), stochastic="column")
    message = "topology 'directed' is column-stochastic and the method takes doubly stochastic weights; give an"
    for make in (
        lambda: tj.decentralized_sgd(topology=topology, optimizer=SGD),
        lambda: tj.teleportation(active=5, topology=topology, optimizer=SGD),
        lambda: tj.node_mixing(topology),
        lambda: tj.bind_mixing(tj.node_mixing(lambda nodes: topology), 5),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    assert tj.node_mixing(topology, stochastic="column").slots == 5
    with pytest.raises(ValueError, match="the method takes column-stochastic weights"):
        tj.node_mixing(tj.topology.directed(columns().T, stochastic="row"), stochastic="column")
    with pytest.raises(ValueError, match="p is that of doubly stochastic ones"):
        topology.consensus_rate()


@pytest.mark.parametrize(
    ("matrix", "stochastic", "message"),
    [
        (columns().T, "column", r"matrix is not column-stochastic: column \d sums to"),
        (columns(), "row", r"matrix is not row-stochastic: row \d sums to"),
        (columns(), "both", "unknown stochastic 'both'"),
        (np.eye(3), "column", "is not connected"),
        (np.ones(3), "column", "matrix has 1 axes and the type float64; a mixing matrix has two"),
        (-columns(), "column", "all weights must be at least 0"),
    ],
)
def test_wrong_directed_matrices_are_refused(matrix, stochastic, message) -> None:
    with pytest.raises(ValueError, match=message):
        tj.topology.directed(matrix, stochastic=stochastic)


def test_sums_off_by_float32_are_normalised_with_a_warning() -> None:
    exact = tj.topology.erdos_renyi(20, seed=1).matrix()
    rounded = exact.astype(np.float32) * np.float32(1 + 3e-7)
    with pytest.warns(UserWarning, match="matrix is doubly stochastic up to .*; its weights are normalised"):
        matrix = tj.topology.from_matrix(rounded).matrix()
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-8)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-8)
    np.testing.assert_allclose(matrix, exact, atol=1e-6)
    with pytest.warns(UserWarning, match="matrix is column-stochastic up to"):
        one = tj.topology.directed(columns() * (1 + 2e-7), stochastic="column").matrix()
    np.testing.assert_allclose(one.sum(axis=0), 1, atol=1e-12)
    with pytest.raises(ValueError, match="not doubly stochastic"):
        tj.topology.from_matrix(exact * (1 + 2e-5))
