"""What becomes of slots whose holder is away, or failed: their round is undone, and they go on from somewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from telejax.network.faults import Policy
from telejax.state import Memory, State

Rows = tuple[Any, Any, Any]
"""Parameters, optimizer state and memory of the slots."""


class Before(NamedTuple):
    """What a round may have to be undone to."""

    rows: Rows
    """Leaves (slots, ...)."""
    common: Any
    node: Any
    """Memory of the holders, leaves (slots, ...)."""


def rows_of(state: State) -> Rows:
    """What belongs to the slots, leaves (slots, ...)."""
    return state.params, state.opt_state, state.memory.slot


def with_rows(state: State, rows: Rows) -> State:
    """The state with other slots."""
    params, opt_state, slot = rows
    memory = state.memory
    return state.replace(params=params, opt_state=opt_state, memory=Memory(slot, memory.node, memory.common))


def before(state: State) -> Before:
    """What is kept of the state in which a round began."""
    node = jax.tree.map(lambda x: x[state.holders], state.memory.node)
    return Before(rows_of(state), state.memory.common, node)


def undone(state: State, kept: Before, out: Bool[Array, " slots"]) -> State:
    """The state after a round in which some slots did nothing; what all share stays where all did nothing."""
    rows = jax.tree.map(chosen(out), kept.rows, rows_of(state))
    memory = state.memory
    node = memory.node
    if jax.tree.leaves(node):
        works_too = jnp.any((state.holders[:, None] == state.holders[None]) & ~out[None], axis=1)  # in another slot
        beyond = jnp.int32(np.iinfo(np.int32).max)
        place = jnp.where(out & ~works_too, state.holders, beyond)
        node = jax.tree.map(lambda x, own: x.at[place].set(own, mode="drop"), node, kept.node)
    common = jax.tree.map(lambda old, new: jnp.where(jnp.all(out), old, new), kept.common, memory.common)
    return with_rows(state.replace(memory=Memory(memory.slot, node, common)), rows)


def recovered(
    state: State,
    policy: Policy,
    gone: Bool[Array, " slots"],
    groups: tuple[int, ...],
    initial: Rows | None,
) -> State:
    """Where slots whose holder failed go on from: their round is undone already.

    Args:
        state: after the round.
        policy: where from.
        gone: whose holder failed.
        groups: slots of each group, in which a neighbour is the next one.
        initial: of one slot, at the start.
    """
    if policy == "rollback":
        return state
    rows = rows_of(state)
    if policy == "lost":
        assert initial is not None
        other = jax.tree.map(lambda one, x: jnp.broadcast_to(one[None], x.shape), initial, rows)
    else:
        other = jax.tree.map(lambda x: next_slot(x, groups), rows)
    return with_rows(state, jax.tree.map(chosen(gone), other, rows))


def next_slot(x: Array, groups: tuple[int, ...]) -> Array:
    """The row of the next slot of the same group, for every slot."""
    place, start = [], 0
    for size in groups:
        place += [start + (slot + 1) % size for slot in range(size)]
        start += size
    return x[jnp.array(place, jnp.int32)]


def chosen(where: Bool[Array, " slots"]) -> Callable[[Array, Array], Array]:
    """Rows of the first of two arrays in some slots, of the second in the others."""
    return lambda one, other: jnp.where(where.reshape((-1,) + (1,) * (other.ndim - 1)), one, other)
