"""Conformance checks for your own algorithms and tasks; telejax's own pass the same.

Each check raises an AssertionError that says which property failed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from telejax.algorithms.base import Algorithm
from telejax.errors import check_integer
from telejax.optimizers import Optimizer, optimizer
from telejax.simulation.simulate import simulate
from telejax.state import State
from telejax.tasks.base import Task
from telejax.tasks.quadratic import quadratic

ROUNDS = 6
STANDARD_ERRORS = 6.0  # an unbiased estimate is further off than this once in 10^9 checks


def check_algorithm(make: Callable[[Optimizer], Algorithm], nodes: int = 12) -> None:
    """Check that an algorithm keeps the contract.

    The state has the slot axis first and constant structure, shapes and dtypes; ``info.holders`` are valid
    nodes and those of the state; jit gives what eager execution gives and vmap what a loop gives; new numbers
    trace nothing anew; parameters may be any pytree; a resumed run equals an uninterrupted one; step sizes and
    seeds run as batch axes give what they give alone; with step size 0, a consensus is kept.

    Args:
        make: builds the algorithm from an optimizer, for a task of ``nodes`` nodes.
        nodes: number of nodes of the tasks it is checked on.

    Raises:
        AssertionError: which property failed, and where.

    >>> import telejax as tj
    >>> check_algorithm(lambda sgd: tj.teleportation(active=4, topology="ring", optimizer=sgd))
    """
    nodes = check_integer("nodes", nodes, minimum=2)
    plain: Task = quadratic(nodes=nodes, dim=4, noise=1.0)
    for task in (plain, TreeTask(nodes, jnp.arange(nodes, dtype=jnp.result_type(float)))):
        algorithm = make(optimizer(optax.sgd, learning_rate=0.05, momentum=0.9)).bind(task)
        states = _check_structure(algorithm, task)
        _check_transformations(algorithm, task, states)
    _check_traces(make, plain)
    _check_batch_axes(make, plain)
    _check_consensus_kept(make, task)  # the nested task: the quadratic starts from zeros, which keep much


def check_task(task: Task, nodes: tuple[int, ...] | None = None) -> None:
    """Check that a task keeps the contract.

    ``init`` gives float arrays and ``loss`` a finite scalar for every node asked; both depend on the key alone;
    the gradient has the parameters' structure; jit gives what eager execution gives and vmap over nodes what
    a loop gives; a copy of the task traces nothing anew; ``evaluate`` gives finite scalars with a ``loss``;
    and, up to 4096 nodes, the stochastic gradients have the gradient of that loss as their mean.

    Args:
        task: the task.
        nodes: nodes to check; by default the first, the last and one between.

    Raises:
        AssertionError: which property failed, and where.

    >>> import telejax as tj
    >>> check_task(tj.tasks.quadratic(nodes=100, dim=4, noise=1.0))
    """
    assert isinstance(task.nodes, int), f"task.nodes is {task.nodes!r}; it must be a static int, not a leaf"
    chosen = jnp.asarray(nodes or sorted({0, task.nodes // 2, task.nodes - 1}), jnp.int32)
    init_key, key = jax.random.split(jax.random.key(0))
    params = task.init(init_key)
    assert jax.tree.leaves(params), "task.init returned no arrays"
    for leaf in jax.tree.leaves(params):
        assert jnp.issubdtype(leaf.dtype, jnp.floating), f"task.init returned {leaf.dtype}; parameters are floats"
    _same("task.init with the same key", params, task.init(init_key))

    gradient = jax.grad(task.loss)
    for node in chosen:
        loss = task.loss(params, node, key)
        assert jnp.shape(loss) == (), f"task.loss has the shape {jnp.shape(loss)}; it must be a scalar"
        assert bool(jnp.isfinite(loss)), f"task.loss is {loss} at node {node}"
    looped = [gradient(params, node, key) for node in chosen]
    chex.assert_trees_all_equal_shapes_and_dtypes(params, looped[0])
    _close("vmap over nodes and a loop", jax.vmap(gradient, (None, 0, None))(params, chosen, key), _stack(looped))

    traces = 0

    @jax.jit
    def traced(task: Task, node: Any) -> Any:
        nonlocal traces
        traces += 1
        return jax.grad(task.loss)(params, node, key)

    _close("jit and eager execution", traced(task, chosen[0]), looped[0])
    traced(jax.tree.map(lambda x: x + 0 if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, task), chosen[-1])
    assert traces == 1, "a copy of the task traced anew; its static fields must compare equal by value"

    metrics = task.evaluate(params)
    assert "loss" in metrics, f"task.evaluate gave {sorted(metrics)}; it needs a 'loss'"
    for name, value in metrics.items():
        assert jnp.shape(value) == (), f"task.evaluate gave {name} of shape {jnp.shape(value)}; it must be a scalar"
        assert bool(jnp.isfinite(value)), f"task.evaluate gave {name} = {value} at the start"
    if task.nodes <= 4096:
        _check_unbiased(task, params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TreeTask:
    """A small task whose parameters are a nested pytree of several ranks; for tests of algorithms."""

    nodes: int = field(metadata={"static": True})
    targets: Any

    def init(self, key: Any) -> Any:
        return {"matrix": jnp.ones((2, 3)), "deep": [jnp.zeros(()), (jnp.ones(4),)]}

    def loss(self, params: Any, node: Any, key: Any) -> Any:
        target = self.targets[node] / self.nodes + 0.1 * jax.random.normal(key)
        return sum(jnp.sum((leaf - target) ** 2) for leaf in jax.tree.leaves(params))

    def evaluate(self, params: Any) -> dict[str, Any]:
        exact = [jnp.mean((leaf[..., None] - self.targets / self.nodes) ** 2) for leaf in jax.tree.leaves(params)]
        return {"loss": sum(part * leaf.size for part, leaf in zip(exact, jax.tree.leaves(params), strict=True))}


def _check_structure(algorithm: Algorithm, task: Task) -> list[State]:
    """Run some rounds eagerly; every state must look like the first."""
    try:
        state = algorithm.init(jax.random.key(0), task)
    except ValueError as error:
        raise AssertionError(str(error)) from error
    slots = algorithm.slots(task.nodes)
    assert sum(algorithm.groups(task.nodes)) == slots, "the groups must add up to the slots"
    for leaf in jax.tree.leaves((state.params, state.opt_state)):
        assert leaf.shape[:1] == (slots,), f"a leaf of the state has shape {leaf.shape}; the slot axis comes first"
    for name in ("holders", "round"):
        dtype = getattr(state, name).dtype
        assert dtype == jnp.int32, f"state.{name} is {dtype}; it must be int32"
    states = [state]
    for round in range(ROUNDS):
        state, info = algorithm.step(_round_key(round), state, task)
        chex.assert_trees_all_equal_shapes_and_dtypes(states[0], state)
        assert int(state.round) == round + 1, f"state.round is {state.round} after {round + 1} rounds"
        holders = np.asarray(info.holders)
        assert holders.dtype == np.int32 and holders.shape == (slots,), "info.holders must be int32 of shape (slots,)"
        assert ((holders >= 0) & (holders < task.nodes)).all(), f"info.holders {holders} are not all nodes of the task"
        _same("info.holders and state.holders", info.holders, state.holders)
        moved = int(np.sum(np.asarray(info.counters.get("handoffs", 0))))
        assert 0 <= moved <= slots and (round or not moved), f"the counter handoffs is {moved} in round {round}"
        states.append(state)
    return states


def _check_transformations(algorithm: Algorithm, task: Task, states: list[State]) -> None:
    step = jax.jit(lambda key, state, algorithm, task: algorithm.step(key, state, task)[0])
    state = states[0]
    for round in range(ROUNDS):
        state = step(_round_key(round), state, algorithm, task)
    _close("jit and eager execution", state, states[-1])

    middle = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), states[ROUNDS // 2])  # as after a checkpoint
    for round in range(ROUNDS // 2, ROUNDS):
        middle = step(_round_key(round), middle, algorithm, task)
    _close("a resumed and an uninterrupted run", middle, states[-1])

    keys = jax.random.split(jax.random.key(7), 3)
    looped = [algorithm.step(key, states[1], task)[0] for key in keys]
    mapped = jax.vmap(lambda key: algorithm.step(key, states[1], task)[0])(keys)
    _close("vmap over keys and a loop", mapped, _stack(looped))


def _check_traces(make: Callable[[Optimizer], Algorithm], task: Task) -> None:
    traces = 0

    @jax.jit
    def step(key: Any, state: State, algorithm: Algorithm) -> State:
        nonlocal traces
        traces += 1
        return algorithm.step(key, state, task)[0]

    for number in (0.1, 0.01):
        algorithm = make(optimizer(optax.sgd, learning_rate=number, momentum=number)).bind(task)
        state = algorithm.init(jax.random.key(0), task)
        for round in range(2):
            state = step(_round_key(round), state, algorithm)
    assert traces == 1, f"{traces} traces for two step sizes and two rounds; numbers must be leaves, structure constant"


def _check_batch_axes(make: Callable[[Optimizer], Algorithm], task: Task) -> None:
    rates, seeds = [0.02, 0.05], [3, 4]
    algorithm = make(optimizer(optax.sgd, learning_rate=1.0))
    batched = simulate(algorithm, task, rounds=4, eval_every=4, seeds=seeds, tune=rates, progress=False)
    alone = [
        simulate(algorithm.with_learning_rate(rate), task, rounds=4, eval_every=2, seed=seed, progress=False)
        for seed in seeds
        for rate in rates
    ]
    together = batched.history.filter(round=4)["loss"].to_numpy()
    sequential = np.concatenate([run.history.filter(round=4)["loss"].to_numpy() for run in alone])
    _close("runs as batch axes and alone", together, sequential)


def _check_consensus_kept(make: Callable[[Optimizer], Algorithm], task: Task) -> None:
    algorithm = make(optimizer(optax.sgd, learning_rate=0.0)).bind(task)
    state = algorithm.init(jax.random.key(0), task)
    after, _ = algorithm.step(_round_key(0), state, task)
    _close("a consensus before and after a round with step size 0", after.params, state.params)


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
    exact = float(slope(lambda p: task.evaluate(p)["loss"]))
    error = draws.std(ddof=1) / np.sqrt(len(draws)) + 1e-4 * (abs(exact) + np.abs(draws).mean())
    assert abs(draws.mean() - exact) <= STANDARD_ERRORS * error, (
        f"the mean stochastic gradient along a direction is {draws.mean():.6g}, that of evaluate's loss {exact:.6g}; "
        "the loss in evaluate must be the mean over nodes of their expected loss, up to a constant"
    )


def _round_key(round: int) -> Any:
    return jax.random.fold_in(jax.random.key(1), round)


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _same(what: str, left: Any, right: Any) -> None:
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b)), f"{what} differ: {a} and {b}"


def _close(what: str, left: Any, right: Any) -> None:
    """Equal up to the rounding of float32 sums in another order."""
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert np.allclose(a, b, rtol=1e-4, atol=1e-5), f"{what} differ by {np.abs(a - b).max():.3g}"
