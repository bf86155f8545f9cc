"""Trees and the edges of graphs, as methods that follow single links need them."""

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.errors import check_integer, check_kind
from telejax.topology.base import Topology
from telejax.topology.needs import Needs
from telejax.topology.weights import Weights, from_edges

SYMMETRIC = Needs(fixed=True, symmetric=True)


def spanning_tree(topology: Topology, root: int = 0, weights: Weights = "metropolis") -> Topology:
    """The tree of shortest paths from ``root`` to all nodes of a fixed undirected graph.

    Args:
        topology: the graph.
        root: a node.
        weights: see :func:`telejax.topology.from_networkx`.

    Raises:
        ValueError: a graph that is directed, not connected, or not the same in every round; no such node.

    >>> import telejax as tj
    >>> spanning_tree(tj.topology.ring(5)).messages()  # 4 links, both ways
    8
    """
    check_kind("topology", topology, Topology, "give a Topology, such as telejax.topology.ring(8)")
    SYMMETRIC.check(topology).check_connected()
    root = check_integer("root", root, minimum=0, maximum=topology.nodes - 1)
    order, before = scipy.sparse.csgraph.breadth_first_order(topology.sparse(), root, directed=False)
    children = order[1:]
    return from_edges(topology.nodes, children, before[children], f"spanning tree of {topology.name}", weights)


def parents(topology: Topology) -> np.ndarray:
    """Node to its parent on the way to node 0, int32; node 0 is its own.

    Raises:
        ValueError: a graph that is no tree.

    >>> import telejax as tj
    >>> parents(tj.topology.path(4)).tolist()
    [0, 0, 1, 2]
    """
    links = SYMMETRIC.check(topology).messages() // 2
    if links != topology.nodes - 1 or not topology.is_connected():
        raise ValueError(
            f"topology {topology.name!r} is no tree: {topology.nodes} nodes have {links} links; give "
            "telejax.topology.spanning_tree(...) of it, or 'path', 'star' or 'tree'"
        )
    _, before = scipy.sparse.csgraph.breadth_first_order(topology.sparse(), 0, directed=False)
    before[0] = 0
    return before.astype(np.int32)


def links(topology: Topology) -> np.ndarray:
    """Both ends of every link, int32 of shape (links, 2).

    >>> import telejax as tj
    >>> links(tj.topology.ring(3)).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    upper = scipy.sparse.triu(SYMMETRIC.check(topology).sparse(), k=1).tocoo()
    return np.stack(upper.coords, axis=1).astype(np.int32)
