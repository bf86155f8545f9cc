"""What a network costs: a round of TELEPORTATION with every part by itself, and all together at any number of nodes.

    python experiments/benchmarks/network.py

k = 64 on a ring, d = 1000, a quadratic with noise, as in sampling.py. All run in turn.
"""

from collections.abc import Callable
from typing import Any

import optax
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

ACTIVE, NODES, DIM, ROUNDS, REPEATS = 64, 10**4, 1000, 3000, 15
links, machines, presence = tj.network.links, tj.network.machines, tj.network.presence
TIMED: dict[str, Any] = {
    "links": links.uniform(latency=0.01, bandwidth=1e6),
    "machines": machines.lognormal(median=0.1, sigma=0.5),
}
ALL = {**TIMED, "presence": presence.epochs(away=0.1, length=10), "loss": 0.1}

NETWORKS: dict[str, tj.Network | None] = {
    "ideal": None,
    "loss 0.1": tj.Network(loss=0.1),
    "outage 0.1": tj.Network(outage=0.1),
    "clocks": tj.Network(**TIMED),
    "clocks, neighbours": tj.Network(**TIMED, waiting="neighbours"),
    "clocks, contention": tj.Network(**TIMED, contention=True),
    "presence": tj.Network(presence=ALL["presence"]),
    "failing holders": tj.Network(faults=tj.network.faults.independent(failure=0.01)),
    "clocks, presence, loss": tj.Network(**ALL),
}


def running(nodes: int, network: tj.Network | None) -> Callable[[], Any]:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    algorithm = tj.teleportation(active=ACTIVE, topology="ring", optimizer=sgd)
    task = tj.tasks.quadratic(nodes=nodes, dim=DIM, heterogeneity=5.0, noise=1.0)
    options: dict[str, Any] = {"rounds": ROUNDS, "eval_every": ROUNDS, "network": network, "progress": False}
    return lambda: tj.simulate(algorithm, task, **options).params


def main() -> None:
    title = f"TELEPORTATION, k = {ACTIVE}, d = {DIM}, us a round"
    parts = interleaved({name: running(NODES, network) for name, network in NETWORKS.items()}, repeats=REPEATS)
    table = Table("network", "us a round", "of ideal", title=f"{title}, n = {NODES}")
    for name, time in parts.items():
        table.add_row(name, f"{time / ROUNDS * 1e6:.1f}", f"{time / parts['ideal']:.3f}")
    Console().print(table)

    sizes = {f"{nodes:.0e}": running(nodes, tj.Network(**ALL)) for nodes in (10**3, 10**6, 10**8)}
    times = interleaved(sizes, repeats=REPEATS)
    table = Table("nodes", "us a round", "of the first", title=f"{title}: clocks, presence, loss")
    for name, time in times.items():
        table.add_row(name, f"{time / ROUNDS * 1e6:.1f}", f"{time / times['1e+03']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
