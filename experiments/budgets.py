"""The best setting of a method at the end of a budget of rounds, gradients or bytes, from histories of all settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Best:
    """The lowest mean over seeds of a setting, its spread, and the numbers of which the grid ends there."""

    mean: float
    spread: float
    at_edge: tuple[str, ...]

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "diverged"
        spread = "" if math.isnan(self.spread) else f"\n±{self.spread:.0e}"
        return f"{self.mean:.2e}{'*' if self.at_edge else ''}{spread}"


def best(values: pl.DataFrame, names: Sequence[str], column: str) -> Best:
    """Of one row a seed and setting; a setting with a missing or non-finite seed is not taken.

    Args:
        values: with the columns of the settings and ``column``, lower is better.
        names: the columns of the settings.
        column: what decides.
    """
    mean, spread = pl.col(column).mean(), pl.col(column).std()
    sound = pl.col(column).is_finite().fill_null(False).all()
    table = values.group_by(*names, maintain_order=True).agg(
        mean.alias("mean"), spread.alias("spread"), sound.alias("sound")
    )
    table = table.filter("sound")
    if table.is_empty():
        return Best(math.inf, math.nan, ())
    row = table.sort("mean").row(0, named=True)
    edges = [
        name for name in names if values[name].n_unique() > 2 and row[name] in (values[name].min(), values[name].max())
    ]
    spread_of_best = math.nan if row["spread"] is None else row["spread"]
    return Best(row["mean"], spread_of_best, tuple(edges))
