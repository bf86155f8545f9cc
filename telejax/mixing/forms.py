"""Mixing matrices on the device, each in the form that its shape makes fast.

Each form is a frozen pytree of arrays, so that topologies enter compiled programs as arguments. Measured on CPU, at
4096 slots of 4096 numbers: reading up to 32 neighbours a row, one neighbour position at a time, runs near the speed
of a copy; sparse-matrix products are 5 to 60 times slower.

Every form tells what a slot keeps from what the others send, so that whatever happens to messages on their way
(loss, compression, forgery) stands between the two.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from telejax.mixing.accounting import Messages
from telejax.mixing.aggregate import among_neighbours
from telejax.mixing.rules import Rule
from telejax.mixing.transit import Arrives, Transit, arrivals

MAX_NEIGHBOURS = 32  # above this a row gather for each neighbour is slower than a matrix product
MAX_DENSE_NODES = 4096  # above this a dense matrix (64 MiB a round) is too large; long rows become edges
MAX_ENTRIES = MAX_DENSE_NODES**2  # of neighbour lists
SERVER = -1  # in place of a slot: what stands in the middle of a mean over a server

STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass

Rows = tuple[Int[Array, "neighbours slots"], Float[Array, "neighbours slots"]]


def renamed(arrives: Arrives, name: Callable[[Array], Array]) -> Arrives:
    """``arrives`` for slots that have other names outside of a part; the server stays the server."""
    outside = lambda slot: jnp.where(slot == SERVER, SERVER, name(slot))
    return lambda sender, receiver: arrives(outside(sender), outside(receiver))


@pytree
@dataclass(frozen=True)
class Delivered:
    """What is left of a round's mixing when messages are lost."""

    mixing: "Mixing"
    """Its matrix, of one round: the weight of a lost message falls to the model of its receiver; row sums stay."""
    lost: Int[Array, " slots"]
    """int32: messages that each slot waits for in vain."""
    surplus: Float[Array, " slots"]
    """What the losses add to the column sums: what each slot weighs too much in the mean of all."""


class Mixing(ABC):
    """The matrices of one period over ``slots`` slots, in a form that the device applies fast."""

    name: str
    """The topology's name."""
    slots: int
    """Number of slots that mix."""
    messages: Messages
    """Parameter copies sent in each round of the period; where they are drawn, a function of the rounds."""

    @property
    @abstractmethod
    def degree(self) -> int:
        """Rows of :meth:`neighbours`."""

    @abstractmethod
    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        """``W[a, a] kept[a] + sum_{b != a} W[a, b] sent[b]`` for every slot a, where W is that of the round.

        Where nothing stands between the slots, ``sent`` is the very array ``kept``.
        """

    @abstractmethod
    def neighbours(self, round: Int[Array, ""]) -> Rows:
        """Whom each slot hears, see :func:`telejax.neighbours`."""

    def aggregate(
        self,
        rule: Rule,
        kept: Float[Array, "slots d"],
        sent: Float[Array, "slots d"],
        round: Int[Array, ""],
        server: Float[Array, " d"] | None = None,
    ) -> Float[Array, "slots d"]:
        """As :meth:`apply`, with a robust rule in the place of the average; see ``telejax.mixing.aggregate``."""
        return among_neighbours(rule, *self.neighbours(round), kept, sent)

    def fewest(self) -> tuple[int, int, int]:
        """How many vectors a slot has to aggregate at least, its own included; which slot, and in which round."""
        found = []
        for now in range(1 if callable(self.messages) else len(self.messages)):
            with jax.ensure_compile_time_eval():
                indices, weights = (np.asarray(table) for table in self.neighbours(jnp.int32(now)))
            heard = 1 + np.sum((indices != np.arange(self.slots)) & (weights != 0), axis=0)
            found.append((int(heard.min()), int(heard.argmin()), now))
        return min(found)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        """The round's mixing without the messages that do not arrive."""
        indices, weights = self.neighbours(round)
        if self.degree > MAX_NEIGHBOURS + 1:
            return delivered_dense(self.name, _dense(indices, weights), arrives)
        one_round = Neighbours(self.name, self.slots, (0,), weights[:1], weights[None, 1:], indices[None, 1:])
        return one_round.delivered(round, arrives)

    def among(self, round: Int[Array, ""], present: Bool[Array, " slots"]) -> Delivered:
        """The round's mixing where messages to and from some slots are not even sent."""
        return self.delivered(round, lambda sender, receiver: present[sender] & present[receiver])

    def last_arrivals(
        self, round: Int[Array, ""], transit: Transit, arrives: Arrives | None = None
    ) -> Float[Array, " slots"]:
        """When each slot is ready itself and all that it hears has arrived; see ``telejax.mixing.transit``."""
        indices, weights = self.neighbours(round)
        place = jnp.arange(self.slots, dtype=indices.dtype)[None]
        sent = (indices != place) & (weights != 0)
        heard = arrivals(indices, jnp.broadcast_to(place, indices.shape), sent, transit, arrives)
        return jnp.maximum(transit.ready, jnp.max(heard, axis=0))

    def exchanged(
        self, round: Int[Array, ""], arrives: Arrives | None = None
    ) -> tuple[Int[Array, " slots"], Int[Array, " slots"]]:
        """How many messages each slot sends, and how many arrive at it, int32."""
        indices, weights = self.neighbours(round)
        place = jnp.arange(self.slots, dtype=indices.dtype)[None]
        sent = (indices != place) & (weights != 0)
        received = sent if arrives is None else sent & arrives(indices, place)
        by = jnp.zeros(self.slots, jnp.int32).at[indices].add(sent.astype(jnp.int32))
        return by, jnp.sum(received, axis=0, dtype=jnp.int32)

    def sharded(self, mesh: Mesh) -> "Mixing":
        """How this is applied to slots that are sharded over a mesh: by itself, which the compiler divides."""
        return self


@pytree
@dataclass(frozen=True)
class Neighbours(Mixing):
    """Padded neighbour lists: ``x_new[a] = own[a] x[a] + sum_m weights[m, a] x[indices[m, a]]``.

    Where all slots have the same weights, the slot axis of ``own`` and ``weights`` has length one.
    """

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    own: Float[np.ndarray | Array, "period slots_or_1"]
    weights: Float[np.ndarray | Array, "period neighbours slots_or_1"]
    indices: Int[np.ndarray | Array, "period neighbours slots"]
    symmetric: bool = field(metadata=STATIC, default=False)
    """Whether every slot is heard by those whom it hears, with the same weights."""

    @property
    def degree(self) -> int:
        return int(self.indices.shape[1]) + 1

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        own, weights, indices = self._now(round)
        column = (-1,) + (1,) * (kept.ndim - 1)
        mixed = own.astype(kept.dtype).reshape(column) * kept
        for weight, index in zip(weights.astype(kept.dtype), indices, strict=True):
            heard = sent.at[index].get(mode="promise_in_bounds")
            if sent is not kept:  # padding names the slot itself, which never hears what it sent
                itself = index == jnp.arange(self.slots, dtype=index.dtype)
                heard = jnp.where(itself.reshape(column), kept, heard)
            mixed += weight.reshape(column) * heard
        return mixed

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        own, weights, indices = self._now(round)
        place = jnp.arange(self.slots, dtype=jnp.int32)
        widen = lambda table: jnp.broadcast_to(jnp.asarray(table, float), (*table.shape[:-1], self.slots))
        return jnp.concatenate([place[None], indices]), jnp.concatenate([widen(own)[None], widen(weights)])

    def row(self, slot: Int[Array, ""], round: Int[Array, ""]) -> tuple[Int[Array, " m"], Float[Array, " m"]]:
        """The slots that ``slot`` hears from in a round, and their weights."""
        own, weights, indices = self._now(round)
        column = slot if weights.shape[-1] > 1 else 0
        own_column = slot if own.shape[-1] > 1 else 0
        places = jnp.concatenate([slot[None], indices[:, slot]])
        return places, jnp.concatenate([own[own_column][None], weights[:, column]])

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        own, weights, indices = self._now(round)
        place = jnp.arange(self.slots, dtype=indices.dtype)[None]
        lost = (indices != place) & ~arrives(indices, place)
        gone = jnp.where(lost, weights, 0)
        back = jnp.sum(gone, axis=0)
        if self.symmetric:  # a slot's column is its row, read as what it sends
            sent_in_vain = jnp.sum(jnp.where((indices != place) & ~arrives(place, indices), weights, 0), axis=0)
        else:
            sent_in_vain = jnp.zeros_like(back, shape=(self.slots,)).at[indices].add(gone)
        heard = jnp.where(lost, place, indices)  # becomes padding, so that nothing of it is read
        thinned = Neighbours(self.name, self.slots, (0,), (own + back)[None], (weights - gone)[None], heard[None])
        return Delivered(thinned, jnp.sum(lost, axis=0, dtype=jnp.int32), back - sent_in_vain)

    def sharded(self, mesh: Mesh) -> Mixing:
        """As shifts by fixed offsets where the graph is circulant."""
        from telejax.mixing.sharded import shifts_of

        return shifts_of(self, mesh) or self

    def _now(self, round: Int[Array, ""]) -> tuple[Array, Array, Array]:
        now = round % len(self.messages)
        own, weights, indices = (_row(table, now) for table in (self.own, self.weights, self.indices))
        return own, weights, indices


@pytree
@dataclass(frozen=True)
class Dense(Mixing):
    """Any matrix with long rows, as a matrix product."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    matrices: Float[np.ndarray | Array, "period slots slots"]

    @property
    def degree(self) -> int:
        return self.slots

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        matrix = self._matrix(round).astype(kept.dtype)
        mixed = jnp.tensordot(matrix, sent, axes=1, precision="highest")
        if sent is kept:
            return mixed
        return mixed + jnp.diagonal(matrix).reshape((-1,) + (1,) * (kept.ndim - 1)) * (kept - sent)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        place = jnp.arange(self.slots, dtype=jnp.int32)
        indices = (place[:, None] + place[None]) % self.slots
        return indices, jnp.asarray(self._matrix(round), float)[place, indices]

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        return delivered_dense(self.name, self._matrix(round), arrives)

    def row(self, slot: Int[Array, ""], round: Int[Array, ""]) -> tuple[Int[Array, " m"], Float[Array, " m"]]:
        """The slots that ``slot`` hears from in a round, and their weights."""
        return jnp.arange(self.slots, dtype=jnp.int32), self._matrix(round)[slot]

    def _matrix(self, round: Int[Array, ""]) -> Array:
        return _row(self.matrices, round % len(self.messages))


@pytree
@dataclass(frozen=True)
class Edges(Mixing):
    """One large sparse matrix with some long rows (a star): its non-zeros, sorted by row."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    rows: Int[np.ndarray | Array, " edges"]
    columns: Int[np.ndarray | Array, " edges"]
    weights: Float[np.ndarray | Array, " edges"]

    @property
    def degree(self) -> int:
        return self.slots

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        column = (-1,) + (1,) * (kept.ndim - 1)
        heard = sent[self.columns]
        if sent is not kept:
            heard = jnp.where(jnp.reshape(self.rows == self.columns, column), kept[self.columns], heard)
        return self._sum(jnp.asarray(self.weights, kept.dtype).reshape(column) * heard)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        dense = jnp.zeros((self.slots, self.slots)).at[self.rows, self.columns].add(self.weights)
        return Dense(self.name, self.slots, (0,), dense[None]).neighbours(round)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        rows, columns = jnp.asarray(self.rows), jnp.asarray(self.columns)
        lost = (rows != columns) & ~arrives(columns, rows)
        gone = jnp.where(lost, self.weights, 0)
        back = self._sum(gone)
        place = jnp.arange(self.slots, dtype=rows.dtype)
        order = jnp.argsort(jnp.concatenate([rows, place]), stable=True)
        in_order = lambda edges, diagonal: jnp.concatenate([edges, diagonal])[order]
        heard = jnp.where(lost, rows, columns)
        edges = in_order(rows, place), in_order(heard, place), in_order(self.weights - gone, back)
        surplus = back - jax.ops.segment_sum(gone, columns, num_segments=self.slots)
        lost_by = self._sum(lost.astype(jnp.int32))
        return Delivered(Edges(self.name, self.slots, (0,), *edges), lost_by, surplus)

    def last_arrivals(
        self, round: Int[Array, ""], transit: Transit, arrives: Arrives | None = None
    ) -> Float[Array, " slots"]:
        rows, columns = jnp.asarray(self.rows), jnp.asarray(self.columns)
        heard = arrivals(columns, rows, (rows != columns) & (jnp.asarray(self.weights) != 0), transit, arrives)
        return transit.ready.at[rows].max(heard)

    def exchanged(
        self, round: Int[Array, ""], arrives: Arrives | None = None
    ) -> tuple[Int[Array, " slots"], Int[Array, " slots"]]:
        rows, columns = jnp.asarray(self.rows), jnp.asarray(self.columns)
        sent = (rows != columns) & (jnp.asarray(self.weights) != 0)
        received = sent if arrives is None else sent & arrives(columns, rows)
        by = jnp.zeros(self.slots, jnp.int32).at[columns].add(sent.astype(jnp.int32))
        return by, self._sum(received.astype(jnp.int32))

    def _sum(self, values: Array) -> Array:
        """Over the edges of each row."""
        return jax.ops.segment_sum(values, self.rows, num_segments=self.slots, indices_are_sorted=True)


def delivered_dense(name: str, matrix: Float[Array, "slots slots"], arrives: Arrives) -> Delivered:
    """The messages that arrive, for a matrix."""
    slots = matrix.shape[0]
    place = jnp.arange(slots, dtype=jnp.int32)
    lost = (place[:, None] != place[None]) & (matrix != 0) & ~arrives(place[None], place[:, None])
    gone = jnp.where(lost, matrix, 0)
    back = jnp.sum(gone, axis=1)
    thinned = (matrix - gone).at[place, place].add(back)
    mixing = Dense(name, slots, (0,), thinned[None])
    return Delivered(mixing, jnp.sum(lost, axis=1, dtype=jnp.int32), back - jnp.sum(gone, axis=0))


def _dense(indices: Array, weights: Array) -> Array:
    """The matrix (slots, slots) of neighbour lists."""
    place = jnp.broadcast_to(jnp.arange(indices.shape[1]), indices.shape)
    return jnp.zeros((indices.shape[1],) * 2, weights.dtype).at[place, indices].add(weights)


def _row(table: np.ndarray | Array, index: Array) -> Array:
    """``table[index]``; a table of one row costs no dynamic slice."""
    table = jnp.asarray(table)
    return table[0] if table.shape[0] == 1 else jax.lax.dynamic_index_in_dim(table, index, keepdims=False)
