"""What is measured on a state: the mean model, the slots' own models, and how far they are apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from telejax.algorithms.base import State
from telejax.backend.batched_map import map_pieces
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
    ends = np.cumsum(groups)[:-1]
    split = lambda x: jnp.split(x, ends)
    means = jax.tree.map(lambda x: jnp.stack([jnp.mean(part, axis=0) for part in split(x)]), state.params)
    reduce = lambda over, value: jnp.stack([over(part) for part in split(value)])
    own = map_pieces(task.evaluate, state.params)
    metrics = dict(map_pieces(task.evaluate, means))
    metrics |= {f"{name}_slots": reduce(jnp.mean, value) for name, value in own.items() if name not in MEAN_MODEL_ONLY}
    if "accuracy" in own:
        metrics["accuracy_worst"] = reduce(jnp.min, own["accuracy"])
    group = np.repeat(np.arange(len(groups)), groups)
    metrics["consensus"] = reduce(jnp.mean, distances_sq(state.params, jax.tree.map(lambda x: x[group], means)))
    return metrics, means


def distances_sq(params: Any, centres: Any) -> Float[Array, " slots"]:
    """||x_a - c_a||^2 for every slot a, all leaves together."""
    square = lambda x, c: jnp.sum((x - c) ** 2, axis=range(1, x.ndim))
    return sum(jax.tree.leaves(jax.tree.map(square, params, centres)))  # type: ignore[return-value]
