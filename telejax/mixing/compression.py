"""Compressed messages: what arrives of a vector, how many bits it takes, how much of it is lost.

A compressor acts on all leaves of one slot as one vector of d floats of b bits. Its ``delta`` bounds what is lost:
``E ||C(x) - x||^2 <= (1 - delta) ||x||^2``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Key

from telejax.backend.shapes import check_float_dtype, is_number
from telejax.errors import PROBABILITY, check_flag, check_integer, check_kind, short
from telejax.random.keys import check_key
from telejax.random.sampling import sample_distinct
from telejax.random.threefry import fold_in, split

MAX_LEVELS = 2**24  # float32 tells no more apart
HAND_OFF = np.uint32(2**31 + 2**23)  # folded into the key of a round, as no node is
STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass

Tree = Any


class Compressor(ABC):
    """``compressor(key, x)`` is what arrives of the pytree x of one slot; see the functions of this module."""

    unbiased: bool = False
    """Whether E C(x) = x, which methods with error feedback do not take."""

    def __call__(self, key: Key[Array, ""], x: Tree) -> Tree:
        """What arrives of x, a pytree of floats like x.

        Raises:
            ValueError: a key that is none, or leaves that are no arrays of floats.
        """
        check_key("key", key)
        _check_floats(x)
        vector, tree = ravel_pytree(x)
        return tree(self._arrived(key, vector).astype(vector.dtype))

    def bits(self, d: int, b: int = 32) -> int:
        """Bits of one message of d floats of b bits."""
        return self._bits(check_integer("d", d, minimum=1), check_integer("b", b, minimum=1))

    def delta(self, d: int) -> float:
        """The share of the squared norm that arrives at least, in expectation, of d floats."""
        return self._delta(check_integer("d", d, minimum=1))

    @abstractmethod
    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        """What arrives of a vector."""

    @abstractmethod
    def _bits(self, d: int, b: int) -> int: ...

    @abstractmethod
    def _delta(self, d: int) -> float: ...

    def message_bytes(self, x: Tree) -> int:
        """Bytes of one message, of a pytree of one slot or of its shapes.

        >>> top_k(0.1).message_bytes(jnp.zeros(100))  # 10 numbers of 32 bits, and where they are, of 7 bits
        49
        """
        _check_floats(x)
        leaves = jax.tree.leaves(x)
        d, b = sum(leaf.size for leaf in leaves), max(8 * leaf.dtype.itemsize for leaf in leaves)
        return -(-self.bits(d, b) // 8)

    def slot_bytes(self, tree: Tree) -> int:
        """Bytes of the message of one slot, of a pytree with leaves (slots, ...)."""
        return self.message_bytes(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tree))


@pytree
@dataclass(frozen=True)
class TopK(Compressor):
    """See :func:`top_k`."""

    share: float = field(metadata=STATIC)

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", _share(self.share))

    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        _, places = jax.lax.top_k(jnp.abs(x), _count(self.share, x.size))
        return jnp.zeros_like(x).at[places].set(x[places])

    def _bits(self, d: int, b: int) -> int:
        return _count(self.share, d) * (b + max(0, d - 1).bit_length())

    def _delta(self, d: int) -> float:
        return _count(self.share, d) / d


@pytree
@dataclass(frozen=True)
class RandomK(Compressor):
    """See :func:`random_k`."""

    share: float = field(metadata=STATIC)
    unbiased: bool = field(metadata=STATIC)

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", _share(self.share))
        object.__setattr__(self, "unbiased", check_flag("unbiased", self.unbiased))

    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        count = _count(self.share, x.size)
        places = sample_distinct(key, x.size, count)
        return jnp.zeros_like(x).at[places].set(x[places] * (x.size / count if self.unbiased else 1))

    def _bits(self, d: int, b: int) -> int:
        return _count(self.share, d) * b

    def _delta(self, d: int) -> float:
        kept = _count(self.share, d) / d
        return 2 - 1 / kept if self.unbiased else kept


@pytree
@dataclass(frozen=True)
class QSGD(Compressor):
    """See :func:`qsgd`."""

    levels: int = field(metadata=STATIC)
    unbiased: bool = field(metadata=STATIC)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", check_integer("levels", self.levels, minimum=1, maximum=MAX_LEVELS))
        object.__setattr__(self, "unbiased", check_flag("unbiased", self.unbiased))

    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        largest = _largest(x)  # whose squares neither overflow nor vanish
        norm = largest * jnp.linalg.norm(x / largest)
        scaled = self.levels * (jnp.abs(x) / jnp.where(norm > 0, norm, 1))
        level = jnp.floor(scaled + jax.random.uniform(key, x.shape, x.dtype))
        shrunk = 1 if self.unbiased else 1 + self.variance(x.size)
        return norm * (jnp.sign(x) * level / (self.levels * shrunk))

    def variance(self, d: int) -> float:
        """w in ``E ||Q(x) - x||^2 <= w ||x||^2`` before it is divided by 1 + w."""
        return min(d / self.levels**2, math.sqrt(d) / self.levels)

    def _bits(self, d: int, b: int) -> int:
        return d * (1 + self.levels.bit_length()) + b

    def _delta(self, d: int) -> float:
        return 1 - self.variance(d) if self.unbiased else 1 / (1 + self.variance(d))


@pytree
@dataclass(frozen=True)
class ScaledSign(Compressor):
    """See :func:`scaled_sign`."""

    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        largest = _largest(x)
        return largest * jnp.mean(jnp.abs(x) / largest) * jnp.where(x < 0, -1, 1)

    def _bits(self, d: int, b: int) -> int:
        return d + b

    def _delta(self, d: int) -> float:
        return 1 / d


@pytree
@dataclass(frozen=True)
class Cast(Compressor):
    """See :func:`cast`."""

    dtype: np.dtype = field(metadata=STATIC)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", check_float_dtype("dtype", self.dtype))

    def _arrived(self, key: Key[Array, ""], x: Float[Array, " d"]) -> Float[Array, " d"]:
        return x.astype(self.dtype)

    def _bits(self, d: int, b: int) -> int:
        return d * min(b, 8 * self.dtype.itemsize)

    def _delta(self, d: int) -> float:
        return 1 - float(jnp.finfo(self.dtype).eps / 2) ** 2


def top_k(share: float) -> TopK:
    """The largest ``share`` of the numbers, by absolute value; k (b + ceil(log2 d)) bits, delta = k / d.

    Args:
        share: above 0 and at most 1; k = ceil(share d).

    Raises:
        ValueError: a share outside its range.

    >>> top_k(0.5)(jax.random.key(0), jnp.array([3.0, -4.0, 1.0, 0.5])).tolist()
    [3.0, -4.0, 0.0, 0.0]
    """
    return TopK(share)


def random_k(share: float, unbiased: bool = False) -> RandomK:
    """A random ``share`` of the numbers, the rest 0; k b bits, as both ends know the seed; delta = k / d.

    Args:
        share: above 0 and at most 1; k = ceil(share d).
        unbiased: whether they are multiplied by d / k; delta is then 2 - d / k.

    Raises:
        ValueError: a share outside its range.

    >>> int((random_k(0.5)(jax.random.key(0), jnp.ones(10)) == 1).sum())
    5
    """
    return RandomK(share, unbiased)


def qsgd(levels: int = 16, unbiased: bool = False) -> QSGD:
    """Numbers rounded at random to ``levels`` multiples of the norm (Alistarh et al. 2017, arXiv 1610.02132).

    d (1 + ceil(log2(s + 1))) + b bits. With w = min(d / s^2, sqrt(d) / s) it is divided by 1 + w, delta = 1 / (1 + w).

    Args:
        levels: s, from 1 to 2^24.
        unbiased: whether it is not divided; delta is then 1 - w.

    Raises:
        ValueError: ``levels`` out of this range.

    >>> qsgd(4).bits(100)
    432
    """
    return QSGD(levels, unbiased)


def scaled_sign() -> ScaledSign:
    """The signs, times the mean absolute value; d + b bits, delta = 1 / d at least. The sign of 0 is +1.

    >>> scaled_sign()(jax.random.key(0), jnp.array([3.0, -1.0])).tolist()
    [2.0, -2.0]
    """
    return ScaledSign()


def cast(dtype: Any) -> Cast:
    """Numbers rounded to a narrower type of floats, such as ``jnp.bfloat16``; delta = 1 - (eps / 2)^2.

    That holds within the range of the type: float16 makes numbers above 65,504 infinite and loses digits below 6e-5.

    Raises:
        ValueError: a dtype that is none of floats.

    >>> cast(jnp.bfloat16).bits(100)
    1600
    """
    return Cast(dtype)


def fetched(key: Key[Array, ""], compressor: Compressor, params: Tree, moved: Bool[Array, " slots"]) -> Tree:
    """The slots after a hand-off in which those that moved were compressed.

    Args:
        key: the unsplit key of the round.
        compressor: of what is fetched.
        params: leaves (slots, ...).
        moved: which slots changed hands.

    >>> import jax, jax.numpy as jnp
    >>> slots, moved = jnp.arange(8.0).reshape(2, 4), jnp.array([True, False])
    >>> fetched(jax.random.key(0), top_k(0.25), slots, moved).tolist()
    [[0.0, 0.0, 0.0, 3.0], [4.0, 5.0, 6.0, 7.0]]
    """
    check_key("key", key)
    keys = split(fold_in(key, HAND_OFF), len(moved))
    arrived = jax.vmap(compressor)(keys, params)
    column = lambda x: moved.reshape((-1,) + (1,) * (x.ndim - 1))
    return jax.tree.map(lambda new, old: jnp.where(column(old), new, old), arrived, params)


def check_compressor(name: str, given: Any, unbiased: bool = True) -> Compressor:
    """Return a compressor, or raise a ValueError where it is none, or unbiased where that is not taken."""
    check_kind(name, given, Compressor, "give one of telejax.compression, such as telejax.compression.top_k(0.1)")
    if given.unbiased and not unbiased:
        raise ValueError(f"{name} is {given}, which scales what it sends; give it with unbiased=False")
    return given


def _share(share: Any) -> float:
    return PROBABILITY.check("share", share)


def _count(share: float, d: int) -> int:
    return max(1, math.ceil(round(share * d, 9)))


def _largest(x: Float[Array, " d"]) -> Float[Array, ""]:
    """The largest absolute value, or 1 where all are 0."""
    largest = jnp.max(jnp.abs(x))
    return jnp.where(largest > 0, largest, 1)


def _check_floats(x: Tree) -> None:
    leaves = jax.tree.leaves(x)
    floats = lambda leaf: is_number(leaf) and jnp.issubdtype(getattr(leaf, "dtype", bool), jnp.floating)
    if not all(map(floats, leaves)) or not sum(leaf.size for leaf in leaves):
        raise ValueError(f"x is {short(x)}; give a pytree of arrays of floats, the parameters of one slot")
