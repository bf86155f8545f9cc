"""The picture of an advice: what accuracy on the sites' own data costs."""

from typing import TYPE_CHECKING

import polars as pl

from telejax.studies.advice.sites import Aim

if TYPE_CHECKING:
    import matplotlib.figure

MARKERS = {"alone": "s", "server": "^", "together": "D", "representatives": "o"}
COSTS = {
    "hours": ("hours", "hours"),
    "gigabytes": ("gigabytes of all sites", None),
    "load": ("gigabytes of the busiest site", None),
    "cost": ("cost", "cost"),
}
"""Of a column, what its axis is called and which limit of an aim is drawn."""


def plot_advice(
    table: pl.DataFrame, aim: Aim, recommended: str | None, currency: str = ""
) -> "matplotlib.figure.Figure":
    """A panel for each kind of cost, a marker for each candidate, its spread over seeds; the aim as dotted lines."""
    import matplotlib.pyplot as plt

    shown = [name for name in COSTS if table[name].null_count() < table.height]
    figure, grid = plt.subplots(1, len(shown), figsize=(3.6 * len(shown), 4.6), layout="constrained", sharey=True)
    for axes, name in zip(grid, shown, strict=True):
        called, limit = COSTS[name]
        for place, row in enumerate(table.iter_rows(named=True)):
            style = {"color": f"C{place % 10}", "marker": MARKERS[row["kind"]], "capsize": 2, "linestyle": ""}
            label = row["name"] + (" (recommended)" if row["name"] == recommended else "")
            axes.errorbar(row[name], row["accuracy"], yerr=row["accuracy_std"], label=label, **style)
            if row["name"] == recommended:
                axes.plot(row[name], row["accuracy"], "o", markersize=14, fillstyle="none", color="black")
        if aim.accuracy is not None:
            axes.axhline(aim.accuracy, color="black", linestyle=":", linewidth=1)
        if limit is not None and getattr(aim, limit) is not None:
            axes.axvline(getattr(aim, limit), color="black", linestyle=":", linewidth=1)
        values = table[name].to_numpy()
        if (values > 0).all():
            axes.set_xscale("log")
        else:  # training alone sends nothing
            axes.set_xscale("symlog", linthresh=min(values[values > 0], default=1.0), linscale=0.6)
        axes.margins(x=0.12)
        axes.set_xlabel(f"{called} ({currency})" if name == "cost" and currency else called)
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("accuracy on the sites' own data")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    return figure
