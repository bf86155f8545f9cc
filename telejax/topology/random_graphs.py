"""Random graphs, drawn once from a seed or anew in every round."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.backend.host import check_host_memory
from telejax.errors import check_integer, check_number, short
from telejax.topology.base import Topology
from telejax.topology.drawn import RandomPeers
from telejax.topology.matrices import Complete
from telejax.topology.peers import PeerDistribution, UniformMatching, UniformPermutations
from telejax.topology.sizes import ENTRY_BYTES, check_entries, check_nodes
from telejax.topology.weights import Weights, adjacency, check_weights, from_edges

if TYPE_CHECKING:
    import networkx

NETWORKX_BYTES = 250  # a weight of a graph that networkx draws (measured 224)
RANDOM_TRIES = 100  # draws of a random graph before it is called impossible to connect
MAX_SEED = 2**32 - 1  # seeds are uint32 on the device

Edges = tuple[np.ndarray, np.ndarray]


def random_regular(nodes: int, degree: int = 4, seed: int = 0, weights: Weights = "metropolis") -> Topology:
    """A connected random graph in which every node has ``degree`` neighbours.

    Raises:
        ValueError: a degree that is not below ``nodes``, an odd ``nodes * degree``, or a graph that cannot be
            connected.

    >>> import telejax as tj
    >>> tj.topology.random_regular(10, degree=3).max_degree
    3
    """
    nodes = check_nodes(nodes)
    degree = check_integer("degree", degree, minimum=1)
    if degree >= nodes:
        raise ValueError(f"degree is {degree} with {nodes} nodes; give a degree below the number of nodes")
    if nodes * degree % 2:
        raise ValueError(f"degree is {degree} with {nodes} nodes; nodes * degree must be even, change one of them")
    check_entries("random_regular", nodes, (degree + 1) * nodes, NETWORKX_BYTES)

    def draw(stream: np.random.Generator) -> Edges:
        import networkx as nx  # which takes long

        graph = nx.random_regular_graph(degree, nodes, seed=int(stream.integers(2**31)))
        return _networkx_edges(graph)

    return first_connected(f"random_regular:degree={degree}", nodes, draw, seed, weights, "give a degree of at least 3")


def erdos_renyi(
    nodes: int, probability: float | None = None, seed: int = 0, weights: Weights = "metropolis"
) -> Topology:
    """Every pair is linked with ``probability`` (default 2 ln(n) / n), drawn until connected.

    >>> import telejax as tj
    >>> tj.topology.erdos_renyi(20, probability=0.3).is_connected()
    True
    """
    nodes = check_nodes(nodes)
    if probability is None:
        probability = min(1.0, 2 * math.log(nodes) / nodes) if nodes > 1 else 1.0
    probability = _probability("probability", probability)
    pairs = nodes * (nodes - 1) // 2
    check_entries("erdos_renyi", nodes, 2 * probability * pairs + nodes)
    remedy = f"give a probability above ln(n) / n = {math.log(nodes) / nodes:.3g}"

    def draw(stream: np.random.Generator) -> Edges:
        return _pairs(_linked(stream, pairs, probability))

    return first_connected(f"erdos_renyi:probability={probability:.3g}", nodes, draw, seed, weights, remedy)


def small_world(
    nodes: int, degree: int = 4, probability: float = 0.1, seed: int = 0, weights: Weights = "metropolis"
) -> Topology:
    """A ring in which every node is linked with its ``degree`` nearest, each link rewired with ``probability``.

    Args:
        nodes: number of nodes.
        degree: an even number below ``nodes``; with fewer than three nodes, all are linked.
        probability: of a link to lead to a uniform node instead, 0 to 1.
        seed: of the draw; drawn again until connected.
        weights: see :func:`telejax.topology.from_networkx`.

    Source: Watts, Strogatz 1998.

    >>> import telejax as tj
    >>> tj.topology.small_world(20).messages()
    80
    """
    nodes = check_nodes(nodes)
    degree = check_integer("degree", degree, minimum=2)
    probability, seed = _probability("probability", probability, allow_zero=True), check_seed(seed)
    if nodes <= 2:
        return from_edges(nodes, np.arange(nodes - 1), np.arange(1, nodes), "small_world", weights)
    if degree % 2 or degree >= nodes:
        raise ValueError(f"degree is {degree} with {nodes} nodes; give an even degree below the number of nodes")
    check_entries("small_world", nodes, (degree + 1) * nodes, NETWORKX_BYTES)

    def draw(stream: np.random.Generator) -> Edges:
        import networkx as nx  # which takes long

        graph = nx.watts_strogatz_graph(nodes, degree, probability, seed=int(stream.integers(2**31)))
        return _networkx_edges(graph)

    name = f"small_world:degree={degree},probability={probability:.3g}"
    return first_connected(name, nodes, draw, seed, weights, "give a larger degree or a smaller probability")


def stochastic_block(
    nodes: int,
    clusters: int | None = None,
    inside: float | None = None,
    bridges: int = 1,
    seed: int = 0,
    weights: Weights = "metropolis",
) -> Topology:
    """Well connected clusters of consecutive nodes with few bridges between them.

    Args:
        nodes: number of nodes.
        clusters: number of clusters, whose sizes differ by at most one; by default 4, or one a node.
        inside: probability of a link within a cluster of size s; by default 2 ln(s) / s, at most 1.
        bridges: links between each pair of clusters, their ends uniform; coinciding ones count once.
        seed: of the draw; drawn again until connected.
        weights: see :func:`telejax.topology.from_networkx`.

    Raises:
        ValueError: more clusters than nodes, or a graph that cannot be connected.

    >>> import telejax as tj
    >>> tj.topology.stochastic_block(40).is_connected()
    True
    """
    nodes = check_nodes(nodes)
    clusters = check_integer("clusters", min(4, nodes) if clusters is None else clusters, minimum=1)
    bridges = check_integer("bridges", bridges, minimum=1)
    if clusters > nodes:
        raise ValueError(f"clusters is {clusters} with {nodes} nodes; give at most one cluster a node")
    starts = np.arange(clusters + 1) * nodes // clusters
    sizes = np.diff(starts)
    if inside is None:
        smallest = int(sizes.min())
        inside = min(1.0, 2 * math.log(smallest) / smallest) if smallest > 1 else 1.0
    inside = _probability("inside", inside)
    ends = clusters * (clusters - 1) // 2 * bridges
    check_host_memory(f"bridges is {short(bridges)}, which", ENTRY_BYTES * ends, "give fewer bridges or clusters")
    links = inside * float(sizes.max()) * nodes + bridges * clusters**2
    check_entries("stochastic_block", nodes, links + nodes)

    def draw(stream: np.random.Generator) -> Edges:
        i, j = [], []
        for start, size in zip(starts, sizes, strict=False):
            within = _pairs(_linked(stream, int(size) * (int(size) - 1) // 2, inside))
            i.append(start + within[0])
            j.append(start + within[1])
        left, right = (np.repeat(one, bridges) for one in np.triu_indices(clusters, k=1))
        i.append(stream.integers(starts[left], starts[left + 1]))
        j.append(stream.integers(starts[right], starts[right + 1]))
        return np.concatenate(i), np.concatenate(j)

    name = f"stochastic_block:clusters={clusters},inside={inside:.3g},bridges={bridges}"
    return first_connected(name, nodes, draw, seed, weights, "give a larger probability inside")


def random_matching(nodes: int, seed: int = 0) -> Topology:
    """Every round pairs the nodes anew, uniformly over all matchings, and pairs average, 1/2 each.

    With an odd number of nodes, a uniform node idles.

    >>> import telejax as tj
    >>> tj.topology.random_matching(5).messages(round=3)
    4
    """
    return of_peers("random_matching", UniformMatching(check_nodes(nodes)), 0.5, check_seed(seed))


def epidemic(nodes: int, peers: int = 1, seed: int = 0) -> Topology:
    """Every round W is the mean of the identity and ``peers`` permutations drawn anew, uniformly over all.

    A node thus hears from, and tells, ``peers`` others or a few less: a fixed point is no message, and what two
    permutations have in common is one. The consensus rate p = peers / (peers + 1) depends on no number of nodes.

    Args:
        nodes: number of nodes.
        peers: permutations, at most nodes - 1.
        seed: decides the draws of all rounds of a run.

    Raises:
        ValueError: ``peers`` below 1 or above nodes - 1.

    Source: M. de Vos, S. Farhadkhani, R. Guerraoui, A.-M. Kermarrec, R. Pires, R. Sharma 2023, arXiv 2310.01972.

    >>> import telejax as tj
    >>> tj.topology.epidemic(10**6, peers=3).consensus_rate()
    0.75
    """
    nodes, seed = check_nodes(nodes), check_seed(seed)
    peers = check_integer("peers", peers, minimum=1)
    if peers > max(nodes - 1, 1):
        raise ValueError(f"peers is {peers} with {nodes} nodes; give at most one less than there are nodes")
    return of_peers(f"epidemic:peers={peers}", UniformPermutations(nodes, peers), peers / (peers + 1), seed)


def of_peers(name: str, distribution: PeerDistribution, weight: float, seed: int) -> Topology:
    """Rounds in which the nodes give ``weight`` to peers of this distribution; one node has none."""
    return Topology.build(name, [RandomPeers(distribution, weight, seed) if distribution.nodes > 1 else Complete(1)])


def first_connected(
    name: str,
    nodes: int,
    draw: Callable[[np.random.Generator], Edges],
    seed: int,
    weights: Weights,
    remedy: str,
) -> Topology:
    """The first connected graph among draws from the stream of ``seed``."""
    stream = np.random.default_rng(check_seed(seed))
    weights = check_weights(weights)
    for _ in range(RANDOM_TRIES):
        i, j = draw(stream)
        if scipy.sparse.csgraph.connected_components(adjacency(nodes, i, j), directed=False, return_labels=False) == 1:
            return from_edges(nodes, i, j, name, weights)
    raise ValueError(f"{name}: none of {RANDOM_TRIES} random graphs was connected; {remedy}")


def check_seed(seed: int) -> int:
    """A seed that fits the device's uint32."""
    remedy = "give an integer from 0 to 2^32 - 1"
    return check_integer("seed", seed, minimum=0, remedy=remedy, maximum=MAX_SEED)


def _probability(name: str, value: float, allow_zero: bool = False) -> float:
    remedy = f"give a number {'of at least' if allow_zero else 'above'} 0 and at most 1"
    number = check_number(name, value, exclusive=not allow_zero, remedy=remedy)
    if number > 1:
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    return number


def _networkx_edges(graph: "networkx.Graph") -> Edges:
    """The ends of the edges of a graph over 0 .. nodes - 1."""
    ends = np.array(graph.edges, dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def _linked(stream: np.random.Generator, count: int, probability: float) -> np.ndarray:
    """Those of 0 .. count - 1 that independent coins choose, in memory of the order of their number."""
    if probability > 0.25:  # then coins for all are not many more than what they choose
        return np.flatnonzero(stream.random(count) < probability)
    wanted = stream.binomial(count, probability)
    chosen = np.empty(0, np.int64)
    while len(chosen) < wanted:  # distinct numbers, drawn until there are enough, are a uniform subset
        extra = stream.integers(count, size=wanted - len(chosen))
        chosen = np.unique(np.concatenate([chosen, extra]))
    return chosen


def _pairs(chosen: np.ndarray) -> Edges:
    """The pair i < j of each number: j (j - 1) / 2 + i."""
    j = ((1 + np.sqrt(8.0 * chosen + 1)) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > chosen  # the root was rounded up
    j += (j + 1) * j // 2 <= chosen  # or down
    return chosen - j * (j - 1) // 2, j
