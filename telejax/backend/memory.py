"""How much runs side by side, and how much fits: the backend's choice, made here and nowhere else.

On a CPU, work whose pieces together overflow the cache is faster one small batch after another (measured: 15
runs of 100 small networks take 0.59 of the time of one wide vmap, evaluating 100 networks 0.32). An
accelerator wants as much at once as fits.
"""

from collections.abc import Callable
from typing import Any

import jax

from telejax.backend.host import host_bytes

BYTES_AT_ONCE = {"cpu": 4 * 2**20}
BYTES_AT_ONCE_ACCELERATOR = 2 * 2**30
COPIES = 8  # of the state: gradients, draws and mixing on the way, and room for others

LARGE_PIECE = 2**18  # bytes: from here one node's arrays are worth a turn of a loop on a CPU
NODE_ARRAYS = 4  # a gradient keeps about so many arrays of the largest size alive at once


def batch_for(piece_bytes: int, pieces: int) -> int:
    """How many pieces of ``piece_bytes`` each to run side by side, 1 to ``pieces``."""
    room = BYTES_AT_ONCE.get(jax.default_backend(), BYTES_AT_ONCE_ACCELERATOR)
    return max(1, min(pieces, room // max(1, piece_bytes)))


def dividing_batch(piece_bytes: int, pieces: int) -> int:
    """As :func:`batch_for`, but a divisor of ``pieces``, so that no remainder is compiled apart."""
    return _divisor_below(batch_for(piece_bytes, pieces), pieces)


def _divisor_below(most: int, pieces: int) -> int:
    """The largest divisor of ``pieces`` that is at most ``most``, at least 1."""
    return max(divisor for divisor in range(1, max(1, most) + 1) if pieces % divisor == 0)


def node_batch(piece_bytes: int, nodes: int) -> int:
    """How many nodes compute side by side where one needs ``piece_bytes`` at a time.

    Small pieces all run at once: a loop over them would cost more than the cache saves. On an accelerator all do that
    fit in half of its memory.
    """
    alive = NODE_ARRAYS * piece_bytes
    if jax.default_backend() == "cpu":
        return dividing_batch(alive, nodes) if piece_bytes >= LARGE_PIECE else nodes
    total = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    return nodes if total is None or alive * nodes <= total // 2 else _divisor_below(total // 2 // alive, nodes)


def largest_intermediate(function: Callable[..., Any], *arguments: Any) -> int:
    """Bytes of the largest array that ``function`` computes on the way, loops included, from its traced program.

    >>> import jax.numpy as jnp
    >>> largest_intermediate(lambda x: jnp.sum(jnp.outer(x, x)), jax.ShapeDtypeStruct((10,), "float32"))
    400
    """
    return _largest(jax.make_jaxpr(function)(*arguments).jaxpr)


def _largest(program: Any) -> int:
    sizes = [v.aval.size * v.aval.dtype.itemsize for e in program.eqns for v in e.outvars if hasattr(v.aval, "size")]
    held = [leaf for e in program.eqns for leaf in jax.tree.leaves(list(e.params.values()))]
    inner = [getattr(one, "jaxpr", one) for one in held]  # as jax.extend.core.subjaxprs, which would import Pallas
    return max([0, *sizes, *(_largest(one) for one in inner if hasattr(one, "eqns"))])


def compared_pairwise() -> int:
    """Numbers up to which comparing all pairs beats a sort: an accelerator sorts in many small kernels."""
    return 128 if jax.default_backend() == "cpu" else 2048


def free_bytes(device: jax.Device | None = None) -> int | None:
    """Memory that is free now, of a device (by default the first) or, of a CPU, of this machine; None where unknown."""
    device = jax.devices()[0] if device is None else device
    if device.platform == "cpu":
        return host_bytes()
    stats = device.memory_stats() or {}
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None


def fitting_memory(run_bytes: int) -> int:
    """How many runs with a state of ``run_bytes`` one program may hold in the memory that is free now, at least 1."""
    free = free_bytes() or host_bytes() or 0
    return max(1, free // (COPIES * max(1, run_bytes)))


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays of a pytree, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
