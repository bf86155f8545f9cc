"""Quasi-global momentum: the momentum follows how the model moves after gossip, not the node's own gradients::

    x' = x - eta (beta m + g(x))
    x+ = W x'
    m+ = mu m + (1 - mu) (x - x+) / eta

with m = 0 at the start. Its fixed point is that of decentralized SGD at the same step size. T. Lin et al. 2021,
arXiv 2102.04761.

**When to use it**: momentum on heterogeneous nodes: it follows how the gossiped model moves, not a node's own
gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined, per_step_size, with_step_size, zeros
from telejax.algorithms.parts import apply_gradients, gradients
from telejax.errors import FRACTION, Bound
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import Optimizer
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class QuasiGlobalMomentum(OnGraph):
    """See :func:`quasi_global_momentum`."""

    label: ClassVar[str] = "QG momentum"
    bounds: ClassVar[Mapping[str, Bound]] = {"beta": FRACTION, "mu": FRACTION}

    optimizer: Optimizer
    mixing: Mixing | NodeTopology
    beta: float
    mu: float

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=zeros(state.params)))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, m = state.params, state.memory.slot
        grads = gradients(key, x, state.holders, task)
        direction = combined(lambda g, m: g + self.beta * m, grads, m)
        moved, opt_state = apply_gradients(direction, x, state.opt_state, self.optimizer)
        state, new = self.gossip(key, network, state, moved)
        rate = per_step_size(self.optimizer)
        m = combined(lambda m, x, new: self.mu * m + (1 - self.mu) * rate * (x - new), m, x, new)
        return network.report(
            state.replace(params=new, opt_state=opt_state, memory=Memory(slot=m), round=state.round + 1)
        )


def quasi_global_momentum(
    *, topology: TopologyLike, optimizer: Optimizer, beta: float = 0.9, mu: float = 0.9
) -> QuasiGlobalMomentum:
    """Decentralized SGD with quasi-global momentum, for nodes whose data differ.

    Args:
        topology: the graph over the nodes: a Topology, a name, or a function of the number of nodes.
        optimizer: from :func:`telejax.optimizer`, with a number as its step size, by which the method divides;
            its own momentum should stay 0.
        beta: of the momentum in the step, from 0 to below 1; may be tuned.
        mu: what is kept of the momentum, from 0 to below 1; may be tuned.

    Raises:
        ValueError: a number outside its range, a step size that is no number; once the task is known, a topology of
            another size.

    >>> import optax, telejax as tj
    >>> tj.quasi_global_momentum(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'QG momentum ring'
    """
    beta, mu = FRACTION.check("beta", beta), FRACTION.check("mu", mu)
    optimizer = with_step_size(optimizer, "quasi_global_momentum")
    return QuasiGlobalMomentum(optimizer, node_mixing(topology), beta, mu)
