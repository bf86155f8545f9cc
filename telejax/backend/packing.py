"""Many small arrays as one for each dtype: what a program returns apart it also computes, stores and compiles apart."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import PyTreeDef
from jaxtyping import Array, PyTree


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Packed:
    """A pytree of arrays, one behind the other; see :func:`pack`."""

    vectors: dict[str, Array]
    """Of each dtype all numbers, shape (..., numbers): batch axes may have come in front."""
    structure: PyTreeDef = field(metadata={"static": True})
    leaves: tuple[tuple[str, tuple[int, ...]], ...] = field(metadata={"static": True})
    """Dtype and shape of each, without batch axes."""

    def unpack(self) -> PyTree:
        """The pytree, of arrays (..., shape)."""
        first = dict.fromkeys(self.vectors, 0)
        found = []
        for dtype, shape in self.leaves:
            last = first[dtype] + math.prod(shape)
            numbers = self.vectors[dtype][..., first[dtype] : last]
            found.append(numbers.reshape(*numbers.shape[:-1], *shape))
            first[dtype] = last
        return jax.tree.unflatten(self.structure, found)


def pack(tree: Any) -> Packed:
    """The arrays of a pytree as one vector for each dtype.

    >>> packed = pack({"loss": jnp.float32(2), "lost": jnp.arange(2), "rows": jnp.ones((1, 3), jnp.float32)})
    >>> packed.vectors["float32"].tolist(), packed.unpack()["rows"].shape
    ([2.0, 1.0, 1.0, 1.0], (1, 3))
    """
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, tree))
    of_dtype: dict[str, list[Array]] = {}
    for leaf in leaves:
        of_dtype.setdefault(str(leaf.dtype), []).append(leaf.ravel())
    vectors = {dtype: jnp.concatenate(parts) for dtype, parts in of_dtype.items()}
    return Packed(vectors, structure, tuple((str(leaf.dtype), leaf.shape) for leaf in leaves))
