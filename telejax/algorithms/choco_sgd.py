"""CHOCO-SGD: nodes send what has changed since they last sent, compressed, and mix what all know of each other::

    x' = x - eta g(x)
    q = C(x' - h);   h+ = h + q
    x+ = x' + gamma (W h+ - h+)

with h = 0 at the start; h_i is what the neighbours of i have heard of x_i, so that each stores copies of its
neighbours. It keeps the mean. A. Koloskova, S. U. Stich, M. Jaggi 2019, arXiv 1902.00340.

**When to use it**: bandwidth is what costs. Messages are compressed, and what the compression lost is sent later.
Strong compressors need small consensus steps: tune ``consensus_step`` together with the step size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined, zeros
from telejax.algorithms.parts import local_update
from telejax.errors import POSITIVE, Bound
from telejax.mixing.compression import Compressor, check_compressor, top_k
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.threefry import fold_in
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike

DEFAULT = top_k(0.1)
COMPRESSION = np.uint32(2**31 + 2**21)  # folded into the key of a round, as no node is


@pytree
@dataclass(frozen=True)
class ChocoSGD(OnGraph):
    """See :func:`choco_sgd`."""

    label: ClassVar[str] = "CHOCO-SGD"
    bounds: ClassVar[Mapping[str, Bound]] = {"consensus_step": POSITIVE}

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    compressor: Compressor
    consensus_step: float

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=zeros(state.params)))

    def copy_bytes(self, state: State) -> int:
        return self.compressor.slot_bytes(state.params)

    def check_network(self, network: Network) -> None:
        if network.loss is not None:
            raise ValueError(
                f"network is {network}, and {self.name} stores copies of its neighbours, which a loss would "
                "make differ; give outage= in place of loss=, or another method"
            )

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        known = state.memory.slot
        x, opt_state = local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        keys = jax.vmap(fold_in, (None, 0))(fold_in(key, COMPRESSION), state.holders)
        sent = jax.vmap(self.compressor)(keys, combined(lambda x, h: x - h, x, known))
        known = combined(lambda h, q: h + q, known, sent)
        state, heard = self.gossip(key, network, state, known)
        x = combined(lambda x, wh, h: x + self.consensus_step * (wh - h), x, heard, known)
        return network.report(
            state.replace(params=x, opt_state=opt_state, memory=Memory(slot=known), round=state.round + 1)
        )


def choco_sgd(
    *,
    topology: TopologyLike,
    optimizer: Optimizer,
    compressor: Compressor = DEFAULT,
    consensus_step: float = 0.1,
) -> ChocoSGD:
    """CHOCO-SGD over a graph of all the task's nodes: compressed messages with error feedback.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        compressor: of ``telejax.compression``, one that is not unbiased; by default the largest tenth.
        consensus_step: gamma, above 0; the coarser the compressor, the smaller; may be tuned.

    Raises:
        ValueError: an unbiased compressor, ``consensus_step`` not above 0, a network that loses messages; a graph that
            is directed or not the same in every round, by name, once the task is known.

    >>> import optax, telejax as tj
    >>> sgd, half = tj.optimizer(optax.sgd, learning_rate=0.1), tj.compression.top_k(0.5)
    >>> tj.choco_sgd(topology="ring", optimizer=sgd, compressor=half).name
    'CHOCO-SGD ring'
    """
    compressor = check_compressor("compressor", compressor, unbiased=False)
    consensus_step = POSITIVE.check("consensus_step", consensus_step)
    mixing = node_mixing(topology, fixed=True, symmetric=True)
    return ChocoSGD(as_optimizer(optimizer), mixing, compressor, consensus_step)
