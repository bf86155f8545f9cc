"""What pictures share: axes to draw on, checks of what is drawn, and the figure as a file."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.pyplot as plt
import polars as pl

from telejax.errors import check_integer, check_kind, check_list, short

MIN_DPI, MAX_DPI, MAX_PIXELS = 10, 1200, 2**15
"""Pixels of an inch with which a picture can be drawn, and of its longer side."""


def new_axes(given: Any, size: tuple[float, float]) -> matplotlib.axes.Axes:
    """Where to draw: on axes that were given, or on new ones."""
    if given is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    check_kind("axes", given, matplotlib.axes.Axes, "give matplotlib axes, as of plt.subplots(), or leave it out")
    return given


def names_of(argument: str, given: Any) -> list[str]:
    """Names of columns in an order."""
    remedy = "give a list of names of columns"
    return [check_kind(argument, one, str, remedy) for one in check_list(argument, given, remedy)]


def check_table(argument: str, table: pl.DataFrame, columns: Sequence[str], numbers: Sequence[str] = ()) -> None:
    """Raise a ValueError unless a table has these columns, and those of numbers are."""
    for name in (*columns, *numbers):
        if (kind := table.schema.get(name)) is None:
            raise ValueError(f"{argument} has no column {name!r}; give a table that has")
        if name in numbers and not (kind.is_numeric() or kind == pl.Boolean):
            raise ValueError(f"column {name!r} of {argument} is of {kind}; give one of numbers")


def check_made(argument: str, given: Any, members: Sequence[str], remedy: str) -> None:
    """Raise a ValueError unless the class of this has these members: of rooms above, which pictures do not import."""
    if not all(hasattr(type(given), name) for name in members):
        raise ValueError(f"{argument} is {short(given)}; {remedy}")


def figure_png(axes: matplotlib.axes.Axes, dpi: int = 100) -> bytes:
    """The figure of the axes as PNG; it is closed, so that notebooks do not show it twice.

    Raises:
        ValueError: axes on no figure, or ``dpi`` for which a picture would have too few or too many pixels.

    >>> import telejax as tj
    >>> tj.plots.figure_png(tj.topology.ring(8).draw())[:4]
    b'\\x89PNG'
    """
    remedy = "give matplotlib axes, as of plt.subplots()"
    figure = check_kind("axes", axes, matplotlib.axes.Axes, remedy).get_figure(root=True)
    if figure is None:
        raise ValueError(f"axes is {short(axes)}, which is on no figure; {remedy}")
    pixels = MAX_PIXELS / max(1.0, *figure.get_size_inches())  # of an inch, so that the longer side has no more
    dpi = check_integer("dpi", dpi, minimum=MIN_DPI, maximum=max(MIN_DPI, min(MAX_DPI, int(pixels))))
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format="png", dpi=dpi)
    finally:
        plt.close(figure)
    return buffer.getvalue()
