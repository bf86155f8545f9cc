"""Numbers of active nodes to choose from, and which of them to take."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import polars as pl

from telejax.backend.memory import fitting_memory, tree_bytes
from telejax.errors import check_integer, check_list, is_kind, short
from telejax.optimizers import FixedOptimizer, Optimizer
from telejax.simulation.task_checks import check_task, check_task_members, traced
from telejax.simulation.tuning import Tune, is_list, plain_tune
from telejax.tasks.base import Task
from telejax.topology import TopologyLike, check_topology, resolve

OBJECTIVES = {"slots": "loss_slots", "mean": "loss"}
"""Column of the history that each objective averages."""


def check_candidates(candidates: Sequence[int] | np.ndarray | None, nodes: int) -> list[int]:
    """The candidates in ascending order, by default the powers of two up to ``nodes``.

    >>> check_candidates(None, nodes=20)
    [1, 2, 4, 8, 16]
    """
    if candidates is None:
        return [2**power for power in range(nodes.bit_length())]
    chosen = distinct(candidates)
    if chosen[-1] > nodes:
        raise ValueError(
            f"candidates holds {chosen[-1]} and the task has {nodes} nodes; activate at most {nodes} of them"
        )
    return chosen


def to_run(
    candidates: Sequence[int] | np.ndarray | None,
    task: Task,
    optimizer: Optimizer | FixedOptimizer,
    topology: TopologyLike,
    runs: int = 1,
    skip: bool = False,
) -> tuple[list[int], list[int]]:
    """The candidates to run, and those left out: by :func:`buildable` or by :func:`fitting`."""
    fit, beyond = fitting(candidates, task, optimizer, runs)
    chosen, refused = buildable(fit, topology, skip)
    return chosen, refused + beyond


def fitting(
    candidates: Sequence[int] | np.ndarray | None, task: Task, optimizer: Optimizer | FixedOptimizer, runs: int
) -> tuple[list[int], list[int]]:
    """The candidates to run, and those of the default ones left out because their slots do not fit the memory.

    Given candidates are all kept: where they do not fit, the run is refused.

    Args:
        candidates: given ones, or None for the powers of two.
        task: whose parameters a slot holds, with
        optimizer: its state.
        runs: seeds and settings of every candidate.
    """
    chosen = check_candidates(candidates, check_task(task).nodes)
    check_task_members(task)
    if candidates is not None:
        return chosen, []
    params = traced("task.init", task.init, jax.random.key(0))
    slots = fitting_memory(runs * tree_bytes((params, jax.eval_shape(optimizer.build().init, params))))
    together = list(itertools.accumulate(chosen))
    count = max(1, sum(total <= slots for total in together))
    if left := chosen[count:]:
        warnings.warn(
            f"candidates stop at {chosen[count - 1]} active of {task.nodes} nodes: the slots of {left} do not fit the "
            f"memory beside them, {runs} runs of each; give fewer seeds or step sizes, or candidates",
            stacklevel=4,
        )
    return chosen[:count], left


def runs_of(seeds: int, tune: Tune | None) -> int:
    """How many runs each candidate has: seeds times settings."""
    tune = plain_tune(tune)
    lists = tune.values() if is_kind(tune, Mapping) else () if tune is None else (tune,)
    return seeds * math.prod(max(len(one), 1) for one in lists if is_list(one))


def distinct(candidates: Sequence[int] | np.ndarray) -> list[int]:
    """Numbers of active nodes in ascending order, at least one and each once."""
    remedy = "give a list of at least one number of active nodes, or None for powers of two"
    chosen = sorted(check_integer("candidates", k, minimum=1) for k in check_list("candidates", candidates, remedy))
    if not chosen:
        raise ValueError(f"candidates is empty; {remedy}")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"candidates is {list(candidates)}; give each number of active nodes only once")
    return chosen


def buildable(candidates: list[int], topology: TopologyLike, skip: bool) -> tuple[list[int], list[int]]:
    """The candidates whose graph can be built, and those left out where ``skip`` allows it."""
    check_topology("topology", topology)
    refused: dict[int, ValueError] = {}
    for k in candidates:
        try:
            resolve(topology, k)
        except ValueError as error:
            refused[k] = error
    kept = [k for k in candidates if k not in refused]
    if refused and (not skip or not kept):
        first, why = next(iter(refused.items()))
        remedy = "leave them out of candidates, or pass skip=True" if kept else "give another topology"
        raise ValueError(
            f"topology is {short(topology)}, which cannot be built for candidates {[*refused]} ({first}: {why}); "
            f"{remedy}"
        )
    return kept, [*refused]


def passes(candidates: Sequence[int], nodes: int) -> list[list[int]]:
    """Candidates that run side by side on disjoint nodes, smallest first.

    >>> passes([1, 2, 4, 8, 16], nodes=31), passes([1, 2, 4, 8, 16], nodes=30)
    ([[1, 2, 4, 8, 16]], [[1, 2, 4, 8], [16]])
    """
    split: list[list[int]] = [[]]
    for k in sorted(candidates):
        if sum(split[-1]) + k > nodes:
            split.append([])
        split[-1].append(k)
    return split


def choose(table: pl.DataFrame, column: str, tolerance: float) -> int:
    """The smallest candidate within the tolerance of the lowest objective.

    >>> choose(pl.DataFrame({"active": [1, 2, 4], "slots": [3.0, 1.04, 1.0], "diverged": False}), "slots", 0.05)
    2
    """
    alive = table.filter(~pl.col("diverged"))
    within = alive.filter(pl.col(column) <= (1 + tolerance) * pl.col(column).min())
    return int(within["active"].min())  # type: ignore[arg-type]
