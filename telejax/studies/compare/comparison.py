"""What a comparison of several methods on one task found: a table, a picture, a folder."""

import io
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from rich.console import Console

from telejax.errors import check_list, check_name
from telejax.results import cards
from telejax.results.kept import Kept
from telejax.results.printed import PrintedTable, tight_table
from telejax.results.report.reported import check_fields
from telejax.results.result import Result
from telejax.results.spread import mean_and_spread

if TYPE_CHECKING:
    import matplotlib.figure

    from telejax.results.report.subject import Subject

COLUMNS = "give a list of columns, such as ['loss']"


class Compared(Kept):
    """What is saved, reported and shown of methods side by side, at one number of nodes or at several."""

    config: dict[str, Any]

    @abstractmethod
    def history(self) -> pl.DataFrame:
        """All rows of all methods."""

    @abstractmethod
    def table(self) -> pl.DataFrame:
        """The last rows of the tuned runs, over seeds."""

    @abstractmethod
    def plot(self) -> "matplotlib.figure.Figure":
        """The tuned runs."""

    def _tables(self) -> dict[str, pl.DataFrame]:
        return {"history.parquet": self.history()}

    def _saved_config(self) -> dict[str, Any]:
        return self.config

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_comparison

        return of_comparison(self.history(), self.config)

    def _picture(self) -> bytes:
        from telejax.results.plots import figure_png

        return figure_png(self.plot().axes[0], dpi=150)

    def _titled(self, told: str) -> PrintedTable:
        """A table to print, with the methods as its first column."""
        seeds = "1 seed" if self.config["seeds"] == 1 else f"{self.config['seeds']} seeds"
        table = tight_table(f"{self.config['title']}, {seeds}: {told}")
        table.add_column("method", min_width=9, overflow="fold")
        return table

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config['title']!r}, methods={self.table()['method'].n_unique()})"

    def __str__(self) -> str:
        console = Console(file=io.StringIO())
        console.print(self, crop=False)
        return console.file.getvalue()  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        title = self.config["title"]
        return cards.card(title, cards.picture(self._picture, title), cards.table(self.table()))


@dataclass(frozen=True, repr=False)
class Comparison(Compared):
    """The outcome of :func:`compare`.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> all_reduce = tj.all_reduce_sgd(optimizer=sgd)
    >>> found = tj.compare([walk, all_reduce], task, rounds=20, seeds=2, progress=False)
    >>> list(found.tuned)
    ['one token', 'all-reduce SGD']
    """

    picture: ClassVar[str] = "comparison.png"

    runs: dict[str, Result]
    """Method to the result with all its step sizes."""
    config: dict[str, Any]
    """What was compared, in plain values."""
    target_metric: str
    target: float
    chosen: dict[str, Result] | None = None
    """Method to the result of all seeds with its best step size, where fewer seeds tried them all."""

    def __post_init__(self) -> None:
        check_fields(self, {"runs": dict, "config": dict, "target_metric": str, "target": float}, Result)
        if self.chosen is not None:
            check_fields(self, {"chosen": dict}, Result)

    @property
    def tuned(self) -> dict[str, Result]:
        """Method to the result with its best step size alone."""
        return {name: run.tuned() for name, run in self.runs.items()} if self.chosen is None else self.chosen

    def history(self) -> pl.DataFrame:
        """All rows of all methods, with the columns ``method`` and ``tuned`` (whether its step size was chosen)."""
        frames, tuned = [], self.tuned
        for name, run in self.runs.items():
            best = tuned[name]
            is_best = pl.all_horizontal(pl.col(one).eq_missing(value) for one, value in best.settings[0].items())
            rows = run.history if self.chosen is None else pl.concat([run.history.filter(~is_best), best.history])
            frames.append(rows.select(pl.lit(name).alias("method"), pl.all(), is_best.alias("tuned")))
        return pl.concat(frames, how="diagonal_relaxed")

    def table(self) -> pl.DataFrame:
        """One row a method at its tuned step size: mean and standard deviation over seeds of the last row.

        ``rounds_to_target`` averages the seeds that reached the target, as does ``time_to_target`` (simulated seconds)
        on a network with clocks; ``reached`` counts them.
        """
        rows = []
        for name, run in self.tuned.items():
            rounds = run.rounds_to(self.target, self.target_metric)["rounds"]
            summary = run.summary().drop("active", "group").row(0, named=True)
            reached = {"rounds_to_target": rounds.mean(), "rounds_to_target_std": rounds.std()}
            if "time" in run.history.columns:
                seconds = run.first(self.target_metric, self.target, x="time")["time"]
                reached |= {"time_to_target": seconds.mean(), "time_to_target_std": seconds.std()}
            rows.append({"method": name, **summary, **reached, "reached": rounds.count()})
        return pl.DataFrame(rows, infer_schema_length=None)

    def plot(self, metrics: Sequence[str] | None = None) -> "matplotlib.figure.Figure":
        """The tuned runs, one row a metric: against rounds, gradients and, where the network has clocks, seconds."""
        import matplotlib.pyplot as plt

        from telejax.results.plots import plot_histories

        histories = {name: run.history for name, run in self.tuned.items()}
        columns = set.intersection(*(set(table.columns) for table in histories.values()))
        if metrics is None:
            metrics = ["accuracy", "accuracy_slots"] if "accuracy" in columns else ["loss", "loss_slots"]
        metrics = [check_name("column", name, columns) for name in check_list("metrics", metrics, COLUMNS)]
        if not metrics:
            raise ValueError(f"metrics is empty; {COLUMNS}")
        along = [x for x in ("round", "gradients", "time") if x in columns]
        figure, grid = plt.subplots(
            len(metrics),
            len(along),
            figsize=(5.5 * len(along), 3.6 * len(metrics)),
            layout="constrained",
            sharey="row",
            squeeze=False,
        )
        for metric, row in zip(metrics, grid, strict=True):
            for x, axes in zip(along, row, strict=True):
                plot_histories(histories, metric, x, axes)
                axes.get_legend().remove()
            for axes in row[1:]:
                axes.set_ylabel("")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), fontsize="small")
        return figure

    def __rich__(self) -> PrintedTable:
        accuracy = self.target_metric == "accuracy"
        shown = ["accuracy", "accuracy_slots", "accuracy_worst"] if accuracy else ["loss", "loss_slots", "consensus"]
        titles = (
            ["mean\nmodel", "slots'\nmean", "worst\nslot"] if accuracy else ["loss", "slots'\nloss", "consen-\nsus"]
        )
        goal = f"{self.target:.0%}" if accuracy else f"{self.target:.2g}"
        table = self._titled("mean ± standard deviation")
        table_of_runs = self.table()
        timed = "time" in table_of_runs.columns  # in the place of messages, of which MB tell
        counted, called = ("time", "sec-\nonds") if timed else ("messages", "mes-\nsages")
        for title in ("step\nsize", *titles, f"rounds\nto {goal}", "gra-\ndients", called, "MB"):
            table.add_column(title, justify="right", no_wrap=True)
        others = [name for name in self.config["tune"] or {} if name != "learning_rate"]
        for row in table_of_runs.iter_rows(named=True):
            own = [name for name in others if row[name] is not None]
            table.add_row(
                row["method"] + (" (diverged)" if row["diverged"] else ""),
                "\n".join([mean_and_spread(row["learning_rate"]), *(f"{name} {row[name]:g}" for name in own)]),
                *(mean_and_spread(row[name], row[f"{name}_std"], digits=3, join="\n") for name in shown),
                self._rounds_to_target(row),
                f"{row['gradients']:,.0f}",
                f"{row[counted]:,.{0 if row[counted] >= 10 or not timed else 2}f}",
                megabytes(row["bytes"]),
            )
        return table

    def _rounds_to_target(self, row: dict[str, Any]) -> str:
        if not row["reached"]:
            return "never"
        rounds = mean_and_spread(row["rounds_to_target"], row["rounds_to_target_std"], digits=4, join="\n")
        return rounds if row["reached"] == row["runs"] else f"{rounds}\n{row['reached']} of {row['runs']}"

    def at_edge(self) -> list[str]:
        """Methods whose best step size is the smallest or the largest of several, so that a wider grid may help."""
        rates = self.config["tune"].get("learning_rate", [])
        if len(rates) < 2:
            return []
        return [
            name
            for name, run in self.tuned.items()
            if run.learning_rates[0] in (min(rates), max(rates)) and not run.final()["diverged"].any()
        ]

    def diverged(self) -> dict[str, Result]:
        """Methods whose every run diverged."""
        return {name: run for name, run in self.runs.items() if bool(run.final()["diverged"].all())}


def megabytes(count: float) -> str:
    """Whole megabytes, or one digit where there are few."""
    return f"{count / 1e6:,.0f}" if count >= 1e7 else f"{count / 1e6:.1f}"
