"""What a simulation is asked for, checked before anything is compiled."""

import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from telejax.algorithms.base import Algorithm, takes_network
from telejax.backend.memory import free_bytes, tree_bytes
from telejax.errors import check_integer, check_name
from telejax.network import IDEAL, Network
from telejax.simulation.batching import structure_of
from telejax.simulation.metrics import MEAN_MODEL_ONLY
from telejax.simulation.program import Member, info_shape
from telejax.simulation.recorder import RESERVED
from telejax.state import Metric, State
from telejax.tasks.base import Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
Out = TypeVar("Out")

MAX_SEED = 2**32 - 1
MAX_COUNT = 2**31 - 1  # of the int32 round on the device


def check_algorithm(given: object) -> Algorithm:
    """Return ``given``, or raise a ValueError that says what it is instead of an algorithm."""
    if isinstance(given, Algorithm):
        return given
    remedy = "give an algorithm, such as telejax.teleportation(active=8, topology='ring', optimizer=...)"
    if isinstance(given, Task):
        raise ValueError(f"algorithm is {_short(given)}, a task; give simulate(algorithm, task) in this order")
    if isinstance(given, type) or callable(given):
        name = getattr(given, "__name__", _short(given))
        raise ValueError(f"algorithm is {name}, which was not called; {remedy}")
    raise ValueError(f"algorithm is {_short(given)}; {remedy}")


def check_task(given: object) -> Task:
    """Return ``given``, or raise a ValueError that says what it is instead of a task."""
    remedy = "give a task, such as telejax.tasks.quadratic(nodes=100)"
    if isinstance(given, type) or (callable(given) and not hasattr(given, "evaluate")):
        name = getattr(given, "__name__", _short(given))
        raise ValueError(f"task is {name}, which was not called; {remedy}")
    if not isinstance(given, Task):
        missing = [name for name in ("nodes", "init", "loss", "evaluate") if not hasattr(given, name)]
        raise ValueError(f"task is {_short(given)}, which has no {' and no '.join(missing)}; {remedy}")
    nodes = given.nodes
    if not isinstance(nodes, int) or isinstance(nodes, bool) or nodes < 1:
        raise ValueError(f"task.nodes is {nodes!r}; make it a static field with an integer of at least 1")
    return given


def check_network(given: object, algorithm: Algorithm) -> Network:
    """Return the network, or raise a ValueError where it is none or the algorithm cannot take one."""
    if not isinstance(given, Network):
        raise ValueError(f"network is {_short(given)}; give a telejax.Network(...), or None for the ideal one")
    if not given.ideal and not takes_network(algorithm):
        raise ValueError(
            f"network is {_short(given)} and {type(algorithm).__name__}.step takes none; give its step a fourth "
            "argument, network, and call its verbs"
        )
    return given


def check_metrics(given: Sequence[Metric], task: Task) -> tuple[Metric, ...]:
    """The metrics, each with a name of its own."""
    metrics = tuple([given] if isinstance(given, Metric) else given)
    taken = {*RESERVED, *metric_columns(task, (), IDEAL)} if metrics else set()
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise ValueError(f"metrics holds {_short(metric)}; give telejax.Metric(name, fn, higher_is_better)")
        if metric.name in taken:
            raise ValueError(f"metrics holds one named {metric.name!r}, a column already there; give another name")
        taken.add(metric.name)
    return metrics


def metric_columns(task: Task, metrics: Sequence[Metric], network: Network) -> list[str]:
    """The columns of the history that an evaluation measures."""
    names = list(jax.eval_shape(task.evaluate, jax.eval_shape(task.init, jax.random.key(0))))
    slots = [f"{name}_slots" for name in names if name not in MEAN_MODEL_ONLY]
    worst = ["accuracy_worst"] if "accuracy" in names else []
    drift = [] if network.ideal else ["mean_drift"]
    return [*names, *slots, *worst, "consensus", *drift, *(metric.name for metric in metrics)]


def check_one_budget(rounds: int | None, gradients: int | None) -> None:
    """Raise a ValueError unless exactly one of the two budgets is given."""
    if (rounds is None) == (gradients is None):
        raise ValueError(f"rounds is {rounds} and gradients is {gradients}; give exactly one of the two budgets")


def check_rounds(rounds: int | None, gradients: int | None, algorithm: Algorithm, task: Task, start: int = 0) -> int:
    """The rounds to run, from exactly one of the two budgets."""
    check_one_budget(rounds, gradients)
    if rounds is not None:
        rounds = check_integer("rounds", rounds, minimum=1)
    else:
        a_round = set(algorithm.gradients(task.nodes))
        if len(a_round) > 1:
            raise ValueError(
                f"gradients is {gradients}, and the groups of {algorithm.name} compute {sorted(a_round)} a round; give "
                "rounds, or search with gradients=, which runs each to its own end"
            )
        most = max(a_round)
        remedy = f"give at least {most}, the gradients of one round of {algorithm.name}"
        rounds = check_integer("gradients", gradients, minimum=most, remedy=remedy) // most
    if start + rounds > MAX_COUNT:
        raise ValueError(f"rounds is {rounds}; rounds are counted in int32, give at most {MAX_COUNT - start}")
    return rounds


def check_eval_every(eval_every: int | None, rounds: int) -> int:
    """Rounds between two rows; about ``EVALUATIONS`` rows by default."""
    eval_every = max(1, rounds // EVALUATIONS) if eval_every is None else eval_every
    return check_integer("eval_every", eval_every, minimum=1)


def check_every(every: int | None, checkpoint: str | os.PathLike[str] | None) -> int | None:
    """Rounds between two checkpoints, which need a folder."""
    every = None if every is None else check_integer("every", every, minimum=1)
    if every is not None and checkpoint is None:
        raise ValueError(f"every is {every} and checkpoint is None; give a folder for the checkpoints")
    return every


def check_seeds(seed: int, seeds: int | Sequence[int] | None) -> list[int]:
    """The seeds of the runs, each once."""
    seed = check_integer("seed", seed, minimum=0)
    if seeds is None:
        name, chosen = "seed", [seed]
    elif isinstance(seeds, int | np.integer | float | str):
        name, chosen = "seed", list(range(seed, seed + check_integer("seeds", seeds, minimum=1)))
    else:
        name, chosen = "seeds", [check_integer("seeds", one, minimum=0) for one in seeds]
    if max(chosen, default=0) > MAX_SEED:
        raise ValueError(f"{name} reaches {max(chosen)}; give seeds of at most {MAX_SEED}, keys are made of 32 bits")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds is {chosen}; give at least one seed, and each only once")
    return chosen


def check_until(
    until: object, directions: Mapping[str, bool], columns: Sequence[str]
) -> tuple[str, float, bool] | None:
    """The metric, the target and the direction of ``until``."""
    if until is None:
        return None
    if not (isinstance(until, tuple) and len(until) == 2):
        raise ValueError(f"until is {until!r}; give a metric and its target, such as ('accuracy', 0.95)")
    metric, target = until
    check_name("metric of until", metric, columns)
    if metric not in directions:
        raise ValueError(
            f"until is {until!r}, and nobody knows whether a higher {metric} is better; declare it in "
            "task.higher_is_better, or in its Metric"
        )
    if not isinstance(target, int | float) or not np.isfinite(target):
        raise ValueError(f"until is {until!r}; give a finite number to reach")
    return metric, float(target), directions[metric]


def check_step(member: Member, state: State, runs: int) -> None:
    """Check what a method remembers and reports, from shapes alone.

    Raises:
        ValueError: memory whose axes are not slots or nodes, or that does not fit; a step that changes the structure of
            the state, or reports counters of a wrong shape or a reserved name.
    """
    algorithm, task, network = member
    slots, groups = algorithm.slots(task.nodes), algorithm.groups(task.nodes)
    memory = state.memory
    for part, length, what in (("slot", slots, "slots"), ("node", task.nodes, "nodes")):
        for leaf in jax.tree.leaves(getattr(memory, part)):
            if leaf.shape[:1] != (length,):
                raise ValueError(
                    f"memory.{part} has a leaf of shape {leaf.shape}; its first axis is that of the {length} {what}"
                )
    if jax.tree.leaves(memory.node) and len(groups) > 1:
        raise ValueError(f"memory.node is kept by nodes, and {algorithm.name} has {len(groups)} groups; it needs one")
    needed = runs * tree_bytes(memory)
    if needed > (free := free_bytes()):
        raise ValueError(
            f"memory of {algorithm.name} needs {_gigabytes(needed)} for {runs} runs of {task.nodes} nodes, and "
            f"{_gigabytes(free)} are free; run fewer seeds or step sizes at once, or fewer nodes"
        )
    info = info_shape(algorithm, task, network, state)
    for name, count in info.counters.items():
        if count.shape != (len(groups),) or not jnp.issubdtype(count.dtype, jnp.integer):
            kind = f"{count.dtype}{list(count.shape)}"
            raise ValueError(f"counter {name!r} is {kind}; give integers of shape ({len(groups)},), one a group")
    for name, gauge in info.gauges.items():
        if gauge.shape not in ((), (len(groups),)):
            raise ValueError(f"gauge {name!r} has shape {gauge.shape}; give ({len(groups)},), one a group")
    if taken := RESERVED.intersection([*info.gauges, *info.counters]) - {"handoffs", "messages"}:
        raise ValueError(f"{algorithm.name} reports {sorted(taken)}, names of columns already there; give others")


def chunks(rounds: int, eval_every: int) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first, a shorter rest at the end."""
    yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every


_CHECKED: set[Hashable] = set()


def check_task_members(task: Task) -> None:
    """Check the members of a task by their shapes, once for each structure.

    Raises:
        ValueError: parameters that are no float arrays, a loss that is no scalar, an evaluation without "loss", of
            other than scalars, or with a name that is taken.
        TypeError: a member that fails on arguments of the right shapes.
    """
    try:
        structure = structure_of(task)
        if structure in _CHECKED:
            return
    except TypeError:  # static fields that have no hash: jax refuses them later
        structure = None
    params = _traced("task.init", task.init, jax.random.key(0))
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(f"task.init returned {params!r}, no arrays; return a pytree of float arrays")
    for leaf in leaves:
        if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.floating):
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"task.init returned {kind}; parameters are arrays of floats, such as jnp.zeros(3)")
    shape = jax.eval_shape(lambda: params)
    loss = _traced("task.loss", task.loss, shape, jnp.int32(0), jax.random.key(0))
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"task.loss returned {_short(loss)}; return a scalar float, such as jnp.mean(...)")
    metrics = _traced("task.evaluate", task.evaluate, shape)
    if not isinstance(metrics, Mapping):
        raise ValueError(f"task.evaluate returned {_short(metrics)}; return a mapping of names to scalars, with 'loss'")
    if "loss" not in metrics:
        raise ValueError(f"task.evaluate returned {sorted(metrics)}; it needs a 'loss'")
    for name, value in metrics.items():
        if jnp.shape(value) != ():
            raise ValueError(f"task.evaluate returned {name} of shape {jnp.shape(value)}; return scalars")
    if taken := RESERVED.intersection(metrics):
        raise ValueError(
            f"task.evaluate returned {sorted(taken)}, names of columns already there; give others. "
            f"Taken: {', '.join(sorted(RESERVED))}"
        )
    if structure is not None:
        _CHECKED.add(structure)


def _traced(name: str, function: Callable[..., Out], *arguments: PyTree) -> Out:
    """What a member of a task returns, by shape; Python numbers stay what they are."""
    kept: list[Out] = []

    def run(*arguments: PyTree) -> int:
        kept.append(function(*arguments))
        return 0

    try:
        jax.eval_shape(run, *arguments)
    except (TypeError, AttributeError) as error:
        raise TypeError(f"{name} failed on arguments of the right shapes: {error}") from error
    plain = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf
    return jax.tree.map(plain, kept[0])


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"a {type(value).__name__}"
