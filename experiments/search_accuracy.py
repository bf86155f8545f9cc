"""How good are the searched numbers of active nodes? 20 quadratics and digits, against an exhaustive grid.

Run ``python experiments/search_accuracy.py``. Rows are written as they come and a row already in ``--out`` is kept, so
that a killed run goes on: delete the file after changing an option. Programs are compiled once for each number of
nodes and candidates; the problems of one n differ in numbers alone.

Objective: mean over slots of f(own model) - f*, over the last T / 4 rounds and over seeds; ``_se`` is its standard
error over seeds. All methods have one grid of step sizes, except that "auto" runs at the one tuned for the best
candidate. The columns:

- ``largest``: the largest candidate; ``chosen``: the k that the search recommends; ``predicted``: the k that minimises
  the bound of ``tj.theory``; ``lowest``: the k with the lowest objective in an exhaustive grid, each candidate run
  alone with seeds of its own, and ``true`` the smallest k within the search's tolerance of it;
- ``lowest_gap``, ``chosen_gap``: the objective in that grid at k = ``lowest`` and at k = ``chosen``;
- ``chosen_ok``: ``chosen_gap`` is within 10 % of ``lowest_gap`` or inside its standard error, and that of no k a
  quarter of the chosen one or smaller is;
- ``auto_k``: the median over seeds of the k at the end of a run of 1.3 T rounds in all (``auto_rounds``) with
  ``tj.auto``, ``auto_gap`` its objective at the end, ``auto_gap_T`` that of the same runs after T rounds;
- ``auto_ok``: ``auto_gap`` is within 10 % of ``lowest_gap``;
- ``auto_gradients``, ``search_gradients``: gradients of one seed, of auto and of all candidates of the search.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import optax
import polars as pl
import tyro

import telejax as tj
from telejax.studies.search.result import aggregate

RATES = (0.00625, 0.0125, 0.025, 0.05)
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
    grid_seeds: int = 32
    """Seeds of the exhaustive grid."""
    seeds: int = 16
    """Seeds of the search: with 4, differences of a fifth on the plateau are noise."""
    auto_seeds: int = 32
    """Seeds of auto: with 6, its standard error is up to 12 % of the objective, more than what it is tested for."""
    digits_seeds: int = 4
    """Seeds of all three on the digits."""
    problems: int = 20
    """How many of the quadratics; fewer for a quick look."""
    digits: bool = True


def main(options: Options) -> None:
    start = perf_counter()
    rows = pl.read_csv(options.out).to_dicts() if options.out.exists() else []
    quadratics = [(n, zeta, sigma) for n in PLACES for zeta, sigma in ZETA_SIGMA][: options.problems]
    for seed, (n, zeta, sigma) in enumerate(quadratics):
        label = {"task": f"quadratic {PLACES[n]}", "nodes": n, "zeta": zeta, "sigma": sigma}
        if is_missing(label, rows):
            task = tj.tasks.quadratic(
                nodes=n, dim=options.dim, heterogeneity=zeta, noise=sigma, placement=PLACES[n], seed=seed
            )
            problem = tj.theory.measure(task, task.optimum)
            rows.append(label | compare(task, problem, RATES, options, rows_a_run=100))
            write(rows, options.out)
            print(f"{rows[-1]}\n{perf_counter() - start:.0f} s", flush=True)
    label = {"task": "digits", "nodes": 100, "zeta": None, "sigma": None}
    if options.digits and is_missing(label, rows):
        task = tj.tasks.digits(nodes=100, alpha=0.1)
        problem = tj.theory.measure(task, nodes=50)
        few = dict.fromkeys(("grid_seeds", "seeds", "auto_seeds"), options.digits_seeds)
        rows.append(label | compare(task, problem, DIGITS_RATES, replace(options, **few), rows_a_run=40))
        write(rows, options.out)
    report(pl.DataFrame(rows, infer_schema_length=None))


def is_missing(label: dict, rows: list[dict]) -> bool:
    """Whether no row is of this problem."""
    return not any(label.items() <= row.items() for row in rows)


def write(rows: list[dict], out: Path) -> None:
    """Write what is known so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, infer_schema_length=None).write_csv(out, float_precision=5)


def report(table: pl.DataFrame) -> None:
    """Print the table and how many of its rows pass."""
    short = ("task", "nodes", "zeta", "sigma", "largest", "chosen", "predicted", "true", "lowest_gap", "lowest_se")
    short += ("chosen_gap", "chosen_ok", "auto_k", "auto_gap", "auto_se", "auto_ok")
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        tbl_formatting="MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
    ):
        print(table.select(short))
    inside = (pl.col("chosen") > 1) & (pl.col("chosen") < pl.col("largest"))
    for name, part in (("quadratics", table.drop_nulls("zeta")), ("all", table)):
        print(
            f"{name}: of {part.height}, the chosen k passes in {part['chosen_ok'].sum()}, auto in "
            f"{part['auto_ok'].sum()}; the chosen k is inside the range in {part.filter(inside).height}"
        )


def compare(task, problem, rates, options: Options, rows_a_run: int) -> dict:
    """The searched, the predicted and the exhaustive best k of one problem, and what auto ends at."""
    sgd = tj.optimizer(optax.sgd, learning_rate=rates[0])
    common = {"rounds": options.rounds, "eval_every": max(1, options.rounds // rows_a_run), "progress": False}
    found = tj.search(task, optimizer=sgd, tune=rates, seeds=options.seeds, **common)
    sizes = found.table["active"].to_list()
    alone = [
        tj.simulate(
            tj.teleportation(active=k, topology="ring", optimizer=sgd),
            task,
            tune=rates,
            seed=ALONE_SEED,
            seeds=options.grid_seeds,
            **common,
        ).history.drop("group")
        for k in sizes
    ]
    grid = aggregate(pl.concat(alone)).sort("diverged", "slots").group_by("active", maintain_order=True).first()
    gap = dict(zip(grid["active"], grid["slots"], strict=True))
    best = grid.sort("slots").row(0, named=True)
    near = {k for k in sizes if gap[k] <= max(MARGIN * best["slots"], best["slots"] + best["slots_se"])}
    auto = tj.simulate(
        tj.auto(topology="ring", optimizer=sgd.with_learning_rate(best["learning_rate"])),
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
