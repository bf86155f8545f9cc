"""Gossip on 4096 slots of 4096 float32 numbers: telejax's mixing against a copy, BCOO and a dense product.

    python experiments/benchmarks/mixing.py

A copy reads and writes the array once; the column "of copy" is the copy's time over the mixing's. Each is
applied several times in one compiled loop, so that allocating the result is not what is timed.
"""

import jax
import jax.numpy as jnp
from jax.experimental import sparse
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

SLOTS = DIM = 4096
TIMES = 4


def repeated(function):
    """Apply ``function(matrix, x)`` TIMES times to its own result, the count unknown to the compiler."""
    loop = jax.jit(lambda matrix, x, times: jax.lax.fori_loop(0, times, lambda _, x: function(matrix, x), x))
    return lambda matrix, x: loop(matrix, x, TIMES)


def main() -> None:
    x = jax.random.normal(jax.random.key(0), (SLOTS, DIM))
    copy, mix, product = (repeated(f) for f in (lambda _, x: x * 1.0001, tj.mix, lambda matrix, x: matrix @ x))
    table = Table("graph", "how", "ms", "GB/s", "of copy", "times telejax", title=f"Mixing, {SLOTS} x {DIM} float32")
    for topology in (tj.topology.ring(SLOTS), tj.topology.exponential(SLOTS)):
        mixing = jax.tree.map(jnp.asarray, topology.mixing())
        dense = jnp.asarray(topology.matrix(), jnp.float32)
        bcoo = sparse.BCOO.from_scipy_sparse(topology.sparse().astype("float32"))
        times = interleaved(
            {
                "copy": lambda: copy(None, x),
                "telejax": lambda mixing=mixing: mix(mixing, x),
                "dense W @ x": lambda dense=dense: product(dense, x),
                "BCOO W @ x": lambda bcoo=bcoo: product(bcoo, x),
            },
            repeats=5,
        )
        for how, time in times.items():
            table.add_row(
                topology.name,
                how,
                f"{time / TIMES * 1e3:.1f}",
                f"{2 * x.nbytes * TIMES / time / 1e9:.1f}",
                f"{times['copy'] / time:.2f}",
                f"{time / times['telejax']:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
