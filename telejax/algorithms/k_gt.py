"""K-GT: local steps along a gradient that is corrected towards that of the mean, then gossip of model and correction::

    z = x;  z <- z - eta (g(z) + c),  K times
    v = (x - z) / (K eta)
    c+ = c - v + W v
    x+ = W (x - s (x - z))

with c = 0 at the start. Y. Liu et al. 2024, arXiv 2301.01313.

**When to use it**: heterogeneous nodes and dear messages: several local steps between gossips, corrected so that the
fixed point stays exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import check_local_steps, combined, corrected, per_step_size, with_step_size, zeros
from telejax.algorithms.parts import local_update
from telejax.errors import POSITIVE, Bound
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import Optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class KGT(OnGraph):
    """See :func:`k_gt`."""

    label: ClassVar[str] = "K-GT"
    bounds: ClassVar[Mapping[str, Bound]] = {"communication_step": POSITIVE}
    copies: ClassVar[int] = 2  # a model and a step

    optimizer: Optimizer
    mixing: Mixing | NodeTopology
    communication_step: float
    local_steps: int = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"{super().name}, {self.local_steps} local"

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=zeros(state.params)))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, c, steps = state.params, state.memory.slot, self.local_steps
        z, opt_state = local_update(
            key, x, state.opt_state, state.holders, task, self.optimizer, steps, step=corrected, given=c
        )
        rate = per_step_size(self.optimizer, steps)
        v = combined(lambda x, z: rate * (x - z), x, z)
        moved = combined(lambda x, z: x - self.communication_step * (x - z), x, z)
        state, (x, heard) = self.gossip(key, network, state, (moved, v), steps=steps)
        c = combined(lambda c, v, heard: c - v + heard, c, v, heard)
        return network.report(
            state.replace(params=x, opt_state=opt_state, memory=Memory(slot=c), round=state.round + 1)
        )


def k_gt(*, topology: TopologyLike, optimizer: Optimizer, local_steps: int = 4, communication_step: float = 1.0) -> KGT:
    """K-GT over a graph of all the task's nodes: exact gradient tracking with local steps.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, with a number as its step size, by which the method divides.
        local_steps: K, the steps of a node between two exchanges of two copies.
        communication_step: s, how much of the local steps enters the exchange; may be tuned.

    Raises:
        ValueError: ``local_steps`` below 1, ``communication_step`` not above 0, a step size that is no number; a
            graph that is directed or not the same in every round, by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.k_gt(topology="ring", local_steps=2, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'K-GT ring, 2 local'
    """
    local_steps = check_local_steps(local_steps)
    communication_step = POSITIVE.check("communication_step", communication_step)
    mixing = node_mixing(topology, fixed=True, symmetric=True)
    return KGT(with_step_size(optimizer, "k_gt"), mixing, communication_step, local_steps)
