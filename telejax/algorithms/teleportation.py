"""TELEPORTATION: k of n nodes are active in a round and gossip over a small graph of k slots.

Round t, with W the k x k mixing matrix of the round::

    (i_1, ..., i_k)  drawn uniformly without replacement from the n nodes       activate
    node i_a fetches x_a from the node that held slot a before                  hand off
    x_a <- x_a - eta grad F_{i_a}(x_a; xi)                                      update
    x_a <- sum_b W_ab x_b                                                       mix

The graph terms of its convergence bound depend on k, not on n. Y. Takezawa, S. U. Stich, "Scalable
Decentralized Learning with Teleportation", ICLR 2025, arXiv 2501.15259.
"""

from dataclasses import dataclass, field
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from telejax.algorithms.base import STATIC, Algorithm, Info, State, copy_bytes, pytree
from telejax.algorithms.parts import check_active, hand_off, local_update
from telejax.errors import check_integer
from telejax.mixing.accounting import Messages
from telejax.mixing.forms import Mixing, mix
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.sampling import sample_distinct
from telejax.studies.search.auto import AutoTeleportation
from telejax.tasks.base import Task
from telejax.topology import TopologyLike, resolve


@pytree
@dataclass(frozen=True)
class Teleportation(Algorithm):
    """See :func:`teleportation`."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing
    active: int = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"TELEPORTATION {self.mixing.name} k={self.active}"

    def slots(self, nodes: int) -> int:
        return check_active(self.active, nodes)

    def step(self, key: Key[Array, ""], state: State, task: Task) -> tuple[State, Info]:
        activate_key, data_key = jax.random.split(key)
        holders = sample_distinct(activate_key, task.nodes, self.active)
        state, moved = hand_off(state, holders, self.optimizer, self.state_travels)
        params, opt_state = local_update(data_key, state.params, state.opt_state, holders, task, self.optimizer)
        params = mix(self.mixing, params, state.round)
        return State(params, opt_state, holders, state.round + 1), Info(holders, jnp.sum(moved, dtype=jnp.int32)[None])

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return (self.mixing.messages,)

    def handoff_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.opt_state) if self.state_travels else state.params)


@overload
def teleportation(
    *, active: int, topology: TopologyLike, optimizer: Optimizer, state_travels: bool = True
) -> Teleportation: ...


@overload
def teleportation(
    *, active: Literal["auto"], topology: TopologyLike, optimizer: Optimizer, state_travels: bool = True
) -> AutoTeleportation: ...


def teleportation(
    *, active: int | Literal["auto"], topology: TopologyLike, optimizer: Optimizer, state_travels: bool = True
) -> Teleportation | AutoTeleportation:
    """TELEPORTATION with ``active`` of the task's nodes in each round (Takezawa & Stich, ICLR 2025).

    Args:
        active: k, the number of active nodes and of slots; "auto" finds it while running, see
            :mod:`telejax.studies.search.auto`.
        topology: the graph over the k slots: a Topology, a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        state_travels: whether the optimizer state is handed over with the parameters, and counted in the
            bytes; otherwise it starts afresh whenever a slot changes hands.

    Raises:
        ValueError: ``active`` below 1 or, once the task is known, above its nodes; a topology of another size.

    >>> import optax, telejax as tj
    >>> tj.teleportation(active=8, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'TELEPORTATION ring k=8'
    """
    if active == "auto":
        return AutoTeleportation(as_optimizer(optimizer), topology, bool(state_travels))
    active = check_integer("active", active, minimum=1, remedy='give an integer of at least 1, or "auto"')
    return Teleportation(as_optimizer(optimizer), resolve(topology, active).mixing(), active, bool(state_travels))
