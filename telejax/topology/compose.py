"""Topologies from topologies: one after another, side by side, in other roles, with more weight on oneself."""

from collections.abc import Sequence

import numpy as np

from telejax.errors import check_array, check_kind, check_list, check_number, short
from telejax.topology.base import Topology
from telejax.topology.matrices import Blocks

GIVE = "give a Topology, such as telejax.topology.ring(8)"


def sequence(topologies: Sequence[Topology], name: str = "sequence") -> Topology:
    """The rounds of several topologies one after another, then from the start again.

    >>> import telejax as tj
    >>> tj.topology.sequence([tj.topology.ring(6), tj.topology.complete(6)]).period
    2
    """
    topologies = _checked(topologies)
    return Topology.build(name, [one for topology in topologies for one in topology.rounds])


def block_diagonal(topologies: Sequence[Topology], name: str = "") -> Topology:
    """Several topologies side by side over consecutive nodes, without a link between them; each keeps its period.

    The groups never hear from each other, so the consensus rate of two or more is 0; a round of a sequence may
    still be of this kind.

    >>> import telejax as tj
    >>> both = tj.topology.block_diagonal([tj.topology.one_peer_exponential(8), tj.topology.ring(3)])
    >>> both.nodes, both.period
    (11, 3)
    """
    topologies = _checked(topologies)
    name = check_kind("name", name, str, "give a text")
    period = int(np.lcm.reduce([topology.period for topology in topologies]))
    rounds = [Blocks(tuple(top.rounds[t % top.period] for top in topologies)) for t in range(period)]
    return Topology.build(name or " + ".join(top.name for top in topologies), rounds, connected=False)


def permuted(topology: Topology, order: Sequence[int] | np.ndarray) -> Topology:
    """Node a takes the role of node ``order[a]``: ``W'[a, b] = W[order[a], order[b]]``.

    Raises:
        ValueError: ``order`` is not a permutation of 0 .. nodes - 1.

    >>> import telejax as tj
    >>> tj.topology.permuted(tj.topology.path(3), [1, 0, 2]).matrix()[0].round(2).tolist()
    [0.33, 0.33, 0.33]
    """
    nodes = check_kind("topology", topology, Topology, GIVE).nodes
    roles = check_array("order", order, f"give each of the integers 0 to {nodes - 1} once")
    if roles.shape != (nodes,) or roles.dtype.kind not in "iu" or (np.sort(roles) != np.arange(nodes)).any():
        raise ValueError(f"order is {short(order)}; give each of the integers 0 to {nodes - 1} once")
    rounds = [one.permuted(roles.astype(np.int64)) for one in topology.rounds]
    return Topology.build(f"{topology.name}, permuted", rounds, connected=False)


def with_self_loops(topology: Topology, weight: float) -> Topology:
    """``weight I + (1 - weight) W`` in every round: slower, and without negative eigenvalues from weight 1/2 on.

    Raises:
        ValueError: ``weight`` below 0 or not below 1.

    >>> import telejax as tj
    >>> tj.topology.with_self_loops(tj.topology.complete(2), 0.5).matrix().tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    check_kind("topology", topology, Topology, GIVE)
    remedy = "give a number of at least 0 and below 1"
    weight = check_number("weight", weight, remedy=remedy)
    if weight >= 1:
        raise ValueError(f"weight is {weight}; {remedy}")
    name = f"{topology.name}, {weight:g} on oneself"
    return Topology.build(name, [one.lazier(weight) for one in topology.rounds], connected=False)


def _checked(topologies: Sequence[Topology]) -> list[Topology]:
    """At least one topology, or a ValueError."""
    remedy = "give a list of at least one Topology, such as [telejax.topology.ring(8)]"
    given = check_list("topologies", topologies, remedy)
    if not given:
        raise ValueError(f"topologies is empty; {remedy}")
    return [check_kind(f"topologies[{place}]", one, Topology, GIVE) for place, one in enumerate(given)]
