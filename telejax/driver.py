"""The driver: one compiled program advances all runs to their next evaluation; the host loops over it.

Seeds and variants (step sizes, or any other numbers of algorithm and task) are lanes of that program. Variants
with the same seed share their keys (common random numbers), so the draws are made once for all of them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm.auto import tqdm

from telejax.algorithms.base import Algorithm, State
from telejax.checkpoint import Checkpoints
from telejax.devices import Placement, slot_mesh
from telejax.errors import DivergenceError, check_integer, check_number
from telejax.evaluation import evaluate
from telejax.fingerprint import fingerprint
from telejax.history import Recorder, Traffic
from telejax.lanes import Lanes
from telejax.results import Result
from telejax.tasks.base import Task
from telejax.variants import Variants

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
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | None = None,
    mesh: Mesh | None = None,
    devices: str | None = None,
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
        checkpoint: a folder for checkpoints. The same call, made again after the process was killed, goes on
            from the last one and returns the same history and parameters, bit for bit. Ctrl-C writes a
            checkpoint before it interrupts.
        every: rounds between two checkpoints, which are written at evaluations; by default at each.
        mesh: a jax mesh of one axis, over whose devices the slots are sharded; they must divide the slots. Rings
            and other circulant graphs then exchange boundary rows only. Or
        devices: such as "cpu:2", for a mesh of two CPU devices (``JAX_NUM_CPU_DEVICES=2`` makes them).

    Returns:
        A :class:`telejax.Result` with one history row for each evaluation, seed and step size.

    Raises:
        ValueError: an argument out of its range, before anything is compiled; a checkpoint of something else.
        OSError: a checkpoint cannot be written; the one before it is kept.
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
    seed_list, rates = _seeds(seed, seeds), _rates(tune, algorithm)
    budget = _rounds(rounds, gradients, algorithm, task)
    every = None if every is None else check_integer("every", every, minimum=1)
    if every is not None and checkpoint is None:
        raise ValueError(f"every is {every} and checkpoint is None; give a folder for the checkpoints")
    members = [(algorithm, task)] if rates is None else [(algorithm.with_learning_rate(rate), task) for rate in rates]
    recorder, state, config = _run(
        members,
        rounds=budget,
        eval_every=_eval_every(eval_every, budget),
        seeds=seed_list,
        seed_axis=seeds is not None,
        variant_axis=rates is not None,
        progress=progress,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        every=every,
        mesh=slot_mesh(mesh, devices),
    )
    result = Result(recorder.table(), {**config, "tune": rates}, recorder.params, state)
    if recorder.all_diverged:
        raise DivergenceError(
            f"{algorithm.name} diverged by round {recorder.round} with step size "
            f"{', '.join(f'{rate:g}' for rate in result.learning_rates if rate) or 'as in its optimizer'}; "
            "try a smaller one; the history so far is in the result of this error",
            result,
        )
    return result


def simulate_variants(
    members: Sequence[tuple[Algorithm, Task]],
    *,
    rounds: int,
    seeds: Sequence[int],
    eval_every: int | None = None,
    progress: bool = True,
) -> list[Result]:
    """Run several algorithms and tasks that differ in numbers alone as one program.

    Args:
        members: pairs of one structure (:func:`telejax.variants.structure_of`), the algorithms bound to their tasks;
            any numbers of the tasks and of the optimizers may differ.
        rounds: rounds to run.
        seeds: seeds of every member.
        eval_every: rounds between two rows of the history; by default about 50 rows.
        progress: show a progress bar.

    Returns:
        One result a member, as :func:`simulate` would have returned, but also where all runs diverged, and
        without the state.

    Raises:
        ValueError: members of different structure.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk = tj.random_walk(optimizer=sgd)
    >>> tasks = [tj.tasks.quadratic(nodes=100, noise=noise) for noise in (0.1, 1.0)]
    >>> calm, noisy = simulate_variants([(walk, task) for task in tasks], rounds=100, seeds=[0, 1])
    >>> calm.history.shape == noisy.history.shape
    True
    """
    recorder, _, config = _run(
        members,
        rounds=rounds,
        eval_every=_eval_every(eval_every, rounds),
        seeds=list(seeds),
        seed_axis=True,
        variant_axis=True,
        progress=progress,
    )
    results = []
    for index, (table, (algorithm, _)) in enumerate(zip(recorder.tables(), members, strict=True)):
        params = jax.tree.map(lambda x, at=index: x[:, at : at + 1], recorder.params)
        results.append(Result(table, {**config, "optimizer": algorithm.optimizer.describe()}, params))
    return results


def _run(
    members: Sequence[tuple[Algorithm, Task]],
    *,
    rounds: int,
    eval_every: int,
    seeds: list[int],
    seed_axis: bool,
    variant_axis: bool,
    progress: bool,
    checkpoint: Path | None = None,
    every: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Recorder, State, dict[str, Any]]:
    """Run all members with all seeds; the record, the final state, and what was run in plain values."""
    algorithm, task = members[0]
    config = {
        "algorithm": algorithm.name,
        "task": type(task).__name__,
        "nodes": task.nodes,
        "slots": algorithm.slots(task.nodes),
        "optimizer": algorithm.optimizer.describe(),
        "rounds": rounds,
        "eval_every": eval_every,
        "seeds": seeds,
    }
    one = jax.eval_shape(algorithm.init, jax.random.key(0), task)
    lanes = Lanes.plan(
        seeds=len(seeds) if seed_axis else None,
        variants=len(members) if variant_axis else None,
        run_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one)),
    )
    placement = Placement(mesh, lanes.axes)
    placement.check(algorithm.slots(task.nodes))
    identity = {} if checkpoint is None else fingerprint({**config, "members": members})
    keys = jax.vmap(jax.random.key)(placement.replicate(np.array(seeds, np.uint32)))
    keys = keys if seed_axis else keys[0]
    variants = placement.replicate(Variants.of([(placement.spread(algorithm), task) for algorithm, task in members]))
    tasks = placement.replicate(Variants.of([task for _, task in members]))
    state = _start(variants, _first_params(tasks, keys, lanes=lanes), keys, lanes=lanes, placement=placement)
    recorder = Recorder(
        seeds=seeds,
        learning_rates=[algorithm.optimizer.learning_rate for algorithm, _ in members],
        groups=algorithm.groups(task.nodes),
        traffic=Traffic(
            messages=algorithm.gossip_messages(task.nodes),
            gradients=algorithm.gradients(task.nodes),
            copy_bytes=algorithm.copy_bytes(one),
            handoff_bytes=algorithm.handoff_bytes(one),
        ),
        lane_axes=lanes.axes + 1,
    )
    bar = tqdm(
        desc=algorithm.name, total=rounds, unit="round", disable=not progress, delay=SHOW_AFTER_SECONDS, leave=False
    )
    with bar, nullcontext() if checkpoint is None else Checkpoints(checkpoint, every, identity) as saved:
        if saved is not None:
            state = saved.resume(state, recorder)
            bar.update(recorder.round)
        for ahead in list(_chunks(rounds, eval_every))[recorder.evaluations :]:
            if recorder.evaluations and recorder.all_diverged:
                break
            state, handoffs, metrics, means = _advance(variants, state, keys, ahead, lanes=lanes, placement=placement)
            recorder.add(ahead, handoffs, metrics, means)
            bar.update(ahead)
            if saved is not None:
                saved.after_evaluation(state, recorder, last=recorder.round == rounds or recorder.all_diverged)
    return recorder, state, config


@partial(jax.jit, static_argnames=("lanes",))
def _first_params(tasks: Variants, keys: Any, *, lanes: Lanes) -> Any:
    """One copy of the parameters for each lane; a program of its own, which all methods on a task share."""

    def one_seed(key: Any) -> Any:
        init = lambda own: tasks.member(own).init(jax.random.split(key)[0])
        return init(tasks.own) if lanes.variants is None else jax.vmap(init, axis_size=lanes.variants)(tasks.own)

    return one_seed(keys) if lanes.seeds is None else jax.vmap(one_seed)(keys)


@partial(jax.jit, static_argnames=("lanes", "placement"))
def _start(variants: Variants, params: Any, keys: Any, *, lanes: Lanes, placement: Placement) -> State:
    """The state of every lane: leaves (seeds, variants, slots, ...), holders (seeds, slots), round ()."""

    def start(lane: tuple[Any, Any], shared: Any) -> tuple[Any, Any]:
        params, own = lane
        algorithm, task = variants.member(own)
        state = algorithm.start(params, task.nodes)
        return _bare(state), (state.holders, state.round)

    state, (holders, round) = lanes.run(start, params, keys, variants.own, None, None)
    return placement.constrain(replace(state, holders=holders, round=round), None)[0]


@partial(jax.jit, static_argnames=("lanes", "placement"), donate_argnames=("state",))
def _advance(
    variants: Variants, state: State, keys: Any, rounds: Any, *, lanes: Lanes, placement: Placement
) -> tuple[State, Any, Any, Any]:
    """Advance every lane by ``rounds`` (traced, so that other lengths compile nothing) and evaluate it."""

    def advance(lane: tuple[State, Any], shared: Any) -> tuple[Any, Any]:
        (state, own), (key, holders, round) = lane, shared
        algorithm, task = variants.member(own)
        groups = algorithm.groups(task.nodes)
        _, run_key = jax.random.split(key)

        def one_round(_: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
            state, handoffs = carry
            state, info = algorithm.step(jax.random.fold_in(run_key, state.round), state, task)
            return state, handoffs + info.handoffs

        start = replace(state, holders=holders, round=round), jnp.zeros(len(groups), jnp.int32)
        state, handoffs = jax.lax.fori_loop(0, rounds, one_round, start)
        measured = evaluate(state, task, groups)
        return (_bare(state), *measured), (state.holders, state.round, handoffs)

    out, (holders, round, handoffs) = lanes.run(advance, _bare(state), keys, variants.own, state.holders, state.round)
    bare, metrics, means = out
    state, measured = placement.constrain(replace(bare, holders=holders, round=round), (handoffs, metrics, means))
    return state, *measured


def _bare(state: Any) -> Any:
    """The state without what variants share."""
    return replace(state, holders=None, round=None)


def _chunks(rounds: int, eval_every: int) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first, a shorter rest at the end."""
    yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every


def _eval_every(eval_every: int | None, rounds: int) -> int:
    eval_every = max(1, rounds // EVALUATIONS) if eval_every is None else eval_every
    return check_integer("eval_every", eval_every, minimum=1)


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
