"""Progress: a bar on a terminal or in a notebook, a line now and then in a file."""

import sys
from typing import Any

from tqdm import asyncio
from tqdm.auto import tqdm
from tqdm.std import tqdm as Bar

SECONDS_A_LINE = 10.0
IN_NOTEBOOK = tqdm is not asyncio.tqdm
"""Whether tqdm has chosen a bar of a notebook, which needs no terminal."""


class Lines(Bar):
    """Lines in place of a bar, which moves by codes that only a terminal reads."""

    disable: bool

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write how far it is, on a line of its own."""
        print(str(self) if msg is None else msg, file=self.fp, flush=True)

    def clear(self, nolock: bool = False) -> None:
        """Nothing: a line stays."""

    def close(self) -> None:
        """End without a last word."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)


def progress_bar(*, total: int, desc: str, unit: str, show: bool = True, delay: float = 0.0, **options: Any) -> Bar:
    """A bar with the time left, or lines where standard error is no terminal.

    Args:
        total: how many units.
        desc: what it is of.
        unit: what is counted.
        show: False for neither.
        delay: seconds before it is shown; lines wait for at least ``SECONDS_A_LINE``.
        options: others of tqdm's, for a bar.
    """
    if IN_NOTEBOOK or not show or _is_terminal():
        return tqdm(total=total, desc=desc, unit=unit, disable=not show, delay=delay, **options)
    return Lines(
        total=total,
        initial=options.get("initial", 0),
        desc=desc,
        unit=unit,
        disable=sys.stderr is None,
        delay=max(delay, SECONDS_A_LINE),
        mininterval=SECONDS_A_LINE,
        miniters=1,  # else it is guessed, and lines come late
        bar_format="{desc}: {n_fmt} of {total_fmt} {unit}s in {elapsed}, {remaining} left",
    )


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False
