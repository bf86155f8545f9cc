"""All methods on real data: the digits, dealt unevenly over the nodes, each method at its best numbers.

    python experiments/methods_on_digits.py

Each takes its best step size of one grid, and its best consensus step, communication step or probability where it has
one, by the held-out loss of the nodes' own models; DSGD and TELEPORTATION with momentum, too. Writes histories and a
picture of the nodes' own accuracy against rounds and against bytes into ``--out``.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import optax
import tyro
from pictures import add_line, legend_beside
from rich.console import Console

import telejax as tj
from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder

GRID = {
    "learning_rate": (0.02, 0.05, 0.1, 0.25, 0.6, 1.5),
    "consensus_step": (0.03, 0.1, 0.3),
    "communication_step": (0.5, 1.0),
    "probability": (0.25, 0.5),
}


@dataclass(frozen=True)
class Options:
    """All methods on the digits."""

    nodes: int = 25
    """Number of nodes, on a ring."""
    active: int = 8
    """Active nodes of TELEPORTATION, clients of FedAvg and SCAFFOLD."""
    alpha: float = 0.1
    """Concentration of the Dirichlet split over labels."""
    rounds: int = 200
    """Rounds of every method."""
    seeds: int = 3
    """Number of seeds."""
    out: Path = Path("runs/methods_on_digits")
    """Where to write."""
    force: bool = False
    """Replace --out if it exists."""


def methods(active: int) -> list[tj.Algorithm]:
    """Those that are compared, with any numbers."""
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    on_ring = (
        *(tj.decentralized_sgd, tj.gradient_tracking, tj.exact_diffusion, tj.nids, tj.extra, tj.k_gt),
        *(tj.local_exact_diffusion, tj.prox_skip, tj.quasi_global_momentum, tj.choco_sgd),
    )
    return [
        *(make(topology="ring", optimizer=sgd) for make in on_ring),
        tj.push_sum(topology="directed_exponential", optimizer=sgd),
        tj.relay_sgd(topology="path", optimizer=sgd),
        tj.teleportation(active=active, topology="ring", optimizer=sgd),
        tj.fedavg(clients=active, local_steps=4, optimizer=sgd),
        tj.scaffold(clients=active, local_steps=4, optimizer=sgd),
        tj.random_walk(optimizer=sgd),
        tj.all_reduce_sgd(optimizer=sgd),
    ]


def main(options: Options) -> None:
    for name in ("nodes", "active", "seeds", "rounds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out, options.force)
    task = tj.tasks.classification(tj.data.digits(), nodes=options.nodes, alpha=options.alpha)
    run = {"rounds": options.rounds, "seeds": options.seeds, "eval_every": max(1, options.rounds // 20)}
    console = Console(width=80)
    plain = tj.compare(methods(options.active), task, tune=GRID, **run)
    console.print(plain)
    heavy = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    with_momentum = tj.compare(
        [
            tj.decentralized_sgd(topology="ring", optimizer=heavy),
            tj.teleportation(active=options.active, topology="ring", optimizer=heavy),
        ],
        task,
        tune=[rate / 10 for rate in GRID["learning_rate"]],
        **run,
    )
    console.print("\n[bold]momentum 0.9[/bold]")
    console.print(with_momentum)
    histories = {name: one.history for name, one in plain.tuned.items()}
    histories |= {f"{name}, momentum": one.history for name, one in with_momentum.tuned.items()}
    figure, grid = plt.subplots(1, 2, figsize=(13, 5.5), sharey=True, layout="constrained")
    for axes, x in zip(grid, ("round", "bytes"), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            width = 3 if name.startswith("TELE") else 1
            add_line(axes, number, name, history, "accuracy_slots", x, linewidth=width)
    grid[1].set_xscale("log")
    legend_beside(figure, grid[0])
    with new_folder(options.out, options.force) as folder:
        plain.history().write_parquet(folder / "methods_on_digits.parquet")
        with_momentum.history().write_parquet(folder / "with_momentum.parquet")
        figure.savefig(folder / "methods_on_digits.png", dpi=120)
    print(f"Written: {options.out}/methods_on_digits.parquet, with_momentum.parquet and methods_on_digits.png")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
