"""From graphs to topologies: doubly stochastic weights for the edges of any graph, or any matrix as it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.errors import check_array, check_flag, check_integer, check_kind, check_list, check_name, is_kind
from telejax.topology.base import Topology
from telejax.topology.matrices import Sparse

if TYPE_CHECKING:
    import networkx

Weights = Literal["metropolis", "max_degree", "lazy", "random_walk", "fastest"]
"""How an undirected graph becomes a doubly stochastic matrix; see :func:`from_networkx`."""


def from_networkx(graph: "networkx.Graph", name: str = "networkx", weights: Weights = "metropolis") -> Topology:
    """Doubly stochastic weights on any undirected graph, and on directed graphs that allow them.

    With d_i the degree of node i, the weight of an edge is

    - ``metropolis``: W_ij = 1 / (1 + max(d_i, d_j)) (Xiao, Boyd, Kim 2007);
    - ``max_degree``: W_ij = 1 / (1 + max_i d_i), the same for all edges;
    - ``lazy``: (I + W) / 2 of the Metropolis weights, whose eigenvalues are not negative;
    - ``random_walk``: the lazy Metropolis-Hastings walk, W_ij = 1 / (2 max(d_i, d_j)). The simple random walk
      1 / d_i is doubly stochastic on regular graphs only; this is the walk on the same edges that visits all
      nodes equally often;
    - ``fastest``: the weights with the smallest second eigenvalue in absolute value (Boyd, Diaconis, Xiao 2004),
      for up to a few hundred nodes; needs ``telejax[fastest]``;

    and the rest of each row is on the diagonal.

    Args:
        graph: nodes keep the order of ``graph.nodes``; self-loops and, of undirected graphs, edge attributes are
            ignored. A directed edge j -> i says that i hears j, with its attribute ``weight`` if all edges have
            one, or else with ``max_degree`` weights, which need as many edges into each node as out of it.
        name: of the topology.
        weights: the rule, for undirected graphs.

    Raises:
        ValueError: no nodes, not connected, unknown rule, or a directed graph whose weights are not doubly
            stochastic.

    >>> import networkx as nx, telejax as tj
    >>> tj.topology.from_networkx(nx.path_graph(3), weights="max_degree").matrix()[0].round(2).tolist()
    [0.67, 0.33, 0.0]
    """
    import networkx as nx  # which takes long

    remedy = "give a networkx graph; a mixing matrix goes through from_matrix"
    check_kind("graph", graph, nx.Graph, remedy)
    name = check_kind("name", name, str, "give a text")
    nodes = check_integer("number of nodes in graph", graph.number_of_nodes(), minimum=1)
    weights = check_weights(weights)
    if graph.is_directed():
        return _from_directed(graph, name)
    adjacency = nx.to_scipy_sparse_array(graph, weight=None, dtype=np.float64, format="csr")
    i, j = adjacency.tocoo().coords
    return from_edges(nodes, i, j, name, weights)


def check_weights(weights: Any) -> Weights:
    """Return the name of a rule, or raise a ValueError."""
    rule: Weights = check_name("weights", weights, get_args(Weights))
    return rule


def from_edges(nodes: int, i: np.ndarray, j: np.ndarray, name: str, weights: Weights = "metropolis") -> Topology:
    """The topology of the undirected edges i[e] - j[e]; repeated edges count once, self-loops not at all."""
    weights = check_weights(weights)
    return Topology.build(name, [Sparse.build(mixing_matrix(adjacency(nodes, i, j), weights), name="graph")])


def reweighted(topology: Topology, weights: Weights) -> Topology:
    """Other weights on the edges of every round of an undirected topology; see :func:`from_networkx`.

    Raises:
        ValueError: unknown rule, or a round that is directed or drawn.

    >>> import telejax as tj
    >>> tj.topology.reweighted(tj.topology.ring(6), "random_walk").matrix()[0].tolist()
    [0.5, 0.25, 0.0, 0.0, 0.0, 0.25]
    """
    check_kind("topology", topology, Topology, "give a Topology, such as telejax.topology.ring(8)")
    weights = check_weights(weights)
    if topology.stochastic != "both":
        raise ValueError(f"topology {topology.name!r} is directed; only undirected edges take new weights")
    rounds = []
    for one in topology.rounds:
        if not one.fixed:
            raise ValueError(f"topology {topology.name!r} is drawn anew every round; only fixed edges take new weights")
        i, j = one.at(0).sparse().tocoo().coords
        edges = adjacency(topology.nodes, i, j)
        if edges.nnz != one.messages:
            raise ValueError(f"topology {topology.name!r} is directed; only undirected edges take new weights")
        rounds.append(Sparse.build(mixing_matrix(edges, weights), name="topology"))
    return Topology.build(f"{topology.name}, {weights.replace('_', ' ')} weights", rounds)


def from_matrix(matrix: "np.ndarray | scipy.sparse.sparray", connected: bool = True, name: str = "matrix") -> Topology:
    """Any doubly stochastic matrix, W[i, j] the weight that node i gives to what it hears from j.

    Args:
        matrix: shape (nodes, nodes), dense or scipy sparse.
        connected: set to False for one round of a sequence, whose connection is checked over the period.
        name: of the topology.

    Sums within 1e-5 of one, as of float32 weights, are normalised, with a warning.

    Raises:
        ValueError: not square, not finite, negative, not doubly stochastic, or not connected.

    >>> import numpy as np, telejax as tj
    >>> tj.topology.from_matrix(np.array([[0.9, 0.2], [0.1, 0.8]]))
    Traceback (most recent call last):
    ...
    ValueError: matrix is not doubly stochastic: row 0 sums to 1.1, not 1; for an undirected graph, ...
    """
    name = check_kind("name", name, str, "give a text")
    return Topology.build(name, [Sparse.build(_matrix(matrix), name="matrix")], check_flag("connected", connected))


def directed(
    matrix: "np.ndarray | scipy.sparse.sparray | Sequence[np.ndarray]",
    stochastic: Literal["column", "row"],
    connected: bool = True,
    name: str = "directed",
) -> Topology:
    """A directed graph, for the methods that take one: the weights of each column, or of each row, sum to one.

    Args:
        matrix: shape (nodes, nodes), dense or scipy sparse, W[i, j] the weight of what i hears from j; or a list of
            them, one a round of the period.
        stochastic: "column" where every node divides what it sends, as push-sum asks; "row" where it weighs what it
            hears.
        connected: set to False for a sequence that need not lead from every node to every other.
        name: of the topology.

    Raises:
        ValueError: not square, not finite, negative, other sums, or not strongly connected.

    >>> import numpy as np, telejax as tj
    >>> tj.topology.directed(np.array([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]), stochastic="column")
    Topology('directed', nodes=3, period=1, max_degree=1)
    """
    stochastic = check_name("stochastic", stochastic, ["column", "row"])
    connected, given = check_flag("connected", connected), _several(matrix)
    if not given:
        raise ValueError("matrix is empty; give a mixing matrix, or a list of at least one")
    rounds = [Sparse.build(_matrix(one), "matrix", stochastic) for one in given]
    return Topology.build(name, rounds, connected, stochastic)


def _several(given: Any) -> list[Any]:
    """The matrices of a list of them; a list of rows is one matrix."""
    remedy = "give a mixing matrix, or a list of at least one"
    listed = check_list("matrix", given, remedy) if is_kind(given, list | tuple) else [given]
    return [given] if listed and all(is_kind(row, list | tuple) for row in listed) else listed


def _matrix(given: Any) -> Any:
    """A sparse matrix as it is, or a dense one of real numbers with two axes."""
    if is_kind(given, scipy.sparse.sparray | scipy.sparse.spmatrix):
        return given
    remedy = "a mixing matrix has two axes, one row a node; give real numbers of shape (nodes, nodes)"
    matrix = check_array("matrix", given, remedy)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise ValueError(f"matrix has {matrix.ndim} axes and the type {matrix.dtype}; {remedy}")
    return matrix


def adjacency(nodes: int, i: np.ndarray, j: np.ndarray) -> "scipy.sparse.csr_array":
    """The symmetric 0-1 matrix of undirected edges, shape (nodes, nodes), without self-loops."""
    off = i != j
    ends = np.concatenate([i[off], j[off]]), np.concatenate([j[off], i[off]])
    matrix = scipy.sparse.csr_array((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def mixing_matrix(edges: "scipy.sparse.csr_array", weights: Weights) -> "scipy.sparse.csr_array":
    """W for a symmetric 0-1 matrix of edges, by the rules of :func:`from_networkx`."""
    if weights == "fastest":
        return _fastest(edges)
    degree = np.diff(edges.indptr)
    i, j = edges.tocoo().coords
    larger = np.maximum(degree[i], degree[j])
    values = {
        "metropolis": 1 / (1 + larger),
        "max_degree": np.full(len(i), 1 / (1 + degree.max())),
        "lazy": 0.5 / (1 + larger),
        "random_walk": 0.5 / larger,
    }[weights]
    return _with_diagonal(scipy.sparse.csr_array((values, (i, j)), shape=edges.shape))


def _with_diagonal(off_diagonal: "scipy.sparse.csr_array") -> "scipy.sparse.csr_array":
    rest = 1 - np.asarray(off_diagonal.sum(axis=1)).ravel()
    rest[np.abs(rest) < 1e-15] = 0  # a row of d weights 1 / d leaves nothing
    return scipy.sparse.csr_array(off_diagonal + scipy.sparse.diags_array(rest))


def _fastest(edges: "scipy.sparse.csr_array") -> "scipy.sparse.csr_array":
    if edges.shape[0] == 1:
        return scipy.sparse.csr_array([[1.0]])
    import networkx as nx

    try:
        import mixingmatrix
    except ModuleNotFoundError:
        raise ValueError(
            "weights is 'fastest', which needs the package mixingmatrix; install telejax[fastest], or give 'metropolis'"
        ) from None
    if scipy.sparse.csgraph.connected_components(edges, directed=False, return_labels=False) > 1:
        raise ValueError("graph is not connected: some nodes never hear from others; add edges, or give 'metropolis'")
    solution: Any = mixingmatrix.solve(nx.from_scipy_sparse_array(edges))
    found = scipy.sparse.csr_array(solution.weights)
    found.setdiag(0)
    found.data = np.clip(found.data, 0, None)
    # the solver meets the constraints up to its tolerance; shrinking by the worst row meets them exactly
    return _with_diagonal(found / max(1.0, found.sum(axis=1).max()))


def _from_directed(graph: "networkx.DiGraph", name: str) -> Topology:
    import networkx as nx  # which takes long

    weighted = graph.size() > 0 and all(weight is not None for _, _, weight in graph.edges(data="weight"))
    heard = nx.to_scipy_sparse_array(graph, weight="weight" if weighted else None, dtype=np.float64, format="csr").T
    heard = scipy.sparse.csr_array(heard)
    heard.setdiag(0)
    heard.eliminate_zeros()
    if weighted:
        return Topology.build(name, [Sparse.build(_with_diagonal(heard), name="graph")])
    heard.data[:] = 1
    into, out = np.diff(heard.indptr), np.asarray(heard.sum(axis=0)).ravel().astype(int)
    worst = int(np.abs(into - out).argmax())
    if into[worst] != out[worst]:
        raise ValueError(
            f"graph is directed and node {list(graph)[worst]!r} has {into[worst]} edges in and {out[worst]} out, so "
            "equal weights are not doubly stochastic; give graph.to_undirected(), doubly stochastic edge attributes "
            "'weight', or a matrix to from_matrix"
        )
    return Topology.build(name, [Sparse.build(_with_diagonal(heard / (1 + into.max())), name="graph")])
