"""Pairwise gossip: in a round one link of the graph, drawn uniformly, averages its two ends, one of which steps first::

    (i, j)  a link, drawn uniformly, in random order
    x_i <- x_i - eta g_i(x_i)
    x_i, x_j <- (x_i + x_j) / 2

AD-PSGD without its clocks. X. Lian et al. 2018, arXiv 1710.06952.

**When to use it**: a model of asynchronous gossip, one edge awake at a time. Compare it by gradients and messages
rather than by rounds.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from telejax.algorithms.base import AllNodes
from telejax.algorithms.graphs import NodeTopology, node_mixing
from telejax.algorithms.parts import local_update
from telejax.errors import is_kind
from telejax.mixing.forms import Neighbours
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.threefry import fold_in, integers, split
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import Topology, TopologyLike, resolve
from telejax.topology.trees import links

LINK = np.uint32(2**31 + 2**22)  # folded into the key of a round, as no node is


@pytree
@dataclass(frozen=True)
class GossipPairs(AllNodes):
    """See :func:`gossip_pairs`."""

    optimizer: Optimizer | FixedOptimizer
    links: Int[np.ndarray | Array, "links 2"] | NodeTopology
    graph: str = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"gossip of pairs on {self.graph}"

    def bind(self, task: Task) -> Self:
        if isinstance(self.links, NodeTopology):
            topology = resolve(self.links.topology, task.nodes, self.links.needs)
            return replace(self, links=links(topology), graph=topology.name).bind(task)
        made = self.links
        if not len(made) or int(np.max(made)) != task.nodes - 1:
            told = f"{int(np.max(made)) + 1} nodes" if len(made) else "no links"
            raise ValueError(
                f"topology has {told} and the task {task.nodes} nodes; build it with as many, at least two"
            )
        return self

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (1,)

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2,),)

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        assert not isinstance(self.links, NodeTopology), "bind it to the task first"
        which, order = split(fold_in(key, LINK))
        link = jnp.asarray(self.links)[integers(which, (), len(self.links))]
        one, other = jax.random.permutation(order, link)
        at = lambda tree: jax.tree.map(lambda x: x[one][None], tree)
        put = lambda tree, new: jax.tree.map(lambda x, new: x.at[one].set(new[0]), tree, new)
        stepped = local_update(key, at(state.params), at(state.opt_state), one[None], task, self.optimizer)
        params, opt_state = put(state.params, stepped[0]), put(state.opt_state, stepped[1])

        place = jnp.arange(task.nodes, dtype=jnp.int32)
        partner = place.at[one].set(other).at[other].set(one)
        weight = jnp.where(partner == place, 0.0, 0.5)
        pair = Neighbours("pair", task.nodes, (2,), (1 - weight)[None], weight[None, None], partner[None, None], True)
        steps = (place == one).astype(jnp.int32)
        state, params, _ = network.gossip(key, pair, params, state, self.copy_bytes(state), steps=steps)
        state = state.replace(params=params, opt_state=opt_state, round=state.round + 1)
        return network.report(state, steps=steps)


def gossip_pairs(*, topology: TopologyLike, optimizer: Optimizer) -> GossipPairs:
    """Pairwise gossip over a graph of all the task's nodes: one gradient and two messages a round.

    All nodes hold a slot, so a round costs time of order n, though two nodes work.

    Args:
        topology: a fixed undirected graph over the nodes, of which only the links matter: a Topology, a name, or a
            function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: a graph that is directed or not the same in every round, or without links; by name, once the task
            is known.

    >>> import optax, telejax as tj
    >>> tj.gossip_pairs(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gradients(100)
    (1,)
    """
    if is_kind(topology, Topology):
        return GossipPairs(as_optimizer(optimizer), links(topology), topology.name)
    waiting = node_mixing(topology, fixed=True, symmetric=True)
    assert isinstance(waiting, NodeTopology)
    return GossipPairs(as_optimizer(optimizer), waiting, waiting.name)
