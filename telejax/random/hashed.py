"""Random bits of pairs of numbers under one key: a hash in place of a key for each, cheap to compute and to compile."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt

from telejax.random.normal import GOLDEN, scramble


def hashed_bits(key: Key[Array, ""], one: Int[Array, "..."], other: Int[Array, "..."]) -> UInt[Array, "..."]:
    """32 bits for each pair of numbers.

    Args:
        key: typed PRNG key.
        one: int32, in any shape;
        other: likewise, of a shape that broadcasts. The order of the two matters.

    >>> import jax, jax.numpy as jnp
    >>> hashed_bits(jax.random.key(0), jnp.arange(3), jnp.int32(0)).dtype
    dtype('uint32')
    """
    data = jax.random.key_data(key)
    first = scramble(data[0] + one.astype(jnp.uint32) * GOLDEN)
    bits: Array = scramble((data[-1] + other.astype(jnp.uint32) * GOLDEN) ^ first)
    return bits
