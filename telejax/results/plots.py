"""Pictures: histories with their spread over seeds, and graphs."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.patches
import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from telejax.errors import (
    check_array,
    check_flag,
    check_integer,
    check_kind,
    check_list,
    check_mapping,
    check_name,
    is_kind,
    plain,
    short,
)
from telejax.results.drawing import check_made, check_table, figure_png, names_of, new_axes

__all__ = [
    "draw_topology",
    "figure_png",
    "plot_bands",
    "plot_histories",
    "plot_partition",
    "plot_search",
    "plot_timeline",
    "topology_sheet",
]

LABELS = {
    "round": "rounds",
    "gradients": "stochastic gradients computed",
    "messages": "messages sent",
    "bytes": "bytes sent",
    "loss": "loss of the mean model",
    "loss_slots": "mean loss\nof the slots' own models",
    "accuracy": "test accuracy\nof the mean model",
    "accuracy_slots": "mean test accuracy\nof the slots' own models",
    "accuracy_worst": "test accuracy of the worst slot",
    "consensus": "consensus distance",
    "mean_drift": "drift of the mean in a round",
    "lost": "messages lost",
    "time": "simulated seconds",
    "busy": "share of the time spent computing",
    "waiting": "share of the time spent waiting",
    "grad_norm_sq": "squared gradient norm of the mean model",
}

LABEL = "give a mapping of columns to texts"
HISTORIES = "give a mapping of labels to histories, such as {'SGD': result.history}"

INSIDE, BESIDE = 10, 30
"""Lines whose legend fits inside the picture, and in one column beside it."""
TIMES = ("asked", "started", "computed", "ended")
MOST_BARS = 5000
MOST_COLUMNS, MOST_ROUNDS = 100, 1000
"""Of a sheet of graphs, which nobody can look at with more."""


def _check_topology(argument: str, given: Any) -> None:
    remedy = "give a Topology, such as telejax.topology.ring(8)"
    check_made(argument, given, ("to_networkx", "period", "is_drawn"), remedy)


def plot_histories(
    histories: Mapping[str, pl.DataFrame],
    metric: str,
    x: str = "round",
    axes: matplotlib.axes.Axes | None = None,
    settings: Sequence[str] = ("learning_rate",),
    labels: Mapping[str, str] | None = None,
    log: bool | None = None,
) -> matplotlib.axes.Axes:
    """One line for each history (and setting or group, where it has several): mean over seeds and their range.

    Args:
        histories: label to history table.
        metric: the column on the vertical axis.
        x: the column on the horizontal axis, the same for all seeds.
        axes: where to draw; a new figure by default.
        settings: the columns of the numbers that were tuned.
        labels: of columns, on the axes.
        log: whether the vertical axis is logarithmic; by default where all values are positive and ``metric`` is no
            accuracy.

    Raises:
        ValueError: a column that the histories do not have, or no histories.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> runs = {name: tj.simulate(walk, task, rounds=20, seed=seed).history for seed, name in enumerate("ab")}
    >>> axes = tj.plots.plot_histories(runs, "loss")
    >>> axes.get_ylabel()
    'loss of the mean model'
    """
    if not (histories := check_mapping("histories", histories, HISTORIES)):
        raise ValueError("histories is empty; give at least one")
    settings = [name for name in dict.fromkeys(names_of("settings", settings)) if name != "group"]
    names = {**LABELS, **check_mapping("labels", {} if labels is None else labels, LABEL)}
    log = None if log is None else check_flag("log", log)
    for label, table in histories.items():
        check_kind("label of histories", label, str, HISTORIES)
        check_kind(f"histories[{label!r}]", table, pl.DataFrame, HISTORIES)
        metric, x = check_name("metric", metric, table.columns), check_name("x", x, table.columns)
        tuned = [name for name in settings if name in table.columns]
        check_table(f"histories[{label!r}]", table, ("group", "active"), ("round", metric, x, *tuned))
    axes = new_axes(axes, (7, 4.5))
    positive, work_done = True, False
    for label, table in histories.items():
        columns = [name for name in settings if name in table.columns]
        runs = table.partition_by(*columns, "group", as_dict=True, maintain_order=True)
        for (*values, _), run in runs.items():
            over_seeds = run.group_by("round", maintain_order=True).agg(
                pl.col(x).mean().alias("x"),
                pl.col(metric).mean().alias("mean"),
                pl.col(metric).min().alias("low"),
                pl.col(metric).max().alias("high"),
            )
            told = [
                f"{_named(name)} {value:g}" for name, value in zip(columns, values, strict=True) if value is not None
            ]
            full = label if len(runs) == 1 else ", ".join([label, *told, f"{run['active'][-1]} slots"])
            at, mean, low, high = (over_seeds[name].to_numpy() for name in ("x", "mean", "low", "high"))
            if x not in ("round", "time") and np.any(at > 0):  # a logarithmic axis has no place for the start
                at, mean, low, high = (column[at > 0] for column in (at, mean, low, high))
            (line,) = axes.plot(at, mean, label=full, linewidth=1.8)
            axes.fill_between(at, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            work_done |= bool(np.any((at > 0) & np.isfinite(mean)))
            positive &= bool(np.nanmin(low.astype(float), initial=np.inf) > 0)
    if positive and ("accuracy" not in metric if log is None else log):
        axes.set_yscale("log")
    axes.set_xlabel(names.get(x, x.replace("_", " ")))
    axes.set_ylabel(names.get(metric, metric.replace("_", " ")))
    if x not in ("round", "time") and work_done:
        axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return axes


def _on_log_axis(values: Any, means: Any) -> Any:
    """Lower ends of bands where the axis has no zero: those not above it are the smallest positive number of all."""
    low, mean = np.asarray(values, float), np.asarray(means, float)
    positive = np.concatenate([low, mean])
    positive = positive[positive > 0]
    return np.where(low <= 0, positive.min(initial=np.inf), low) if positive.size else low


def _named(column: str) -> str:
    """What a column is called in a legend."""
    return "step size" if column == "learning_rate" else column.replace("_", " ")


def plot_bands(
    table: pl.DataFrame,
    x: str,
    metric: str,
    lines: Sequence[str],
    axes: matplotlib.axes.Axes | None = None,
) -> matplotlib.axes.Axes:
    """One line with its confidence band for each combination of the columns ``lines``.

    Args:
        table: the columns ``x``, ``mean``, ``low`` and ``high`` next to ``lines``.
        x: the column on the horizontal axis.
        metric: the column that they are of, for the vertical axis.
        lines: the columns that tell one line from another.
        axes: where to draw; a new figure by default.

    >>> import polars as pl, telejax as tj
    >>> table = pl.DataFrame({"k": [1, 2], "mean": [0.3, 0.2], "low": [0.2, 0.1], "high": [0.4, 0.3]})
    >>> tj.plots.plot_bands(table, "k", "loss", []).get_xlabel()
    'k'
    """
    lines = names_of("lines", lines)
    metric = check_kind("metric", metric, str, "give a text")
    if not metric or metric.strip() != metric:
        raise ValueError(f"metric is {metric!r}; give the name of the column that the bands are of")
    check_kind("table", table, pl.DataFrame, "give a polars table")
    x, lines = check_name("x", x, table.columns), [check_name("lines", name, table.columns) for name in lines]
    check_table("table", table, (), ("mean", "low", "high"))
    known = table.filter(pl.col("mean").is_not_null() & pl.col(x).is_not_null())
    parts = known.partition_by(*lines, as_dict=True, maintain_order=True) if lines else {(): known}
    beside = -(-len(parts) // BESIDE) if len(parts) > INSIDE else 0  # columns of a legend beside the picture
    axes = new_axes(axes, (7 + 4 * beside, 6 if beside else 4.5))
    log = bool(known.height) and "accuracy" not in metric and bool((known["mean"] > 0).all())
    for values, part in parts.items():
        label = ", ".join(f"{name} {value}" for name, value in zip(lines, values, strict=True) if value is not None)
        part = part.sort(x).with_columns(pl.col("low", "high").fill_null(pl.col("mean")))
        (line,) = axes.plot(
            part[x], part["mean"], label=label or metric, linewidth=1.8, marker="." if x != "round" else ""
        )
        low = _on_log_axis(part["low"], part["mean"]) if log else part["low"]
        axes.fill_between(part[x], low, part["high"], color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel(LABELS.get(x, x.replace("_", " ")))
    axes.set_ylabel(LABELS.get(metric, metric.replace("_", " ")))
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if beside:
        axes.legend(fontsize="xx-small", loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=beside)
    else:
        axes.legend(fontsize="x-small")
    return axes


def plot_timeline(timeline: pl.DataFrame, axes: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
    """A Gantt chart of slots over nodes: who computed (dark) and waited (light) when; arrows are hand-offs.

    Args:
        timeline: of ``result.timeline()``, of a network with clocks.
        axes: matplotlib axes to draw on.

    Returns:
        The axes.

    Raises:
        ValueError: a table without times, or of more than 5000 rows, which nobody can look at.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, task = tj.random_walk(optimizer=sgd), tj.tasks.quadratic(nodes=9)
    >>> network = tj.Network(machines=tj.network.machines.constant(1.0))
    >>> run = tj.simulate(walk, task, rounds=5, network=network, record=5)
    >>> tj.plots.plot_timeline(run.timeline()).get_xlabel()
    'simulated seconds'
    """
    check_kind("timeline", timeline, pl.DataFrame, "give result.timeline(), of a run with record=")
    check_table("timeline", timeline, (), ("slot", "node", "fetched_from", *TIMES))
    if len(timeline) > MOST_BARS:
        raise ValueError(f"timeline has {len(timeline)} rows; give at most {MOST_BARS}, of fewer rounds or slots")
    worked = timeline.drop_nulls(["slot", "node", *TIMES])
    names = sorted({*worked["node"].to_list(), *timeline["fetched_from"].drop_nulls().to_list()})
    place = {node: row for row, node in enumerate(names)}
    axes = new_axes(axes, (9, 1.5 + 0.22 * min(len(names), 40)))
    colours = plt.get_cmap("tab10")
    for row in worked.iter_rows(named=True):
        at, colour = place[row["node"]], colours(row["slot"] % 10)
        axes.barh(at, row["computed"] - row["started"], left=row["started"], color=colour)
        axes.barh(at, row["ended"] - row["computed"], left=row["computed"], color=colour, alpha=0.25)
        if row["fetched_from"] is not None:
            begins, arrow = (row["asked"], place[row["fetched_from"]]), {"arrowstyle": "->", "color": colour, "lw": 0.8}
            axes.annotate("", (row["started"], at), begins, arrowprops=arrow)
    every = -(-len(names) // 40)
    axes.set_yticks(range(0, len(names), every), [str(node) for node in names[::every]])
    slots = worked["slot"].unique().sort().to_list()
    told = lambda slot: f"slot {slot}" if slots[-1] < 10 else f"slots {slot}, {slot + 10}, ..."
    handles = [matplotlib.patches.Patch(color=colours(slot), label=told(slot)) for slot in slots if slot < 10]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.set(xlabel="simulated seconds", ylabel="node", title="computing (dark), waiting (light), hand-offs (arrows)")
    return axes


def plot_partition(
    table: Any, labels: Any, names: Sequence[str] | None = None, axes: matplotlib.axes.Axes | None = None
) -> matplotlib.axes.Axes:
    """The mix of labels at each node: one bar a node, stacked by class.

    Args:
        table: a partition of ``telejax.data``, or ``task.table``: int, shape (nodes, samples of a node).
        labels: of the training samples, int, shape (samples,).
        names: of the classes; by default their numbers.
        axes: where to draw; a new figure by default.

    >>> import telejax as tj
    >>> labels = tj.data.digits().train.labels
    >>> axes = plot_partition(tj.data.dirichlet(labels, nodes=20, alpha=0.1), labels)
    """
    from telejax.data.partition import label_counts  # telejax.data imports jax, which pictures of graphs do without

    labels = check_array("labels", labels, "give the integer class of each sample")
    classes = int(labels.max()) + 1 if labels.size and labels.dtype.kind in "iu" else 1
    counts = label_counts(
        check_array("table", table, "give integers, as of a partition or task.table"), labels, classes
    )
    named = list(range(classes)) if names is None else check_list("names", names, "give a list of texts, one a class")
    if len(named) != classes:
        raise ValueError(f"names is {short(names)}, and there are {classes} classes; give a text for each")
    if strange := [one for one in named if not is_kind(one, str | int | float | np.generic)]:
        raise ValueError(f"names is {short(names)}, with {short(strange[0])}; give a list of texts, one a class")
    axes = new_axes(axes, (8, 3.5))
    below = np.zeros(len(counts), np.int64)
    colors = plt.get_cmap("tab10" if counts.shape[1] <= 10 else "tab20")
    for one, held in enumerate(counts.T):
        color = colors(one % colors.N)
        axes.bar(np.arange(len(counts)), held, bottom=below, width=0.9, color=color, label=str(named[one]))
        below += held
    axes.set_xlabel("node")
    axes.set_ylabel("samples")
    axes.margins(x=0.01)
    axes.legend(fontsize="x-small", title="class", title_fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def draw_topology(topology: Any, round: int = 0, axes: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
    """Draw the graph of a round on a circle; line width grows with the weight of the edge.

    >>> import telejax as tj
    >>> tj.plots.draw_topology(tj.topology.ring(8)).get_title()
    'ring\\n8 nodes'
    """
    import networkx as nx

    _check_topology("topology", topology)
    axes = new_axes(axes, (4, 4))
    graph, round = topology.to_networkx(round), plain(round)
    widths = [0.5 + 3 * weight for _, _, weight in graph.edges(data="weight")]
    nx.draw_networkx(
        graph,
        pos=nx.circular_layout(graph),
        ax=axes,
        with_labels=topology.nodes <= 32,
        node_size=180 if topology.nodes <= 32 else 20,
        width=widths,
        node_color="#4c72b0",
        edge_color="#888888",
        font_color="white",
        font_size=7,
    )
    which = f", round {round % topology.period} of {topology.period}" if topology.period > 1 else ""
    if topology.is_drawn:
        which = f", round {round}"
    axes.set_title(f"{topology.name}\n{topology.nodes} nodes{which}", fontsize="medium")
    axes.set_axis_off()
    return axes


def topology_sheet(topologies: Sequence[Any], columns: int = 5, rounds: int = 3) -> bytes:
    """A PNG with drawings of many topologies; of time-varying ones, the first ``rounds`` rounds.

    >>> import telejax as tj
    >>> tj.plots.topology_sheet([tj.topology.ring(8), tj.topology.star(8)])[:4]
    b'\\x89PNG'
    """
    topologies = check_list("topologies", topologies, "give a list of Topology, such as [telejax.topology.ring(8)]")
    for place, one in enumerate(topologies):
        _check_topology(f"topologies[{place}]", one)
    columns = check_integer("columns", columns, minimum=1, maximum=MOST_COLUMNS)
    rounds = check_integer("rounds", rounds, minimum=1, maximum=MOST_ROUNDS)
    panels = [(top, t) for top in topologies for t in range(rounds if top.is_drawn else min(rounds, top.period))]
    rows = max(1, -(-len(panels) // columns))
    _, grid = plt.subplots(rows, columns, figsize=(3 * columns, 3.2 * rows), layout="constrained", squeeze=False)
    for axes, (topology, round) in zip(grid.flat, panels, strict=False):
        draw_topology(topology, round, axes)
        axes.title.set_fontsize(8)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure_png(grid[0, 0])


def plot_search(found: Any, axes: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
    """Both final objectives of a search against the number of active nodes, the recommended one marked.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> task = tj.tasks.quadratic(nodes=9)
    >>> found = tj.search(task, "ring", optimizer=sgd, rounds=20, seeds=1, candidates=[1, 2], progress=False)
    >>> tj.plots.plot_search(found).get_xlabel()
    'active nodes k'
    """
    check_made("found", found, ("table", "column", "best"), "give what telejax.search returned")
    axes = new_axes(axes, (6, 4))
    table = found.table.filter(~pl.col("diverged"))
    for name, label in (("slots", "slots' own models"), ("mean", "mean model")):
        error = table[f"{name}_se"].fill_null(0.0)
        style = "-o" if name == found.column else "--o"
        low = _on_log_axis(table[name] - error, table[name])
        axes.errorbar(
            table["active"],
            table[name],
            yerr=[np.maximum(table[name] - low, 0.0), error],
            fmt=style,
            label=label,
            capsize=2,
            markersize=4,
        )
    axes.axvline(found.best, color="black", linestyle=":", label=f"recommended: {found.best}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("active nodes k")
    axes.set_ylabel("final loss")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return axes
