"""EquiTopo: graphs whose consensus rate does not depend on the number of nodes.

The basis matrix A_u gives weight (n - 1) / n to the node at cyclic distance u and 1 / n to oneself. The static
graphs average a few of them; the dynamic ones use one, drawn anew every round.

Source: Z. Song, W. Li, K. Jin, L. Shi, M. Yan, W. Yin, K. Yuan 2022, arXiv 2210.07881.
"""

import math
from collections.abc import Callable

import numpy as np

from telejax.errors import check_integer, check_number
from telejax.topology.base import Topology
from telejax.topology.matrices import Circulant, Complete
from telejax.topology.peers import OffsetMatching, OffsetPeer, PeerDistribution
from telejax.topology.random_graphs import RANDOM_TRIES, check_seed, of_peers
from telejax.topology.sizes import check_nodes


def d_equistatic(nodes: int, m: int | None = None, seed: int = 0) -> Topology:
    """Directed: the mean of m basis matrices A_u, u drawn uniformly from 1 .. nodes - 1 with replacement.

    Args:
        nodes: number of nodes.
        m: basis matrices, at most nodes - 1; by default ceil(log2 nodes).
        seed: of the draw; drawn again until connected.

    Raises:
        ValueError: ``m`` below 1 or above nodes - 1.

    >>> import telejax as tj
    >>> tj.topology.d_equistatic(100, m=8).consensus_rate() > 0.5
    True
    """
    return _static("d_equistatic", nodes, m, seed, symmetric=False)


def u_equistatic(nodes: int, m: int | None = None, seed: int = 0) -> Topology:
    """Undirected: the symmetric part of :func:`d_equistatic`, with up to 2 m neighbours.

    >>> import telejax as tj
    >>> W = tj.topology.u_equistatic(10, m=2).matrix()
    >>> bool((W == W.T).all())
    True
    """
    return _static("u_equistatic", nodes, m, seed, symmetric=True)


def od_equidyn(nodes: int, eta: float = 0.5, seed: int = 0) -> Topology:
    """One peer, directed: every round W = (1 - eta) I + eta A_u with u drawn anew from 1 .. nodes - 1.

    Args:
        nodes: number of nodes.
        eta: above 0 and at most 1.
        seed: decides the draws of all rounds of a run.

    Raises:
        ValueError: ``eta`` outside its range.

    >>> import telejax as tj
    >>> round(tj.topology.od_equidyn(10**6).consensus_rate(), 4)
    0.5
    """
    return _dynamic("od_equidyn", nodes, eta, seed, OffsetPeer)


def ou_equidyn(nodes: int, eta: float = 0.5, seed: int = 0) -> Topology:
    """One peer, undirected: every round (1 - eta) I + eta A, A a symmetric matching at a distance u drawn anew.

    Nodes left over by the matching keep their own; see :class:`telejax.topology.peers.OffsetMatching`.

    Args:
        nodes: number of nodes.
        eta: above 0 and at most 1.
        seed: decides the draws of all rounds of a run.

    Raises:
        ValueError: ``eta`` outside its range.

    >>> import telejax as tj
    >>> top = tj.topology.ou_equidyn(10)
    >>> [top.messages(t) for t in range(5)] == [int((top.matrix(t) > 0).sum() - 10) for t in range(5)]
    True
    """
    return _dynamic("ou_equidyn", nodes, eta, seed, OffsetMatching)


def _static(name: str, nodes: int, m: int | None, seed: int, symmetric: bool) -> Topology:
    nodes = check_nodes(nodes)
    stream = np.random.default_rng(check_seed(seed))
    if m is None:
        m = max(1, min(nodes - 1, math.ceil(math.log2(nodes))))
    m = check_integer("m", m, minimum=1)
    if m > max(nodes - 1, 1):
        raise ValueError(f"m is {m} with {nodes} nodes; there are {nodes - 1} basis matrices, give at most as many")
    name = f"{name}:m={m}"
    if nodes == 1:
        return Topology.build(name, [Complete(1)])
    for _ in range(RANDOM_TRIES):
        drawn = stream.integers(1, nodes, size=m)
        if math.gcd(nodes, *map(int, drawn)) == 1:  # else the offsets stay within a subgroup of the nodes
            break
    else:
        raise ValueError(f"{name}: none of {RANDOM_TRIES} draws was connected; give a larger m")
    offsets = [int(u) for u in drawn] + ([-int(u) for u in drawn] if symmetric else [])
    share = (nodes - 1) / (nodes * len(offsets))
    return Topology.build(name, [Circulant.build(nodes, [0, *offsets], [1 / nodes, *[share] * len(offsets)])])


def _dynamic(name: str, nodes: int, eta: float, seed: int, distribution: Callable[[int], PeerDistribution]) -> Topology:
    nodes = check_nodes(nodes)
    remedy = "give a number above 0 and at most 1"
    eta = check_number("eta", eta, exclusive=True, remedy=remedy)
    if eta > 1:
        raise ValueError(f"eta is {eta}; {remedy}")
    seed = check_seed(seed)
    return of_peers(f"{name}:eta={eta:g}", distribution(nodes), eta * (nodes - 1) / nodes, seed)
