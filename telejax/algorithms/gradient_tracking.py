"""Gradient tracking: every node follows an estimate y_i of the gradient of the mean, which gossip keeps up to date::

    x+ = W (x - eta y),   y+ = W (y + g(x+) - g(x))       "atc" (Aug-DGM)
    x+ = W (x - eta y),   y+ = W y + g(x+) - g(x)         "semi" (NEXT, SONATA)
    x+ = W x - eta y,     y+ = W y + g(x+) - g(x)         "cta" (DIGing)

with y = g(x) at the start. The mean of y is the mean of g in every round, so the fixed point is the optimum, however
heterogeneous the nodes. J. Xu et al. 2015, P. Di Lorenzo, G. Scutari 2016 (arXiv 1602.00591), A. Nedic et al. 2017
(arXiv 1607.03218).

**When to use it**: heterogeneous nodes whose graph changes from round to round: exact on such graphs too, at two copies
a message.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined
from telejax.algorithms.parts import apply_gradients, gradients
from telejax.errors import check_name
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike

Variant = Literal["atc", "semi", "cta"]


@pytree
@dataclass(frozen=True)
class GradientTracking(OnGraph):
    """See :func:`gradient_tracking`."""

    label: ClassVar[str] = "gradient tracking"
    copies: ClassVar[int] = 2  # a model and a tracker

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    variant: Variant = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return super().name + ("" if self.variant == "atc" else f", {self.variant}")

    def first_gradients(self, nodes: int) -> tuple[int, ...]:
        return (nodes,)

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        first = gradients(key, state.params, state.holders, task)
        return state.replace(memory=Memory(slot={"tracker": first, "gradient": first}))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        x, y, before = state.params, state.memory.slot["tracker"], state.memory.slot["gradient"]
        opt_state = state.opt_state
        if self.variant == "cta":
            state, (x, y) = self.gossip(key, network, state, (x, y))
            x, opt_state = apply_gradients(state.memory.slot["tracker"], x, opt_state, self.optimizer)
        else:
            x, opt_state = apply_gradients(y, x, opt_state, self.optimizer)
            together = (x, y) if self.variant == "semi" else (x,)
            now = 0 if self.variant == "atc" else 1  # gradients before this exchange
            state, (x, *heard) = self.gossip(key, network, state, together, copies=len(together), steps=now)
            y = heard[0] if heard else y
        new = gradients(key, x, state.holders, task)
        y = combined(lambda y, new, old: y + new - old, y, new, before)
        if self.variant == "atc":
            state, y = self.gossip(key, network, state, y, copies=1)
        memory = Memory(slot={"tracker": y, "gradient": new})
        return network.report(state.replace(params=x, opt_state=opt_state, memory=memory, round=state.round + 1))


def gradient_tracking(*, topology: TopologyLike, optimizer: Optimizer, variant: Variant = "atc") -> GradientTracking:
    """Gradient tracking over a graph of all the task's nodes: exact, however heterogeneous they are.

    A round sends two copies to each neighbour, the model and the tracker, and computes one gradient a node, those of
    the start beside.

    Args:
        topology: the graph over the nodes: a Topology, a name, or a function of the number of nodes.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation; it is given the tracker.
        variant: what is mixed when, see ``telejax.algorithms.gradient_tracking``. "atc" sends the tracker after the
            model, and takes the largest steps.

    Raises:
        ValueError: an unknown variant; once the task is known, a topology of another size.

    >>> import optax, telejax as tj
    >>> tj.gradient_tracking(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'gradient tracking ring'
    """
    variant = check_name("variant", variant, get_args(Variant))
    return GradientTracking(as_optimizer(optimizer), node_mixing(topology), variant)
