"""The field's methods on heterogeneous quadratics: who reaches the optimum, and who stalls at a bias.

Every method takes its best step size of one grid, by the last loss of the nodes' own models, over the same rounds;
first without noise, in float64, then with it. Run it with ``python experiments/methods.py``; it writes methods.parquet
and methods.png into ``--out`` and prints a table for each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import optax
import polars as pl
import tyro
from pictures import add_line, legend_beside
from rich.console import Console

import telejax as tj
from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder

GRID = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
BIASED = ("DSGD", "QG momentum", "CHOCO-SGD", "FedAvg", "TELEPORTATION")


@dataclass(frozen=True)
class Options:
    """All methods on one heterogeneous quadratic, without noise and with it."""

    nodes: int = 16
    """Number of nodes, on a ring."""
    active: int = 4
    """Active nodes of TELEPORTATION, clients of FedAvg and SCAFFOLD."""
    heterogeneity: float = 3.0
    """zeta: norm of the nodes' gradients at the optimum."""
    noise: float = 1.0
    """sigma of the second picture."""
    rounds: int = 1000
    """Rounds of every method."""
    seeds: int = 5
    """Seeds of the second picture."""
    out: Path = Path("runs/methods")
    """Where to write."""
    force: bool = False
    """Replace --out if it exists."""


def methods(active: int) -> list[tj.Algorithm]:
    """Those that are compared, with any step size."""
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    on_ring: list[Callable[..., tj.Algorithm]] = [
        *(tj.decentralized_sgd, tj.gradient_tracking, tj.exact_diffusion, tj.nids, tj.extra, tj.k_gt),
        *(tj.local_exact_diffusion, tj.prox_skip, tj.quasi_global_momentum, tj.choco_sgd),
    ]
    return [
        *(make(topology="ring", optimizer=sgd) for make in on_ring),
        tj.relay_sgd(topology="path", optimizer=sgd),
        tj.teleportation(active=active, topology="ring", optimizer=sgd),
        tj.fedavg(clients=active, local_steps=4, optimizer=sgd),
        tj.scaffold(clients=active, local_steps=4, optimizer=sgd),
        tj.all_reduce_sgd(optimizer=sgd),
    ]


def compared(options: Options, noise: float, seeds: int) -> "tj.Comparison":
    """Every method at its best step size."""
    task = tj.tasks.quadratic(
        nodes=options.nodes, dim=10, heterogeneity=options.heterogeneity, noise=noise, placement="sorted"
    )
    return tj.compare(
        methods(options.active), task, rounds=options.rounds, tune=GRID, seeds=seeds, eval_every=options.rounds // 100
    )


def main(options: Options) -> None:
    for name in ("nodes", "active", "seeds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_integer("--rounds", options.rounds, minimum=100)
    check_free(options.out, options.force)
    with jax.enable_x64(True):
        outcomes = {"without noise": compared(options, 0.0, 1)}
    outcomes[f"noise {options.noise:g}"] = compared(options, options.noise, options.seeds)
    figure, grid = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    for axes, (title, outcome) in zip(grid, outcomes.items(), strict=True):
        for number, (name, run) in enumerate(outcome.tuned.items()):
            style = "--" if name.startswith(BIASED) else "-"
            add_line(axes, number, name, run.history, "loss_slots", linestyle=style)
        axes.set(title=title, ylabel="mean over nodes of f(own model) - f*")
    legend_beside(figure, grid[0])
    console = Console(width=80)
    for title, outcome in outcomes.items():
        console.print(f"\n[bold]{title}[/bold]")
        console.print(outcome)
    frames = [outcome.history().with_columns(pl.lit(title).alias("problem")) for title, outcome in outcomes.items()]
    with new_folder(options.out, options.force) as folder:
        pl.concat(frames, how="diagonal_relaxed").write_parquet(folder / "methods.parquet")
        figure.savefig(folder / "methods.png", dpi=120)
    print(f"Written: {options.out}/methods.parquet and methods.png")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
