"""What finished phases leave on disk, so that a run in phases goes on after the last of them with the same bits."""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
from jax.sharding import SingleDeviceSharding

from telejax.simulation.fingerprint import fingerprint
from telejax.simulation.saved_steps import SavedSteps, remove_steps
from telejax.state import State


@dataclass(frozen=True)
class Finished:
    """All that is known after a phase."""

    round: int
    history: pl.DataFrame
    params: dict[int, Any]
    """Mean models of each group."""
    state: State
    config: dict[str, Any]
    """Of the result of the phase."""
    diverged: bool


class KeptPhases:
    """A folder: ``phases`` holds what is known after the last phase, ``running`` the checkpoint inside the next one.

    Args:
        folder: of one run.
        every: rounds between two checkpoints inside a phase; None writes at each evaluation.
        run: what is run, all that its bits depend on.
    """

    def __init__(self, folder: Path, every: int | None, run: Mapping[str, Any]) -> None:
        self.folder, self.every, self.identity = folder.absolute(), every, fingerprint(run)

    def inside(self, round: int) -> dict[str, Any]:
        """The arguments of ``simulate`` for a phase that starts at this round."""
        return {"checkpoint": self.folder / "running" / str(round), "every": self.every}

    def save(self, finished: Finished) -> None:
        """Write what is known now; the checkpoint inside the phase is not needed any more."""
        import orbax.checkpoint as ocp

        table = io.BytesIO()
        finished.history.write_parquet(table)
        known = {
            "history": np.frombuffer(table.getvalue(), np.uint8),
            "params": {str(group): jax.tree.leaves(params) for group, params in finished.params.items()},
        }
        about = {
            "config": finished.config,
            "diverged": finished.diverged,
            "axes": list(finished.state.holders.shape[:-1]),
        }
        with SavedSteps(self.folder / "phases", self.identity) as steps:
            steps.newest()
            steps.write(
                finished.round,
                state=ocp.args.StandardSave(jax.tree.leaves(finished.state)),
                known=ocp.args.PyTreeSave(known),
                about=ocp.args.JsonSave(about),
            )
        self._end_inside()

    def load(self) -> "Loaded | None":
        """What was known after the last phase that finished; None before the first."""
        import orbax.checkpoint as ocp

        with SavedSteps(self.folder / "phases", self.identity) as steps:
            step = steps.newest()
            if step is None:
                return None
            found = steps.read(step, known=ocp.args.PyTreeRestore(), about=ocp.args.JsonRestore())
        self._end_inside(keep=step)
        known = jax.tree.map(np.asarray, found["known"])
        return Loaded(
            self, step, pl.read_parquet(io.BytesIO(known["history"].tobytes())), known["params"], found["about"]
        )

    def _end_inside(self, keep: int | None = None) -> None:
        """Remove the checkpoints inside phases that have ended."""
        running = self.folder / "running"
        for phase in running.glob("*"):
            if phase.name.isdigit() and phase.name != str(keep):
                remove_steps(phase)
        with suppress(OSError):  # not empty
            running.rmdir()


@dataclass(frozen=True)
class Loaded:
    """As :class:`Finished`, before the structure of the state is known."""

    kept: KeptPhases
    round: int
    history: pl.DataFrame
    leaves: dict[str, Any]
    about: dict[str, Any]

    def finished(self, shape: State) -> Finished:
        """With the state.

        Args:
            shape: shapes and dtypes of the state of one run.
        """
        import orbax.checkpoint as ocp

        axes = tuple(self.about["axes"])
        device = SingleDeviceSharding(jax.devices()[0])
        like = lambda x, axes: jax.ShapeDtypeStruct((*axes, *x.shape), x.dtype, sharding=device)
        batched = jax.tree.map(lambda x: like(x, axes), shape).replace(round=like(shape.round, ()))
        leaves, structure = jax.tree.flatten(batched)
        with SavedSteps(self.kept.folder / "phases", self.kept.identity) as steps:
            found = steps.read(self.round, state=ocp.args.StandardRestore(leaves))
        models = jax.tree.structure(shape.params)
        params = {int(group): jax.tree.unflatten(models, leaves) for group, leaves in self.leaves.items()}
        state = jax.tree.unflatten(structure, found["state"])
        return Finished(self.round, self.history, params, state, self.about["config"], self.about["diverged"])
