"""Where the time of a run goes: a trace of jax's profiler, and a table of the parts of a round."""

import os
import re
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import jax
import polars as pl

from telejax.backend.scopes import PARTS, PREFIX
from telejax.errors import check_path
from telejax.simulation.compiled import Evaluation
from telejax.simulation.program import Program
from telejax.state import State

TABLE = "parts.csv"
SKIPPED = 2
"""Evaluations before the trace: by then the program of the usual number of rounds has been compiled and run."""
LONG_ENOUGH = 0.2
"""Seconds after which no more is traced: a trace of many small operations takes long to read."""

KERNELS_APART: dict[str, dict[str, str | bool]] = {"gpu": {"xla_gpu_enable_command_buffer": ""}}
"""Options of the compiler with which a trace tells one operation from another: kernels are launched one by one."""

Span = tuple[Hashable, float, float, str]
"""What ran an operation (a thread, a stream), its start and end in nanoseconds, and its name."""


def check_profile(profile: object, rounds: int, eval_every: int) -> "Profiler | None":
    """What traces into a folder, or None; a ValueError where the folder is not new or empty, or nothing is traced."""
    if profile is None:
        return None
    folder = Path(check_path("profile", profile))
    if why := _not_new(folder):
        raise ValueError(f"profile is {str(folder)!r}, which {why}; give a new folder")
    if rounds < SKIPPED * eval_every:
        raise ValueError(
            f"profile is {str(folder)!r}, and the run has {rounds} rounds, {eval_every} an evaluation; what follows "
            f"the second evaluation is traced, give at least {SKIPPED * eval_every} rounds or a smaller eval_every"
        )
    return Profiler(folder)


def _not_new(folder: Path) -> str:
    """Why a folder is not one to write a trace into; empty where it is."""
    try:
        if folder.is_symlink() and not folder.exists():
            return "is a symbolic link to nothing"
        if folder.exists():
            return "exists" if not folder.is_dir() or any(folder.iterdir()) else ""
        above = next(parent for parent in folder.absolute().parents if os.path.lexists(parent))
        if not above.is_dir():
            return f"is below {str(above)!r}, no folder"
        Path(tempfile.mkdtemp(prefix=".telejax-", dir=above)).rmdir()
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return ""


class Profiler:
    """A trace of some of the later rounds of a run; a context, at whose end nothing is traced any more.

    Args:
        folder: of the trace and its table.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table: pl.DataFrame | None = None
        self._evaluations = 0
        self._begun: float | None = None
        self._rounds = 0
        self._program: jax.stages.Compiled | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun is not None:
            self._begun = None
            jax.profiler.stop_trace()

    def advance(
        self, program: Program, states: Sequence[State], rounds: int, usual: bool = False
    ) -> tuple[list[State], Evaluation]:
        """As ``program.advance``, and traced where it is time for that."""
        if self._evaluations == SKIPPED and usual:
            self._program = program.lowered(states, rounds, usual).compile(
                compiler_options=KERNELS_APART.get(jax.default_backend())
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            jax.profiler.start_trace(os.fspath(self.folder))
            self._begun = time.perf_counter()
        self._evaluations += 1
        if self._begun is None or self._program is None or not usual:
            return program.advance(states, rounds, usual)
        self._rounds += rounds
        return program.run(self._program, states, rounds)

    def after(self, last: bool) -> None:
        """Stop where this was the last evaluation or the trace is long enough, and write the table."""
        if self._begun is None or not (last or time.perf_counter() - self._begun > LONG_ENOUGH):
            return
        assert self._program is not None
        seconds = time.perf_counter() - self._begun
        self.__exit__()
        self.table = parts(spans(self.folder), scopes(self._program.as_text() or ""), seconds, self._rounds)
        self.table.write_csv(self.folder / TABLE)


def scopes(program: str) -> dict[str, str | None]:
    """The part that each operation of a compiled program belongs to; None for those that nobody has named.

    What XLA fuses into one operation goes where the last of it belongs.

    >>> scopes('%sine.1 = f32[] sine(%x), metadata={op_name="jit(f)/telejax.gradient/sin"}')
    {'sine_1': 'gradient'}
    """
    found: dict[str, str | None] = {}
    for match in re.finditer(r"^\s*(?:ROOT )?%([\w.-]+) = .*$", program, re.MULTILINE):
        named = re.findall(rf"{re.escape(PREFIX)}({'|'.join(PARTS)})", match[0])
        found[_plain(match[1])] = named[-1] if named else None
    return found


def parts(spans: Iterable[Span], known: Mapping[str, str | None], seconds: float, rounds: int) -> pl.DataFrame:
    """A row for each part of a round: microseconds a round, and the share of all.

    Args:
        spans: what the device did.
        known: the part of each operation. What has none belongs where that does inside of which it ran.
        seconds: that passed.
        rounds: in them.

    Returns:
        A table with the columns part, us_per_round and share. Operations that run side by side share the time that the
        device was busy in proportion to their own; what is left of the seconds is the host's: launching, waiting,
        recording.
    """
    taken: dict[str, float] = defaultdict(float)
    busy, reached = 0.0, 0.0
    around: dict[Hashable, list[tuple[float, str]]] = defaultdict(list)
    for row, start, end, name in sorted(spans, key=lambda span: (span[1], -span[2])):
        if _plain(name) not in known:
            continue
        outer = around[row]
        while outer and outer[-1][0] <= start:
            outer.pop()
        part = known[_plain(name)] or (outer[-1][1] if outer else "other")
        taken[part] += end - start
        if outer:  # counts there no more
            taken[outer[-1][1]] -= end - start
        outer.append((end, part))
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    busy = min(busy / 1e9, seconds)
    whole = sum(taken.values()) or 1.0
    times = {part: busy * taken[part] / whole for part in (*PARTS, "other")} | {"host": seconds - busy}
    table = pl.DataFrame({"part": list(times), "us_per_round": [1e6 * time / rounds for time in times.values()]})
    return table.with_columns(share=pl.col("us_per_round") / pl.col("us_per_round").sum())


def spans(folder: Path) -> list[Span]:
    """What a trace tells of the device's operations."""
    from jax.profiler import ProfileData

    found: list[Span] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of jaxlib's own types, which end a process as errors
        for file in folder.rglob("*.xplane.pb"):
            for plane in ProfileData.from_file(os.fspath(file)).planes:
                for row, line in enumerate(plane.lines):
                    for event in line.events:
                        stats: dict[str, Any] = dict(event.stats)
                        if "hlo_op" in stats or plane.name.startswith("/device:"):
                            name = str(stats.get("hlo_op", event.name))
                            end = event.start_ns + event.duration_ns
                            found.append(((plane.name, row), event.start_ns, end, name))
    return found


def _plain(name: str) -> str:
    """A name as kernels have it, without dots and hyphens."""
    return re.sub(r"[.-]", "_", name)
