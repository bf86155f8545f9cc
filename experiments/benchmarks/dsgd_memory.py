"""DSGD on a ring of 10^5 nodes, d = 100, against the memory it moves and against plain threefry noise.

    python experiments/benchmarks/dsgd_memory.py

Three floors over the same arrays: a copy of x and then an axpy (NumPy's copyto and BLAS); the same update in place,
which XLA fuses into one pass; and that update whose rows other slots then read, here each its mirror image: it takes a
second pass, as it can't be written in place, and no mixing moves less. The draws are those of a round: a folded key a
node and d normal numbers under it, which are added to an array in place.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg.blas
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj
from telejax.backend.fusion import of_stored
from telejax.backend.loops import on_all_threads
from telejax.random.normal import fast_normal
from telejax.random.threefry import fold_in

NODES, DIM, ROUNDS, DRAWS = 10**5, 100, 100, 20


def repeated(turns: int, one: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """``one`` of each turn and x, on all threads as the rounds of a simulation."""
    return jax.lax.fori_loop(0, turns, lambda turn, x: one(turn, x + on_all_threads(turn, x.nbytes)), x)


def main() -> None:
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.05))
    x, y = jnp.zeros((NODES, DIM)), jnp.ones((NODES, DIM))

    @jax.jit
    def in_place(x: jax.Array, y: jax.Array) -> jax.Array:
        return repeated(ROUNDS, lambda _, x: x * 1.0001 - 0.05 * y, x)

    @jax.jit
    def two_passes(x: jax.Array, y: jax.Array) -> jax.Array:
        mirrored = lambda turn, x: of_stored(lambda new: new[::-1], x * 1.0001 - 0.05 * y, turn)
        return repeated(ROUNDS, mirrored, x)

    old, new, change = np.zeros(NODES * DIM, np.float32), np.zeros(NODES * DIM, np.float32), np.ravel(y)

    def copy_and_axpy() -> None:
        for _ in range(ROUNDS):
            np.copyto(new, old)
            scipy.linalg.blas.saxpy(change, new, a=-0.05)

    def rounds(noise: float) -> jax.Array:
        task = tj.tasks.quadratic(nodes=NODES, dim=DIM, placement="sorted", noise=noise)
        return tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=ROUNDS, progress=False).state.params

    def added(normal: Callable[..., jax.Array], x: jax.Array, key: jax.Array) -> jax.Array:
        """What a round with noise does: a key for each node, and the numbers under it added to what is there."""

        def one_round(turn: jax.Array, x: jax.Array) -> jax.Array:
            now = fold_in(key, turn)
            noise = jax.vmap(lambda node: normal(fold_in(now, node), (DIM,), jnp.float32))(jnp.arange(NODES))
            return x + noise

        return repeated(DRAWS, one_round, x)

    key = jax.random.key(0)
    threefry, fast = (jax.jit(partial(added, normal)) for normal in (jax.random.normal, fast_normal))
    times = interleaved(
        {
            "copy, then axpy": copy_and_axpy,
            "axpy in place": lambda: in_place(x, y),
            "axpy, then rows moved": lambda: two_passes(x, y),
            "DSGD, noise 0": lambda: rounds(0.0),
            "DSGD, noise 1": lambda: rounds(1.0),
            "threefry draw": lambda: threefry(x, key),
            "telejax's draw": lambda: fast(x, key),
        },
        repeats=3,
    )
    per_round = {name: time / (DRAWS if "draw" in name else ROUNDS) for name, time in times.items()}
    table = Table("what", "ms a round", title=f"n = {NODES}, d = {DIM}")
    for name, time in per_round.items():
        table.add_row(name, f"{time * 1e3:.1f}")
    console = Console()
    console.print(table)
    for floor in ("copy, then axpy", "axpy in place", "axpy, then rows moved"):
        console.print(f"noise 0: {per_round[floor] / per_round['DSGD, noise 0']:.2f} of the speed of {floor}")
    ratio = per_round["threefry draw"] / per_round["telejax's draw"]
    console.print(f"draws: {ratio:.1f} times faster than threefry")


if __name__ == "__main__":
    main()
