"""All candidates of a search in one program against one simulation after another, compilation included.

    python experiments/benchmarks/joint_search.py

A quadratic of 1024 nodes, 1, 2, 4, ..., 1024 active nodes on a ring, 200 rounds, one seed. Each side is timed once, as
everything is compiled for the first time.
"""

from time import perf_counter

import optax
from rich.console import Console

import telejax as tj

NODES, ROUNDS = 1024, 200


def main() -> None:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    task = tj.tasks.quadratic(nodes=NODES, heterogeneity=5.0, noise=5.0)
    common = {"rounds": ROUNDS, "eval_every": 2, "seeds": 1, "progress": False}
    start = perf_counter()
    tj.search(task, optimizer=sgd, **common)
    together = perf_counter() - start
    start = perf_counter()
    for power in range(NODES.bit_length()):
        tj.simulate(tj.teleportation(active=2**power, topology="ring", optimizer=sgd), task, **common)
    alone = perf_counter() - start
    Console().print(f"together {together:.1f} s, one after another {alone:.1f} s, ratio {together / alone:.2f}")


if __name__ == "__main__":
    main()
