"""What an algorithm remembers, reports and costs, checked from shapes alone."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from telejax.algorithms.base import Algorithm
from telejax.backend.host import check_memory
from telejax.backend.memory import free_bytes, tree_bytes
from telejax.backend.shapes import difference, is_number, kind_of
from telejax.errors import check_integer, short
from telejax.simulation.batching import BatchAxes, structure_of
from telejax.simulation.compiled import Member, round_shape
from telejax.simulation.metrics import both
from telejax.simulation.recorder import MESSAGE_COUNTERS, NOT_DONE, RESERVED
from telejax.simulation.task_checks import OF_TABLES, metric_columns, traced
from telejax.state import Info, Metric, State
from telejax.tasks.base import Task

_CHECKED: set[Hashable] = set()
"""Structures of all that a step meets, alone and with the metrics that were measured of it; others are traced anew."""


def check_step(member: Member, state: State) -> None:
    """Check what a method remembers and reports, from shapes alone.

    Raises:
        ValueError: memory whose axes are not slots or nodes; groups or costs that do not go
            together; a step that changes the structure, the shapes or the dtypes of the state, or reports counters or
            gauges of a wrong kind, shape or name; models or judged slots that are not those of the slots.
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
    if (key := _key(member, state)) is not None and key in _CHECKED:
        return
    _check_costs(algorithm, task.nodes)
    for name in ("copy_bytes", "handoff_bytes"):
        check_integer(f"{type(algorithm).__name__}.{name}(state)", getattr(algorithm, name)(state), minimum=0)
    _check_judging(algorithm, task, state)
    after, info = _one_round(member, state)
    _check_kept(f"{type(algorithm).__name__}.step", state, after)
    _check_info(algorithm, info, slots, len(groups), metric_columns(task, (), network))
    _CHECKED.add(key)


def _key(member: Member, state: State, *metrics: Metric) -> Hashable:
    """By which a check is known; None where what is static has no hash, which jax refuses later."""
    try:
        hash(key := (structure_of((*member, state)), *metrics))
    except TypeError:
        return None
    return key


def check_state_memory(member: Member, state: State, axes: BatchAxes, mesh: Mesh | None) -> None:
    """Check that the states of all runs fit the memory, with one more copy of the models that are computed at once.

    A round cannot do with less: what mixing returns, or a gradient, stands beside what it is made from. It needs more
    where a task has large intermediates. The states of several batches are copied together at the end, leaf by leaf.

    Args:
        member: what runs.
        state: shapes of that of one run.
        axes: how many runs there are, and how many of them side by side.
        mesh: of devices, over which the slots are sharded.

    Raises:
        ValueError: how much is needed, and how much is free.
    """
    algorithm, task, _ = member
    runs = math.prod(axes.shape)
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    at_once = axes.seeds_at_once * axes.hyperparameters_at_once
    largest = max((tree_bytes(leaf) for leaf in jax.tree.leaves(state)), default=0)
    beside = max(at_once * tree_bytes(state.params), 0 if axes.side_by_side else runs * largest)
    needed = runs * tree_bytes(state) + beside
    check_memory(
        f"the state of {algorithm.name} (its memory included) for {_several(runs, 'run')} of "
        f"{_several(state.holders.shape[0], 'slot')}",
        needed if mesh is None or device.platform == "cpu" else needed // mesh.size,
        f"run fewer seeds or step sizes at once, or fewer nodes (the task has {task.nodes}) or active ones",
        free=free_bytes(device),
    )


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _check_costs(algorithm: Algorithm, nodes: int) -> None:
    """Check that the groups share the slots, and that every cost has one integer (or period of them) a group."""
    called, groups = type(algorithm).__name__, algorithm.groups(nodes)
    whole = lambda x: isinstance(x, int | np.integer) and x >= 0
    if not isinstance(groups, tuple) or not all(map(whole, groups)) or sum(groups) != algorithm.slots(nodes):
        raise ValueError(
            f"{called}.groups returned {short(groups)}; give a tuple of integers whose sum is the "
            f"{algorithm.slots(nodes)} slots"
        )
    several = lambda x: isinstance(x, Sequence | np.ndarray) and not isinstance(x, str) and len(x) > 0
    period = lambda x: callable(x) or (several(x) and all(map(whole, x)))  # or a function of the rounds
    for name, fits, what in (
        ("gossip_messages", period, "a tuple of integers, one a round of the period,"),
        ("gradients", whole, "an integer of at least 0"),
        ("first_gradients", whole, "an integer of at least 0"),
    ):
        cost = getattr(algorithm, name)(nodes)
        if not several(cost) or len(cost) != len(groups) or not all(map(fits, cost)):
            raise ValueError(
                f"{called}.{name} returned {short(cost)}; give a tuple with {what} for each of the {len(groups)} groups"
            )


def _check_judging(algorithm: Algorithm, task: Task, state: State) -> None:
    """Check that models are judged by slots, and which of them."""
    called, slots = type(algorithm).__name__, state.holders.shape[0]
    models = jax.eval_shape(algorithm.models, state)
    if differs := difference(state.params, models, ""):
        raise ValueError(f"{called}.models returned other shapes than those of params: {differs}; return one a slot")
    judged = jax.eval_shape(lambda state: algorithm.judged(state, task), state)
    if judged is not None and kind_of(judged) != f"bool[{slots}]":
        raise ValueError(f"{called}.judged returned {kind_of(judged)}; return bool[{slots}], or None for all slots")


def _one_round(member: Member, state: State) -> tuple[State, Info]:
    """What a step returns, by shape."""
    called, found = f"{type(member[0]).__name__}.step", round_shape(member, state)
    if not isinstance(found, tuple) or tuple(map(type, found)) != (State, Info):
        kinds = f"({', '.join(type(x).__name__ for x in found)})" if isinstance(found, tuple) else type(found).__name__
        raise ValueError(f"{called} returned {kinds}; return state.replace(...), telejax.Info(...)")
    return found


def _check_kept(called: str, before: State, after: State) -> None:
    """Check that a step returns each field of the state as it found it: structure, shapes and dtypes."""
    for field in fields(State):
        if differs := difference(getattr(before, field.name), getattr(after, field.name), field.name):
            raise ValueError(
                f"{called} changed {field.name} of the state: {differs}; write state.replace(...), which keeps what "
                "the step does not name, and give every array its shape and dtype"
            )


def _check_info(algorithm: Algorithm, info: Info, slots: int, groups: int, columns: Sequence[str]) -> None:
    """Check what a step reports."""
    if kind_of(info.holders) != f"int32[{slots}]":
        raise ValueError(f"holders of Info is {kind_of(info.holders)}; give int32[{slots}], the nodes that worked")
    for name, count in (("steps", info.steps), ("skipped", info.skipped)):
        if count is not None and kind_of(count) != f"int32[{slots}]":
            raise ValueError(f"{name} of Info is {kind_of(count)}; give int32[{slots}], gradients, or None")
    for part, reported in (("counters", info.counters), ("gauges", info.gauges)):
        if not isinstance(reported, Mapping):
            raise ValueError(f"{part} of Info is {type(reported).__name__}; give a dict of names to arrays")
        for name in reported:
            if not isinstance(name, str) or not name:
                raise ValueError(f"{part} of Info has one named {name!r}; give the name of its column")
    for name, count in info.counters.items():
        if getattr(count, "shape", None) != (groups,) or not jnp.issubdtype(count.dtype, jnp.integer):
            raise ValueError(f"counter {name!r} is {kind_of(count)}; give integers of shape ({groups},), one a group")
    for name, gauge in info.gauges.items():
        if not is_number(gauge) or jnp.shape(gauge) not in ((), (groups,)):
            raise ValueError(f"gauge {name!r} is {kind_of(gauge)}; give numbers of shape ({groups},), one a group")
    twice = set(info.counters).intersection(info.gauges)
    taken = {*RESERVED, *OF_TABLES, *columns}
    own = {*MESSAGE_COUNTERS, *NOT_DONE}
    if taken := twice | taken.intersection(info.gauges) | (taken - own).intersection(info.counters):
        raise ValueError(f"{algorithm.name} reports {sorted(taken)}, names of columns already there; give others")


def check_columns(member: Member, state: State, metrics: Sequence[Metric], settings: Iterable[str]) -> None:
    """Check the user's metrics by their shapes, and that no column is written twice.

    Raises:
        ValueError: a metric of a wrong kind or shape; one name for several columns.
        TypeError: a metric that fails on arguments of the right shapes.
    """
    _, task, network = member
    for metric in metrics:
        if (key := _key(member, state, metric)) is None or key not in _CHECKED:
            _check_metric(metric, member, state)
            _CHECKED.add(key)
    own = [*(name for name in settings if name != "learning_rate"), *(metric.name for metric in metrics)]
    if not own:
        return
    _, info = round_shape(member, state)
    engine = {*RESERVED, *OF_TABLES} - {*MESSAGE_COUNTERS, *NOT_DONE}  # which a method may count
    names = [*own, *info.counters, *info.gauges, *metric_columns(task, (), network), *engine]
    if twice := sorted({name for name in own if names.count(name) > 1}):
        raise ValueError(
            f"{twice} would be several columns each: of tune, the method, the task or metrics; rename all but one"
        )


def _check_metric(metric: Metric, member: Member, state: State) -> None:
    algorithm, task, network = member
    groups = algorithm.groups(task.nodes)
    judged = jax.eval_shape(lambda state: both(algorithm.judged(state, task), network.honest(state.holders)), state)
    measure = lambda state, judged: metric.fn(algorithm.models(state), judged, state, task, groups)
    found = traced(f"metric {metric.name!r}", measure, state, judged)
    if not is_number(found) or jnp.shape(found) not in ((), (len(groups),)):
        called = f"metric {metric.name!r} returned {kind_of(found)}"
        raise ValueError(f"{called}; return numbers of shape ({len(groups)},), one a group")
