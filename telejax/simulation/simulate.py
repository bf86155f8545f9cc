"""Run an algorithm on a task: the arguments, and how program, recorder, loop and checkpoints work together."""

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from telejax.algorithms.base import Algorithm
from telejax.backend.memory import tree_bytes
from telejax.backend.precision import products_in
from telejax.backend.sharding import slot_mesh
from telejax.errors import is_kind
from telejax.mixing.accounting import sent
from telejax.mixing.forms import Mixing
from telejax.mixing.mix import neighbours
from telejax.network import IDEAL, Network
from telejax.results.result import Result
from telejax.simulation import arguments as checks
from telejax.simulation.checkpoint import Checkpoints
from telejax.simulation.compiled import Member, state_shape
from telejax.simulation.divergence import divergence
from telejax.simulation.fingerprint import described, fingerprint
from telejax.simulation.loop import OnEvaluation, Stopping, run_rounds
from telejax.simulation.metrics import directions
from telejax.simulation.profile import Profiler, check_profile
from telejax.simulation.program import Program
from telejax.simulation.recorder import Recorder, RoundCost
from telejax.simulation.spending import Accounting, check_private, privacy_of, protected, sealed, unprotected
from telejax.simulation.start import StartingPoint, check_order, given_start
from telejax.simulation.step_checks import check_columns, check_state_memory, check_step
from telejax.simulation.task_checks import check_task, check_task_members, metric_columns
from telejax.simulation.tuning import Tune, settings
from telejax.state import Metric, State
from telejax.tasks.base import Task


@runtime_checkable
class Study(Protocol):
    """What runs several simulations by itself, such as :func:`telejax.auto`."""

    def run(self, simulate: Callable[..., Result], task: Task, **arguments: Any) -> Result:
        """Call ``simulate`` as often as it takes; ``arguments`` are those that differ from their defaults."""
        ...


def simulate(
    algorithm: Algorithm | Study,
    task: Task,
    *,
    rounds: int | None = None,
    gradients: int | None = None,
    eval_every: int | None = None,
    seed: int = 0,
    seeds: int | Sequence[int] | np.ndarray | None = None,
    tune: Tune | None = None,
    network: Network | None = None,
    metrics: Sequence[Metric] = (),
    state: State | Result | None = None,
    until: tuple[str, float] | None = None,
    on_evaluation: OnEvaluation | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | None = None,
    mesh: Mesh | None = None,
    devices: str | None = None,
    precision: str | None = None,
    profile: str | os.PathLike[str] | None = None,
    load: bool = False,
    record: int | None = None,
) -> Result:
    """Run an algorithm on a task and return its history.

    Args:
        algorithm: such as :func:`telejax.teleportation`, or what runs several in turn, such as :func:`telejax.auto`.
        task: such as ``telejax.tasks.quadratic``.
        rounds: rounds to run; or
        gradients: a budget of stochastic gradients, which buys ``gradients // gradients a round`` rounds.
        eval_every: rounds between two rows of the history; by default about 50 rows. The first row is the round from
            which the run starts, the last is the last round.
        seed: of the start and of all draws; or
        seeds: several runs at once: their seeds, or how many to take from ``seed`` on.
        tune: several step sizes at once, replacing the optimizer's ``learning_rate``; or a mapping of names to lists,
            whose product is run, for any numbers of the method, its optimizers, the network or the task's privacy:
            ``{"learning_rate": [0.01, 0.1], "momentum": [0.0, 0.9]}``. Names that several have are dotted:
            ``optimizer.momentum``. One column a name.
        network: what stands between the slots, see :class:`telejax.Network`; by default nothing.
        metrics: columns of one's own, see :class:`telejax.Metric`.
        state: go on from this: a result, whose counters continue, or a ``result.state``, whose counters start at 0. It
            is copied. Keys go by the absolute round, so that with the same seed the run goes on as if it had never
            stopped, bit for bit. Another graph, step size or method of the same structure is taken.
        until: a metric and its target, such as ``("accuracy", 0.95)``: stop once every run has been there.
        on_evaluation: called with the new rows (a polars table) after each evaluation; True stops the run. Such as
            :func:`telejax.live`. If it has them, its method ``resume`` is called with the rows of the checkpoint from
            which a run goes on, and ``end`` when the run is over.
        progress: show a progress bar with the time left when a run takes more than two seconds.
        checkpoint: a folder for checkpoints. The same call, made again after the process was killed, goes on
            from the last one and returns the same history and parameters, bit for bit. Ctrl-C writes a
            checkpoint before it interrupts.
        every: rounds between two checkpoints, which are written at evaluations; by default at each.
        mesh: a jax mesh of one axis, over whose devices the slots are sharded; they must divide the slots. Rings
            and other circulant graphs then exchange boundary rows only. Or
        devices: such as "cpu:2", for a mesh of two CPU devices (``JAX_NUM_CPU_DEVICES=2`` makes them).
        precision: of the products of matrices in gradients and evaluation: "bfloat16", "tensorfloat32" or "float32"; by
            default jax's own, which is tensorfloat32 on recent GPUs. Mixing, sums over slots and all else is float32
            (or float64) whatever it says.
        profile: a folder, new or empty, for a trace of jax's profiler (for TensorBoard or Perfetto) and ``parts.csv``:
            where the time of a round goes. It holds the rounds after the second evaluation, by when all is compiled.
        load: count what every node does, up to a million of them, or every so-many-th: ``result.load()``.
        record: write down so many rounds from the first on, who held each slot and when: ``result.timeline()``.

    Returns:
        A :class:`telejax.Result` with one history row for each evaluation, seed, step size and group.

    Raises:
        ValueError: an argument out of its range or of another kind, before anything is compiled; a checkpoint or a
            state of something else.
        TypeError: a member of a task that fails on arguments of the right shapes.
        OSError: a checkpoint cannot be written; the one before it is kept.
        DivergenceError: every run reached non-finite values; the error's ``result`` holds the history so far.
            While some runs remain finite, diverged ones are marked in the column ``diverged``.

    >>> import optax, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=1000, heterogeneity=1.0)
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> result = tj.simulate(tj.teleportation(active=8, topology="ring", optimizer=sgd), task, rounds=200)
    >>> bool(result.history["loss"][-1] < 0.05 * result.history["loss"][0])
    True
    >>> more = tj.simulate(tj.teleportation(active=8, topology="ring", optimizer=sgd), task, rounds=50, state=result)
    >>> more.history["round"][0], more.history["round"][-1]
    (200, 250)
    """
    given = {name: value for name, value in locals().items() if name not in ("algorithm", "task")}
    if is_kind(algorithm, Study):
        return algorithm.run(simulate, check_task(task), **_asked(given))
    task = check_task(task)
    algorithm = checks.check_slots(checks.check_algorithm(algorithm).bind(task), task)
    world = checks.check_network(IDEAL if network is None else network, algorithm, task, load, record)
    task = world.met_by(task)
    point = given_start(state)
    ahead = checks.check_rounds(rounds, gradients, algorithm, task, point.round)
    eval_every, every = checks.check_eval_every(eval_every, ahead), checks.check_every(every, checkpoint)
    seed_list = checks.check_seeds(seed, seeds)
    checks.check_kinds(on_evaluation, checkpoint, mesh, devices, progress, precision)
    profiler = check_profile(profile, ahead, eval_every)
    tried, values = settings(tune, algorithm, world, privacy_of(task))
    check_order(state, seed_list, [one.columns for one in tried])
    check_task_members(task)
    own_metrics = checks.check_metrics(metrics, task)
    known, columns = directions(task, own_metrics), [] if until is None else metric_columns(task, own_metrics, world)
    stopping = Stopping(checks.check_until(until, known, columns), on_evaluation)
    run = Run(
        [(one.algorithm, protected(task, one.privacy), one.network) for one in tried],
        [one.columns for one in tried],
        seed_list,
        seed_axis=seeds is not None,
        setting_axis=tune is not None,
        metrics=own_metrics,
        mesh=slot_mesh(mesh, devices),
        start=point,
    )
    config = describe(algorithm, task, seed_list, ahead, eval_every, known, own_metrics, values, precision)
    identity = lambda: fingerprint({**config, **run.identity, "until": until, "metrics": own_metrics})
    saved = None if checkpoint is None else Checkpoints(Path(checkpoint), every, identity)
    with products_in(precision):
        final = run.advance(ahead, eval_every, stopping, saved, progress, profiler)
    return _finished(run.recorder, algorithm, config | _given(network, until, run), final, profiler, record)


MOST_PAIRS = 100_000
"""Of slots, one of which hears the other in a recorded round, that are listed."""


def gossip_of(algorithm: Algorithm, nodes: int, first: int, rounds: int) -> list[list[tuple[int, int]]]:
    """For each of so many rounds the slots (receiver, sender) of the messages; none of a method without a graph.

    None either where a coin decides whether they are sent, or where they are so many that nobody could look at them.
    """
    declared = algorithm.gossip_messages(nodes)[0]
    is_mixing = lambda one: isinstance(one, Mixing)
    mixing = next((one for one in jax.tree.leaves(algorithm, is_leaf=is_mixing) if is_mixing(one)), None)
    if mixing is None or mixing.degree * mixing.slots * rounds > MOST_PAIRS:
        return []
    found = []
    for round in range(first, first + rounds):
        senders, weights = map(np.asarray, neighbours(mixing, round))
        receivers = np.broadcast_to(np.arange(mixing.slots), senders.shape)
        there = (weights != 0) & (senders != receivers)
        silent = sent(declared, np.array([round]))[0] == 0
        found.append([] if silent else list(zip(receivers[there].tolist(), senders[there].tolist(), strict=True)))
    return found


def _finished(
    recorder: Recorder,
    algorithm: Algorithm,
    config: dict[str, Any],
    final: State,
    profiler: Profiler | None,
    record: int | None,
) -> Result:
    """The result of a run, or the error that holds it where all runs have diverged."""
    config = config | recorder.cost.sizes
    if record is not None:
        recorded = int(np.ravel(final.world.common["recorded"])[0])  # since the record began, in an earlier run maybe
        config["gossip"] = gossip_of(algorithm, config["nodes"], recorder.round - recorded, min(record, recorded))
    table = None if profiler is None else profiler.table
    result = Result(recorder.table(), config, recorder.params, final, recorder.progress(), table)
    if recorder.all_diverged:
        raise divergence(algorithm.name, recorder.round, recorder.start, result)
    return result


def _given(network: Network | None, until: tuple[str, float] | None, run: "Run") -> dict[str, Any]:
    """What of these there is, in plain values."""
    told = {
        "network": described(network),
        "until": None if until is None else list(until),
        "seed": None if run.program.axes.seeds is not None else run.program.seeds[0],
        "start": None if run.start.state is None else run.start.round,
        "metrics": [one.name for one in run.program.metrics] or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _asked(given: Mapping[str, object]) -> dict[str, object]:
    """The arguments of :func:`simulate` that differ from their defaults."""
    parameters = inspect.signature(simulate).parameters
    return {name: value for name, value in given.items() if value is not parameters[name].default}


def simulate_batch(
    members: Sequence[tuple[Algorithm, Task] | Member],
    *,
    rounds: int,
    seeds: Sequence[int],
    eval_every: int | None = None,
    progress: bool = True,
) -> list[Result]:
    """Run several algorithms, tasks and networks that differ in numbers alone as one program.

    Args:
        members: of one structure (``structure_of``), the algorithms bound to their tasks, the networks too; pairs stand
            on the ideal network. Any numbers of the tasks, the optimizers and the networks may differ.
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
    >>> calm, noisy = simulate_batch([(walk, task) for task in tasks], rounds=100, seeds=[0, 1])
    >>> calm.history.shape == noisy.history.shape
    True
    """
    whole: list[Member] = [(one[0], one[1], one[2] if len(one) == 3 else IDEAL) for one in members]
    algorithm, task, _ = whole[0]
    ahead = checks.check_rounds(rounds, None, algorithm, task)
    eval_every = checks.check_eval_every(eval_every, ahead)
    run = Run(
        whole,
        [{"learning_rate": algorithm.optimizer.learning_rate} for algorithm, _, _ in whole],
        list(seeds),
        seed_axis=True,
        setting_axis=True,
    )
    run.advance(ahead, eval_every, Stopping(), None, progress)
    results = []
    for index, (table, (algorithm, task, _)) in enumerate(zip(run.recorder.tables(), whole, strict=True)):
        config = describe(algorithm, task, list(seeds), ahead, eval_every, directions(task, ()))
        params = jax.tree.map(lambda x, at=index: x[:, at : at + 1], run.recorder.params)
        results.append(Result(table, config, params))
    return results


class Run:
    """The objects of one simulation, each with its job: what is compiled, what is recorded, where it starts.

    Args:
        members: what each hyperparameter setting runs; one structure.
        columns: what each setting is called in the history.
        seeds: of the runs.
        seed_axis: whether the state has an axis of seeds, and
        setting_axis: of settings.
        metrics: of the user.
        mesh: of devices, over which the slots are sharded.
        start: from where.
    """

    def __init__(
        self,
        members: Sequence[Member],
        columns: Sequence[dict[str, float | None]],
        seeds: Sequence[int],
        *,
        seed_axis: bool,
        setting_axis: bool,
        metrics: tuple[Metric, ...] = (),
        mesh: Mesh | None = None,
        start: StartingPoint | None = None,
    ) -> None:
        algorithm, task, network = members[0]
        self.members, self.start = members, start or given_start(None)
        check_private(algorithm, task, network)
        shape = state_shape(algorithm, sealed(task), network)
        check_step((algorithm, sealed(task), network), shape)
        check_columns(members[0], shape, metrics, columns[0])
        self.program = Program.build(
            members,
            seeds,
            seed_axis=seed_axis,
            hyperparameter_axis=setting_axis,
            mesh=mesh,
            metrics=metrics,
            run_bytes=tree_bytes(shape),
        )
        check_state_memory(members[0], shape, self.program.axes, mesh)
        self.start.check(shape, self.program, task)
        cost = RoundCost.of(algorithm, task, shape)
        groups = algorithm.groups(task.nodes)
        accounting = Accounting.of([task for _, task, _ in members])
        self.recorder = Recorder(seeds, columns, groups, cost, self.start.round, self.start.progress, accounting)

    @property
    def identity(self) -> dict[str, Any]:
        """All that the bits of a run depend on."""
        wide = jax.dtypes.canonicalize_dtype(float) == "float64"
        axes = self.program.axes.shape
        return {"members": self.members, "start": self.start.identity, "batch axes": str(axes), "float64": wide}

    def advance(
        self,
        rounds: int,
        eval_every: int,
        stopping: Stopping,
        checkpoints: Checkpoints | None,
        progress: bool,
        profiler: Profiler | None = None,
    ) -> State:
        """Run so many rounds; the history is in the recorder."""
        checks.check_history_memory(rounds, eval_every, math.prod(self.program.axes.shape))
        states = self.program.start() if self.start.state is None else self.start.placed(self.program)
        chunks = list(checks.chunks(rounds, eval_every))
        return run_rounds(
            self.program,
            self.recorder,
            states,
            chunks,
            stopping=stopping,
            checkpoints=checkpoints,
            progress=progress,
            profiler=profiler,
        )


def describe(
    algorithm: Algorithm,
    task: Task,
    seeds: list[int],
    rounds: int,
    eval_every: int,
    known: dict[str, bool],
    metrics: Sequence[Metric] = (),
    tune: Any = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """What is run, in plain values."""
    config = {
        "algorithm": algorithm.name,
        "task": type(unprotected(task)).__name__,
        "nodes": task.nodes,
        "slots": algorithm.slots(task.nodes),
        "optimizer": algorithm.optimizer.describe(),
        "rounds": rounds,
        "eval_every": eval_every,
        "seeds": seeds,
        "higher_is_better": known,
        "tune": tune,
        "labels": {one.name: one.label for one in metrics if one.label},
    }
    if (privacy := privacy_of(task)) is not None:
        tuned = {name.split(".")[-1] for name in tune or ()}
        told = {name: value for name, value in privacy.describe().items() if name not in tuned}
        config |= {"privacy": told, "labels": {**config["labels"], "epsilon": f"epsilon: {told['epsilon']}"}}
    return config if precision is None else {**config, "precision": precision}
