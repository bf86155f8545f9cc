"""How many independent pieces of work run side by side: the backend's choice, made here and nowhere else.

On a CPU, work whose pieces together overflow the cache is faster one small batch after another (measured: 15
runs of 100 small networks take 0.59 of the time of one wide vmap, evaluating 100 networks 0.32). An
accelerator wants as much at once as fits.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.extend.core import subjaxprs
from jax.sharding import Mesh

BYTES_AT_ONCE = {"cpu": 4 * 2**20}
BYTES_AT_ONCE_ACCELERATOR = 2 * 2**30
COPIES = 8  # of the state: gradients, draws and mixing on the way, and room for others

LARGE_PIECE = 2**18  # bytes: from here one node's arrays are worth a turn of a loop on a CPU
CPU_NODE_ARRAYS = 4  # a gradient keeps about so many arrays of the largest size alive at once


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
    return _in_batches(function, (xs,), dividing_batch(largest_intermediate(function, _one_of(xs)), pieces))


def map_nodes(function: Callable[..., Any], xs: tuple[Any, ...], batch: int | None = None) -> Any:
    """``jax.vmap(function)(*xs)``, one batch of nodes after another where all at once would be slower.

    Args:
        function: what a node computes.
        xs: its arguments, leaves with the node axis first.
        batch: nodes side by side on a device; by default all, except where the intermediates of one node fill a
            good part of a CPU's cache. A batch that does not divide the nodes leaves a shorter one at the end.
    """
    nodes = jax.tree.leaves(xs)[0].shape[0]
    if batch is None:
        batch = node_batch(largest_intermediate(function, *_one_of(xs)), nodes)
    return _in_batches(function, xs, batch)


_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)


@contextmanager
def over(mesh: Mesh | None) -> Iterator[None]:
    """While tracing: divide loops over the devices of this mesh; None for all of this process."""
    token = _mesh.set(mesh)
    try:
        yield
    finally:
        _mesh.reset(token)


def _in_batches(function: Callable[..., Any], xs: tuple[Any, ...], batch: int) -> Any:
    """Batch after batch; the compiler divides a vmap over devices but not a loop, so each loops over its share."""
    pieces = jax.tree.leaves(xs)[0].shape[0]
    if batch >= pieces:
        return jax.vmap(function)(*xs)
    one = lambda x: function(*x)
    loop = lambda *part: jax.lax.map(one, part) if batch == 1 else jax.lax.map(one, part, batch_size=batch)
    mesh = _mesh.get() or Mesh(np.array(jax.local_devices()), ("pieces",))
    if mesh.size == 1 or pieces < mesh.size:
        return loop(*xs)
    share = jax.P(*mesh.axis_names)
    missing = -pieces % mesh.size
    filled = jax.tree.map(lambda x: jnp.concatenate([x, x[:missing]]), xs) if missing else xs
    # unchecked: a scan that starts from a constant, as anybody's function may hold, does not pass jax's check
    out = jax.shard_map(loop, mesh=mesh, in_specs=share, out_specs=share, check_vma=False)(*filled)
    return jax.tree.map(lambda x: x[:pieces], out) if missing else out


def node_batch(piece_bytes: int, nodes: int) -> int:
    """How many nodes compute side by side where one needs ``piece_bytes`` at a time.

    Small pieces all run at once: a loop over them would cost more than the cache saves.
    """
    if jax.default_backend() == "cpu" and piece_bytes >= LARGE_PIECE:
        return dividing_batch(CPU_NODE_ARRAYS * piece_bytes, nodes)
    return nodes


def measured_batch(function: Callable[..., Any], xs: tuple[Any, ...], repeats: int = 3) -> int:
    """The batch of nodes with which ``map_nodes`` is fastest here, of 1, 2, 4, ... and all: timed, not reasoned.

    Each candidate is compiled and run ``1 + repeats`` times; the search stops at the second candidate that is no
    faster than the best. Another outcome changes results within rounding, so a run that must be repeated to the
    last bit should fix the batch.
    """
    nodes = jax.tree.leaves(xs)[0].shape[0]
    candidates = [*itertools.takewhile(lambda size: size < nodes, (2**i for i in range(32))), nodes]
    best, best_time, slower = nodes, float("inf"), 0
    for batch in candidates:
        run = jax.jit(lambda xs, batch=batch: map_nodes(function, xs, batch))
        jax.block_until_ready(run(xs))
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            jax.block_until_ready(run(xs))
            times.append(time.perf_counter() - start)
        if min(times) < best_time:
            best, best_time, slower = batch, min(times), 0
        else:
            slower += 1
        if slower == 2:
            break
    return best


def convolution_form() -> Literal["windows", "plain"]:
    """How convolutions with per-node weights are computed: as products with gathered windows on a CPU."""
    return "windows" if jax.default_backend() == "cpu" else "plain"


def sum_over_batches(function: Callable[[Any], Any], xs: Any) -> Any:
    """``function(xs)`` for a function that sums over the leading axis of ``xs``, in batches that fit in the cache.

    A last shorter batch is filled up with zeros, so the function must give zero for a zero row.
    """
    rows = jax.tree.leaves(xs)[0].shape[0]
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), xs)
    batch = batch_for(largest_intermediate(function, one), rows)
    if batch == rows:
        return function(xs)
    turns = -(-rows // batch)
    batch = -(-rows // turns)
    fill = lambda x: jnp.concatenate([x, jnp.zeros((turns * batch - rows, *x.shape[1:]), x.dtype)])
    split = jax.tree.map(lambda x: fill(x).reshape(turns, batch, *x.shape[1:]), xs)
    add = lambda total, part: (jax.tree.map(jnp.add, total, function(part)), None)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, xs))
    return jax.lax.scan(add, zero, split)[0]


def largest_intermediate(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of the largest array that ``function`` computes on the way, loops included, from its traced program.

    >>> import jax.numpy as jnp
    >>> largest_intermediate(lambda x: jnp.sum(jnp.outer(x, x)), jax.ShapeDtypeStruct((10,), "float32"))
    400
    """
    return _largest(jax.make_jaxpr(function)(*arguments).jaxpr)


def _largest(program: Any) -> int:
    sizes = [v.aval.size * v.aval.dtype.itemsize for e in program.eqns for v in e.outvars if hasattr(v.aval, "size")]
    return max([0, *sizes, *map(_largest, subjaxprs(program))])


def _one_of(xs: Any) -> Any:
    """The shapes of one piece of arrays with the piece axis first."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)


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
