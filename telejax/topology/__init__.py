"""Communication graphs on the host (NumPy, SciPy, networkx): build, check, measure, draw."""

from telejax.topology.base import Topology
from telejax.topology.base_graphs import base_graph, simple_base_graph
from telejax.topology.classic import (
    barbell,
    complete,
    directed_exponential,
    exponential,
    grid,
    hypercube,
    one_peer_exponential,
    one_peer_hypercube,
    path,
    ring,
    star,
    torus,
    tree,
)
from telejax.topology.compose import block_diagonal, permuted, sequence, with_self_loops
from telejax.topology.equitopo import d_equistatic, od_equidyn, ou_equidyn, u_equistatic
from telejax.topology.matrices import Stochastic
from telejax.topology.needs import ANY, Needs
from telejax.topology.random_graphs import (
    epidemic,
    erdos_renyi,
    random_matching,
    random_regular,
    small_world,
    stochastic_block,
)
from telejax.topology.registry import (
    NAMES,
    TopologyLike,
    check_topology,
    from_spec,
    matcha,
    random_walk,
    resolve,
)
from telejax.topology.tables import table
from telejax.topology.trees import spanning_tree
from telejax.topology.weights import Weights, directed, from_matrix, from_networkx, reweighted

__all__ = [
    "ANY",
    "NAMES",
    "Needs",
    "Stochastic",
    "Topology",
    "TopologyLike",
    "Weights",
    "barbell",
    "base_graph",
    "block_diagonal",
    "check_topology",
    "complete",
    "d_equistatic",
    "directed",
    "directed_exponential",
    "epidemic",
    "erdos_renyi",
    "exponential",
    "from_matrix",
    "from_networkx",
    "from_spec",
    "grid",
    "hypercube",
    "matcha",
    "od_equidyn",
    "one_peer_exponential",
    "one_peer_hypercube",
    "ou_equidyn",
    "path",
    "permuted",
    "random_matching",
    "random_regular",
    "random_walk",
    "resolve",
    "reweighted",
    "ring",
    "sequence",
    "simple_base_graph",
    "small_world",
    "spanning_tree",
    "star",
    "stochastic_block",
    "table",
    "torus",
    "tree",
    "u_equistatic",
    "with_self_loops",
]
