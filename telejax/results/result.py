"""What a simulation returns: a tidy history, the models, and how to look at, save and load them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.serialization
import jax
import numpy as np
import polars as pl
from rich.table import Table

from telejax.algorithms.base import State
from telejax.errors import check_name
from telejax.results.files import new_folder

if TYPE_CHECKING:
    import matplotlib.axes

RUN = ["seed", "learning_rate", "group"]
"""Columns that tell one run of a history from another."""

HIGHER_IS_BETTER = ("accuracy", "accuracy_slots", "accuracy_worst", "validation_accuracy", "validation_accuracy_slots")

TUNE_BY = ("validation_loss_slots", "loss_slots")
"""Step sizes are chosen by the first of these that the task measures."""


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of :func:`telejax.simulate`."""

    history: pl.DataFrame
    """One row for each evaluation, seed, step size and group; see README for the columns."""
    config: dict[str, Any]
    """What was run, in plain values."""
    params: Any
    """Mean models, leaves (seeds, step sizes, groups, ...): the last finite ones of each run."""
    state: State | None = None
    """The final state of the slots, with the lane axes of ``simulate``; None after loading."""

    @property
    def learning_rates(self) -> list[float | None]:
        """The step sizes in the history."""
        return self.history["learning_rate"].unique(maintain_order=True).to_list()

    @property
    def rounds(self) -> int:
        """Rounds that were run: fewer than asked for where all runs diverged."""
        return int(self.history.select(pl.col("round").max()).item())

    @property
    def seeds(self) -> list[int]:
        """The seeds in the history."""
        return self.history["seed"].unique(maintain_order=True).to_list()

    @property
    def model(self) -> Any:
        """The mean model of the first run: one copy of the parameters."""
        return jax.tree.map(lambda x: x[0, 0, 0], self.params)

    def final(self) -> pl.DataFrame:
        """The last row of every run."""
        return self.history.group_by(RUN, maintain_order=True).last()

    def tuned(self, by: str | None = None) -> "Result":
        """The runs of the best step size alone.

        The best has the lowest ``by`` (the highest for an accuracy) in the last row, averaged over seeds;
        step sizes with a diverged run are out, unless all have one.

        Args:
            by: a column; by default the held-out loss of the slots' own models where the task has one,
                otherwise their training loss.
        """
        by = by or next(name for name in TUNE_BY if name in self.history.columns)
        check_name("column", by, self.history.columns)
        scores = self.final().group_by("learning_rate").agg(pl.col("diverged").any(), pl.col(by).fill_nan(None).mean())
        best = scores.sort("diverged", by, descending=[False, by in HIGHER_IS_BETTER], nulls_last=True)
        rate = best["learning_rate"][0]
        lane = self.learning_rates.index(rate)
        return replace(
            self,
            history=self.history.filter(pl.col("learning_rate").eq_missing(rate)),
            config={**self.config, "tuned": {"learning_rate": rate, "by": by, "among": self.learning_rates}},
            params=jax.tree.map(lambda x: x[:, lane : lane + 1], self.params),
            state=None,
        )

    def rounds_to(self, target: float, metric: str = "accuracy") -> pl.DataFrame:
        """For each run, the first evaluated round at which ``metric`` reaches ``target``; null where it never does."""
        check_name("column", metric, self.history.columns)
        column = pl.col(metric)
        reached = column >= target if metric in HIGHER_IS_BETTER else column <= target
        return self.history.group_by(RUN, maintain_order=True).agg(
            pl.col("round").filter(reached).min().alias("rounds")
        )

    def summary(self, metrics: Sequence[str] | None = None) -> pl.DataFrame:
        """Mean and standard deviation over seeds of the last row, for each step size and group.

        Raises:
            ValueError: a column that the history does not have.
        """
        chosen = [check_name("column", name, self.history.columns) for name in metrics or _measured(self.history)]
        return (
            self.final()
            .group_by("learning_rate", "group", maintain_order=True)
            .agg(
                pl.len().alias("runs"),
                pl.col("active").median(),
                pl.col("diverged").sum(),
                *[pl.col(name).mean() for name in chosen],
                *[pl.col(name).std().alias(f"{name}_std") for name in chosen],
            )
        )

    def plot(
        self, metric: str = "loss", *, x: str = "round", axes: "matplotlib.axes.Axes | None" = None
    ) -> "matplotlib.axes.Axes":
        """Plot a column against rounds, ``"gradients"`` or ``"bytes"``: mean over seeds, band of their range.

        Returns:
            The matplotlib axes, to change or to save: ``axes.figure.savefig("loss.png")``.
        """
        from telejax.results import plots

        return plots.plot_histories({self.config["algorithm"]: self.history}, metric, x, axes)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write history.parquet, config.json and params.msgpack into a new folder, all or nothing.

        Raises:
            ValueError: a path that is never replaced: empty, the working or home directory, a parent of these.
            FileExistsError: the folder exists and ``overwrite`` is False or it holds what telejax did not write; or
                the path is a file or a symbolic link.
            OSError: the folder cannot be written; what was there before is kept.
        """
        with new_folder(path, overwrite) as folder:
            write_result(self, folder)
        return Path(path)

    def __rich__(self) -> Table:
        table = Table(title=f"{self.config['algorithm']}, {self.config['nodes']} nodes", title_justify="left")
        summary = self.summary()
        columns = ["learning_rate", "active", *_measured(self.history)]
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right")
        for row in summary.iter_rows(named=True):
            table.add_row(*(mean_and_spread(row[name], row.get(f"{name}_std")) for name in columns))
        return table

    def __repr__(self) -> str:
        last = self.final()
        loss = float(np.mean(last["loss"].to_numpy()))
        return (
            f"Result({self.config['algorithm']!r}, nodes={self.config['nodes']}, runs={len(last)}, "
            f"rounds={self.rounds}, loss={loss:.4g})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self.config['algorithm']}, {self.config['nodes']} nodes</p>" + self.summary()._repr_html_()


def load(path: str | os.PathLike[str]) -> Result:
    """Read what :meth:`Result.save` wrote; parameters come back as nested dictionaries of arrays.

    Raises:
        ValueError: the folder holds no result, naming the file that is missing or unreadable.
    """
    folder = Path(path)
    try:
        return Result(
            history=pl.read_parquet(folder / "history.parquet"),
            config=json.loads((folder / "config.json").read_text()),
            params=flax.serialization.msgpack_restore((folder / "params.msgpack").read_bytes()),
        )
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"path is {str(path)!r}, which holds no saved result: {error}") from error


def write_result(result: Result, folder: Path) -> None:
    """Write the three files of a result into an existing folder."""
    result.history.write_parquet(folder / "history.parquet")
    (folder / "config.json").write_text(json.dumps(result.config, indent=2) + "\n")
    state = flax.serialization.to_state_dict(jax.tree.map(np.asarray, result.params))
    (folder / "params.msgpack").write_bytes(flax.serialization.msgpack_serialize(state))


def mean_and_spread(mean: float | None, spread: float | None = None, digits: int = 4, join: str = " ") -> str:
    """``0.951 ± 0.004``, in so many significant digits; a dash where there is nothing."""
    if mean is None:
        return "-"
    text = f"{mean:.{digits}g}"
    return text if spread is None or np.isnan(spread) else f"{text}{join}±{float(f'{spread:.1g}'):g}"


def _measured(history: pl.DataFrame) -> list[str]:
    """The columns that a summary shows."""
    hidden = {
        "round",
        *RUN,
        "active",
        "diverged",
        "messages_gossip",
        "messages_handoff",
        "bytes_gossip",
        "bytes_handoff",
    }
    return [name for name in history.columns if name not in hidden]
