"""Random-walk (token) SGD: m tokens wander over the nodes, each updated by the node it visits::

    i_a  uniform over all nodes, distinct; or, from node j that held token a, node i with probability W_ji
    x_a <- x_a - eta grad F_{i_a}(x_a; xi)

Tokens do not mix. One token over all nodes is TELEPORTATION with k = 1. For walks on a graph: G. Ayache,
S. El Rouayheb 2020, arXiv 2011.01728.

**When to use it**: the least work a round: one node, or a few that do not speak with each other. More tokens do not
speed up one token's model, for nobody averages their noise.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.graphs import NodeTopology, bind_mixing, node_mixing
from telejax.algorithms.parts import data_key, local_update
from telejax.errors import check_integer
from telejax.mixing.forms import Dense, Mixing, Neighbours
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.threefry import split
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class RandomWalk(Algorithm):
    """See :func:`random_walk`."""

    optimizer: Optimizer | FixedOptimizer
    graph: Mixing | NodeTopology | None
    tokens: int = field(metadata=STATIC)

    @property
    def name(self) -> str:
        tokens = "one token" if self.tokens == 1 else f"{self.tokens} tokens"
        return tokens if self.graph is None else f"{tokens} on {self.graph.name}"

    def bind(self, task: Task) -> Self:
        self.slots(task.nodes)
        if self.graph is None:
            return self
        return replace(self, graph=walkable(self.graph, task.nodes))

    def on_mesh(self, mesh: Mesh) -> Self:
        """Itself: tokens read single rows of their graph and mix nothing."""
        return self

    def slots(self, nodes: int) -> int:
        if self.tokens > nodes:
            raise ValueError(f"tokens is {self.tokens} and the task has {nodes} nodes; use at most {nodes}")
        return self.tokens

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, anywhere = network.activate(key, state, task.nodes, self.tokens)
        holders = anywhere if self.graph is None else self._walk(key, state, task, anywhere)
        state, moved = network.hand_off(key, state, holders, self.handoff_bytes(state))
        params, opt_state = local_update(
            data_key(key), state.params, state.opt_state, state.holders, task, self.optimizer
        )
        state = network.work(key, state)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1), handoffs=moved)

    def check_privacy(self) -> None:
        if self.graph is not None and self.tokens > 1:
            raise ValueError(f"task is private, and {self.name} may meet at a node; give one token, or no topology")

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((0,),)

    def handoff_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.opt_state))

    def _walk(
        self, key: Key[Array, ""], state: State, task: Task, anywhere: Int[Array, " tokens"]
    ) -> Int[Array, " tokens"]:
        """Where the tokens are next: anywhere in the first round, then at a neighbour of where they were."""
        assert self.graph is not None
        graph = walkable(self.graph, task.nodes)
        keys = split(split(key)[0], self.tokens)
        along = jax.vmap(next_node, in_axes=(0, None, 0, None))(keys, graph, state.holders, state.round)
        return jnp.where(state.round == 0, anywhere, along)


def walkable(graph: Mixing | NodeTopology, nodes: int) -> Dense | Neighbours:
    """The graph over exactly ``nodes`` nodes, or a ValueError where its rows cannot be read one by one."""
    bound = bind_mixing(graph, nodes)
    if not isinstance(bound, Dense | Neighbours):
        raise ValueError(
            f"topology {bound.name!r} with {nodes} nodes has no short rows to walk along; "
            "leave topology out to walk over all nodes"
        )
    return bound


def next_node(key: Array, graph: Dense | Neighbours, node: Array, round: Array) -> Array:
    """A node drawn with the probabilities of row ``node`` of the round's mixing matrix, int32."""
    places, weights = graph.row(node, round)
    return places[jax.random.categorical(key, jnp.log(weights))]


def random_walk(*, optimizer: Optimizer, tokens: int = 1, topology: TopologyLike | None = None) -> RandomWalk:
    """One or more tokens that visit the nodes without mixing; the optimizer state travels with its token.

    Args:
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        tokens: number of tokens; the reported mean model is their average.
        topology: a graph over the nodes to walk on, by its mixing weights; tokens then may meet. By default a
            token moves to any node, and the tokens are at distinct nodes.

    Raises:
        ValueError: ``tokens`` below 1 or, once the task is known, above its nodes.

    >>> import optax, telejax as tj
    >>> tj.random_walk(tokens=3, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    '3 tokens'
    """
    tokens = check_integer("tokens", tokens, minimum=1)
    return RandomWalk(as_optimizer(optimizer), None if topology is None else node_mixing(topology), tokens)
