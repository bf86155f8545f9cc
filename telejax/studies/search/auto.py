"""TELEPORTATION that finds its number of active nodes while it runs: search, drop losers, go on from the winner.

A host loop over simulations of candidates side by side (:mod:`telejax.algorithms.joint`), each of which goes on from
the state of the one before; :mod:`telejax.studies.search.schedule` decides who runs next. This goes past the paper,
whose Algorithm 2 runs all candidates to the end, and at most two passes of them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from telejax.backend.bars import Bar
from telejax.backend.precision import check_precision
from telejax.backend.sharding import slot_mesh
from telejax.errors import DivergenceError, check_flag, check_integer, check_name, check_number
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.results.result import Result
from telejax.simulation import arguments as checks
from telejax.simulation.loop import rounds_bar
from telejax.simulation.tuning import Setting, Tune, settings
from telejax.state import Metric
from telejax.studies.search.candidates import OBJECTIVES, distinct, to_run
from telejax.studies.search.kept import KeptPhases
from telejax.studies.search.phases import Phases, Simulate, followed
from telejax.studies.search.schedule import WINDOWS, Rule, Schedule
from telejax.studies.search.sequential import sequential
from telejax.tasks.base import Task
from telejax.topology import TopologyLike, check_topology


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
        chosen, _ = to_run(self.candidates, task, self.optimizer, self.topology)
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
        tune: Tune | None = None,
        network: Network | None = None,
        metrics: Sequence[Metric] = (),
        eval_every: int | None = None,
        progress: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | None = None,
        mesh: Mesh | None = None,
        devices: str | None = None,
        precision: str | None = None,
        **other: Any,
    ) -> Result:
        """Search while training, with each seed and setting by itself; called by :func:`telejax.simulate`.

        With ``mesh`` or ``devices`` whole runs go on the devices, one on each at a time.

        Raises:
            ValueError: a budget of gradients, or an argument that a run in phases does not take.
            DivergenceError: every run diverged.
        """
        self._refuse(other)
        rounds = checks.check_count(check_integer("rounds", rounds, minimum=1))
        eval_every = checks.check_eval_every(eval_every, rounds)
        chosen = checks.check_seeds(seed, seeds)
        every = checks.check_every(every, checkpoint)
        checks.check_kinds(None, checkpoint, mesh, devices, progress)
        plan = self.bind(task)
        first = Schedule(plan, task.nodes, 1).phase.algorithm.bind(task)
        world = checks.check_network(IDEAL if network is None else network, first, task)
        tried, values = settings(tune, first, world)
        jobs = len(chosen) * len(tried)
        given = {"metrics": checks.check_metrics(metrics, task), "eval_every": eval_every, "progress": False}
        if check_precision(precision) is not None:
            given["precision"] = precision
        bar = rounds_bar(self.name, jobs * rounds, progress)

        def one(job: tuple[int, Setting]) -> Result:
            seed, setting = job
            chosen = replace(plan, optimizer=setting.algorithm.optimizer)
            kept = None
            if checkpoint is not None:
                place = next(index for index, one in enumerate(tried) if one is setting)
                own = f"seed-{seed}" if len(tried) == 1 else f"seed-{seed}-{place}"
                identity = {"plan": chosen, "task": task, "network": setting.network, "rounds": rounds, **given}
                kept = KeptPhases(Path(checkpoint) / own, every, identity)
            phases = Phases(simulate, task, kept=kept, seed=seed, network=setting.network, **given)
            return chosen._one_run(phases, rounds, bar)

        with bar:
            places = self._devices(slot_mesh(mesh, devices), jobs)
            if jobs == 1 and tune is None and places is None:
                return one((chosen[0], tried[0]))
            merged = sequential(self.name, chosen, tried, one, places)
            return replace(merged, config={**merged.config, "tune": values})

    def _refuse(self, other: Mapping[str, Any]) -> None:
        """Raise a ValueError for what a run in phases does not take."""
        if "gradients" in other:
            raise ValueError(
                f"gradients is {other['gradients']}; give rounds: what {self.name} costs is known at its end"
            )
        if other:
            name = min(other)
            raise ValueError(
                f"{name} is {str(other[name])!r}, and {self.name} runs in phases between which its "
                f"slots change; leave {name} out, or run an algorithm whose slots stay to the end"
            )

    def _devices(self, mesh: Mesh | None, jobs: int) -> list[jax.Device] | None:
        """Those on which whole runs go."""
        if mesh is None:
            return None
        if mesh.size > jobs:
            raise ValueError(
                f"mesh has {mesh.size} devices for {jobs} runs of {self.name}, which go on one device each; give at "
                f"most {jobs} devices, or more seeds"
            )
        return list(mesh.devices.flat)

    def _one_run(self, phases: Phases, rounds: int, bar: Bar) -> Result:
        schedule = Schedule(self, phases.task.nodes, max(1, rounds // WINDOWS))
        while True:
            ahead = min(schedule.window, rounds - phases.round)
            phase = schedule.phase
            phases.run(phase.algorithm, phase.groups, ahead, phase.slots)
            bar.update(ahead)
            schedule.phase = phase._replace(slots=None)
            if phases.diverged or phases.round >= rounds:
                break
            schedule.decide(phases.history, phases.round)
        ancestry = schedule.phase.groups[:1] if phases.diverged else schedule.ancestry(phases.history, phases.round)
        history = followed(phases.history, ancestry)
        config = {**phases.config, "algorithm": self.name, "rounds": rounds}
        result = Result(history, config, phases.params[ancestry[-1]], phases.state)
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
    candidates: Sequence[int] | np.ndarray | None = None,
    objective: str = "slots",
    tolerance: float = 0.05,
    state_travels: bool = True,
) -> Auto:
    """TELEPORTATION that finds its number of active nodes while it trains, and goes on from the winner's models.

    Args:
        topology: the graph over the slots of each candidate: a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        candidates: numbers of active nodes; by default 1, 2, 4, ... up to n or, with a warning, to what fits the
            memory.
        objective: "slots", the mean over slots of the loss of their own models, or "mean", that of the mean model.
        tolerance: relative; the smallest candidate within it of the best is taken.
        state_travels: as for :func:`telejax.teleportation`.

    Returns:
        What :func:`telejax.simulate` takes in place of an algorithm, with ``rounds``, seeds, ``tune``, a network,
        metrics, and checkpoints, of which each seed and setting keeps its own. Seeds and settings run one after
        another or, with ``devices="cpu:2"``, one on each device.

    Raises:
        ValueError: an unknown objective, a negative tolerance, candidates empty or repeated; once the task is known,
            candidates above its nodes, or a topology that cannot be built for one of them.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    >>> run = tj.simulate(tj.auto(optimizer=sgd), tj.tasks.quadratic(nodes=20, noise=1.0), rounds=64)
    >>> run.history["round"][-1]
    64
    """
    objective = check_name("objective", objective, OBJECTIVES)
    tolerance = check_number("tolerance", tolerance)
    check_topology("topology", topology)
    chosen = None if candidates is None else tuple(distinct(candidates))
    state_travels = check_flag("state_travels", state_travels)
    return Auto(as_optimizer(optimizer), topology, state_travels, chosen, objective, tolerance)
