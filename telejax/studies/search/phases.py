"""Simulations of groups of slots that go on from each other, told as one history."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from telejax.algorithms.joint import JointTeleportation
from telejax.errors import DivergenceError
from telejax.results.result import Result
from telejax.simulation.recorder import COUNTERS
from telejax.state import State
from telejax.tasks.base import Task

Simulate = Callable[..., Result]


class Phases:
    """One phase after another, in each of which nothing changes shape; groups keep their number and go on counting.

    Args:
        simulate: :func:`telejax.simulate`.
        task: of all phases.
        **arguments: of ``simulate``, the same for all phases.
    """

    def __init__(self, simulate: Simulate, task: Task, **arguments: Any) -> None:
        self.simulate, self.task, self.arguments = simulate, task, arguments
        self.round = 0
        self.diverged = False
        """Whether no run of the last phase is finite any more."""
        self.result: Result | None = None
        """That of the last phase."""
        self.params: dict[int, Any] = {}
        """Mean models of each group, leaves (seeds, settings, 1, ...)."""
        self._frames: list[pl.DataFrame] = []

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
        state = None if self.result is None else _taken(self.result.state, slots)
        try:
            self.result = self.simulate(algorithm, self.task, rounds=rounds, state=state, **self.arguments)
        except DivergenceError as error:
            self.result, self.diverged = error.result, True
        rows = self.result.history.filter(pl.col("round") > self.round) if state is not None else self.result.history
        numbers = dict(enumerate(groups))
        rows = rows.with_columns(pl.col("group").replace_strict(numbers, return_dtype=pl.Int64))
        self._frames.append(self._counted_on(rows))
        for place, number in numbers.items():
            self.params[number] = jax.tree.map(lambda x, at=place: x[:, :, at : at + 1], self.result.params)
        self.round = self.result.rounds

    @property
    def history(self) -> pl.DataFrame:
        """The rows of all groups so far, ordered by seed, step size (as given), group and round."""
        rates = self._frames[0]["learning_rate"].unique(maintain_order=True).to_list()
        setting = pl.col("learning_rate").replace_strict(rates, list(range(len(rates))), return_dtype=pl.Int64)
        return pl.concat(self._frames).sort("seed", setting, "group", "round", maintain_order=True)

    def _counted_on(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add what each group has counted in earlier phases."""
        if not self._frames:
            return rows
        run = ["seed", "learning_rate", "group"]
        before = (
            pl.concat(self._frames)
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
    return state.replace(
        params=take(state.params), opt_state=take(state.opt_state), holders=take(state.holders), world=take(state.world)
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
