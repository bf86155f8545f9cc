"""The driver: one compiled program advances all runs to their next evaluation; the host loops over it.

Seeds and variants (step sizes, or any other numbers of algorithm and task) are lanes of that program. Variants
with the same seed share their keys (common random numbers), so the draws are made once for all of them.
"""

import os
from collections.abc import Sequence
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

from telejax.algorithms.base import Plan, State
from telejax.backend import batched_map as execution
from telejax.backend.sharding import Placement, slot_mesh
from telejax.errors import DivergenceError, check_integer
from telejax.results.result import Result
from telejax.simulation import arguments as budgets
from telejax.simulation.batching import Lanes
from telejax.simulation.checkpoint import Checkpoints
from telejax.simulation.fingerprint import fingerprint
from telejax.simulation.hyperparameters import Variants
from telejax.simulation.metrics import evaluate
from telejax.simulation.recorder import Recorder, Traffic, follow
from telejax.studies.search.sequential import one_by_one
from telejax.tasks.base import Task

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
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | None = None,
    mesh: Mesh | None = None,
    devices: str | None = None,
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
        checkpoint: a folder for checkpoints. The same call, made again after the process was killed, goes on
            from the last one and returns the same history and parameters, bit for bit. Ctrl-C writes a
            checkpoint before it interrupts. Not for plans whose slots change on the way.
        every: rounds between two checkpoints, which are written at evaluations; by default at each.
        mesh: a jax mesh of one axis, over whose devices the slots are sharded; they must divide the slots. Rings
            and other circulant graphs then exchange boundary rows only. Not for plans whose slots change on
            the way. Or
        devices: such as "cpu:2", for a mesh of two CPU devices (``JAX_NUM_CPU_DEVICES=2`` makes them).

    Returns:
        A :class:`telejax.Result` with one history row for each evaluation, seed, step size and group.

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
    plan = plan.bind(task)
    horizons = budgets.check_horizons(rounds, gradients, plan, task)
    eval_every = budgets.check_eval_every(eval_every, horizons)
    seed_list, rates = budgets.check_seeds(seed, seeds), budgets.check_rates(tune, plan)
    every = None if every is None else check_integer("every", every, minimum=1)
    if every is not None and checkpoint is None:
        raise ValueError(f"every is {every} and checkpoint is None; give a folder for the checkpoints")
    fixed = {"checkpoint": checkpoint, "mesh": mesh, "devices": devices}
    budgets.check_single_stage(plan, task, horizons, fixed)
    if plan.decides and len(seed_list) * len(rates or [1]) > 1:
        alone = partial(simulate, rounds=rounds, gradients=gradients, eval_every=eval_every, progress=progress)
        return one_by_one(plan, seed_list, rates, lambda plan, seed: alone(plan, task, seed=seed))
    recorder, state, config, lineage = _run(
        [(plan, task)] if rates is None else [(plan.with_learning_rate(rate), task) for rate in rates],
        horizons=horizons,
        eval_every=eval_every,
        seeds=seed_list,
        seed_axis=seeds is not None,
        variant_axis=rates is not None,
        progress=progress,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        every=every,
        mesh=slot_mesh(mesh, devices),
    )
    history, groups = recorder.table(), [*recorder.groups]
    if plan.decides:
        history, groups = follow(history, lineage), [lineage[-1]]
    config = {**config, "optimizer": plan.optimizer.describe(), "tune": rates}
    result = Result(history, config, recorder.params(groups), state)
    if recorder.all_diverged:
        raise DivergenceError(
            f"{plan.name} diverged by round {recorder.round} with step size "
            f"{', '.join(f'{rate:g}' for rate in result.learning_rates if rate) or 'as in its optimizer'}; "
            "try a smaller one; the history so far is in the result of this error",
            result,
        )
    return result


def simulate_variants(
    members: Sequence[tuple[Plan, Task]],
    *,
    rounds: int,
    seeds: Sequence[int],
    eval_every: int | None = None,
    progress: bool = True,
) -> list[Result]:
    """Run several algorithms and tasks that differ in numbers alone as one program.

    Args:
        members: pairs of one structure (``structure_of``), the algorithms bound to their tasks;
            any numbers of the tasks and of the optimizers may differ.
        rounds: rounds to run.
        seeds: seeds of every member.
        eval_every: rounds between two rows of the history; by default about 50 rows.
        progress: show a progress bar.

    Returns:
        One result a member, as :func:`simulate` would have returned, but also where all runs diverged, and
        without the state.

    Raises:
        ValueError: members of different structure, or whose stages depend on the history.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk = tj.random_walk(optimizer=sgd)
    >>> tasks = [tj.tasks.quadratic(nodes=100, noise=noise) for noise in (0.1, 1.0)]
    >>> calm, noisy = simulate_variants([(walk, task) for task in tasks], rounds=100, seeds=[0, 1])
    >>> calm.history.shape == noisy.history.shape
    True
    """
    plan, task = members[0]
    if plan.decides:
        raise ValueError(f"members hold {plan.name}, whose stages depend on the history; give it to simulate alone")
    horizons = budgets.check_horizons(rounds, None, plan, task)
    recorder, _, config, _ = _run(
        members,
        horizons=horizons,
        eval_every=budgets.check_eval_every(eval_every, horizons),
        seeds=list(seeds),
        seed_axis=True,
        variant_axis=True,
        progress=progress,
    )
    results, means = [], recorder.params([*recorder.groups])
    for index, (table, (plan, _)) in enumerate(zip(recorder.tables(), members, strict=True)):
        params = jax.tree.map(lambda x, at=index: x[:, at : at + 1], means)
        results.append(Result(table, {**config, "optimizer": plan.optimizer.describe()}, params))
    return results


def _run(
    members: Sequence[tuple[Plan, Task]],
    *,
    horizons: tuple[int, ...],
    eval_every: int,
    seeds: list[int],
    seed_axis: bool,
    variant_axis: bool,
    progress: bool,
    checkpoint: Path | None = None,
    every: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Recorder, State, dict[str, Any], Sequence[int]]:
    """Run all members with all seeds, stage by stage; the stages of all have the same rounds, groups and slots.

    Returns:
        The record, the final state, what was run in plain values, and the groups that a plan which decides
        has followed.
    """
    plan, task = members[0]
    courses = [plan.stages(task, horizons) for plan, task in members]
    stages = [next(course) for course in courses]
    algorithm = stages[0].algorithm
    slots = algorithm.slots(task.nodes)
    budgets.check_handoffs(eval_every, slots)
    config = {
        "algorithm": plan.name,
        "task": type(task).__name__,
        "nodes": task.nodes,
        "slots": slots,
        "optimizer": plan.optimizer.describe(),
        "rounds": max(horizons),
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
    placement.check(slots)
    identity = {} if checkpoint is None else fingerprint({**config, "members": members})
    keys = jax.vmap(jax.random.key)(placement.replicate(np.array(seeds, np.uint32)))
    keys = keys if seed_axis else keys[0]
    tasks = placement.replicate(Variants.of([task for _, task in members]))
    state: Any = None
    lineage: Sequence[int] | None = None
    recorder = Recorder(seeds, [plan.optimizer.learning_rate for plan, _ in members], lanes.axes + 1)
    bar = tqdm(
        desc=plan.name, total=max(horizons), unit="round", disable=not progress, delay=SHOW_AFTER_SECONDS, leave=False
    )
    with bar, nullcontext() if checkpoint is None else Checkpoints(checkpoint, every, identity) as saved:
        while True:
            stage, algorithm = stages[0], stages[0].algorithm
            here = [(placement.spread(now.algorithm), task) for now, (_, task) in zip(stages, members, strict=True)]
            variants = placement.replicate(Variants.of(here))
            if state is None:
                state = _start(
                    variants, _first_params(tasks, keys, lanes=lanes), keys, lanes=lanes, placement=placement
                )
            else:
                state = _take(state, stage.slots, lanes)
            traffic = Traffic(
                messages=algorithm.gossip_messages(task.nodes),
                gradients=algorithm.gradients(task.nodes),
                copy_bytes=algorithm.copy_bytes(one),
                handoff_bytes=algorithm.handoff_bytes(one),
            )
            recorder.begin(stage.groups, algorithm.groups(task.nodes), traffic)
            ahead = [*budgets.chunks(stage.rounds, eval_every, first=recorder.round == 0)]
            if saved is not None:  # then this is the only stage
                state = saved.resume(state, recorder)
                bar.update(recorder.round)
                ahead = ahead[recorder.evaluations :]
            for rounds in ahead:
                if recorder.all_diverged:
                    break
                state, *seen = _advance(variants, state, keys, rounds, lanes=lanes, placement=placement)
                recorder.add(rounds, *seen)
                bar.update(rounds)
                if saved is not None:
                    saved.after_evaluation(
                        state, recorder, last=recorder.round == max(horizons) or recorder.all_diverged
                    )
            if recorder.all_diverged:
                break
            try:
                stages = [course.send(table) for course, table in zip(courses, recorder.tables(), strict=True)]
            except StopIteration as end:
                lineage = end.value
                break
    config["slots"] = algorithm.slots(task.nodes)
    return recorder, state, config, lineage or stage.groups[:1]  # where all diverged, the first of those left


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

    with execution.over(placement.mesh):
        out, (holders, round, handoffs) = lanes.run(
            advance, _bare(state), keys, variants.own, state.holders, state.round
        )
    bare, metrics, means = out
    state, measured = placement.constrain(replace(bare, holders=holders, round=round), (handoffs, metrics, means))
    return state, *measured


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
    """The state without what variants share."""
    return replace(state, holders=None, round=None)
