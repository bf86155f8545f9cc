"""Section 5.1: rounds to a target accuracy against the number of nodes, of DSGD and of TELEPORTATION.

    python experiments/paper/section_5_1.py --quick      # n = 4, 16 and 64 of the paper's problem, two graphs
    python experiments/paper/section_5_1.py              # the paper's problem to 2^12, telejax's own to 2^27; resumes

The paper's problem is that of Koloskova 2020 (``koloskova``), whose largest curvature is n; telejax's quadratic has
bounded curvature at any n, its nodes placed ``sorted`` around the circle or ``shuffled``. Step sizes are the paper's,
tuned for every point, and some above for telejax's quadratic, so that the best of them is inside the grid; three seeds.
A target is a share of the loss at the start, of the mean model (``loss``) or of the slots' own (``loss_slots``). Rounds
are the mean over seeds of the first evaluation there; a step size counts where all seeds get there, and runs end when
one does at every target, or at the limit. TELEPORTATION runs with every k of an exhaustive grid, on the same kind of
graph as DSGD, and a search says which k it would have taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj
from telejax.errors import check_name

VERSION = 1
PAPERS = tuple(a * 10.0**-b for b in (1, 2, 3, 4) for a in (1, 0.75, 0.5, 0.25))[:13]  # 0.1, 0.075, ..., 0.0001
RATES = {"koloskova": PAPERS, "sorted": (0.75, 0.5, 0.25, *PAPERS), "shuffled": (0.75, 0.5, 0.25, *PAPERS)}
SETTINGS = {"(0, z)": (5.0, 0.0), "(s, 0)": (0.0, 5.0), "(s, z)": (5.0, 5.0)}
"""The paper's (sigma, zeta) as (heterogeneity, noise)."""
TARGETS = {"koloskova": (1e-3, 1e-4), "sorted": (1e-2, 1e-3), "shuffled": (1e-2, 1e-3)}
METRICS = ("loss", "loss_slots")
EVERY, FIRST = 2, 200  # rounds between evaluations, and of the first stretch; each next stretch doubles the run
DSGD_UP_TO = 2**12
SEARCH_ROUNDS = 400
KEYS = ["problem", "setting", "nodes", "topology", "method", "active"]


@dataclass(frozen=True)
class Settings(Options):
    """What to run; problems, exponents and topologies choose cells, the others are of the whole table."""

    problems: tuple[str, ...] = ("koloskova", "shuffled", "sorted")
    exponents: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 22, 27)
    """log2 of the numbers of nodes; the paper's problem has at most 2^12."""
    topologies: tuple[str, ...] = ("ring", "exponential", "base:degree=1")
    rounds: int = 6400
    """The limit."""
    seeds: int = 3
    largest: int = 64
    """The most active nodes of the exhaustive grid, powers of two."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        small = {"problems": ("koloskova",), "exponents": (2, 4, 6), "topologies": ("ring", "exponential")}
        return small | {"rounds": 800, "largest": 16}


def main(settings: Settings) -> None:
    for problem in settings.problems:
        check_name("problem", problem, tuple(RATES))
    whole = {name: getattr(settings, name) for name in ("rounds", "seeds", "largest")}
    table = table_of(settings, __file__, VERSION, whole)
    cells = list(points(settings))
    for number, key in enumerate(cells, 1):
        known = table.find(key).height
        table.cell(key, lambda key=key: point(key, settings))
        if not known:
            table.tell(", ".join(str(value) for value in key.values()), number, len(cells))
            jax.clear_caches()  # the programs of no cell are those of the next
    show(verdicts(table.rows))
    print(edges(table.rows))
    table.close(KEYS)


def points(settings: Settings) -> Iterable[dict[str, Any]]:
    """The keys of all cells; small ones first."""
    for exponent in settings.exponents:
        nodes = 2**exponent
        for problem in settings.problems:
            if not exists(problem, exponent):
                continue
            for setting in SETTINGS:
                for topology in settings.topologies:
                    shared = {"problem": problem, "setting": setting, "nodes": nodes, "topology": topology}
                    if nodes <= DSGD_UP_TO:
                        yield shared | {"method": "dsgd", "active": nodes}
                    sizes = powers_of_two(min(nodes, settings.largest))
                    for active in sizes:
                        yield shared | {"method": "teleportation", "active": active}
                    yield shared | {"method": "search", "active": sizes[-1]}


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... up to ``most``."""
    return [2**power for power in range(most.bit_length())]


def exists(problem: str, exponent: int) -> bool:
    """Whether the full run has this size: all that the paper's problem allows, every second one of telejax's own."""
    return 2**exponent <= DSGD_UP_TO if problem == "koloskova" else exponent % 2 == 0 or exponent > 12


def point(key: dict[str, Any], settings: Settings) -> pl.DataFrame:
    """The rows of one cell: rounds to each target of each metric, or the k that a search recommends."""
    zeta, sigma = SETTINGS[key["setting"]]
    if key["problem"] == "koloskova":
        task: Any = tj.tasks.koloskova_quadratic(nodes=key["nodes"], heterogeneity=zeta, noise=sigma)
    else:
        task = tj.tasks.quadratic(nodes=key["nodes"], heterogeneity=zeta, noise=sigma, placement=key["problem"])
    sgd, rates = tj.optimizer(optax.sgd, learning_rate=0.001), list(RATES[key["problem"]])
    if key["method"] == "search":
        found = tj.search(
            task,
            key["topology"],
            optimizer=sgd,
            rounds=SEARCH_ROUNDS,
            candidates=powers_of_two(key["active"]),
            tune=rates,
            seeds=settings.seeds,
            progress=False,
        )
        return pl.DataFrame({"chosen": [found.best]})
    if key["method"] == "dsgd":
        algorithm: Any = tj.decentralized_sgd(topology=key["topology"], optimizer=sgd)
    else:
        algorithm = tj.teleportation(active=key["active"], topology=key["topology"], optimizer=sgd)
    return pl.DataFrame(best(algorithm, task, rates, TARGETS[key["problem"]], settings))


def best(algorithm: Any, task: Any, rates: list[float], targets: tuple[float, ...], settings: Settings) -> list[dict]:
    """One row a metric and target; null rounds where no step size brings all seeds there within the limit."""
    run, done, histories = None, 0, []
    while done < settings.rounds:
        stretch = min(done or FIRST, settings.rounds - done)
        try:
            run = tj.simulate(
                algorithm,
                task,
                rounds=stretch,
                eval_every=EVERY,
                tune=rates,
                seeds=settings.seeds,
                state=run,
                progress=False,
            )
        except tj.DivergenceError as error:  # with all step sizes
            histories.append(error.result.history)
            break
        histories.append(run.history)
        done += stretch
        rows = reached(pl.concat(histories, how="diagonal_relaxed"), targets)
        if all(row["rounds"] is not None for row in rows):
            return rows
    return reached(pl.concat(histories, how="diagonal_relaxed"), targets)


def reached(history: pl.DataFrame, targets: tuple[float, ...]) -> list[dict]:
    """For each metric and target the step size with the fewest rounds, and those rounds over seeds."""
    start, rows = history.row(0, named=True)["loss"], []
    for metric in METRICS:
        for target in targets:
            first = pl.col("round").filter(pl.col(metric) <= target * start).min().alias("rounds")
            runs = history.group_by("learning_rate", "seed").agg(first)
            rates = runs.group_by("learning_rate").agg(
                pl.when(pl.col("rounds").is_null().any()).then(None).otherwise(pl.col("rounds").mean()).alias("rounds"),
                (pl.col("rounds").std() / pl.len().sqrt()).alias("rounds_se"),
            )
            top = rates.sort("rounds", "learning_rate", nulls_last=True).row(0, named=True)
            there = top["rounds"] is not None
            shared = {"metric": metric, "target": target, "rounds": top["rounds"]}
            rows.append(
                shared
                | {"rounds_se": top["rounds_se"] if there else None}
                | {"learning_rate": top["learning_rate"] if there else None}
            )
    return rows


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a point that both methods have: rounds of DSGD, of TELEPORTATION at its best k, and at the searched k."""
    where = ["problem", "setting", "nodes", "topology", "metric", "target"]
    runs = rows.filter(pl.col("method") != "search")
    far = pl.col("rounds").fill_null(float("inf")).alias("rounds")
    dsgd = runs.filter(method="dsgd").select(*where, far, pl.col("rounds_se").fill_null(0.0))
    few = runs.filter(method="teleportation").select(*where, "active", far, pl.col("rounds_se").fill_null(0.0))
    top = few.sort("rounds", "active").group_by(where, maintain_order=True).first()
    chosen = rows.filter(method="search").select(*where[:4], pl.col("chosen").cast(pl.Int64).alias("active"))
    searched = few.join(chosen, on=[*where[:4], "active"]).drop("rounds_se")
    table = top.join(searched, on=where, suffix="_searched")
    return table.join(dsgd, on=where, how="left", suffix="_dsgd").sort(where)


def verdicts(rows: pl.DataFrame) -> pl.DataFrame:
    """In how many points TELEPORTATION at its searched k needs fewer rounds than DSGD by more than two standard errors,
    as many, or more."""
    both = compared(rows).filter(pl.col("rounds_dsgd").is_not_null())
    ours, theirs = pl.col("rounds_searched"), pl.col("rounds_dsgd")
    margin = 2 * (pl.col("rounds_se") ** 2 + pl.col("rounds_se_dsgd") ** 2).sqrt()
    neither = ours.is_infinite() & theirs.is_infinite()
    return (
        both.group_by("problem", "setting", "topology", "metric")
        .agg(
            ((ours < theirs - margin) & ~neither).sum().alias("fewer"),
            (((ours - theirs).abs() <= margin) & ~neither).sum().alias("as many"),
            ((ours > theirs + margin) & ~neither).sum().alias("more"),
            neither.sum().alias("neither"),
        )
        .sort("problem", "setting", "topology", "metric")
    )


def edges(rows: pl.DataFrame) -> str:
    """How many of the tuned step sizes are the largest or the smallest of their grid."""
    told = rows.drop_nulls("learning_rate")
    largest = sum(told.filter(problem=problem, learning_rate=max(rates)).height for problem, rates in RATES.items())
    smallest = told.filter(learning_rate=min(PAPERS)).height
    return f"of {told.height} tuned step sizes {largest} are the largest of the grid and {smallest} the smallest"


if __name__ == "__main__":
    command(main, Settings, __doc__)
