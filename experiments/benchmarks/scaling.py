"""Rounds a second and peak memory of TELEPORTATION against n, k and d, with fitted exponents.

    python experiments/benchmarks/scaling.py [--figure experiments/figures/scaling.png]

A quadratic with noise, a ring over the slots. One of n, k and d varies, the others stay at n = 10^6, k = 64,
d = 1000. Every point is a process of its own, whose peak memory includes Python and jax (about 0.4 GB). The
exponent is the slope of log(time a round) over the upper half of each range, where fixed costs matter least.
"""

import argparse
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optax
from rich.console import Console
from rich.table import Table
from timing import seconds

import telejax as tj

BASE = {"n": 10**6, "k": 64, "d": 1000}
RANGES = {"n": [10**3, 10**5, 10**7, 10**8], "k": [16, 64, 256, 1024], "d": [100, 1000, 10_000, 100_000]}
REPEATS = 3


def measure(point: dict[str, int]) -> tuple[float, float]:
    """Seconds a round (the minimum of several runs, already compiled) and peak gigabytes."""
    task = tj.tasks.quadratic(nodes=point["n"], dim=point["d"], noise=1.0)
    sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    algorithm = tj.teleportation(active=point["k"], topology="ring", optimizer=sgd)
    rounds = max(10, min(500, 3 * 10**7 // (point["k"] * point["d"])))
    run = lambda: tj.simulate(algorithm, task, rounds=rounds, eval_every=rounds, progress=False).state.params
    return seconds(run, repeats=REPEATS) / rounds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--figure", type=Path, default=Path("experiments/figures/scaling.png"))
    path = parser.parse_args().figure
    table = Table("varies", "n", "k", "d", "rounds/s", "peak GB", title="TELEPORTATION, ring over the slots")
    console = Console()
    figure, grid = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
    exponents = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for axes, (name, values) in zip(grid, RANGES.items(), strict=True):
            points = [{**BASE, name: value} for value in values]
            measured = list(pool.map(measure, points))
            for point, (seconds, memory) in zip(points, measured, strict=True):
                table.add_row(name, *(f"{point[key]:,}" for key in "nkd"), f"{1 / seconds:.0f}", f"{memory:.2f}")
            seconds = np.array([one for one, _ in measured])
            half = len(values) // 2
            exponents[name] = np.polyfit(np.log(values[half:]), np.log(seconds[half:]), 1)[0]
            axes.loglog(values, 1 / seconds, marker="o")
            axes.set_title(f"time a round ~ {name}^{exponents[name]:.2f}", fontsize="medium")
            axes.set_xlabel({"n": "nodes n", "k": "active nodes k", "d": "parameters d"}[name])
            axes.grid(alpha=0.3)
    grid[0].set_ylabel("rounds a second")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    console.print(table)
    console.print(", ".join(f"time a round ~ {name}^{slope:.2f}" for name, slope in exponents.items()))


if __name__ == "__main__":
    main()
