"""Local training: every node steps on its own data, alone, and nobody sends anything::

    x_i <- x_i - eta grad F_i(x_i; xi_i)

What every method has to beat at the nodes themselves: see ``accuracy_local``. Called standalone training, for instance
by M. Mohri et al. 2019, arXiv 1902.00146.

**When to use it**: what each node reaches alone. Other methods must beat it on a node's own data, or training together
does not pay.
"""

from dataclasses import dataclass

from jaxtyping import Array, Key

from telejax.algorithms.base import AllNodes
from telejax.algorithms.parts import local_update
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, State, pytree
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class LocalTraining(AllNodes):
    """See :func:`local_training`."""

    optimizer: Optimizer | FixedOptimizer

    @property
    def name(self) -> str:
        return "local training"

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        holders = self.first_holders(task.nodes)
        params, opt_state = local_update(key, state.params, state.opt_state, holders, task, self.optimizer)
        state = network.work(key, state, several=False)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((0,),)


def local_training(*, optimizer: Optimizer) -> LocalTraining:
    """SGD of every node on its own data, without any messages.

    Args:
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    >>> import optax, telejax as tj
    >>> tj.local_training(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gossip_messages(nodes=10)
    ((0,),)
    """
    return LocalTraining(as_optimizer(optimizer))
