"""Normal numbers for gradient noise, several times cheaper than jax.random.normal and as reproducible.

The key of a round and a node comes from threefry as everywhere; the numbers under it come from a counter hashed
with that key. Four 16-bit uniforms are added, which is already bell-shaped, and an odd polynomial bends their sum
to the normal quantiles (D. Teichroew's method, D. Knuth, The Art of Computer Programming 2, 3.4.1): no logarithm,
sine or inverse error function is computed, which take most of the time otherwise.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

GOLDEN = np.uint32(0x9E3779B1)  # spreads successive counters over all bits
QUANTILE = [3.34628084, -0.205058752, 8.34169474, -40.4915869, 94.7619514, -102.513821, 42.6717435]
"""Coefficients of x, x^3, ..., x^13: from the centred sum, in [-1, 1], to the normal quantile (least squares)."""


def fast_normal(
    key: Key[Array, ""], shape: tuple[int, ...], dtype: np.dtype | type | None = None
) -> Float[Array, "..."]:
    """Numbers of mean 0 and variance 1 whose distribution function is the normal one to 2e-4.

    Moments up to the sixth agree to 0.1 %, the largest number is 5.9; for noise, not for tails.

    Args:
        key: typed PRNG key, used for nothing else.
        shape: of the result, fewer than 2^32 numbers.
        dtype: a float type; computed in float32.

    >>> import jax
    >>> x = fast_normal(jax.random.key(0), (100_000,))
    >>> abs(round(float(x.mean()), 2)), round(float(x.std()), 2)
    (0.0, 1.0)
    """
    return _normal(key, shape=shape, dtype=dtype)


@partial(jax.jit, static_argnames=("shape", "dtype"))  # traced once, however often a program differentiates through it
def _normal(key: Key[Array, ""], *, shape: tuple[int, ...], dtype: np.dtype | type | None) -> Float[Array, "..."]:
    data = jax.random.key_data(key)
    counter = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    first = scramble(data[0] + counter * GOLDEN)
    second = scramble(data[-1] ^ first)
    total = (first >> 16) + (first & 0xFFFF) + (second >> 16) + (second & 0xFFFF)
    x = (total.astype(jnp.int32) - 2 * 0xFFFF).astype(jnp.float32) * np.float32(2**-17)
    square, series = x * x, jnp.float32(0)
    for coefficient in reversed(QUANTILE):
        series = series * square + np.float32(coefficient)
    return (x * series).astype(dtype)


def scramble(value: Array) -> Array:
    """A mix of 32 bits in which every input bit reaches every output bit (the finaliser of MurmurHash3)."""
    value = (value ^ (value >> 16)) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * np.uint32(0xC2B2AE35)
    return value ^ (value >> 16)
