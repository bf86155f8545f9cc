"""All-reduce SGD: mini-batch SGD over all nodes, their parameters averaged exactly every round::

    x <- (1/n) sum_i (x - eta grad F_i(x; xi_i))

Its traffic is counted as that of an all-reduce, which moves 2 (n - 1) parameter copies in all.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from telejax.algorithms.base import Algorithm, Info, State, no_handoffs, pytree
from telejax.algorithms.parts import local_update
from telejax.mixing.forms import Mean, mix
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class AllReduceSGD(Algorithm):
    """See :func:`all_reduce_sgd`."""

    optimizer: Optimizer | FixedOptimizer

    @property
    def name(self) -> str:
        return "all-reduce SGD"

    def slots(self, nodes: int) -> int:
        return nodes

    def first_holders(self, nodes: int) -> Int[Array, " slots"]:
        return jnp.arange(nodes, dtype=jnp.int32)

    def step(self, key: Key[Array, ""], state: State, task: Task) -> tuple[State, Info]:
        holders = self.first_holders(task.nodes)
        params, opt_state = local_update(key, state.params, state.opt_state, holders, task, self.optimizer)
        params = mix(Mean.over(task.nodes), params, state.round)
        return State(params, opt_state, holders, state.round + 1), Info(holders, no_handoffs())

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2 * (nodes - 1),),)


def all_reduce_sgd(*, optimizer: Optimizer) -> AllReduceSGD:
    """Mini-batch SGD over all nodes with an exact average every round.

    Args:
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    >>> import optax, telejax as tj
    >>> tj.all_reduce_sgd(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gossip_messages(nodes=10)
    ((18,),)
    """
    return AllReduceSGD(as_optimizer(optimizer))
