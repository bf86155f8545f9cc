"""What a simulation is asked for, checked before anything is compiled."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jax.sharding import Mesh

from telejax.algorithms.base import Algorithm, takes_network
from telejax.backend.host import check_host_memory
from telejax.backend.precision import check_precision
from telejax.errors import (
    attribute,
    check_flag,
    check_integer,
    check_kind,
    check_list,
    check_name,
    check_target,
    is_kind,
    plain,
    short,
    takes,
)
from telejax.network import IDEAL, Network
from telejax.network.load import Load
from telejax.network.record import Record
from telejax.results.files import check_own_folder
from telejax.simulation.task_checks import check_pytree, metric_columns, taken_names
from telejax.state import Metric
from telejax.tasks.base import OptionalMembers, Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
MAX_SEED = 2**32 - 1
RUN_BYTES = 2**10  # of a run on the host at least: a few rows of the history
MOST_RECORDED = 2**20  # rounds that a record may hold
MAX_COUNT = 2**31 - 1  # of the int32 round on the device

EVALUATION_BYTES, ROW_BYTES = 1000, 200
"""What an evaluation takes of the host's memory, about, and each of its rows."""


def check_algorithm(given: object, argument: str = "algorithm") -> Algorithm:
    """Return ``given``, or raise a ValueError that says what ``argument`` is instead of an algorithm."""
    if is_kind(given, Algorithm):
        given.check()
        check_pytree(argument, given)
        for name in ("step", "start"):
            if not takes(getattr(given, name), 3):
                raise ValueError(
                    f"{type(given).__name__}.{name} cannot be called with three arguments; give it key, "
                    f"{'state' if name == 'step' else 'params'} and task"
                )
        return given
    remedy = "give an algorithm, such as telejax.teleportation(active=8, topology='ring', optimizer=...)"
    if is_kind(given, Task):
        order = "simulate(algorithm, task)" if argument == "algorithm" else "algorithms and then the task,"
        raise ValueError(f"{argument} is {short(given)}, a task; give {order} in this order")
    if is_kind(given, type) or callable(given):
        name = attribute(given, "__name__", short(given))
        raise ValueError(f"{argument} is {name}, which was not called; {remedy}")
    raise ValueError(f"{argument} is {short(given)}; {remedy}")


def check_slots(algorithm: Algorithm, task: Task) -> Algorithm:
    """Return a bound method, or raise a ValueError where its number of slots, or its name, is of another kind."""
    if not is_kind(algorithm, Algorithm):
        raise ValueError(f"bind returned {short(algorithm)}; return the method itself, as super().bind(task) does")
    called = type(algorithm).__name__
    remedy = "let it return an integer of at least 1, the parameter copies of a run"
    check_integer(f"{called}.slots({task.nodes})", algorithm.slots(task.nodes), minimum=1, remedy=remedy)
    check_kind(f"{called}.name", algorithm.name, str, "give a text")
    return algorithm


def check_network(
    given: Any, algorithm: Algorithm, task: Task, load: bool = False, record: int | None = None
) -> Network:
    """The network bound to the task, with what is to be followed, or a ValueError where the algorithm takes none."""
    if not is_kind(given, Network):
        raise ValueError(f"network is {short(given)}; give a telejax.Network(...), or None for the ideal one")
    given.check()
    if check_flag("load", load):
        given = replace(given, load=Load.over(task.nodes))
    if record is not None:
        given = replace(given, record=Record(check_integer("record", record, minimum=1, maximum=MOST_RECORDED)))
    if not given.ideal and not takes_network(algorithm):
        raise ValueError(
            f"{_asked(given)} and {type(algorithm).__name__}.step takes none; take another method or, where it is "
            "yours, give its step a fourth argument, network, and call its verbs"
        )
    algorithm.check_network(given)
    samples = OptionalMembers.of(task).samples_per_node
    return given if given.ideal else given.bind(task.nodes, None if samples is None else np.asarray(samples))


def _asked(network: Network) -> str:
    """What of a network was asked for, by the argument's name."""
    if replace(network, load=None, record=None).ideal:
        return f"{'record' if network.load is None else 'load'} was asked for"
    return f"network is {short(network)}"


def check_metrics(given: Sequence[Metric], task: Task) -> tuple[Metric, ...]:
    """The metrics, each with a name of its own."""
    remedy = "give a list of telejax.Metric(name, fn, higher_is_better)"
    metrics = tuple(check_list("metrics", [given] if is_kind(given, Metric) else given, remedy, ordered=False))
    columns = metric_columns(task, (), IDEAL) if metrics else []
    taken = {*columns, *taken_names(columns)}
    for metric in metrics:
        if not is_kind(metric, Metric):
            raise ValueError(f"metrics holds {short(metric)}; {remedy}")
        if metric.name in taken:
            raise ValueError(f"metrics holds one named {metric.name!r}, a column already there; give another name")
        taken.add(metric.name)
    return metrics


def check_kinds(
    on_evaluation: object,
    checkpoint: object,
    mesh: object,
    devices: object,
    progress: object = True,
    precision: Any = None,
) -> None:
    """Raise a ValueError where one of these is of another kind than ``simulate`` takes."""
    check_flag("progress", progress)
    check_precision(precision)
    for name, given, fits, remedy in (
        ("on_evaluation", on_evaluation, callable(on_evaluation), "give a function of the new rows"),
        ("checkpoint", checkpoint, is_kind(checkpoint, str | os.PathLike), "give the path of a folder"),
        ("mesh", mesh, is_kind(mesh, Mesh), "give a jax mesh of one axis, or devices='cpu:2'"),
        ("devices", devices, is_kind(devices, str), "give a platform and how many, as in 'cpu:2'"),
    ):
        if given is not None and (not fits or (is_kind(given, str) and not plain(given))):
            raise ValueError(f"{name} is {short(given)}; {remedy}")
    if checkpoint is not None:
        check_own_folder("checkpoint", checkpoint)  # type: ignore[arg-type]  # a path, as told above
    if [attribute(on_evaluation, name) for name in ("__module__", "__name__")] == ["telejax.results.live", "live"]:
        raise ValueError("on_evaluation is telejax.live, which makes such a function; call it, as in live('loss')")
    if callable(on_evaluation) and not takes(on_evaluation, 1):
        raise ValueError(
            f"on_evaluation is {short(on_evaluation)}, which cannot be called with one argument; give a function of "
            "the new rows"
        )


def check_one_budget(rounds: int | None, gradients: int | None) -> None:
    """Raise a ValueError unless exactly one of the two budgets is given."""
    if (rounds is None) == (gradients is None):
        raise ValueError(
            f"rounds is {short(rounds)} and gradients is {short(gradients)}; give exactly one of the two budgets"
        )


def check_rounds(rounds: int | None, gradients: int | None, algorithm: Algorithm, task: Task, start: int = 0) -> int:
    """The rounds to run, from exactly one of the two budgets."""
    check_one_budget(rounds, gradients)
    if rounds is not None:
        rounds = check_integer("rounds", rounds, minimum=1)
    else:
        a_round = set(algorithm.gradients(task.nodes))
        if a_round == {0}:
            raise ValueError(f"gradients is {short(gradients)}, and {algorithm.name} computes none; give rounds")
        if len(a_round) > 1:
            raise ValueError(
                f"gradients is {short(gradients)}, and the groups of {algorithm.name} compute {sorted(a_round)} a "
                "round; give rounds, or search with gradients=, which runs each to its own end"
            )
        most = max(a_round)
        remedy = f"give at least {most}, the gradients of one round of {algorithm.name}"
        rounds = check_integer("gradients", gradients, minimum=most, remedy=remedy) // most
        if start + rounds > MAX_COUNT:
            raise ValueError(
                f"gradients is {short(gradients)}, which buys {short(rounds)} rounds; rounds are counted in int32, "
                f"give at most {most * (MAX_COUNT - start)}"
            )
    return check_count(rounds, start)


def check_count(rounds: int, start: int = 0) -> int:
    """Return ``rounds``, or raise a ValueError where the last of them has no number on the device."""
    if start + rounds > MAX_COUNT:
        raise ValueError(f"rounds is {short(rounds)}; rounds are counted in int32, give at most {MAX_COUNT - start}")
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


def check_seeds(seed: int, seeds: int | Sequence[int] | np.ndarray | None) -> list[int]:
    """The seeds of the runs, each once."""
    seed = check_integer("seed", seed, minimum=0)
    if seeds is None:
        name, chosen = "seed", [seed]
    elif is_kind(seeds, str | bytes | Mapping) or not _several(seeds):
        count = check_integer("seeds", seeds, minimum=1)
        check_host_memory(f"seeds is {short(count)}, which", count * RUN_BYTES, "give fewer seeds")
        name, chosen = "seed", [seed + count - 1] if seed + count - 1 > MAX_SEED else list(range(seed, seed + count))
    else:
        name, chosen = "seeds", [check_integer("seeds", one, minimum=0) for one in _seed_list(seeds)]
        if seed and seed not in chosen:
            raise ValueError(f"seed is {seed} and seeds is {short(seeds)}; give one of the two, or how many seeds")
    if max(chosen, default=0) > MAX_SEED:
        raise ValueError(f"{name} reaches {max(chosen)}; give seeds of at most {MAX_SEED}, keys are made of 32 bits")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds is {chosen}; give at least one seed, and each only once")
    return chosen


def _several(seeds: Any) -> bool:
    """Whether these are seeds rather than their number."""
    try:
        return is_kind(seeds, list | tuple | range) or np.ndim(seeds) > 0
    except Exception:  # of a user's class
        return False


def _seed_list(seeds: Any) -> list[Any]:
    """Several seeds in an order."""
    return check_list("seeds", seeds, "give an integer of at least 1, or a list of seeds")


def check_until(
    until: object, directions: Mapping[str, bool], columns: Sequence[str]
) -> tuple[str, float, bool] | None:
    """The metric, the target and the direction of ``until``."""
    if until is None:
        return None
    remedy = "give a metric and its target, such as ('accuracy', 0.95)"
    pair = check_list("until", until, remedy) if is_kind(until, tuple) else []
    if len(pair) != 2:
        raise ValueError(f"until is {short(until)}; {remedy}")
    metric, target = check_name("metric of until", pair[0], columns), pair[1]
    if metric not in directions:
        raise ValueError(
            f"until is {short(until)}, and nobody knows whether a higher {metric} is better; declare it in "
            "task.higher_is_better, or in its Metric"
        )
    return metric, check_target("until", target, given=until), directions[metric]


def check_history_memory(rounds: int, eval_every: int, runs: int) -> None:
    """Raise a ValueError where the rows of all evaluations do not fit the memory of this machine."""
    evaluations = rounds // eval_every + 1
    check_host_memory(
        f"the history of {evaluations:,} evaluations",
        evaluations * (EVALUATION_BYTES + runs * ROW_BYTES),
        f"eval_every is {eval_every}; give a larger one, or fewer rounds",
    )


def chunks(rounds: int, eval_every: int) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first, a shorter rest at the end."""
    yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every
