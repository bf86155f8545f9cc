"""Checkpoints of a running simulation: a run that was killed goes on where it was and ends with the same bits.

A checkpoint holds the state of the slots, the history so far and a fingerprint of what is run. It is written
aside and renamed when complete (orbax), so that the last good one survives a kill or a full disk.
"""

import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import jax
import numpy as np

from telejax.simulation.fingerprint import Plain
from telejax.simulation.recorder import Recorder
from telejax.simulation.saved_steps import SavedSteps
from telejax.state import State

Handler = Callable[[int, FrameType | None], object] | int | None
"""Of a signal: a function, one of ``signal.Handlers``, or None where Python did not set it."""


class Checkpoints(SavedSteps):
    """A context around a simulation's loop that saves now and then, and on SIGINT.

    Within the context the first SIGINT (Ctrl-C) lets the rounds up to the next evaluation finish, writes a
    checkpoint and raises KeyboardInterrupt; a second one interrupts at once.

    Args:
        folder: where the checkpoints are, made if it does not exist.
        every: rounds between two checkpoints, which are written at evaluations; None writes at each.
        identity: the fingerprint of what is run, computed anew whenever it is called.
    """

    def __init__(self, folder: Path, every: int | None, identity: Callable[[], Mapping[str, Plain]]) -> None:
        super().__init__(folder, identity(), identity)
        self.every = every or 1
        self._interrupted = False
        self._handler: Handler = None

    def __enter__(self) -> Self:
        super().__enter__()
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        super().__exit__(kind, error, trace)

    def resume(self, first: Callable[[], State], recorder: Recorder) -> tuple[State | None, bool]:
        """Fill ``recorder`` from the last checkpoint.

        Args:
            first: gives the state that the run starts from.
            recorder: a new one.

        Returns:
            The state there, None where there is no checkpoint, and whether the run ended there.

        Raises:
            ValueError: it holds another run, or cannot be read; or the state has an array without elements.
        """
        import orbax.checkpoint as ocp

        state = first()
        if empty := [jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(state) if leaf.size == 0]:
            raise ValueError(
                f"checkpoint is {str(self.folder)!r}, and the state has an array without elements at {empty[0]}, which "
                "no checkpoint holds; leave it out of task.init, or run without checkpoint"
            )
        step = self.newest()
        if step is None:
            return None, False
        leaves, structure = jax.tree.flatten(state)
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, leaves)
        found = self.read(step, state=ocp.args.StandardRestore(target), record=ocp.args.PyTreeRestore())
        record = jax.tree.map(np.asarray, found["record"])
        models = jax.tree.unflatten(jax.tree.structure(state.params), record["params"])
        recorder.restore({"log": record["log"], "params": models})
        return jax.tree.unflatten(structure, found["state"]), bool(record["ended"])

    def after_evaluation(self, state: Callable[[], State], recorder: Recorder, *, last: bool, ended: bool) -> None:
        """Save ``state()`` if it is time to, at the ``last`` evaluation, or after SIGINT, which is then raised."""
        before = max(self.last, recorder.start)  # where a run starts it is given again
        if last or self._interrupted or recorder.round >= before + self.every:
            self._save(state(), recorder, ended)
        if self._interrupted:
            raise KeyboardInterrupt(f"interrupted; round {recorder.round} is in the checkpoint {self.folder}")

    def _save(self, state: State, recorder: Recorder, ended: bool) -> None:
        import orbax.checkpoint as ocp

        snapshot = recorder.snapshot()
        record = {
            "log": snapshot["log"],
            "params": jax.tree.leaves(snapshot["params"]),
            "ended": np.array(ended),
        }
        self.write(
            recorder.round,
            state=ocp.args.StandardSave(jax.tree.leaves(state)),
            record=ocp.args.PyTreeSave(record),
        )

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
