"""The steps that several algorithms take: hand-off and local update."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key

from telejax.algorithms.base import Params, State
from telejax.backend.batched_map import map_nodes
from telejax.optimizers import FixedOptimizer, Optimizer
from telejax.tasks.base import Task


def check_active(active: int, nodes: int, name: str = "active") -> int:
    """Return ``active``, or raise a ValueError that names the argument if there are fewer nodes."""
    if active > nodes:
        raise ValueError(f"{name} is {active} and the task has {nodes} nodes; activate at most {nodes}")
    return active


def handed_off(state: State, holders: Int[Array, " slots"]) -> Array:
    """Whether each slot changes hands, bool (slots,): no slot does before the first round."""
    return (holders != state.holders) & (state.round > 0)


def hand_off(
    state: State, holders: Int[Array, " slots"], optimizer: Optimizer | FixedOptimizer, state_travels: bool
) -> tuple[State, Array]:
    """Slots move to their new holders; also returns which of them did, bool (slots,).

    The parameters of slot a are at row a whoever holds it; only the optimizer state may be left behind.
    """
    moved = handed_off(state, holders)
    if state_travels:
        return state, moved
    fresh = jax.vmap(optimizer.build().init)(state.params)
    return replace(state, opt_state=refresh_optimizer(fresh, state.opt_state, moved)), moved


def refresh_optimizer(fresh: Any, opt_state: Any, moved: Array) -> Any:
    """Start the optimizer state of moved slots afresh; the counters of schedules go on with the rounds."""

    def choose(new: Any, old: Any) -> Any:
        if isinstance(old, optax.ScaleByScheduleState):
            return old
        return jnp.where(moved.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(choose, fresh, opt_state, is_leaf=lambda x: isinstance(x, optax.ScaleByScheduleState))


def local_update(
    key: Key[Array, ""],
    params: Params,
    opt_state: Any,
    holders: Int[Array, " slots"],
    task: Task,
    optimizer: Optimizer | FixedOptimizer,
    steps: int = 1,
) -> tuple[Params, Any]:
    """``x_a <- x_a - eta grad F_holder(a)(x_a; xi)``, ``steps`` times, on every slot.

    A node's randomness is keyed by the round, the node and the local step, so that it does not depend on
    which slot the node holds. A task may say in ``node_batch`` how many nodes compute side by side.
    """
    transformation = optimizer.build()
    gradient = jax.grad(task.loss)

    def update(params: Params, opt_state: Any, node: Array) -> tuple[Params, Any]:
        node_key = jax.random.fold_in(key, node)
        for step in range(steps):
            batch_key = node_key if steps == 1 else jax.random.fold_in(node_key, step)
            change, opt_state = transformation.update(gradient(params, node, batch_key), opt_state, params)
            params = optax.apply_updates(params, change)
        return params, opt_state

    return map_nodes(update, (params, opt_state, holders), getattr(task, "node_batch", None))
