"""Communication graphs on the host (NumPy, SciPy, networkx): build, check, measure, draw."""

from telejax.topology.base import Topology
from telejax.topology.graphs import (
    complete,
    erdos_renyi,
    exponential,
    from_matrix,
    from_networkx,
    hypercube,
    one_peer_exponential,
    random_regular,
    ring,
    sequence,
    star,
    torus,
)
from telejax.topology.registry import NAMES, TopologyLike, from_spec, resolve

__all__ = [
    "NAMES",
    "Topology",
    "TopologyLike",
    "complete",
    "erdos_renyi",
    "exponential",
    "from_matrix",
    "from_networkx",
    "from_spec",
    "hypercube",
    "one_peer_exponential",
    "random_regular",
    "resolve",
    "ring",
    "sequence",
    "star",
    "torus",
]
