"""Algorithm 2: how good are the searched numbers of active nodes? New quadratics and digits, an exhaustive grid judges.

    python experiments/paper/algorithm_2.py --quick
    python experiments/paper/algorithm_2.py

No rule of the search or of auto was chosen on these problems: their sizes, seeds and graphs are used here alone. The
objective is the mean over slots of f(own model) - f*, over the last T / 4 rounds and over seeds; ``_se`` is its
standard error. All have one grid of step sizes; "auto" runs at the one tuned for the best candidate. The columns:

- ``largest``: the largest candidate; ``chosen``: the k that the search recommends; ``exact``: that of exact moments
  (``tj.theory.optimal_active(objective="slots")``); ``bound``: that of the convergence bound;
- ``lowest``: the k with the lowest objective in an exhaustive grid, each candidate run alone with seeds of its own;
- ``lowest_gap``, ``chosen_gap``, ``exact_gap``: the objective in that grid at these k;
- ``chosen_ok``, ``exact_ok``: that gap is within 10 % (for ``exact`` within the search's tolerance, 5 %) of
  ``lowest_gap`` or inside its standard error, and no k a quarter of it or smaller is;
- ``auto_k``: the median over seeds of the k at the end of 1.3 T rounds with ``tj.auto``, ``auto_gap`` its objective at
  the end, ``auto_gap_T`` that after T rounds; ``auto_ok``: ``auto_gap`` is within 10 % of ``lowest_gap``;
- ``search_rounds``: rounds of the search, which runs its candidates side by side; ``search_gradients``,
  ``auto_gradients``: of one seed.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj
from telejax.studies.search.result import aggregate

VERSION = 2
KEYS = ["task", "nodes", "graph", "zeta", "sigma"]
ROUNDS, AUTO_ROUNDS, DIM, FIRST_SEED = 400, 520, 10, 200
RATES = (0.003125, 0.00625, 0.0125, 0.025, 0.05)
DIGITS_RATES = (0.1, 0.25, 0.6, 1.5)
SIZES = {18: "shuffled", 50: "sorted", 130: "shuffled", 240: "sorted", 700: "shuffled"}
GRAPHS = ("ring", "base:degree=1", "exponential", "torus")
ZETA_SIGMA = ((5.0, 2.0), (2.0, 6.0), (7.0, 5.0), (3.0, 3.0))
ALONE_SEED = 1000  # of the exhaustive grid, whose seeds no search has seen
MARGIN = 1.1


@dataclass(frozen=True)
class Settings(Options):
    """Seeds of each part; 32 keep the standard errors at a few per cent of the objective."""

    problems: int = 20
    """How many of the quadratics."""
    digits: bool = True
    grid_seeds: int = 32
    search_seeds: int = 16
    auto_seeds: int = 32
    digits_seeds: int = 4
    """Of all three on the digits."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"problems": 4, "digits": False, "grid_seeds": 8, "search_seeds": 8, "auto_seeds": 8}


def main(settings: Settings) -> None:
    seeds = {name: getattr(settings, f"{name}_seeds") for name in ("grid", "search", "auto", "digits")}
    table = table_of(settings, __file__, VERSION, seeds)
    cells = problems()[: settings.problems] + [digits(n) for n in (45, 120)] * settings.digits
    for number, (key, task, rates) in enumerate(cells, 1):
        few = dict.fromkeys(seeds, settings.digits_seeds) if key["task"] == "digits" else seeds
        rows = table.cell(key, lambda: pl.DataFrame([judge(key["graph"], task(), rates, few)]))  # noqa: B023
        table.tell(f"{key}: {rows.row(0, named=True)}", number, len(cells))
        jax.clear_caches()
    show(table.rows.drop("seconds", "auto_rounds", "auto_gap_T", "search_gradients", "auto_gradients"))
    print(passed(table.rows))
    table.close(KEYS)


def problems() -> list[tuple[dict[str, Any], Any, tuple[float, ...]]]:
    """The quadratics: key, what makes the task, step sizes."""
    found = []
    for number, (nodes, placement) in enumerate(SIZES.items()):
        for offset, (zeta, sigma) in enumerate(ZETA_SIGMA):
            graph = GRAPHS[(number + offset) % len(GRAPHS)]
            key = {"task": f"quadratic {placement}", "nodes": nodes, "graph": graph, "zeta": zeta, "sigma": sigma}
            more = {"heterogeneity": zeta, "noise": sigma, "placement": placement, "seed": FIRST_SEED + len(found)}
            found.append((key, lambda nodes=nodes, more=more: tj.tasks.quadratic(nodes=nodes, dim=DIM, **more), RATES))
    return found


def digits(nodes: int) -> tuple[dict[str, Any], Any, tuple[float, ...]]:
    """Digits whose labels are split unevenly."""
    key = {"task": "digits", "nodes": nodes, "graph": "ring", "zeta": 0.0, "sigma": 0.0}
    return key, lambda: tj.tasks.digits(nodes=nodes, alpha=0.2, seed=FIRST_SEED), DIGITS_RATES


def judge(graph: str, task: Any, rates: tuple[float, ...], seeds: dict[str, int]) -> dict[str, Any]:
    """One row: the k of the search, of the theory, of an exhaustive grid, and what auto ends at."""
    sgd, is_quadratic = tj.optimizer(optax.sgd, learning_rate=rates[0]), hasattr(task, "optimum")
    common = {"eval_every": 4 if is_quadratic else 10, "progress": False}
    found = tj.search(
        task, graph, optimizer=sgd, rounds=ROUNDS, tune=list(rates), seeds=seeds["search"], **common
    )  # fmt: skip
    sizes = found.table["active"].to_list()
    grid = exhaustive(graph, task, sgd, rates, sizes, seeds["grid"], common)
    gap = dict(zip(grid["active"], grid["slots"], strict=True))
    best = grid.sort("slots").row(0, named=True)

    def is_fine(k: int, margin: float) -> bool:
        near = {one for one in sizes if gap[one] <= max(margin * best["slots"], best["slots"] + best["slots_se"])}
        return k in near and not any(4 * one <= k for one in near)

    tolerance = found.config["tolerance"]
    row = {"largest": sizes[-1], "chosen": found.best, "exact": None, "bound": None, "lowest": best["active"]}
    row |= {"lowest_gap": best["slots"], "lowest_se": best["slots_se"], "lowest_rate": best["learning_rate"]}
    row |= {
        "chosen_gap": gap[found.best],
        "chosen_ok": is_fine(found.best, MARGIN),
        "exact_gap": None,
        "exact_ok": None,
    }
    if is_quadratic:
        exact = tj.theory.optimal_active(
            task, topology=graph, rounds=ROUNDS, candidates=sizes, objective="slots", learning_rates=rates
        )
        row |= {"exact": exact, "exact_gap": gap[exact], "exact_ok": is_fine(exact, 1 + tolerance)}
        constants = tj.theory.measure(task, task.optimum)
        row["bound"] = tj.theory.optimal_active(constants, nodes=task.nodes, rounds=ROUNDS, topology=graph)
    row |= of_auto(graph, task, sgd.with_learning_rate(best["learning_rate"]), seeds["auto"], common)
    return row | {
        "auto_ok": row["auto_gap"] <= MARGIN * best["slots"],
        "search_rounds": found.rounds_used,
        "search_gradients": int(found.table["gradients"].sum()),
    }


def exhaustive(graph, task, sgd, rates, sizes, seeds, common) -> pl.DataFrame:
    """One row a k, at its best step size: each candidate alone, with seeds that no search has seen."""
    alone = [
        tj.simulate(
            tj.teleportation(active=k, topology=graph, optimizer=sgd),
            task,
            rounds=ROUNDS,
            tune=list(rates),
            seed=ALONE_SEED,
            seeds=seeds,
            **common,
        ).history.drop("group")
        for k in sizes
    ]
    table = aggregate(pl.concat(alone)).sort("diverged", "slots")
    return table.group_by("active", maintain_order=True).first()


def of_auto(graph, task, sgd, seeds, common) -> dict[str, Any]:
    """Where auto ends after AUTO_ROUNDS."""
    auto = tj.auto(topology=graph, optimizer=sgd)
    history = tj.simulate(auto, task, rounds=AUTO_ROUNDS, seeds=seeds, **common).history
    ends, spent = ending(history, history["round"].max()), history.group_by("seed").last()
    return {
        "auto_k": float(np.median(spent["active"].to_numpy())),
        "auto_gap": float(ends.mean()),
        "auto_se": float(ends.std(ddof=1) / np.sqrt(len(ends))),
        "auto_gap_T": float(ending(history, ROUNDS).mean()),
        "auto_rounds": int(spent["round"][0]),
        "auto_gradients": int(spent["gradients"].mean()),
    }


def ending(history: pl.DataFrame, until: int) -> np.ndarray:
    """The mean of loss_slots over the T / 4 rounds before ``until``, for each seed."""
    last = history.filter(pl.col("round").is_between(until - ROUNDS // 4, until))
    return last.group_by("seed").agg(pl.col("loss_slots").mean())["loss_slots"].to_numpy()


def passed(rows: pl.DataFrame) -> str:
    """How many problems each way of choosing k passes."""
    told = []
    for name, part in (("quadratics", rows.filter(pl.col("task") != "digits")), ("digits", rows.filter(task="digits"))):
        if part.height:
            exact = f", the exact k in {part['exact_ok'].sum()}" if name == "quadratics" else ""
            told.append(
                f"{name}: of {part.height}, the searched k passes in {part['chosen_ok'].sum()}, auto in "
                f"{part['auto_ok'].sum()}{exact}"
            )
    return "\n".join(told)


if __name__ == "__main__":
    command(main, Settings, __doc__)
