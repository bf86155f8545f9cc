"""What the compiler may not fuse: numbers that are read several times and should be computed once."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt

Given = TypeVar("Given")
Made = TypeVar("Made")


def of_stored(function: Callable[[Given], Made], given: Given, round: Int[Array, ""]) -> Made:
    """``function(given)``, where all that is given was computed and stored before.

    Else what made it would be computed again for each neighbour that reads a row, the draws of noise too. XLA drops
    ``optimization_barrier`` on a CPU before it fuses; the branch of a condition that always holds, as only the running
    program knows, stays apart. (A round of TELEPORTATION with noise, k = 64, d = 1000: 50 us for 112.)

    Args:
        function: of a pytree of arrays.
        given: the pytree.
        round: any int32 that the running program knows and its compiler does not.
    """
    if jax.default_backend() != "cpu" or not isinstance(round, jax.core.Tracer):
        return function(jax.lax.optimization_barrier(given))
    made = jax.eval_shape(function, given)
    never = lambda _: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), made)
    even = round * (round + 1) % 2 == 0  # as of two integers in a row one is, whatever they are
    return jax.lax.cond(even, function, never, given)


def stored(few: UInt[Array, "..."]) -> UInt[Array, "..."]:
    """A few numbers from which many are then computed on a CPU, such as a key's, stored before.

    Else what made them would be computed again for each of those. A loop stays apart from what reads its outcome, under
    ``vmap`` too; one of a single turn would be written out.

    >>> int(stored(jnp.uint32(7)))
    7
    """
    return jax.lax.fori_loop(0, 2, lambda turn, x: x ^ (turn >> 1).astype(x.dtype), few)
