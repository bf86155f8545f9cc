"""Several numbers of active nodes with the same gradients each: a smaller one runs more rounds."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from telejax.algorithms.joint import JointTeleportation
from telejax.errors import DivergenceError, check_integer
from telejax.results.result import Result
from telejax.simulation.arguments import check_count, check_eval_every, check_every
from telejax.studies.search.kept import KeptPhases
from telejax.studies.search.phases import Phases, Simulate
from telejax.tasks.base import Task


@dataclass(frozen=True)
class EqualGradients:
    """For :func:`telejax.simulate`: candidates side by side, each of which leaves when its gradients are spent."""

    joint: JointTeleportation

    def run(
        self,
        simulate: Simulate,
        task: Task,
        *,
        gradients: int = 0,
        eval_every: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | None = None,
        **arguments: Any,
    ) -> Result:
        """Run every candidate for ``gradients // k`` rounds.

        Raises:
            ValueError: fewer gradients than a round of the largest candidate takes.
            DivergenceError: every run of the candidates that were left diverged.
        """
        sizes = self.joint.active
        remedy = f"give at least {max(sizes)}, the gradients of one round of {self.joint.name}"
        gradients = check_integer("gradients", gradients, minimum=max(sizes), remedy=remedy)
        horizons = [check_count(gradients // k) for k in sizes]
        arguments["eval_every"] = check_eval_every(eval_every, max(horizons))
        every, kept = check_every(every, checkpoint), None
        if checkpoint is not None:
            identity = {"joint": self.joint, "task": task, "gradients": gradients, **arguments, "progress": None}
            kept = KeptPhases(Path(checkpoint), every, identity)
        phases = Phases(simulate, task, kept=kept, **arguments)
        algorithm, groups, slots = self.joint, list(range(len(sizes))), None
        while True:
            phases.run(algorithm, groups, min(horizons[group] for group in groups) - phases.round, slots)
            left = [place for place, group in enumerate(groups) if horizons[group] > phases.round]
            if not left or phases.diverged:
                break
            algorithm, slots = algorithm.keep(left)
            groups = [groups[place] for place in left]
        params = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *(phases.params[one] for one in range(len(sizes))))
        config = {**phases.config, "algorithm": self.joint.name, "rounds": max(horizons)}
        result = Result(phases.history, config, params)
        if phases.diverged:
            raise DivergenceError(f"{self.joint.name} diverged by round {phases.round}; try smaller step sizes", result)
        return result
