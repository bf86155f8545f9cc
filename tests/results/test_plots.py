"""Bands on a logarithmic axis, which has no zero."""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import polars as pl

from telejax.results.plots import plot_bands, plot_search


@dataclass
class Found:
    """As of a search."""

    table: Any = None
    column: str = "slots"
    best: int = 2


def test_a_band_of_losses_ends_above_zero() -> None:
    table = pl.DataFrame(
        {"round": [0, 1, 2], "mean": [2.0, 1.0, 0.5], "low": [1.0, -0.5, 0.25], "high": [3.0, 2.5, 1.0]}
    )
    axes = plot_bands(table, "round", "loss", [])
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert axes.get_yscale() == "log" and heights.min() == 0.25
    axes = plot_bands(table, "round", "accuracy", [])  # a linear axis hides nothing
    assert axes.collections[0].get_paths()[0].vertices[:, 1].min() == -0.5
    plt.close("all")


def test_error_bars_of_a_search_end_above_zero() -> None:
    columns = {"active": [1, 2], "slots": [0.5, 0.1], "slots_se": [0.1, 0.3], "diverged": [False, False]}
    table = pl.DataFrame({**columns, "mean": [0.5, 0.0], "mean_se": [None, 0.2]})  # one at zero itself
    axes = plot_search(Found(table))
    ends = [segment[:, 1].min() for segment in axes.collections[0].get_segments()]
    assert ends == [0.4, 0.1]
    plt.close("all")
