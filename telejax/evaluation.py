"""What is measured on a state: the mean model, the slots' own models, and how far they are apart."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from telejax.algorithms.base import State
from telejax.execution import map_pieces
from telejax.tasks.base import Task

MEAN_MODEL_ONLY = frozenset({"grad_norm_sq"})  # of no use at a slot's own parameters

Metrics = dict[str, Float[Array, " groups"]]


def evaluate(state: State, task: Task, groups: tuple[int, ...]) -> tuple[Metrics, Any]:
    """Judge every group of slots.

    Args:
        state: leaves with the slot axis first.
        task: judges one copy of the parameters.
        groups: slots of each group, in order.

    Returns:
        Metrics of shape (groups,): each entry of ``task.evaluate`` for the mean model, with the suffix
        ``_slots`` the mean over slots of their own models, ``accuracy_worst`` the worst slot, and
        ``consensus``; and the mean models, leaves (groups, ...).
    """
    start, metrics, means = 0, [], []
    for slots in groups:
        part = jax.tree.map(lambda x, a=start, b=start + slots: x[a:b], state.params)
        mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), part)
        metrics.append(_judge(part, mean, task))
        means.append(mean)
        start += slots
    stack = lambda *leaves: jnp.stack(leaves)
    return jax.tree.map(stack, *metrics), jax.tree.map(stack, *means)


def consensus_distance(params: Any) -> Float[Array, ""]:
    """(1/k) sum_a ||x_a - mean(x)||^2 over the k slots, all leaves together."""
    spread = [jnp.sum((x - jnp.mean(x, axis=0)) ** 2) / x.shape[0] for x in jax.tree.leaves(params)]
    return jnp.sum(jnp.stack(spread))


def _judge(params: Any, mean: Any, task: Task) -> dict[str, Array]:
    own = map_pieces(task.evaluate, params)
    metrics = dict(task.evaluate(mean))
    metrics |= {f"{name}_slots": jnp.mean(value) for name, value in own.items() if name not in MEAN_MODEL_ONLY}
    if "accuracy" in own:
        metrics["accuracy_worst"] = jnp.min(own["accuracy"])
    metrics["consensus"] = consensus_distance(params)
    return metrics
