"""Sums over the slots of each group, of several that are independent runs side by side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from telejax.state import Params


def per_group(count: Array, groups: tuple[int, ...]) -> Int[Array, " groups"]:
    """Events of each group, int32, from those of its slots."""
    if count.shape == (sum(groups),):
        return jnp.stack([jnp.sum(part, dtype=jnp.int32) for part in jnp.split(count, _ends(groups))])
    return jnp.broadcast_to(count, (len(groups),)).astype(jnp.int32)


def drift(models: Params, surplus: Float[Array, " slots"], groups: tuple[int, ...]) -> Float[Array, " groups"]:
    """How far messages that did not arrive move the mean of the models."""
    columns = jnp.split(surplus, _ends(groups))

    def drift_sq(leaf: Array) -> Float[Array, " groups"]:
        parts = zip(columns, jnp.split(leaf, _ends(groups)), strict=True)
        summed = partial(jnp.tensordot, axes=1, precision="highest")
        moved = [summed(column.astype(part.dtype), part) / len(column) for column, part in parts]
        return jnp.stack([jnp.sum(one**2) for one in moved])

    return jnp.sqrt(sum(map(drift_sq, jax.tree.leaves(models))))


def _ends(groups: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(np.cumsum(groups)[:-1].tolist())
