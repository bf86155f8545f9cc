"""Gossip: apply a round's mixing matrix to every leaf of a pytree of slots, or read the matrix itself."""

from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from telejax.backend.fusion import of_stored
from telejax.backend.scopes import scope
from telejax.backend.shapes import is_array, is_deleted, kind_of, leaves_of
from telejax.errors import check_integer, check_kind, is_kind, short
from telejax.mixing.forms import MAX_ENTRIES, Mixing

Tree = TypeVar("Tree")
GIVE = "give what topology.mixing() returns, as of telejax.topology.ring(8)"


def mix(mixing: Mixing, kept: Tree, round: int | Int[Array, ""] = 0, sent: Tree | None = None) -> Tree:
    """``x_new[a] = W[a, a] kept[a] + sum_{b != a} W[a, b] sent[b]`` over the slots, for every leaf.

    Args:
        mixing: from ``topology.mixing()``.
        kept: what each slot has itself: any pytree whose float leaves have the shape (slots, ...).
        round: int32 scalar, traced or not; the matrix of ``round % period`` is used.
        sent: what each slot sends to the others, a pytree like ``kept``; by default ``kept`` itself.

    Returns:
        A pytree like ``kept``, with the same shapes and dtypes.

    Raises:
        ValueError: a leaf whose leading axis is not the number of slots, a leaf of integers, or another
            structure, other shapes or dtypes of ``sent``.

    >>> import jax.numpy as jnp, telejax as tj
    >>> tj.mix(tj.topology.ring(4).mixing(), jnp.array([3.0, 0.0, 0.0, 0.0])).tolist()
    [1.0, 1.0, 0.0, 1.0]
    >>> silent = jnp.zeros(4)
    >>> tj.mix(tj.topology.ring(4).mixing(), jnp.array([3.0, 0.0, 0.0, 0.0]), sent=silent).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    _check_leaves("kept", mixing, kept)
    round = _checked_round(round)
    if sent is None:
        with scope("mixing"):
            return of_stored(partial(jax.tree.map, lambda x: mixing.apply(x, x, round)), kept, round)
    _check_leaves("sent", mixing, sent)
    dtype_of = lambda leaf: jax.dtypes.canonicalize_dtype(leaf.dtype)
    ours, theirs = jax.tree.structure(kept), jax.tree.structure(sent)
    if ours != theirs:  # type: ignore[operator]
        raise ValueError(f"sent has the structure {theirs} and kept {ours}; give both alike")
    for x, y in zip(jax.tree.leaves(kept), jax.tree.leaves(sent), strict=True):
        if x.shape != y.shape:
            raise ValueError(f"sent has a leaf of shape {y.shape} and kept of {x.shape}; give both alike")
        if dtype_of(x) != dtype_of(y):  # as on the device, on which all are of one width
            raise ValueError(f"sent has a leaf of {dtype_of(y)} and kept of {dtype_of(x)}; give both alike")
    with scope("mixing"):
        both = lambda both: jax.tree.map(lambda x, y: mixing.apply(x, y, round), *both)
        return of_stored(both, (kept, sent), round)


def neighbours(
    mixing: Mixing, round: int | Int[Array, ""] = 0
) -> tuple[Int[Array, "neighbours slots"], Float[Array, "neighbours slots"]]:
    """Whom each slot hears in a round, and with which weight: ``x_new[a] = sum_m weights[m, a] x[indices[m, a]]``.

    Args:
        mixing: from ``topology.mixing()``.
        round: int32 scalar, traced or not.

    Returns:
        ``indices``, int32, whose first row is every slot itself, and ``weights``, float. Slots with fewer neighbours
        than others have entries of weight 0 that name themselves.

    Raises:
        ValueError: more than 2^24 entries, as a complete graph over more than 4096 slots has.

    >>> import telejax as tj
    >>> indices, weights = tj.neighbours(tj.topology.ring(4).mixing())
    >>> indices[:, 0].tolist(), weights.shape
    ([0, 1, 3], (3, 4))
    """
    check_kind("mixing", mixing, Mixing, GIVE)
    entries = mixing.degree * mixing.slots
    if entries > MAX_ENTRIES:
        raise ValueError(
            f"mixing is {mixing.name!r} over {mixing.slots} slots, whose neighbour lists have {entries} entries; "
            f"at most {MAX_ENTRIES} are listed, take a graph of lower degree or fewer slots"
        )
    return mixing.neighbours(_checked_round(round))


def _checked_round(round: object) -> Array:
    """A round as an int32 scalar."""
    if is_kind(round, jax.Array | np.ndarray):  # traced, or without axes
        if not jnp.issubdtype(round.dtype, jnp.integer) or round.dtype.kind == "m" or round.ndim or is_deleted(round):
            raise ValueError(f"round is {short(round)}; give an integer, the number of the round")
    else:
        round = check_integer("round", round, minimum=-(2**31), maximum=2**31 - 1)
    return jnp.asarray(round, jnp.int32)


def _check_leaves(name: str, mixing: Mixing, tree: Tree) -> None:
    check_kind("mixing", mixing, Mixing, GIVE)
    if not (leaves := leaves_of(name, tree)):
        raise ValueError(f"{name} is {short(tree)}, without arrays; give a pytree with a row for each slot")
    for leaf in leaves:
        if not is_array(leaf):
            kind = f"{type(leaf).__name__}, {kind_of(leaf)}" if hasattr(type(leaf), "dtype") else kind_of(leaf)
            raise ValueError(f"{name} has a leaf {kind}; give arrays of shape (slots, ...)")
        if jnp.ndim(leaf) < 1 or leaf.shape[0] != mixing.slots:
            raise ValueError(
                f"{name} has a leaf of shape {jnp.shape(leaf)}; topology {mixing.name!r} mixes {mixing.slots} "
                "slots, so every leaf needs that leading axis"
            )
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise ValueError(f"{name} has a leaf of {leaf.dtype}; weights are fractions, give floats")
