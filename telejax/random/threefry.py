"""Keys and integers as of ``jax.random``, number for number, in fewer kernels on a CPU.

Rounds with few slots spend most of their time, and of the time that they take to compile, on keys. jax hashes them in a
loop of some ten kernels; here the turns of the loop are written out, which is one kernel, or part of that which reads
the numbers. Where that would hash keys anew for each of many numbers, on other devices, and for keys of another kind,
jax's own is called.

The hash is Threefry-2x32 with 20 rounds: J. Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key, UInt

from telejax.backend.fusion import stored
from telejax.backend.loops import asks_device

AnyKey = Key[Array, ""] | UInt[Array, "2"]
"""A typed key, or one of the older kind."""
Words = tuple[UInt[Array, "..."], UInt[Array, "..."]]
"""Two of 32 bits each."""

HASH = "threefry2x32"
ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
"""Of the four rounds of the even turns and of the odd ones."""
PARITY = np.uint32(0x1BD11BDA)
FEW = 1024
"""Numbers of one call up to which hashing their keys anew for each costs less than a kernel of its own."""


def fold_in(key: AnyKey, data: ArrayLike) -> Array:
    """As ``jax.random.fold_in``.

    >>> key = jax.random.key(0)
    >>> bool(fold_in(key, 3) == jax.random.fold_in(key, 3))
    True
    """
    if not _hashed_here(key):
        return jax.random.fold_in(key, data)
    return _as_keys(_hash(jax.random.key_data(key), jnp.asarray(data, jnp.uint32)), key)


def split(key: AnyKey, count: int = 2) -> Array:
    """As ``jax.random.split``.

    >>> key = jax.random.key(0)
    >>> bool((split(key, 3) == jax.random.split(key, 3)).all())
    True
    """
    if count > FEW or not _hashed_here(key):
        return jax.random.split(key, count)
    return _as_keys(_hash(jax.random.key_data(key), jnp.arange(count, dtype=jnp.uint32)), key)


def integers(key: AnyKey, shape: tuple[int, ...], below: int | Int[Array, "..."]) -> Int[Array, "..."]:
    """As ``jax.random.randint`` of int32 numbers from 0 to ``below`` - 1, which broadcasts with the shape.

    >>> key = jax.random.key(0)
    >>> integers(key, (3,), 10**9).tolist() == jax.random.randint(key, (3,), 0, 10**9).tolist()
    True
    """
    if math.prod(shape) > FEW or not _hashed_here(key):
        return jax.random.randint(key, shape, 0, below, dtype=jnp.int32)
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    span = jnp.asarray(below, jnp.uint32)
    draw = lambda one: jnp.bitwise_xor(*_hash(one, place)) % span
    halves = stored(jax.random.key_data(split(key)))
    if isinstance(below, int) and (2**16 % below) ** 2 % 2**32 % below == 0:
        return draw(halves[1]).astype(jnp.int32)  # the high half of 64 bits counts for nothing
    root = np.uint32(2**16) % span
    high, low = jax.vmap(draw)(halves)
    return ((high * (root * root % span) + low) % span).astype(jnp.int32)


def stored_key(key: AnyKey) -> Array:
    """The key, see :func:`telejax.backend.fusion.stored`."""
    if not _hashed_here(key):
        return key
    return jax.random.wrap_key_data(stored(jax.random.key_data(key)), impl=jax.random.key_impl(key))


def words_of_seeds(seeds: UInt[np.ndarray, "*seeds"], count: int) -> UInt[np.ndarray, "*seeds count words"]:
    """The data of as many keys as of ``jax.random.split(jax.random.key(seed), count)``; on the host, compiling nothing.

    >>> words = words_of_seeds(np.array([3, 7], np.uint32), 2)
    >>> bool((words[1] == jax.random.key_data(jax.random.split(jax.random.key(7)))).all())
    True
    """
    if getattr(jax.config, "jax_default_prng_impl", "") != HASH or not _as_by_default():
        keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), count))(seeds.ravel())
        return np.asarray(jax.random.key_data(keys)).reshape(*seeds.shape, count, -1)
    words = _turns(np.zeros((*seeds.shape, 1), np.uint32), seeds[..., None], np.arange(count, dtype=np.uint32))
    return np.stack(words, axis=-1)


def _hashed_here(key: AnyKey) -> bool:
    """Whether a key is a typed one of this hash, on a CPU, with the numbers that jax draws by default."""
    typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) and jax.random.key_impl(key) == HASH
    return typed and asks_device() and _as_by_default()


def _as_by_default() -> bool:
    return bool(getattr(jax.config, "jax_threefry_partitionable", True))


def _as_keys(words: Words, like: Key[Array, ""]) -> Key[Array, "..."]:
    return jax.random.wrap_key_data(jnp.stack(words, axis=-1), impl=jax.random.key_impl(like))


@jax.jit  # traced once
def _hash(key: UInt[Array, "2"], low: UInt[Array, "..."]) -> Words:
    """The hash of counters of 64 bits, of which ``low`` are the lower ones and the others 0."""
    return _turns(key[0], key[1], low)


def _turns(one: Any, other: Any, low: Any) -> tuple[Any, Any]:
    """The hash, of the words of keys, for arrays of jax and of NumPy alike."""
    keys = one, other, one ^ other ^ PARITY
    x, y = one, low + other
    for number in range(5):
        for turned in ROTATIONS[number % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(turned)) | (y >> np.uint32(32 - turned)))
        x, y = x + keys[(number + 1) % 3], y + keys[(number + 2) % 3] + np.uint32(number + 1)
    return x, y
