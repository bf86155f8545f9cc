"""TELEPORTATION that finds its number of active nodes while it runs: search, drop losers, go on from the winner.

A host loop over simulations of candidates side by side (:mod:`telejax.algorithms.joint`), each of which goes on from
the state of the one before; :mod:`telejax.studies.search.schedule` decides who runs next. This goes past the paper,
whose Algorithm 2 runs all candidates to the end, and at most two passes of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from telejax.errors import DivergenceError, check_integer, check_name, check_number
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.results.result import Result
from telejax.simulation.arguments import check_eval_every, check_seeds
from telejax.simulation.loop import SHOW_AFTER_SECONDS
from telejax.studies.search.candidates import OBJECTIVES, buildable, check_candidates
from telejax.studies.search.phases import Phases, Simulate, followed
from telejax.studies.search.schedule import WINDOWS, Rule, Schedule
from telejax.studies.search.sequential import sequential
from telejax.tasks.base import Task
from telejax.topology import TopologyLike


@dataclass(frozen=True)
class Auto(Rule):
    """See :func:`auto`."""

    @property
    def name(self) -> str:
        """A short label for tables and plots."""
        graph = self.topology if isinstance(self.topology, str) else "graph"
        return f"TELEPORTATION {graph} k=auto"

    def bind(self, task: Task) -> "Auto":
        """Fix the candidates for the task's number of nodes."""
        chosen, _ = buildable(check_candidates(self.candidates, task.nodes), self.topology, skip=False)
        return replace(self, candidates=tuple(chosen))

    def with_learning_rate(self, learning_rate: float) -> "Auto":
        """The same with another step size."""
        return replace(self, optimizer=self.optimizer.with_learning_rate(learning_rate))

    def run(
        self,
        simulate: Simulate,
        task: Task,
        *,
        rounds: int | None = None,
        seed: int = 0,
        seeds: int | Sequence[int] | np.ndarray | None = None,
        tune: Sequence[float] | None = None,
        eval_every: int | None = None,
        progress: bool = True,
        **arguments: Any,
    ) -> Result:
        """Search while training, with each seed and step size by itself; called by :func:`telejax.simulate`.

        Raises:
            ValueError: a budget of gradients, or an argument that a run in phases does not take.
            DivergenceError: every run diverged.
        """
        if "gradients" in arguments:
            raise ValueError(
                f"gradients is {arguments['gradients']}; give rounds: what {self.name} costs is known at its end"
            )
        if other := set(arguments) - {"network", "metrics"}:
            raise ValueError(
                f"{min(other)} is {str(arguments[min(other)])!r}, and {self.name} runs in phases between which its "
                f"slots change; leave {min(other)} out, or run an algorithm whose slots stay to the end"
            )
        rounds = check_integer("rounds", rounds, minimum=1)
        eval_every = check_eval_every(eval_every, rounds)
        chosen = check_seeds(seed, seeds)
        if tune is not None:
            tune = [check_number("tune", rate, exclusive=True) for rate in tune]
            self.with_learning_rate(tune[0])
        plan = self.bind(task)

        def one(plan: Auto, seed: int) -> Result:
            phases = Phases(simulate, task, seed=seed, eval_every=eval_every, progress=False, **arguments)
            return plan._one_run(phases, rounds, progress)

        if len(chosen) == 1 and tune is None:
            return one(plan, chosen[0])
        return sequential(plan, chosen, tune, one)

    def _one_run(self, phases: Phases, rounds: int, progress: bool) -> Result:
        schedule = Schedule(self, phases.task.nodes, max(1, rounds // WINDOWS))
        bar = tqdm(
            desc=self.name, total=rounds, unit="round", disable=not progress, delay=SHOW_AFTER_SECONDS, leave=False
        )
        with bar:
            while True:
                ahead = min(schedule.window, rounds - phases.round)
                phase = schedule.phase
                phases.run(phase.algorithm, phase.groups, ahead, phase.slots)
                bar.update(ahead)
                schedule.phase = phase._replace(slots=None)
                if phases.diverged or phases.round >= rounds:
                    break
                schedule.decide(phases.history, phases.round)
        last = phases.result
        assert last is not None
        ancestry = schedule.phase.groups[:1] if phases.diverged else schedule.ancestry(phases.history, phases.round)
        history = followed(phases.history, ancestry)
        config = {**last.config, "algorithm": self.name, "rounds": rounds}
        result = Result(history, config, phases.params[ancestry[-1]], last.state)
        if phases.diverged:
            rate = self.optimizer.learning_rate
            told = "as in its optimizer" if rate is None else f"{rate:g}"
            raise DivergenceError(
                f"{self.name} diverged by round {phases.round} with step size {told}; try a smaller one; "
                "the history so far is in the result of this error",
                result,
            )
        return result


def auto(
    *,
    topology: TopologyLike = "ring",
    optimizer: Optimizer | FixedOptimizer,
    candidates: Sequence[int] | None = None,
    objective: str = "slots",
    tolerance: float = 0.05,
    state_travels: bool = True,
) -> Auto:
    """TELEPORTATION that finds its number of active nodes while it trains, and goes on from the winner's models.

    Args:
        topology: the graph over the slots of each candidate: a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        candidates: numbers of active nodes; by default 1, 2, 4, ... up to n.
        objective: "slots", the mean over slots of the loss of their own models, or "mean", that of the mean model.
        tolerance: relative; the smallest candidate within it of the best is taken.
        state_travels: as for :func:`telejax.teleportation`.

    Returns:
        What :func:`telejax.simulate` takes in place of an algorithm, with ``rounds``, seeds and ``tune``.

    Raises:
        ValueError: an unknown objective, a negative tolerance, candidates empty or repeated; once the task is known,
            candidates above its nodes, or a topology that cannot be built for one of them.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    >>> run = tj.simulate(tj.auto(optimizer=sgd), tj.tasks.quadratic(nodes=20, noise=1.0), rounds=64)
    >>> run.history["round"][-1]
    64
    """
    check_name("objective", objective, OBJECTIVES)
    tolerance = check_number("tolerance", tolerance)
    chosen = None if candidates is None else tuple(check_integer("candidates", k, minimum=1) for k in candidates)
    return Auto(as_optimizer(optimizer), topology, bool(state_travels), chosen, objective, tolerance)
