"""Pictures of many methods: a line for each, whose colours do not repeat, and one legend beside them."""

from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.pyplot as plt
import polars as pl

from telejax.results.plots import plot_histories

COLOURS = plt.get_cmap("tab20")


def add_line(
    axes: matplotlib.axes.Axes,
    number: int,
    name: str,
    history: pl.DataFrame,
    metric: str,
    x: str = "round",
    **style: Any,
) -> None:
    """The mean over seeds and their range, in the colour of this number; ``style`` is of matplotlib's lines."""
    plot_histories({name: history}, metric, x=x, axes=axes)
    axes.lines[-1].set(color=COLOURS(number % COLOURS.N), **style)
    axes.collections[-1].set_color(COLOURS(number % COLOURS.N))
    axes.get_legend().remove()


def legend_beside(figure: matplotlib.figure.Figure, axes: matplotlib.axes.Axes) -> None:
    """The lines of ``axes`` beside all of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
