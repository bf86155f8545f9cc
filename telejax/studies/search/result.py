"""What a search returns: which candidate to take, why, and the table it was read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import rich.box

from telejax.results import cards
from telejax.results.kept import Kept
from telejax.results.printed import PrintedTable
from telejax.results.report.reported import check_fields
from telejax.results.spread import mean_and_spread
from telejax.studies.search.candidates import OBJECTIVES, choose

if TYPE_CHECKING:
    import matplotlib.axes

    from telejax.results.report.subject import Subject

COSTS = ("gradients", "messages", "bytes")

STEP_SIZE = {"learning_rate": "step size"}
"""What a column is called in a sentence."""

LAST = 0.75  # rows from this share of a candidate's rounds on make its final objective


@dataclass(frozen=True, repr=False)
class SearchResult(Kept):
    """The outcome of :func:`telejax.search`.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> task = tj.tasks.quadratic(nodes=30, noise=1.0)
    >>> found = tj.search(task, "ring", optimizer=sgd, rounds=40, seeds=1, progress=False)
    >>> found.best in found.table["active"].to_list()
    True
    """

    picture: ClassVar[str] = "search.png"

    grid: pl.DataFrame
    """One row a candidate and step size: final objectives with their standard errors over seeds, and costs."""
    histories: pl.DataFrame
    """The rows of all candidates, told apart by ``active``; columns as in ``Result.history``."""
    rounds_used: int
    """Rounds of all passes together, as a deployment would spend them for one seed."""
    config: dict[str, Any]

    def __post_init__(self) -> None:
        check_fields(self, {"grid": pl.DataFrame, "histories": pl.DataFrame, "rounds_used": int, "config": dict})

    @property
    def tuned_columns(self) -> list[str]:
        """The columns of what was tuned, ``learning_rate`` first."""
        return list(self.config["tuned"])

    @property
    def column(self) -> str:
        """The column of the table that decides."""
        return self.config["objective"]

    @property
    def table(self) -> pl.DataFrame:
        """One row a candidate, at its own best step size, with the column ``best``.

        ``slots`` and ``mean`` are both final objectives, ``slots_se`` and ``mean_se`` their standard errors over
        seeds (null for one seed); ``rounds``, ``gradients``, ``messages`` and ``bytes`` what a seed spent.
        """
        tuned = self.grid.sort("diverged", self.column, nulls_last=True).group_by("active").first().sort("active")
        return tuned.with_columns(
            (pl.col("active") == choose(tuned, self.column, self.config["tolerance"])).alias("best")
        )

    @property
    def best(self) -> int:
        """The smallest candidate within the tolerance of the lowest objective."""
        return int(self.table.filter("best")["active"].item())

    @property
    def learning_rate(self) -> float | None:
        """The step size of the best candidate."""
        return self.table.filter("best")["learning_rate"].item()

    def at_edge(self) -> bool:
        """Whether the best candidate's step size is the smallest or largest of several, so that more may help."""
        rates = self.config["tune"]
        return len(rates) > 1 and self.learning_rate in (min(rates), max(rates))

    def sentence(self) -> str:
        """The recommendation in plain words, with its reason and its budget."""
        table, budget = self.table, self.config["budget"]
        row = table.filter("best").row(0, named=True)
        alive = table.filter(~pl.col("diverged"))
        lowest = alive.sort(self.column).row(0, named=True)
        whose = "their own models" if self.column == "slots" else "their mean model"
        spent = f"{budget['rounds']:,} rounds" if "rounds" in budget else f"{budget['gradients']:,} gradients"
        numbers = [f"{STEP_SIZE.get(name, name)} {row[name]:g}" for name in self.tuned_columns if row[name] is not None]
        rate = f" ({', '.join(numbers)})" if numbers else ""
        text = (
            f"Activate {row['active']} of {self.config['nodes']:,} nodes: with the same {spent} for every candidate, "
            f"{whose} reach a loss of {row[self.column]:.3g}{rate}, because "
        )
        if lowest["active"] == row["active"]:
            text += "no other candidate gets lower"
        else:
            text += (
                f"the lowest of all candidates, {lowest[self.column]:.3g} with {lowest['active']} active, "
                f"is within {self.config['tolerance']:.0%} of that"
            )
        below = alive.filter(pl.col("active") < row["active"])
        if below.height:
            half = below.row(-1, named=True)
            text += f", and with {half['active']} active they stop at {half[self.column]:.3g}"
        return text + "."

    def plot(self, axes: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
        """Both final objectives against the number of active nodes, the recommended one marked."""
        from telejax.results import plots

        return plots.plot_search(self, axes)

    def _tables(self) -> dict[str, pl.DataFrame]:
        return {"table.csv": self.table, "history.parquet": self.histories}

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_search

        return of_search(self.histories, self._saved_config())

    def _saved_config(self) -> dict[str, Any]:
        return {**self.config, "best": self.best, "rounds_used": self.rounds_used}

    def _picture(self) -> bytes:
        from telejax.results.plots import figure_png

        return figure_png(self.plot())

    def __rich__(self) -> PrintedTable:
        table = PrintedTable(
            f"{self.config['task']}, {self.config['nodes']:,} nodes, {self.config['topology']}",
            box=rich.box.SIMPLE_HEAD,
            pad_edge=False,
        )
        tuned = "\n".join(STEP_SIZE.get(name, name) for name in self.tuned_columns)
        for name in ("active", tuned, "slots' own loss", "mean model's loss", "rounds", "gradients", "MB", ""):
            table.add_column(name, justify="right", no_wrap="loss" not in name)
        for row in self.table.iter_rows(named=True):
            losses = [mean_and_spread(row[name], row[f"{name}_se"], digits=3) for name in OBJECTIVES]
            table.add_row(
                str(row["active"]),
                "\n".join(mean_and_spread(row[name]) for name in self.tuned_columns),
                *(["diverged"] * 2 if row["diverged"] else losses),
                f"{row['rounds']:,}",
                f"{row['gradients']:,}",
                f"{row['bytes'] / 1e6:,.1f}",
                "<- best" if row["best"] else "",
            )
        return table

    def __repr__(self) -> str:
        return f"SearchResult(best={self.best}, nodes={self.config['nodes']}, rounds_used={self.rounds_used})"

    def _repr_html_(self) -> str:
        told = self.sentence()
        return cards.card(told, cards.picture(self._picture, told), cards.table(self.table))


def aggregate(histories: pl.DataFrame, tuned: Sequence[str] = ("learning_rate",)) -> pl.DataFrame:
    """Final objectives and costs of every candidate and setting, from the rows of all of them.

    Args:
        histories: columns as in ``Result.history``.
        tuned: the columns of what is tuned.
    """
    setting = ["active", *tuned]
    run = [*setting, "seed"]
    last = histories.filter(pl.col("round") >= LAST * pl.col("round").max().over(run))
    each = last.group_by(run, maintain_order=True).agg(
        *[pl.col(column).mean().alias(name) for name, column in OBJECTIVES.items()],
        pl.col("diverged").any(),
        *[pl.col(name).max().alias("rounds" if name == "round" else name) for name in ("round", *COSTS)],
    )
    error = [(pl.col(name).std() / pl.len().sqrt()).alias(f"{name}_se") for name in OBJECTIVES]
    return (
        each.group_by(setting, maintain_order=True)
        .agg(
            *[pl.col(name).mean() for name in OBJECTIVES],
            *error,
            pl.col("diverged").any(),
            pl.col("rounds").max(),
            pl.col("gradients").mean().round().cast(histories.schema["gradients"]),  # of all seeds the same
            pl.col("messages", "bytes").mean(),
        )
        .sort(setting)
    )
