"""The constants of the analysis, estimated from a task's gradients and Hessian-vector products."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from telejax.backend.host import check_memory
from telejax.backend.memory import free_bytes, tree_bytes
from telejax.backend.shapes import difference, leaves_of
from telejax.errors import PROBABILITY, attribute, check_integer, check_number, short
from telejax.simulation.task_checks import check_task, check_task_members
from telejax.tasks.base import Task

MOST = 10**7
"""Draws a node, or steps of the iteration, that are measured at most."""


@dataclass(frozen=True)
class ProblemConstants:
    """What the bounds ask of a task; see :func:`measure`.

    >>> import telejax as tj
    >>> problem = tj.theory.ProblemConstants(smoothness=1.0, noise_sq=4.0, heterogeneity_sq=9.0, suboptimality=5.0)
    >>> tj.theory.optimal_active(problem, nodes=10**6, rounds=1000, topology="ring")
    4
    """

    smoothness: float
    """L: the largest curvature of any node's loss."""
    noise_sq: float
    """sigma^2 = E ||grad F_i - grad f_i||^2, averaged over nodes."""
    heterogeneity_sq: float
    """zeta^2 = (1/n) sum_i ||grad f_i - grad f||^2."""
    suboptimality: float
    """r0 = f(x_0) - f*."""

    def __post_init__(self) -> None:
        for one in fields(self):
            exclusive = one.name in ("smoothness", "suboptimality")
            object.__setattr__(self, one.name, check_number(one.name, getattr(self, one.name), exclusive=exclusive))

    def averaging(self, noise_sq: float, workers: int, rounds: int) -> float:
        """sqrt(L r0 noise / (workers T)): the term that more workers shrink."""
        noise_sq = check_number("noise_sq", noise_sq)
        workers, rounds = check_integer("workers", workers, minimum=1), check_integer("rounds", rounds, minimum=1)
        return float(np.sqrt(self.smoothness * self.suboptimality * noise_sq / (workers * rounds)))

    def graph(self, drift: float, q: float, rounds: int) -> float:
        """(L^2 r0^2 drift (1 - q) / (q T^2))^(1/3) + L r0 / (q T): the terms that a slow graph grows."""
        drift, q = check_number("drift", drift), PROBABILITY.check("q", q)
        rounds = check_integer("rounds", rounds, minimum=1)
        scale = self.smoothness * self.suboptimality
        return float(np.cbrt(scale**2 * drift * (1 - q) / (q * rounds**2)) + scale / (q * rounds))


def measure(
    task: Task,
    params: Any = None,
    *,
    minimum: float = 0.0,
    nodes: int = 256,
    draws: int = 16,
    steps: int = 30,
    seed: int = 0,
) -> ProblemConstants:
    """Estimate L, sigma^2, zeta^2 and r0 of a task from its gradients.

    L is the largest over nodes of ``max |eigenvalue|`` of the node's Hessian, by power iteration on
    Hessian-vector products averaged over the draws: exact for quadratics. sigma^2 and zeta^2 are unbiased:
    sigma^2 / draws is taken off the spread of the nodes' mean gradients.

    Args:
        task: what the nodes compute.
        params: where L, sigma^2 and zeta^2 are measured, such as ``result.model``; by default the start. r0 is
            always that of the start.
        minimum: f*, or a lower bound of it; the quadratics' loss already is f - f*.
        nodes: how many nodes to look at, drawn without replacement; all where the task has no more.
        draws: stochastic gradients a node, at least 2.
        steps: of the power iteration.
        seed: of the start, the nodes and the draws.

    Raises:
        ValueError: an argument out of its range; ``minimum`` not below the loss at the start.

    >>> import telejax as tj
    >>> problem = measure(tj.tasks.quadratic(nodes=64, heterogeneity=0.0, noise=2.0, spread=0.0))
    >>> round(problem.smoothness, 3), round(problem.suboptimality, 3)
    (1.0, 5.0)
    """
    check_task(task)
    check_task_members(task)
    minimum = check_number("minimum", minimum, minimum=-np.inf)
    nodes = check_integer("nodes", nodes, minimum=2)
    draws = check_integer("draws", draws, minimum=2, maximum=MOST)
    steps = check_integer("steps", steps, minimum=1, maximum=MOST)
    seed = check_integer("seed", seed, minimum=0, maximum=2**63 - 1)  # keys are made of an int64
    start_key, draw_key, direction_key = jax.random.split(jax.random.key(seed), 3)
    size = tree_bytes(jax.eval_shape(task.init, start_key))
    check_memory("what task.init returned", size, "let init make fewer parameters", free=free_bytes())
    start = task.init(start_key)
    suboptimality = float(jax.jit(lambda task, x: task.evaluate(x)["loss"])(task, start)) - minimum
    if not suboptimality > 0:
        raise ValueError(
            f"minimum is {minimum} and the loss at the start {suboptimality + minimum:g}; give a lower one"
        )
    looked_at = np.random.default_rng(seed).choice(task.nodes, min(nodes, task.nodes), replace=False, shuffle=False)
    chosen = jnp.asarray(looked_at, jnp.int32)
    keys = jax.random.split(draw_key, (len(chosen), draws))
    at = start if params is None else params
    if not all(jnp.issubdtype(attribute(leaf, "dtype", float), jnp.number) for leaf in leaves_of("params", at)):
        raise ValueError(f"params is {short(params)}, no arrays of numbers; give such as result.model")
    if differs := difference(start, at, ""):
        raise ValueError(f"params is not like the parameters of the task: {differs}; give such as result.model")
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(at)):
        raise ValueError("params has numbers that are not finite; give such as result.model")
    curvatures, noise, means = _look(task, at, chosen, keys, direction_key, steps)
    noise_sq = float(jnp.mean(noise))
    spread = float(sum(jnp.sum(jnp.var(leaf, axis=0, ddof=1)) for leaf in jax.tree.leaves(means)))
    n = task.nodes
    heterogeneity_sq = max(0.0, (spread - noise_sq / draws) * (n - 1) / n)
    return ProblemConstants(float(jnp.max(curvatures)), noise_sq, heterogeneity_sq, suboptimality)


@jax.jit
def _look(task: Task, params: Any, nodes: Any, keys: Any, direction_key: Any, steps: Any) -> Any:
    """For each node: its curvature, the variance of its gradient, and its mean gradient."""

    def one(lane: Any) -> Any:
        node, keys = lane
        gradients = jax.vmap(lambda key: jax.grad(task.loss)(params, node, key))(keys)
        variance = sum(jnp.sum(jnp.var(leaf, axis=0, ddof=1)) for leaf in jax.tree.leaves(gradients))
        mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), gradients)
        return _curvature(task, params, node, keys, direction_key, steps), variance, mean

    return jax.lax.map(one, (nodes, keys))


def _curvature(task: Task, params: Any, node: Any, keys: Any, direction_key: Any, steps: Any) -> Any:
    """max |eigenvalue| of the Hessian of the node's loss, averaged over the draws."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    loss = lambda x: jnp.mean(jax.vmap(lambda key: task.loss(unravel(x), node, key))(keys))
    product = lambda v: jax.jvp(jax.grad(loss), (flat,), (v,))[1]

    def step(_: Any, carry: Any) -> Any:
        vector, _ = carry
        image = product(vector)
        size = jnp.linalg.norm(image)
        return image / jnp.where(size > 0, size, 1.0), size

    start = jax.random.normal(direction_key, flat.shape, flat.dtype)
    return jax.lax.fori_loop(0, steps, step, (start / jnp.linalg.norm(start), jnp.zeros((), flat.dtype)))[1]
