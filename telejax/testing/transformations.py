"""What jax's transformations and other parameters leave as it is."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.algorithms.base import Algorithm, start_key
from telejax.state import State
from telejax.testing.compare import alike, close, same, stack
from telejax.testing.tasks import TreeTask
from telejax.testing.trial import ROUNDS, Trial, round_key


def trees(trial: Trial) -> None:
    """Parameters may be any pytree: a round runs on nested ones."""
    nested = replace(trial, task=tree_task(trial.task.nodes))
    try:
        state = jax.eval_shape(lambda: nested.algorithm.init(jax.random.key(0), nested.task))
        after = jax.eval_shape(lambda state: nested.algorithm.step(round_key(0), state, nested.task)[0], state)
    except Exception as error:  # of any kind: it is the method's code
        raise AssertionError(
            f"a round on nested parameters raised {type(error).__name__}: {error}; use jax.tree.map"
        ) from error
    alike("a state of nested parameters before and after a round", *(_zeros(one) for one in (state, after)))


def tree_task(nodes: int) -> TreeTask:
    """The task of nested parameters."""
    return TreeTask(nodes, jnp.arange(nodes, dtype=jnp.result_type(float)))


def jit(trial: Trial) -> None:
    """A compiled round gives what an eager one gives."""
    state = trial.first
    for round in range(2):
        state, _ = trial.algorithm.step(round_key(round), state, trial.task)
        close("jit and eager execution", trial.after(round)[0], state)


def vmap(trial: Trial) -> None:
    """Rounds mapped over keys give what a loop gives."""
    state = trial.after(0)[0]
    keys = jax.random.split(jax.random.key(7), 3)
    looped = [trial.step(key, state, trial.algorithm)[0] for key in keys]
    step = lambda key: trial.algorithm.step(key, state, trial.task)[0]
    close("vmap over keys and a loop", jax.jit(jax.vmap(step))(keys), stack(looped))


def traces(trial: Trial) -> None:
    """Other numbers and later rounds trace nothing anew."""
    count = 0

    @jax.jit
    def step(key: Any, state: State, algorithm: Algorithm) -> State:
        nonlocal count
        count += 1
        return algorithm.step(key, state, trial.task)[0]

    for number in (0.1, 0.01):
        algorithm = trial.method(learning_rate=number, momentum=number)
        state = algorithm.init(jax.random.key(0), trial.task)
        for round in range(2):
            state = step(round_key(round), state, algorithm)
    assert count == 1, f"{count} traces for two step sizes and two rounds; numbers must be leaves, structure constant"


def resumes(trial: Trial) -> None:
    """Rounds from a copy of a state, as after a checkpoint, give what an uninterrupted run gives, bit for bit."""
    state = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), trial.after(ROUNDS // 2 - 1)[0])
    trial.after(ROUNDS - 1)
    for round in range(ROUNDS // 2, ROUNDS):
        state, _ = trial.step(round_key(round), state, trial.algorithm)
    same("a resumed and an uninterrupted run", state, trial.after(ROUNDS - 1)[0])


def consensus(trial: Trial) -> None:
    """With step size 0 a consensus is kept."""
    algorithm, task = trial.method(learning_rate=0.0, momentum=0.9), trial.task
    key = jax.random.key(0)
    away = jax.tree.map(lambda x: x + 1, task.init(key))  # zeros would keep much
    state = algorithm.start(start_key(key), away, task)
    after, _ = trial.step(round_key(0), state, algorithm)
    models = algorithm.models(state), algorithm.models(after)
    close("a consensus before and after a round with step size 0", *models)


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
