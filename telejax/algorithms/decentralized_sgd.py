"""Decentralized SGD: every node steps on its own data and averages with its neighbours, every round::

    x_i <- sum_j W_ij (x_j - eta grad F_j(x_j; xi_j))          adapt, then combine
    x_i <- sum_j W_ij x_j - eta grad F_i(x_i; xi_i)            combine, then adapt

X. Lian et al. 2017 (arXiv 1705.09056), A. Koloskova et al. 2020 (arXiv 2003.10422).

**When to use it**: the baseline, and hard to beat on homogeneous data or well-connected graphs. On a ring it degrades
as n grows, and heterogeneous nodes leave it biased by the step size.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self, get_args

from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import check_local_steps, extras
from telejax.algorithms.parts import apply_gradients, gradients, local_update
from telejax.errors import check_name
from telejax.mixing.forms import Mixing
from telejax.mixing.robust import Rule, check_aggregation
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike

Order = Literal["adapt_then_combine", "combine_then_adapt"]


@pytree
@dataclass(frozen=True)
class DecentralizedSGD(OnGraph):
    """See :func:`decentralized_sgd`."""

    label: ClassVar[str] = "DSGD"

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    order: Order = field(metadata=STATIC)
    local_steps: int = field(metadata=STATIC)
    aggregation: Rule | None

    @property
    def name(self) -> str:
        order = ", combine first" if self.order == "combine_then_adapt" else ""
        return super().name + order + extras(self.local_steps, self.aggregation)

    def bind(self, task: Task) -> Self:
        bound = super().bind(task)
        check_aggregation(self.aggregation, bound.graph(task.nodes))
        return bound

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        holders = self.first_holders(task.nodes)
        params, opt_state = state.params, state.opt_state
        if self.order == "combine_then_adapt":
            grads = gradients(key, params, holders, task)
            state, params = self.gossip(key, network, state, params, aggregation=self.aggregation)
            params, opt_state = apply_gradients(grads, params, opt_state, self.optimizer)
        else:
            params, opt_state = local_update(key, params, opt_state, holders, task, self.optimizer, self.local_steps)
            steps, rule = self.local_steps, self.aggregation
            state, params = self.gossip(key, network, state, params, steps=steps, aggregation=rule)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))


def decentralized_sgd(
    *,
    topology: TopologyLike,
    optimizer: Optimizer,
    order: Order = "adapt_then_combine",
    local_steps: int = 1,
    aggregation: Rule | str | None = None,
) -> DecentralizedSGD:
    """Decentralized SGD over a graph of all the task's nodes.

    Args:
        topology: the graph over the nodes: a Topology, a name, or a function of the number of nodes.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        order: "adapt_then_combine": step, then average; "combine_then_adapt": average, and step along the gradient
            where the node was before, for which nobody waits.
        local_steps: steps that a node takes before it averages.
        aggregation: a rule of ``tj.robust`` in the place of the average, such as "trimmed_mean:f=1".

    Raises:
        ValueError: ``local_steps`` below 1, or above 1 where combining comes first; once the task is known, a
            topology of another size, or with too few neighbours for ``aggregation``.

    >>> import optax, telejax as tj
    >>> tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'DSGD ring'
    """
    order = check_name("order", order, get_args(Order))
    local_steps = check_local_steps(local_steps)
    if order == "combine_then_adapt" and local_steps > 1:
        raise ValueError(f"local_steps is {local_steps}, and combining first takes one step a round; give 1")
    mixing, rule = node_mixing(topology), check_aggregation(aggregation)
    return DecentralizedSGD(as_optimizer(optimizer), mixing, order, local_steps, rule)
