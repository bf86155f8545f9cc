"""The record of a simulation on the host: one row for each evaluation, seed, hyperparameter setting and group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl

from telejax.algorithms.base import Algorithm
from telejax.mixing.accounting import Messages, total
from telejax.results.progress import Progress
from telejax.simulation.compiled import Measured
from telejax.simulation.spending import Accounting
from telejax.state import Params, State
from telejax.tasks.base import Task

COUNTED = ("gradients", "messages_gossip", "messages_handoff", "bytes_gossip", "bytes_handoff")
"""Cumulative columns that every history has, beside the sums ``messages`` and ``bytes``."""
COUNTERS = ("gradients", "messages", "messages_gossip", "messages_handoff", "bytes", "bytes_gossip", "bytes_handoff")
MESSAGE_COUNTERS = ("handoffs", "messages")
"""Counters of a method that enter the columns of messages and bytes instead of one of their own."""
NOT_DONE = ("unsent", "skipped")
"""Counters of the network: messages and gradients that a method counts by the round, and that an absent node left."""

RESERVED = frozenset(
    {
        "round",
        "seed",
        "learning_rate",
        "group",
        "active",
        "diverged",
        "consensus",
        "epsilon",
        "setting",
        *COUNTERS,
        *MESSAGE_COUNTERS,
        *NOT_DONE,
    }
)
"""Columns that a task, a metric or a method may not use."""


@dataclass(frozen=True)
class RoundCost:
    """What one round costs, for each group of slots; bytes and messages are Python integers, of any size."""

    messages: tuple[Messages, ...]
    """Parameter copies sent by mixing in each round of the group's period, see ``telejax.mixing.accounting``."""
    gradients: tuple[int, ...]
    """Stochastic gradients computed in a round."""
    first_gradients: tuple[int, ...]
    """Stochastic gradients computed at the start."""
    copy_bytes: int
    """Bytes of one message of mixing."""
    handoff_bytes: int
    """Bytes of one message of a hand-off."""
    handoff_messages: int = 1
    """Messages of one hand-off."""

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Bytes of a message, for the config of a result."""
        return {"message_bytes": {"copy": self.copy_bytes, "handoff": self.handoff_bytes}}

    @staticmethod
    def of(algorithm: Algorithm, task: Task, state: State) -> "RoundCost":
        """That of an algorithm, bound to the task, whose state has these shapes."""
        return RoundCost(
            messages=algorithm.gossip_messages(task.nodes),
            gradients=algorithm.gradients(task.nodes),
            first_gradients=algorithm.first_gradients(task.nodes),
            copy_bytes=int(algorithm.copy_bytes(state)),
            handoff_bytes=int(algorithm.handoff_bytes(state)),
            handoff_messages=int(algorithm.handoff_messages),
        )


class Recorder:
    """Collects evaluations; ``table`` makes the tidy history of them.

    Args:
        seeds: of the runs.
        settings: for each hyperparameter setting the values of its columns, ``learning_rate`` first.
        active: slots of each group.
        cost: of a round.
        start: the round before the first.
        before: what was counted up to there.
        accounting: of what private runs spend.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        settings: Sequence[Mapping[str, float | None]],
        active: tuple[int, ...],
        cost: RoundCost,
        start: int = 0,
        before: Progress | None = None,
        accounting: Accounting | None = None,
    ) -> None:
        self.accounting = accounting
        self.seeds, self.settings, self.active, self.cost = list(seeds), list(settings), active, cost
        self.axes = (len(self.seeds), len(self.settings), len(active))
        self.start = self.round = start
        self.evaluations = 0
        self._stalled = zeros = np.zeros(self.axes, np.int64)
        self._events: dict[str, np.ndarray] = {}
        self._before = dict(before.counted) if before else dict.fromkeys(COUNTED, zeros)
        if before is None:
            self._before["gradients"] = zeros + np.array(cost.first_gradients, np.int64)
        self._gauges: dict[str, np.ndarray] = dict(before.gauges) if before else {}
        self.diverged = before.diverged.copy() if before else np.zeros(self.axes, bool)
        self.params: Params = None if before is None else before.params
        self.latest: dict[str, np.ndarray] = {}  # metrics of the last evaluation
        self._looked_at, self._there = 0, np.zeros(self.axes, bool)  # for the target of :meth:`reached`
        self._frames: list[pl.DataFrame] = []
        self._log: list[dict[str, Any]] = []

    @property
    def stalled(self) -> int:
        """For how many rounds at least, one after another, nothing has happened in some run: whole evaluations."""
        return int(self._stalled.max(initial=0))

    @property
    def all_diverged(self) -> bool:
        """Whether no run is finite any more."""
        return bool(self.diverged.all())

    def add(self, rounds: int, found: Measured, means: Params) -> pl.DataFrame:
        """Record an evaluation ``rounds`` after the last one; returns its rows, with the number of their setting."""
        metrics = found.metrics.columns
        batch_axes = np.ndim(next(iter(metrics.values()))) - 1
        shaped = lambda x: np.asarray(x).reshape(*self.axes, *np.shape(x)[batch_axes + 1 :])
        events = {
            name: (shaped(high).astype(np.int64) << 32) + shaped(low).astype(np.int64)
            for name, (high, low) in found.counters.items()
        }
        entry: dict[str, Any] = {
            "rounds": np.int64(rounds),
            "counters": events,
            "gauges": {name: shaped(value) for name, value in found.gauges.items()},
            "metrics": {name: _summed(value, shaped) for name, value in metrics.items()},
            "judged": np.ones(self.axes, np.int32) if found.judged is None else shaped(found.judged),
        }
        if self.accounting is not None:
            entry["epsilon"] = self.accounting.epsilon(shaped(found.uses))
        rows = self._record(entry)
        means = jax.tree.map(shaped, means)
        self.params = means if self.params is None else jax.tree.map(self._last_finite, self.params, means)
        return rows

    def rows(self) -> pl.DataFrame:
        """What :meth:`add` returned, one evaluation after another."""
        return pl.concat(self._frames, how="vertical_relaxed")  # counts may have become floats

    def table(self) -> pl.DataFrame:
        """The history, ordered by seed, setting, group and round."""
        return self._sorted().drop("setting")

    def tables(self) -> list[pl.DataFrame]:
        """The history of each setting, ordered alike."""
        parts = self._sorted().partition_by("setting", include_key=False, as_dict=True)
        return [parts[(setting,)] for setting in range(len(self.settings))]

    def progress(self) -> Progress:
        """How far the runs have come."""
        counted = {**self._counted(), **{name: self._total(name) for name in self._events}}
        return Progress(counted, self._gauges, self.diverged, self.params)

    def snapshot(self) -> dict[str, Any]:
        """All that :meth:`restore` needs, as a pytree of arrays; evaluations are the first axis of ``log``."""
        return {"log": jax.tree.map(lambda *entries: np.stack(entries), *self._log), "params": self.params}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fill a new recorder with what another one held."""
        for index in range(len(snapshot["log"]["rounds"])):
            self._record(jax.tree.map(lambda x, at=index: x[at], snapshot["log"]))
        self.params = snapshot["params"]

    def reached(self, metric: str, target: float, higher_is_better: bool) -> bool:
        """Whether every run that is still finite has reached the target, at the last evaluation or at one before."""
        for entry in self._log[self._looked_at :]:
            now = entry["metrics"][metric]
            self._there = self._there | (np.isfinite(now) & (now >= target if higher_is_better else now <= target))
        self._looked_at = len(self._log)
        return bool((self._there | self.diverged).all())

    def _record(self, entry: dict[str, Any]) -> pl.DataFrame:
        """Count and tabulate an evaluation: all of :meth:`add` that does not depend on the mean models."""
        entry = {"counters": {}, "gauges": {}, **entry}
        first = not self._log
        self.round += int(entry["rounds"])
        rounds, stalls = int(entry["rounds"]), entry["counters"].get("stalled", 0)
        self._stalled = np.where(stalls == rounds, self._stalled + stalls, 0)
        for name, events in entry["counters"].items():
            self._events[name] = self._events.get(name, 0) + events
        # the gauges of a row without rounds are those from which the runs go on, or 0 before the first round
        if not first or self.start == 0:
            self._gauges = dict(entry["gauges"])
        nobody = entry["judged"] == 0
        finite = np.all([np.isfinite(value) for value in entry["metrics"].values()], axis=0)
        self.diverged = self.diverged | ~(finite | nobody)
        self.latest = entry["metrics"]
        rows = self._frame(nobody, entry.get("epsilon"))
        self._frames.append(rows)
        self._log.append(entry)
        self.evaluations += 1
        return rows

    def _counted(self) -> dict[str, np.ndarray]:
        """The cumulative columns of messages, bytes and gradients: Python integers, of any size."""
        ran = self.round - self.start
        gossip = [total(one, self.round) - total(one, self.start) for one in self.cost.messages]
        sent = np.array(gossip, object) + self._events.get("messages", 0) - self._events.get("unsent", 0)
        skipped = self._events.get("skipped", np.zeros(self.axes, np.int64)).astype(object)
        moved = self._events.get("handoffs", np.zeros(self.axes, np.int64)).astype(object)
        handed = moved * self.cost.handoff_messages
        now = {
            "gradients": np.array([ran * int(one) for one in self.cost.gradients], object) - skipped,
            "messages_gossip": sent,
            "messages_handoff": handed,
            "bytes_gossip": sent * self.cost.copy_bytes,
            "bytes_handoff": handed * self.cost.handoff_bytes,
        }
        return {name: self._before[name] + value for name, value in now.items()}

    def _total(self, name: str) -> np.ndarray:
        return self._before.get(name, 0) + self._events.get(name, np.zeros(self.axes, np.int64))

    def _sorted(self) -> pl.DataFrame:
        return self.rows().sort(["seed", "setting", "group", "round"], maintain_order=True)

    def _frame(self, nobody: np.ndarray, epsilon: np.ndarray | None) -> pl.DataFrame:
        seed, setting, group = (index.ravel() for index in np.indices(self.axes))
        counted = self._counted()
        flat = lambda x: np.broadcast_to(x, self.axes).ravel()
        whole = lambda x: _whole(flat(x))
        names = list(self.settings[0])
        number = lambda value: None if value is None else float(value)
        of_setting = {name: pl.Series([number(one[name]) for one in self.settings], dtype=pl.Float64) for name in names}
        own = [name for name in self._events if name not in (*MESSAGE_COUNTERS, *NOT_DONE)]
        frame = pl.DataFrame(
            {
                "round": np.full(len(seed), self.round, np.int64),
                "seed": np.array(self.seeds, np.int64)[seed],
                **{name: values[setting] for name, values in of_setting.items()},
                "setting": setting,
                "group": group,
                "active": np.array(self.active, np.int64)[group],
                **{name: flat(value) for name, value in self.latest.items()},
                "gradients": whole(counted["gradients"]),
                "messages": whole(counted["messages_gossip"] + counted["messages_handoff"]),
                "messages_gossip": whole(counted["messages_gossip"]),
                "messages_handoff": whole(counted["messages_handoff"]),
                "bytes": whole(counted["bytes_gossip"] + counted["bytes_handoff"]),
                "bytes_gossip": whole(counted["bytes_gossip"]),
                "bytes_handoff": whole(counted["bytes_handoff"]),
                **{name: flat(self._total(name)) for name in own},
                **{name: flat(value) for name, value in self._gauges.items()},
                **({} if epsilon is None else {"epsilon": flat(epsilon)}),
                "diverged": flat(self.diverged).copy(),
            }
        )
        if not nobody.any():
            return frame
        unknown = pl.Series(flat(nobody))
        return frame.with_columns(pl.when(~unknown).then(pl.col(name)).alias(name) for name in self.latest)

    def _last_finite(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        gone = self.diverged.reshape(self.diverged.shape + (1,) * (new.ndim - 3))
        return np.where(gone, old, new)


def _summed(value: Any, shaped: Callable[[Any], np.ndarray]) -> np.ndarray:
    """A column; several arrays stand for their sum, which takes more digits than any of them has."""
    if not isinstance(value, tuple):
        return shaped(value)
    return np.sum([shaped(part).astype(np.float64) for part in value], axis=0)


def _whole(counts: np.ndarray) -> pl.Series:
    """Python integers as int64 or, where one of them is beyond it, as float64."""
    fits = max(counts.tolist(), default=0) <= np.iinfo(np.int64).max
    return pl.Series(counts.tolist(), dtype=pl.Int64 if fits else pl.Float64, strict=False)
