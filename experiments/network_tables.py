"""What networks.py prints and draws: each method at equal rounds and at equal gradients."""

from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
from rich.table import Table

from telejax.results.plots import plot_histories
from telejax.results.spread import mean_and_spread

SCORES = ("accuracy", "accuracy_slots", "accuracy_worst")


def table(histories: dict[str, pl.DataFrame], title: str, rounds: int) -> Table:
    """Each method at round ``rounds`` and, where it runs on, at its last round: mean ± deviation over seeds."""
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("method", "step size", "round", "mean model", "slots' mean", "worst slot", "gradients", "GB"):
        shown.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for method, history in histories.items():
        for at in sorted({rounds, history["round"].max()}):
            rows = history.filter(round=at)
            shown.add_row(
                method + (" (diverged)" if history["diverged"].any() else ""),
                f"{history['learning_rate'][0]:g}",
                f"{at:,}",
                *(mean_and_spread(rows[name].mean(), rows[name].std(), digits=3) for name in SCORES),
                f"{rows['gradients'].mean() or 0:,.0f}",
                f"{(rows['bytes'].mean() or 0) / 1e9:.3g}",
            )
    return shown


def against(histories: dict[str, pl.DataFrame], baseline: str, rounds: int) -> list[str]:
    """Sentences: how the slots' own models of every TELEPORTATION compare with those of the baseline."""
    if baseline not in histories:
        return []
    theirs = histories[baseline].filter(round=rounds)["accuracy_slots"]
    told = []
    for method, history in histories.items():
        if not method.startswith("teleportation"):
            continue
        for at in sorted({rounds, history["round"].max()}):
            ours = history.filter(round=at)["accuracy_slots"]
            if len(ours) < 2 or len(theirs) < 2:
                continue
            gap, spread = ours.mean() - theirs.mean(), max(ours.std(), theirs.std())
            verdict = "above" if gap > spread else "below" if gap < -spread else "as good as"
            told.append(
                f"slots' mean of {method} at round {at:,} is {verdict} that of {baseline} at round {rounds:,}: "
                f"difference {gap:+.3f}, larger deviation over seeds {spread:.3f}"
            )
    return told


def write(histories: dict[str, pl.DataFrame], folder: Path) -> None:
    """history.parquet, and accuracy against rounds, gradients and bytes as accuracy.png."""
    named = [history.select(pl.lit(method).alias("method"), pl.all()) for method, history in histories.items()]
    pl.concat(named).write_parquet(folder / "history.parquet")
    figure, grid = plt.subplots(2, 3, figsize=(14, 7), layout="constrained", sharey="row")
    later = {method: history.filter(pl.col("round") > 0) for method, history in histories.items()}  # for log axes
    for row, metric in zip(grid, SCORES[:2], strict=True):
        for axes, x in zip(row, ("round", "gradients", "bytes"), strict=True):
            plot_histories(later, metric, x, axes)
            axes.set_xscale("log")
            axes.get_legend().remove()
            for line in axes.lines:
                line.set(marker=".", markersize=4)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(folder / "accuracy.png", dpi=100)
    plt.close(figure)
