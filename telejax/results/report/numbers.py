"""The numbers of a report: what every line ended with, what it cost, and how its seeds spread."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from telejax.results.report.subject import Subject

MOST_LINES = 40
"""Lines that are drawn: dashes and colours tell so many apart, and nobody reads more."""
MOST_ROWS, FEWEST, MOST = 1500, 12, 120
"""Rows of the chart of what happened along a run, and of each of its lines."""

Row = dict[str, Any]


def last_of_runs(subject: Subject, chosen: bool = True) -> pl.DataFrame:
    """One row a run: the mean of what was measured over the last part of it, the last of what was counted."""
    runs = subject.runs.filter("chosen") if chosen else subject.runs
    keys = run_columns(subject)
    late = pl.col("round") >= subject.window * pl.col("round").max()
    counted = [*subject.along, *(name for name in ("diverged", "status", "reason") if name in runs.columns)]
    others = [name for name in subject.axes if name in runs.columns and name not in keys]
    return runs.group_by(keys, maintain_order=True).agg(
        *[finite(name).filter(late).mean().alias(name) for name in subject.metrics],
        *[pl.col(name).last() for name in (*counted, *others)],
    )


def run_columns(subject: Subject) -> list[str]:
    """The columns that tell one run from another."""
    names = [*subject.naming, *subject.settings, "seed", "group", "cell"]
    return [name for name in dict.fromkeys(names) if name in subject.runs.columns]


def finite(name: str) -> pl.Expr:
    """A column as floats, without what is not finite."""
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def over_seeds(last: pl.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """Mean, standard deviation, lowest and highest value of columns over the runs that have the same ``keys``."""
    value = {name: pl.col(name).cast(pl.Float64) for name in columns}
    return last.group_by(keys, maintain_order=True).agg(
        pl.len().alias("runs"),
        pl.col("diverged").fill_null(False).sum().alias("diverged"),
        *[one.mean().alias(name) for name, one in value.items()],
        *[one.std().alias(f"{name}_std") for name, one in value.items()],
        *[one.min().alias(f"{name}_low") for name, one in value.items()],
        *[one.max().alias(f"{name}_high") for name, one in value.items()],
    )


def finals(subject: Subject) -> list[Row]:
    """One row a line (and number of nodes): its last values over seeds, its costs, and where it reached the target."""
    last = last_of_runs(subject)
    columns = [*subject.metrics, *subject.along]
    table = over_seeds(last, subject.naming, columns)
    settings = last.group_by(subject.naming).agg(pl.col(name).first() for name in (*subject.settings, *_axes(subject)))
    table = table.join(settings, on=subject.naming, how="left", maintain_order="left", nulls_equal=True)
    if subject.target is not None:
        table = table.join(reached(subject), on=subject.naming, how="left", maintain_order="left", nulls_equal=True)
    return table.to_dicts()


def _axes(subject: Subject) -> list[str]:
    return [name for name in subject.axes if name not in (*subject.naming, *subject.settings)]


def reached(subject: Subject) -> pl.DataFrame:
    """How many runs of a line reached the target, and what it had cost by then, on average."""
    metric, value = subject.target or ("loss", 0.0)
    column = finite(metric)
    there = column >= value if subject.higher(metric) else column <= value
    first = (
        subject.runs.filter("chosen")
        .group_by(run_columns(subject), maintain_order=True)
        .agg(*[pl.col(name).filter(there).min().cast(pl.Float64).alias(f"{name}_to_target") for name in subject.along])
    )
    return first.group_by(subject.naming, maintain_order=True).agg(
        pl.col("round_to_target").count().alias("reached"),
        *[pl.col(f"{name}_to_target").mean() for name in subject.along],
    )


def along_runs(subject: Subject, lines: Sequence[str]) -> pl.DataFrame:
    """Mean, lowest and highest of everything over seeds at every evaluation, of few enough rows to be looked at."""
    runs = subject.runs.filter(pl.col("chosen") & pl.col("line").is_in(list(lines)))
    keys = subject.naming
    groups = runs.select(keys).n_unique()
    most = min(MOST, max(FEWEST, MOST_ROWS // max(1, groups)))
    kept = runs.group_by(keys).agg(pl.col("round").unique().sort()).explode("round")
    place, count = pl.int_range(pl.len()).over(keys), pl.len().over(keys)
    # Half of the rows evenly spaced, half ever further apart: either axis may be logarithmic.
    even = (place * (most // 2) / count).floor() != ((place - 1) * (most // 2) / count).floor()
    spread = lambda shifted: ((shifted + 1).log(10) * (most // 2) / (count + 1).log(10)).floor()
    apart = spread(place) != spread(place - 1)
    kept = kept.filter((count <= most) | even | apart | (place == 0) | (place == count - 1))
    runs = runs.join(kept, on=[*keys, "round"], how="semi", nulls_equal=True)
    return aggregate(runs, [*keys, "round"], [*subject.metrics, *subject.along])


def aggregate(runs: pl.DataFrame, keys: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """A list of mean, lowest and highest for each column, over the rows of the same ``keys``; null where none is."""
    stats = [
        pl.concat_list(finite(name).mean(), finite(name).min(), finite(name).max()).alias(name)
        for name in columns
        if name not in keys
    ]
    return runs.group_by(keys, maintain_order=True).agg(*stats)


def best_first(subject: Subject, rows: Sequence[Row]) -> list[Row]:
    """Rows by the column that the answer is about, those without a number last."""
    sign = -1.0 if subject.higher(subject.metric) else 1.0
    value = lambda row: row.get(subject.metric)
    known = [row for row in rows if value(row) is not None and row["diverged"] < row["runs"]]
    return sorted(known, key=lambda row: sign * value(row)) + [row for row in rows if row not in known]


def overlap(one: Row, other: Row, column: str) -> bool:
    """Whether the seeds' ranges of two lines meet."""
    low, high = f"{column}_low", f"{column}_high"
    if any(row.get(name) is None for row in (one, other) for name in (low, high)):
        return False
    return bool(one[low] <= other[high] and other[low] <= one[high])


def is_close(subject: Subject, row: Row, best: Row) -> bool:
    """Whether a line is nearly as good as the best: by 3 points of accuracy, a quarter of a loss, or its seeds."""
    here, there = row.get(subject.metric), best.get(subject.metric)
    if here is None or there is None:
        return False
    near = here >= there - 0.03 if subject.higher(subject.metric) else here <= there + 0.25 * abs(there)
    return near or overlap(row, best, subject.metric)
