"""Local exact diffusion (LED): local steps against a dual variable that gathers what gossip has changed::

    phi = x;  phi <- phi - eta g(phi) - beta y,  K times
    x+ = W phi
    y+ = y + phi - x+

with y = 0 at the start. S. Alghunaim 2024, arXiv 2312.02356.

**When to use it**: as K-GT, with one copy a message in place of two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import optax
from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import check_local_steps, combined, stepped, zeros
from telejax.algorithms.parts import local_update
from telejax.errors import POSITIVE, Bound
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class LocalExactDiffusion(OnGraph):
    """See :func:`local_exact_diffusion`."""

    label: ClassVar[str] = "LED"
    bounds: ClassVar[Mapping[str, Bound]] = {"dual_step": POSITIVE}

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    dual_step: float
    local_steps: int = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"{super().name}, {self.local_steps} local"

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=zeros(state.params)))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        y, steps = state.memory.slot, self.local_steps
        phi, opt_state = local_update(
            key, state.params, state.opt_state, state.holders, task, self.optimizer, steps, step=self._against, given=y
        )
        state, x = self.gossip(key, network, state, phi, steps=steps)
        y = combined(lambda y, phi, x: y + phi - x, y, phi, x)
        return network.report(
            state.replace(params=x, opt_state=opt_state, memory=Memory(slot=y), round=state.round + 1)
        )

    def _against(
        self, transformation: optax.GradientTransformation, grads: Params, params: Params, opt_state: Any, dual: Params
    ) -> tuple[Params, optax.OptState]:
        params, opt_state = stepped(transformation, grads, params, opt_state)
        return combined(lambda x, y: x - self.dual_step * y, params, dual), opt_state


def local_exact_diffusion(
    *, topology: TopologyLike, optimizer: Optimizer, local_steps: int = 4, dual_step: float | None = None
) -> LocalExactDiffusion:
    """Local exact diffusion over a graph of all the task's nodes: exact with local steps, at the messages of DSGD.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        local_steps: K, the steps of a node between two exchanges.
        dual_step: beta, by default 1 / K; may be tuned.

    Raises:
        ValueError: ``local_steps`` below 1, ``dual_step`` not above 0; a graph that is directed or not the same in
            every round, by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.local_exact_diffusion(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'LED ring, 4 local'
    """
    local_steps = check_local_steps(local_steps)
    dual_step = 1 / local_steps if dual_step is None else POSITIVE.check("dual_step", dual_step)
    mixing = node_mixing(topology, fixed=True, symmetric=True)
    return LocalExactDiffusion(as_optimizer(optimizer), mixing, dual_step, local_steps)
