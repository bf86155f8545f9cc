"""What values look like, in words: for errors that say what was given and what is needed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.errors import is_kind, plain, short

UNKNOWN = ("g", "G", "m")
"""What NumPy calls numbers that jax does not know: floats beyond 64 bits, and spans of time."""


def traced_shapes(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, by shape as of ``jax.eval_shape``; what is no array stays what it is.

    >>> traced_shapes(lambda x: (2 * x, "of any kind"), jnp.zeros(3))
    (ShapeDtypeStruct(shape=(3,), dtype=float32), 'of any kind')
    """
    kept = []
    shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array(leaf) else leaf

    def run(*arguments: Any) -> None:
        kept.append(jax.tree.map(shape, function(*arguments)))  # here, so that no tracer outlives the trace

    jax.eval_shape(run, *arguments)
    return kept[0]


def difference(before: Any, after: Any, name: str) -> str:
    """How the arrays of a tree differ from those before, in words; empty where they do not."""
    if jax.tree.structure(before) != jax.tree.structure(after):  # type: ignore[operator]
        return f"{name or 'it'} was {outline(before)} and is {outline(after)}"
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if kind_of(old) != kind_of(new):
            return f"{name}{jax.tree_util.keystr(path)} was {kind_of(old)} and is {kind_of(new)}"
    return ""


def outline(tree: Any) -> str:
    """A tree with the kinds of its arrays in their place."""
    if not jax.tree.leaves(tree):
        return f"an empty {type(tree).__name__}"
    return short(jax.tree.map(lambda x: _Kind(kind_of(x)), tree), 160)


class _Kind(str):
    """A text that is printed without quotes."""

    __repr__ = str.__str__


def kind_of(leaf: Any) -> str:
    """Dtype and shape of an array or a number, the class of anything else."""
    if is_kind(leaf, np.ma.MaskedArray):
        return "a masked array"
    try:
        if not hasattr(leaf, "dtype") and not is_kind(leaf, bool | int | float | complex):
            return type(leaf).__name__
        dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(leaf)) if not is_key(leaf) else leaf.dtype
        return f"{dtype}[{','.join(map(str, jnp.shape(leaf)))}]"
    except Exception:  # of what jax does not know
        return f"{type(leaf).__name__} of {leaf.dtype!r}" if is_kind(leaf, np.ndarray) else type(leaf).__name__


def is_key(leaf: object) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_deleted(leaf: object) -> bool:
    """Whether this is an array of jax whose numbers are gone, as after a program that was given its memory."""
    return is_kind(leaf, jax.Array) and not is_kind(leaf, jax.core.Tracer) and leaf.is_deleted()


def leaves_of(name: str, tree: Any) -> list[Any]:
    """The leaves of a pytree, or a ValueError where jax cannot look into it or an array in it is deleted."""
    try:
        if _holds_itself(tree):  # in which jax would look until the process dies
            raise RecursionError
        leaves = jax.tree.leaves(tree)
    except Exception as error:  # a RecursionError, or the SystemError that jax makes of it
        told = f"{name} is {short(tree)}, into which jax cannot look"
        raise ValueError(f"{told}; give a pytree that is not as deep, with names of one kind") from error
    if gone := [leaf for leaf in leaves if is_deleted(leaf)]:
        raise ValueError(f"{name} has an array that is deleted, {kind_of(gone[0])}; give one that is there")
    return leaves


def _holds_itself(tree: Any, above: frozenset[int] = frozenset()) -> bool:
    """Whether a tree is a part of itself, as far as Python's own containers go."""
    if not issubclass(type(tree), dict | list | tuple):
        return False
    parts, inner = tree.values() if issubclass(type(tree), dict) else tree, above | {id(tree)}
    return id(tree) in above or any(_holds_itself(one, inner) for one in parts)


def is_array(value: object) -> bool:
    """Whether this is an array that jax takes, its own or NumPy's, or a scalar of NumPy; none with a mask."""
    if not is_kind(value, jax.Array | np.ndarray | np.generic) or is_kind(value, np.ma.MaskedArray):
        return hasattr(type(value), "__jax_array__")
    known = any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.number, jnp.bool_))
    return is_key(value) or (known and value.dtype.char not in UNKNOWN)


def check_float_dtype(name: str, given: Any) -> np.dtype:
    """Return a type of floats with a sign, as jax takes it, or raise a ValueError.

    >>> check_float_dtype("dtype", "int8")
    Traceback (most recent call last):
    ...
    ValueError: dtype is 'int8'; give a type of floats with a sign, such as jax.numpy.bfloat16
    """
    try:
        made = jnp.zeros((), given).dtype if is_kind(given, str | type | np.dtype) else None
    except Exception:  # of what is no type, or none that jax knows
        made = None
    if made is None or not jnp.issubdtype(made, jnp.floating) or float(jnp.finfo(made).min) >= 0:
        raise ValueError(f"{name} is {short(given)}; give a type of floats with a sign, such as jax.numpy.bfloat16")
    return made


def is_number(value: object) -> bool:
    """Whether a value is made of real numbers, of which floats have at least 16 bits: jax adds no narrower ones."""
    if is_array(value) or is_kind(value, jax.ShapeDtypeStruct):
        dtype = value.dtype  # type: ignore[attr-defined]
        is_wide = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize > 1
        return is_wide or jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.bool_)
    return is_kind(value, float) or (is_kind(value, int) and abs(plain(value)) < 2**31)
