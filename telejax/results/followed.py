"""What a run wrote down of single nodes and rounds: the load, and who did what when."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import polars as pl

from telejax.errors import check_flag
from telejax.results.saved import check_has, tuned_columns
from telejax.state import State

if TYPE_CHECKING:
    from telejax.results.animation import Animation

LOADS = ("active", "messages_out", "messages_in", "bytes_out", "bytes_in", "seconds")
"""Of a node: rounds in which it worked, what it sent and received, and how long it computed."""
MOMENTS = ("asked", "started", "computed", "ended")
"""Of a slot in a round: the round before has ended, the holder starts to compute, has computed, has heard all."""


class Followed:
    """What a result answers of single nodes and rounds, where the run was asked to write it down."""

    history: pl.DataFrame
    config: dict[str, Any]
    state: State | None

    def load(self, summary: bool = False) -> pl.DataFrame:
        """What every node has done, of a run with ``simulate(load=True)``; a state that goes on counts on.

        Args:
            summary: for each run the mean and the maximum over nodes of each kind of load, and its Gini coefficient
                (0: all bear the same; 1: one bears all), in place of a row for every node.

        Returns:
            The columns that name a run, ``node``, and its rounds at work (``active``), ``messages_out``,
            ``messages_in``, ``bytes_out``, ``bytes_in`` and, on a network with clocks, ``seconds`` of computing. Of
            more than a million nodes every so-many-th. What goes to a server counts at the node alone.

        Raises:
            ValueError: the load was not counted, or the result was loaded from a folder.
        """
        check_flag("summary", summary)
        world = None if self.state is None else self.state.world
        if world is None or "load" not in world.node:
            raise ValueError("load was not counted; run simulate(..., load=True), and ask before the result is saved")
        check_has("config", self.config, ("message_bytes", "nodes"))
        naming = ["seed", *tuned_columns(self.config)]
        runs = self.history.select(naming).unique(maintain_order=True)
        flat = lambda x: np.asarray(x).reshape(len(runs), -1)
        counted = jax.tree.map(flat, dict(world.node["load"]))
        sizes, nodes, timed = self.config["message_bytes"], self.config["nodes"], "clock" in world.slot
        table = load_table(counted, runs, sizes, nodes, timed)
        return load_summary(table, naming) if summary else table

    def timeline(self) -> pl.DataFrame:
        """Who held each slot in the first rounds, and when, of a run with ``simulate(record=rounds)``: the first one.

        Returns:
            A row for each round and slot: ``round``, ``slot``, ``node`` (null where nobody worked), ``fetched_from``;
            on a network with clocks, in simulated seconds: ``asked`` (the round before had ended), ``started``,
            ``computed``, ``ended``. ``telejax.plots.plot_timeline`` draws it.

        Raises:
            ValueError: nothing was written down, or the result was loaded from a folder.
        """
        world = None if self.state is None else self.state.world
        if world is None or "record" not in world.common:
            raise ValueError("no round was recorded; run simulate(..., record=20), and ask before the result is saved")
        axes = np.ndim(world.common["recorded"])
        of_first = jax.tree.map(lambda x: np.asarray(x)[(0,) * axes], dict(world.common))
        recorded, last = int(of_first["recorded"]), int(self.history.select(pl.col("round").max()).item())
        return timeline_table(of_first["record"], recorded, last - recorded)

    def animate(self) -> "Animation":
        """The recorded rounds as a film, of a run with ``simulate(record=rounds)``: slots move, compute, and gossip.

        Gossip is shown where it follows from the graph: not of methods in which a coin decides who sends.

        Returns:
            What Jupyter shows with buttons, and ``.save("run.gif")`` or ``.save("run.html")`` writes.

        Raises:
            ValueError: nothing was written down, or the result was loaded from a folder.

        >>> import optax, telejax as tj
        >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
        >>> teleportation = tj.teleportation(active=4, topology="ring", optimizer=sgd)
        >>> tj.simulate(teleportation, tj.tasks.quadratic(nodes=20), rounds=5, record=3).animate()
        Animation('TELEPORTATION ring k=4', rounds=3, frames=36)
        """
        from telejax.results.animation import Animation

        timeline = self.timeline()
        sent = self.config.get("gossip") or []
        gossip = dict(zip(timeline["round"].unique(maintain_order=True).to_list(), sent, strict=False))
        return Animation(timeline, gossip, self.config["nodes"], self.config["algorithm"])


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
