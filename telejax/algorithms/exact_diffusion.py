"""Exact diffusion (D2): decentralized SGD that adds what its last step has changed, and so loses its bias::

    psi+ = x - eta g(x)
    x+ = V (x + psi+ - psi),   V = (I + W) / 2

with psi = x at the start. K. Yuan et al. 2019 (arXiv 1702.05122), H. Tang et al. 2018 (D2, arXiv 1803.07068). V may be
W itself where its least eigenvalue is above -1/3.

**When to use it**: heterogeneous nodes on a fixed undirected graph, at one message a round: as cheap as DSGD, and
exact.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined
from telejax.algorithms.parts import local_update
from telejax.errors import check_flag
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class ExactDiffusion(OnGraph):
    """See :func:`exact_diffusion`."""

    label: ClassVar[str] = "exact diffusion"

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    lazy: bool = field(metadata=STATIC)

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=state.params))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, before = state.params, state.memory.slot
        psi, opt_state = local_update(key, x, state.opt_state, state.holders, task, self.optimizer)
        moved = combined(lambda x, psi, before: x + psi - before, x, psi, before)
        state, x = self.gossip(key, network, state, moved)
        if self.lazy:
            x = combined(lambda kept, heard: (kept + heard) / 2, moved, x)
        return network.report(
            state.replace(params=x, opt_state=opt_state, memory=Memory(slot=psi), round=state.round + 1)
        )


def exact_diffusion(*, topology: TopologyLike, optimizer: Optimizer, lazy: bool = True) -> ExactDiffusion:
    """Exact diffusion, also known as D2, over a graph of all the task's nodes: exact, at the messages of DSGD.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        lazy: whether nodes average what they hear with their own, V = (I + W) / 2; otherwise V = W.

    Raises:
        ValueError: a graph that is directed or not the same in every round, or one with an eigenvalue of -1/3 or
            below with ``lazy=False``; by name, once the task is known.

    >>> import optax, telejax as tj
    >>> tj.exact_diffusion(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'exact diffusion ring'
    """
    above = None if check_flag("lazy", lazy) else -1 / 3
    mixing = node_mixing(topology, fixed=True, symmetric=True, above=above)
    return ExactDiffusion(as_optimizer(optimizer), mixing, lazy)
