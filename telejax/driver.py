"""The driver: one compiled program advances all runs to their next evaluation; the host loops over it.

Step sizes and seeds are lanes of that program. Runs with the same seed and another step size share their
keys (common random numbers), so the draws are made once for all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from tqdm.auto import tqdm

from telejax.algorithms.base import Algorithm, Plan, State
from telejax.errors import DivergenceError, check_integer, check_number
from telejax.evaluation import evaluate
from telejax.history import Recorder, Traffic, follow
from telejax.lanes import Lanes
from telejax.results import Result
from telejax.tasks.base import Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
MAX_SEED = 2**32 - 1
MAX_COUNT = 2**31 - 1  # of the int32 counters on the device
SHOW_AFTER_SECONDS = 2.0  # a shorter run shows no progress bar


def simulate(
    plan: Plan,
    task: Task,
    *,
    rounds: int | None = None,
    gradients: int | None = None,
    eval_every: int | None = None,
    seed: int = 0,
    seeds: int | Sequence[int] | None = None,
    tune: Sequence[float] | None = None,
    progress: bool = True,
) -> Result:
    """Run an algorithm on a task and return its history.

    Args:
        plan: an algorithm, such as :func:`telejax.teleportation`, or what runs several in turn.
        task: such as ``telejax.tasks.quadratic``.
        rounds: rounds to run; or
        gradients: a budget of stochastic gradients, which buys ``gradients // gradients a round`` rounds, for
            each group where an algorithm has several.
        eval_every: rounds between two rows of the history; by default about 50 rows. The first row is round
            0, the last is the last round.
        seed: of the start and of all draws; or
        seeds: several runs at once: their seeds, or how many to take from ``seed`` on.
        tune: several step sizes at once, replacing the optimizer's ``learning_rate``.
        progress: show a progress bar with the time left when a run takes more than two seconds.

    Returns:
        A :class:`telejax.Result` with one history row for each evaluation, seed, step size and group.

    Raises:
        ValueError: an argument out of its range, before anything is compiled.
        DivergenceError: every run reached non-finite values; the error's ``result`` holds the history so far.
            While some runs remain finite, diverged ones are marked in the column ``diverged``.

    >>> import optax, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=1000, heterogeneity=1.0)
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> result = tj.simulate(tj.teleportation(active=8, topology="ring", optimizer=sgd), task, rounds=200)
    >>> bool(result.history["loss"][-1] < 0.05 * result.history["loss"][0])
    True
    """
    plan = plan.bind(task)
    horizons = _horizons(rounds, gradients, plan, task)
    if eval_every is None:
        eval_every = max(1, max(horizons) // EVALUATIONS)
    eval_every = check_integer("eval_every", eval_every, minimum=1)
    seed_list, rates = _seeds(seed, seeds), _rates(tune, plan)
    if plan.decides and len(seed_list) * len(rates or [1]) > 1:
        return _one_by_one(plan, task, rounds, gradients, eval_every, seed_list, rates, progress)
    stages = plan.stages(task, horizons)
    stage = next(stages)
    one = jax.eval_shape(stage.algorithm.init, jax.random.key(0), task)
    most = MAX_COUNT // stage.algorithm.slots(task.nodes)
    if eval_every > most:
        raise ValueError(
            f"eval_every is {eval_every}; hand-offs are counted in int32 between two rows, give at most {most}"
        )
    lanes = Lanes.plan(
        seeds=None if seeds is None else len(seed_list),
        rates=None if rates is None else len(rates),
        run_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one)),
    )
    keys = jax.vmap(jax.random.key)(jnp.asarray(seed_list, jnp.uint32))
    keys = keys[0] if seeds is None else keys
    learning_rates = None if rates is None else jnp.asarray(rates, jnp.result_type(float))
    state = _start(stage.algorithm, _first_params(task, keys), learning_rates, nodes=task.nodes, lanes=lanes)
    recorder = Recorder(seed_list, [plan.optimizer.learning_rate] if rates is None else [*rates], lanes.axes + 1)
    lineage = None
    with tqdm(
        desc=plan.name, total=max(horizons), unit="round", disable=not progress, delay=SHOW_AFTER_SECONDS, leave=False
    ) as bar:
        while True:
            algorithm = stage.algorithm
            traffic = Traffic(
                messages=algorithm.gossip_messages(task.nodes),
                gradients=algorithm.gradients(task.nodes),
                copy_bytes=algorithm.copy_bytes(one),
                handoff_bytes=algorithm.handoff_bytes(one),
            )
            recorder.begin(stage.groups, algorithm.groups(task.nodes), traffic)
            for ahead in _chunks(stage.rounds, eval_every, first=recorder.round == 0):
                state, *seen = _advance(algorithm, task, state, keys, learning_rates, ahead, lanes=lanes)
                recorder.add(ahead, *seen)
                bar.update(ahead)
                if recorder.all_diverged:
                    break
            if recorder.all_diverged:
                break
            try:
                stage = stages.send(recorder.table())
            except StopIteration as end:
                lineage = end.value
                break
            state = _take(state, stage.slots, lanes)
    history, groups = recorder.table(), [*recorder.groups]
    if plan.decides:
        lineage = lineage or stage.groups[:1]  # where all diverged on the way, the first of those left
        history, groups = follow(history, lineage), [lineage[-1]]
    result = Result(
        history=history,
        config={
            "algorithm": plan.name,
            "task": type(task).__name__,
            "nodes": task.nodes,
            "slots": stage.algorithm.slots(task.nodes),
            "optimizer": plan.optimizer.describe(),
            "rounds": max(horizons),
            "eval_every": eval_every,
            "seeds": seed_list,
            "tune": rates,
        },
        params=recorder.params(groups),
        state=state,
    )
    if recorder.all_diverged:
        raise DivergenceError(
            f"{plan.name} diverged by round {recorder.round} with step size "
            f"{', '.join(f'{rate:g}' for rate in result.learning_rates if rate) or 'as in its optimizer'}; "
            "try a smaller one; the history so far is in the result of this error",
            result,
        )
    return result


def _one_by_one(
    plan: Plan,
    task: Task,
    rounds: int | None,
    gradients: int | None,
    eval_every: int,
    seeds: list[int],
    rates: list[float] | None,
    progress: bool,
) -> Result:
    """Runs whose plan may take another course for each seed and step size; the programs are shared."""
    results = []
    for one in seeds:
        for rate in rates or (None,):
            here = plan if rate is None else plan.with_learning_rate(rate)
            try:
                run = simulate(
                    here,
                    task,
                    rounds=rounds,
                    gradients=gradients,
                    eval_every=eval_every,
                    seed=one,
                    progress=progress,
                )
            except DivergenceError as error:  # told by the column; the other runs go on
                run = error.result
            results.append(run)
    shape = (len(seeds), len(rates or [None]), -1)
    first = results[0]
    merged = replace(
        first,
        history=pl.concat([run.history for run in results]),
        config={**first.config, "seeds": seeds, "tune": rates},
        params=jax.tree.map(lambda *x: np.stack(x).reshape(*shape, *x[0].shape[3:]), *(run.params for run in results)),
        state=None,
    )
    if bool(merged.final()["diverged"].all()):
        raise DivergenceError(
            f"{plan.name} diverged with every seed and step size of {merged.learning_rates}; try a smaller one", merged
        )
    return merged


@jax.jit
def _first_params(task: Task, keys: Any) -> Any:
    """One copy of the parameters for each seed; a program of its own, which all methods on a task share."""
    split = jnp.vectorize(lambda key: jax.random.split(key)[0])(keys)
    return jax.vmap(task.init)(split) if keys.ndim else task.init(split)


@partial(jax.jit, static_argnames=("nodes", "lanes"))
def _start(algorithm: Algorithm, params: Any, learning_rates: Any, *, nodes: int, lanes: Lanes) -> State:
    """The state of every lane: leaves (seeds, step sizes, slots, ...), holders (seeds, slots), round ()."""

    def start(lane: tuple[Any, Any], shared: Any) -> tuple[Any, Any]:
        (_, rate), (params, _, _) = lane, shared
        state = _with_rate(algorithm, rate).start(params, nodes)
        return _bare(state), (state.holders, state.round)

    state, (holders, round) = lanes.run(start, None, params, learning_rates, None, None)
    return replace(state, holders=holders, round=round)


@partial(jax.jit, static_argnames=("lanes",), donate_argnames=("state",))
def _advance(
    algorithm: Algorithm, task: Task, state: State, keys: Any, learning_rates: Any, rounds: Any, *, lanes: Lanes
) -> tuple[State, Any, Any, Any]:
    """Advance every lane by ``rounds`` (traced, so that other lengths compile nothing) and evaluate it."""
    groups = algorithm.groups(task.nodes)

    def advance(lane: tuple[State, Any], shared: Any) -> tuple[Any, Any]:
        (state, rate), (key, holders, round) = lane, shared
        algorithm_here = _with_rate(algorithm, rate)
        _, run_key = jax.random.split(key)

        def one_round(_: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
            state, handoffs = carry
            state, info = algorithm_here.step(jax.random.fold_in(run_key, state.round), state, task)
            return state, handoffs + info.handoffs

        start = replace(state, holders=holders, round=round), jnp.zeros(len(groups), jnp.int32)
        state, handoffs = jax.lax.fori_loop(0, rounds, one_round, start)
        measured = evaluate(state, task, groups)
        return (_bare(state), *measured), (state.holders, state.round, handoffs)

    out, (holders, round, handoffs) = lanes.run(advance, _bare(state), keys, learning_rates, state.holders, state.round)
    bare, metrics, means = out
    return replace(bare, holders=holders, round=round), handoffs, metrics, means


def _take(state: State, slots: tuple[int, ...] | None, lanes: Lanes) -> State:
    """The slots from which the next stage goes on, of every lane."""
    if slots is None:
        return state
    pick = np.array(slots)
    if not 0 <= pick.min() <= pick.max() < state.holders.shape[-1]:
        raise ValueError(f"a stage goes on from slots {slots}; the stage before had {state.holders.shape[-1]}")
    bare = jax.tree.map(lambda x: jnp.take(x, pick, axis=lanes.axes), _bare(state))
    return replace(bare, holders=jnp.take(state.holders, pick, axis=-1), round=state.round)


def _bare(state: Any) -> Any:
    """The state without what runs of different step sizes share."""
    return replace(state, holders=None, round=None)


def _with_rate(algorithm: Algorithm, learning_rate: Any) -> Algorithm:
    return algorithm if learning_rate is None else algorithm.with_learning_rate(learning_rate)


def _chunks(rounds: int, eval_every: int, first: bool) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first of a run, a shorter rest at the end."""
    if first:
        yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every


def _horizons(rounds: int | None, gradients: int | None, plan: Plan, task: Task) -> tuple[int, ...]:
    if (rounds is None) == (gradients is None):
        raise ValueError(f"rounds is {rounds} and gradients is {gradients}; give exactly one of the two budgets")
    return plan.horizons(task.nodes, rounds, gradients)


def _seeds(seed: int, seeds: int | Sequence[int] | None) -> list[int]:
    seed = check_integer("seed", seed, minimum=0)
    if seeds is None:
        name, chosen = "seed", [seed]
    elif isinstance(seeds, int | np.integer):
        name, chosen = "seed", list(range(seed, seed + check_integer("seeds", seeds, minimum=1)))
    else:
        name, chosen = "seeds", [check_integer("seeds", one, minimum=0) for one in seeds]
    if max(chosen, default=0) > MAX_SEED:
        raise ValueError(f"{name} reaches {max(chosen)}; give seeds of at most {MAX_SEED}, keys are made of 32 bits")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds is {chosen}; give at least one seed, and each only once")
    return chosen


def _rates(tune: Sequence[float] | None, plan: Plan) -> list[float] | None:
    if tune is None:
        return None
    rates = [check_number("tune", one, exclusive=True) for one in tune]
    if not rates or len(set(rates)) < len(rates):
        raise ValueError(f"tune is {rates}; give at least one step size, and each only once")
    plan.with_learning_rate(rates[0])  # refuses optimizers without a tunable step size
    return rates
