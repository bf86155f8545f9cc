"""Graphs that a formula gives: rings, grids, cubes, trees, exponential graphs."""

import math
from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.errors import check_integer
from telejax.topology.base import Topology
from telejax.topology.matrices import Circulant, Complete, Sparse
from telejax.topology.sizes import check_entries, check_nodes
from telejax.topology.weights import Weights, from_edges

MAX_CLIQUE = 1000  # two cliques of 1000 nodes have two million edges; of 50 000, five billion


def ring(nodes: int) -> Topology:
    """Each node averages with its two neighbours on a cycle, 1/3 each (two nodes: 1/2, one node: 1).

    >>> import telejax as tj
    >>> tj.topology.ring(5).matrix()[0].round(2).tolist()
    [0.33, 0.33, 0.0, 0.0, 0.33]
    """
    nodes = check_nodes(nodes)
    if nodes <= 2:
        return Topology.build("ring", [Complete(nodes)])
    return Topology.build("ring", [Circulant.build(nodes, [-1, 0, 1], [1 / 3] * 3)])


def torus(nodes: int, rows: int | None = None) -> Topology:
    """A rows x columns grid that wraps around, 1/5 each; neighbours that coincide are merged.

    Args:
        nodes: number of nodes.
        rows: rows of the grid, a divisor of ``nodes``; by default the most square split.

    >>> import telejax as tj
    >>> tj.topology.torus(12, rows=3).max_degree
    4
    """
    nodes, rows, columns = _rectangle("torus", nodes, rows)
    row, column = np.divmod(np.arange(nodes), columns)
    hears = [
        (row % rows) * columns + column % columns
        for row, column in ((row, column), (row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1))
    ]
    return Topology.build("torus", [from_neighbours(nodes, hears, [1 / 5] * 5)])


def grid(nodes: int, rows: int | None = None, weights: Weights = "metropolis") -> Topology:
    """A rows x columns grid that does not wrap around.

    Args:
        nodes: number of nodes.
        rows: rows of the grid, a divisor of ``nodes``; by default the most square split.
        weights: see :func:`telejax.topology.from_networkx`.

    >>> import telejax as tj
    >>> tj.topology.grid(6, rows=2).messages()  # 7 links, both ways
    14
    """
    nodes, rows, columns = _rectangle("grid", nodes, rows)
    index = np.arange(nodes).reshape(rows, columns)
    i = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    j = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    return from_edges(nodes, i, j, "grid", weights)


def path(nodes: int, weights: Weights = "metropolis") -> Topology:
    """Nodes in a row, each linked with the next; the slowest connected graph but for the barbell.

    >>> import telejax as tj
    >>> tj.topology.path(3).matrix()[0].round(2).tolist()
    [0.67, 0.33, 0.0]
    """
    nodes = check_nodes(nodes)
    check_entries("path", nodes, 3 * nodes)
    index = np.arange(nodes)
    return from_edges(nodes, index[:-1], index[1:], "path", weights)


def star(nodes: int, weights: Weights = "metropolis") -> Topology:
    """Node 0 talks with every other node.

    >>> import telejax as tj
    >>> tj.topology.star(4).max_degree
    3
    """
    nodes = check_nodes(nodes)
    check_entries("star", nodes, 3 * nodes)
    others = np.arange(1, nodes)
    return from_edges(nodes, np.zeros_like(others), others, "star", weights)


def tree(nodes: int, branching: int = 2, weights: Weights = "metropolis") -> Topology:
    """A tree filled level by level: node i > 0 is linked with its parent (i - 1) // branching.

    >>> import telejax as tj
    >>> tj.topology.tree(7).max_degree
    3
    """
    nodes = check_nodes(nodes)
    branching = min(nodes, check_integer("branching", branching, minimum=1))  # more have no other children
    check_entries("tree", nodes, 3 * nodes)
    children = np.arange(1, nodes)
    return from_edges(nodes, children, (children - 1) // branching, "tree", weights)


def barbell(nodes: int, clique: int | None = None, weights: Weights = "metropolis") -> Topology:
    """Two cliques joined by a path through the nodes between them: the classic bottleneck.

    Args:
        nodes: number of nodes.
        clique: nodes of each clique, at most half of all; by default half of all, up to 1000.
        weights: see :func:`telejax.topology.from_networkx`.

    Raises:
        ValueError: ``clique`` below 1 or above nodes / 2.

    >>> import telejax as tj
    >>> tj.topology.barbell(8).max_degree
    4
    """
    nodes = check_nodes(nodes)
    if clique is None:
        clique = max(1, min(nodes // 2, MAX_CLIQUE))
    clique = check_integer("clique", clique, minimum=1)
    if 2 * clique > max(nodes, 2):
        raise ValueError(f"clique is {clique} with {nodes} nodes; two cliques need at most {nodes // 2} nodes each")
    check_entries("barbell", nodes, 2 * clique**2 + 3 * nodes)
    i, j = np.triu_indices(clique, k=1)
    between = np.arange(clique - 1, nodes - clique)
    ends = np.concatenate([i, i + nodes - clique, between]), np.concatenate([j, j + nodes - clique, between + 1])
    return from_edges(nodes, *ends, "barbell", weights)


def hypercube(nodes: int) -> Topology:
    """Nodes whose numbers differ in one bit are neighbours, 1 / (log2 n + 1) each; n a power of two.

    >>> import telejax as tj
    >>> tj.topology.hypercube(8).max_degree
    3
    """
    nodes, bits = _power_of_two("hypercube", nodes)
    check_entries("hypercube", nodes, (bits + 1) * nodes)
    index = np.arange(nodes)
    hears = [index] + [index ^ (1 << bit) for bit in range(bits)]
    return Topology.build("hypercube", [from_neighbours(nodes, hears, [1 / (bits + 1)] * (bits + 1))])


def one_peer_hypercube(nodes: int) -> Topology:
    """Round t averages with node i xor 2^(t mod log2 n), 1/2 each; n a power of two, exact after log2 n rounds.

    >>> import telejax as tj
    >>> tj.topology.one_peer_hypercube(8)
    Topology('one_peer_hypercube', nodes=8, period=3, max_degree=1)
    """
    nodes, bits = _power_of_two("one-peer hypercube", nodes)
    check_entries("one_peer_hypercube", nodes, 2 * bits * nodes)
    index = np.arange(nodes)
    rounds = [from_neighbours(nodes, [index, index ^ (1 << bit)], [1 / 2, 1 / 2]) for bit in range(bits)]
    return Topology.build("one_peer_hypercube", rounds or [Complete(1)])


def complete(nodes: int) -> Topology:
    """Exact averaging over all nodes, W = J / n.

    >>> import telejax as tj
    >>> tj.topology.complete(10**6).consensus_rate()
    1.0
    """
    return Topology.build("complete", [Complete(check_nodes(nodes))])


def exponential(nodes: int) -> Topology:
    """Offsets 0, 1, 2, 4, ... below n, each 1 / (tau + 1) with tau = ceil(log2 n) (Ying et al. 2021).

    >>> import telejax as tj
    >>> tj.topology.exponential(100).max_degree
    7
    """
    nodes = check_nodes(nodes)
    offsets = [0] + [1 << t for t in range((nodes - 1).bit_length())]
    weights = [1 / len(offsets)] * len(offsets)
    return Topology.build("exponential", [Circulant.build(nodes, offsets, weights)])


def directed_exponential(nodes: int) -> Topology:
    """Node i sends to the nodes 1, 2, 4, ... below n further, 1 / (tau + 1) each (Assran et al. 2019).

    The graph of stochastic gradient push; the transpose of ``exponential``, and like it doubly stochastic. Where nodes
    send to more or fewer than they hear, see :func:`telejax.topology.directed`.

    >>> import telejax as tj
    >>> tj.topology.directed_exponential(8).matrix()[:, 0].tolist()
    [0.25, 0.25, 0.25, 0.0, 0.25, 0.0, 0.0, 0.0]
    """
    nodes = check_nodes(nodes)
    offsets = [0] + [-(1 << t) for t in range((nodes - 1).bit_length())]
    return Topology.build("directed_exponential", [Circulant.build(nodes, offsets, [1 / len(offsets)] * len(offsets))])


def one_peer_exponential(nodes: int) -> Topology:
    """Round t averages with the node 2^(t mod tau) further, 1/2 each, tau = ceil(log2 n) (Ying et al. 2021).

    Consensus is exact after tau rounds if and only if n is a power of two.

    >>> import telejax as tj
    >>> tj.topology.one_peer_exponential(8).is_finite_time(), tj.topology.one_peer_exponential(9).is_finite_time()
    (True, False)
    """
    nodes = check_nodes(nodes)
    rounds = [Circulant.build(nodes, [0, 1 << t], [0.5, 0.5]) for t in range((nodes - 1).bit_length())]
    return Topology.build("one_peer_exponential", rounds or [Complete(1)])


def from_neighbours(nodes: int, hears: Sequence[np.ndarray], weights: Sequence[float]) -> Sparse:
    """Node i hears hears[m][i] with weights[m]; coinciding neighbours add up."""
    rows = np.tile(np.arange(nodes), len(hears))
    entries = np.repeat(weights, nodes)
    return Sparse.build(
        scipy.sparse.coo_array((entries, (rows, np.concatenate(hears))), shape=(nodes, nodes)), name="topology"
    )


def _rectangle(name: str, nodes: int, rows: int | None) -> tuple[int, int, int]:
    """Nodes, rows and columns, checked; by default the most square split."""
    nodes = check_nodes(nodes)
    check_entries(name, nodes, 5 * nodes)
    if rows is None:
        rows = max(r for r in range(1, math.isqrt(nodes) + 1) if nodes % r == 0)
    rows = check_integer("rows", rows, minimum=1)
    if nodes % rows:
        raise ValueError(f"rows is {rows}, which does not divide nodes = {nodes}; give a divisor")
    return nodes, rows, nodes // rows


def _power_of_two(name: str, nodes: int) -> tuple[int, int]:
    nodes = check_nodes(nodes)
    bits = nodes.bit_length() - 1
    if nodes != 1 << bits:
        raise ValueError(f"nodes is {nodes}; a {name} needs a power of two, such as {1 << bits} or {2 << bits}")
    return nodes, bits
