"""ProxSkip: gossip in a random share p of the rounds, which a control variate y makes exact::

    z = x - eta g(x) - y
    with probability p:  x+ = A z,  y+ = y + beta (z - x+)        A = I - (I - W) / (2 chi)
    otherwise:           x+ = z

with y = 0 at the start; one coin for all nodes. K. Mishchenko et al. 2022, arXiv 2202.09357, in its decentralized form.

**When to use it**: a message costs more than a gradient: a coin decides for all nodes in which rounds they gossip at
all, and the fixed point stays exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from telejax.algorithms.graphs import NodeTopology, OnGraph, node_mixing
from telejax.algorithms.local import combined, zeros
from telejax.algorithms.parts import local_update
from telejax.errors import POSITIVE, PROBABILITY, Bound
from telejax.mixing.accounting import Messages
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.threefry import fold_in
from telejax.state import Info, Memory, Params, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike

COIN = np.uint32(2**31 + 2**20)  # folded into the key of a round, as no node is


@pytree
@dataclass(frozen=True)
class ProxSkip(OnGraph):
    """See :func:`prox_skip`."""

    label: ClassVar[str] = "ProxSkip"
    bounds: ClassVar[Mapping[str, Bound]] = {"probability": PROBABILITY, "chi": Bound(1.0), "dual_step": POSITIVE}

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing | NodeTopology
    probability: float
    chi: float
    dual_step: float | None

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        state = super().start(key, params, task)
        return state.replace(memory=Memory(slot=zeros(state.params)))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        y, beta = state.memory.slot, self.probability if self.dual_step is None else self.dual_step
        moved, opt_state = local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        z = combined(lambda moved, y: moved - y, moved, y)

        def gossip(state: State) -> tuple[State, Any, Any]:
            state, heard = self.gossip(key, network, state, z)
            x = combined(lambda z, wz: z - (z - wz) / (2 * self.chi), z, heard)
            return state, x, combined(lambda y, z, x: y + beta * (z - x), y, z, x)

        coin = jax.random.bernoulli(fold_in(key, COIN), self.probability)
        state = network.start(state) if state.world is None else state
        state, x, y = jax.lax.cond(coin, gossip, lambda state: (network.work(key, state), z, y), state)
        state = state.replace(params=x, opt_state=opt_state, memory=Memory(slot=y), round=state.round + 1)
        sent = jnp.where(coin, self._copies(state.holders.shape[0]), 0)
        return network.report(state, messages=sent)

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return ((0,),)  # those of the rounds with gossip are counted as they happen

    def _copies(self, nodes: int) -> int:
        (copies,) = self.graph(nodes).messages  # type: ignore[misc]  # one matrix for all rounds
        return int(copies)


def prox_skip(
    *,
    topology: TopologyLike,
    optimizer: Optimizer,
    probability: float = 0.25,
    chi: float = 1.0,
    dual_step: float | None = None,
) -> ProxSkip:
    """ProxSkip over a graph of all the task's nodes: exact, with gossip in a random share of the rounds.

    Args:
        topology: a fixed undirected graph over the nodes: a Topology, a name, or a function of their number.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        probability: p, of gossip in a round, above 0 and at most 1; may be tuned, as the two others.
        chi: how lazy gossip is, at least 1.
        dual_step: beta, above 0; by default p, and 1 diverges.

    Raises:
        ValueError: a number outside its range; a graph that is directed or not the same in every round, by name,
            once the task is known.

    >>> import optax, telejax as tj
    >>> tj.prox_skip(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'ProxSkip ring'
    """
    given = {"probability": probability, "chi": chi} | ({} if dual_step is None else {"dual_step": dual_step})
    numbers = {name: ProxSkip.bounds[name].check(name, value) for name, value in given.items()}
    mixing = node_mixing(topology, fixed=True, symmetric=True)
    return ProxSkip(as_optimizer(optimizer), mixing, numbers["probability"], numbers["chi"], numbers.get("dual_step"))
