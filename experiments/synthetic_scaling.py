"""Rounds to a target accuracy against the number of nodes (section 5.1 of the paper), on telejax's quadratic.

    python experiments/synthetic_scaling.py --quick     # minutes on two cores; without it, all sizes

For each n, placement and (zeta, sigma): DSGD on the graph over n nodes and TELEPORTATION on the same graph over k
slots. The step size is the paper's grid's, tuned for each point: the one whose seeds reach the target in the
fewest rounds on average. A point that not all seeds reach with any step size within the limit is "never". The
target is a fraction of the loss at the start. Both models are judged: the mean model, and the slots' own.
DSGD stops at the n of --dsgd-up-to. Writes a table and a picture; finished cells are kept in --out, and the same
command resumes.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
import tyro
from rich.console import Console

import telejax as tj

RATES = [a * 10.0**-b for b in (1, 2, 3, 4) for a in (1, 0.75, 0.5, 0.25)][:13]  # 0.1, 0.075, ..., 0.0001
SETTINGS = {"(0, z)": (5.0, 0.0), "(s, 0)": (0.0, 5.0), "(s, z)": (5.0, 5.0)}
"""The paper's (sigma, zeta) as (heterogeneity, noise)."""
TARGETS = (0.1, 0.01, 0.001)
"""As shares of the loss at the start."""
SHOWN = 0.01
NAMES = {"teleportation": "TELEPORTATION", "decentralized_sgd": "DSGD"}
COLOURS = {"ring": "C0", "exponential": "C1", "base:degree=1": "C2"}
GROUP = ["setting", "placement", "metric", "target", "topology"]


@dataclass(frozen=True)
class Options:
    quick: bool = False
    """Few sizes, every second step size of the grid, ring and exponential only, at most 1000 rounds."""
    dsgd_up_to: int = 2**20
    """The largest n for DSGD, which keeps n copies."""
    rounds: int = 4000
    """The limit."""
    active: int = 16
    """k of TELEPORTATION."""
    seeds: int = 3
    """Number of seeds."""
    out: Path = Path("runs/synthetic")
    """Folder of the finished cells."""
    figure: Path = Path("experiments/figures/synthetic_scaling.png")
    """Where the picture goes."""


def runs(options: Options) -> pl.DataFrame:
    """All histories, from one sweep for each setting and method."""
    rates = RATES[::2] if options.quick else RATES
    rounds = min(options.rounds, 1000) if options.quick else options.rounds
    exponents = (4, 6, 8, 10, 12) if options.quick else range(4, 21, 2)
    large = (17, 22, 27) if options.quick else (22, 24, 27)
    topologies = ["ring", "exponential"] if options.quick else ["ring", "exponential", "base:degree=1"]
    frames = []
    for setting, (zeta, sigma) in SETTINGS.items():
        for method, extra, sizes in (
            ("decentralized_sgd", {}, [2**e for e in exponents if 2**e <= options.dsgd_up_to]),
            ("teleportation", {"active": options.active}, [2**e for e in (*exponents, *large)]),
        ):
            spec = {
                "rounds": rounds,
                "eval_every": 2,
                "seeds": list(range(options.seeds)),
                "task": {
                    "name": "quadratic",
                    "nodes": sizes,
                    "placement": ["sorted", "shuffled"],
                    "heterogeneity": zeta,
                    "noise": sigma,
                },
                "method": {"name": method, "topology": topologies, **extra},
                "optimizer": {"name": "sgd", "learning_rate": rates},
            }
            folder = options.out / f"{'quick' if options.quick else 'full'}-{zeta:g}-{sigma:g}-{method}"
            table = tj.sweep(spec, folder).table
            frames.append(table.with_columns(pl.lit(setting).alias("setting")))
    return pl.concat(frames, how="diagonal_relaxed")


def rounds_to_targets(table: pl.DataFrame) -> pl.DataFrame:
    """One row a point: the fewest mean rounds over step sizes, null where no step size brings all seeds there."""
    start = 5.0  # f(x_0) - f(x*) of the quadratic at its default distance
    points = [*GROUP, "method", "nodes"]
    found = []
    for metric in ("loss", "loss_slots"):
        for target in TARGETS:
            run = table.group_by(
                "setting", "placement", "topology", "method", "nodes", "learning_rate", "seed", maintain_order=True
            ).agg(pl.col("round").filter(pl.col(metric) <= target * start).min().alias("rounds"))
            labels = pl.lit(metric).alias("metric"), pl.lit(target).alias("target")
            rates = run.with_columns(*labels).group_by(*points, "learning_rate", maintain_order=True)
            reached = pl.when(pl.col("rounds").is_null().any()).then(None).otherwise(pl.col("rounds").mean())
            means = rates.agg(reached.alias("rounds"), pl.col("rounds").std().alias("std"))
            best = means.sort("rounds", nulls_last=True, maintain_order=True)
            found.append(best.group_by(points, maintain_order=True).first())
    return pl.concat(found)


def verdict(table: pl.DataFrame) -> pl.DataFrame:
    """Where both methods were run: in how many points TELEPORTATION needs fewer rounds, as many, or more."""
    both = table.pivot("method", index=[*GROUP, "nodes"], values="rounds")
    run = table.group_by([*GROUP, "nodes"]).agg(pl.len().alias("methods")).filter(pl.col("methods") == 2)
    both = both.join(run, on=[*GROUP, "nodes"])
    ours, theirs = pl.col("teleportation").fill_null(float("inf")), pl.col("decentralized_sgd").fill_null(float("inf"))
    return (
        both.group_by("setting", "metric", "topology", "placement")
        .agg(
            (ours < theirs).sum().alias("fewer"),
            ((ours == theirs) & ours.is_finite()).sum().alias("as many"),
            (ours > theirs).sum().alias("more"),
            (ours.is_infinite() & theirs.is_infinite()).sum().alias("neither"),
        )
        .sort("setting", "metric", "topology", "placement")
    )


def plot(table: pl.DataFrame, path: Path) -> None:
    """Rounds of the mean model to the middle target, with their deviation over seeds: settings across, placements
    down."""
    shown = table.filter((pl.col("metric") == "loss") & (pl.col("target") == SHOWN))
    figure, grid = plt.subplots(2, len(SETTINGS), figsize=(12, 6.5), layout="constrained", sharex=True, sharey=True)
    for row, placement in zip(grid, ("sorted", "shuffled"), strict=True):
        for axes, setting in zip(row, SETTINGS, strict=True):
            part = shown.filter((pl.col("setting") == setting) & (pl.col("placement") == placement))
            for (method, topology), line in part.group_by("method", "topology", maintain_order=True):
                style = "-" if method == "teleportation" else "--"
                line = line.sort("nodes")
                axes.errorbar(
                    line["nodes"],
                    line["rounds"],
                    yerr=line["std"],
                    linestyle=style,
                    marker=".",
                    capsize=2,
                    color=COLOURS[topology],
                    label=f"{NAMES[method]} {topology}",
                )
            axes.set_title(f"(sigma, zeta) = {setting}, {placement}", fontsize="medium")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
    figure.supxlabel("nodes")
    figure.supylabel(f"rounds to {SHOWN:.0%} of the loss at the start")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main(options: Options) -> None:
    table = rounds_to_targets(runs(options))
    options.out.mkdir(parents=True, exist_ok=True)
    table.write_parquet(options.out / "rounds.parquet")
    plot(table, options.figure)
    console = Console(width=140)
    shown = table.filter((pl.col("metric") == "loss") & (pl.col("target") == SHOWN))
    wide = shown.sort("nodes").pivot("nodes", index=["setting", "placement", "method", "topology"], values="rounds")
    with pl.Config(
        tbl_rows=100, tbl_cols=20, tbl_width_chars=140, tbl_hide_column_data_types=True, tbl_formatting="MARKDOWN",
        float_precision=0,
    ):  # fmt: skip
        console.print(f"Rounds of the mean model to {SHOWN:.0%} of the loss at the start (null: never, or not run):")
        console.print(str(wide.sort("setting", "placement", "method", "topology")))
        console.print("Points where TELEPORTATION needs fewer rounds than DSGD on the same graph, all targets:")
        console.print(str(verdict(table)))
    edge = table.filter(pl.col("rounds").is_not_null() & pl.col("learning_rate").is_in([max(RATES)]))
    console.print(f"{edge.height} of {table.height} points are best at the grid's largest step size")


if __name__ == "__main__":
    main(tyro.cli(Options))
