"""DSGD on a ring with noise, n = 10^5, d = 100, on one CPU device and sharded over two.

JAX_NUM_CPU_DEVICES=2 python experiments/benchmarks/two_devices.py
"""

import optax
from rich.console import Console
from timing import interleaved

import telejax as tj

NODES, DIM, ROUNDS = 10**5, 100, 30


def main() -> None:
    ring = tj.topology.ring(NODES)
    algorithm = tj.decentralized_sgd(topology=ring, optimizer=tj.optimizer(optax.sgd, learning_rate=0.05))
    console = Console()
    for noise in (0.0, 1.0):
        task = tj.tasks.quadratic(nodes=NODES, dim=DIM, placement="sorted", noise=noise)

        def run(devices: str | None, task: tj.tasks.Task = task):
            return lambda: (
                tj.simulate(
                    algorithm, task, rounds=ROUNDS, eval_every=ROUNDS, progress=False, devices=devices
                ).state.params
            )

        times = interleaved({"one": run(None), "two": run("cpu:2")}, repeats=4)
        per_round = {name: time / ROUNDS * 1e3 for name, time in times.items()}
        console.print(
            f"noise {noise:g}: {per_round['one']:.1f} ms a round on one device, {per_round['two']:.1f} on two, "
            f"speed-up {per_round['one'] / per_round['two']:.2f}"
        )


if __name__ == "__main__":
    main()
