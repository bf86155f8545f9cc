"""Simulating what sites might do on the network that they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import polars as pl
from numpy.typing import NDArray

from telejax.algorithms.base import Algorithm
from telejax.backend.memory import tree_bytes
from telejax.errors import DivergenceError
from telejax.network import Network
from telejax.results.result import Result
from telejax.simulation.simulate import simulate
from telejax.studies.advice.candidates import LOCAL_STEPS, MOST_TOGETHER, RATES, Candidate, evenly
from telejax.studies.advice.outcome import HOUR, Outcome, Rollout, best_of, load_of, rollout_of
from telejax.studies.advice.site_data import SiteData, data_of
from telejax.studies.advice.sites import Sites
from telejax.tasks.base import Task
from telejax.tasks.classification import Classification
from telejax.tasks.local_accuracy import local_accuracy

GRADIENTS = 60_000
"""Of a candidate while its step size is chosen, all runs together; what its number of rounds follows from."""
FEWEST, MOST = 96, 1200  # rounds
EVALUATIONS, WHILE_TUNING = 12, 6
"""Measurements of a run."""
ALONE = 200
"""Sites of which training alone is simulated where there are more than fit side by side."""
TOGETHER = 4
"""Seeds side by side in one program, which all step sizes share, and all runs of a candidate."""
TUNING_SEEDS = tuple(range(TOGETHER))


@dataclass(frozen=True)
class Trials:
    """The sites, ready to be simulated."""

    sites: Sites

    @cached_property
    def data(self) -> SiteData:
        """Of all sites."""
        return data_of(self.sites)

    @cached_property
    def everybody(self) -> NDArray[np.int64]:
        """All sites."""
        return np.arange(self.sites.nodes)

    @cached_property
    def whole(self) -> Classification:
        """The task of all sites."""
        return self.data.task(self.everybody, self.sites.model)

    @cached_property
    def model_bytes(self) -> int:
        """Of the simulated model."""
        return tree_bytes(jax.eval_shape(self.whole.init, jax.random.key(0)))

    @cached_property
    def scale(self) -> float:
        """Bytes of the real model by those of the simulated one."""
        return 1.0 if self.sites.model.bytes is None else self.sites.model.bytes / self.model_bytes

    def of(self, candidate: Candidate) -> NDArray[np.int64]:
        """The sites that are simulated of a candidate."""
        several = candidate.kind == "alone" and self.sites.nodes > MOST_TOGETHER
        return evenly(self.sites.nodes, ALONE) if several else self.everybody

    def task(self, chosen: NDArray[np.int64]) -> Classification:
        """The task of some of the sites."""
        return self.whole if len(chosen) == self.sites.nodes else self.data.task(chosen, self.sites.model)

    def rounds(self, candidate: Candidate) -> int:
        """As many as the time for simulating allows."""
        nodes = len(self.of(candidate))
        each = sum(candidate.method.gradients(nodes)) * len(TUNING_SEEDS) * len(RATES)
        return int(np.clip(GRADIENTS // each, FEWEST // (LOCAL_STEPS if _is_slow(candidate) else 1), MOST))

    def tried(self, candidate: Candidate) -> Outcome:
        """A candidate with all step sizes and few seeds."""
        return self.run(candidate, TUNING_SEEDS, self.rounds(candidate), RATES, evaluations=WHILE_TUNING)

    def run(
        self,
        candidate: Candidate,
        seeds: Sequence[int],
        rounds: int,
        rates: Sequence[float],
        chosen: NDArray[np.int64] | None = None,
        network: Network | None = None,
        evaluations: int = EVALUATIONS,
    ) -> Outcome:
        """A candidate with these seeds, at the best of these step sizes, one after another.

        Args:
            candidate: what is simulated.
            seeds: of the runs.
            rounds: of each.
            rates: step sizes.
            chosen: sites; by default those of the candidate.
            network: by default that of the sites.
            evaluations: about so many.
        """
        chosen = self.of(candidate) if chosen is None else chosen
        network = self.sites.network(chosen, self.scale) if network is None else network
        task, alone, nodes = self.task(chosen), candidate.kind == "alone", len(chosen)
        parts = [list(seeds)[first : first + TOGETHER] for first in range(0, len(seeds), TOGETHER)]

        def at_rate(rate: float) -> Outcome:
            results = [
                _simulated(
                    candidate.method,
                    task,
                    seeds=part,
                    tune=[rate],
                    network=network,
                    rounds=rounds,
                    eval_every=max(1, rounds // evaluations),
                )
                for part in parts
            ]
            return Outcome(
                candidate.name,
                candidate.kind,
                self.sites.nodes if alone else candidate.method.slots(nodes),
                self.sites.nodes if alone else nodes,
                rate,
                pl.concat([one.history for one in results]),
                *load_of(results),
                seconds=float(self.sites.speeds()[chosen].mean()),
                bytes_scale=self.scale,
                rollout=self.rollout(candidate, chosen),
                sites_scale=self.sites.nodes / nodes if alone else 1.0,
            )

        return best_of([at_rate(rate) for rate in rates], self.sites.aim)

    def rollout(self, candidate: Candidate, chosen: NDArray[np.int64]) -> Rollout:
        """What it takes to bring the last models to those of these sites that hold none."""
        copy = self.scale * self.model_bytes
        latency, bandwidth = (self.sites.of_each(name)[chosen] for name in ("latency", "bandwidth"))
        slowest = 2 * float(latency.max()) + copy / float(bandwidth.min())
        served = 0.0 if self.sites.server is None else copy / float(self.sites.server.bandwidth)
        return rollout_of(candidate.kind, len(chosen), candidate.method.slots(len(chosen)), copy, slowest, served)

    def longest(self, candidate: Candidate, tried: Outcome, rounds: int) -> int:
        """How many rounds are worth simulating: until the deadline, and no longer than what was tried."""
        most = self.rounds(candidate)
        if self.sites.aim.hours is not None and tried.rounds:
            a_round = tried.at(tried.rounds[-1])["seconds"] / tried.rounds[-1]
            most = min(most, max(EVALUATIONS, int(1.1 * self.sites.aim.hours * HOUR / a_round))) if a_round else most
        return min(most, rounds)


def _simulated(method: Algorithm, task: Task, **arguments: Any) -> Result:
    """The result of a simulation, also of one in which all runs diverged."""
    try:
        return simulate(method, task, metrics=local_accuracy(), load=True, progress=False, **arguments)
    except DivergenceError as error:
        found: Result = error.result
        return found


def _is_slow(candidate: Candidate) -> bool:
    return getattr(candidate.method, "local_steps", 1) > 1
