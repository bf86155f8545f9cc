"""The named communication graphs: each function returns a validated Topology over ``nodes`` nodes."""

import math
from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np
import scipy.sparse

from telejax.errors import check_integer, check_number
from telejax.topology.base import Topology
from telejax.topology.rounds import Circulant, Complete, Sparse

RANDOM_TRIES = 100  # draws of a random graph before it is called impossible to connect


def ring(nodes: int) -> Topology:
    """Each node averages with its two neighbours on a cycle, 1/3 each (two nodes: 1/2, one node: 1)."""
    nodes = check_integer("nodes", nodes, minimum=1)
    if nodes <= 2:
        return Topology.build("ring", [Complete(nodes)])
    return Topology.build("ring", [Circulant.build(nodes, [-1, 0, 1], [1 / 3] * 3)])


def torus(nodes: int, rows: int | None = None) -> Topology:
    """A rows x columns grid that wraps around, 1/5 each; neighbours that coincide are merged.

    Args:
        nodes: number of nodes.
        rows: rows of the grid, a divisor of ``nodes``; by default the most square split.
    """
    nodes = check_integer("nodes", nodes, minimum=1)
    if rows is None:
        rows = max(r for r in range(1, math.isqrt(nodes) + 1) if nodes % r == 0)
    rows = check_integer("rows", rows, minimum=1)
    if nodes % rows:
        raise ValueError(f"rows is {rows}, which does not divide nodes = {nodes}; give a divisor")
    row, column = np.divmod(np.arange(nodes), nodes // rows)
    columns = nodes // rows
    hears = [
        (row % rows) * columns + column % columns
        for row, column in ((row, column), (row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
    ]
    return Topology.build("torus", [_from_neighbours(nodes, hears, [1 / 5] * 5)])


def hypercube(nodes: int) -> Topology:
    """Nodes whose numbers differ in one bit are neighbours, 1 / (log2 n + 1) each; n a power of two."""
    nodes, bits = _power_of_two("hypercube", nodes)
    index = np.arange(nodes)
    hears = [index] + [index ^ (1 << bit) for bit in range(bits)]
    return Topology.build("hypercube", [_from_neighbours(nodes, hears, [1 / (bits + 1)] * (bits + 1))])


def star(nodes: int) -> Topology:
    """Node 0 talks with every other node; Metropolis weights."""
    nodes = check_integer("nodes", nodes, minimum=1)
    return from_networkx(nx.star_graph(nodes - 1), name="star")


def complete(nodes: int) -> Topology:
    """Exact averaging over all nodes, W = J / n."""
    return Topology.build("complete", [Complete(check_integer("nodes", nodes, minimum=1))])


def exponential(nodes: int) -> Topology:
    """Offsets 0, 1, 2, 4, ... below n, each 1 / (tau + 1) with tau = ceil(log2 n) (Ying et al. 2021)."""
    nodes = check_integer("nodes", nodes, minimum=1)
    offsets = [0] + [1 << t for t in range((nodes - 1).bit_length())]
    weights = [1 / len(offsets)] * len(offsets)
    return Topology.build("exponential", [Circulant.build(nodes, offsets, weights)])


def one_peer_exponential(nodes: int) -> Topology:
    """Round t averages with the node 2^(t mod tau) further, 1/2 each, tau = ceil(log2 n) (Ying et al. 2021).

    Consensus is exact after tau rounds if and only if n is a power of two.
    """
    nodes = check_integer("nodes", nodes, minimum=1)
    rounds = [Circulant.build(nodes, [0, 1 << t], [0.5, 0.5]) for t in range((nodes - 1).bit_length())]
    return Topology.build("one_peer_exponential", rounds or [Complete(1)])


def random_regular(nodes: int, degree: int = 4, seed: int = 0) -> Topology:
    """A connected random graph in which every node has ``degree`` neighbours; Metropolis weights."""
    nodes = check_integer("nodes", nodes, minimum=1)
    degree = check_integer("degree", degree, minimum=1)
    if degree >= nodes:
        raise ValueError(f"degree is {degree} with {nodes} nodes; give a degree below the number of nodes")
    if nodes * degree % 2:
        raise ValueError(f"degree is {degree} with {nodes} nodes; nodes * degree must be even, change one of them")
    return _first_connected(
        f"random_regular:degree={degree}",
        lambda draw: nx.random_regular_graph(degree, nodes, seed=draw),
        seed,
        "give a degree of at least 3",
    )


def erdos_renyi(nodes: int, probability: float | None = None, seed: int = 0) -> Topology:
    """Every pair is linked with ``probability`` (default 2 ln(n) / n), drawn until connected; Metropolis weights."""
    nodes = check_integer("nodes", nodes, minimum=1)
    if probability is None:
        probability = min(1.0, 2 * math.log(nodes) / nodes) if nodes > 1 else 1.0
    probability = check_number("probability", probability, exclusive=True)
    if probability > 1:
        raise ValueError(f"probability is {probability}; give a number above 0 and at most 1")
    return _first_connected(
        f"erdos_renyi:probability={probability:.3g}",
        lambda draw: nx.fast_gnp_random_graph(nodes, probability, seed=draw),
        seed,
        f"give a probability above ln(n) / n = {math.log(nodes) / nodes:.3g}",
    )


def from_networkx(graph: nx.Graph, name: str = "networkx") -> Topology:
    """Metropolis weights on any undirected graph: W_ij = 1 / (1 + max(d_i, d_j)), the rest on the diagonal.

    Nodes keep the order of ``graph.nodes``; self-loops and edge attributes are ignored.
    """
    if graph.is_directed():
        raise ValueError("graph is directed; give graph.to_undirected(), or doubly stochastic weights to from_matrix")
    nodes = check_integer("number of nodes in graph", graph.number_of_nodes(), minimum=1)
    adjacency = scipy.sparse.csr_array(nx.to_scipy_sparse_array(graph, weight=None, dtype=np.float64, format="csr"))
    adjacency.setdiag(0)
    adjacency.eliminate_zeros()
    adjacency.data[:] = 1  # the parallel edges of a multigraph count once
    degree = np.diff(adjacency.indptr)
    i, j = adjacency.tocoo().coords
    weights = 1 / (1 + np.maximum(degree[i], degree[j]))
    edges = scipy.sparse.csr_array((weights, (i, j)), shape=(nodes, nodes))
    diagonal = scipy.sparse.diags_array(1 - np.asarray(edges.sum(axis=1)).ravel())
    return Topology.build(name, [Sparse.build(edges + diagonal, name="graph")])


def from_matrix(matrix: np.ndarray | scipy.sparse.sparray, connected: bool = True, name: str = "matrix") -> Topology:
    """Any doubly stochastic matrix, W[i, j] the weight that node i gives to what it hears from j.

    Args:
        matrix: shape (nodes, nodes), dense or scipy sparse.
        connected: set to False for one round of a sequence, whose connection is checked over the period.

    Raises:
        ValueError: not square, not finite, negative, not doubly stochastic, or not connected.

    >>> import numpy as np, telejax as tj
    >>> tj.topology.from_matrix(np.array([[0.9, 0.2], [0.1, 0.8]]))
    Traceback (most recent call last):
    ...
    ValueError: matrix is not doubly stochastic: row 0 sums to 1.1, not 1; for an undirected graph, ...
    """
    if not scipy.sparse.issparse(matrix) and np.ndim(matrix) != 2:
        raise ValueError(f"matrix has {np.ndim(matrix)} axes; a mixing matrix has two, one row a node")
    return Topology.build(name, [Sparse.build(matrix, name="matrix")], connected)


def sequence(topologies: Sequence[Topology], name: str = "sequence") -> Topology:
    """The rounds of several topologies one after another, then from the start again."""
    if not topologies:
        raise ValueError("topologies is empty; a sequence needs at least one topology")
    return Topology.build(name, [one for topology in topologies for one in topology.rounds])


def _from_neighbours(nodes: int, hears: Sequence[np.ndarray], weights: Sequence[float]) -> Sparse:
    """Node i hears hears[m][i] with weights[m]; coinciding neighbours add up."""
    rows = np.tile(np.arange(nodes), len(hears))
    entries = np.repeat(weights, nodes)
    return Sparse.build(
        scipy.sparse.coo_array((entries, (rows, np.concatenate(hears))), shape=(nodes, nodes)), name="topology"
    )


def _power_of_two(name: str, nodes: int) -> tuple[int, int]:
    nodes = check_integer("nodes", nodes, minimum=1)
    bits = nodes.bit_length() - 1
    if nodes != 1 << bits:
        raise ValueError(f"nodes is {nodes}; a {name} needs a power of two, such as {1 << bits} or {2 << bits}")
    return nodes, bits


def _first_connected(name: str, draw_graph: Callable[[int], nx.Graph], seed: int, remedy: str) -> Topology:
    """The first connected graph among draws with seed, seed + 1, ... of a fixed stream."""
    stream = np.random.default_rng(check_integer("seed", seed, minimum=0))
    for _ in range(RANDOM_TRIES):
        graph = draw_graph(int(stream.integers(2**31)))
        if nx.is_connected(graph):
            return from_networkx(graph, name=name)
    raise ValueError(f"{name}: none of {RANDOM_TRIES} random graphs was connected; {remedy}")
