"""Who is there: nodes that come and go, in O(1) a node unless an exact chain of all nodes is asked for.

Only present nodes are made active. A holder of its own slot that is away keeps its model, and its edges are dropped:
their weights go back to the owners. A round in which fewer nodes are present than must be active, or nobody who holds a
slot, is one in which nothing happens: it takes ``wait`` seconds and is counted in the column ``stalled``, and a run
that does nothing else for ``limit`` rounds ends.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

from telejax.backend.host import check_host_memory
from telejax.errors import NON_NEGATIVE, POSITIVE, SECONDS, SHARE, Bound, check_integer, check_numbers, is_kind
from telejax.network import draws
from telejax.network.tables import check_size, read_table
from telejax.network.world import Moment, World
from telejax.state import STATIC, pytree

MOST_BITS = 24
"""Of a tick of a trace, 2^-24 seconds: the rest of a clock is no finer."""
WAIT = Bound(0.0, SECONDS.most, exclusive=True)
"""With a trace, whose time would stand still."""
LIMIT = 1000
"""Rounds without anybody, one after another, that a run stands."""

Nodes = Int[Array, "..."]


class Presence(ABC):
    """Of all nodes."""

    bounds: ClassVar[Mapping[str, Bound]] = {}
    limit: int
    """Rounds in which nothing happens, one after another, that a run stands."""
    wait: float
    """Seconds that such a round takes, on a network with clocks."""

    @abstractmethod
    def present(self, world: World, node: Nodes, now: Moment) -> Bool[Array, "..."]:
        """Whether each node is there in a round that begins now."""

    def start(self, world: World, nodes: int, round: Int[Array, ""]) -> World:
        """What is kept of the nodes."""
        return world

    def ended(self, world: World, round: Int[Array, ""]) -> World:
        """Before the next round, which is ``round``."""
        return world

    def bind(self, nodes: int) -> Self:
        """The presence of so many nodes, or a ValueError where there are fewer."""
        return self


@pytree
@dataclass(frozen=True)
class Epochs(Presence):
    """See :func:`epochs`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"away": SHARE, "wait": SECONDS}

    away: float | Float[np.ndarray | Array, " nodes"]
    wait: float
    seed: UInt[np.ndarray | Array, ""]
    length: int = field(metadata=STATIC)
    limit: int = field(metadata=STATIC)

    def present(self, world: World, node: Nodes, now: Moment) -> Bool[Array, "..."]:
        away = jnp.asarray(self.away)
        away = away[node] if away.ndim else away
        return ~draws.happens(jax.random.key(self.seed), draws.PRESENCE, away, node, now.round // self.length)

    def bind(self, nodes: int) -> Self:
        if np.ndim(self.away):
            check_size("presence", len(self.away), nodes)  # type: ignore[arg-type]
        return self


@pytree
@dataclass(frozen=True)
class Markov(Presence):
    """See :func:`markov`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"leave": SHARE, "back": SHARE, "wait": SECONDS}

    leave: float
    back: float
    wait: float
    seed: UInt[np.ndarray | Array, ""]
    limit: int = field(metadata=STATIC)

    def present(self, world: World, node: Nodes, now: Moment) -> Bool[Array, "..."]:
        present: Array = world.node["present"][node]
        return present

    def start(self, world: World, nodes: int, round: Int[Array, ""]) -> World:
        either = self.leave + self.back
        away = jnp.where(either > 0, self.leave / jnp.where(either > 0, either, 1), 0)  # in the long run
        return world.with_node(present=~self._drawn(away, nodes, jnp.int32(-1)))

    def ended(self, world: World, round: Int[Array, ""]) -> World:
        present: Array = world.node["present"]
        changes = self._drawn(jnp.where(present, self.leave, self.back), len(present), round)
        return world.with_node(present=present ^ changes)

    def _drawn(self, probability: Any, nodes: int, round: Int[Array, ""]) -> Bool[Array, " nodes"]:
        every = jnp.arange(nodes, dtype=jnp.int32)
        return draws.happens(jax.random.key(self.seed), draws.PRESENCE, probability, every, round)


@pytree
@dataclass(frozen=True)
class Trace(Presence):
    """See :func:`trace`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"wait": WAIT}

    wait: float
    period: UInt[np.ndarray | Array, ""]
    """In ticks of ``2^-bits`` seconds, as all times; below 2^31, so that time in a period is exact."""
    begins: UInt[np.ndarray | Array, "spells nodes"]
    """When each spell of presence of a node begins, in their order; after the last one, it ends as it begins."""
    ends: UInt[np.ndarray | Array, "spells nodes"]
    bits: int = field(metadata=STATIC)
    limit: int = field(metadata=STATIC)

    def present(self, world: World, node: Nodes, now: Moment) -> Bool[Array, "..."]:
        time = jnp.asarray(now.whole, jnp.uint32) % self.period
        for _ in range(self.bits):
            time = (2 * time) % self.period
        time = (time + jnp.floor(now.rest * np.float32(2**self.bits)).astype(jnp.uint32)) % self.period
        begins, ends = (jnp.asarray(table)[:, node] for table in (self.begins, self.ends))
        return jnp.any((begins <= time) & (time < ends), axis=0)

    def availability(self) -> Float[np.ndarray, " nodes"]:
        """The share of the time that each node is there."""
        there = (np.asarray(self.ends, np.float64) - np.asarray(self.begins)).sum(axis=0)
        return np.maximum(there / float(self.period), 1e-6)

    def bind(self, nodes: int) -> Self:
        check_size("presence", self.begins.shape[1], nodes)
        return self


def epochs(
    away: float | Sequence[float] | np.ndarray | Array,
    length: int = 1,
    *,
    seed: int = 0,
    wait: float = 1.0,
    limit: int = LIMIT,
) -> Epochs:
    """Every node is away for whole epochs, independently of the others; O(1) a node at any number of them.

    Args:
        away: probability that a node is away in an epoch, which may be tuned; or that of each node, (nodes,).
        length: rounds of an epoch.
        seed: of who is away when.
        wait: seconds of a round in which too few are present, on a network with clocks.
        limit: rounds of this kind, one after another, after which a run ends with an error.

    Raises:
        ValueError: a probability outside [0, 1], a length or a limit below 1.

    >>> import jax.numpy as jnp
    >>> there = epochs(away=0.25).present(World(), jnp.arange(1000), Moment(jnp.int32(7)))
    >>> 0.7 < float(there.mean()) < 0.8
    True
    """
    remedy = "give a probability from 0 to 1, or one for each node, (nodes,)"
    each = is_kind(away, list | tuple) or (is_kind(away, np.ndarray | jax.Array) and away.ndim > 0)
    return Epochs(
        check_numbers("away", away, SHARE, remedy).astype(np.float32) if each else SHARE.check("away", away),
        SECONDS.check("wait", wait),
        _seed(seed),
        check_integer("length", length, minimum=1, maximum=2**31 - 1),
        check_integer("limit", limit, minimum=1),
    )


def markov(leave: float, back: float, *, seed: int = 0, wait: float = 1.0, limit: int = LIMIT) -> Markov:
    """An exact Markov chain for every node: n bits are kept, and a round costs O(n).

    Args:
        leave: probability that a present node is away in the next round;
        back: that one that is away is present in the next round. In the long run ``leave / (leave + back)`` are away.
        seed: of who leaves when.
        wait: seconds of a round in which too few are present, on a network with clocks.
        limit: rounds of this kind, one after another, after which a run ends with an error.

    Raises:
        ValueError: a probability outside [0, 1], a limit below 1.

    >>> markov(leave=0.01, back=0.09).leave
    0.01
    """
    return Markov(
        SHARE.check("leave", leave),
        SHARE.check("back", back),
        SECONDS.check("wait", wait),
        _seed(seed),
        check_integer("limit", limit, minimum=1),
    )


def trace(path: str | os.PathLike[str], *, period: float | None = None, wait: float = 1.0, limit: int = LIMIT) -> Trace:
    """Measured presence from a CSV file with the columns node, up, down: a row for every spell, in seconds.

    Presence is looked up when a round begins; it needs clocks, which say when that is. A run begins at the first ``up``
    of the file, so that Unix times will do. A node without a row is away.

    Args:
        path: of the file; nodes are numbered from 0.
        period: seconds after which the trace begins again; by default at its last ``down``. Times are counted in the
            largest 2^-b seconds of which a period has 2^30 or more, b from 0 to 24: a year in 64ths of a second.
        wait: seconds of a round in which too few are present, above 0.
        limit: rounds of this kind, one after another, after which a run ends with an error.

    Raises:
        ValueError: a missing column, a number that is none or below 0, a spell that ends before it begins or overlaps
            another, naming file and line, or that is too short beside the period; a period beyond 2^31 seconds.
        OSError: the file cannot be read.

    >>> import pathlib, tempfile, telejax as tj
    >>> file = pathlib.Path(tempfile.mkdtemp(), "presence.csv")
    >>> _ = file.write_text("node,up,down\\n0,0,60\\n1,30,90\\n")
    >>> tj.network.presence.trace(file).availability().round(2).tolist()
    [0.67, 0.67]
    """
    rows = read_table(path, {"node": int}, {"up": NON_NEGATIVE, "down": NON_NEGATIVE})
    first, last = min(rows.columns["up"]), max(rows.columns["down"])
    bits, ticks = _ticks(path, last - first, period)
    spells: dict[int, list[tuple[float, float]]] = {}
    order = sorted(range(len(rows.lines)), key=lambda place: (rows.columns["node"][place], rows.columns["up"][place]))
    for place in order:
        node, up, down = (rows.columns[name][place] for name in ("node", "up", "down"))
        before = spells.setdefault(node, [])
        if down <= up:
            raise ValueError(f"{path}, line {rows.lines[place]}: down is {down} and up {up}; give a later down")
        if before and before[-1][1] > up:
            raise ValueError(
                f"{path}, line {rows.lines[place]}: node {node} is up from {up}, before {before[-1][1]}, when another "
                "spell of it ends; give spells that do not overlap"
            )
        if _at(down - first, bits) == _at(up - first, bits):
            raise ValueError(
                f"{path}, line {rows.lines[place]}: the spell from {up} to {down} is shorter than {2.0**-bits:g} "
                "seconds, in which a trace of this length is counted; give a longer spell or a shorter trace"
            )
        before.append((up, down))
    longest, nodes = max(map(len, spells.values())), max(spells) + 1
    check_host_memory(f"{path} has node {nodes - 1}, and the times of all", 16 * longest * nodes, "give fewer nodes")
    times = np.zeros((2, longest, nodes), np.uint32)
    for node, own in spells.items():
        times[:, : len(own), node] = [[_at(one - first, bits) for one in side] for side in zip(*own, strict=True)]
    wait, limit = WAIT.check("wait", wait), check_integer("limit", limit, minimum=1)
    return Trace(wait, np.array(ticks, np.uint32), times[0], times[1], bits, limit)


def _ticks(path: Any, length: float, period: float | None) -> tuple[int, int]:
    """How fine the times of a trace are, and its period in these ticks."""
    period = length if period is None else POSITIVE.check("period", period)
    if period < length:
        raise ValueError(f"period is {period}, and the spells of {path} last {length}; give at least {length}")
    if period >= 2**31 - 1:
        raise ValueError(f"period of {path} is {period:g} seconds, and clocks count to 2^31; give a shorter trace")
    bits = min(MOST_BITS, int(np.floor(np.log2((2**31 - 1) / period)))) if period > 0 else 0
    return bits, max(1, _at(period, bits))


def _at(seconds: float, bits: int) -> int:
    return round(seconds * 2**bits)


def _seed(seed: int) -> UInt[np.ndarray, ""]:
    return np.array(check_integer("seed", seed, minimum=0, maximum=2**32 - 1), np.uint32)
