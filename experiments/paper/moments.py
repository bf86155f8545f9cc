"""Exact moments against simulation: the means of 10,000 runs lie within 4 standard errors, at every evaluation.

    python experiments/paper/moments.py --quick
    python experiments/paper/moments.py

Six settings of DSGD and TELEPORTATION. One row a setting, evaluation and column: the exact value, the mean over runs,
its standard error, and how many standard errors lie between.
"""

from dataclasses import dataclass
from typing import Any

import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 1
KEYS = ["setting"]
ROUNDS, EVERY, AT_ONCE = 100, 10, 1000
COLUMNS = ("loss", "loss_slots", "consensus")


@dataclass(frozen=True)
class Settings(Options):
    """How many runs judge."""

    runs: int = 10_000

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"runs": 1000}


def cases() -> dict[str, tuple[Any, Any]]:
    """Six settings: a task and a method."""
    sgd = lambda rate: tj.optimizer(optax.sgd, learning_rate=rate)
    few = lambda active, graph, rate: tj.teleportation(active=active, topology=graph, optimizer=sgd(rate))
    dsgd = lambda graph, rate, **more: tj.decentralized_sgd(topology=graph, optimizer=sgd(rate), **more)
    quadratic = lambda nodes, zeta, sigma, placement: tj.tasks.quadratic(
        nodes=nodes, dim=10, heterogeneity=zeta, noise=sigma, placement=placement, seed=3
    )
    return {
        "TELEPORTATION ring k=8, n=40": (quadratic(40, 5.0, 5.0, "shuffled"), few(8, "ring", 0.1)),
        "TELEPORTATION exponential k=16, n=1000": (quadratic(1000, 3.0, 1.0, "sorted"), few(16, "exponential", 0.2)),
        "TELEPORTATION base k=6, Koloskova n=25": (
            tj.tasks.koloskova_quadratic(nodes=25, dim=10, heterogeneity=5.0, noise=5.0),
            few(6, "base:degree=1", 0.02),
        ),
        "TELEPORTATION random matching k=10, n=10": (
            quadratic(10, 4.0, 2.0, "shuffled"),
            few(10, "random_matching", 0.05),
        ),
        "DSGD ring, n=16": (quadratic(16, 5.0, 5.0, "sorted"), dsgd("ring", 0.1)),
        "DSGD exponential, combine then adapt, n=24": (
            quadratic(24, 5.0, 5.0, "shuffled"),
            dsgd("exponential", 0.05, order="combine_then_adapt"),
        ),
    }


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"runs": settings.runs})
    for number, (name, (task, algorithm)) in enumerate(cases().items(), 1):
        rows = table.cell({"setting": name}, lambda: judge(task, algorithm, settings.runs))  # noqa: B023
        table.tell(f"{name}: at most {rows['off'].abs().max():.2f} standard errors", number, len(cases()))
    show(farthest(table.rows))
    table.close(KEYS)


def judge(task: Any, algorithm: Any, runs: int) -> pl.DataFrame:
    """One row an evaluation after the start and column."""
    exact = tj.theory.moments(task, algorithm, ROUNDS)
    histories = []
    for first in range(0, runs, AT_ONCE):
        seeds = list(range(first, min(first + AT_ONCE, runs)))
        run = tj.simulate(algorithm, task, rounds=ROUNDS, eval_every=EVERY, seeds=seeds, progress=False)
        histories.append(run.history.select("round", "seed", *COLUMNS))
    rows = []
    for (round,), part in pl.concat(histories).group_by("round", maintain_order=True):
        for column in COLUMNS if round else ():
            mean, error = part[column].mean(), part[column].std() / part.height**0.5
            told = {"round": round, "column": column, "exact": exact[column][round], "mean": mean, "se": error}
            rows.append(told | {"off": (mean - told["exact"]) / error})
    return pl.DataFrame(rows)


def farthest(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a setting: how many comparisons, and the farthest of them."""
    return rows.group_by("setting", maintain_order=True).agg(
        pl.len().alias("comparisons"),
        pl.col("off").abs().max().alias("farthest (standard errors)"),
        ((pl.col("mean") - pl.col("exact")).abs() / pl.col("exact")).max().alias("largest relative difference"),
    )


if __name__ == "__main__":
    command(main, Settings, __doc__)
