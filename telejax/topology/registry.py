"""Topologies by name, so that scripts and the command line can say ``ring`` or ``torus:rows=4``."""

from collections.abc import Callable

from telejax.errors import check_name
from telejax.topology import graphs
from telejax.topology.base import Topology

TopologyLike = Topology | str | Callable[[int], Topology]

NAMES: dict[str, Callable[..., Topology]] = {
    "ring": graphs.ring,
    "torus": graphs.torus,
    "hypercube": graphs.hypercube,
    "star": graphs.star,
    "complete": graphs.complete,
    "exponential": graphs.exponential,
    "one_peer_exponential": graphs.one_peer_exponential,
    "random_regular": graphs.random_regular,
    "erdos_renyi": graphs.erdos_renyi,
}


def resolve(topology: TopologyLike, nodes: int) -> Topology:
    """A Topology over exactly ``nodes`` nodes from a Topology, a name or a function of the size.

    Args:
        topology: a Topology; a name with parameters, as in ``"random_regular:degree=4,seed=1"``; or a
            function from the number of nodes to a Topology.
        nodes: number of nodes (or slots) that mix.

    Raises:
        ValueError: unknown name or parameter, or a topology of another size.

    >>> resolve("torus:rows=2", 6)
    Topology('torus', nodes=6, period=1, max_degree=3)
    """
    if isinstance(topology, str):
        topology = from_spec(topology, nodes)
    elif callable(topology):
        topology = topology(nodes)
    if not isinstance(topology, Topology):
        raise ValueError(f"topology is {topology!r}; give a Topology, a name or a function of the number of nodes")
    if topology.nodes != nodes:
        raise ValueError(
            f"topology {topology.name!r} has {topology.nodes} nodes where {nodes} mix; "
            f"build it with {nodes} nodes, or pass its name to have it built"
        )
    return topology


def from_spec(spec: str, nodes: int) -> Topology:
    """Build ``name`` or ``name:parameter=value,...`` for ``nodes`` nodes."""
    name, _, rest = spec.partition(":")
    build = NAMES[check_name("topology", name.strip().replace("-", "_"), NAMES)]
    known = [parameter for parameter in build.__annotations__ if parameter not in ("nodes", "return")]
    parameters = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        check_name(f"parameter of topology {name!r}", key, known)
        parameters[key] = _number(spec, value if equals else "")
    return build(nodes, **parameters)


def _number(spec: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(f"topology {spec!r} has the value {text!r}; parameters are numbers, as in name:parameter=2")
