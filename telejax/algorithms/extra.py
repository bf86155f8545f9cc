"""EXTRA: the difference of two rounds of decentralized gradient descent, which cancels its bias::

    x_1 = W x_0 - u_0
    x+ = x + W x - V x_before - (u - u_before),   V = (I + W) / 2

where u = eta g(x) is the optimizer's step along the gradient. W. Shi et al. 2015, arXiv 1404.6264.

**When to use it**: as exact diffusion, of an earlier form whose largest stable step size is smaller.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined, zeros
from telejax.algorithms.parts import local_update
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class Extra(OnGraph):
    """See :func:`extra`."""

    label: ClassVar[str] = "EXTRA"

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        x = state.params  # equal everywhere, so that W x is x
        return state.replace(memory=Memory(slot={"lazy": x, "update": zeros(x)}))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, lazy, last = state.params, state.memory.slot["lazy"], state.memory.slot["update"]
        moved, opt_state = local_update(key, x, state.opt_state, state.holders, task, self.optimizer)
        update = combined(lambda x, moved: x - moved, x, moved)
        state, mixed = self.gossip(key, network, state, x)
        params = combined(lambda x, wx, vx, u, last: x + wx - vx - (u - last), x, mixed, lazy, update, last)
        memory = Memory(slot={"lazy": combined(lambda x, wx: (x + wx) / 2, x, mixed), "update": update})
        return network.report(state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1))


def extra(*, topology: TopologyLike, optimizer: Optimizer) -> Extra:
    """EXTRA over a graph of all the task's nodes: exact, at the messages of DSGD.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: a graph that is directed or not the same in every round; by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.extra(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'EXTRA ring'
    """
    return Extra(as_optimizer(optimizer), node_mixing(topology, fixed=True, symmetric=True))
