"""The contract of a task, checked.

Each check raises an AssertionError that says which property failed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.backend.host import check_memory
from telejax.backend.memory import free_bytes, tree_bytes
from telejax.backend.shapes import is_key, kind_of
from telejax.errors import check_integer, check_kind, check_list, short
from telejax.simulation.task_checks import check_task as check_kind_of_task
from telejax.simulation.task_checks import check_task_members
from telejax.tasks.base import Task
from telejax.testing.compare import alike, close, same, stack

STANDARD_ERRORS = 6.0  # an unbiased estimate is further off than this once in 10^9 checks


def check_task(task: Task, nodes: tuple[int, ...] | None = None) -> None:
    """Check that a task keeps the contract.

    ``init`` gives float arrays and ``loss`` a finite scalar for every node asked; both depend on the key alone;
    the gradient has the parameters' structure; jit gives what eager execution gives and vmap over nodes what
    a loop gives; a copy of the task traces nothing anew; ``evaluate`` gives finite scalars with a ``loss``;
    and, up to 4096 nodes, the stochastic gradients have the gradient of that loss as their mean.

    Args:
        task: the task.
        nodes: nodes to check, from 0 to those of the task less one; by default the first, the last and one between.

    Raises:
        ValueError: a node that the task does not have, or parameters that do not fit the memory.
        AssertionError: which property failed, and where.

    >>> import telejax as tj
    >>> check_task(tj.tasks.quadratic(nodes=100, dim=4, noise=1.0))
    """
    check_kind("task", task, Task, "give a task, such as telejax.tasks.quadratic(nodes=100)")
    try:
        check_task_members(check_kind_of_task(task))
    except (TypeError, ValueError) as error:
        raise AssertionError(str(error)) from error
    assert isinstance(task.nodes, int), f"task.nodes is {short(task.nodes)}; it must be a static int, not a leaf"
    remedy = "give a list of nodes, such as (0, 3)"
    given = sorted({0, task.nodes // 2, task.nodes - 1}) if nodes is None else check_list("nodes", nodes, remedy)
    if not given or not all(0 <= check_integer("nodes", node, minimum=0) < task.nodes for node in given):
        raise ValueError(
            f"nodes is {short(nodes)}, and the task has {task.nodes} nodes; give some from 0 to {task.nodes - 1}"
        )
    chosen = jnp.asarray(given, jnp.int32)
    init_key, key = jax.random.split(jax.random.key(0))
    size = tree_bytes(jax.eval_shape(task.init, init_key))
    copies = 2 + 2 * len(given)  # the parameters twice, and the gradients of the nodes, once by a loop
    check_memory("a check with what task.init returned", copies * size, "let init make fewer", free=free_bytes())
    params = task.init(init_key)
    assert jax.tree.leaves(params), "task.init returned no arrays"
    for leaf in jax.tree.leaves(params):
        assert jnp.issubdtype(leaf.dtype, jnp.floating), f"task.init returned {leaf.dtype}; parameters are floats"
    same("task.init with the same key", params, task.init(init_key))

    gradient = jax.grad(task.loss)
    for node in chosen:
        loss = task.loss(params, node, key)
        assert jnp.shape(loss) == (), f"task.loss has the shape {jnp.shape(loss)}; it must be a scalar"
        assert bool(jnp.isfinite(loss)), f"task.loss is {loss} at node {node}"
    looped = [gradient(params, node, key) for node in chosen]
    alike("the parameters and their gradient", params, looped[0])
    mapped = jax.jit(lambda task: jax.vmap(jax.grad(task.loss), (None, 0, None))(params, chosen, key))(task)
    close("vmap over nodes and a loop", mapped, stack(looped))

    traces = 0

    @jax.jit
    def traced(task: Task, node: Any) -> Any:
        nonlocal traces
        traces += 1
        return jax.grad(task.loss)(params, node, key)

    close("jit and eager execution", traced(task, chosen[0]), looped[0])
    traced(jax.tree.map(lambda x: x if is_key(x) else x + 0, task), chosen[-1])
    assert traces == 1, "a copy of the task traced anew; its static fields must compare equal by value"

    metrics = jax.jit(lambda task, params: task.evaluate(params))(task, params)
    assert "loss" in metrics, f"task.evaluate gave {sorted(metrics)}; it needs a 'loss'"
    for name, value in metrics.items():
        assert jnp.shape(value) == (), f"task.evaluate gave {name} of shape {jnp.shape(value)}; it must be a scalar"
        floating = name != "loss" or jnp.issubdtype(jnp.result_type(value), jnp.floating)
        assert floating, f"task.evaluate gave {name} as {kind_of(value)}; it must be a float, as of jnp.mean"
        assert bool(jnp.isfinite(value)), f"task.evaluate gave {name} = {value} at the start"
    if task.nodes <= 4096:
        _check_unbiased(task, params)


def _check_unbiased(task: Task, params: Any) -> None:
    """The stochastic gradients along a direction average to that of the loss in ``evaluate``."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    normals = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    direction = jax.tree.unflatten(structure, normals)

    def slope(function: Callable[[Any], Any]) -> Any:
        return jax.jvp(function, (params,), (direction,))[1]

    def node_slopes(key: Any) -> Any:  # the mean over all nodes, once
        node_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(task.nodes))
        one = lambda node, key: slope(lambda p: task.loss(p, node, key))
        return jnp.mean(jax.vmap(one)(jnp.arange(task.nodes, dtype=jnp.int32), node_keys))

    draws = np.asarray(jax.jit(lambda keys: jax.lax.map(node_slopes, keys))(jax.random.split(jax.random.key(2), 64)))
    exact = float(jax.jit(lambda task: slope(lambda p: task.evaluate(p)["loss"]))(task))
    rounding = max(1e-4, float(jnp.finfo(draws.dtype).eps))  # bfloat16 is coarser
    error = draws.std(ddof=1) / np.sqrt(len(draws)) + rounding * (abs(exact) + np.abs(draws).mean())
    assert abs(draws.mean() - exact) <= STANDARD_ERRORS * error, (
        f"the mean stochastic gradient along a direction is {draws.mean():.6g}, that of evaluate's loss {exact:.6g}; "
        "the loss in evaluate must be the mean over nodes of their expected loss, up to a constant"
    )
