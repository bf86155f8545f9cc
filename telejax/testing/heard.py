"""Who hears whom: a slot is moved far away before a round, and the others in which that shows have heard of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from telejax.algorithms.base import Algorithm
from telejax.state import State
from telejax.tasks.base import Task

PARAMS_BUMP, MEMORY_BUMP = 64.0, 48.0  # large against models of order one, and different, so that differences show
TOLERANCE = 1e-4  # rounding is below, the weight of a neighbour times a bump far above


@dataclass(frozen=True)
class Heard:
    """Who hears whom in a round, bool (slots, slots): the slot that was moved, the slot in which it shows."""

    parameters: np.ndarray
    """When parameters alone were moved."""
    everything: np.ndarray
    """When all was moved that the slot holds and could send: parameters and ``memory.slot``."""
    counted: np.ndarray
    """int (slots, groups): the counter ``messages`` in the round in which everything of the slot was moved."""


def hearing(algorithm: Algorithm, task: Task) -> Callable[[Any, State], Heard]:
    """The function of a round's key and the state before it that finds who hears whom in it."""
    slots, groups = algorithm.slots(task.nodes), len(algorithm.groups(task.nodes))

    def moved(key: Any, state: State, params: Array, memory: Array) -> tuple[Any, Array]:
        state = state.replace(
            params=_bumped(state.params, params * PARAMS_BUMP),
            memory=type(state.memory)(
                _bumped(state.memory.slot, memory * MEMORY_BUMP), state.memory.node, state.memory.common
            ),
        )
        after, info = algorithm.step(key, state, task)
        counted = jnp.broadcast_to(jnp.asarray(info.counters.get("messages", 0)), (groups,))
        return (after.params, after.memory.slot), counted

    @jax.jit
    def run(key: Any, state: State) -> tuple[Array, Array]:
        none, each = jnp.zeros((1, slots)), jnp.eye(slots)
        params, memory = jnp.concatenate([none, each, each]), jnp.concatenate([none, each, jnp.zeros_like(each)])
        held, counted = jax.vmap(moved, (None, None, 0, 0))(key, state, params, memory)
        shows = jnp.zeros((2 * slots, slots), bool)
        for leaf in jax.tree.leaves(held):
            shows |= _differs(leaf)
        others = ~jnp.eye(slots, dtype=bool)
        return shows & jnp.concatenate([others, others]), counted

    def heard(key: Any, state: State) -> Heard:
        shows, counted = map(np.asarray, run(key, state))
        return Heard(parameters=shows[slots:], everything=shows[:slots], counted=counted[1 : slots + 1])

    return heard


def _bumped(tree: Any, by: Float[Array, " slots"]) -> Any:
    """Every float of each slot moved by so much, a little more in every further leaf."""
    leaves, structure = jax.tree.flatten(tree)
    for place, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            wide = (by * (1 + place / 8)).astype(leaf.dtype).reshape((-1,) + (1,) * (leaf.ndim - 1))
            leaves[place] = leaf + wide
    return jax.tree.unflatten(structure, leaves)


def _differs(leaf: Array) -> Bool[Array, "runs slots"]:
    """In which slots each run differs from the first one."""
    first = jnp.broadcast_to(leaf[:1], leaf[1:].shape)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.any(leaf[1:] != first, axis=range(2, leaf.ndim))
    near = jnp.isclose(leaf[1:], first, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return ~jnp.all(near, axis=range(2, leaf.ndim))
