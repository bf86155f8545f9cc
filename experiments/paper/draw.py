"""The pictures of CLAIMS.md, from committed tables; claims.py calls this."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
import section_5_1
import section_5_2
import section_5_3
from matplotlib.figure import Figure

COLOURS = {"ring": "C0", "exponential": "C1", "base:degree=1": "C2"}


def rounds_against_nodes(rows: pl.DataFrame) -> Figure:
    """Section 5.1: a row a problem, a column a setting; DSGD dashed, TELEPORTATION at its searched k solid."""
    points = section_5_1.compared(rows).filter(pl.col("metric") == "loss_slots")
    points = points.filter(pl.col("target") == pl.col("target").max().over("problem"))
    points = points.filter(pl.col("nodes").n_unique().over("problem") > 1)  # a curve, where there is one yet
    problems = points["problem"].unique(maintain_order=True).to_list()
    figure, grid = grid_of(len(problems), len(section_5_1.SETTINGS))
    for row, problem in zip(grid, problems, strict=True):
        for axes, setting in zip(row, section_5_1.SETTINGS, strict=True):
            part = points.filter(problem=problem, setting=setting).sort("nodes")
            for (graph,), line in part.group_by("topology", maintain_order=True):
                for column, style, name in (("rounds_dsgd", "--", "DSGD"), ("rounds_searched", "-", "TELEPORTATION")):
                    there = line.filter(pl.col(column).is_finite())
                    label, colour = f"{name} {graph}", COLOURS[str(graph)]
                    axes.plot(there["nodes"], there[column], style, marker=".", color=colour, label=label)
            axes.set(title=f"{problem}, (sigma, zeta) = {setting}", xlabel="nodes", ylabel="rounds to the target")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
    return with_legend(figure, grid)


def accuracy_against_epochs(rows: pl.DataFrame) -> Figure:
    """Section 5.2: a row a number of nodes, a column an alpha; means over seeds at the tuned step size, and ranges."""
    runs = rows.filter(~pl.col("method").str.starts_with("search"))
    nodes, alphas = (runs[name].unique().sort().to_list() for name in ("nodes", "alpha"))
    figure, grid = grid_of(len(nodes), len(alphas))
    for row, n in zip(grid, nodes, strict=True):
        for axes, alpha in zip(row, alphas, strict=True):
            for number, method in enumerate(section_5_2.METHODS):
                part = runs.filter(nodes=n, alpha=alpha, method=method)
                if part.is_empty():
                    continue
                end = part["horizon"].max()
                rate = section_5_2.best_rate(part, end)
                chosen = part.filter(pl.col("round") > 0, learning_rate=rate, horizon=end)
                line = chosen.group_by("round").agg(
                    pl.col("accuracy_slots").mean().alias("mean"),
                    pl.col("accuracy_slots").min().alias("low"),
                    pl.col("accuracy_slots").max().alias("high"),
                )
                line = line.sort("round").with_columns(pl.col("round") / end * section_5_2.Settings().epochs)
                axes.plot(line["round"], line["mean"], marker=".", color=f"C{number}", label=method)
                axes.fill_between(line["round"], line["low"], line["high"], color=f"C{number}", alpha=0.2)
            axes.set(title=f"n = {n}, alpha = {alpha:g}", xlabel="epochs", ylabel="accuracy of the slots' own models")
    return with_legend(figure, grid)


def rates(rows: pl.DataFrame) -> Figure:
    """The mean squared gradient against n, k and the number of rounds."""
    figure, grid = grid_of(1, 3)
    against_n, against_k, against_t = grid[0]
    for part, style in (("sorted", "--"), ("nodes", "-")):
        lines = rows.filter(part=part).sort("nodes")
        for number, (method, line) in enumerate(lines.group_by("method", maintain_order=True)):
            placed = {"sorted": "neighbours alike", "nodes": "shuffled"}[part]
            label = f"{method[0]}{', k = 16' if 'TELE' in str(method[0]) else ''}, {placed}"
            against_n.plot(line["nodes"], line["theorem"], style, marker=".", color=f"C{number}", label=label)
    for part, name in (("active", "TELEPORTATION, k active"), ("tokens", "m tokens, their mean")):
        line = rows.filter(part=part).sort("active")
        against_k.plot(line["active"], line["theorem"], marker=".", label=name)
    line = rows.filter(part="rounds").sort("rounds")
    against_t.plot(line["rounds"], line["theorem"], marker=".", label="TELEPORTATION, k = 16")
    for axes, x in ((against_n, "nodes"), (against_k, "active nodes, or tokens"), (against_t, "rounds T")):
        axes.set(xlabel=x, ylabel="mean squared gradient", yscale="log")
        axes.set_xscale("log", base=2)
        axes.legend(fontsize="x-small", loc="best")
    return figure


def grid_of(rows: int, columns: int) -> tuple[Figure, list]:
    """Axes with a light grid."""
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.9 * columns + 2.4, 3.2 * rows + 0.6), layout="constrained", squeeze=False
    )
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    return figure, grid


def with_legend(figure: Figure, grid: list) -> Figure:
    """One legend beside all axes."""
    handles = {}
    for axes in grid.flat:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles, loc="outside right upper", fontsize="small")
    return figure


PICTURES: dict[str, tuple[str, str, Callable[[pl.DataFrame], Figure]]] = {
    "rates": ("Mean squared gradient against nodes, active nodes and rounds", "rates", rates),
    "section_5_1": ("Rounds to a target against nodes", "section_5_1", rounds_against_nodes),
    "section_5_2": ("Accuracy against epochs", "section_5_2", accuracy_against_epochs),
    "section_5_3_digits": (
        "Accuracy of digits against simulated seconds",
        "section_5_3",
        lambda rows: section_5_3.draw(rows.filter(data="digits")),
    ),
    "section_5_3_fashion_mnist": (
        "Accuracy of Fashion-MNIST against simulated seconds",
        "section_5_3",
        lambda rows: section_5_3.draw(rows.filter(data="fashion_mnist")),
    ),
}
"""File, what is seen, script, and what draws its table."""


def draw_all(table_of: Callable[[str], pl.DataFrame], folder: Path) -> None:
    """Write each picture as figures/FILE.png."""
    for file, (_, script, picture) in PICTURES.items():
        figure = picture(table_of(script))
        figure.savefig(folder / f"{file}.png", dpi=90)
        plt.close(figure)
