"""A round of Decentralized SGD through ``simulate`` against batched NumPy on the same problem.

    python experiments/benchmarks/dsgd_numpy.py

Ring of 1000 nodes, d = 50, float32, no noise: telejax's quadratic with one curvature a node. NumPy steps all
nodes at once and gathers the two neighbours, with every constant computed ahead; the models are compared at
the end, so both did the same work.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

NODES, DIM, ROUNDS, STEP = 1000, 50, 5000, 0.05


def main() -> None:
    task = tj.tasks.quadratic(nodes=NODES, dim=DIM, heterogeneity=5.0)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=STEP))
    curvature, gradient = map(np.asarray, jax.vmap(task.local)(jnp.arange(NODES, dtype=jnp.int32)))
    curvature = curvature[:, None]
    targets = np.asarray(task.optimum) - gradient / curvature
    left, right = np.roll(np.arange(NODES), 1), np.roll(np.arange(NODES), -1)
    step, third = np.float32(STEP), np.float32(1 / 3)

    def with_numpy() -> np.ndarray:
        x = np.zeros((NODES, DIM), np.float32)
        for _ in range(ROUNDS):
            x = x - step * (curvature * (x - targets))
            x = third * (x + x[left] + x[right])
        return x

    def with_telejax() -> jax.Array:
        return tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=ROUNDS, progress=False).state.params

    difference = float(np.abs(with_numpy() - np.asarray(with_telejax())).max())
    times = interleaved({"NumPy": with_numpy, "telejax": with_telejax})
    table = Table("system", "us a round", "speed-up", title=f"DSGD on a ring, n = {NODES}, d = {DIM}")
    for name, time in times.items():
        table.add_row(name, f"{time / ROUNDS * 1e6:.1f}", f"{times['NumPy'] / time:.1f}")
    console = Console()
    console.print(table)
    console.print(f"largest difference of the final models: {difference:.1e}")


if __name__ == "__main__":
    main()
