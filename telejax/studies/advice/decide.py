"""The decision: what reaches the aim, what nothing else beats, what is recommended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from telejax.studies.advice.outcome import ACCURACIES, Outcome
from telejax.studies.advice.sites import Aim, Prices

OBJECTIVES = {"cost": "cost", "time": "hours", "bytes": "gigabytes", "load": "load"}
"""Of an aim's ``least``, the column."""
LESS_IS_BETTER = ("hours", "gigabytes", "load", "cost")


@dataclass(frozen=True)
class Decision:
    """What follows from outcomes for one aim."""

    table: pl.DataFrame
    """A row a candidate, the best first: ``name``, ``kind``, ``active``, ``learning_rate``, ``rounds`` (until the
    accuracy is safely reached, or all that were simulated), ``accuracy`` and ``worst`` then, with their spread over
    seeds, ``hours``, ``gigabytes``, ``load`` (of the busiest site), ``cost``, ``meets`` the aim, what it ``misses``,
    and whether it is on the ``pareto`` front."""
    recommended: str | None
    """The candidate of the least objective that meets the aim; training alone wherever that does. None where none does.
    """
    nearest: str
    """The one that misses the aim by least."""
    least: str
    """The objective: cost, time, bytes or load."""


def objective(aim: Aim, prices: Prices | None) -> str:
    """What is minimised among what reaches the aim.

    >>> objective(Aim(accuracy=0.9), None), objective(Aim(accuracy=0.9, hours=5.0), None)
    ('time', 'bytes')
    """
    if aim.least is not None:
        return aim.least
    return "cost" if prices is not None else "time" if aim.hours is None else "bytes"


def decide(outcomes: Sequence[Outcome], aim: Aim, prices: Prices | None) -> Decision:
    """Decide among outcomes.

    Args:
        outcomes: of all candidates.
        aim: what is to be reached.
        prices: None where nobody knows them.
    """
    rows = [_row(one, aim, prices) for one in outcomes]
    least = objective(aim, prices)
    column = OBJECTIVES[least]
    for row in rows:
        row["pareto"] = not row["diverged"] and not any(_beats(other, row) for other in rows if other is not row)
    there = sorted((row for row in rows if row["meets"]), key=lambda row: (row[column], row["hours"], row["gigabytes"]))
    alone = [row for row in there if row["kind"] == "alone"]
    first = (alone or there)[:1]
    others = sorted((row for row in rows if not row["meets"]), key=lambda row: (row["short"], -row["accuracy"]))
    ordered = [*first, *(row for row in there if row not in first), *others]
    names = list(dict.fromkeys(name for row in ordered for name in row))
    table = pl.DataFrame([{name: row.get(name) for name in names} for row in ordered], infer_schema_length=None)
    table = table.drop("short").with_columns(pl.col("misses").cast(pl.List(pl.String)))
    return Decision(table, first[0]["name"] if first else None, ordered[0]["name"], least)


def _row(outcome: Outcome, aim: Aim, prices: Prices | None) -> dict[str, Any]:
    """What a candidate takes to reach the accuracies, and what else of the aim it misses then."""
    round = outcome.reached(aim)
    at = outcome.at(outcome.rounds[-1] if round is None else round)
    costs = outcome.costs(at, aim, prices)
    misses = {}
    if round is None:
        wanted = {name: getattr(aim, name) for name in ACCURACIES if getattr(aim, name) is not None}
        misses = {name: max(0.0, 1 - at[f"{name}_low"] / goal) for name, goal in wanted.items() if at[name] < goal}
        misses = misses or {"safely": 0.0}  # on average it is there
    misses |= exceeded(costs, aim)
    return {
        "name": outcome.name,
        "kind": outcome.kind,
        "active": outcome.active,
        "learning_rate": outcome.learning_rate,
        "rounds": at["round"],
        **{f"{name}{end}": at[f"{name}{end}"] for name in ACCURACIES for end in ("", "_std", "_low", "_high")},
        **costs,
        "meets": not misses and not at["diverged"],
        "misses": list(misses),
        "diverged": at["diverged"],
        "short": sum(misses.values()) + (1e9 if at["diverged"] else 0.0),
    }


def exceeded(costs: Mapping[str, float | None], aim: Aim) -> dict[str, float]:
    """Which limits of an aim are exceeded, and by what share of them."""
    limits = {"hours": aim.hours, "cost": aim.cost}
    known = {name: (costs[name], most) for name, most in limits.items()}
    return {
        name: cost / most - 1 if most else 1.0
        for name, (cost, most) in known.items()
        if cost is not None and most is not None and cost > most
    }


def _beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one is at least as good as another in everything and better in something."""
    if one["diverged"]:
        return False
    signs = {**dict.fromkeys(ACCURACIES, -1.0), **dict.fromkeys(LESS_IS_BETTER, 1.0)}
    pairs = [(sign * one[name], sign * other[name]) for name, sign in signs.items() if one[name] is not None]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
