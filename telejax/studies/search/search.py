"""How many nodes should be active: all candidates at once, on disjoint nodes of one run (Algorithm 2 of the paper).

Y. Takezawa, S. U. Stich, ICLR 2025, arXiv 2501.15259. Candidates 1, 2, 4, ... that together fit in n run in one
program; the next power of two, where it does not fit, costs a second pass.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import polars as pl

from telejax.algorithms.joint import JointTeleportation, joint_teleportation
from telejax.backend.threads import in_threads
from telejax.errors import DivergenceError, check_flag, check_integer, check_name, check_number, is_kind
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.results.result import Result
from telejax.simulation.arguments import check_count, check_one_budget
from telejax.simulation.simulate import simulate
from telejax.simulation.task_checks import check_task
from telejax.simulation.tuning import Tune
from telejax.studies.search.candidates import OBJECTIVES, passes, runs_of, to_run
from telejax.studies.search.equal_gradients import EqualGradients
from telejax.studies.search.result import SearchResult, aggregate
from telejax.tasks.base import OptionalMembers, Task
from telejax.topology import TopologyLike, resolve

EVALUATIONS = 200  # rows of a run where eval_every is not given: the noise of the last quarter averages out over 50


def search(
    task: Task,
    topology: TopologyLike = "ring",
    *,
    optimizer: Optimizer | FixedOptimizer,
    rounds: int | None = None,
    gradients: int | None = None,
    candidates: Sequence[int] | np.ndarray | None = None,
    tune: Tune | None = None,
    objective: str = "slots",
    tolerance: float = 0.05,
    seed: int = 0,
    seeds: int = 4,
    eval_every: int | None = None,
    skip: bool = False,
    state_travels: bool = True,
    progress: bool = True,
) -> SearchResult:
    """Find how many of the task's nodes should be active.

    A candidate's objective is the mean of its rows over the last quarter of its rounds, and over seeds: at the
    noise floor a single row says little. ``best`` is the smallest candidate whose objective is at most
    ``(1 + tolerance)`` times the lowest: the same quality for less work and traffic.

    Args:
        task: what the nodes compute.
        topology: the graph over the slots of each candidate: a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`.
        rounds: T, the rounds of every candidate; or
        gradients: the stochastic gradients of every candidate, which buy a smaller k more rounds.
        candidates: numbers of active nodes; by default 1, 2, 4, ... up to n or, with a warning, to what fits the
            memory. Powers of two take at most two passes, 2 T rounds in all; others may take more.
        tune: a grid of step sizes for every candidate, or a mapping of names to lists as in :func:`telejax.simulate`,
            run as a batch axis of the same program; each candidate is then judged at its own best setting.
        objective: "slots", the mean over slots of the loss of their own models, which is what a deployment gets
            without one more all-reduce; or "mean", the loss of the mean model, as in the paper.
        tolerance: relative.
        seed: the first seed.
        seeds: how many to average over, as a batch axis of the same program. With 4, candidates on a plateau are told
            apart to about a fifth; experiments/paper/algorithm_2.py takes 16. Each costs a deployment the rounds anew.
        eval_every: rounds between two rows of the history; by default about 200 rows.
        skip: leave out candidates for which the topology cannot be built, instead of refusing.
        state_travels: as for :func:`telejax.teleportation`.
        progress: show progress bars.

    Returns:
        A :class:`SearchResult`.

    Raises:
        ValueError: candidates empty, repeated or above n; a topology that cannot be built for one of them; an
            argument out of its range.
        DivergenceError: every candidate diverged with every step size.

    >>> import optax, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=64, noise=3.0)
    >>> found = tj.search(task, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1), rounds=100)
    >>> found.table["active"].to_list(), found.rounds_used
    ([1, 2, 4, 8, 16, 32, 64], 200)
    """
    check_task(task)
    objective = check_name("objective", objective, OBJECTIVES)
    skip, state_travels = check_flag("skip", skip), check_flag("state_travels", state_travels)
    tolerance, seeds = check_number("tolerance", tolerance), check_integer("seeds", seeds, minimum=1)
    optimizer = as_optimizer(optimizer)
    chosen, skipped = to_run(candidates, task, optimizer, topology, runs_of(seeds, tune), skip)
    split = passes(chosen, task.nodes)
    rounds, gradients = _checked_budget(rounds, gradients, chosen)
    run = partial(
        _run_together,
        task=task,
        make=partial(joint_teleportation, topology=topology, optimizer=optimizer, state_travels=state_travels),
        rounds=rounds,
        gradients=gradients,
        eval_every=eval_every,
        seed=seed,
        seeds=seeds,
        tune=tune,
        progress=progress,
    )
    runs, finite = zip(*in_threads(run, split, len(split)), strict=True)
    histories = pl.concat([run.history for run in runs], how="vertical_relaxed").drop("group")
    config = {
        "task": OptionalMembers.of(task).name,
        "nodes": task.nodes,
        "topology": topology if is_kind(topology, str) else resolve(topology, chosen[-1]).name,
        "optimizer": optimizer.describe(),
        "tune": runs[0].learning_rates,
        "tuned": runs[0].tuned_columns,
        "budget": {"rounds": rounds} if rounds is not None else {"gradients": gradients},
        "objective": objective,
        "tolerance": tolerance,
        "seeds": runs[0].seeds,
        "eval_every": eval_every,
        "state_travels": state_travels,
        "passes": split,
        "skipped": skipped,
    }
    if not any(finite):
        raise DivergenceError(_all_diverged(chosen, runs[0].learning_rates), histories)
    return SearchResult(aggregate(histories, runs[0].tuned_columns), histories, sum(run.rounds for run in runs), config)


def _all_diverged(candidates: Sequence[int], learning_rates: Sequence[float]) -> str:
    tried = ", ".join(f"{rate:g}" for rate in learning_rates if rate) or "that of the given optimizer"
    return f"all candidates {list(candidates)} diverged; step sizes tried: {tried}; try smaller ones"


def _checked_budget(
    rounds: int | None, gradients: int | None, candidates: Sequence[int]
) -> tuple[int | None, int | None]:
    """The two budgets, one of which is given, for candidates in ascending order: before any of them runs."""
    check_one_budget(rounds, gradients)
    if rounds is not None:
        rounds = check_count(check_integer("rounds", rounds, minimum=1))
    if gradients is not None:
        largest = candidates[-1]
        remedy = f"give at least {largest}, the gradients of one round of the largest candidate"
        gradients = check_integer("gradients", gradients, minimum=largest, remedy=remedy)
        check_count(gradients // candidates[0])
    return rounds, gradients


def _run_together(
    together: list[int],
    *,
    task: Task,
    make: Callable[..., JointTeleportation],
    rounds: int | None,
    gradients: int | None,
    eval_every: int | None,
    seed: int,
    seeds: int,
    tune: Tune | None,
    progress: bool,
) -> tuple[Result, bool]:
    """One pass: the result of these candidates, and whether any of its runs stayed finite."""
    algorithm = make(active=together)
    horizon = rounds if gradients is None else gradients // min(together)
    assert horizon is not None
    try:
        result = simulate(
            algorithm if gradients is None else EqualGradients(algorithm),
            task,
            rounds=rounds,
            gradients=gradients,
            eval_every=max(1, horizon // EVALUATIONS) if eval_every is None else eval_every,
            seed=seed,
            seeds=seeds,
            tune=tune,
            progress=progress,
        )
    except DivergenceError as error:  # the other passes may hold
        return error.result, False
    return result, True
