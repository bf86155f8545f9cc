"""NIDS: exact diffusion for step sizes as large as those of centralized gradient descent, whatever the graph::

    x_1 = x_0 - u_0
    x+ = V (2 x - x_before - (u - u_before)),   V = (I + W) / 2

where u = eta g(x) is the optimizer's step along the gradient. No message is sent in the first round. Z. Li, W. Shi,
M. Yan 2019, arXiv 1704.07807.

**When to use it**: as exact diffusion, with a largest step size that does not depend on the graph.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined, zeros
from telejax.algorithms.parts import local_update
from telejax.mixing.compose import FirstSilent
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class NIDS(OnGraph):
    """See :func:`nids`."""

    label: ClassVar[str] = "NIDS"

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology

    def graph(self, nodes: int) -> Mixing:
        return FirstSilent(super().graph(nodes))

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot={"before": state.params, "update": zeros(state.params)}))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, before, last = state.params, state.memory.slot["before"], state.memory.slot["update"]
        moved, opt_state = local_update(key, x, state.opt_state, state.holders, task, self.optimizer)
        update = combined(lambda x, moved: x - moved, x, moved)
        ahead = combined(lambda x, b, u, last: 2 * x - b - (u - last), x, before, update, last)
        state, heard = self.gossip(key, network, state, ahead)
        params = combined(lambda kept, heard: (kept + heard) / 2, ahead, heard)
        memory = Memory(slot={"before": x, "update": update})
        return network.report(state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1))


def nids(*, topology: TopologyLike, optimizer: Optimizer) -> NIDS:
    """NIDS over a graph of all the task's nodes: exact, with step sizes that do not depend on the graph.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: a graph that is directed or not the same in every round; by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.nids(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'NIDS ring'
    """
    return NIDS(as_optimizer(optimizer), node_mixing(topology, fixed=True, symmetric=True))
