"""Loops whose end is computed on the device: a CPU looks at each turn, an accelerator should never have to.

There the host waits for the answer before it launches the next turn, which costs more than some dozens of turns.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

Value = TypeVar("Value")


def asks_device() -> bool:
    """Whether a program may ask its device how to go on at no cost."""
    return jax.default_backend() == "cpu"


def repeat_while(
    condition: Callable[[Value], jax.Array], body: Callable[[Value], Value], value: Value, at_most: int
) -> Value:
    """``body`` applied to ``value`` as long as ``condition`` holds of it, which it never does for long.

    Args:
        condition: of a value, bool scalar.
        body: from a value to the next one, alike in shapes and dtypes.
        value: a pytree of arrays.
        at_most: turns after which ``condition`` is known to fail, or as good as known; on an accelerator so many are
            written out, without effect once it fails. Where it is 0, nothing is traced.

    >>> int(repeat_while(lambda x: x < 100, lambda x: 2 * x, jnp.int32(3), at_most=8))
    192
    """
    if asks_device() and at_most:
        return jax.lax.while_loop(condition, body, value)
    for _ in range(at_most):
        on = condition(value)
        value = jax.tree.map(lambda new, old, on=on: jnp.where(on, new, old), body(value), value)
    return value
