"""What Jupyter shows of an object: a title, a picture, a table."""

import base64
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from telejax.results.result import Result

STYLE = "display: flex; flex-wrap: wrap; gap: 1.5em; align-items: flex-start"
WIDTH = 480  # pixels of a picture
LINES = 8  # of a picture, at most
JUDGED = ("accuracy_slots", "loss_slots", "loss")
"""The first of these columns that there is is drawn."""


def card(title: str, *parts: str) -> str:
    """A title above what is shown side by side where there is room; empty parts are left out.

    >>> card("ring & star", "", "<p>8 nodes</p>")
    '<div><b>ring &amp; star</b><div style="...">\\n<p>8 nodes</p>\\n</div></div>'
    """
    return "\n".join([f'<div><b>{html.escape(title)}</b><div style="{STYLE}">', *filter(None, parts), "</div></div>"])


def picture(draw: Callable[[], Any], told: str) -> str:
    """A picture of the axes that ``draw`` returns (or of their PNG), ``told`` to whoever cannot see it.

    Empty where it cannot be drawn: the numbers beside it are shown all the same.
    """
    from telejax.results.plots import figure_png

    try:
        drawn = draw()
        content = drawn if isinstance(drawn, bytes) else figure_png(drawn)
    except (ValueError, OSError, MemoryError):
        return ""
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" alt="{html.escape(told)}" style="width: {WIDTH}px; max-width: 100%">'


def table(frame: pl.DataFrame) -> str:
    """A table of polars, floats in a few digits and without its shape and types above it."""
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, float_precision=None):
        return frame.with_columns(pl.col(pl.Float64, pl.Float32).round_sig_figs(4))._repr_html_()


def of_histories(result: "Result") -> str:
    """The picture of a result: what its models are judged by; of the best setting alone where there are many."""
    metric = next(name for name in JUDGED if name in result.history.columns)
    shown = result if len(result.settings) <= LINES else result.tuned()
    return picture(lambda: shown.plot(metric), f"{metric} against rounds")


def facts(pairs: dict[str, Any]) -> str:
    """A table of names and values; those that are None are left out."""
    cell = lambda value: f"<td>{html.escape(f'{value:,.4g}' if isinstance(value, float) else str(value))}</td>"
    rows = [f"<tr>{cell(name)}{cell(value)}</tr>" for name, value in pairs.items() if value is not None]
    return "<table>" + "".join(rows) + "</table>" if rows else ""
