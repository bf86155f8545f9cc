"""RelaySGD: models are relayed along a tree, so that every node averages those of all, each as old as it is far::

    x' = x - eta g(x)
    m_ij = x'_i + sum over neighbours k of i but j of the last m_ki     counts c_ij alike, of 1
    x_i+ = (1/n) (sum_j m_ji + (n - sum_j c_ji) x'_i)

with nothing received at the start; x_i+ is the mean over j of x'_j(t - max(d_ij - 1, 0)), d_ij the distance in the
tree. T. Vogels et al. 2021, arXiv 2110.04175. A node talks with its parent (up) and its children (down).

**When to use it**: trees, and very heterogeneous nodes: the gradient of every node reaches every other one exactly,
after as many rounds as the path between them is long.
"""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import zeros
from telejax.algorithms.parts import local_update
from telejax.errors import is_kind
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import Topology, TopologyLike, resolve
from telejax.topology.trees import parents


@pytree
@dataclass(frozen=True)
class RelaySGD(OnGraph):
    """See :func:`relay_sgd`."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    parent: Int[np.ndarray | Array, " nodes"] | None

    name = "RelaySGD"

    def bind(self, task: Task) -> Self:
        if not isinstance(self.mixing, NodeTopology):
            return super().bind(task)
        tree = resolve(self.mixing.topology, task.nodes, self.mixing.needs)
        return replace(self, mixing=tree.mixing(), parent=parents(tree))

    def check_network(self, network: Network) -> None:
        for part in ("loss", "outage", "presence", "faults", "adversary"):
            if getattr(network, part) is not None and (part != "adversary" or network.forges):
                raise ValueError(
                    f"network has {part}=, and {self.name} relays sums of models, none missing or forged; leave "
                    f"{part} out, or take another method"
                )

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2 * (nodes - 1),),)

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        none = {"sum": zeros(state.params), "count": jnp.zeros(task.nodes)}
        return state.replace(memory=Memory(slot={"up": none, "down": none}))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        nodes, parent = task.nodes, jnp.asarray(self.parent)
        is_root = jnp.arange(nodes) == parent
        params, opt_state = local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        own = {"sum": params, "count": jnp.ones(nodes)}
        up, down = state.memory.slot["up"], state.memory.slot["down"]

        def relayed(own: Array, up: Array, down: Array) -> tuple[Array, Array, Array]:
            """What is sent up, what comes down, and all that a node receives this round."""
            root = is_root.reshape((-1,) + (1,) * (own.ndim - 1))
            below = _from_children(parent, jnp.where(root, 0, up))
            new_up = own + below
            new_down = jnp.where(root, 0, (own + below + down)[parent] - up)
            return new_up, new_down, _from_children(parent, jnp.where(root, 0, new_up)) + new_down

        each = jax.tree.map(relayed, own, up, down)
        new_up, new_down, received = jax.tree.transpose(jax.tree.structure(own), None, each)
        missing = nodes - received["count"]
        params = jax.tree.map(
            lambda x, heard: (heard + missing.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1)) * x) / nodes,
            params,
            received["sum"],
        )
        state, _ = self.gossip(key, network, state, jnp.zeros((nodes, 1)))  # for its time; relayed sums are no W x
        memory = Memory(slot={"up": new_up, "down": new_down})
        state = state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1)
        return network.report(state)


def _from_children(parent: Int[Array, " nodes"], sent: Array) -> Array:
    """The sum of what its children send, for every node; the root sends zeros to itself."""
    return jnp.zeros_like(sent).at[parent].add(sent)


def relay_sgd(*, topology: TopologyLike, optimizer: Optimizer) -> RelaySGD:
    """RelaySGD over a tree of all the task's nodes: exact averages of delayed models. Every message must arrive.

    Args:
        topology: a tree: "path", "star", "tree", or ``tj.topology.spanning_tree(...)`` of another graph; a Topology,
            a name, or a function of the number of nodes.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: a graph that is no tree; by name, once the task is known.

    >>> import optax, telejax as tj
    >>> relay = tj.relay_sgd(topology="tree", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    >>> relay.gossip_messages(7)
    ((12,),)
    """
    parent = parents(topology) if is_kind(topology, Topology) else None
    return RelaySGD(as_optimizer(optimizer), node_mixing(topology, fixed=True, symmetric=True), parent)
