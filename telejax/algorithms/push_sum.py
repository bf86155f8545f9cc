"""Push-sum (stochastic gradient push): nodes of a directed graph divide what they send, and a weight says how much::

    z = x / w
    x+ = A (x - eta g(z)),   w+ = A w

with A column-stochastic and w = 1 at the start, so that the sum of w is n in every round; judged at z.
M. Assran et al. 2019, arXiv 1811.10792.

**When to use it**: directed graphs, on which nodes know whom they send to, and not who else sends to whom.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from telejax.algorithms.base import copy_bytes
from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.parts import apply_gradients, gradients
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class PushSum(OnGraph):
    """See :func:`push_sum`."""

    label: ClassVar[str] = "push-sum"

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        return super().start(key, params, task).replace(memory=Memory(slot=jnp.ones(task.nodes)))

    def models(self, state: State) -> Params:
        weight = lambda x: state.memory.slot.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
        return jax.tree.map(lambda x: x / weight(x), state.params)

    def copy_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.memory.slot))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        grads = gradients(key, self.models(state), state.holders, task)
        x, opt_state = apply_gradients(grads, state.params, state.opt_state, self.optimizer)
        state, (x, w) = self.gossip(key, network, state, (x, state.memory.slot), returned=True)
        return network.report(
            state.replace(params=x, opt_state=opt_state, memory=Memory(slot=w), round=state.round + 1)
        )


def push_sum(*, topology: TopologyLike, optimizer: Optimizer) -> PushSum:
    """Stochastic gradient push over a directed graph of all the task's nodes.

    What a lossy network loses stays with its sender, so that the mean is conserved.

    Args:
        topology: a column-stochastic graph, as of ``tj.topology.directed(matrix, stochastic="column")`` or
            ``"directed_exponential"``, or a doubly stochastic one, with which it is DSGD.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: a row-stochastic graph; by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.push_sum(topology="directed_exponential", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'push-sum directed_exponential'
    """
    return PushSum(as_optimizer(optimizer), node_mixing(topology, stochastic="column"))
