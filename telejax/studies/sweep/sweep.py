"""Sweeps: every combination of a spec's values, each finished cell on disk at once, resumed where it stopped.

The folder holds ``spec.json``, one Parquet file for each finished cell and, when all are there, ``table.parquet``.
Files are written aside and renamed, so that a kill at any moment leaves whole files only.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from scipy import stats

from telejax.backend.bars import progress_bar
from telejax.errors import attribute, check_flag, check_kind, check_name, check_path, is_kind, plain, short
from telejax.results import cards
from telejax.results.checksums import write_beside
from telejax.results.files import atomic_write, check_own_folder, parquet
from telejax.results.report.reported import Reported, check_fields
from telejax.simulation.fingerprint import changed, difference, without
from telejax.studies.sweep.cells import run_cell
from telejax.studies.sweep.sealed import read_sealed, write_sealed
from telejax.studies.sweep.spec import Cell, SweepSpec, canonical

if TYPE_CHECKING:
    import matplotlib.axes

    from telejax.results.report.subject import Subject

CONFIDENCE = 0.95
OWN = "changed by the cells themselves"
"""In spec.json: what a user's code reads from its module and changes while it runs."""
NOT_AXES = ("cell", "seed", "status", "reason", "diverged")


@dataclass(frozen=True, repr=False)
class Sweep(Reported):
    """The outcome of :func:`sweep`."""

    table: pl.DataFrame
    """One row for each evaluation of each run: the parameters of the spec, the columns of a history,
    ``status`` ("finished", "diverged" or "failed") and ``reason``."""
    axes: tuple[str, ...]
    """The columns that take several values in the sweep, the seed apart."""
    missing: int
    """Cells that are not finished yet, because they belong to other shards."""

    def __post_init__(self) -> None:
        check_fields(self, {"table": pl.DataFrame, "axes": tuple, "missing": int})

    def final(self) -> pl.DataFrame:
        """The last row of every run."""
        if not self.table.width:  # all cells are other shards'
            return self.table
        return self.table.group_by(*self._run_columns(), maintain_order=True).last()

    def failures(self) -> pl.DataFrame:
        """The runs that failed or diverged, with their reasons."""
        if not self.table.width:
            return self.table
        return self.final().filter(pl.col("status") != "finished").select(*self._run_columns(), "status", "reason")

    def summary(self, metric: str = "loss", by: str | None = None) -> pl.DataFrame:
        """Mean of ``metric`` over seeds with its 95 % confidence band (Student's t), for each combination of axes.

        Args:
            metric: a column of the history; its last value, unless
            by: is "round" or another column along a run, which gives one row for each of its values.

        Returns:
            The axes, ``runs`` (finite ones), ``mean``, ``low`` and ``high``; null bounds for a single run.

        Raises:
            ValueError: a column that the table does not have, or ``by`` an axis.
        """
        metric = check_name("column", metric, self._measured())
        if by is not None:
            by = check_name("column", by, [*self._measured(), "round"])
        if by in self.axes:
            raise ValueError(f"by is {by!r}, an axis of this sweep, which has rows of its own anyway; leave it out")
        rows = self.final() if by is None else self.table
        keys = [*self.axes, *([] if by is None else [by])]
        value = pl.col(metric).fill_nan(None)
        table = rows.group_by(*keys, maintain_order=True) if keys else rows.group_by(pl.lit(0).alias("all"))
        found = table.agg(value.count().alias("runs"), value.mean().alias("mean"), value.std().alias("std"))
        half = [
            stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * std / n**0.5 if n > 1 else None
            for n, std in found.select("runs", "std").iter_rows()
        ]
        width = pl.Series("half", half, dtype=pl.Float64)
        return found.with_columns((pl.col("mean") - width).alias("low"), (pl.col("mean") + width).alias("high")).drop(
            "std"
        )

    def plot(
        self, metric: str = "loss", *, x: str = "round", axes: "matplotlib.axes.Axes | None" = None
    ) -> "matplotlib.axes.Axes":
        """Plot ``metric`` along a run (``x="round"``) or its last value against an axis: mean and confidence band."""
        from telejax.results.plots import plot_bands

        x = check_name("axis", x, [*self.axes, "round"])
        lines = [axis for axis in self.axes if axis != x]
        return plot_bands(self.summary(metric, by="round" if x == "round" else None), x, metric, lines, axes)

    def write_into(self, folder: Path) -> None:
        """Write ``table.parquet`` beside the cells, unless some of them are missing.

        Raises:
            OSError: it cannot be written.
        """
        if not self.missing:
            _write(folder / "table.parquet", lambda file: write_beside(file, parquet(self.table)))

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_sweep

        self._measured()  # refuses a sweep without finished cells
        return of_sweep(self.table, {}, self.axes)

    def _measured(self) -> list[str]:
        """The columns that are numbers, or a ValueError where no cell is finished."""
        if not self.table.width:
            raise ValueError(f"this sweep has no finished cells, and {self.missing} of other shards; run those first")
        return [name for name, kind in self.table.schema.items() if kind.is_numeric()]

    def _run_columns(self) -> list[str]:
        names = ["cell", *self.axes, "seed"]
        return names + (["group"] if "group" in self.table.columns else [])

    def __repr__(self) -> str:
        runs, bad = self.final(), self.failures().height
        return f"Sweep(axes={list(self.axes)}, runs={runs.height}, failed or diverged={bad}, missing={self.missing})"

    def _repr_html_(self) -> str:
        metric = next((name for name in cards.JUDGED if name in self.table.columns), None)
        if metric is None:  # no cell is finished, or none was a run
            return cards.card(repr(self))
        told = f"{metric} against rounds, with 95 % confidence bands"
        return cards.card(repr(self), cards.picture(lambda: self.plot(metric), told), cards.table(self.summary(metric)))


def sweep(
    spec: str | os.PathLike[str] | Mapping[str, Any] | SweepSpec,
    out: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    shard: str | None = None,
    progress: bool = True,
) -> Sweep:
    """Run every combination of a spec, resuming what an earlier call finished in the same folder.

    Numbers (step size, noise, alpha, ...) and seeds of a cell run as one program with common random numbers;
    structure (nodes, active, topology, method, the file of a network, ...) is a loop over cells. A cell that fails or
    diverges is recorded with its reason; delete its file to try it again.

    Args:
        spec: a TOML file, its tables as a dictionary, or a :class:`telejax.studies.sweep.spec.SweepSpec`.
        out: the folder.
        executor: any ``concurrent.futures`` executor to run the cells, as of Dask, mpi4py or a process pool;
            this process writes what they return.
        shard: "i/N" runs every N-th cell from the i-th on (i from 0), for job arrays that share the folder.
        progress: show a bar with the time left.

    Raises:
        ValueError: a wrong spec (with line and key), a folder that holds another sweep (with what differs) or files of
            others, or an executor that forks.
        OSError: the folder cannot be written; finished cells are kept.
        RuntimeError: workers of the executor died; all other cells are finished and kept.

    >>> import tempfile, telejax as tj
    >>> spec = {
    ...     "rounds": 100,
    ...     "task": {"name": "quadratic", "nodes": 64, "noise": [0.1, 1.0]},
    ...     "method": {"name": "teleportation", "topology": "ring", "active": [4, 8]},
    ...     "optimizer": {"name": "sgd", "learning_rate": [0.03, 0.1]},
    ... }
    >>> tj.sweep(spec, tempfile.mkdtemp(), progress=False)
    Sweep(axes=['active', 'noise', 'learning_rate'], runs=8, failed or diverged=0, missing=0)
    """
    outcome = run_cells(spec, out, executor, shard, progress)
    outcome.write_into(Path(out))
    return outcome


def run_cells(spec: Any, out: Any, executor: Executor | None, shard: str | None, progress: bool) -> Sweep:
    """As :func:`sweep`, but that the table of all cells is not written yet."""
    spec = _read_spec(spec)
    check_flag("progress", progress)
    cells = spec.cells()
    first, step = _parse_shard(shard)
    _check_executor(executor)
    folder = Path(check_path("out", out))
    check_own_folder("out", folder)
    now = canonical(spec)
    digest = _claim(folder, spec, now)
    mine = cells[first::step]
    parts = {cell.index: frame for cell in cells if (frame := read_sealed(folder / cell.file, digest)) is not None}
    todo = [cell for cell in mine if cell.index not in parts]
    bar = progress_bar(total=len(mine), initial=len(mine) - len(todo), desc="sweep", unit="cell", show=progress)
    try:
        with bar:
            for cell, frame in _frames(todo, executor):
                _write(folder / cell.file, partial(write_sealed, frame, sweep=digest))
                parts[cell.index] = frame
                bar.update()
    finally:
        if executor is None:
            _tell_own(folder, now, spec)
    frames = [parts[cell.index] for cell in cells if cell.index in parts]
    table = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
    return Sweep(table, _axes(spec), len(cells) - len(frames))


def _frames(cells: Sequence[Cell], executor: Executor | None) -> Iterator[tuple[Cell, pl.DataFrame]]:
    """Each cell with its rows, as they are finished."""
    if executor is None:
        for cell in cells:
            yield cell, run_cell(cell)
        return
    futures: dict[Future[pl.DataFrame], Cell] = {}
    lost: list[tuple[Cell, Exception]] = []
    for cell in cells:
        try:
            future = executor.submit(run_cell, cell)
        except Exception as error:  # it was shut down, or its workers died: what it has taken may be finished yet
            lost.append((cell, error))
            continue
        if not is_kind(future, Future):
            told = f"executor is {short(executor)}, whose submit returned {short(future)}"
            raise ValueError(f"{told}; give a concurrent.futures executor")
        futures[future] = cell
    if lost and not futures:
        why = lost[0][1]
        raise ValueError(f"executor is {short(executor)}, which takes no work: {why}; give a new one") from why
    for future in as_completed(futures):
        try:
            frame = _checked_rows(futures[future], future.result())
        except Exception as error:  # of the worker: what a cell raises is a row
            lost.append((futures[future], error))
        else:
            yield futures[future], frame
    if lost:
        cell, why = lost[0]
        raise RuntimeError(
            f"{len(lost)} of {len(cells)} cells were lost with their workers, the first {cell.file}: {why!r}; all "
            "others are kept, run the same again for those"
        ) from why


def _checked_rows(cell: Cell, frame: Any) -> pl.DataFrame:
    """What an executor has returned for a cell, unless it is something else."""
    rows = check_kind("the result of the executor", frame, pl.DataFrame, "give an executor that returns what it ran")
    if "cell" not in rows.columns or rows["cell"].unique().to_list() != [cell.index]:
        raise ValueError("the executor returned the rows of another cell")
    return rows


def _check_executor(executor: Executor | None) -> None:
    """Refuse processes that are forked: jax has threads, which a fork leaves behind with the locks that they hold."""
    fits = callable(attribute(executor, "submit")) and not is_kind(executor, type)
    if executor is not None and not fits:
        raise ValueError(f"executor is {short(executor)}; give a concurrent.futures executor, such as a process pool")
    context = getattr(executor, "_mp_context", None)
    if is_kind(executor, ProcessPoolExecutor) and context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "executor forks this process, after which jax waits for ever; give "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        )


def _read_spec(spec: Any) -> SweepSpec:
    if is_kind(spec, SweepSpec):
        return spec
    if is_kind(spec, Mapping):
        return SweepSpec.from_dict(spec)
    return SweepSpec.from_toml(spec)


def _parse_shard(shard: str | None) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    index, _, count = plain(shard).partition("/") if is_kind(shard, str) else ("", "", "")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"shard is {short(shard)}; give i/N with i from 0 to N - 1, such as 0/4")
    return int(index), int(count)


def _claim(folder: Path, spec: SweepSpec, now: dict[str, Any]) -> str:
    """Make the folder this sweep's, or refuse one that is another's; returns a digest of the spec, for its cells."""
    file = folder / "spec.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = json.loads(file.read_text()) if file.exists() else None
        if before is None:
            others = sorted(path.name for path in folder.glob("[!.]*"))
            if others and not file.exists():  # another shard may have begun meanwhile
                raise ValueError(
                    f"out is {str(folder)!r}, which holds {others[0]} and no spec.json; choose another folder"
                )
            atomic_write(file, lambda aside: aside.write_text(json.dumps(now, indent=2)))
    except OSError as error:
        raise OSError(f"out is {str(folder)!r}, which cannot be written: {error}; choose another folder") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"out is {str(folder)!r}, whose spec.json cannot be read: {error}; choose another") from error
    if before is not None and not isinstance(before, dict):
        raise ValueError(f"out is {str(folder)!r}, whose spec.json is no spec; choose another folder")
    own = [] if before is None else before.pop(OWN, [])  # of code that counts or remembers
    if before is not None and (differs := difference(without(before, own), without(now, own))):
        raise ValueError(f"out is {str(folder)!r}, which holds another sweep: {differs}; choose another folder")
    return hashlib.sha256(json.dumps(canonical(spec, code=False), sort_keys=True).encode()).hexdigest()[:16]


def _tell_own(folder: Path, now: dict[str, Any], spec: SweepSpec) -> None:
    """Write into spec.json what the cells themselves have changed of what their code reads, such as counters."""
    file = folder / "spec.json"
    if folder.is_dir() and not file.exists():  # somebody removed it, and the cells would be nobody's
        _write(file, lambda file: atomic_write(file, lambda aside: aside.write_text(json.dumps(now, indent=2))))
    if own := changed(now, canonical(spec)):
        kept = json.loads(file.read_text())
        kept[OWN] = sorted({*own, *kept.get(OWN, [])})
        atomic_write(file, lambda aside: aside.write_text(json.dumps(kept, indent=2)))


def _write(file: Path, write: Callable[[Path], None]) -> None:
    try:
        write(file)
    except OSError as error:
        kept = "finished cells are kept, make room and run the same again"
        if not file.parent.is_dir():
            kept = "its folder was removed, and what was in it; run the same again"
        raise OSError(f"{file} cannot be written: {error.strerror or error}; {kept}") from error


def _axes(spec: SweepSpec) -> tuple[str, ...]:
    """Columns with several values, in the order of the table."""
    from telejax.studies.sweep.cells import RENAMED

    taken: dict[str, set[Any]] = {"method": {part.name for part in spec.methods}}
    for part in spec.methods:
        for name, values in part.values.items():
            taken.setdefault(name, set()).update(values)
    several_methods = len(spec.methods) > 1
    for name in {name for part in spec.methods for name in part.values}:
        if several_methods and any(name not in part.values for part in spec.methods):
            taken[name].add(None)
    for name, values in spec.task.values.items():
        taken.setdefault(RENAMED.get(name, name), set()).update(values)
    for name, values in spec.optimizer.values.items():
        taken.setdefault(name, set()).update(values)
    if spec.network is not None:
        taken |= {
            name: {*values} for name, values in {"network": (*spec.network.files,), **spec.network.values}.items()
        }
    return tuple(name for name, values in taken.items() if len(values) > 1)
