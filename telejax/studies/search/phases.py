"""Simulations of groups of slots that go on from each other, told as one history."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from telejax.algorithms.joint import JointTeleportation
from telejax.errors import DivergenceError
from telejax.network import IDEAL
from telejax.results.result import Result, tuned_columns
from telejax.simulation.compiled import state_shape
from telejax.simulation.recorder import COUNTERS
from telejax.state import State
from telejax.studies.search.kept import Finished, KeptPhases
from telejax.tasks.base import Task

Simulate = Callable[..., Result]


class Phases:
    """One phase after another, in each of which nothing changes shape; groups keep their number and go on counting.

    Phases that a folder has kept are not run again: they are gone through once more, with the history that was
    known after each, so that whoever decides by it decides the same.

    Args:
        simulate: :func:`telejax.simulate`.
        task: of all phases.
        kept: where to keep finished phases, and to go on from.
        **arguments: of ``simulate``, the same for all phases.
    """

    def __init__(self, simulate: Simulate, task: Task, *, kept: KeptPhases | None = None, **arguments: Any) -> None:
        self.simulate, self.task, self.kept, self.arguments = simulate, task, kept, arguments
        self.round = 0
        self.diverged = False
        """Whether no run of the last phase is finite any more."""
        self.state: State | None = None
        """At the end of the last phase."""
        self.config: dict[str, Any] = {}
        """Of the result of the last phase."""
        self.params: dict[int, Any] = {}
        """Mean models of each group, leaves (seeds, settings, 1, ...)."""
        self._loaded = None if kept is None else kept.load()
        self._frames: list[pl.DataFrame] = [] if self._loaded is None else [self._loaded.history]

    def run(
        self, algorithm: JointTeleportation, groups: Sequence[int], rounds: int, slots: Sequence[int] | None = None
    ) -> None:
        """A phase.

        Args:
            algorithm: whose groups run.
            groups: their numbers.
            rounds: so many.
            slots: for each slot, that of the phase before whose state it goes on from; None where nothing changes.
        """
        if self._loaded is not None:
            self._go_through(algorithm, rounds)
            return
        state = None if self.state is None else _taken(self.state, slots)
        inside = {} if self.kept is None else self.kept.inside(self.round)
        try:
            result = self.simulate(algorithm, self.task, rounds=rounds, state=state, **inside, **self.arguments)
        except DivergenceError as error:
            result, self.diverged = error.result, True
        rows = result.history.filter(pl.col("round") > self.round) if state is not None else result.history
        numbers = dict(enumerate(groups))
        rows = rows.with_columns(pl.col("group").replace_strict(numbers, return_dtype=pl.Int64))
        self.config = result.config
        self._frames.append(self._counted_on(rows, result.run_columns))
        for place, number in numbers.items():
            self.params[number] = jax.tree.map(lambda x, at=place: x[:, :, at : at + 1], result.params)
        self.round, self.state = result.rounds, result.state
        if self.kept is not None and self.state is not None:
            history = self.history
            self.kept.save(Finished(self.round, history, self.params, self.state, self.config, self.diverged))

    @property
    def history(self) -> pl.DataFrame:
        """The rows of all groups so far, ordered by seed, setting (as given), group and round."""
        rows = pl.concat(self._frames, how="vertical_relaxed")
        tuned = tuned_columns(self.config)
        settings = rows.select(tuned).unique(maintain_order=True).with_row_index("setting")
        return (
            rows.filter(pl.col("round") <= self.round)
            .join(settings, on=tuned, nulls_equal=True, maintain_order="left")
            .sort("seed", "setting", "group", "round", maintain_order=True)
            .drop("setting")
        )

    def _go_through(self, algorithm: JointTeleportation, rounds: int) -> None:
        """A phase that was kept; the last of them brings back all that was known after it."""
        assert self._loaded is not None
        self.config = self._loaded.about["config"]
        self.round = min(self.round + rounds, self._loaded.round)
        if self.round == self._loaded.round:
            network = self.arguments.get("network") or IDEAL
            last = self._loaded.finished(state_shape(algorithm.bind(self.task), self.task, network))
            self.params, self.state, self.diverged = last.params, last.state, last.diverged
            self._loaded = None

    def _counted_on(self, rows: pl.DataFrame, run: list[str]) -> pl.DataFrame:
        """Add what each group has counted in earlier phases."""
        if not self._frames:
            return rows
        before = (
            pl.concat(self._frames, how="vertical_relaxed")
            .group_by(run, maintain_order=True)
            .last()
            .select(*run, pl.col(*COUNTERS, "diverged").name.suffix("_before"))
        )
        joined = rows.join(before, on=run, how="left", nulls_equal=True, maintain_order="left")
        totals = [pl.col(name) + pl.col(f"{name}_before").fill_null(0) for name in COUNTERS]
        gone = pl.col("diverged") | pl.col("diverged_before").fill_null(False)
        return joined.with_columns(*totals, gone.alias("diverged")).select(rows.columns)


def _taken(state: State | None, slots: Sequence[int] | None) -> State | None:
    """The slots from which the next phase goes on, of every run."""
    if state is None or slots is None:
        return state
    pick, axis = np.array(slots), state.holders.ndim - 1
    take = lambda tree: jax.tree.map(lambda x: jnp.take(x, pick, axis=axis), tree)
    world = None if state.world is None else replace(state.world, slot=take(state.world.slot))
    return state.replace(
        params=take(state.params), opt_state=take(state.opt_state), holders=take(state.holders), world=world
    )


def followed(history: pl.DataFrame, ancestry: Sequence[int]) -> pl.DataFrame:
    """One run out of groups that went on from each other, with the counters of all groups that ever ran.

    Args:
        history: of one seed and step size.
        ancestry: numbers of groups, oldest first; a round is told by the last of them that has it.
    """
    totals = (
        history.sort("round")
        .with_columns(pl.col(name) - pl.col(name).shift(1, fill_value=0).over("group") for name in COUNTERS)
        .group_by("round")
        .agg(pl.col(name).sum() for name in COUNTERS)
        .sort("round")
        .with_columns(pl.col(name).cum_sum() for name in COUNTERS)
    )
    rank = pl.col("group").replace_strict({group: place for place, group in enumerate(ancestry)}, return_dtype=pl.Int64)
    reported = history.filter(pl.col("group").is_in(ancestry)).sort("round", rank)
    return (
        reported.group_by("round", maintain_order=True)
        .last()
        .with_columns(group=pl.lit(0, pl.Int64))
        .drop(COUNTERS)
        .join(totals, on="round", maintain_order="left")
        .select(history.columns)
    )
