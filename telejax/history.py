"""The record of a simulation on the host: one row for each evaluation, seed, variant and group."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl


@dataclass(frozen=True)
class Traffic:
    """What one round costs, for each group of slots; bytes and messages are Python integers, of any size."""

    messages: tuple[tuple[int, ...], ...]
    """Parameter copies sent by mixing in each round of the group's period."""
    gradients: tuple[int, ...]
    """Stochastic gradients computed in a round."""
    copy_bytes: int
    """Bytes of one message of mixing."""
    handoff_bytes: int
    """Bytes of one hand-off."""

    def mixed(self, group: int, rounds: int) -> int:
        """Messages that mixing has sent in the first ``rounds`` rounds."""
        period = self.messages[group]
        whole, rest = divmod(rounds, len(period))
        return whole * sum(period) + sum(period[:rest])


class Recorder:
    """Collects evaluations; ``table`` makes the tidy history of them."""

    def __init__(
        self,
        seeds: list[int],
        learning_rates: list[float | None],
        groups: tuple[int, ...],
        traffic: Traffic,
        lane_axes: int,
    ) -> None:
        self.seeds, self.learning_rates, self.groups, self.traffic = seeds, learning_rates, groups, traffic
        self.lane_axes = lane_axes
        """How many of the axes seeds, variants and groups the mean models come with."""
        self.round = 0
        self.params: Any = None
        """Mean models, leaves (seeds, variants, groups, ...): the last finite ones of each run."""
        self._shape = (len(seeds), len(learning_rates), len(groups))
        self._handoffs = np.zeros((len(seeds), 1, len(groups)), np.int64)
        self._frames: list[pl.DataFrame] = []
        self._log: list[dict[str, Any]] = []
        self._diverged = np.zeros(self._shape, bool)

    @property
    def all_diverged(self) -> bool:
        """Whether no run is finite any more."""
        return bool(self._diverged.all())

    @property
    def evaluations(self) -> int:
        """How many evaluations are recorded."""
        return len(self._frames)

    def add(self, rounds: int, handoffs: Any, metrics: dict[str, Any], means: Any) -> None:
        """Record an evaluation ``rounds`` after the last one."""
        self._record({"rounds": np.int64(rounds), "handoffs": handoffs, "metrics": metrics})
        self._keep_finite(means)

    def table(self) -> pl.DataFrame:
        """The history, ordered by seed, step size, group and round."""
        return self._sorted().drop("variant")

    def tables(self) -> list[pl.DataFrame]:
        """The history of each variant, ordered alike."""
        parts = self._sorted().partition_by("variant", include_key=False, as_dict=True)
        return [parts[(variant,)] for variant in range(len(self.learning_rates))]

    def snapshot(self) -> dict[str, Any]:
        """All that :meth:`restore` needs, as a pytree of arrays; evaluations are the first axis of ``log``."""
        return {"log": jax.tree.map(lambda *entries: np.stack(entries), *self._log), "params": self.params}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Fill a new recorder with what another one held."""
        for index in range(len(snapshot["log"]["rounds"])):
            self._record(jax.tree.map(lambda x, at=index: x[at], snapshot["log"]))
        self.params = snapshot["params"]

    def _record(self, entry: dict[str, Any]) -> None:
        entry = jax.tree.map(np.asarray, entry)
        self.round += int(entry["rounds"])
        self._handoffs += entry["handoffs"].astype(np.int64).reshape(self._handoffs.shape)
        columns = {name: value.reshape(self._shape) for name, value in entry["metrics"].items()}
        self._diverged |= ~np.all([np.isfinite(value) for value in columns.values()], axis=0)
        self._log.append(entry)
        self._frames.append(self._frame(columns))

    def _sorted(self) -> pl.DataFrame:
        order = ["seed", "learning_rate", "variant", "active", "round"]
        return pl.concat(self._frames).sort(order, maintain_order=True)

    def _frame(self, metrics: dict[str, np.ndarray]) -> pl.DataFrame:
        seed, variant, group = (index.ravel() for index in np.indices(self._shape))
        gossip = np.array([self.traffic.mixed(one, self.round) for one in range(len(self.groups))], np.int64)[group]
        handoffs = np.broadcast_to(self._handoffs, self._shape).flatten()  # a copy: the counts go on
        gradients = np.array(self.traffic.gradients, np.int64)[group] * self.round
        rates = pl.Series([None if one is None else float(one) for one in self.learning_rates], dtype=pl.Float64)
        bytes_gossip, bytes_handoff = gossip * self.traffic.copy_bytes, handoffs * self.traffic.handoff_bytes
        return pl.DataFrame(
            {
                "round": np.full(len(seed), self.round, np.int64),
                "seed": np.array(self.seeds, np.int64)[seed],
                "learning_rate": rates[variant],
                "variant": variant,
                "active": np.array(self.groups, np.int64)[group],
                **{name: value.ravel() for name, value in metrics.items()},
                "gradients": gradients,
                "messages": gossip + handoffs,
                "messages_gossip": gossip,
                "messages_handoff": handoffs,
                "bytes": bytes_gossip + bytes_handoff,
                "bytes_gossip": bytes_gossip,
                "bytes_handoff": bytes_handoff,
                "diverged": self._diverged.ravel().copy(),
            }
        )

    def _keep_finite(self, means: Any) -> None:
        new = jax.tree.map(lambda x: np.reshape(x, self._shape + np.shape(x)[self.lane_axes :]), means)
        if self.params is None:
            self.params = new
            return

        def choose(old: np.ndarray, new: np.ndarray) -> np.ndarray:
            gone = self._diverged.reshape(self._shape + (1,) * (new.ndim - len(self._shape)))
            return np.where(gone, old, new)

        self.params = jax.tree.map(choose, self.params, new)
