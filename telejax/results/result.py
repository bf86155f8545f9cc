"""What a simulation returns: a tidy history, the models, and how to look at, save and load them."""

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array

from telejax.errors import (
    check_integer,
    check_kind,
    check_list,
    check_name,
    check_path,
    check_target,
    short,
)
from telejax.results import cards
from telejax.results.checksums import check_checksums, write_checksums
from telejax.results.directions import all_directions
from telejax.results.files import OF_READERS, new_folder, write_table
from telejax.results.followed import Followed
from telejax.results.progress import Progress
from telejax.results.report.reported import Reported
from telejax.results.saved import (
    REMEDY,
    check_parts,
    check_saved,
    tuned_columns,
)
from telejax.results.spread import mean_and_spread, titled
from telejax.state import State

if TYPE_CHECKING:
    import matplotlib.axes

    from telejax.results.printed import PrintedTable
    from telejax.results.report.subject import Subject

TUNE_BY = ("validation_loss_slots", "loss_slots")
"""Settings are chosen by the first of these that the task measures."""

HIDDEN = ("messages_gossip", "messages_handoff", "bytes_gossip", "bytes_handoff")
"""Columns that a summary leaves out."""

READERS: dict[str, Callable[[Path], Any]] = {
    "history.parquet": lambda file: pl.read_parquet(io.BytesIO(file.read_bytes())),  # a path would be a pattern
    "config.json": lambda file: json.loads(file.read_text()),
    "params.msgpack": lambda file: _serialization().msgpack_restore(file.read_bytes()),
}
"""How the files of a saved result are read."""

X_AXES = {"round": "rounds", "bytes": "bytes", "gradients": "gradients", "messages": "messages", "time": "time"}
"""What a target is reached against, and the column that :meth:`Result.first` answers with."""


@dataclass(frozen=True, repr=False)
class Result(Reported, Followed):
    """The outcome of :func:`telejax.simulate`.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> result = tj.simulate(walk, task, rounds=100, seeds=2, tune=[0.01, 0.1])
    >>> result.tuned().learning_rates, result.history["round"].max()
    ([0.01], 100)
    """

    history: pl.DataFrame
    """One row for each evaluation, seed, step size and group; docs/columns.md tells the columns."""
    config: dict[str, Any]
    """What was run, in plain values."""
    params: Any
    """Mean models, leaves (seeds, settings, groups, ...): the last finite ones of each run."""
    state: State | None = None
    """The final state of the slots, with the axes (seeds, settings) that were asked for; None after loading."""
    progress: Progress | None = None
    """How far the runs have come, from which ``simulate(state=result)`` goes on; None after loading."""
    profile: pl.DataFrame | None = None
    """Where the time of a round went: part, us_per_round, share; where ``simulate(profile=)`` asked for it."""

    def __post_init__(self) -> None:
        check_kind("history", self.history, pl.DataFrame, "give a table of polars, as simulate returns it")
        check_kind("config", self.config, dict, "give a dictionary, as simulate returns it")
        if self.state is not None:
            check_kind("state", self.state, State, "give a telejax.State, or None")
        check_parts(self.history, self.config)

    @property
    def tuned_columns(self) -> list[str]:
        """The columns of the numbers that may differ between runs, ``learning_rate`` first."""
        return tuned_columns(self.config)

    @property
    def run_columns(self) -> list[str]:
        """Columns that tell one run of the history from another."""
        return ["seed", *self.tuned_columns, "group"]

    @property
    def settings(self) -> list[dict[str, float | None]]:
        """The combinations of numbers in the history, in the order of the axis of ``params``."""
        return self.history.select(self.tuned_columns).unique(maintain_order=True).to_dicts()

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
        return self.history.group_by(self.run_columns, maintain_order=True).last()

    def higher_is_better(self, column: str) -> bool:
        """The direction of a column.

        Raises:
            ValueError: an unknown column, or one whose direction nobody knows.
        """
        column = check_name("column", column, self.history.columns)
        known = self.config.get("higher_is_better") or all_directions()
        if column not in known:
            raise ValueError(
                f"column is {column!r}, and nobody knows whether a higher one is better; declare it in "
                "task.higher_is_better, or in its Metric"
            )
        return bool(known[column])

    def tuned(self, by: str | None = None, group: int = 0) -> "Result":
        """The runs of the best step size (or setting of several numbers) alone, of one group.

        The best has the lowest ``by`` (the highest where that is better) in the last row, averaged over seeds;
        settings with a diverged run are out, unless all have one.

        Args:
            by: a column whose direction is known; by default the held-out loss of the slots' own models where the task
                has one, otherwise their training loss.
            group: whose rows decide, and remain.

        Raises:
            ValueError: an unknown column or group, or a column whose direction nobody knows.
        """
        if by is None:
            by = next((name for name in TUNE_BY if name in self.history.columns), TUNE_BY[-1])
        higher = self.higher_is_better(by)
        groups = self.history["group"].unique().to_list()
        remedy = f"give one of the groups {sorted(groups)}"
        if (group := check_integer("group", group, minimum=0, remedy=remedy)) not in groups:
            raise ValueError(f"group is {short(group)}; {remedy}")
        names = self.tuned_columns
        rows = self.final().filter(pl.col("group") == group)
        scores = rows.group_by(names, maintain_order=True).agg(
            pl.col("diverged").any(), pl.col(by).fill_nan(None).mean().alias("score")
        )
        best = (
            scores.sort("diverged", "score", descending=[False, higher], nulls_last=True)
            .select(names)
            .row(0, named=True)
        )
        index = self.settings.index(best)
        chosen = pl.all_horizontal(pl.col(name).eq_missing(value) for name, value in best.items())
        among = {name: [one[name] for one in self.settings] for name in names}
        return replace(
            self,
            history=self.history.filter(chosen & (pl.col("group") == group)),
            config={**self.config, "tuned": {**best, "by": by, "among": among}},
            params=jax.tree.map(lambda x: x[:, index : index + 1, group : group + 1], self.params),
            state=self._state_of(index) if len(groups) == 1 else None,
            progress=None if self.progress is None or len(groups) > 1 else self.progress.setting(index),
        )

    def _state_of(self, index: int) -> State | None:
        """The final state of one setting, without the axis of the settings."""
        if self.state is None or self.config.get("tune") is None or "tuned" in self.config:
            return self.state  # has no such axis, or no longer
        axis = self.state.holders.ndim - 2
        pick = jax.tree.map(lambda x: _taken(x, index, axis), self.state.replace(round=None))
        return pick.replace(round=self.state.round)

    def first(self, metric: str, target: float, x: str = "round") -> pl.DataFrame:
        """For each run, where ``metric`` first reaches ``target``; null where it never does.

        Args:
            metric: a column whose direction is known.
            target: to reach; a value that is not finite never does.
            x: "round", "bytes", "gradients", "messages" or, of a run on a network with clocks, "time" (seconds).

        Returns:
            The columns that name a run, and ``rounds`` (or ``bytes``, ``gradients``, ``messages``, ``time``).

        Raises:
            ValueError: an unknown column, a column whose direction nobody knows, a target that is no number.
        """
        x = check_name("x", x, [name for name in X_AXES if name in self.history.columns])
        higher = self.higher_is_better(metric)
        target = check_target("target", target)
        column = pl.col(metric)
        reached = column.is_finite() & (column >= target if higher else column <= target)
        return self.history.group_by(self.run_columns, maintain_order=True).agg(
            pl.col(x).filter(reached).min().alias(X_AXES[x])
        )

    def rounds_to(self, target: float, metric: str = "accuracy") -> pl.DataFrame:
        """For each run, the first evaluated round at which ``metric`` reaches ``target``; see :meth:`first`.

        Raises:
            ValueError: as :meth:`first`.
        """
        return self.first(metric, target)

    def summary(self, metrics: Sequence[str] | None = None) -> pl.DataFrame:
        """Mean and standard deviation over seeds of the last row, for each setting and group.

        Raises:
            ValueError: a column that the history does not have, or one that names the runs.
        """
        if metrics is not None:
            metrics = check_list("metrics", metrics, "give a list of columns, such as ['loss']", ordered=False)
        naming = {*self.run_columns, "active", "diverged"}
        if metrics and len({*map(short, metrics)}) < len(metrics):
            raise ValueError(f"metrics is {short(metrics)}; give each column only once")
        chosen = [check_name("column", name, self.history.columns) for name in metrics or self._measured()]
        if taken := [name for name in chosen if name in naming]:
            raise ValueError(f"metrics is {short(metrics)}, and a summary has {taken} already; leave them out")
        return (
            self.final()
            .group_by(*self.tuned_columns, "group", maintain_order=True)
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
        """Plot a column against rounds, or another column such as ``"bytes"``: mean over seeds, band of their range.

        Returns:
            The matplotlib axes, to change or to save: ``axes.figure.savefig("loss.png")``.

        Raises:
            ValueError: a column that the history does not have.
        """
        from telejax.results import plots

        known = set(self.history.columns).difference(self.run_columns)
        metric, x = (check_name("column", name, known) for name in (metric, x))
        higher = self.config.get("higher_is_better", {}).get(metric, "accuracy" in metric)
        return plots.plot_histories(
            {self.config.get("algorithm", ""): self.history},
            metric,
            x,
            axes,
            settings=self.tuned_columns,
            labels=self.config.get("labels"),
            log=not higher,
        )

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write history.parquet, config.json, params.msgpack and their checksums into a new folder, all or nothing.

        Raises:
            ValueError: a path that is never replaced: empty, the working or home directory, a parent of these.
            FileExistsError: the folder exists and ``overwrite`` is False or it holds what telejax did not write; or
                the path is a file or a symbolic link.
            OSError: the folder cannot be written; what was there before is kept.
        """
        with new_folder(path, overwrite) as folder:
            write_result(self, folder)
        return Path(path)

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_result

        return of_result(self.history, self.config)

    def _measured(self) -> list[str]:
        """The columns that a summary shows."""
        hidden = {"round", *self.run_columns, "active", "diverged", *HIDDEN}
        return [name for name in self.history.columns if name not in hidden]

    def __rich__(self) -> "PrintedTable":
        from telejax.results.printed import PrintedTable

        table = PrintedTable(titled(self.config))
        summary = self.summary()
        columns = [*self.tuned_columns, "active", *self._measured()]
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right")
        for row in summary.iter_rows(named=True):
            table.add_row(*(mean_and_spread(row[name], row.get(f"{name}_std")) for name in columns))
        return table

    def __repr__(self) -> str:
        last = self.final()
        loss = float(np.mean(last["loss"].to_numpy()))
        return (
            f"Result({self.config.get('algorithm')!r}, nodes={self.config.get('nodes')}, runs={len(last)}, "
            f"rounds={self.rounds}, loss={loss:.4g})"
        )

    def _repr_html_(self) -> str:
        return cards.card(titled(self.config), cards.of_histories(self), cards.table(self.summary()))


def _taken(x: Array, index: int, axis: int) -> Array:
    """``x.take(index, axis)``; what lies in the memory of this processor needs no program for it."""
    devices = [*x.devices()] if isinstance(x, jax.Array) else []
    here = len(devices) == 1 and devices[0].platform == "cpu"
    if here and not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.device_put(np.asarray(x).take(index, axis), devices[0])
    return x.take(index, axis)


def load(path: str | os.PathLike[str]) -> Result:
    """Read what :meth:`Result.save` wrote; parameters come back as nested dictionaries of arrays.

    Raises:
        ValueError: the folder holds no result, or a file is not what was saved, by its checksum (if there is one, older
            versions wrote none); names the file that is missing, unreadable or wrong.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> import tempfile
    >>> folder = tj.simulate(walk, task, rounds=10).save(f"{tempfile.mkdtemp()}/walk")
    >>> load(folder)
    Result('one token', nodes=9, runs=1, rounds=10, loss=...)
    """
    folder = Path(check_path("path", path))
    if all((folder / name).is_file() for name in READERS):
        check_checksums(folder, READERS, f"path is {str(folder)!r}", REMEDY)
    read: list[Any] = []
    for name, reader in READERS.items():
        file = folder / name
        try:
            if file.exists() and not file.is_file():  # it may never end
                raise OSError("it is no regular file")
            read.append(reader(file))
        except OF_READERS as error:
            told = f"path is {short(str(path))}, which holds no saved result"
            why = str(error) or type(error).__name__
            raise ValueError(f"{told}: {name} cannot be read: {why}; {REMEDY}, or save it again") from error
    check_saved(read[0], read[1], read[2], folder)
    return Result(*read)


def write_result(result: Result, folder: Path) -> None:
    """Write the three files of a result into an existing folder, and their checksums."""
    write_table(result.history, folder / "history.parquet")
    (folder / "config.json").write_text(json.dumps(result.config, indent=2) + "\n")
    state = _serialization().to_state_dict(jax.tree.map(np.asarray, result.params))
    (folder / "params.msgpack").write_bytes(_serialization().msgpack_serialize(state))
    write_checksums(folder, READERS)


def _serialization() -> Any:
    """What writes parameters, imported when it is used: flax takes as long as all of telejax."""
    from flax import serialization

    return serialization
