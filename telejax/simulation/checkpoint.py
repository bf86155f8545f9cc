"""Checkpoints of a running simulation: a run that was killed goes on where it was and ends with the same bits.

A checkpoint holds the state of the slots, the history so far and a fingerprint of what is run. It is written
aside and renamed when complete (orbax), so that the last good one survives a kill or a full disk.
"""

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np

from telejax.simulation.fingerprint import Plain, difference
from telejax.simulation.recorder import Recorder
from telejax.state import State

KEPT = 2  # checkpoints in the folder: the one before the last serves where the last cannot be read

Handler = Callable[[int, FrameType | None], object] | int | None
"""Of a signal: a function, one of ``signal.Handlers``, or None where Python did not set it."""


class Checkpoints:
    """A context around a simulation's loop that saves now and then, and on SIGINT.

    Within the context the first SIGINT (Ctrl-C) lets the rounds up to the next evaluation finish, writes a
    checkpoint and raises KeyboardInterrupt; a second one interrupts at once.

    Args:
        folder: where the checkpoints are, made if it does not exist.
        every: rounds between two checkpoints, which are written at evaluations; None writes at each.
        identity: the fingerprint of what is run.

    Raises:
        ValueError: the folder is a file, or holds checkpoints of something else; the error says what differs.
        OSError: the folder cannot be written, such as below a file.
    """

    def __init__(self, folder: Path, every: int | None, identity: Mapping[str, Plain]) -> None:
        self.folder, self.every, self.identity = folder.absolute(), every or 1, dict(identity)
        if self.folder.is_file():
            raise ValueError(f"checkpoint is {str(folder)!r}, which is a file; give a folder")
        if any(parent.is_file() for parent in self.folder.parents):
            raise OSError(f"checkpoint is {str(folder)!r}, which cannot be written below a file; give another folder")
        self._interrupted = False
        self._saved_round = 0
        self._handler: Handler = None

    def __enter__(self) -> "Checkpoints":
        import orbax.checkpoint as ocp  # takes a second, which runs without checkpoints should not

        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells every step of every write
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise OSError(f"checkpoint is {str(self.folder)!r}, which cannot be written: {error}") from error
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self._manager.close()

    def resume(self, state: State, recorder: Recorder) -> tuple[State, bool]:
        """Fill ``recorder`` from the last checkpoint.

        Returns:
            The state there, ``state`` itself where there is no checkpoint, and whether the run ended there.
        """
        import orbax.checkpoint as ocp

        step = self._manager.latest_step()
        if step is None:
            return state, False
        leaves, structure = jax.tree.flatten(state)
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, leaves)
        before = self._read(step, identity=ocp.args.JsonRestore())["identity"]
        if differs := difference(before, self.identity):
            raise ValueError(
                f"checkpoint is {str(self.folder)!r}, which holds another run: {differs}; "
                "give the same arguments, or another folder"
            )
        found = self._read(step, state=ocp.args.StandardRestore(target), record=ocp.args.PyTreeRestore())
        record = jax.tree.map(np.asarray, found["record"])
        models = jax.tree.unflatten(jax.tree.structure(state.params), record["params"])
        recorder.restore({"log": record["log"], "params": models})
        self._saved_round = recorder.round
        return jax.tree.unflatten(structure, found["state"]), bool(record["ended"])

    def after_evaluation(self, state: State, recorder: Recorder, *, last: bool, ended: bool) -> None:
        """Save if it is time to, at the ``last`` evaluation, or after SIGINT, which is then raised."""
        if last or self._interrupted or recorder.round >= self._saved_round + self.every:
            self._save(state, recorder, ended)
        if self._interrupted:
            raise KeyboardInterrupt(f"interrupted; round {recorder.round} is in the checkpoint {self.folder}")

    def _read(self, step: int, **items: Any) -> Mapping[str, Any]:
        import orbax.checkpoint as ocp

        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # of many kinds, from JSON, orbax and tensorstore
            raise ValueError(
                f"checkpoint is {str(self.folder)!r}, whose step {step} cannot be read: {error}; "
                f"remove its folder {step} to go on from the one before"
            ) from error

    def _save(self, state: State, recorder: Recorder, ended: bool) -> None:
        import orbax.checkpoint as ocp

        snapshot = recorder.snapshot()
        record = {
            "log": snapshot["log"],
            "params": jax.tree.leaves(snapshot["params"]),
            "ended": np.array(ended),
        }
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(jax.tree.leaves(state)),
            record=ocp.args.PyTreeSave(record),
            identity=ocp.args.JsonSave(self.identity),
        )
        try:
            self._manager.save(recorder.round, args=arguments, force=True)
        except Exception as error:  # a full disk is an OSError, or one of several kinds that tensorstore raises
            kept = "nothing was saved before" if not self._saved_round else f"round {self._saved_round} is kept"
            raise OSError(
                f"checkpoint is {str(self.folder)!r}, which cannot be written: {error}; {kept}, "
                "make room and run again to go on from there"
            ) from error
        self._saved_round = recorder.round

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
