"""The record of a simulation on the host: one row for each evaluation, seed, step size and group."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import polars as pl

from telejax.messages import Messages, total


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
        """How many of the axes seeds, step sizes and groups the mean models come with."""
        self.round = 0
        self.params: Any = None
        """Mean models, leaves (seeds, step sizes, groups, ...): the last finite ones of each run."""
        self._shape = (len(seeds), len(learning_rates), len(groups))
        self._handoffs = np.zeros((len(seeds), 1, len(groups)), np.int64)
        self._frames: list[pl.DataFrame] = []
        self._diverged = np.zeros(self._shape, bool)

    @property
    def all_diverged(self) -> bool:
        """Whether no run is finite any more."""
        return bool(self._diverged.all())

    def add(self, rounds: int, handoffs: Any, metrics: dict[str, Any], means: Any) -> None:
        """Record an evaluation ``rounds`` after the last one."""
        self.round += rounds
        self._handoffs += np.asarray(handoffs, np.int64).reshape(self._handoffs.shape)
        columns = {name: np.asarray(value).reshape(self._shape) for name, value in metrics.items()}
        self._diverged |= ~np.all([np.isfinite(value) for value in columns.values()], axis=0)
        self._keep_finite(means)
        self._frames.append(self._frame(columns))

    def table(self) -> pl.DataFrame:
        """The history, ordered by seed, step size, group and round."""
        return pl.concat(self._frames).sort("seed", "learning_rate", "active", "round", maintain_order=True)

    def _frame(self, metrics: dict[str, np.ndarray]) -> pl.DataFrame:
        seed, rate, group = (index.ravel() for index in np.indices(self._shape))
        gossip = np.array([self.traffic.mixed(one, self.round) for one in range(len(self.groups))], np.int64)[group]
        handoffs = np.broadcast_to(self._handoffs, self._shape).flatten()  # a copy: the counts go on
        gradients = np.array(self.traffic.gradients, np.int64)[group] * self.round
        rates = pl.Series([None if one is None else float(one) for one in self.learning_rates], dtype=pl.Float64)
        bytes_gossip, bytes_handoff = gossip * self.traffic.copy_bytes, handoffs * self.traffic.handoff_bytes
        return pl.DataFrame(
            {
                "round": np.full(len(seed), self.round, np.int64),
                "seed": np.array(self.seeds, np.int64)[seed],
                "learning_rate": rates[rate],
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
