"""All runs of a simulation: as many as fit in the cache side by side, batch after batch of them in one program.

What is compiled (``telejax.simulation.compiled``) knows of one batch, so that where the runs are large other seeds and
more step sizes compile nothing anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from telejax.algorithms.parts import stranger
from telejax.backend.loops import asks_device
from telejax.backend.memory import tree_bytes
from telejax.backend.sharding import SlotSharding
from telejax.random.threefry import words_of_seeds
from telejax.simulation import compiled
from telejax.simulation.batching import BatchAxes, HyperparameterBatch
from telejax.simulation.compiled import Evaluation, Keys, Member, state_shape
from telejax.state import Metric, State


class Batch(NamedTuple):
    """Runs side by side."""

    members: HyperparameterBatch
    """What they run."""
    tasks: HyperparameterBatch
    """Their tasks alone, from which the first parameters come."""
    keys: Keys
    """Those of their seeds."""


@dataclass(frozen=True)
class Program:
    """All runs of one simulation; see :meth:`build`."""

    members: Sequence[Member]
    seeds: Sequence[int]
    axes: BatchAxes
    sharding: SlotSharding
    metrics: tuple[Metric, ...]

    @staticmethod
    def build(
        members: Sequence[Member],
        seeds: Sequence[int],
        *,
        seed_axis: bool,
        hyperparameter_axis: bool,
        mesh: Mesh | None,
        metrics: tuple[Metric, ...] = (),
        run_bytes: int | None = None,
    ) -> "Program":
        """Plan which runs are side by side, and where.

        Raises:
            ValueError: a mesh that does not divide the slots.
        """
        algorithm, task, network = members[0]
        axes = BatchAxes.plan(
            seeds=len(seeds) if seed_axis else None,
            hyperparameters=len(members) if hyperparameter_axis else None,
            run_bytes=tree_bytes(state_shape(algorithm, task, network)) if run_bytes is None else run_bytes,
        )
        sharding = SlotSharding(mesh, len(axes.of_batch.shape))
        sharding.check(algorithm.slots(task.nodes))
        return Program(members, seeds, axes, sharding, metrics)

    def start(self) -> list[State]:
        """The states of all batches before the first round: leaves (seeds, hyperparameters, ...), round ()."""
        return [self._first_state(batch) for batch in self._batches]

    def take(self, state: State) -> list[State]:
        """A copy of a state of all runs that was given, to be donated in its place."""
        state = self.sharding.replicate(state)
        if self.axes.side_by_side:
            return [self._placed(jax.tree.map(lambda x: jnp.array(x, copy=True), state))]
        axes, batched, round = self.axes, state.replace(round=None), np.array(state.round)  # each donates its own
        return [self._placed(axes.cut(batched, first).replace(round=jnp.array(round))) for first in axes.batches]

    def whole(self, states: Sequence[State], donate: bool = False) -> State:
        """The state of all runs; of several batches a copy, where each of them may be donated."""
        if self.axes.side_by_side:
            return states[0]
        state: State = self.axes.gather([one.replace(round=None) for one in states], donate)
        return state.replace(round=states[0].round)

    def advance(self, states: Sequence[State], rounds: int, usual: bool = False) -> tuple[list[State], Evaluation]:
        """Advance every run by so many rounds and evaluate it; ``states`` are donated.

        Where this is the ``usual`` number of rounds, an accelerator has a program for exactly so many, which it runs
        without asking after each round whether to go on.
        """
        return self._each(
            states, rounds, lambda state: partial(compiled.advance, **self._options(state, rounds, usual))
        )

    def lowered(self, states: Sequence[State], rounds: int = 1, usual: bool = False) -> jax.stages.Lowered:
        """The program of a batch in :meth:`advance` before it is compiled, for profiles, tests and benchmarks."""
        batch, state = self._batches[0], states[0]
        options = self._options(state, rounds, usual)
        return compiled.advance.lower(batch.members, state, batch.keys.rounds, rounds, **options)

    def run(
        self, executable: jax.stages.Compiled, states: Sequence[State], rounds: int
    ) -> tuple[list[State], Evaluation]:
        """As :meth:`advance`, by a program that was compiled from :meth:`lowered`."""
        return self._each(states, rounds, lambda state: executable)

    def check_extremes(self, extremes: Int[Array | np.ndarray, "*runs 3"], round: int, rounds: int) -> None:
        """Raise a ValueError where a slot was held by what is no node, which would meet the data of another.

        So it does where less than nothing was counted.

        Args:
            extremes: of the last evaluation, see :class:`telejax.simulation.compiled.Measured`.
            round: in which it was made.
            rounds: how many there were since the one before.
        """
        algorithm, task, _ = self.members[0]
        when = f"round {round}" if rounds < 2 else f"one of the rounds {round - rounds + 1} to {round}"
        if (node := stranger(extremes[..., :2], task.nodes)) is not None:
            raise ValueError(
                f"{algorithm.name} had a slot held by node {node} in {when}, and the task has {task.nodes} "
                f"nodes; give holders from 0 to {task.nodes - 1}, or -1 for nobody"
            )
        if (least := int(extremes[..., 2].min())) < 0:
            raise ValueError(
                f"{algorithm.name} counted {least} events in {when}; give counters, steps and skipped of Info that are "
                "at least 0"
            )

    def _each(
        self, states: Sequence[State], rounds: int, program: Callable[[State], Callable[..., tuple[State, Evaluation]]]
    ) -> tuple[list[State], Evaluation]:
        """Advance every batch by the program of its state."""
        pairs = zip(self._batches, states, strict=True)
        after = [program(state)(batch.members, state, batch.keys.rounds, rounds) for batch, state in pairs]
        evaluations = [evaluation for _, evaluation in after]
        whole = evaluations[0] if self.axes.side_by_side else self.axes.join(evaluations)
        return [state for state, _ in after], whole

    def _first_state(self, batch: Batch) -> State:
        axes = self.axes.of_batch
        params = compiled.first_params(batch.tasks, batch.keys.start, settings=axes.hyperparameters)
        return compiled.start(batch.members, params, batch.keys.start, axes=axes, sharding=self.sharding)

    def _placed(self, state: State) -> State:
        return compiled.place(state, sharding=self.sharding) if self.sharding.mesh else state

    def _options(self, state: State, rounds: int, usual: bool) -> dict[str, object]:
        """What the program that advances so many rounds depends on."""
        return {
            "axes": self.axes.of_batch,
            "sharding": self.sharding,
            "metrics": self.metrics,
            "same_holders": self._same_holders(state),
            "length": None if asks_device() or not usual else rounds,
        }

    def _same_holders(self, state: State) -> bool:
        """Whether all settings of a seed have the same holders."""
        if self.axes.of_batch.hyperparameters is None:
            return False
        held = np.asarray(state.holders)
        return bool((held == held[..., :1, :]).all())

    @cached_property
    def _batches(self) -> list[Batch]:
        mesh = self.sharding.mesh
        on_mesh = lambda algorithm: algorithm if mesh is None else algorithm.on_mesh(mesh)
        members = [(on_mesh(algorithm), task, network) for algorithm, task, network in self.members]
        placed: dict[int, tuple[Any, Any]] = {}  # what several batches share is put on the devices once

        def place(leaf: Any) -> Any:
            if id(leaf) not in placed:
                placed[id(leaf)] = leaf, _on_device(self.sharding.replicate(leaf))
            return placed[id(leaf)][1]

        of = lambda members: jax.tree.map(place, self.axes.members(members))
        runs, tasks = of(members), of([task for _, task, _ in members])
        keys = {seed: self._keys(seed) for seed in {seed for seed, _ in self.axes.batches}}
        return [Batch(runs[first], tasks[first], keys[seed]) for seed, first in self.axes.batches]

    def _keys(self, first: int) -> Keys:
        """Of the seeds of a batch."""
        count = self.axes.of_batch.seeds
        seeds = np.array(self.seeds[first] if count is None else self.seeds[first : first + count], np.uint32)
        words = np.moveaxis(words_of_seeds(seeds, len(Keys._fields)), -2, 0)
        return Keys(*(jax.random.wrap_key_data(self.sharding.replicate(one)) for one in words))


def _on_device(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf
