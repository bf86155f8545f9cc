"""What a task is made of, checked from shapes alone."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from telejax.backend.shapes import difference, is_number, kind_of, leaves_of, traced_shapes
from telejax.errors import attribute, check_integer, is_kind, is_text, short
from telejax.network import Network
from telejax.random.keys import key_shape
from telejax.simulation.batching import structure_of
from telejax.simulation.metrics import MEAN_MODEL_ONLY
from telejax.simulation.recorder import RESERVED
from telejax.state import Metric
from telejax.tasks.base import OptionalMembers, Task

MAX_NODES = 2**31 - 1  # node numbers are int32

OF_NETWORK = frozenset({"lost", "mean_drift", "time", "busy", "waiting", "stalled", "retries", "failed", "recovered"})
"""Columns of a network, which a task or a metric may not use either."""
OF_TABLES = frozenset(
    {"cell", "method", "nodes", "reached", "reason", "rounds_to_target", "runs", "status", "task", "tuned"}
)
"""Columns that tables of many runs add: nothing that enters a history is called so."""

_CHECKED: set[Hashable] = set()  # structures of tasks


def check_task(given: Any) -> Task:
    """Return ``given``, or raise a ValueError that says what it is instead of a task."""
    remedy = "give a task, such as telejax.tasks.quadratic(nodes=100)"
    if is_kind(given, type) or (callable(given) and attribute(given, "evaluate") is None):
        name = attribute(given, "__name__", short(given))
        raise ValueError(f"task is {name}, which was not called; {remedy}")
    if not is_kind(given, Task):
        missing = [name for name in ("nodes", "init", "loss", "evaluate") if attribute(given, name) is None]
        raise ValueError(f"task is {short(given)}, which has no {' and no '.join(missing)}; {remedy}")
    nodes = given.nodes
    if not is_kind(nodes, int) or is_kind(nodes, bool) or not 1 <= nodes <= MAX_NODES:
        raise ValueError(f"task.nodes is {short(nodes)}; make it a static field with an integer from 1 to {MAX_NODES}")
    check_pytree("task", given)
    return given


def check_pytree(name: str, given: object) -> None:
    """Raise a ValueError unless jax can look into an object."""
    if jax.tree_util.all_leaves([given]):
        raise ValueError(
            f"{name} is {short(given)}, no pytree, so its numbers cannot enter a program; decorate its class with "
            "@jax.tree_util.register_dataclass and @dataclass(frozen=True)"
        )
    leaves_of(name, given)


def metric_columns(task: Task, metrics: Sequence[Metric], network: Network) -> list[str]:
    """The columns of the history that an evaluation measures."""
    names = list(jax.eval_shape(task.evaluate, jax.eval_shape(task.init, key_shape())))
    slots = [f"{name}_slots" for name in names if name not in MEAN_MODEL_ONLY]
    worst = ["accuracy_worst"] if "accuracy" in names else []
    drift = network.columns
    return [*names, *slots, *worst, "consensus", *drift, *(metric.name for metric in metrics)]


def taken_names(columns: Iterable[str]) -> set[str]:
    """Names that the engine, or a table made of a history, gives to columns of its own where these are measured."""
    engine = {*RESERVED, *OF_NETWORK}
    return {
        *engine,
        *OF_TABLES,
        *(f"{name}_{end}" for name in engine.union(columns) for end in ("slots", "worst", "std")),
    }


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
    params = traced("task.init", task.init, key_shape())
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(f"task.init returned {short(params)}, no arrays; return a pytree of float arrays")
    for leaf in leaves:
        if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.floating):
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"task.init returned {kind}; parameters are arrays of floats, such as jnp.zeros(3)")
        if leaf.dtype.itemsize < 2:
            raise ValueError(f"task.init returned {leaf.dtype}, in which nothing can be summed; give bfloat16 or wider")
    shape = jax.eval_shape(lambda: params)
    loss = traced("task.loss", task.loss, shape, jax.ShapeDtypeStruct((), jnp.int32), key_shape())
    if getattr(loss, "shape", None) != () or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"task.loss returned {short(loss)}; return a scalar float, such as jnp.mean(...)")
    if gradient := OptionalMembers.of(task).gradient:
        found = traced("task.gradient", gradient, shape, jax.ShapeDtypeStruct((), jnp.int32), key_shape())
        if differs := difference(shape, found, ""):
            raise ValueError(
                f"task.gradient returned what is not like the parameters: {differs}; return their gradient"
            )
    metrics = traced("task.evaluate", task.evaluate, shape)
    if not is_kind(metrics, Mapping):
        raise ValueError(f"task.evaluate returned {short(metrics)}; return a mapping of names to scalars, with 'loss'")
    for name, value in metrics.items():
        if not is_text(name) or not name:
            raise ValueError(f"task.evaluate returned one named {short(name)}; give the name of its column")
        if not is_number(value) or jnp.shape(value) != ():
            kind = f"of shape {jnp.shape(value)}" if is_number(value) else f"as {kind_of(value)}"
            raise ValueError(f"task.evaluate returned {name} {kind}; return scalars")
    if "loss" not in metrics:
        raise ValueError(f"task.evaluate returned {sorted(metrics)}; it needs a 'loss'")
    if strange := set(OptionalMembers.of(task).higher_is_better).difference(metrics):
        raise ValueError(
            f"task.higher_is_better names {sorted(strange)}, and task.evaluate returned {sorted(metrics)}; give the "
            "directions of these"
        )
    if taken := taken_names(metrics).intersection(metrics):
        raise ValueError(
            f"task.evaluate returned {sorted(taken)}, names of columns already there; give others. "
            f"Taken: {', '.join(sorted({*RESERVED, *OF_NETWORK, *OF_TABLES}))}, and all of them and of your own with "
            "_slots, _worst or _std"
        )
    if structure is not None:
        _CHECKED.add(structure)


def _check_optional_members(task: Task) -> None:
    """Check those members that are no functions of arrays."""
    members = OptionalMembers.of(task)
    known = members.higher_is_better
    if not is_kind(known, Mapping):
        raise ValueError(f"task.higher_is_better is {short(known)}; give a mapping, such as {{'perplexity': False}}")
    for name, higher in known.items():
        if not is_kind(name, str) or not isinstance(higher, bool):
            raise ValueError(f"task.higher_is_better has {name!r}: {short(higher)}; give True or False for a name")
    if not is_kind(members.name, str):
        raise ValueError(f"task.name is {short(members.name)}; give a text")
    if members.node_batch is not None:
        check_integer("task.node_batch", members.node_batch, minimum=1)
    for name in ("gradient", "losses"):
        if not ((function := getattr(members, name)) is None or callable(function)):
            raise ValueError(f"task.{name} is {short(function)}; give a function of params, node and key")


def traced(name: str, function: Callable[..., Any], *arguments: PyTree) -> Any:
    """What a member of a task returns, by shape; Python numbers stay what they are."""

    shapes: list[Any] = []  # which a trace would take for arrays

    def called(*arguments: PyTree) -> Any:
        try:
            made = function(*arguments)
        except Exception as error:  # of any kind: it is the user's code
            kind = type(error).__name__
            told = error if isinstance(error, TypeError | AttributeError) else f"{kind}: {error}"
            raise TypeError(f"{name} failed on arguments of the right shapes: {told}") from error
        shapes.extend(leaf for leaf in jax.tree.leaves(made) if isinstance(leaf, jax.ShapeDtypeStruct))
        return made

    try:
        found = traced_shapes(called, *arguments)
    except ValueError:
        raise ValueError(f"{name} returned a mapping whose names cannot be sorted; make all of them text") from None
    if shapes:
        raise ValueError(f"{name} returned {short(shapes[0])}, a shape without numbers; return arrays")
    return found
