"""Topologies by name, so that scripts and the command line can say ``ring`` or ``torus:rows=4``."""

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from telejax.backend.plain_numbers import is_plain_number
from telejax.errors import check_kind, check_name, check_number, is_kind, short
from telejax.topology import base_graphs, classic, equitopo, random_graphs
from telejax.topology.base import Topology
from telejax.topology.matcha import LEAST_BUDGET, activation
from telejax.topology.matcha import MAX_NODES as MATCHA_NODES
from telejax.topology.matrices import Complete
from telejax.topology.needs import ANY, Needs
from telejax.topology.sizes import check_nodes
from telejax.topology.weights import reweighted

NAMED = "give a name, such as 'ring' or 'torus:rows=4'"

TopologyLike = Topology | str | Callable[[int], Topology]


def random_walk(nodes: int, graph: TopologyLike = "ring") -> Topology:
    """The lazy Metropolis-Hastings walk on a graph: W_ij = 1 / (2 max(d_i, d_j)), half the weight or more on oneself.

    As a mixing matrix a walk must be doubly stochastic, which the simple random walk 1 / d_i is only where all
    degrees d_i are equal; this is the walk on the same edges that visits all nodes equally often. It is
    ``reweighted(graph, "random_walk")``.

    Args:
        nodes: number of nodes.
        graph: any undirected topology, as :func:`resolve` takes it; only its edges matter.

    Raises:
        ValueError: a directed graph, or one that is drawn anew every round.

    >>> random_walk(4, "path").matrix()[0].tolist()
    [0.75, 0.25, 0.0, 0.0]
    """
    return reweighted(resolve(graph, nodes, argument="graph"), "random_walk")


def matcha(nodes: int, graph: TopologyLike = "ring", budget: float = 0.5, seed: int = 0) -> Topology:
    """MATCHA: every round uses some links of a graph, drawn so that few messages connect the nodes well.

    The links are split into matchings, each active in a round with a probability p_j of its own, and ``W = I - alpha
    L(active)`` with L the Laplacian. The p_j maximise the algebraic connectivity of the mean graph, so that links
    that hold the graph together are used most, and alpha minimises the second eigenvalue of E[W^T W].

    Args:
        nodes: number of nodes, at most 1024.
        graph: any undirected topology, as :func:`resolve` takes it; only its links matter.
        budget: the mean share of matchings that are active, from 1e-6 to 1.
        seed: decides the draws of all rounds of a run.

    Raises:
        ValueError: a directed graph, one of several rounds or drawn ones, too many nodes, or a budget out of range;
            or no package rustworkx, which finds the matchings, and comes with ``telejax[matcha]``.

    Source: J. Wang, A. K. Sahu, Z. Yang, G. Joshi, S. Kar 2019, arXiv 1905.09435.

    >>> path, half = resolve("path", 8), matcha(8, graph="path", budget=0.5)
    >>> path.mean_messages, round(half.mean_messages, 1)
    (14.0, 7.0)
    """
    remedy = f"give a number from {LEAST_BUDGET:g} to 1, the share of matchings that are active"
    share = check_number("budget", budget, minimum=LEAST_BUDGET, remedy=remedy)
    if share > 1:
        raise ValueError(f"budget is {short(budget)}; {remedy}")
    seed = random_graphs.check_seed(seed)
    if (nodes := check_nodes(nodes)) > MATCHA_NODES:
        raise ValueError(f"nodes is {nodes}; matcha finds its matchings for at most {MATCHA_NODES} nodes, give fewer")
    links = resolve(graph, nodes, Needs(fixed=True, symmetric=True), argument="graph")
    name = f"matcha:graph={links.name},budget={share:g}"
    return Topology.build(name, [activation(links, share, seed)] if nodes > 1 else [Complete(1)])


GIVE = "give a Topology, a name or a function of the number of nodes"

NAMES: dict[str, Callable[..., Topology]] = {
    "ring": classic.ring,
    "path": classic.path,
    "grid": classic.grid,
    "torus": classic.torus,
    "tree": classic.tree,
    "star": classic.star,
    "barbell": classic.barbell,
    "complete": classic.complete,
    "hypercube": classic.hypercube,
    "one_peer_hypercube": classic.one_peer_hypercube,
    "exponential": classic.exponential,
    "one_peer_exponential": classic.one_peer_exponential,
    "directed_exponential": classic.directed_exponential,
    "base_graph": base_graphs.base_graph,
    "simple_base_graph": base_graphs.simple_base_graph,
    "d_equistatic": equitopo.d_equistatic,
    "u_equistatic": equitopo.u_equistatic,
    "od_equidyn": equitopo.od_equidyn,
    "ou_equidyn": equitopo.ou_equidyn,
    "epidemic": random_graphs.epidemic,
    "matcha": matcha,
    "random_matching": random_graphs.random_matching,
    "random_regular": random_graphs.random_regular,
    "erdos_renyi": random_graphs.erdos_renyi,
    "small_world": random_graphs.small_world,
    "stochastic_block": random_graphs.stochastic_block,
    "random_walk": random_walk,
}

ALIASES = {
    "base": "base_graph",
    "simple_base": "simple_base_graph",
    "equistatic": "u_equistatic",  # the undirected ones, whose matrices are symmetric
    "equidyn": "ou_equidyn",
}


def resolve(topology: TopologyLike, nodes: int, needs: Needs = ANY, argument: str = "topology") -> Topology:
    """A Topology over exactly ``nodes`` nodes from a Topology, a name or a function of the size.

    Args:
        topology: a Topology; a name with parameters, as in ``"random_regular:degree=4,seed=1"``; or a
            function from the number of nodes to a Topology.
        nodes: number of nodes (or slots) that mix.
        needs: what it must be.
        argument: what errors call the topology.

    Raises:
        ValueError: unknown name or parameter, a topology of another size, or one that is not as needed.

    >>> resolve("torus:rows=2", 6)
    Topology('torus', nodes=6, period=1, max_degree=3)
    """
    check_topology(argument, topology)
    nodes = check_nodes(nodes)
    check_kind("needs", needs, Needs, "give telejax.topology.Needs(...), or leave it out")
    if is_kind(topology, str):
        topology = from_spec(topology, nodes)
    elif not is_kind(topology, Topology):
        topology = _called(argument, topology, nodes)
    if topology.nodes != nodes:
        raise ValueError(
            f"topology {topology.name!r} has {topology.nodes} nodes where {nodes} mix; "
            f"build it with {nodes} nodes, or pass its name to have it built"
        )
    return needs.check(topology)


def check_topology(argument: str, given: object) -> None:
    """Raise a ValueError unless this may be resolved: a Topology, a known name with its parameters, or a function.

    >>> check_topology("topology", "ring")
    """
    if is_kind(given, str):
        parse(given)
    elif is_kind(given, type) or not (is_kind(given, Topology) or callable(given)):
        raise ValueError(f"{argument} is {short(given)}; {GIVE}")


def _called(argument: str, function: Callable[[int], Topology], nodes: int) -> Topology:
    """What a function makes of the number of nodes."""
    try:
        made = function(nodes)
    except Exception as error:  # of a user's function
        raise ValueError(
            f"{argument} is {short(function)}, which fails for {nodes} nodes: {error!r}; {GIVE}"
        ) from error
    return check_kind(f"{argument}({nodes})", made, Topology, "let the function return a Topology")


def from_spec(spec: str, nodes: int, **defaults: Any) -> Topology:
    """Build ``name`` or ``name:parameter=value,...`` for ``nodes`` nodes.

    Args:
        spec: a name of ``NAMES``, or ``base``, ``simple_base``, ``equistatic`` (``u_equistatic``) or ``equidyn``
            (``ou_equidyn``), with its parameters. Values are numbers or, where the parameter takes them, words.
        nodes: number of nodes.
        defaults: parameters that are used where the graph has them and the spec does not give them.

    Raises:
        ValueError: unknown name or parameter, or a value that the graph refuses.

    >>> from_spec("base:degree=2", 25)
    Topology('base_graph:degree=2', nodes=25, period=6, max_degree=2)
    """
    build, parameters = parse(check_kind("spec", spec, str, NAMED))
    nodes = check_nodes(nodes)
    missing = {key: value for key, value in defaults.items() if key in _kinds(build) and key not in parameters}
    return build(nodes, **parameters, **missing)


def parse(spec: str) -> tuple[Callable[..., Topology], dict[str, int | float | str]]:
    """The function that a spec names and the parameters it gives, see :func:`from_spec`."""
    spec = check_kind("topology", spec, str, NAMED)
    name, colon, rest = spec.partition(":")
    if colon and not rest.strip():
        raise ValueError(f"topology is {spec!r}, with nothing after the colon; give parameters, or leave it out")
    name = check_name("topology", name.strip().replace("-", "_"), {**NAMES, **ALIASES})
    build = NAMES[ALIASES.get(name, name)]
    kinds = _kinds(build)
    if rest and not kinds:
        raise ValueError(f"topology is {spec!r}, and {name} takes no parameters; leave :{rest} out")
    parameters: dict[str, int | float | str] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        check_name(f"parameter of topology {name!r}", key, kinds)
        if key in parameters:
            raise ValueError(f"topology is {spec!r}, which gives {key} twice; give it once")
        parameters[key] = _value(spec, value if equals else "", kinds[key])
    return build, parameters


def _kinds(build: Callable[..., Topology]) -> dict[str, Any]:
    """The type of each parameter but the number of nodes."""
    return {name: kind for name, kind in get_type_hints(build).items() if name not in ("nodes", "return")}


def _value(spec: str, text: str, kind: Any) -> int | float | str:
    options = get_args(kind)
    if str in options or any(isinstance(option, str) for option in options):
        if not text:
            raise ValueError(f"topology {spec!r} has the value ''; this parameter is a word, as in name:parameter=word")
        return text
    for number in (int, float) if is_plain_number(text) else ():
        try:
            return number(text)
        except ValueError:
            continue
    raise ValueError(f"topology {spec!r} has the value {text!r}; this parameter is a number, as in name:parameter=2")
