"""The record of a simulation on the host: one row for each evaluation, seed, step size and group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl

from telejax.messages import Messages, total

COUNTERS = ("gradients", "messages", "messages_gossip", "messages_handoff", "bytes", "bytes_gossip", "bytes_handoff")
"""Cumulative columns."""


@dataclass(frozen=True)
class Traffic:
    """What one round costs, for each group of slots; bytes and messages are Python integers, of any size."""

    messages: tuple[Messages, ...]
    """Parameter copies sent by mixing in each round of the group's period, see ``telejax.messages``."""
    gradients: tuple[int, ...]
    """Stochastic gradients computed in a round."""
    copy_bytes: int
    """Bytes of one message of mixing."""
    handoff_bytes: int
    """Bytes of one hand-off."""

    def mixed(self, group: int, rounds: int) -> int:
        """Messages that mixing has sent in the first ``rounds`` rounds."""
        return total(self.messages[group], rounds)


@dataclass
class Group:
    """What one group of slots has cost since it first appeared, and how it fares."""

    active: int
    handoffs: np.ndarray
    """int64, (seeds,)."""
    gradients: int = 0
    gossip: int = 0
    diverged: Any = False
    """bool, (seeds, step sizes)."""
    params: Any = None
    """Mean models, leaves (seeds, step sizes, ...): the last finite ones of each run."""


class Recorder:
    """Collects evaluations; ``table`` makes the tidy history of them."""

    def __init__(self, seeds: list[int], learning_rates: list[float | None], lane_axes: int) -> None:
        self.seeds, self.learning_rates = seeds, learning_rates
        self.lane_axes = lane_axes
        """How many of the axes seeds, step sizes and groups the mean models come with."""
        self.round = 0
        self.groups: dict[int, Group] = {}
        self._now: tuple[int, ...] = ()
        self._frames: list[pl.DataFrame] = []

    def begin(self, groups: tuple[int, ...], active: tuple[int, ...], traffic: Traffic) -> None:
        """From here on these groups run; the ones known already go on counting."""
        for group, k in zip(groups, active, strict=True):
            self.groups.setdefault(group, Group(k, np.zeros(len(self.seeds), np.int64)))
        self._now, self.traffic = groups, traffic

    @property
    def all_diverged(self) -> bool:
        """Whether no run of the present groups is finite any more."""
        return all(np.all(self.groups[group].diverged) for group in self._now)

    def add(self, rounds: int, handoffs: Any, metrics: dict[str, Any], means: Any) -> None:
        """Record an evaluation ``rounds`` after the last one."""
        before, self.round = self.round, self.round + rounds
        lanes = (len(self.seeds), len(self.learning_rates))
        moved = np.asarray(handoffs, np.int64).reshape(len(self.seeds), len(self._now))
        columns = {name: np.asarray(value).reshape(*lanes, len(self._now)) for name, value in metrics.items()}
        means = jax.tree.map(lambda x: np.reshape(x, (*lanes, len(self._now), *np.shape(x)[self.lane_axes :])), means)
        finite = np.all([np.isfinite(value) for value in columns.values()], axis=0)
        for place, number in enumerate(self._now):
            group = self.groups[number]
            group.handoffs = group.handoffs + moved[:, place]
            group.gradients += self.traffic.gradients[place] * rounds
            group.gossip += self.traffic.mixed(place, self.round) - self.traffic.mixed(place, before)
            group.diverged = group.diverged | ~finite[..., place]
            model = jax.tree.map(lambda x, place=place: x[:, :, place], means)
            group.params = model if group.params is None else _last_finite(group, model)
            self._frames.append(self._frame(number, {name: value[..., place] for name, value in columns.items()}))

    def table(self) -> pl.DataFrame:
        """The history, ordered by seed, step size, group and round."""
        return pl.concat(self._frames).sort("seed", "learning_rate", "group", "round", maintain_order=True)

    def params(self, groups: Sequence[int]) -> Any:
        """Mean models of these groups, leaves (seeds, step sizes, groups, ...): the last finite ones of each run."""
        return jax.tree.map(lambda *x: np.stack(x, axis=2), *(self.groups[group].params for group in groups))

    def _frame(self, number: int, metrics: dict[str, np.ndarray]) -> pl.DataFrame:
        group = self.groups[number]
        seed, rate = (index.ravel() for index in np.indices((len(self.seeds), len(self.learning_rates))))
        handoffs = group.handoffs[seed]
        gossip = np.full(len(seed), group.gossip, np.int64)
        rates = pl.Series([None if one is None else float(one) for one in self.learning_rates], dtype=pl.Float64)
        bytes_gossip, bytes_handoff = gossip * self.traffic.copy_bytes, handoffs * self.traffic.handoff_bytes
        return pl.DataFrame(
            {
                "round": np.full(len(seed), self.round, np.int64),
                "seed": np.array(self.seeds, np.int64)[seed],
                "learning_rate": rates[rate],
                "group": np.full(len(seed), number, np.int64),
                "active": np.full(len(seed), group.active, np.int64),
                **{name: value.ravel() for name, value in metrics.items()},
                "gradients": np.full(len(seed), group.gradients, np.int64),
                "messages": gossip + handoffs,
                "messages_gossip": gossip,
                "messages_handoff": handoffs,
                "bytes": bytes_gossip + bytes_handoff,
                "bytes_gossip": bytes_gossip,
                "bytes_handoff": bytes_handoff,
                "diverged": group.diverged.ravel().copy(),
            }
        )


def _last_finite(group: Group, new: Any) -> Any:
    def choose(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        gone = group.diverged.reshape(group.diverged.shape + (1,) * (new.ndim - 2))
        return np.where(gone, old, new)

    return jax.tree.map(choose, group.params, new)


def follow(history: pl.DataFrame, lineage: Sequence[int]) -> pl.DataFrame:
    """One run out of groups that went on from each other, with the counters of all groups that ever ran.

    Args:
        history: of one seed and step size.
        lineage: ids of groups, oldest first; a round is told by the last of them that has it.
    """
    totals = (
        history.sort("round")
        .with_columns(pl.col(name) - pl.col(name).shift(1, fill_value=0).over("group") for name in COUNTERS)
        .group_by("round")
        .agg(pl.col(name).sum() for name in COUNTERS)
        .sort("round")
        .with_columns(pl.col(name).cum_sum() for name in COUNTERS)
    )
    rank = pl.col("group").replace_strict({group: place for place, group in enumerate(lineage)}, return_dtype=pl.Int64)
    told = history.filter(pl.col("group").is_in(lineage)).sort("round", rank).group_by("round", maintain_order=True)
    return (
        told.last()
        .with_columns(group=pl.lit(0, pl.Int64))
        .drop(COUNTERS)
        .join(totals, on="round", maintain_order="left")
        .select(history.columns)
    )
