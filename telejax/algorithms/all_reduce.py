"""All-reduce SGD: mini-batch SGD over all nodes, their parameters averaged exactly every round::

    x <- (1/n) sum_i (x - eta grad F_i(x; xi_i))

Its traffic is counted as that of an all-reduce, which moves 2 (n - 1) parameter copies in all.

**When to use it**: the reference that nothing decentralized beats round by round. Take it where one fast network joins
all nodes, and to see what a method loses to it.
"""

from dataclasses import dataclass

from jaxtyping import Array, Key

from telejax.algorithms.base import AllNodes
from telejax.algorithms.parts import local_update
from telejax.mixing.means import Mean
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, State, pytree
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class AllReduceSGD(AllNodes):
    """See :func:`all_reduce_sgd`."""

    optimizer: Optimizer | FixedOptimizer

    @property
    def name(self) -> str:
        return "all-reduce SGD"

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        holders = self.first_holders(task.nodes)
        params, opt_state = local_update(key, state.params, state.opt_state, holders, task, self.optimizer)
        mean = Mean("all-reduce", task.nodes, self.gossip_messages(task.nodes)[0], transport="all_reduce")
        state, params, _ = network.gossip(key, mean, params, state, self.copy_bytes(state))
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2 * (nodes - 1),),)


def all_reduce_sgd(*, optimizer: Optimizer) -> AllReduceSGD:
    """Mini-batch SGD over all nodes with an exact average every round.

    The all-reduce is taken to be reliable: ``Network(loss=, outage=)`` changes nothing.

    Args:
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    >>> import optax, telejax as tj
    >>> tj.all_reduce_sgd(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gossip_messages(nodes=10)
    ((18,),)
    """
    return AllReduceSGD(as_optimizer(optimizer))
