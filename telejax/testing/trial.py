"""One method on one task: what several checks need, computed when the first of them asks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import optax

from telejax.algorithms.base import Algorithm
from telejax.errors import DivergenceError
from telejax.optimizers import Optimizer, optimizer
from telejax.simulation.simulate import simulate
from telejax.state import Info, State
from telejax.tasks.base import Task
from telejax.testing.heard import Heard, hearing
from telejax.testing.observe import Observed, observe

ROUNDS = 4
Make = Callable[[Optimizer], Algorithm]


@dataclass(frozen=True)
class Trial:
    """A method that ``make`` builds from an optimizer, on a task."""

    make: Make
    task: Task

    def method(self, **numbers: float) -> Algorithm:
        """The method with SGD of these numbers, bound to the task."""
        return self.make(optimizer(optax.sgd, **numbers)).bind(self.task)

    @cached_property
    def algorithm(self) -> Algorithm:
        """The method that is checked."""
        return self.method(learning_rate=0.05, momentum=0.9)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self.algorithm.slots(self.task.nodes)

    @property
    def groups(self) -> tuple[int, ...]:
        """Slots of each group."""
        return self.algorithm.groups(self.task.nodes)

    @cached_property
    def of_group(self) -> list[np.ndarray]:
        """The numbers of the slots of each group."""
        return np.split(np.arange(self.slots), np.cumsum(self.groups)[:-1])

    @cached_property
    def first(self) -> State:
        """The state before the first round."""
        try:
            return self.algorithm.init(jax.random.key(0), self.task)
        except ValueError as error:
            raise AssertionError(str(error)) from error

    @cached_property
    def step(self) -> Callable[..., tuple[State, Info]]:
        """A compiled round: ``step(key, state, algorithm)``."""
        return jax.jit(lambda key, state, algorithm: algorithm.step(key, state, self.task))

    def after(self, round: int) -> tuple[State, Info]:
        """The state after, and the events of, round ``round``; earlier rounds are run once."""
        while len(self._rounds) <= round:
            before = self._rounds[-1][0] if self._rounds else self.first
            self._rounds.append(self.step(round_key(len(self._rounds)), before, self.algorithm))
        return self._rounds[round]

    @cached_property
    def _rounds(self) -> list[tuple[State, Info]]:
        return []

    @cached_property
    def observed(self) -> Observed:
        """The first rounds with every exchange, hand-off and gradient noted."""
        return observe(self.algorithm, self.task, [round_key(round) for round in range(ROUNDS)])

    @cached_property
    def _hearing(self) -> Callable[[Any, State], Heard]:
        return hearing(self.algorithm, self.task)

    def heard(self, round: int) -> Heard:
        """Who hears whom in round ``round``."""
        return self._hearing(round_key(round), self.observed.rounds[round].before)

    def simulate(self, **options: Any) -> Any:
        """A short run, its errors as assertions; what has the same shapes shares its program."""
        given = {"rounds": ROUNDS, "eval_every": 1, "seed": 3, "progress": False, **options}
        try:
            return simulate(given.pop("algorithm", self.algorithm), self.task, **given)
        except (ValueError, TypeError, DivergenceError) as error:
            raise AssertionError(f"simulate raised {type(error).__name__}: {error}") from error

    @cached_property
    def run(self) -> Any:
        """The short run with nothing asked for."""
        return self.simulate()


def round_key(round: int) -> Any:
    """The key of a round."""
    return jax.random.fold_in(jax.random.key(1), round)
