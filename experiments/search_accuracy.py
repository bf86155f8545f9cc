"""How good are the searched numbers of active nodes? 20 quadratics and digits, against an exhaustive grid.

Run ``python experiments/search_accuracy.py``. Most of its time is compilation (each number of slots is a program), so
rows are written as they come; experiments/results/search_accuracy.csv holds the first 11 so far.
Every method has the same grid of step sizes, except that "auto" runs at the one tuned for the best candidate.
A row passes

- ``chosen_ok``: the objective at the searched k, taken from the exhaustive grid (each candidate run alone, its own
  seeds), is within 10 % of the grid's best or inside the best's standard error, and that of no k a quarter of it or
  smaller is;
- ``auto_ok``: the objective that a run of 1.3 T rounds in all with ``active="auto"`` ends at is within 10 % of the
  grid's best. Both average their last T / 4 rounds; ``auto_gap_T`` is what the same runs had after T rounds.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import optax
import polars as pl
import tyro

import telejax as tj
from telejax.found import judge

RATES = (0.025, 0.05, 0.1, 0.2)
DIGITS_RATES = (0.1, 0.25, 0.6, 1.5)
PLACES = {16: "sorted", 64: "shuffled", 256: "sorted", 1024: "shuffled"}
ZETA_SIGMA = ((5.0, 5.0), (5.0, 1.0), (2.0, 5.0), (10.0, 2.0), (1.0, 2.0))
ALONE_SEED = 1000  # of the exhaustive grid, whose seeds no search has seen
MARGIN = 1.1
AUTO_ROUNDS = 130  # per cent of T


@dataclass(frozen=True)
class Options:
    out: Path = Path("experiments/results/search_accuracy.csv")
    rounds: int = 400
    dim: int = 10
    grid_seeds: int = 12
    """Seeds of the exhaustive grid."""
    seeds: int = 16
    """Seeds of the search: with 4, differences of a fifth on the plateau are noise."""
    auto_seeds: int = 6
    problems: int = 20
    """How many of the quadratics; fewer for a quick look."""
    digits: bool = True


def main(options: Options) -> None:
    start, rows = perf_counter(), []
    quadratics = [(n, zeta, sigma) for n in PLACES for zeta, sigma in ZETA_SIGMA][: options.problems]
    for seed, (n, zeta, sigma) in enumerate(quadratics):
        task = tj.tasks.quadratic(
            nodes=n, dim=options.dim, heterogeneity=zeta, noise=sigma, placement=PLACES[n], seed=seed
        )
        problem = tj.theory.measure(task, task.optimum)
        label = {"task": f"quadratic {PLACES[n]}", "nodes": n, "zeta": zeta, "sigma": sigma}
        rows.append(label | compare(task, problem, RATES, options, options.grid_seeds, rows_a_run=100))
        report(rows, options, start)
    if options.digits:
        task = tj.tasks.digits(nodes=100, alpha=0.1)
        problem = tj.theory.measure(task, nodes=50)
        label = {"task": "digits", "nodes": 100, "zeta": None, "sigma": None}
        rows.append(label | compare(task, problem, DIGITS_RATES, replace(options, seeds=4), 4, rows_a_run=40))
        report(rows, options, start)


def report(rows: list[dict], options: Options, start: float) -> None:
    """Write and print what is known so far."""
    table = pl.DataFrame(rows, infer_schema_length=None)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(options.out, float_precision=4)
    print(rows[-1])
    inside = table.filter((pl.col("chosen") > 1) & (pl.col("chosen") < pl.col("largest"))).height
    print(f"chosen k passes in {table['chosen_ok'].sum()} of {table.height} problems, auto in {table['auto_ok'].sum()}")
    print(f"the recommended k is inside the range in {inside}; {perf_counter() - start:.0f} s", flush=True)


def compare(task, problem, rates, options: Options, grid_seeds: int, rows_a_run: int) -> dict:
    """The searched, the predicted and the exhaustive best k of one problem, and what auto ends at."""
    sgd = tj.optimizer(optax.sgd, learning_rate=rates[0])
    common = {"rounds": options.rounds, "eval_every": max(1, options.rounds // rows_a_run), "progress": False}
    found = tj.search(task, optimizer=sgd, learning_rates=rates, seeds=options.seeds, **common)
    sizes = found.table["active"].to_list()
    alone = [
        tj.simulate(
            tj.teleportation(active=k, topology="ring", optimizer=sgd),
            task,
            tune=rates,
            seed=ALONE_SEED,
            seeds=grid_seeds,
            **common,
        ).history.drop("group")
        for k in sizes
    ]
    grid = judge(pl.concat(alone)).sort("diverged", "slots").group_by("active", maintain_order=True).first()
    gap = dict(zip(grid["active"], grid["slots"], strict=True))
    best = grid.sort("slots").row(0, named=True)
    near = {k for k in sizes if gap[k] <= max(MARGIN * best["slots"], best["slots"] + best["slots_se"])}
    auto = tj.simulate(
        tj.teleportation(active="auto", topology="ring", optimizer=sgd.with_learning_rate(best["learning_rate"])),
        task,
        seeds=options.auto_seeds,
        **common | {"rounds": AUTO_ROUNDS * options.rounds // 100},
    ).history
    ends = ending(auto, auto["round"].max(), options.rounds)
    spent = auto.group_by("seed").last()
    return {
        "largest": sizes[-1],
        "chosen": found.best,
        "predicted": tj.theory.optimal_active(problem, nodes=task.nodes, rounds=options.rounds),
        "true": int(min(k for k in sizes if gap[k] <= (1 + found.config["tolerance"]) * best["slots"])),
        "lowest": best["active"],
        "lowest_gap": best["slots"],
        "lowest_se": best["slots_se"],
        "chosen_gap": gap[found.best],
        "chosen_ok": found.best in near and not any(k in near for k in sizes if 4 * k <= found.best),
        "auto_k": float(np.median(spent["active"].to_numpy())),
        "auto_gap": float(ends.mean()),
        "auto_se": float(ends.std(ddof=1) / np.sqrt(len(ends))),
        "auto_gap_T": float(ending(auto, options.rounds, options.rounds).mean()),
        "auto_ok": bool(ends.mean() <= MARGIN * best["slots"]),
        "auto_rounds": int(spent["round"][0]),
        "auto_gradients": int(spent["gradients"].mean()),
        "search_gradients": int(found.table["gradients"].sum()),
    }


def ending(history: pl.DataFrame, until: int, rounds: int) -> np.ndarray:
    """The mean of loss_slots over the T / 4 rounds before ``until``, for each seed."""
    last = history.filter(pl.col("round").is_between(until - rounds // 4, until))
    return last.group_by("seed").agg(pl.col("loss_slots").mean())["loss_slots"].to_numpy()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
