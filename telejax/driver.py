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
from tqdm.auto import tqdm

from telejax.algorithms.base import Algorithm, State
from telejax.errors import DivergenceError, check_integer, check_number
from telejax.evaluation import evaluate
from telejax.history import Recorder, Traffic
from telejax.lanes import Lanes
from telejax.results import Result
from telejax.tasks.base import Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
MAX_SEED = 2**32 - 1
SHOW_AFTER_SECONDS = 2.0  # a shorter run shows no progress bar


def simulate(
    algorithm: Algorithm,
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
        algorithm: such as :func:`telejax.teleportation`.
        task: such as ``telejax.tasks.quadratic``.
        rounds: rounds to run; or
        gradients: a budget of stochastic gradients, which buys ``gradients // gradients a round`` rounds.
        eval_every: rounds between two rows of the history; by default about 50 rows. The first row is round
            0, the last is the last round.
        seed: of the start and of all draws; or
        seeds: several runs at once: their seeds, or how many to take from ``seed`` on.
        tune: several step sizes at once, replacing the optimizer's ``learning_rate``.
        progress: show a progress bar with the time left when a run takes more than two seconds.

    Returns:
        A :class:`telejax.Result` with one history row for each evaluation, seed and step size.

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
    algorithm = algorithm.bind(task)
    rounds = _rounds(rounds, gradients, algorithm, task)
    eval_every = max(1, rounds // EVALUATIONS) if eval_every is None else eval_every
    eval_every = check_integer("eval_every", eval_every, minimum=1)
    seed_list, rates = _seeds(seed, seeds), _rates(tune, algorithm)
    one = jax.eval_shape(algorithm.init, jax.random.key(0), task)
    lanes = Lanes.plan(
        seeds=None if seeds is None else len(seed_list),
        rates=None if rates is None else len(rates),
        run_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one)),
    )
    keys = jax.vmap(jax.random.key)(jnp.asarray(seed_list, jnp.uint32))
    keys = keys[0] if seeds is None else keys
    learning_rates = None if rates is None else jnp.asarray(rates, jnp.result_type(float))
    state = _start(algorithm, _first_params(task, keys), learning_rates, nodes=task.nodes, lanes=lanes)
    recorder = Recorder(
        seeds=seed_list,
        learning_rates=[algorithm.optimizer.learning_rate] if rates is None else [*rates],
        groups=algorithm.groups(task.nodes),
        traffic=Traffic(
            messages=algorithm.gossip_messages(task.nodes),
            gradients=algorithm.gradients(task.nodes),
            copy_bytes=algorithm.copy_bytes(one),
            handoff_bytes=algorithm.handoff_bytes(one),
        ),
        lane_axes=lanes.axes + 1,
    )
    with tqdm(
        desc=algorithm.name, total=rounds, unit="round", disable=not progress, delay=SHOW_AFTER_SECONDS, leave=False
    ) as bar:
        for ahead in _chunks(rounds, eval_every):
            state, handoffs, metrics, means = _advance(algorithm, task, state, keys, learning_rates, ahead, lanes=lanes)
            recorder.add(ahead, handoffs, metrics, means)
            bar.update(ahead)
            if recorder.all_diverged:
                break
    result = Result(
        history=recorder.table(),
        config={
            "algorithm": algorithm.name,
            "task": type(task).__name__,
            "nodes": task.nodes,
            "slots": algorithm.slots(task.nodes),
            "optimizer": algorithm.optimizer.describe(),
            "rounds": rounds,
            "eval_every": eval_every,
            "seeds": seed_list,
            "tune": rates,
        },
        params=recorder.params,
        state=state,
    )
    if recorder.all_diverged:
        raise DivergenceError(
            f"{algorithm.name} diverged by round {recorder.round} with step size "
            f"{', '.join(f'{rate:g}' for rate in result.learning_rates if rate) or 'as in its optimizer'}; "
            "try a smaller one; the history so far is in the result of this error",
            result,
        )
    return result


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


def _bare(state: Any) -> Any:
    """The state without what runs of different step sizes share."""
    return replace(state, holders=None, round=None)


def _with_rate(algorithm: Algorithm, learning_rate: Any) -> Algorithm:
    return algorithm if learning_rate is None else algorithm.with_learning_rate(learning_rate)


def _chunks(rounds: int, eval_every: int) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first, a shorter rest at the end."""
    yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every


def _rounds(rounds: int | None, gradients: int | None, algorithm: Algorithm, task: Task) -> int:
    if (rounds is None) == (gradients is None):
        raise ValueError(f"rounds is {rounds} and gradients is {gradients}; give exactly one of the two budgets")
    if rounds is not None:
        return check_integer("rounds", rounds, minimum=1)
    a_round = sum(algorithm.gradients(task.nodes))
    remedy = f"give at least {a_round}, the gradients of one round of {algorithm.name}"
    return check_integer("gradients", gradients, minimum=a_round, remedy=remedy) // a_round


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


def _rates(tune: Sequence[float] | None, algorithm: Algorithm) -> list[float] | None:
    if tune is None:
        return None
    rates = [check_number("tune", one, exclusive=True) for one in tune]
    if not rates or len(set(rates)) < len(rates):
        raise ValueError(f"tune is {rates}; give at least one step size, and each only once")
    algorithm.with_learning_rate(rates[0])  # refuses optimizers without a tunable step size
    return rates
