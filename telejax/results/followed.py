"""What a run wrote down of single nodes and rounds: the load, and who did what when."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

LOADS = ("active", "messages_out", "messages_in", "bytes_out", "bytes_in", "seconds")
"""Of a node: rounds in which it worked, what it sent and received, and how long it computed."""
MOMENTS = ("asked", "started", "computed", "ended")
"""Of a slot in a round: the round before has ended, the holder starts to compute, has computed, has heard all."""


def load_table(
    counted: Mapping[str, Any], runs: pl.DataFrame, sizes: Mapping[str, int], nodes: int, timed: bool
) -> pl.DataFrame:
    """One row a run and followed node.

    Args:
        counted: what the network counted, arrays (runs, followed nodes).
        runs: the columns that name a run, one row each.
        sizes: bytes of a message of gossip, ``copy``, and of a hand-off, ``handoff``.
        nodes: of the task.
        timed: whether the network had clocks.
    """
    whole, rest = (np.asarray(part, np.float64) for part in counted["seconds"])
    count = {name: np.asarray(counts, np.int64) for name, counts in counted.items() if name != "seconds"}
    followed = whole.shape[1]
    node = np.arange(followed) * -(-nodes // followed)
    frames = []
    for run, naming in enumerate(runs.iter_rows(named=True)):
        of = {name: counts[run] for name, counts in count.items()}
        columns = {
            "active": of["active"],
            "messages_out": of["sent"] + of["handed"],
            "messages_in": of["received"] + of["fetched"],
            "bytes_out": of["sent"] * sizes["copy"] + of["handed"] * sizes["handoff"],
            "bytes_in": of["received"] * sizes["copy"] + of["fetched"] * sizes["handoff"],
        }
        if timed:
            columns["seconds"] = whole[run] + rest[run]
        frames.append(pl.DataFrame({"node": node, **columns}).select(*_named(naming, runs), pl.all()))
    return pl.concat(frames)


def load_summary(table: pl.DataFrame, naming: Sequence[str]) -> pl.DataFrame:
    """For each run and kind of load its mean and maximum over nodes, and how unevenly it is shared."""
    kinds = [name for name in LOADS if name in table.columns]
    frames = []
    for run in table.partition_by(naming, maintain_order=True):
        values = [run[name].to_numpy() for name in kinds]
        frames.append(
            pl.DataFrame(
                {
                    "load": kinds,
                    "mean": [float(np.mean(one)) for one in values],
                    "max": [float(np.max(one)) for one in values],
                    "gini": [gini(one) for one in values],
                }
            ).select(*_named(run.row(0, named=True), run.select(naming)), pl.all())
        )
    return pl.concat(frames)


def gini(values: np.ndarray) -> float:
    """How unevenly a load is shared: 0 where all bear the same, nearly 1 where one bears all.

    >>> gini(np.array([1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 1.0]))
    (0.0, 0.75)
    """
    ordered, count = np.sort(np.asarray(values, np.float64)), len(values)
    if not ordered.sum():
        return 0.0
    return float(2 * np.sum(np.arange(1, count + 1) * ordered) / (count * ordered.sum()) - (count + 1) / count)


def timeline_table(record: Mapping[str, Any], recorded: int, first: int) -> pl.DataFrame:
    """One row a round and slot of one run.

    Args:
        record: what the network wrote down, arrays (rounds, slots).
        recorded: how many rounds were run.
        first: the round in which the record begins.
    """
    rounds = min(recorded, len(record["holder"]))
    holder = np.asarray(record["holder"])[:rounds]
    round, slot = np.indices(holder.shape)
    known = lambda nodes: pl.Series(np.asarray(nodes)[:rounds].ravel()).replace(-1, None)
    columns: dict[str, Any] = {
        "round": first + round.ravel(),
        "slot": slot.ravel(),
        "node": known(holder),
        "fetched_from": known(record["source"]),
    }
    if "base" in record:
        base = np.asarray(record["base"], np.float64)[:rounds]
        columns |= {name: (base + np.asarray(record[name])[:rounds]).ravel() for name in MOMENTS}
    return pl.DataFrame(columns)


def _named(naming: Mapping[str, Any], runs: pl.DataFrame) -> list[pl.Expr]:
    """The columns that name a run, as they are in the history."""
    return [
        pl.lit(value, dtype=runs.schema[name]).alias(name) for name, value in naming.items() if name in runs.columns
    ]
