"""Comparisons of pytrees that say what differs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def stack(trees: list[Any]) -> Any:
    """Pytrees of one structure as one, with a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def same(what: str, left: Any, right: Any) -> None:
    """Assert that two pytrees are equal, bit for bit."""
    for a, b in pairs(what, left, right):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), f"{what} differ: {a} and {b}"


def close(what: str, left: Any, right: Any) -> None:
    """Assert that two pytrees are equal up to the rounding of float32 sums in another order."""
    for a, b in pairs(what, left, right):
        equal = a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
        assert equal, f"{what} differ: {a} and {b}"


def pairs(what: str, left: Any, right: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The leaves of two pytrees, which must have one structure."""
    ours, theirs = jax.tree.structure(left), jax.tree.structure(right)
    assert ours == theirs, f"{what} differ in structure: {ours} and {theirs}"  # type: ignore[operator]
    return [(np.asarray(a), np.asarray(b)) for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)]


def alike(what: str, left: Any, right: Any) -> None:
    """Assert that two pytrees have the same structure, shapes and dtypes."""
    for a, b in pairs(what, left, right):
        ours, theirs = f"{a.dtype}{list(a.shape)}", f"{b.dtype}{list(b.shape)}"
        assert ours == theirs, f"{what} have other shapes or dtypes: {ours} and {theirs}; keep them constant"
