"""Gossip on 4096 slots of 4096 float32 numbers: telejax's mixing against a copy, BCOO and a dense product.

    python experiments/benchmarks/mixing.py

The copy is x * 1.0001, which reads and writes the array once; the column "of copy" is the copy's time over the
mixing's. Every call allocates its result, the copy's too. (Inside a compiled loop a copy would run in place, which no
mixing can.)
"""

import jax
import jax.numpy as jnp
from jax.experimental import sparse
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

SLOTS = DIM = 4096
REPEATS = 15


def main() -> None:
    x = jax.random.normal(jax.random.key(0), (SLOTS, DIM))
    copy, mix, product = jax.jit(lambda x: x * 1.0001), jax.jit(tj.mix), jax.jit(lambda matrix, x: matrix @ x)
    table = Table("graph", "how", "ms", "GB/s", "of copy", "times telejax", title=f"Mixing, {SLOTS} x {DIM} float32")
    for topology in (tj.topology.ring(SLOTS), tj.topology.exponential(SLOTS)):
        mixing = jax.tree.map(jnp.asarray, topology.mixing())
        dense = jnp.asarray(topology.matrix(), jnp.float32)
        bcoo = sparse.BCOO.fromdense(dense)
        times = interleaved(
            {
                "copy": lambda: copy(x),
                "telejax": lambda mixing=mixing: mix(mixing, x),
                "dense W @ x": lambda dense=dense: product(dense, x),
                "BCOO W @ x": lambda bcoo=bcoo: product(bcoo, x),
            },
            repeats=REPEATS,
        )
        for how, time in times.items():
            table.add_row(
                topology.name,
                how,
                f"{time * 1e3:.1f}",
                f"{2 * x.nbytes / time / 1e9:.1f}",
                f"{times['copy'] / time:.2f}",
                f"{time / times['telejax']:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
