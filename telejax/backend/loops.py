"""Loops whose end is computed on the device: a CPU looks at each turn, an accelerator should never have to.

There the host waits for the answer before it launches the next turn, which costs more than some dozens of turns.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Value = TypeVar("Value")

MANY_BYTES = 2**20
"""What a loop carries from which its turns are shared out over the threads of a CPU. (Two cores, jax 0.12, halving the
sum of an array and its mirror image: 10^5 floats take 17 us on one thread and 33 on two, 10^6 690 us and 390.)"""


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


def on_all_threads(turn: Int[Array, ""], carried_bytes: int) -> Int[Array, ""] | int:
    """0, to be added in every turn of a loop which carries so many bytes, so that all threads of a CPU run it.

    XLA writes a loop that it takes for small as one function, which a single thread runs: since jax 0.12 every loop
    whose turns read and write up to some 100 MB, in up to twice the time. What calls a library is never part of such
    a function, and the largest of two numbers is found by one. Where little is carried one thread is as fast or faster,
    and nothing is traced.

    >>> int(on_all_threads(jnp.int32(7), 10**9)), on_all_threads(jnp.int32(7), 10**3)
    (0, 0)
    """
    if not asks_device() or carried_bytes < MANY_BYTES:
        return 0
    even = (turn & 1).astype(jnp.float32)
    largest = jax.lax.top_k(jnp.stack([even, even - 1]), 1)[0][0]
    return (largest - even).astype(jnp.int32)
