"""The record of a simulation on the host: one row for each evaluation, seed, variant and group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl

from telejax.mixing.accounting import Messages, total

COUNTERS = ("gradients", "messages", "messages_gossip", "messages_handoff", "bytes", "bytes_gossip", "bytes_handoff")
"""Cumulative columns."""


@dataclass(frozen=True)
class Traffic:
    """What one round costs, for each group of slots; bytes and messages are Python integers, of any size."""

    messages: tuple[Messages, ...]
    """Parameter copies sent by mixing in each round of the group's period, see ``telejax.mixing.accounting``."""
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
    """bool, (seeds, variants)."""
    params: Any = None
    """Mean models, leaves (seeds, variants, ...): the last finite ones of each run."""


class Recorder:
    """Collects evaluations; ``table`` makes the tidy history of them."""

    def __init__(self, seeds: list[int], learning_rates: list[float | None], lane_axes: int) -> None:
        self.seeds, self.learning_rates = seeds, learning_rates
        self.lane_axes = lane_axes
        """How many of the axes seeds, variants and groups the mean models come with."""
        self.round = 0
        self.groups: dict[int, Group] = {}
        self._now: tuple[int, ...] = ()
        self.evaluations = 0
        self._frames: list[pl.DataFrame] = []
        self._log: list[dict[str, Any]] = []

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
        self._record({"rounds": np.int64(rounds), "handoffs": handoffs, "metrics": metrics})
        axes = (len(self.seeds), len(self.learning_rates), len(self._now))
        means = jax.tree.map(lambda x: np.asarray(x).reshape(*axes, *np.shape(x)[self.lane_axes :]), means)
        for place, number in enumerate(self._now):
            group = self.groups[number]
            model = jax.tree.map(lambda x, place=place: x[:, :, place], means)
            group.params = model if group.params is None else _last_finite(group, model)

    def table(self) -> pl.DataFrame:
        """The history, ordered by seed, step size, group and round."""
        return self._sorted().drop("variant")

    def tables(self) -> list[pl.DataFrame]:
        """The history of each variant, ordered alike."""
        parts = self._sorted().partition_by("variant", include_key=False, as_dict=True)
        return [parts[(variant,)] for variant in range(len(self.learning_rates))]

    def snapshot(self) -> dict[str, Any]:
        """All that :meth:`restore` needs, as a pytree of arrays; evaluations are the first axis of ``log``.

        Of runs whose groups are the same from the first evaluation to the last.
        """
        return {"log": jax.tree.map(lambda *entries: np.stack(entries), *self._log), "params": self.params(self._now)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Fill a new recorder, whose groups have begun, with what another one held."""
        for index in range(len(snapshot["log"]["rounds"])):
            self._record(jax.tree.map(lambda x, at=index: x[at], snapshot["log"]))
        for place, number in enumerate(self._now):
            self.groups[number].params = jax.tree.map(lambda x, place=place: x[:, :, place], snapshot["params"])

    def params(self, groups: Sequence[int]) -> Any:
        """Mean models of these groups, leaves (seeds, variants, groups, ...): the last finite ones of each run."""
        return jax.tree.map(lambda *x: np.stack(x, axis=2), *(self.groups[group].params for group in groups))

    def _record(self, entry: dict[str, Any]) -> None:
        """Count and tabulate an evaluation: all of :meth:`add` that does not depend on the mean models."""
        entry = jax.tree.map(np.asarray, entry)
        rounds = int(entry["rounds"])
        before, self.round = self.round, self.round + rounds
        axes = (len(self.seeds), len(self.learning_rates), len(self._now))
        moved = entry["handoffs"].astype(np.int64).reshape(len(self.seeds), len(self._now))
        columns = {name: value.reshape(axes) for name, value in entry["metrics"].items()}
        finite = np.all([np.isfinite(value) for value in columns.values()], axis=0)
        for place, number in enumerate(self._now):
            group = self.groups[number]
            group.handoffs = group.handoffs + moved[:, place]
            group.gradients += self.traffic.gradients[place] * rounds
            group.gossip += self.traffic.mixed(place, self.round) - self.traffic.mixed(place, before)
            group.diverged = group.diverged | ~finite[..., place]
            self._frames.append(self._frame(number, {name: value[..., place] for name, value in columns.items()}))
        self._log.append(entry)
        self.evaluations += 1

    def _sorted(self) -> pl.DataFrame:
        order = ["seed", "learning_rate", "variant", "group", "round"]
        return pl.concat(self._frames).sort(order, maintain_order=True)

    def _frame(self, number: int, metrics: dict[str, np.ndarray]) -> pl.DataFrame:
        group = self.groups[number]
        seed, variant = (index.ravel() for index in np.indices((len(self.seeds), len(self.learning_rates))))
        handoffs = group.handoffs[seed]
        gossip = np.full(len(seed), group.gossip, np.int64)
        rates = pl.Series([None if one is None else float(one) for one in self.learning_rates], dtype=pl.Float64)
        bytes_gossip, bytes_handoff = gossip * self.traffic.copy_bytes, handoffs * self.traffic.handoff_bytes
        return pl.DataFrame(
            {
                "round": np.full(len(seed), self.round, np.int64),
                "seed": np.array(self.seeds, np.int64)[seed],
                "learning_rate": rates[variant],
                "variant": variant,
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
