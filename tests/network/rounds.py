"""Rounds of a method on a network, one after another in one program, and the laws that draws are compared with."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import telejax as tj

SELDOM = 1e-4
"""A right law fails a test once in so many seeds; the seeds are fixed."""


@partial(jax.jit, static_argnames="rounds")
def _rounds(algorithm: Any, task: Any, network: Any, state: tj.State, root: Any, *, rounds: int) -> Any:
    def one(state: tj.State, round: Any) -> Any:
        state, info = algorithm.step(jax.random.fold_in(root, round), state, task, network)
        told = {"params": state.params, "opt_state": state.opt_state, "memory": state.memory.slot}
        return state, {"holders": info.holders, **info.counters, **told}

    return jax.lax.scan(one, state, jnp.arange(rounds, dtype=jnp.int32))


def run(algorithm: Any, task: Any, network: tj.Network, rounds: int, seed: int = 0) -> tuple[tj.State, dict[str, Any]]:
    """The last state, and of every round the holders, the counters and what belongs to the slots after it."""
    algorithm, network = algorithm.bind(task), network.bind(task.nodes)
    state = network.start(algorithm.init(jax.random.key(9), task))
    state, told = _rounds(algorithm, task, network, state, jax.random.key(seed), rounds=rounds)
    return state, jax.tree.map(np.asarray, told)


def fits(counts: np.ndarray, probabilities: np.ndarray) -> bool:
    """Whether the counts of a chi-square test are those of the law; at least 5 of each are to be expected."""
    counts, expected = np.asarray(counts, float).ravel(), np.ravel(probabilities) * np.sum(counts)
    assert abs(np.sum(probabilities) - 1) < 1e-6
    if (counts[expected == 0] > 0).any():
        return False
    counts, expected = counts[expected > 0], expected[expected > 0]
    assert expected.min() >= 5, expected.min()
    return float(stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), len(counts) - 1)) > SELDOM


def unrelated(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a chi-square test finds two events independent."""
    counts = np.histogram2d(np.ravel(one), np.ravel(other), bins=2, range=[[0, 1], [0, 1]])[0]
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    return float(stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), 1)) > SELDOM


def is_share(events: np.ndarray, probability: float) -> bool:
    """Whether independent events are as frequent as they should be, up to 5 standard deviations of a binomial."""
    spread = np.sqrt(probability * (1 - probability) / np.size(events))
    return bool(abs(np.mean(events) - probability) <= 5 * spread + 1e-9)


def ring(slots: int) -> np.ndarray:
    """The mixing matrix of a ring."""
    return np.asarray(tj.topology.ring(slots).matrix(), np.float64)


def among(matrix: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The matrix between those who are there: the weight of the others falls back to the owners of the rows."""
    off = matrix * ~np.eye(len(matrix), dtype=bool) * (there[:, None] & there[None])
    return off + np.diag(1 - off.sum(axis=1))


def gradient(task: Any, params: np.ndarray, holders: np.ndarray) -> np.ndarray:
    """Of a quadratic without noise: a_i (x - x*) + g_i."""
    curvature, shift = jax.vmap(task.local)(jnp.asarray(holders, jnp.int32))
    return np.asarray(curvature)[:, None] * (params - np.asarray(task.optimum)) + np.asarray(shift)
