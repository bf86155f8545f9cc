"""The loop on the host: advance, record, tell, save, until all is done."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from telejax.backend.bars import Bar, progress_bar
from telejax.backend.threads import told_to_stop
from telejax.errors import short
from telejax.network import Network
from telejax.network.clocks import LAST
from telejax.simulation.checkpoint import Checkpoints
from telejax.simulation.profile import Profiler
from telejax.simulation.program import Program
from telejax.simulation.recorder import Recorder
from telejax.state import State

SHOW_AFTER_SECONDS = 2.0  # a shorter run shows no progress bar

OnEvaluation = Callable[[pl.DataFrame], object]
"""Called with the rows of each evaluation; a true answer stops the run there."""


@dataclass(frozen=True)
class Stopping:
    """When a run ends before its rounds are over."""

    until: tuple[str, float, bool] | None = None
    """A metric, its target, and whether higher is better."""
    on_evaluation: OnEvaluation | None = None

    def resume(self, recorder: Recorder) -> None:
        """Give an ``on_evaluation`` with a method ``resume`` the rows of the checkpoint that the run goes on from."""
        if callable(resume := getattr(self.on_evaluation, "resume", None)) and recorder.evaluations:
            resume(recorder.rows().drop("setting"))

    def end(self) -> None:
        """Tell an ``on_evaluation`` that has a method ``end`` that the run is over, as :func:`telejax.live` has."""
        if not callable(end := getattr(self.on_evaluation, "end", None)):
            return
        try:
            end()
        except Exception as error:
            told = f"on_evaluation.end failed ({type(error).__name__}: {error}); the result is whole"
            warnings.warn(told, stacklevel=4)

    def after(self, rows: pl.DataFrame, recorder: Recorder) -> bool:
        """Whether the run stops at this evaluation."""
        told = None if self.on_evaluation is None else self.on_evaluation(rows.drop("setting"))
        if not (told is None or isinstance(told, bool | np.bool_)):
            raise ValueError(f"on_evaluation returned {short(told)}; return True to stop, False or nothing to go on")
        return bool(told) or recorder.all_diverged or (self.until is not None and recorder.reached(*self.until))


def check_stalls(network: Network, recorder: Recorder) -> None:
    """Raise a ValueError where too few nodes have been present for longer than a run stands."""
    presence = network.presence
    if presence is not None and recorder.stalled >= presence.limit:
        raise ValueError(
            f"presence had too few nodes there in {recorder.stalled} rounds, one after another, up to round "
            f"{recorder.round}; make fewer nodes active, or more present, or raise its limit of {presence.limit}"
        )


def check_clocks(recorder: Recorder) -> None:
    """Raise a ValueError where a clock is at its end, or what it added up is no number."""
    time = recorder.latest.get("time")
    if time is not None and not (time < LAST).all():
        raise ValueError(
            f"network has a time of {np.max(time):.3g} seconds by round {recorder.round}, and clocks count to 2^31 "
            "seconds, 68 years; give times in seconds and bandwidths in bytes a second, or run fewer rounds"
        )


def rounds_bar(name: str, rounds: int, progress: bool) -> Bar:
    """A bar of so many rounds with the time left, which a short run does not show."""
    return progress_bar(desc=name, total=rounds, unit="round", show=progress, delay=SHOW_AFTER_SECONDS, leave=False)


def run_rounds(
    program: Program,
    recorder: Recorder,
    states: Sequence[State],
    chunks: Sequence[int],
    *,
    stopping: Stopping,
    checkpoints: Checkpoints | None,
    progress: bool,
    profiler: Profiler | None = None,
) -> State:
    """Advance by one chunk of rounds after another; returns the last state.

    Args:
        program: the compiled part.
        recorder: is told every evaluation.
        states: to start from, of each batch of runs, donated.
        chunks: rounds up to each evaluation.
        stopping: ends the run early.
        checkpoints: to go on from, and to save to.
        progress: show a bar with the time left.
        profiler: traces the later chunks.
    """
    name = program.members[0][0].name
    bar = rounds_bar(name, sum(chunks), progress)
    context: AbstractContextManager[Checkpoints | None] = nullcontext() if checkpoints is None else checkpoints
    advance = program.advance if profiler is None else partial(profiler.advance, program)
    with bar, context as saved, profiler or nullcontext():
        ended = False
        if saved is not None:
            kept, ended = saved.resume(partial(program.whole, states), recorder)
            states = states if kept is None else program.take(kept)
            stopping.resume(recorder)
            bar.update(recorder.round - recorder.start)
        usual, ahead = max(chunks), list(chunks)[recorder.evaluations :]
        for place, rounds in enumerate(ahead):
            if ended or recorder.all_diverged:
                break
            if told_to_stop():
                raise KeyboardInterrupt(f"stopped after round {recorder.round}")
            states, evaluation = advance(states, rounds, usual=rounds == usual)
            found = evaluation.measured
            program.check_extremes(found.extremes, recorder.round + rounds, rounds)
            rows = recorder.add(rounds, found, evaluation.means)
            check_stalls(program.members[0][2], recorder)
            check_clocks(recorder)
            ended = stopping.after(rows, recorder)
            bar.update(rounds)
            last = ended or place == len(ahead) - 1
            if profiler is not None:
                profiler.after(last)
            if saved is not None:
                saved.after_evaluation(partial(program.whole, states), recorder, last=last, ended=ended)
    stopping.end()
    return program.whole(states, donate=True)
