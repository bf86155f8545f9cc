"""A grid of step sizes and seeds as one program against the same runs one after another.

    python experiments/benchmarks/grid.py

TELEPORTATION on a ring of k = 16 slots, n = 256, d = 50, 2000 rounds, 12 step sizes x 5 seeds with common random
numbers over step sizes. Both are telejax, compiled before; the single runs are timed in full and their final
losses compared with the grid's.
"""

import time

import numpy as np
import optax
from rich.console import Console

import telejax as tj

RATES, SEEDS, ROUNDS, REPEATS = np.geomspace(0.003, 0.15, 12), 5, 2000, 3


def main() -> None:
    task = tj.tasks.quadratic(nodes=256, dim=50, heterogeneity=5.0, noise=1.0)

    def run(rate: float, **options) -> tj.Result:
        sgd = tj.optimizer(optax.sgd, learning_rate=float(rate))
        algorithm = tj.teleportation(active=16, topology="ring", optimizer=sgd)
        return tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=100, progress=False, **options)

    def together() -> np.ndarray:
        return run(0.1, seeds=SEEDS, tune=list(RATES)).final()["loss"].to_numpy()

    def one_by_one() -> np.ndarray:
        return np.array([run(rate, seed=seed).final()["loss"][0] for seed in range(SEEDS) for rate in RATES])

    difference = np.abs(together() / one_by_one() - 1).max()
    times: dict[str, list[float]] = {"together": [], "one by one": []}
    for _ in range(REPEATS):
        for name, function in (("together", together), ("one by one", one_by_one)):
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    best = {name: min(values) for name, values in times.items()}
    console = Console()
    for name, seconds in best.items():
        console.print(f"{SEEDS * len(RATES)} runs {name}: {seconds:.2f} s")
    console.print(f"ratio {best['one by one'] / best['together']:.1f}; largest relative difference {difference:.1e}")


if __name__ == "__main__":
    main()
