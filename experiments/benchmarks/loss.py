"""What a lossy network costs: a round of TELEPORTATION with and without lost messages.

    python experiments/benchmarks/loss.py

k = 64 on a ring, n = 10^4, d = 1000, a quadratic with noise, as in sampling.py. The two run in turn.
"""

import optax
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

ACTIVE, NODES, DIM, ROUNDS, REPEATS = 64, 10**4, 1000, 3000, 25


def main() -> None:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    algorithm = tj.teleportation(active=ACTIVE, topology="ring", optimizer=sgd)
    task = tj.tasks.quadratic(nodes=NODES, dim=DIM, heterogeneity=5.0, noise=1.0)
    networks = {"ideal": None, "loss 0.1": tj.Network(loss=0.1), "outage 0.1": tj.Network(outage=0.1)}

    def run(network: tj.Network | None):
        options = {"rounds": ROUNDS, "eval_every": ROUNDS, "network": network, "progress": False}
        return lambda: tj.simulate(algorithm, task, **options).params

    times = interleaved({name: run(network) for name, network in networks.items()}, repeats=REPEATS)
    table = Table("network", "us a round", "of ideal", title=f"TELEPORTATION, k = {ACTIVE}, d = {DIM}")
    for name, time in times.items():
        table.add_row(name, f"{time / ROUNDS * 1e6:.1f}", f"{time / times['ideal']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
