"""The tables of a report, as texts: what was run, what every line ended with, what it cost."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from telejax.results.report.numbers import Row
from telejax.results.report.subject import FIRST, Subject, networks
from telejax.results.report.words import DASH, Words

MOST_METRICS = 5
"""Measured columns of the table of results; the charts have all."""


def facts(subject: Subject, words: Words) -> list[tuple[str, str]]:
    """What was run, as names and values."""
    config, runs = subject.config, subject.runs
    nodes = config.get("nodes", runs["nodes"].unique().sort().to_list() if "nodes" in runs.columns else None)
    given = nodes if isinstance(nodes, list) else [nodes]
    told = {
        "fact_kind": words(f"kind_{subject.kind}"),
        "fact_task": subject.title,
        "fact_nodes": words.join([words.value("nodes", one) for one in given if one is not None]),
        "fact_rounds": words.value("round", runs.select(pl.col("round").max()).item()),
        "fact_every": _every(subject, words),
        "fact_seeds": words.value("round", runs["seed"].drop_nulls().n_unique()),
        "fact_tuned": "; ".join(_tried(subject, name, words) for name in subject.settings if _several(subject, name)),
        "fact_target": "" if subject.target is None else _goal(subject, words),
        "fact_lines": words.value("round", len(subject.lines)) if len(subject.lines) > 1 else "",
        "fact_network": _network(subject, words),
    }
    return [(words(key), value) for key, value in told.items() if value]


def _several(subject: Subject, name: str) -> bool:
    return subject.runs[name].drop_nulls().n_unique() > 1


def _tried(subject: Subject, name: str, words: Words) -> str:
    values = subject.runs[name].drop_nulls().unique().sort().to_list()
    return words("tried", name=words.column(name), values=", ".join(f"{one:g}" for one in values))


def _every(subject: Subject, words: Words) -> str:
    rounds = subject.runs["round"].drop_nulls().unique().sort()
    if len(rounds) < 2:
        return ""
    every = rounds[1] - rounds[0]
    return words("every_round") if every == 1 else words("every", rounds=words.value("round", every))


def _goal(subject: Subject, words: Words) -> str:
    metric, value = subject.target or ("", 0.0)
    return words("goal", metric=words.column(metric), value=words.value(metric, value))


def _network(subject: Subject, words: Words) -> str:
    """The parts of a network by their kinds, and its own numbers; of a sweep, the files."""
    network = subject.config.get("network")
    if subject.kind == "sweep":
        return ", ".join(Path(one).name for one in networks(subject.config))
    if not isinstance(network, dict):
        return words("network_ideal") if network is None else str(network)
    shown = {
        name: one for name, one in network.items() if "." not in name and name != "type" and one not in (None, False)
    }
    typed = [name.removesuffix(".type") for name in network if name.endswith(".type") and name.count(".") == 1]
    parts = [name if (kind := network[f"{name}.type"]).lower() == name else f"{name}: {kind}" for name in typed]
    return ", ".join([*(f"{name} {one}" for name, one in shown.items()), *parts])


def result_table(subject: Subject, rows: Sequence[Row], words: Words) -> dict[str, Any]:
    """Header and rows of what every line ended with: mean and standard deviation over seeds."""
    metrics = ([name for name in subject.metrics if name in FIRST] or subject.metrics)[:MOST_METRICS]
    several = [name for name in subject.settings if any(row[name] is not None for row in rows)]
    naming = [name for name in subject.naming if name != "line"]
    if subject.kind == "result" and len(rows) > 1:
        several = []  # a line is named by them
    header = [words(f"line_{subject.kind}"), *(words.column(name) for name in (*naming, *several, *metrics))]
    target = subject.target is not None
    if target:
        header.append(words("rounds_to_target"))
    body = []
    for row in rows:
        cells = [words.value(name, row[name]) for name in naming]
        cells += [DASH if row[name] is None else f"{row[name]:g}" for name in several]
        cells += [words.spread(name, row[name], row[f"{name}_std"]) for name in metrics]
        if target:
            cells.append(_rounds(row, words))
        body.append({"name": _named(row, words), "cells": cells, "best": _is_best(subject, row)})
    return {"header": header, "rows": body, "bar": None}


def _is_best(subject: Subject, row: Row) -> bool:
    """Whether a search recommends this one."""
    return subject.kind == "search" and row["active"] == subject.config.get("best")


def _named(row: Row, words: Words) -> str:
    return words("name_diverged", name=row["line"]) if row["diverged"] else str(row["line"])


def _rounds(row: Row, words: Words) -> str:
    if not row["reached"]:
        return words("never")
    rounds = words.value("round", row["round_to_target"])
    if row["reached"] == row["runs"]:
        return rounds
    return words("rounds_of", rounds=rounds, reached=row["reached"], runs=row["runs"])


def cost_table(subject: Subject, rows: Sequence[Row], words: Words) -> dict[str, Any]:
    """Header and rows of what every line cost; of bytes, its share of the most, for a bar."""
    costs = [name for name in ("gradients", "messages", "bytes", "time") if name in subject.along]
    naming = [name for name in subject.naming if name != "line"]
    to_target = [
        name for name in ("gradients", "bytes", "time") if name in subject.along and subject.target is not None
    ]
    header = [words(f"line_{subject.kind}"), *(words.column(name) for name in (*naming, *costs))]
    header += [words("until_target", column=words.column(name)) for name in to_target]
    most = max((row["bytes"] or 0.0 for row in rows), default=0.0) if "bytes" in costs else 0.0
    body = []
    for row in rows:
        cells = [words.value(name, row[name]) for name in (*naming, *costs)]
        cells += [words.value(name, row[f"{name}_to_target"]) for name in to_target]
        share = (row.get("bytes") or 0.0) / most if most else 0.0
        body.append({"name": _named(row, words), "cells": cells, "best": False, "share": f"{100 * share:.1f}"})
    bar = 1 + len(naming) + costs.index("bytes") if "bytes" in costs else None
    return {"header": header, "rows": body, "bar": bar}


def config_text(config: dict[str, Any]) -> str:
    """The configuration as it was saved, without what telejax knows of itself."""
    return json.dumps(_without_directions(config), indent=2, ensure_ascii=False, default=str)


def _without_directions(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_directions(one) for name, one in value.items() if name != "higher_is_better"}
