"""Where the time of a round goes, by simulate(profile=): gradients, mixing, drawing the nodes, evaluation, the host.

    python experiments/benchmarks/parts.py

A trace makes small operations slower than they are (on a GPU, kernels are launched one by one for it), so read shares.
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

import telejax as tj

SGD = tj.optimizer(optax.sgd, learning_rate=0.05)


def lenets(nodes: int) -> tj.tasks.Task:
    """LeNets on made-up images; their times are those of real ones."""
    inputs = np.random.default_rng(0).normal(size=(4 * nodes + 200, 28, 28, 1)).astype(np.float32)
    images = inputs, np.arange(len(inputs)) % 10
    data = tj.data.from_arrays(images, images, validation=100)
    return tj.tasks.classification(data, nodes=nodes, model="lenet", batch=32, evaluated=64)


def main() -> None:
    accelerator = jax.default_backend() != "cpu"
    nodes = 1000 if accelerator else 25
    runs = {
        "TELEPORTATION, k = 64 of 10^8, d = 1000": (
            tj.teleportation(active=64, topology="ring", optimizer=SGD),
            tj.tasks.quadratic(nodes=10**8, dim=1000, noise=1.0),
            500,
        ),
        "DSGD ring, 100 MLPs": (
            tj.decentralized_sgd(topology="ring", optimizer=SGD),
            tj.tasks.digits(nodes=100),
            20,
        ),
        f"DSGD ring, {nodes} LeNets": (
            tj.decentralized_sgd(topology="ring", optimizer=SGD),
            lenets(nodes),
            10,
        ),
    }
    table = Table(title=f"Share of a round, {jax.devices()[0].device_kind}")
    table.add_column("what")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (algorithm, task, every)) in enumerate(runs.items()):
            parts = tj.simulate(
                algorithm, task, rounds=3 * every, eval_every=every, progress=False, profile=Path(folder) / str(number)
            ).profile
            assert parts is not None
            if number == 0:
                for part in parts["part"]:
                    table.add_column(part, justify="right")
            table.add_row(name, *(f"{share:.2f}" for share in parts["share"]))
    Console().print(table)
    print("evaluated every 500, 20 and 10 rounds; host is what the device waits for")


if __name__ == "__main__":
    main()
