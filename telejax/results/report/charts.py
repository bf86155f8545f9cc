"""The charts of a report: one altair specification for all, and the rows, columns and defaults of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from telejax.results.report.numbers import Row, aggregate, along_runs, last_of_runs
from telejax.results.report.subject import Subject
from telejax.results.report.words import Words, kind_of

DASHES = ([1, 0], [7, 4], [2, 3], [9, 3, 2, 3], [12, 5])
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
PATHS = {
    "circle": "M4 0A4 4 0 1 1 -4 0A4 4 0 1 1 4 0Z",
    "square": "M-3.6 -3.6H3.6V3.6H-3.6Z",
    "triangle-up": "M0 -4.4L4.6 3.8H-4.6Z",
    "diamond": "M0 -5L4 0L0 5L-4 0Z",
    "triangle-down": "M0 4.4L4.6 -3.8H-4.6Z",
    "cross": "M-1.6 -4.4H1.6V-1.6H4.4V1.6H1.6V4.4H-1.6V1.6H-4.4V-1.6H-1.6Z",
}
COLOURS = 8
"""Custom properties ``--line-0`` ... of the page, which differ between light and dark."""
FIRST_SHOWN = 8
"""Lines that are drawn at first; a reader adds others."""
COSTS = ("bytes", "gradients", "messages", "time")


@dataclass(frozen=True)
class Panel:
    """One chart with its controls."""

    id: str
    title: str
    note: str
    xs: Sequence[str]
    """Columns for the horizontal axis, the first at the start."""
    ys: Sequence[str]
    rows: list[dict[str, Any]]
    """``line`` (its place), ``n`` (number of nodes or null) and the columns, each [mean, lowest, highest]."""
    whiskers: bool = False
    sizes: Sequence[int] = field(default=())
    """Numbers of nodes to choose from."""
    ticks: bool = False
    """Whether the horizontal axis has a tick at every value and nowhere else."""

    @property
    def several(self) -> bool:
        """Whether it has lines to choose from."""
        return len({row["line"] for row in self.rows}) > 1

    def options(self, names: Sequence[str], words: Words) -> list[dict[str, Any]]:
        """The columns of a control as its script needs them."""
        return [
            {"key": name, "label": words.column(name), "kind": kind_of(name), "log": _is_logarithmic(name)}
            for name in names
        ]

    def data(self, words: Words) -> dict[str, Any]:
        """What the script of the page reads."""
        return {
            "id": self.id,
            "title": self.title,
            "xs": self.options(self.xs, words),
            "ys": self.options(self.ys, words),
            "rows": self.rows,
            "whiskers": self.whiskers,
            "ticks": self.ticks,
        }


def _is_logarithmic(name: str) -> bool:
    """Whether an axis is logarithmic at first, where its numbers are positive."""
    return kind_of(name) != "percent" and name not in ("round", "time")


def style(place: int) -> dict[str, Any]:
    """Colour, dash and marker of a line, a combination that the next forty lines do not have."""
    shape = SHAPES[place % len(SHAPES)]
    return {
        "colour": f"var(--line-{place % COLOURS})",
        "dash": DASHES[place % len(DASHES)],
        "shape": shape,
        "path": PATHS[shape],
    }


def panels(subject: Subject, rows: Sequence[Row], lines: Sequence[str], words: Words) -> list[Panel]:
    """The charts of a subject, the one that answers first."""
    made = _grown(subject, words, lines) if subject.axes and subject.kind != "result" else []
    if subject.along and subject.metrics:
        made.append(_along(subject, words, lines))
    if len(lines) > 1 and not (subject.kind == "comparison" and subject.axes):
        made.append(_costs(subject, words, lines))
    if (sensitive := _sensitivity(subject, words, lines)) is not None:
        made.append(sensitive)
    return [panel for panel in made if panel.rows and panel.xs]


def _grown(subject: Subject, words: Words, lines: Sequence[str]) -> list[Panel]:
    """Last values and costs against numbers of nodes, of active ones, or those of a sweep."""
    last = last_of_runs(subject)
    axes = [name for name in subject.axes if last[name].dtype.is_numeric() and last[name].n_unique() > 1]
    if not axes:
        return []
    columns = [*subject.metrics, *subject.along]
    if subject.kind == "comparison":
        table, places = aggregate(last, ["line", *axes], columns), {name: at for at, name in enumerate(lines)}
        rows = _rows(table.with_columns(_as_stats(name) for name in axes), places)
    else:  # one line: of what differs apart from the axis, the best
        rows = []
        for axis in axes:
            table = aggregate(last, ["line", axis], columns).filter(pl.col(subject.metric).list.first().is_not_null())
            order = pl.col(subject.metric).list.first()
            best = table.sort(order, descending=subject.higher(subject.metric)).group_by(axis).first().sort(axis)
            rows += _rows(best.with_columns(_as_stats(axis), pl.lit("").alias("line")), {"": 0})
    kind = "growth" if subject.kind == "comparison" else subject.kind
    ids = {"quality": subject.metric, "worst": subject.worst, "cost": "bytes"}
    made = []
    for name, first in ids.items():
        if first is not None and first in columns:
            ys = [first, *(one for one in columns if one != first and one != "round")]
            title, note = words(f"chart_{kind}_{name}"), words(f"chart_{kind}_note")
            made.append(Panel(f"chart-{kind}-{name}", title, note, axes, ys, rows, True, ticks=subject.kind != "sweep"))
    return made


def _along(subject: Subject, words: Words, lines: Sequence[str]) -> Panel:
    """Everything along a run."""
    table = along_runs(subject, lines)
    if "round" in table.columns:
        table = table.with_columns(_as_stats("round"))
    sizes = sorted(subject.runs["nodes"].unique().to_list()) if "nodes" in subject.naming else []
    rows = _rows(table, {name: at for at, name in enumerate(lines)}, size="nodes" if sizes else None)
    return Panel(
        "chart-along",
        words("chart_along"),
        words("chart_along_note"),
        subject.along,
        subject.metrics,
        rows,
        sizes=sizes,
    )


def _costs(subject: Subject, words: Words, lines: Sequence[str]) -> Panel:
    """What every line ended with against what it cost: one point each."""
    last = last_of_runs(subject)
    differ = lambda name: float(last[name].max() or 0) > 1.01 * float(last[name].min() or 0)
    xs = [name for name in COSTS if name in subject.along and differ(name)]
    table = aggregate(last, ["line"], [*subject.metrics, *xs])
    rows = _rows(table, {name: at for at, name in enumerate(lines)})
    return Panel(
        "chart-costs", words("chart_costs"), words("chart_costs_note"), xs, subject.metrics, rows, whiskers=True
    )


def _sensitivity(subject: Subject, words: Words, lines: Sequence[str]) -> Panel | None:
    """Last values against each number that was tuned, where several values of it were tried."""
    names = [name for name in subject.settings if subject.runs[name].drop_nulls().n_unique() > 1]
    if not names or subject.kind == "sweep":
        return None
    everything = subject.kind in ("comparison", "search")
    last = last_of_runs(subject, chosen=False).filter(~pl.col("diverged"))
    sizes = sorted(subject.runs["nodes"].unique().to_list()) if "nodes" in subject.naming else []
    rows: list[dict[str, Any]] = []
    if not everything:  # a line of its own: those of the result are its settings
        last = last.with_columns(pl.lit("").alias("line"))
    places = {name: at for at, name in enumerate(lines)} if everything else {"": 0}
    for name in names:
        keys = ["line", name, *(["nodes"] if sizes else [])]
        order = pl.col(subject.metric).list.first()
        table = aggregate(last, [*keys, *(one for one in names if one != name)], subject.metrics).drop_nulls(name)
        table = table.sort(order, descending=subject.higher(subject.metric), nulls_last=True)
        table = table.group_by(keys, maintain_order=True).first().sort(keys)
        table = table.drop([one for one in names if one != name]).with_columns(_as_stats(name))
        rows += _rows(table, places, size="nodes" if sizes else None)
    title, note = words("chart_sensitivity"), words("chart_sensitivity_note")
    return Panel("chart-sensitivity", title, note, names, subject.metrics, rows, True, sizes, ticks=len(names) == 1)


def _as_stats(name: str) -> pl.Expr:
    """A column of single numbers as mean, lowest and highest."""
    value = pl.col(name).cast(pl.Float64)
    return pl.concat_list(value, value, value).alias(name)


def _rows(table: pl.DataFrame, places: dict[str, int], size: str | None = None) -> list[dict[str, Any]]:
    """Rows for the script, with short numbers."""
    rows = []
    for row in table.to_dicts():
        if row["line"] not in places:
            continue
        columns = {name: _short(value) for name, value in row.items() if isinstance(value, list)}
        rows.append({"line": places[row["line"]], "n": row[size] if size else None, **columns})
    return rows


def _short(stats: list[float | None]) -> list[float] | float | None:
    """Six digits of a mean, lowest and highest value; one number where they are the same; null where there is none."""
    if stats[0] is None:
        return None
    shown = [float(f"{one:.6g}") for one in stats if one is not None]
    shown = [int(one) if abs(one) < 1e15 and one == int(one) else one for one in shown]
    return shown[0] if len({*shown}) == 1 else shown


def specification(count: int, whiskers: bool) -> dict[str, Any]:
    """The altair chart of ``x``, ``y``, ``low`` and ``high`` by ``line``: mean line, markers, and seed range.

    The script of the page fills in the rows, the titles and the scales. Colours are custom properties of the page, so
    that light, dark and print need no other chart.
    """
    import altair as alt

    styles = [style(place) for place in range(count)]
    domain = list(range(count))
    of = lambda key: alt.Scale(domain=domain, range=[one[key] for one in styles])
    colour = alt.Color("line:N", scale=of("colour"), legend=None)
    base = alt.Chart(alt.Data(values=[])).encode(x=alt.X("x:Q"), color=colour)
    value = alt.Y("y:Q")
    if whiskers:
        band: alt.Chart = base.mark_rule(strokeWidth=1.5, aria=False).encode(y=alt.Y("low:Q"), y2="high:Q")
    else:
        band = base.mark_area(opacity=0.16, aria=False).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(strokeWidth=2.2, aria=False).encode(
        y=value, strokeDash=alt.StrokeDash("line:N", scale=of("dash"), legend=None)
    )
    nearest = alt.selection_point(
        name="nearest", nearest=True, on="pointerover", clear="pointerout", encodings=["x", "y"], empty=False
    )
    tooltip = [alt.Tooltip(f"{name}:N", title=name) for name in ("name", "tx", "ty", "trange")]
    points = (
        base.mark_point(filled=True, opacity=1, aria=False)
        .encode(
            y=value,
            shape=alt.Shape("line:N", scale=of("shape"), legend=None),
            size=alt.condition(nearest, alt.value(160), alt.value(60 if whiskers else 42)),
            tooltip=tooltip,
        )
        .add_params(nearest)
    )
    chart = alt.layer(band, line, points).properties(width="container", height=340)
    return chart.to_dict(validate=False)
