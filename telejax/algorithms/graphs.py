"""Methods whose nodes gossip over one graph of all of them, and how that graph waits for the number of nodes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
from jaxtyping import Array, Key

from telejax.algorithms.base import AllNodes
from telejax.errors import check_integer, check_kind, is_kind
from telejax.mixing.accounting import Messages, scaled
from telejax.mixing.forms import Mixing
from telejax.network import Network
from telejax.optimizers import FixedOptimizer, Optimizer
from telejax.state import State
from telejax.tasks.base import Task
from telejax.topology import ANY, Needs, Stochastic, Topology, TopologyLike, check_topology, resolve


@dataclass(frozen=True)
class NodeTopology:
    """The graph over all nodes, given before their number is known: a name or a function of it."""

    topology: str | Callable[[int], Topology]
    needs: Needs = ANY

    @property
    def name(self) -> str:
        return self.topology if isinstance(self.topology, str) else "graph"

    def mixing(self, nodes: int) -> Mixing:
        return resolve(self.topology, nodes, self.needs).mixing()


jax.tree_util.register_static(NodeTopology)


def node_mixing(
    topology: TopologyLike,
    stochastic: Stochastic = "both",
    *,
    fixed: bool = False,
    symmetric: bool = False,
    above: float | None = None,
) -> Mixing | NodeTopology:
    """Device arrays of a Topology; a name or a function waits until the number of nodes is known.

    Args:
        topology: a Topology, a name, or a function of the number of nodes.
        stochastic: which sums of the weights are one; "column" or "row" for a method on directed graphs.
        fixed: whether the method takes one matrix for all rounds.
        symmetric: whether it takes symmetric weights alone.
        above: what all eigenvalues of the matrix must be above.

    Raises:
        ValueError: a topology that is not as the method takes it; by name, once the number of nodes is known.

    >>> node_mixing("ring").mixing(5).slots
    5
    """
    needs = Needs(stochastic, fixed, symmetric, above)
    if is_kind(topology, Topology):
        return needs.check(topology).mixing()
    check_topology("topology", topology)
    return NodeTopology(topology, needs)


def bind_mixing(mixing: Mixing | NodeTopology, nodes: int) -> Mixing:
    """The mixing over exactly ``nodes`` nodes.

    Raises:
        ValueError: a topology of another size.

    >>> bind_mixing(node_mixing("ring"), 5).slots
    5
    """
    nodes = check_integer("nodes", nodes, minimum=1)
    if is_kind(mixing, NodeTopology):
        return mixing.mixing(nodes)
    check_kind("mixing", mixing, Mixing, "give what topology.mixing() or telejax.node_mixing(...) returns")
    if mixing.slots != nodes:
        raise ValueError(
            f"topology {mixing.name!r} has {mixing.slots} nodes and the task {nodes}; build the topology with "
            f"{nodes} nodes, or pass its name to have it built"
        )
    return mixing


class OnGraph(AllNodes):
    """A method in which every node holds a slot of its own and gossips over one graph of all nodes.

    Subclasses are dataclasses, whose first fields are those of this class.
    """

    label: ClassVar[str]
    """What tables and plots call it, beside its graph."""
    copies: ClassVar[int] = 1
    """Arrays like the parameters that a message holds; each counts as a message."""
    local_steps: int = 1
    """Gradient steps of a node in a round."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology

    @property
    def name(self) -> str:
        return f"{self.label} {self.mixing.name}"

    def bind(self, task: Task) -> Self:
        return replace(self, mixing=bind_mixing(self.mixing, task.nodes))  # type: ignore[type-var]

    def graph(self, nodes: int) -> Mixing:
        """The mixing over exactly ``nodes`` nodes."""
        return bind_mixing(self.mixing, nodes)

    def gossip(
        self, key: Key[Array, ""], network: Network, state: State, kept: Any, copies: int | None = None, **options: Any
    ) -> tuple[State, Any]:
        """What each node has after it hears its neighbours, of one or more trees that travel together.

        Args:
            key: of the round.
            network: what stands between the nodes.
            state: of the round, with its holders.
            kept: what each node has and sends: pytrees with leaves (slots, ...).
            copies: how many of the parameters' size there are in it; by default those of the method.
            **options: of :meth:`telejax.Network.gossip`.
        """
        copies = self.copies if copies is None else copies
        mixing, size = self.graph(state.holders.shape[0]), self.copy_bytes(state)
        state, mixed, _ = network.gossip(key, mixing, kept, state, copies * size, messages=copies, **options)
        return state, mixed

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (nodes * self.local_steps,)

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return (scaled(self.graph(nodes).messages, self.copies),)
