"""The steps that several algorithms take: gradients, local update, what a hand-off leaves behind."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Bool, Int, Key, PyTree

from telejax.algorithms.local import LocalStep, stepped
from telejax.backend.batched_map import map_nodes
from telejax.backend.scopes import scope
from telejax.backend.shapes import difference, is_array, is_number, kind_of, leaves_of, outline, traced_shapes
from telejax.errors import attribute, check_integer, check_kind, is_kind, short, takes
from telejax.optimizers import FixedOptimizer, Optimizer, check_optimizer
from telejax.random.keys import check_key
from telejax.random.sampling import MAX_NODES
from telejax.random.threefry import fold_in, split
from telejax.state import Params, State
from telejax.tasks.base import OptionalMembers, Task, gradient_of

STEP = "give a function of transformation, gradient, params, opt_state and given"
SCHEDULES = (
    optax.ScaleByScheduleState,
    optax.InjectHyperparamsState,
    optax.InjectStatefulHyperparamsState,
    type(jax.eval_shape(optax.add_decayed_weights(lambda count: 0.0).init, ())),  # which optax does not export
)
"""States of optax that count the steps of a schedule."""
WRITTEN_OUT = 16  # local steps that a program holds one by one; more are a loop in it


def check_active(active: int, nodes: int, name: str = "active") -> int:
    """Return ``active``, or raise a ValueError that names the argument if there are fewer nodes."""
    if active > nodes:
        raise ValueError(f"{name} is {short(active)} and the task has {nodes} nodes; activate at most {nodes}")
    return active


def check_slots(active: int) -> int:
    """Return the number of slots, or raise a ValueError where nodes cannot be drawn for so many."""
    remedy = "give an integer of at least 1, or use telejax.auto(...), which finds the number while it runs"
    return check_integer("active", check_integer("active", active, minimum=1, remedy=remedy), 1, maximum=MAX_NODES)


def data_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """The key of the data in a round whose nodes are drawn; ``Network.activate`` takes the other half."""
    return split(key)[1]


def refreshed(
    state: State, moved: Bool[Array, " slots"], optimizer: Optimizer | FixedOptimizer, state_travels: bool
) -> State:
    """The optimizer state after a hand-off: it travels with the parameters, or starts afresh where a slot moved.

    The parameters of slot a are at row a whoever holds it.
    """
    if state_travels:
        return state
    fresh = jax.vmap(optimizer.build().init)(state.params)
    return state.replace(opt_state=refresh_optimizer(fresh, state.opt_state, moved))


def refresh_optimizer(fresh: optax.OptState, opt_state: optax.OptState, moved: Bool[Array, " slots"]) -> optax.OptState:
    """Start the optimizer state of moved slots afresh; the counters of schedules go on with the rounds."""

    def choose(new: PyTree[Array], old: PyTree[Array]) -> PyTree[Array]:
        if isinstance(old, SCHEDULES):
            return (
                old._replace(inner_state=again(new.inner_state, old.inner_state))
                if hasattr(old, "inner_state")
                else old
            )
        return jnp.where(moved.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

    again = partial(jax.tree.map, choose, is_leaf=lambda x: isinstance(x, SCHEDULES))
    return again(fresh, opt_state)


def gradients(key: Key[Array, ""], params: Params, holders: Int[Array, " slots"], task: Task) -> Params:
    """``g_a = grad F_holder(a)(x_a; xi)`` for every slot, with the draws of :func:`local_update`.

    Args:
        key: of the data of this round, used for nothing else.
        params: leaves (slots, ...).
        holders: int32 (slots,), the node whose data each slot meets.
        task: whose loss, or ``gradient``, is taken.

    Returns:
        Stochastic gradients like ``params``.

    >>> import jax, jax.numpy as jnp, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=4, dim=3)
    >>> tj.gradients(jax.random.key(0), jnp.zeros((2, 3)), jnp.array([0, 3]), task).shape
    (2, 3)
    """
    _check_data(key, params, holders, task)
    gradient = gradient_of(task)
    one = lambda params, node: gradient(params, node, fold_in(key, node))
    members = OptionalMembers.of(task)
    with scope("gradient"), _naming_task(task, params):
        return map_nodes(one, (params, holders), members.node_batch, members.mesh)


def apply_gradients(
    grads: Params, params: Params, opt_state: optax.OptState, optimizer: Optimizer | FixedOptimizer
) -> tuple[Params, optax.OptState]:
    """The optimizer's step on every slot, whatever direction it is given.

    Args:
        grads: leaves (slots, ...): gradients, or a tracker or any other direction in their place.
        params: likewise.
        opt_state: likewise, as of ``Algorithm.init_optimizer``.
        optimizer: of :func:`telejax.optimizer`.

    Returns:
        The new parameters and optimizer states.

    >>> import jax, jax.numpy as jnp, optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.5)
    >>> x = jnp.ones((2, 3))
    >>> tj.apply_gradients(x, x, jax.vmap(sgd.build().init)(x), sgd)[0][0].tolist()
    [0.5, 0.5, 0.5]
    """
    check_optimizer("optimizer", optimizer)
    _check_rows("params", params)
    _check_rows("grads", grads)
    shapes = lambda tree: [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
    if jax.tree.structure(grads) != jax.tree.structure(params) or shapes(grads) != shapes(params):  # type: ignore[operator]
        raise ValueError(f"grads is {outline(grads)} and params {outline(params)}; give one array like each parameter")
    _check_opt_state(optimizer, params, opt_state)
    with _naming_opt_state(optimizer, params, opt_state):
        return jax.vmap(partial(stepped, optimizer.build()))(grads, params, opt_state)


def local_update(
    key: Key[Array, ""],
    params: Params,
    opt_state: optax.OptState,
    holders: Int[Array, " slots"],
    task: Task,
    optimizer: Optimizer | FixedOptimizer,
    steps: int = 1,
    *,
    step: LocalStep | None = None,
    given: PyTree[Array] = None,
) -> tuple[Params, optax.OptState]:
    """``x_a <- x_a - eta grad F_holder(a)(x_a; xi)``, ``steps`` times, on every slot.

    A node's randomness is keyed by the round, the node and the local step, so that it does not depend on
    which slot the node holds. A task may say in ``node_batch`` how many nodes compute side by side.

    Args:
        key: of the data of this round, used for nothing else.
        params: leaves (slots, ...).
        opt_state: likewise.
        holders: int32 (slots,), the node whose data each slot meets.
        task: whose loss, or ``gradient``, is taken.
        optimizer: of :func:`telejax.optimizer`.
        steps: of every node, one after another.
        step: of a method that does more than step along the gradient: ``step(transformation, gradient, params,
            opt_state, given)`` of one slot, which returns parameters and optimizer state.
        given: what ``step`` is given beside, leaves (slots, ...), such as a correction of the gradient.

    Returns:
        The new parameters and optimizer states.

    Raises:
        ValueError: an argument of another kind or shape, a ``step`` that returns other than its parameters and
            optimizer state, or ``given`` without one.

    >>> import jax, jax.numpy as jnp, optax, telejax as tj
    >>> task, sgd = tj.tasks.quadratic(nodes=4, dim=3), tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> params = jnp.zeros((2, 3))
    >>> state = jax.vmap(sgd.build().init)(params)
    >>> new, _ = tj.local_update(jax.random.key(0), params, state, jnp.array([0, 3]), task, sgd)
    >>> new.shape
    (2, 3)
    """
    steps = check_integer("steps", steps, minimum=1, maximum=2**31 - 1)
    _check_data(key, params, holders, task)
    _check_step(step, given, len(holders))
    transformation = check_optimizer("optimizer", optimizer).build()
    _check_opt_state(optimizer, params, opt_state)
    gradient = gradient_of(task)

    def update(
        params: Params, opt_state: optax.OptState, node: Int[Array, ""], given: PyTree[Array]
    ) -> tuple[Params, optax.OptState]:
        node_key = fold_in(key, node)

        def one(number: int | Array, carry: tuple[Params, optax.OptState]) -> tuple[Params, optax.OptState]:
            params, opt_state = carry
            batch_key = node_key if steps == 1 else fold_in(node_key, number)
            grads = gradient(params, node, batch_key)
            if step is None:
                return stepped(transformation, grads, params, opt_state)
            return _stepped_alike(step, carry, step(transformation, grads, params, opt_state, given))

        if steps > WRITTEN_OUT:
            return jax.lax.fori_loop(0, steps, one, (params, opt_state))
        carry = params, opt_state
        for number in range(steps):
            carry = one(number, carry)
        return carry

    members = OptionalMembers.of(task)
    with scope("gradient"), _naming_task(task, params), _naming_opt_state(optimizer, params, opt_state):
        return map_nodes(update, (params, opt_state, holders, given), members.node_batch, members.mesh)


def _check_data(key: Key[Array, ""], params: Params, holders: Int[Array, " slots"], task: Task) -> None:
    """Raise a ValueError unless these are a key, a task, its nodes and parameters for each."""
    check_key("key", key)
    remedy = "give a task, such as telejax.tasks.quadratic(nodes=100)"
    if is_kind(task, type) or (callable(task) and attribute(task, "evaluate") is None):
        raise ValueError(f"task is {attribute(task, '__name__', short(task))}, which was not called; {remedy}")
    check_kind("task", task, Task, remedy)
    nodes = check_integer("task.nodes", task.nodes, minimum=1, remedy="make it a static field with an integer")
    check_holders(holders, nodes)
    _check_rows("params", params, len(holders))
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params))  # in a program they are init's
    if not traced and (told := _unlike_init(task, params)):
        raise ValueError(told)


def _check_rows(name: str, tree: PyTree[Array], slots: int | None = None) -> None:
    """Raise a ValueError unless the leaves are floats with a row for each slot; by default as many as in the first."""
    if not (leaves := leaves_of(name, tree)):
        raise ValueError(f"{name} is {short(tree)}, without arrays; give a pytree with a row for each slot")
    for leaf in leaves:
        shape = jnp.shape(leaf) if is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating) else ()
        slots = shape[0] if shape and slots is None else slots
        if not shape or shape[0] != slots:
            rows = "slots" if slots is None else slots
            raise ValueError(f"{name} has a leaf {kind_of(leaf)}; give floats of shape ({rows}, ...), a row a slot")


def _check_step(step: object, given: PyTree[Array], slots: int) -> None:
    """Raise a ValueError unless a local step of a method's own may be called with what it is given, a row a slot."""
    if step is None and given is not None:
        raise ValueError(f"given is {short(given)} and step is None; give the step that reads it, or leave given out")
    if not (step is None or (callable(step) and not is_kind(step, type))):
        raise ValueError(f"step is {short(step)}; {STEP}")
    if callable(step) and not takes(step, 5):
        raise ValueError(f"step is {short(step)}, which cannot be called with five arguments; {STEP}")
    for leaf in leaves_of("given", given):
        if not is_array(leaf) or jnp.shape(leaf)[:1] != (slots,):
            raise ValueError(f"given has a leaf {kind_of(leaf)}; give arrays of shape ({slots}, ...), a row a slot")


def _stepped_alike(step: LocalStep, before: tuple[Params, optax.OptState], after: Any) -> Any:
    """What a local step of a method's own returned, or a ValueError where it is not like what it was given."""
    if not isinstance(after, tuple) or len(after) != 2 or _differ(before, after):
        raise ValueError(
            f"step is {short(step)}, which returned {outline(after) if after is not None else None}; return parameters "
            f"and optimizer state like those it is given, {outline(before)}"
        )
    return after


def _check_opt_state(optimizer: Any, params: Params, opt_state: optax.OptState) -> None:
    """Raise a ValueError where the optimizer state is another optimizer's: one without a state would take any."""
    leaves_of("opt_state", opt_state)
    try:
        wanted = jax.eval_shape(jax.vmap(optimizer.build().init), params)
    except Exception:  # of parameters that it is not made for: its step tells
        return
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(wanted)):
        raise ValueError(
            "optimizer keeps a random key, and every slot and seed would have the same one; leave its noise out, and "
            "give the task some, or use telejax.privacy(...)"
        )
    if _differ(wanted, opt_state):
        raise _other_state(difference(wanted, opt_state, "opt_state"))


def _differ(one: Any, other: Any) -> bool:
    """Whether two trees have another structure, or arrays of other shapes; of other widths they may be."""
    shape = lambda leaf: jnp.shape(leaf) if is_array(leaf) or is_number(leaf) else None
    if jax.tree.structure(one) != jax.tree.structure(other):  # type: ignore[operator]
        return True
    return list(map(shape, jax.tree.leaves(one))) != list(map(shape, jax.tree.leaves(other)))


def _other_state(differs: str) -> ValueError:
    return ValueError(
        f"opt_state is not that of the optimizer: {differs}; give jax.vmap(optimizer.build().init)(params)"
    )


@contextmanager
def _naming_task(task: Task, params: Params) -> Iterator[None]:
    """Where a gradient fails and the parameters are not those of the task, or its loss is no scalar, say so."""
    try:
        yield
    except Exception as error:
        if told := _unlike(task, params):
            raise ValueError(told) from error
        raise


def _unlike(task: Task, params: Params) -> str:
    """What is wrong with a task's loss or with its parameters; empty where that is nothing, or only the task knows."""
    if told := _unlike_init(task, params):
        return told
    try:
        row = _row_of(params)
        loss = kind_of(traced_shapes(task.loss, row, jnp.int32(0), jax.random.key(0)))
    except TypeError as error:  # of the user's code, as jax answers what cannot be traced
        return f"task.loss fails: {str(error).partition(chr(10))[0]}; give loss(params, node, key), a scalar float"
    except Exception:  # others of the user's code, which are told as they are
        return ""
    return "" if re.fullmatch(r"b?float\d+\[\]", loss) else f"task.loss returned {loss}; return a scalar float"


def _unlike_init(task: Task, params: Params) -> str:
    """How a row of the parameters differs from what the task starts with; empty where it does not."""
    try:
        row, wanted = _row_of(params), jax.eval_shape(task.init, jax.random.key(0))
    except Exception:  # of the user's code
        return ""
    if not _differ(wanted, row):
        return ""
    differs = difference(wanted, row, "a row")
    return f"params is not like what task.init returns: {differs}; give a row of it for each slot"


def _row_of(params: Params) -> Any:
    """Shapes and dtypes of the parameters of one slot."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x)[1:], x.dtype), params)


@contextmanager
def _naming_opt_state(optimizer: Any, params: Params, opt_state: optax.OptState) -> Iterator[None]:
    """Where a step fails and its optimizer state is not that of the optimizer, say so."""
    try:
        yield
    except Exception as error:
        wanted = jax.eval_shape(jax.vmap(optimizer.build().init), params)
        if differs := difference(wanted, opt_state, "opt_state"):
            raise _other_state(differs) from error
        raise


def check_holders(holders: Int[Array, " slots"], nodes: int) -> None:
    """Raise a ValueError unless these are numbers of nodes; of traced ones only the type can be told."""
    leaves_of("holders", holders)
    if not is_array(holders) or not jnp.issubdtype(holders.dtype, jnp.integer) or holders.ndim != 1:
        raise ValueError(f"holders is {short(holders)}; give integers, a node of the task for each slot")
    if isinstance(holders, jax.core.Tracer):
        return
    if (node := stranger(holders, nodes, least=0)) is not None:
        raise ValueError(f"holders has node {node}, and the task has {nodes}; give nodes from 0 to {nodes - 1}")


def stranger(holders: Int[ArrayLike, "..."], nodes: int, least: int = -1) -> int | None:
    """A holder that is no node, nor -1 for nobody where that may be; None where there is none."""
    known = np.asarray(holders)  # of NumPy, for jax traces its own even on known numbers
    extremes = (int(np.max(known, initial=least)), int(np.min(known, initial=least)))
    return next((node for node in extremes if not least <= node < nodes), None)
