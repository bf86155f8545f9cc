"""Accuracy against epsilon at equal epsilon: DSGD, TELEPORTATION and FedAvg with private gradients.

    python experiments/privacy.py                # digits and Fashion-MNIST, n = 100 and 1000: half an hour; resumes
    python experiments/privacy.py --quick        # the digits at n = 100, minutes

Logistic regression, samples dealt iid; Fashion-MNIST in blocks of 4 x 4 pixels (49 inputs), for noise grows with the
number of parameters. Every method runs so many rounds as each of its three budgets says, with the noise at which
epsilon is spent at their end (``tj.theory.noise_for``), and takes for each epsilon the budget, clip and step size with
the highest held-out accuracy of the slots' own models; that choice, as all evaluation, is the simulator's and not
accounted. Sample level, delta 1e-5, one sample of a node replaced, an observer of all messages who knows who is active.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
import tyro
from kept_runs import KeptRuns
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.results.files import check_free, new_folder
from telejax.simulation.fingerprint import fingerprint

BATCH = 8
EVALUATED = (1000, 1000, 2000)
JUDGE = "validation_accuracy_slots"


@dataclass(frozen=True)
class Options:
    """Private runs of every method on every task."""

    sizes: tuple[int, ...] = (100, 1000)
    """Numbers of nodes."""
    data: tuple[str, ...] = ("digits", "Fashion-MNIST")
    active: int = 10
    """Active nodes of TELEPORTATION, clients of FedAvg."""
    epsilons: tuple[float, ...] = (1.0, 3.0, 10.0)
    delta: float = 1e-5
    seeds: int = 3
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    clips: tuple[float, ...] = (0.3, 3.0)
    out: Path = Path("runs/privacy")
    force: bool = False
    """Replace the tables and the picture; finished runs are kept."""
    quick: bool = False
    """The digits at n = 100, one seed."""


@dataclass(frozen=True)
class Contender:
    """A method, its budgets of rounds, and how often a node works in so many rounds at most."""

    algorithm: tj.Algorithm
    rounds: tuple[int, ...]
    uses: Callable[[int], int]
    network: tj.Network | None = None


def contenders(nodes: int, active: int) -> dict[str, Contender]:
    """Uniform draws are planned for the count that no node exceeds but once in 20 runs."""
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    all_work = (30, 100, 300) if nodes <= 100 else (10, 30, 100)
    few = (100, 300, 1000) if nodes <= 100 else (300, 1000, 3000)
    teleportation = tj.teleportation(active=active, topology="exponential", optimizer=sgd)
    drawn = lambda steps: lambda rounds: tj.theory.most_uses(rounds, nodes=nodes, active=active, local_steps=steps)
    in_turn = tj.Network(activation=tj.network.activation.shuffled_epochs())
    fedavg = tj.fedavg(clients=active, local_steps=4, optimizer=sgd)
    return {
        "DSGD exponential": Contender(
            tj.decentralized_sgd(topology="exponential", optimizer=sgd), all_work, lambda rounds: rounds
        ),
        f"TELEPORTATION k={active}": Contender(teleportation, few, drawn(1)),
        f"TELEPORTATION k={active}, in turn": Contender(
            teleportation, few, lambda rounds: -(-rounds // (nodes // active)), in_turn
        ),
        f"FedAvg k={active}, 4 local": Contender(fedavg, few, drawn(4)),
    }


def dataset(name: str) -> Any:
    if name == "digits":
        return tj.data.digits()
    whole = tj.data.fashion_mnist()
    blocks = lambda x: np.asarray(x, np.float32).reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49) / 255 * 2 - 1
    part = lambda split: (blocks(split.inputs), np.asarray(split.labels))
    return tj.data.from_arrays(part(whole.train), part(whole.test), name=name, validation=1000)


def run(task: Any, contender: Contender, rounds: int, options: Options) -> pl.DataFrame:
    """The last rows of a method, for all epsilons, clips, step sizes and seeds; epsilon null without privacy."""
    samples = int(np.min(task.samples_per_node))
    given = {"rounds": rounds, "eval_every": rounds, "seeds": options.seeds, "network": contender.network}
    rates = {"learning_rate": list(options.learning_rates)}
    uses = contender.uses(rounds)
    plan = {"uses": uses, "batch": task.batch, "samples": samples, "delta": options.delta}
    noise = {tj.theory.noise_for(epsilon, **plan): epsilon for epsilon in options.epsilons}
    private = tj.privacy(clip=1.0, noise_multiplier=1.0, delta=options.delta)(task)
    tune = {**rates, "clip": list(options.clips), "noise_multiplier": list(noise)}
    history = tj.simulate(contender.algorithm, private, tune=tune, progress=False, **given).final()
    open_ = tj.simulate(contender.algorithm, task, tune=rates, progress=False, **given).final()
    aim = pl.col("noise_multiplier").replace_strict(noise, return_dtype=pl.Float64).alias("aim")
    columns = ["seed", "learning_rate", "clip", "noise_multiplier", "epsilon", "aim", "diverged", JUDGE]
    columns += ["accuracy", "accuracy_slots", "rounds", "uses"]
    told = history.with_columns(aim, pl.lit(rounds).alias("rounds"), pl.lit(uses).alias("uses"))
    none = [pl.lit(None, pl.Float64).alias(name) for name in ("clip", "noise_multiplier", "epsilon", "aim")]
    plain = open_.with_columns(*none, pl.lit(rounds).alias("rounds"), pl.lit(uses).alias("uses"))
    return pl.concat([told.select(columns), plain.select(columns)])


def best_of(rows: pl.DataFrame) -> pl.DataFrame:
    """For each epsilon the runs of the best budget, clip and step size: none diverged, the best held-out accuracy."""
    numbers = ["aim", "rounds", "clip", "learning_rate"]
    scores = rows.group_by(numbers).agg(pl.col("diverged").any(), pl.col(JUDGE).fill_nan(None).mean().alias("score"))
    chosen = (
        scores.sort("diverged", "score", descending=[False, True], nulls_last=True)
        .group_by("aim")
        .first()
        .select(numbers)
    )
    return rows.join(chosen, on=numbers, nulls_equal=True)


def tell(title: str, found: dict[str, pl.DataFrame], options: Options) -> Table:
    """Accuracy of each method at each epsilon, and what it took."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("method")
    for epsilon in options.epsilons:
        table.add_column(f"epsilon {epsilon:g}", justify="right")
    table.add_column("not private", justify="right")
    for name, rows in found.items():
        best, cells = best_of(rows), []
        for epsilon in (*options.epsilons, None):
            one = best.filter(pl.col("aim").eq_missing(pl.lit(epsilon, pl.Float64)))
            ends = one["accuracy_slots"]
            told = f"{ends.mean():.3f} ± {ends.std() or 0:.3f} ({one['accuracy'].mean():.3f})"
            first = one.row(0, named=True)
            took = f"T {first['rounds']}, eta {first['learning_rate']:g}"
            if epsilon is not None:
                took += f", C {first['clip']:g}, z {first['noise_multiplier']:.3g}; spent {one['epsilon'].max():.3g}"
            cells.append(f"{told}\n{took}")
        table.add_row(name, *cells)
    return table


def draw(found: dict[str, dict[str, pl.DataFrame]], options: Options) -> Any:
    """Accuracy of the slots' own models against epsilon."""
    columns = min(2, len(found))
    figure, grid = plt.subplots(
        -(-len(found) // columns), columns, figsize=(6 * columns, 3.6 * -(-len(found) // columns)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for axes, (title, methods) in zip(grid.flat, found.items(), strict=False):
        for number, (name, rows) in enumerate(methods.items()):
            best = best_of(rows).filter(pl.col("aim").is_not_null()).sort("aim")
            ends = best.group_by("aim", maintain_order=True).agg(
                pl.col("accuracy_slots").mean(), pl.col("accuracy_slots").std().fill_null(0).alias("std")
            )
            x = ends["aim"] * 1.03 ** (number - 1.5)  # side by side
            axes.errorbar(x, ends["accuracy_slots"], ends["std"], label=name, marker="o", capsize=3)
        axes.set(title=title, xscale="log", xlabel="epsilon (delta 1e-5, one sample replaced, all messages observed)")
        axes.set(ylabel="accuracy of the slots' own models", xticks=options.epsilons, xticklabels=options.epsilons)
    grid[0, 0].legend()
    return figure


def main(options: Options) -> None:
    if options.quick:
        options = replace(options, sizes=(100,), data=("digits",), seeds=1)
    check_free(options.out / "tables", options.force)
    start, console = time.perf_counter(), Console(width=200)
    numbers = {
        name: getattr(options, name) for name in ("epsilons", "delta", "seeds", "learning_rates", "clips", "active")
    }
    kept = KeptRuns(options.out / "runs", fingerprint(numbers))
    found: dict[str, dict[str, pl.DataFrame]] = {}
    for data in options.data:
        for nodes in options.sizes:
            held = len(dataset(data).train) // nodes
            task = tj.tasks.classification(
                dataset(data), nodes=nodes, model="logistic", batch=min(BATCH, held), evaluated=EVALUATED
            )
            title = f"{data}, n = {nodes}, {held} samples a node"
            for name, contender in contenders(nodes, options.active).items():
                parts = []
                for rounds in contender.rounds:
                    compute = lambda task=task, contender=contender, rounds=rounds: run(
                        task, contender, rounds, options
                    )
                    parts.append(kept.run(f"{data}-{nodes}-{name}-{rounds}", compute)[0])
                    print(f"{time.perf_counter() - start:.0f} s: {title}, {name}, {rounds} rounds", flush=True)
                found.setdefault(title, {})[name] = pl.concat(parts)
            note = "accuracy of the slots' own models at the end (of the mean model)"
            console.print(tell(f"{title}: {note}", found[title], options))
    with new_folder(options.out / "tables", options.force) as folder:
        rows = [
            part.select(pl.lit(title).alias("task"), pl.lit(name).alias("method"), pl.all())
            for title, methods in found.items()
            for name, part in methods.items()
        ]
        pl.concat(rows).write_parquet(folder / "privacy.parquet")
        draw(found, options).savefig(folder / "privacy.png", dpi=110)
    print(f"{time.perf_counter() - start:.0f} seconds; written: {options.out / 'tables'}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
