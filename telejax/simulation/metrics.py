"""What an evaluation measures on a state: the mean model, the slots' own models, and how far they are apart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from telejax.algorithms.base import Algorithm
from telejax.backend.batched_map import batched_map
from telejax.backend.packing import Packed, pack
from telejax.network import Network
from telejax.results.directions import all_directions
from telejax.state import Metric, Params, State
from telejax.tasks.base import OptionalMembers, Task

MEAN_MODEL_ONLY = frozenset({"grad_norm_sq"})  # of no use at a slot's own parameters


class Metrics(NamedTuple):
    """Of every group, floats, float32 at least; arrays with the groups first, or behind the batch axes."""

    of_means: Packed
    """Each entry of ``task.evaluate`` for the mean model."""
    of_slots: Packed
    """The mean over slots of those of their own models."""
    others: dict[str, Any]
    """``accuracy_worst`` of all slots, ``consensus``, those of the network and the user's; several arrays stand for
    their sum, which takes more digits than any of them has."""

    @property
    def columns(self) -> dict[str, Any]:
        """All by name: those of slots end in ``_slots``."""
        of_slots = {f"{name}_slots": value for name, value in self.of_slots.unpack().items()}
        return dict(sorted({**self.of_means.unpack(), **of_slots, **self.others}.items()))


def directions(task: Task, metrics: Sequence[Metric]) -> dict[str, bool]:
    """Column of the history to whether higher is better, for all columns whose direction is known.

    >>> import telejax as tj
    >>> directions(tj.tasks.quadratic(nodes=5), [])["loss_slots"]
    False
    """
    own = {metric.name: metric.higher_is_better for metric in metrics if metric.higher_is_better is not None}
    return {**all_directions(OptionalMembers.of(task).higher_is_better), **own}


def evaluate(
    state: State,
    algorithm: Algorithm,
    task: Task,
    network: Network,
    metrics: Sequence[Metric] = (),
    mesh: Mesh | None = None,
) -> tuple[Metrics, Params, Int[Array, " groups"] | None]:
    """Measure every group of slots.

    Args:
        state: leaves with the slot axis first.
        algorithm: says what is judged, and which slots.
        task: judges one copy of the parameters.
        network: knows which holders are honest, and has metrics of its own.
        metrics: of the user.
        mesh: over which loops are divided.

    Returns:
        The metrics; the mean models, leaves (groups, ...); and how many slots of each group are judged, None for all.
    """
    groups = algorithm.groups(task.nodes)
    models = algorithm.models(state)
    judged = both(algorithm.judged(state, task), network.honest(state.holders))
    mean = group_means(groups, judged)
    centres = jax.tree.map(lambda x: mean(wide(x)), models)
    means = jax.tree.map(lambda x, like: x.astype(like.dtype), centres, models)
    judge = lambda model: {name: measure(value) for name, value in task.evaluate(model).items()}
    without = lambda found: {name: value for name, value in found.items() if name not in MEAN_MODEL_ONLY}
    of_slots: Packed = batched_map(lambda model: pack(without(judge(model))), models, mesh)
    of_means: Packed = batched_map(lambda model: pack(judge(model)), means, mesh)
    others: dict[str, Any] = {}
    if "accuracy" in (own := of_slots.unpack()):
        accuracy = own["accuracy"] if judged is None else jnp.where(judged, own["accuracy"], jnp.inf)
        others["accuracy_worst"] = jnp.stack([jnp.min(part) for part in split(accuracy, groups)])
    group = np.repeat(np.arange(len(groups)), groups)
    others["consensus"] = mean(distances_sq(models, jax.tree.map(lambda x: x[group], centres)))
    others |= network.metrics(jax.tree.map(wide, models), state, groups)
    for metric in metrics:
        value = measure(metric.fn(models, judged, state, task, groups))
        others[metric.name] = jnp.broadcast_to(value, (len(groups),))
    count = None if judged is None else jnp.stack([jnp.sum(part, dtype=jnp.int32) for part in split(judged, groups)])
    return Metrics(of_means, jax.tree.map(mean, of_slots), others), means, count


def wide(x: ArrayLike) -> Array:
    """The same numbers in float32 where they are narrower floats, in which sums over slots lose their digits."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32)) if jnp.issubdtype(x.dtype, jnp.floating) else x


def measure(x: ArrayLike) -> Array:
    """What was measured, as floats: of flags the share of slots, groups and seeds that are true is a mean too."""
    return wide(x) if jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating) else jnp.asarray(x, jnp.result_type(float))


def both(one: Bool[Array, " slots"] | None, other: Bool[Array, " slots"] | None) -> Bool[Array, " slots"] | None:
    """Slots that both admit; None admits all."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def group_means(groups: tuple[int, ...], judged: Bool[Array, " slots"] | None) -> Callable[[Array], Array]:
    """The mean over the judged slots of each group, of arrays (slots, ...); the others spoil nothing."""
    if judged is None:
        return lambda x: jnp.stack([jnp.mean(part, axis=0) for part in split(x, groups)])

    def one(x: Array, counts: Array) -> Array:
        among = counts.reshape((-1,) + (1,) * (x.ndim - 1))
        return jnp.sum(jnp.where(among, x, 0), axis=0) / jnp.sum(counts).astype(x.dtype)

    return lambda x: jnp.stack(
        [one(part, counts) for part, counts in zip(split(x, groups), split(judged, groups), strict=True)]
    )


def split(x: Array, groups: tuple[int, ...]) -> list[Array]:
    """The part of each group."""
    return jnp.split(x, np.cumsum(groups)[:-1])


def distances_sq(params: Params, centres: Params) -> Float[Array, " slots"]:
    """||x_a - c_a||^2 for every slot a, all leaves together."""
    square = lambda x, c: jnp.sum((wide(x) - c) ** 2, axis=range(1, x.ndim))
    return sum(jax.tree.leaves(jax.tree.map(square, params, centres)))  # type: ignore[return-value]
