"""How many independent pieces of work run side by side: the backend's choice, made here and nowhere else.

On a CPU, work whose pieces together overflow the cache is faster one small batch after another (measured: 15
runs of 100 small networks take 0.59 of the time of one wide vmap, evaluating 100 networks 0.32). An
accelerator wants as much at once as fits.
"""

from collections.abc import Callable
from typing import Any

import jax
import psutil

BYTES_AT_ONCE = {"cpu": 4 * 2**20}
BYTES_AT_ONCE_ACCELERATOR = 2 * 2**30
COPIES = 8  # of the state: gradients, draws and mixing on the way, and room for others


def batch_for(piece_bytes: int, pieces: int) -> int:
    """How many pieces of ``piece_bytes`` each to run side by side, 1 to ``pieces``."""
    room = BYTES_AT_ONCE.get(jax.default_backend(), BYTES_AT_ONCE_ACCELERATOR)
    return max(1, min(pieces, room // max(1, piece_bytes)))


def dividing_batch(piece_bytes: int, pieces: int) -> int:
    """As :func:`batch_for`, but a divisor of ``pieces``, so that no remainder is compiled apart."""
    most = batch_for(piece_bytes, pieces)
    return max(divisor for divisor in range(1, most + 1) if pieces % divisor == 0)


def map_pieces(function: Callable[[Any], Any], xs: Any) -> Any:
    """``jax.vmap(function)(xs)``, in batches whose largest intermediates fit in the cache together."""
    pieces = jax.tree.leaves(xs)[0].shape[0]
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    batch = dividing_batch(largest_intermediate(function, one), pieces)
    return jax.vmap(function)(xs) if batch == pieces else jax.lax.map(function, xs, batch_size=batch)


def largest_intermediate(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of the largest array that ``function`` computes on the way, from its traced program.

    >>> import jax.numpy as jnp
    >>> largest_intermediate(lambda x: jnp.sum(jnp.outer(x, x)), jax.ShapeDtypeStruct((10,), "float32"))
    400
    """
    equations = jax.make_jaxpr(function)(*arguments).jaxpr.eqns
    sizes = [v.aval.size * v.aval.dtype.itemsize for e in equations for v in e.outvars if hasattr(v.aval, "size")]
    return max(sizes, default=0)


def map_lanes(function: Callable[[Any, Any], tuple[Any, Any]], batch: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Map ``function(lane, shared) -> (lane_out, shared_out)`` over lanes, ``batch`` of them side by side.

    What the function computes from ``shared`` alone is computed once for each batch; ``shared_out`` may
    depend on nothing else.
    """
    together = jax.vmap(function, in_axes=(0, None), out_axes=(0, None))

    def mapped(lanes: Any, shared: Any) -> tuple[Any, Any]:
        count = jax.tree.leaves(lanes)[0].shape[0]
        if batch >= count:
            return together(lanes, shared)
        if batch == 1:
            out, shared_out = jax.lax.map(lambda lane: function(lane, shared), lanes)
            return out, jax.tree.map(lambda x: x[0], shared_out)
        split = jax.tree.map(lambda x: x.reshape(count // batch, batch, *x.shape[1:]), lanes)
        out, shared_out = jax.lax.map(lambda part: together(part, shared), split)
        merged = jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), out)
        return merged, jax.tree.map(lambda x: x[0], shared_out)

    return mapped


def fitting_memory(run_bytes: int) -> int:
    """How many runs with a state of ``run_bytes`` one program may hold in the memory that is free now, at least 1."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    free = stats["bytes_limit"] - stats["bytes_in_use"] if stats else psutil.virtual_memory().available
    return max(1, free // (COPIES * max(1, run_bytes)))
