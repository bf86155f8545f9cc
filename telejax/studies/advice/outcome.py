"""What simulating a candidate showed, and when it reaches an aim, at what cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from telejax.results.result import Result
from telejax.studies.advice.candidates import Kind
from telejax.studies.advice.sites import Aim, Prices

SAFETY = 2.0
"""Standard deviations over seeds by which an aim must be reached."""
HOUR, DAY, GIGABYTE = 3600.0, 86400.0, 1e9
ACCURACIES = {"accuracy": "accuracy_local", "worst": "accuracy_local_worst"}
"""Of an aim, the columns that it speaks of."""


@dataclass(frozen=True)
class Rollout:
    """Bringing the last models to the sites that hold none: bytes in all, of the busiest site, and seconds."""

    bytes: float = 0.0
    load: float = 0.0
    seconds: float = 0.0


def rollout_of(kind: Kind, sites: int, active: int, copy: float, slowest: float, served: float) -> Rollout:
    """Those who hold a model pass it on, as do those who got it, until all have it; a server sends it to each.

    Args:
        kind: of the candidate.
        sites: that use the model.
        active: that hold one.
        copy: bytes of a model.
        slowest: seconds in which it reaches the site with the slowest line.
        served: seconds that each copy occupies the line of a server.
    """
    missing = sites - active
    if kind in ("alone", "together") or missing <= 0:
        return Rollout()
    if kind == "server":
        return Rollout(missing * copy, copy, slowest + missing * served)
    turns = int(np.ceil(np.log2(sites / active)))
    return Rollout(missing * copy, (1 + turns) * copy, turns * slowest)


@dataclass(frozen=True)
class Outcome:
    """The runs of a candidate at its best step size."""

    name: str
    kind: Kind
    active: int
    """Sites at work at a time."""
    sites: int
    """Those that took part."""
    learning_rate: float
    history: pl.DataFrame
    """A row for each seed and evaluation."""
    load: float
    """Bytes that the busiest site sent and received until the end."""
    load_mean: float
    """Those of a site on average."""
    seconds: float
    """Of a gradient, on average over sites."""
    bytes_scale: float = 1.0
    """Bytes of the real model by those of the simulated one."""
    rollout: Rollout = Rollout()
    """What it takes to bring the last models to the sites that hold none."""
    sites_scale: float = 1.0
    """All sites by those that were simulated."""
    whole: "Outcome | None" = None
    """The runs to their end, of which these are the first rounds."""

    @property
    def rounds(self) -> list[int]:
        """At which it was measured, but for the start."""
        return [one for one in self.history["round"].unique().sort().to_list() if one > 0]

    def at(self, round: int) -> dict[str, Any]:
        """Means over seeds after so many rounds, and spreads of the accuracies; the last models are rolled out."""
        rows = self.history.filter(pl.col("round") == round)
        found: dict[str, Any] = {"round": round}
        for name, column in ACCURACIES.items():
            values = rows[column].to_numpy().astype(float)
            found |= {name: float(values.mean()), f"{name}_std": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
            found |= {f"{name}_low": float(values.min()), f"{name}_high": float(values.max())}
        share = round / self.rounds[-1]
        # the excess of the busiest over the mean is chance, which grows as a square root
        busiest = self.load_mean * share + (self.load - self.load_mean) * min(1.0, share**0.5)
        mean = {name: float(rows[name].to_numpy().mean()) for name in ("gradients", "bytes")}
        return found | {
            "seconds": float(rows["time"].to_numpy().max()) + self.rollout.seconds,
            "bytes": mean["bytes"] * self.bytes_scale + self.rollout.bytes,
            "load": busiest * self.bytes_scale + self.rollout.load,
            "site_hours": mean["gradients"] * self.seconds * self.sites_scale / HOUR,
            "diverged": bool(rows["diverged"].any()),
        }

    def until(self, round: int, exact: "Outcome") -> "Outcome":
        """The same runs until a round, with the load of another outcome, of the same runs, that ended there."""
        history = self.history.filter(pl.col("round") <= round)
        return replace(self, history=history, load=exact.load, load_mean=exact.load_mean, whole=self)

    def reaching(self, aim: Aim) -> "Outcome":
        """These runs, to their end where they were cut before they reach another aim."""
        return self if self.whole is None or self.reached(aim) is not None else self.whole

    def costs(self, at: dict[str, Any], aim: Aim, prices: Prices | None) -> dict[str, float | None]:
        """What it takes by then: hours, gigabytes in all and of the busiest site, money or energy."""
        day = None if aim.gigabytes_a_day is None else aim.gigabytes_a_day * GIGABYTE
        seconds = at["seconds"]
        if day is not None:  # what is beyond the first day's share waits for the days to come
            seconds = max(seconds, DAY * (at["load"] / day - 1))
        found = {"hours": seconds / HOUR, "gigabytes": at["bytes"] / GIGABYTE, "load": at["load"] / GIGABYTE}
        if prices is None:
            return {**found, "cost": None}
        cost = prices.site_hour * at["site_hours"] + prices.gigabyte * found["gigabytes"]
        return {**found, "cost": cost + (prices.server if self.kind == "server" else 0.0)}

    def reached(self, aim: Aim) -> int | None:
        """The first round from which on the accuracies are safely reached at two measurements; None where never."""
        there = [self._is_there(self.at(round), aim) for round in self.rounds]
        for place, round in enumerate(self.rounds):
            if there[place] and all(there[place : place + 2]):
                return round
        return None

    def _is_there(self, at: dict[str, Any], aim: Aim) -> bool:
        if at["diverged"]:
            return False
        safe = lambda name: min(at[f"{name}_low"], at[name] - SAFETY * at[f"{name}_std"])
        return all(getattr(aim, name) is None or safe(name) >= getattr(aim, name) for name in ACCURACIES)


def load_of(results: Sequence[Result]) -> tuple[float, float]:
    """Bytes that the busiest site sent and received in any of the runs, and a site on average."""
    load = pl.concat([one.load(summary=True) for one in results]).filter(
        pl.col("load").is_in(["bytes_out", "bytes_in"])
    )
    both = load.group_by("seed").agg(pl.col("max").sum(), pl.col("mean").sum())
    return float(both["max"].max()), float(both["mean"].mean())  # type: ignore[arg-type]


def best_of(outcomes: Sequence[Outcome], aim: Aim) -> Outcome:
    """Of a candidate at several step sizes: what reaches the aim first or, where none does, has the least loss."""
    there = [(round, place) for place, one in enumerate(outcomes) if (round := one.reached(aim)) is not None]
    if there:
        return outcomes[min(there)[1]]
    last = [one.history.filter(pl.col("round") == pl.col("round").max()) for one in outcomes]
    losses = [np.inf if rows["diverged"].any() else float(rows["validation_loss_slots"].mean()) for rows in last]  # type: ignore[arg-type]
    return outcomes[int(np.argmin(losses))]
