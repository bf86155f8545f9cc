"""A picture that is drawn anew while a run goes on: in Jupyter in its cell, elsewhere as a file."""

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import polars as pl

from telejax.errors import check_name, check_number, check_path, is_kind, short
from telejax.results import cards
from telejax.results.files import atomic_write, check_new_file

BESIDE = ("round", "seed", "group", "active", "diverged")
"""Columns of every history that name a run, or say nothing of its models."""


def live(
    metric: str | None = None,
    *,
    x: str = "round",
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    seconds: float = 1.0,
) -> "Live":
    """A figure that ``simulate(on_evaluation=...)`` draws anew while the run goes on.

    In Jupyter it is shown below the cell; elsewhere, or where ``path`` is given, it is written into that file, for
    viewers that load a picture again when it changes. The last evaluation is always drawn. A picture that cannot be
    drawn or written is a warning: the run goes on.

    Args:
        metric: the column on the vertical axis; by default what models are judged by: ``accuracy_slots`` where there
            is one, else ``loss_slots``.
        x: the column on the horizontal axis, such as "gradients" or "bytes".
        path: a PNG file, replaced at every drawing.
        overwrite: replace a file that was there before.
        seconds: least seconds from one drawing to the next.

    Raises:
        ValueError: no Jupyter and no path, a name that does not end with .png; at the first evaluation, a column that
            the history does not have.
        FileExistsError: the file exists and ``overwrite`` is False.

    >>> import optax, tempfile, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> watch = tj.live("loss", path=f"{tempfile.mkdtemp()}/loss.png")
    >>> result = tj.simulate(walk, task, rounds=100, on_evaluation=watch)
    >>> watch.path.exists(), watch.history.height == result.history.height
    (True, True)
    """
    if metric is not None:
        check_path("metric", metric, "give the name of a column, such as 'loss'")
    check_path("x", x, "give the name of a column, such as 'round'")
    file = None if path is None else check_new_file(path, overwrite, "live.png", (".png",))
    least = check_number("seconds", seconds, remedy="give seconds, 0 or more")
    if file is None and not _in_jupyter():
        raise ValueError("path is None, and this is no notebook; give path='live.png', or run it in Jupyter")
    return Live(metric, x, file, least)


class Live:
    """See :func:`live`: called with the rows of each evaluation."""

    def __init__(self, metric: str | None, x: str, path: Path | None, seconds: float) -> None:
        self.metric, self.x, self.path, self.seconds = metric, x, path, seconds
        self._rows: list[pl.DataFrame] = []
        self._drawn = -float("inf")
        self._shown: Any = None

    @property
    def history(self) -> pl.DataFrame:
        """The rows so far; none before the first evaluation."""
        return pl.concat(self._rows) if self._rows else pl.DataFrame()

    def __call__(self, rows: pl.DataFrame) -> None:
        """Add the rows of an evaluation, and draw unless it was drawn just now."""
        if not is_kind(rows, pl.DataFrame):
            raise ValueError(f"rows is {short(rows)}; give live to simulate(on_evaluation=...)")
        self._add(rows)
        if time.monotonic() - self._drawn >= self.seconds:
            self._draw()

    def _add(self, rows: pl.DataFrame) -> None:
        if self._rows and (rows.columns != self._rows[0].columns or rows["round"][0] <= self._rows[-1]["round"][-1]):
            self._rows = []  # of another run
        if not self._rows:
            self.metric = self.metric or next(name for name in cards.JUDGED if name in rows.columns)
            known = [name for name in rows.columns if name not in BESIDE]
            check_name("metric", self.metric, known)
            check_name("x", self.x, ["round", *known])
        self._rows.append(rows)

    def resume(self, rows: pl.DataFrame) -> None:
        """Begin with the rows that a checkpoint kept."""
        self._rows = []
        for (_,), part in rows.group_by("round", maintain_order=True):
            self._add(part)

    def end(self) -> None:
        """Draw the last evaluation; ``simulate`` calls it when a run is over."""
        if self._rows:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        try:
            self._show_or_write()
        except Exception as error:  # the run counts, and not its picture
            where = "" if self.path is None else f" of {str(self.path)!r}"
            warnings.warn(
                f"live: the picture{where} failed ({type(error).__name__}: {error}); the run goes on", stacklevel=3
            )

    def _show_or_write(self) -> None:
        from telejax.results.plots import figure_png, plot_histories

        history = self.history
        columns = history.columns
        settings = columns[columns.index("seed") + 1 : columns.index("group")]
        told = f"round {history['round'][-1]:,}"
        assert self.metric is not None
        content = figure_png(plot_histories({told: history}, self.metric, self.x, settings=settings))
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self.path, lambda aside: aside.write_bytes(content))
        else:
            self._show(content)

    def _show(self, content: bytes) -> None:
        from IPython.display import Image, display

        if self._shown is None:
            self._shown = display(Image(content), display_id=True)
        else:
            self._shown.update(Image(content))


def _in_jupyter() -> bool:
    """Whether pictures can be shown: IPython runs with a kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
