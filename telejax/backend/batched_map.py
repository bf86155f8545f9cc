"""The same function of many nodes, slots or samples: all at once, or one batch after another."""

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from telejax.backend.memory import batch_for, dividing_batch, largest_intermediate, node_batch


def batched_map(function: Callable[[Any], Any], xs: Any, mesh: Mesh | None = None) -> Any:
    """``jax.vmap(function)(xs)``, in batches whose largest intermediates fit in the cache together."""
    pieces = jax.tree.leaves(xs)[0].shape[0]
    return _in_batches(function, (xs,), dividing_batch(largest_intermediate(function, _one_of(xs)), pieces), mesh)


def map_nodes(
    function: Callable[..., Any], xs: tuple[Any, ...], batch: int | None = None, mesh: Mesh | None = None
) -> Any:
    """``jax.vmap(function)(*xs)``, one batch of nodes after another where all at once would be slower.

    Args:
        function: what a node computes.
        xs: its arguments, leaves with the node axis first.
        batch: nodes side by side on a device; by default all, except where the intermediates of one node fill a
            good part of a CPU's cache. A batch that does not divide the nodes leaves a shorter one at the end.
        mesh: the devices of a run that was given some, over which the compiler divides what it can; by default a loop
            is divided over all of this process.
    """
    nodes = jax.tree.leaves(xs)[0].shape[0]
    if batch is None:
        batch = node_batch(largest_intermediate(function, *_one_of(xs)), nodes)
    return _in_batches(function, xs, batch, mesh)


def _in_batches(function: Callable[..., Any], xs: tuple[Any, ...], batch: int, mesh: Mesh | None) -> Any:
    """Batch after batch; the compiler divides a vmap over devices but not a loop, so each loops over its share.

    Over all devices of this process; a loop of a run that was given some is left to the compiler.
    """
    pieces = jax.tree.leaves(xs)[0].shape[0]
    if batch >= pieces:
        return jax.vmap(function)(*xs)
    turns = partial(jax.lax.map, batch_size=None if batch == 1 else batch)
    loop = lambda *part: turns(lambda x: function(*x), part)
    if mesh is not None:  # what a function closes over lies on it, and may not enter another division of it
        return loop(*xs)
    mesh = Mesh(np.array(jax.local_devices()), ("pieces",))
    if mesh.size == 1 or pieces < mesh.size:
        return loop(*xs)
    share = jax.P(*mesh.axis_names)
    # unchecked: a scan that starts from a constant, as anybody's function may hold, does not pass jax's check
    divide = partial(jax.shard_map, mesh=mesh, out_specs=share, check_vma=False)
    if pieces % mesh.size == 0:
        return divide(loop, in_specs=share)(*xs)
    most = -(-pieces // mesh.size)

    def own(*xs: Any) -> Any:
        """The share of one device, by number, so that no copy is filled up; the last piece may be done twice."""
        numbers = jnp.minimum(jax.lax.axis_index(mesh.axis_names) * most + jnp.arange(most), pieces - 1)
        return turns(lambda number: function(*jax.tree.map(lambda x: x[number], xs)), numbers)

    return jax.tree.map(lambda x: x[:pieces], divide(own, in_specs=jax.P())(*xs))


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


def _one_of(xs: Any) -> Any:
    """The shapes of one piece of arrays with the piece axis first."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
