"""Running one cell of a sweep: all its numbers and seeds in as few programs as structure and memory allow."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import jax
import polars as pl

from telejax.backend.factories import Factory
from telejax.backend.memory import fitting_memory, tree_bytes
from telejax.backend.programs import forget_programs
from telejax.network import IDEAL
from telejax.optimizers import optimizer
from telejax.simulation.batching import structure_of
from telejax.simulation.program import round_shape, state_shape
from telejax.simulation.recorder import RESERVED
from telejax.simulation.simulate import simulate_batch
from telejax.simulation.task_checks import metric_columns
from telejax.studies.sweep.spec import Cell, SweepSpec, find

RENAMED = {"seed": "task_seed"}  # a task's seed, next to that of the run


def run_cell(cell: Cell) -> pl.DataFrame:
    """Run a cell; what fails becomes rows with ``status`` "failed" and the ``reason``, and never an exception.

    Returns:
        The histories of all its runs, with one column for each parameter that the spec gives, ``cell``,
        ``status`` ("finished", "diverged" or "failed") and ``reason``.
    """
    forget_programs()  # those of thousands of cells before
    frames: list[pl.DataFrame] = []
    groups: dict[Any, list[Any]] = {}
    build = _Builder(cell)
    for numbers in _points(cell):
        try:
            pair = build(numbers)
            groups.setdefault(structure_of(pair), []).append((numbers, pair))
        except Exception as error:  # whatever a factory refuses is this point's result
            frames.append(_failed(cell, numbers, error))
    for points in groups.values():
        for part, seeds in _fitting(points, cell.spec.seeds):
            frames += _run_points(cell, part, seeds)
    return pl.concat(frames, how="diagonal_relaxed")


def columns(spec: SweepSpec) -> list[str] | None:
    """The numbers that the runs of a sweep measure; None where its first cell cannot be built."""
    cell = spec.cells()[0]
    try:
        algorithm, task = _Builder(cell)(next(_points(cell)))
        _, info = round_shape((algorithm, task, IDEAL), state_shape(algorithm, task, IDEAL))
        measured = [*metric_columns(task, (), IDEAL), *info.counters, *info.gauges]
    except Exception:  # becomes a row with its reason when it is run
        return None
    return [*(RESERVED - {"seed", "group"}), *measured]


class _Builder:
    """Makes (algorithm, task) pairs; tasks and graphs that several points share are built once."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.tasks: dict[Any, Any] = {}
        self.algorithms: dict[Any, Any] = {}

    def __call__(self, numbers: dict[str, dict[str, float]]) -> tuple[Any, Any]:
        cell = self.cell
        task_key, method_key = (tuple(numbers[part].items()) for part in ("task", "method"))
        if task_key not in self.tasks:
            self.tasks[task_key] = factory("task", cell.spec.task.name)(**cell.task, **numbers["task"])
        task = self.tasks[task_key]
        sgd = optimizer(factory("optimizer", cell.spec.optimizer.name), **cell.optimizer, **numbers["optimizer"])
        if method_key not in self.algorithms:
            make = factory("method", cell.method.name)
            method = make(**cell.method_structure, **numbers["method"], optimizer=sgd)
            self.algorithms[method_key] = method.bind(task)
        return replace(self.algorithms[method_key], optimizer=sgd), task


def factory(section: str, name: str) -> Factory:
    """What makes a task, method or optimizer."""
    return find(section, name)[1]


def _points(cell: Cell) -> Iterator[dict[str, dict[str, float]]]:
    """Every combination of the cell's numbers."""
    axes = {"task": cell.spec.task, "method": cell.method, "optimizer": cell.spec.optimizer}
    names = [(part, name) for part, one in axes.items() for name in one.number_axes()]
    for values in product(*(axes[part].number_axes()[name] for part, name in names)):
        point: dict[str, dict[str, float]] = {part: {} for part in axes}
        for (part, name), value in zip(names, values, strict=True):
            point[part][name] = value
        yield point


def _fitting(points: list[Any], seeds: tuple[int, ...]) -> Iterator[tuple[list[Any], tuple[int, ...]]]:
    """Split points and seeds so that the states of one program's runs fit in the memory."""
    algorithm, task = points[0][1]
    one = jax.eval_shape(algorithm.init, jax.random.key(0), task)
    runs = fitting_memory(tree_bytes(one))
    seeds_at_once = min(len(seeds), runs)
    points_at_once = max(1, runs // len(seeds))
    for start in range(0, len(points), points_at_once):
        for first in range(0, len(seeds), seeds_at_once):
            yield points[start : start + points_at_once], seeds[first : first + seeds_at_once]


def _run_points(cell: Cell, points: list[Any], seeds: tuple[int, ...]) -> list[pl.DataFrame]:
    spec = cell.spec
    try:
        results = simulate_batch(
            [pair for _, pair in points], rounds=spec.rounds, eval_every=spec.eval_every, seeds=seeds, progress=False
        )
        return [_labelled(cell, numbers, run.history) for (numbers, _), run in zip(points, results, strict=True)]
    except Exception as error:  # out of memory, or a graph that cannot be built
        return [_failed(cell, numbers, error, seeds) for numbers, _ in points]


def _labelled(cell: Cell, numbers: dict[str, dict[str, float]], history: pl.DataFrame) -> pl.DataFrame:
    by_run = ["seed", "group"]
    gone = pl.col("round").filter(pl.col("diverged")).min().over(by_run)
    status = pl.when(gone.is_null()).then(pl.lit("finished")).otherwise(pl.lit("diverged"))
    reason = pl.when(gone.is_null()).then(pl.lit("")).otherwise(pl.format("non-finite values by round {}", gone))
    labels = _labels(cell, numbers)
    if twice := sorted(set(labels).intersection(history.columns) - RESERVED):
        raise ValueError(f"{twice} are keys of the spec and columns of the history; rename what the task measures")
    new = history.with_columns(status.alias("status"), reason.alias("reason"))
    return new.select(*_literals(labels), pl.exclude(*labels))


def _failed(
    cell: Cell, numbers: dict[str, dict[str, float]], error: Exception, seeds: tuple[int, ...] | None = None
) -> pl.DataFrame:
    reason = f"{type(error).__name__}: {error}"
    rows = pl.DataFrame({"seed": list(cell.spec.seeds if seeds is None else seeds)}, schema={"seed": pl.Int64})
    told = _literals({"status": "failed", "reason": reason})
    return rows.select(*_literals(_labels(cell, numbers)), pl.col("seed"), *told)


def _labels(cell: Cell, numbers: dict[str, dict[str, float]]) -> dict[str, Any]:
    named = {"cell": cell.index, "method": cell.method.name, "task": cell.spec.task.name}
    given = {**cell.task, **numbers["task"]}
    given = {RENAMED.get(name, name): value for name, value in given.items()}
    return {**named, **cell.method_structure, **numbers["method"], **given, **cell.optimizer, **numbers["optimizer"]}


def _literals(labels: dict[str, Any]) -> list[pl.Expr]:
    kinds = {int: pl.Int64, float: pl.Float64, str: pl.String, bool: pl.Boolean}
    return [pl.lit(value, dtype=kinds[type(value)]).alias(name) for name, value in labels.items()]
