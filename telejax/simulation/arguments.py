"""What a simulation is asked for, checked before anything is compiled."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.algorithms.base import Algorithm, takes_network
from telejax.backend.memory import free_bytes, tree_bytes
from telejax.errors import check_integer, check_name
from telejax.network import IDEAL, Network
from telejax.simulation.batching import structure_of
from telejax.simulation.metrics import MEAN_MODEL_ONLY
from telejax.simulation.program import Member, take_step
from telejax.simulation.recorder import MESSAGE_COUNTERS, RESERVED
from telejax.state import Info, Metric, State
from telejax.tasks.base import OptionalMembers, Task

EVALUATIONS = 50  # about how many rows a run has where eval_every is not given
MAX_SEED = 2**32 - 1
MAX_COUNT = 2**31 - 1  # of the int32 round on the device

OF_NETWORK = frozenset({"lost", "mean_drift"})
"""Columns of a network, which a task or a metric may not use either."""

_CHECKED: set[Hashable] = set()  # structures of tasks, and of all that a step meets


def check_algorithm(given: Any) -> Algorithm:
    """Return ``given``, or raise a ValueError that says what it is instead of an algorithm."""
    if isinstance(given, Algorithm):
        given.check()
        _check_pytree("algorithm", given)
        return given
    remedy = "give an algorithm, such as telejax.teleportation(active=8, topology='ring', optimizer=...)"
    if isinstance(given, Task):
        raise ValueError(f"algorithm is {_short(given)}, a task; give simulate(algorithm, task) in this order")
    if isinstance(given, type) or callable(given):
        name = getattr(given, "__name__", _short(given))
        raise ValueError(f"algorithm is {name}, which was not called; {remedy}")
    raise ValueError(f"algorithm is {_short(given)}; {remedy}")


def check_task(given: Any) -> Task:
    """Return ``given``, or raise a ValueError that says what it is instead of a task."""
    remedy = "give a task, such as telejax.tasks.quadratic(nodes=100)"
    if isinstance(given, type) or (callable(given) and not hasattr(given, "evaluate")):
        name = getattr(given, "__name__", _short(given))
        raise ValueError(f"task is {name}, which was not called; {remedy}")
    if not isinstance(given, Task):
        missing = [name for name in ("nodes", "init", "loss", "evaluate") if not hasattr(given, name)]
        raise ValueError(f"task is {_short(given)}, which has no {' and no '.join(missing)}; {remedy}")
    nodes = given.nodes
    if not isinstance(nodes, int) or isinstance(nodes, bool) or not 1 <= nodes <= MAX_COUNT:
        raise ValueError(f"task.nodes is {nodes!r}; make it a static field with an integer from 1 to {MAX_COUNT}")
    _check_pytree("task", given)
    return given


def _check_pytree(name: str, given: Any) -> None:
    if jax.tree_util.all_leaves([given]):
        raise ValueError(
            f"{name} is {_short(given)}, no pytree, so its numbers cannot enter a program; decorate its class with "
            "@jax.tree_util.register_dataclass and @dataclass(frozen=True)"
        )


def check_network(given: Any, algorithm: Algorithm) -> Network:
    """Return the network, or raise a ValueError where it is none or the algorithm cannot take one."""
    if not isinstance(given, Network):
        raise ValueError(f"network is {_short(given)}; give a telejax.Network(...), or None for the ideal one")
    given.check()
    if not given.ideal and not takes_network(algorithm):
        raise ValueError(
            f"network is {_short(given)} and {type(algorithm).__name__}.step takes none; give its step a fourth "
            "argument, network, and call its verbs"
        )
    return given


def check_metrics(given: Sequence[Metric], task: Task) -> tuple[Metric, ...]:
    """The metrics, each with a name of its own."""
    remedy = "give a list of telejax.Metric(name, fn, higher_is_better)"
    if not isinstance(given, Metric | Iterable) or isinstance(given, str):
        raise ValueError(f"metrics is {_short(given)}; {remedy}")
    metrics = tuple([given] if isinstance(given, Metric) else given)
    taken = {*RESERVED, *OF_NETWORK, *metric_columns(task, (), IDEAL)} if metrics else set()
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise ValueError(f"metrics holds {_short(metric)}; {remedy}")
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
        if a_round == {0}:
            raise ValueError(f"gradients is {gradients}, and {algorithm.name} computes none; give rounds")
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


def check_seeds(seed: int, seeds: int | Sequence[int] | None) -> list[int]:
    """The seeds of the runs, each once."""
    seed = check_integer("seed", seed, minimum=0)
    if seeds is None:
        name, chosen = "seed", [seed]
    elif isinstance(seeds, str | bytes | Mapping) or np.ndim(seeds) == 0:
        name, chosen = "seed", list(range(seed, seed + check_integer("seeds", seeds, minimum=1)))
    else:
        name, chosen = "seeds", [check_integer("seeds", one, minimum=0) for one in np.asarray(seeds, object)]
    if max(chosen, default=0) > MAX_SEED:
        raise ValueError(f"{name} reaches {max(chosen)}; give seeds of at most {MAX_SEED}, keys are made of 32 bits")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds is {chosen}; give at least one seed, and each only once")
    return chosen


def check_until(until: Any, directions: Mapping[str, bool], columns: Sequence[str]) -> tuple[str, float, bool] | None:
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
    if isinstance(target, bool) or not isinstance(target, int | float | np.number) or not np.isfinite(target):
        raise ValueError(f"until is {until!r}; give a finite number to reach")
    return metric, float(target), directions[metric]


def check_step(member: Member, state: State, runs: int) -> None:
    """Check what a method remembers and reports, from shapes alone.

    Raises:
        ValueError: memory whose axes are not slots or nodes, or that does not fit; groups or costs that do not go
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
    needed = runs * tree_bytes(memory)
    if needed > (free := free_bytes()):
        raise ValueError(
            f"memory of {algorithm.name} needs {_gigabytes(needed)} for {runs} runs of {task.nodes} nodes, and "
            f"{_gigabytes(free)} are free; run fewer seeds or step sizes at once, or fewer nodes"
        )
    try:
        structure = structure_of((algorithm, task, network, state))
        if structure in _CHECKED:
            return
    except TypeError:  # static fields that have no hash: jax refuses them later
        structure = None
    _check_costs(algorithm, task.nodes)
    _check_judging(algorithm, task, state)
    after, info = _one_round(member, state)
    _check_kept(f"{type(algorithm).__name__}.step", state, after)
    _check_info(algorithm, info, slots, len(groups), [*metric_columns(task, (), network), "mean_drift"])
    if structure is not None:
        _CHECKED.add(structure)


def _check_costs(algorithm: Algorithm, nodes: int) -> None:
    """Check that the groups share the slots, and that every cost has one integer (or period of them) a group."""
    called, groups = type(algorithm).__name__, algorithm.groups(nodes)
    whole = lambda x: isinstance(x, int | np.integer) and x >= 0
    if not isinstance(groups, tuple) or not all(map(whole, groups)) or sum(groups) != algorithm.slots(nodes):
        raise ValueError(
            f"{called}.groups returned {groups!r}; give a tuple of integers whose sum is the {algorithm.slots(nodes)} "
            "slots"
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
                f"{called}.{name} returned {cost!r}; give a tuple with {what} for each of the {len(groups)} groups"
            )


def _check_judging(algorithm: Algorithm, task: Task, state: State) -> None:
    """Check that models are judged by slots, and which of them."""
    called, slots = type(algorithm).__name__, state.holders.shape[0]
    models = jax.eval_shape(algorithm.models, state)
    if differs := _difference(state.params, models, ""):
        raise ValueError(f"{called}.models returned other shapes than those of params: {differs}; return one a slot")
    judged = jax.eval_shape(lambda state: algorithm.judged(state, task), state)
    if judged is not None and _kind(judged) != f"bool[{slots}]":
        raise ValueError(f"{called}.judged returned {_kind(judged)}; return bool[{slots}], or None for all slots")


def _one_round(member: Member, state: State) -> tuple[State, Info]:
    """What a step returns, by shape, be it of the right kind or not."""
    algorithm, task, network = member
    called, kept = f"{type(algorithm).__name__}.step", []

    def run(key: Any, state: State) -> None:
        kept.append(take_step(algorithm, key, state, task, network))

    jax.eval_shape(run, jax.random.key(0), state)
    found = kept[0]
    if not isinstance(found, tuple) or tuple(map(type, found)) != (State, Info):
        kinds = f"({', '.join(type(x).__name__ for x in found)})" if isinstance(found, tuple) else type(found).__name__
        raise ValueError(f"{called} returned {kinds}; return state.replace(...), telejax.Info(...)")
    return found


def _check_kept(called: str, before: State, after: State) -> None:
    """Check that a step returns each field of the state as it found it: structure, shapes and dtypes."""
    for field in fields(State):
        if differs := _difference(getattr(before, field.name), getattr(after, field.name), field.name):
            raise ValueError(
                f"{called} changed {field.name} of the state: {differs}; write state.replace(...), which keeps what "
                "the step does not name, and give every array its shape and dtype"
            )


def _check_info(algorithm: Algorithm, info: Info, slots: int, groups: int, columns: Sequence[str]) -> None:
    """Check what a step reports."""
    if _kind(info.holders) != f"int32[{slots}]":
        raise ValueError(f"holders of Info is {_kind(info.holders)}; give int32[{slots}], the nodes that worked")
    for part, reported in (("counters", info.counters), ("gauges", info.gauges)):
        if not isinstance(reported, Mapping):
            raise ValueError(f"{part} of Info is {type(reported).__name__}; give a dict of names to arrays")
        for name in reported:
            if not isinstance(name, str) or not name:
                raise ValueError(f"{part} of Info has one named {name!r}; give the name of its column")
    for name, count in info.counters.items():
        if getattr(count, "shape", None) != (groups,) or not jnp.issubdtype(count.dtype, jnp.integer):
            raise ValueError(f"counter {name!r} is {_kind(count)}; give integers of shape ({groups},), one a group")
    for name, gauge in info.gauges.items():
        if not _is_number(gauge) or jnp.shape(gauge) not in ((), (groups,)):
            raise ValueError(f"gauge {name!r} is {_kind(gauge)}; give numbers of shape ({groups},), one a group")
    both = set(info.counters).intersection(info.gauges)
    taken = {*RESERVED, *columns}
    if taken := both | taken.intersection(info.gauges) | (taken - set(MESSAGE_COUNTERS)).intersection(info.counters):
        raise ValueError(f"{algorithm.name} reports {sorted(taken)}, names of columns already there; give others")


def _difference(before: Any, after: Any, name: str) -> str:
    """How the arrays of a tree differ from those before, in words; empty where they do not."""
    if jax.tree.structure(before) != jax.tree.structure(after):  # type: ignore[operator]
        return f"{name or 'it'} was {_outline(before)} and is {_outline(after)}"
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if _kind(old) != _kind(new):
            return f"{name}{jax.tree_util.keystr(path)} was {_kind(old)} and is {_kind(new)}"
    return ""


def _outline(tree: Any) -> str:
    """A tree with the kinds of its arrays in their place."""
    if not jax.tree.leaves(tree):
        return f"an empty {type(tree).__name__}"
    return _short(jax.tree.map(lambda x: _Kind(_kind(x)), tree), 160)


class _Kind(str):
    """A text that is printed without quotes."""

    __repr__ = str.__str__


def _kind(leaf: Any) -> str:
    """Dtype and shape of an array or a number, the class of anything else."""
    if not hasattr(leaf, "dtype") and not isinstance(leaf, bool | int | float | complex):
        return type(leaf).__name__
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(leaf)) if not _is_key(leaf) else leaf.dtype
    return f"{dtype}[{','.join(map(str, jnp.shape(leaf)))}]"


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_number(value: Any) -> bool:
    """Whether a value is made of real numbers."""
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if hasattr(value, "dtype"):
        return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)
    return isinstance(value, bool | int | float)


def chunks(rounds: int, eval_every: int) -> Iterator[int]:
    """Rounds up to each evaluation: none before the first, a shorter rest at the end."""
    yield 0
    yield from [eval_every] * (rounds // eval_every)
    if rounds % eval_every:
        yield rounds % eval_every


def check_task_members(task: Task) -> None:
    """Check the members of a task by their shapes, once for each structure.

    Raises:
        ValueError: parameters that are no float arrays, a loss that is no scalar, an evaluation without "loss", of
            other than scalars, or with a name that is taken; optional members of another kind.
        TypeError: a member that fails on arguments of the right shapes.
    """
    _check_optional_members(task)
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
    if gradient := OptionalMembers.of(task).gradient:
        found = _traced("task.gradient", gradient, shape, jnp.int32(0), jax.random.key(0))
        if differs := _difference(shape, found, ""):
            raise ValueError(
                f"task.gradient returned what is not like the parameters: {differs}; return their gradient"
            )
    metrics = _traced("task.evaluate", task.evaluate, shape)
    if not isinstance(metrics, Mapping):
        raise ValueError(f"task.evaluate returned {_short(metrics)}; return a mapping of names to scalars, with 'loss'")
    for name, value in metrics.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"task.evaluate returned one named {name!r}; give the name of its column")
        if not _is_number(value) or jnp.shape(value) != ():
            kind = f"of shape {jnp.shape(value)}" if _is_number(value) else f"as {_kind(value)}"
            raise ValueError(f"task.evaluate returned {name} {kind}; return scalars")
    if "loss" not in metrics:
        raise ValueError(f"task.evaluate returned {sorted(metrics)}; it needs a 'loss'")
    derived = {f"{name}_{suffix}" for name in metrics for suffix in ("slots", "worst")}
    if taken := {*RESERVED, *OF_NETWORK, *derived}.intersection(metrics):
        raise ValueError(
            f"task.evaluate returned {sorted(taken)}, names of columns already there; give others. "
            f"Taken: {', '.join(sorted({*RESERVED, *OF_NETWORK}))}"
        )
    if structure is not None:
        _CHECKED.add(structure)


def _check_optional_members(task: Task) -> None:
    """Check those members that are no functions of arrays."""
    members = OptionalMembers.of(task)
    known = members.higher_is_better
    if not isinstance(known, Mapping):
        raise ValueError(f"task.higher_is_better is {known!r}; give a mapping, such as {{'perplexity': False}}")
    for name, higher in known.items():
        if not isinstance(name, str) or not isinstance(higher, bool):
            raise ValueError(f"task.higher_is_better has {name!r}: {higher!r}; give True or False for a name")
    if not isinstance(members.name, str):
        raise ValueError(f"task.name is {members.name!r}; give a text")
    if members.node_batch is not None:
        check_integer("task.node_batch", members.node_batch, minimum=1)
    for name in ("gradient", "losses"):
        if not ((function := getattr(members, name)) is None or callable(function)):
            raise ValueError(f"task.{name} is {_short(function)}; give a function of params, node and key")


def _traced(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a member of a task returns, by shape; Python numbers stay what they are."""
    kept: list[Any] = []

    def run(*arguments: Any) -> int:
        kept.append(function(*arguments))
        return 0

    try:
        jax.eval_shape(run, *arguments)
    except Exception as error:  # of any kind: it is the user's code
        kind = type(error).__name__
        told = error if isinstance(error, TypeError | AttributeError) else f"{kind}: {error}"
        raise TypeError(f"{name} failed on arguments of the right shapes: {told}") from error
    plain = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf
    try:
        return jax.tree.map(plain, kept[0])
    except ValueError:
        raise ValueError(f"{name} returned a mapping whose names cannot be sorted; make all of them text") from None


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _short(value: Any, most: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= most else f"a {type(value).__name__}"
