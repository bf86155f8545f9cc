"""Running one cell of a sweep: all its numbers and seeds in as few programs as structure and memory allow."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import polars as pl

from telejax.algorithms.base import Algorithm
from telejax.backend.factories import Factory
from telejax.backend.memory import fitting_memory, tree_bytes
from telejax.backend.programs import forget_programs
from telejax.network import IDEAL, Network
from telejax.optimizers import optimizer
from telejax.simulation.arguments import check_network
from telejax.simulation.batching import structure_of
from telejax.simulation.compiled import Member, round_shape, state_shape
from telejax.simulation.recorder import RESERVED
from telejax.simulation.simulate import simulate_batch
from telejax.simulation.task_checks import metric_columns
from telejax.studies.sweep.spec import Cell, SweepSpec, find
from telejax.tasks.base import Task

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
            member = build(numbers)
            groups.setdefault(structure_of(member), []).append((numbers, member))
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
        algorithm, task, network = _Builder(cell)(next(_points(cell)))
        _, info = round_shape((algorithm, task, network), state_shape(algorithm, task, network))
        measured = [*metric_columns(task, (), network), *info.counters, *info.gauges]
    except Exception:  # becomes a row with its reason when it is run
        return None
    return [*(RESERVED - {"seed", "group"}), *measured]


class _Builder:
    """Makes (algorithm, task, network); tasks, graphs and networks that several points share are built once."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.tasks: dict[Any, Any] = {}
        self.algorithms: dict[Any, Any] = {}
        self.networks: dict[Any, Network] = {}

    def __call__(self, numbers: dict[str, dict[str, float]]) -> Member:
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
        algorithm = replace(self.algorithms[method_key], optimizer=sgd)
        network = self.network(algorithm, task, task_key, numbers["network"])
        return algorithm, network.met_by(task), network

    def network(self, algorithm: Algorithm, task: Task, task_key: Any, numbers: dict[str, float]) -> Network:
        """The network of the cell, bound to the task before its numbers change, as ``simulate(tune=)`` does it."""
        networks, file = self.cell.spec.network, self.cell.network
        if networks is None or file is None:
            return IDEAL
        if task_key not in self.networks:
            self.networks[task_key] = check_network(networks.files[file], algorithm, task)
        return networks.at(file, numbers, self.networks[task_key])


def factory(section: str, name: str) -> Factory:
    """What makes a task, method or optimizer."""
    return find(section, name)[1]


def _points(cell: Cell) -> Iterator[dict[str, dict[str, float]]]:
    """Every combination of the cell's numbers."""
    axes = {"task": cell.spec.task, "method": cell.method, "optimizer": cell.spec.optimizer}
    tables = {part: one.number_axes() for part, one in axes.items()}
    tables["network"] = {} if cell.spec.network is None else cell.spec.network.values
    names = [(part, name) for part, table in tables.items() for name in table]
    for values in product(*(tables[part][name] for part, name in names)):
        point: dict[str, dict[str, float]] = {part: {} for part in tables}
        for (part, name), value in zip(names, values, strict=True):
            point[part][name] = value
        yield point


def _fitting(points: list[Any], seeds: tuple[int, ...]) -> Iterator[tuple[list[Any], tuple[int, ...]]]:
    """Split points and seeds so that the states of one program's runs fit in the memory."""
    runs = fitting_memory(tree_bytes(state_shape(*points[0][1])))
    seeds_at_once = min(len(seeds), runs)
    points_at_once = max(1, runs // len(seeds))
    for start in range(0, len(points), points_at_once):
        for first in range(0, len(seeds), seeds_at_once):
            yield points[start : start + points_at_once], seeds[first : first + seeds_at_once]


def _run_points(cell: Cell, points: list[Any], seeds: tuple[int, ...]) -> list[pl.DataFrame]:
    spec = cell.spec
    try:
        results = simulate_batch(
            [member for _, member in points],
            rounds=spec.rounds,
            eval_every=spec.eval_every,
            seeds=seeds,
            progress=False,
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
    network = {} if cell.network is None else {"network": cell.network, **numbers["network"]}
    learned = {**cell.optimizer, **numbers["optimizer"]}
    return {**named, **cell.method_structure, **numbers["method"], **given, **learned, **network}


def _literals(labels: dict[str, Any]) -> list[pl.Expr]:
    kinds = {int: pl.Int64, float: pl.Float64, str: pl.String, bool: pl.Boolean}
    return [pl.lit(value, dtype=kinds[type(value)]).alias(name) for name, value in labels.items()]
