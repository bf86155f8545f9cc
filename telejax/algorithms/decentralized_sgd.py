"""Decentralized SGD: every node steps on its own data and averages with its neighbours, every round::

    x_i <- sum_j W_ij (x_j - eta grad F_j(x_j; xi_j))

X. Lian et al. 2017 (arXiv 1705.09056), A. Koloskova et al. 2020 (arXiv 2003.10422).
"""

from dataclasses import dataclass, replace
from typing import Self

from jaxtyping import Array, Key

from telejax.algorithms.base import AllNodes, NodeTopology, bind_mixing, node_mixing
from telejax.algorithms.parts import local_update
from telejax.mixing.accounting import Messages
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@pytree
@dataclass(frozen=True)
class DecentralizedSGD(AllNodes):
    """See :func:`decentralized_sgd`."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology

    @property
    def name(self) -> str:
        graph = self.mixing.topology if isinstance(self.mixing, NodeTopology) else self.mixing.name
        return f"DSGD {graph if isinstance(graph, str) else 'graph'}"

    def bind(self, task: Task) -> Self:
        return replace(self, mixing=bind_mixing(self.mixing, task.nodes))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        holders = self.first_holders(task.nodes)
        params, opt_state = local_update(key, state.params, state.opt_state, holders, task, self.optimizer)
        mixing = bind_mixing(self.mixing, task.nodes)
        state, params, _ = network.gossip(key, mixing, params, state, self.copy_bytes(state))
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return (bind_mixing(self.mixing, nodes).messages,)


def decentralized_sgd(*, topology: TopologyLike, optimizer: Optimizer) -> DecentralizedSGD:
    """Decentralized SGD over a graph of all the task's nodes.

    Args:
        topology: the graph over the nodes: a Topology, a name, or a function of the number of nodes.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.

    Raises:
        ValueError: once the task is known, a topology of another size.

    >>> import optax, telejax as tj
    >>> tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'DSGD ring'
    """
    return DecentralizedSGD(as_optimizer(optimizer), node_mixing(topology))
