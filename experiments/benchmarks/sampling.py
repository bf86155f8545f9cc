"""A TELEPORTATION round against the number of nodes: k = 64, d = 1000, a quadratic with noise.

    python experiments/benchmarks/sampling.py

Prints the time of a round at each n, its ratio to that at n = 1000, and the peak memory of the process.
"""

import resource

import optax
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

ACTIVE, DIM, ROUNDS = 64, 1000, 3000


def main() -> None:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    algorithm = tj.teleportation(active=ACTIVE, topology="ring", optimizer=sgd)

    def run(nodes: int):
        task = tj.tasks.quadratic(nodes=nodes, dim=DIM, heterogeneity=5.0, noise=1.0)
        return lambda: tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=ROUNDS, progress=False).params

    sizes = [10**3, 10**4, 10**6, 10**8]
    times = interleaved({f"{nodes:.0e}": run(nodes) for nodes in sizes})
    first = next(iter(times.values()))
    table = Table("n", "us a round", "rounds/s", "of n = 1000", title=f"TELEPORTATION, k = {ACTIVE}, d = {DIM}")
    for nodes, time in times.items():
        table.add_row(nodes, f"{time / ROUNDS * 1e6:.0f}", f"{ROUNDS / time:.0f}", f"{time / first:.2f}")
    console = Console()
    console.print(table)
    last, memory = list(times.values())[-1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = f"n = {sizes[-1]:.0e}: {ROUNDS / last:.0f} rounds/s, {last / first:.2f} times n = {sizes[0]:.0e}"
    console.print(f"{told}; peak memory {memory / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
