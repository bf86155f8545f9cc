"""Gossip on the device: apply a round's mixing matrix to every leaf of a pytree of slots.

Each form of a mixing matrix is a frozen pytree of arrays, so that topologies enter compiled programs as
arguments. Measured on CPU, at 4096 slots of 4096 numbers: reading up to 32 neighbours a row, one neighbour
position at a time, runs near the speed of a copy; sparse-matrix products are 5 to 60 times slower.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from telejax.mixing.accounting import Messages, one_after_another, side_by_side

if TYPE_CHECKING:
    from telejax.topology.drawn import Law
    from telejax.topology.rounds import FixedRound, Round

Tree = TypeVar("Tree")

MAX_NEIGHBOURS = 32  # above this a row gather for each neighbour is slower than a matrix product
MAX_DENSE_NODES = 4096  # above this a dense matrix (64 MiB a round) is too large; long rows become edges

STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass


class Mixing(Protocol):
    """The matrices of one period over ``slots`` slots, in a form that the device applies fast."""

    @property
    def name(self) -> str:
        """The topology's name."""
        ...

    @property
    def slots(self) -> int:
        """Number of slots that mix."""
        ...

    @property
    def messages(self) -> Messages:
        """Parameter copies sent in each round of the period; where they are drawn, a function of the rounds."""
        ...

    def apply(self, x: Array, round: Array) -> Array:
        """W_round applied to the leading axis of ``x``."""
        ...


def mix(mixing: Mixing, tree: Tree, round: int | Int[Array, ""] = 0) -> Tree:
    """``x_new[a] = sum_b W[a, b] x[b]`` over the slots, for every leaf of ``tree``.

    Args:
        mixing: from ``topology.mixing()``.
        tree: any pytree whose leaves have the shape (slots, ...).
        round: int32 scalar, traced or not; the matrix of ``round % period`` is used.

    Returns:
        A pytree like ``tree``, with the same shapes and dtypes.

    Raises:
        ValueError: a leaf whose leading axis is not the number of slots.

    >>> import jax.numpy as jnp, telejax as tj
    >>> tj.mix(tj.topology.ring(4).mixing(), jnp.array([3.0, 0.0, 0.0, 0.0])).tolist()
    [1.0, 1.0, 0.0, 1.0]
    """
    for leaf in jax.tree.leaves(tree):
        if jnp.ndim(leaf) < 1 or leaf.shape[0] != mixing.slots:
            raise ValueError(
                f"tree has a leaf of shape {jnp.shape(leaf)}; topology {mixing.name!r} mixes {mixing.slots} "
                "slots, so every leaf needs that leading axis"
            )
    round = jnp.asarray(round, jnp.int32)
    # without the barrier the update that made the tree is computed again for every neighbour that reads it
    tree = jax.lax.optimization_barrier(tree)
    return jax.tree.map(lambda x: mixing.apply(x, round), tree)


@pytree
@dataclass(frozen=True)
class Mean:
    """Averaging: W = kept I + (1 - kept) J / n in every round, exact consensus for kept = 0."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    kept: float = field(metadata=STATIC, default=0.0)

    @staticmethod
    def over(slots: int, name: str = "complete", kept: float = 0.0) -> "Mean":
        """The mean over ``slots`` slots, each of which hears from every other."""
        return Mean(name, slots, (slots * (slots - 1),), kept)

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        mean = jnp.broadcast_to(jnp.mean(x, axis=0, keepdims=True), x.shape)
        return mean if self.kept == 0 else self.kept * x + (1 - self.kept) * mean


@pytree
@dataclass(frozen=True)
class Neighbours:
    """Padded neighbour lists: ``x_new[a] = own[a] x[a] + sum_m weights[m, a] x[indices[m, a]]``.

    Where all slots have the same weights, the slot axis of ``own`` and ``weights`` has length one.
    """

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    own: Float[np.ndarray | Array, "period slots_or_1"]
    weights: Float[np.ndarray | Array, "period neighbours slots_or_1"]
    indices: Int[np.ndarray | Array, "period neighbours slots"]

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        now = round % len(self.messages)
        own, weights, indices = (_row(table, now) for table in (self.own, self.weights, self.indices))
        column = (-1,) + (1,) * (x.ndim - 1)
        mixed = own.astype(x.dtype).reshape(column) * x
        for weight, index in zip(weights.astype(x.dtype), indices, strict=True):
            mixed += weight.reshape(column) * x.at[index].get(mode="promise_in_bounds")
        return mixed

    def row(self, slot: Int[Array, ""], round: Int[Array, ""]) -> tuple[Int[Array, " m"], Float[Array, " m"]]:
        """The slots that ``slot`` hears from in a round, and their weights."""
        now = round % len(self.messages)
        own, weights, indices = (_row(table, now) for table in (self.own, self.weights, self.indices))
        column = slot if weights.shape[-1] > 1 else 0
        own_column = slot if own.shape[-1] > 1 else 0
        places = jnp.concatenate([slot[None], indices[:, slot]])
        return places, jnp.concatenate([own[own_column][None], weights[:, column]])


@pytree
@dataclass(frozen=True)
class Dense:
    """Any matrix with long rows, as a matrix product."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    matrices: Float[np.ndarray | Array, "period slots slots"]

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        matrix = _row(self.matrices, round % len(self.messages)).astype(x.dtype)
        return jnp.tensordot(matrix, x, axes=1, precision="highest")

    def row(self, slot: Int[Array, ""], round: Int[Array, ""]) -> tuple[Int[Array, " m"], Float[Array, " m"]]:
        """The slots that ``slot`` hears from in a round, and their weights."""
        return jnp.arange(self.slots, dtype=jnp.int32), _row(self.matrices, round % len(self.messages))[slot]


@pytree
@dataclass(frozen=True)
class Edges:
    """One large sparse matrix with some long rows (a star): its non-zeros, sorted by row."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    rows: Int[np.ndarray | Array, " edges"]
    columns: Int[np.ndarray | Array, " edges"]
    weights: Float[np.ndarray | Array, " edges"]

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        weight = self.weights.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
        return jax.ops.segment_sum(
            weight * x[self.columns], self.rows, num_segments=self.slots, indices_are_sorted=True
        )


@pytree
@dataclass(frozen=True)
class Drawn:
    """Partners drawn anew in every round, the same for all leaves: ``x_new = (1 - weight) x + weight x[partners]``."""

    name: str = field(metadata=STATIC)
    law: "Law" = field(metadata=STATIC)
    weight: float = field(metadata=STATIC)
    seed: UInt[np.ndarray | Array, ""]

    @property
    def slots(self) -> int:
        return self.law.nodes

    @property
    def messages(self) -> Messages:
        if self.law.constant:
            return (int(self.law.messages),)
        return self._counts

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        heard = x.at[self.law.partners(self._key(round))].get(mode="promise_in_bounds")
        return (1 - self.weight) * x + self.weight * heard

    def _counts(self, rounds: np.ndarray) -> np.ndarray:
        padded = np.zeros(1 << len(rounds).bit_length(), np.int32)  # few lengths, so that few are compiled
        padded[: len(rounds)] = rounds
        return np.asarray(_count(self, padded))[: len(rounds)]

    def _key(self, round: Array) -> Array:
        return jax.random.fold_in(jax.random.key(self.seed), round)


@jax.jit
def _count(mixing: Drawn, rounds: Int[Array, " rounds"]) -> Int[Array, " rounds"]:
    """Messages of each of the given rounds."""
    return jax.vmap(lambda t: mixing.law.count(mixing._key(t)))(rounds)


@pytree
@dataclass(frozen=True)
class Relabelled:
    """Another mixing in which slot a takes the role of slot ``order[a]``."""

    part: Mixing
    order: Int[np.ndarray | Array, " slots"]
    inverse: Int[np.ndarray | Array, " slots"]

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def slots(self) -> int:
        return self.part.slots

    @property
    def messages(self) -> Messages:
        return self.part.messages

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        mixed = self.part.apply(x.at[self.inverse].get(mode="promise_in_bounds"), round)
        return mixed.at[self.order].get(mode="promise_in_bounds")


@pytree
@dataclass(frozen=True)
class Switch:
    """A period whose rounds have different forms: round t uses ``parts[t % period]``."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    parts: tuple[Mixing, ...]

    @property
    def messages(self) -> Messages:
        return one_after_another([part.messages for part in self.parts])

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        branches: list[Callable[[Array], Array]] = [partial(part.apply, round=round) for part in self.parts]
        return jax.lax.switch(round % len(self.parts), branches, x)


@pytree
@dataclass(frozen=True)
class Blocks:
    """Independent groups side by side: a block-diagonal matrix in which every block keeps its own period."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    parts: tuple[Mixing, ...]
    joined: tuple[Mixing, ...]
    """The same matrix in fewer pieces, which compile faster."""

    @property
    def messages(self) -> Messages:
        return side_by_side([part.messages for part in self.parts])

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        ends = np.cumsum([part.slots for part in self.joined])[:-1]
        blocks = jnp.split(x, ends)
        return jnp.concatenate([part.apply(block, round) for part, block in zip(self.joined, blocks, strict=True)])


def block_diagonal(parts: Sequence[Mixing]) -> Blocks:
    """Mix several groups of slots independently in one program; ``messages`` adds up over the groups.

    >>> import jax.numpy as jnp, telejax as tj
    >>> both = block_diagonal([tj.topology.complete(2).mixing(), tj.topology.ring(1).mixing()])
    >>> tj.mix(both, jnp.array([0.0, 2.0, 5.0])).tolist()
    [1.0, 1.0, 5.0]
    """
    name = " + ".join(part.name for part in parts)
    return Blocks(name, sum(part.slots for part in parts), tuple(parts), _joined(parts))


def _joined(parts: Sequence[Mixing]) -> tuple[Mixing, ...]:
    """Neighbour lists of one period that follow each other become one list."""
    joined: list[Mixing] = []
    for _, run in itertools.groupby(
        parts, lambda part: len(part.messages) if isinstance(part, Neighbours) else id(part)
    ):
        lists = list(run)
        joined.append(_join(lists) if len(lists) > 1 else lists[0])  # type: ignore[arg-type]
    return tuple(joined)


def _join(lists: Sequence[Neighbours]) -> Neighbours:
    """Pad every list to the longest; a padded entry reads the slot itself with weight 0."""
    degree = max(part.indices.shape[1] for part in lists)
    own, weights, indices, start = [], [], [], 0
    for part in lists:
        period, present, slots = part.indices.shape
        itself = np.broadcast_to(np.arange(slots, dtype=np.int32), (period, degree - present, slots))
        own.append(np.broadcast_to(part.own, (period, slots)))
        nothing = np.zeros((period, degree - present, slots))
        weights.append(np.concatenate([np.broadcast_to(part.weights, (period, present, slots)), nothing], axis=1))
        indices.append(np.concatenate([np.asarray(part.indices), itself], axis=1) + np.int32(start))
        start += slots
    merged = [np.concatenate(tables, axis=-1) for tables in (own, weights, indices)]
    messages = tuple(np.sum([part.messages for part in lists], axis=0).tolist())
    return Neighbours("joined", start, messages, *merged)


def from_rounds(name: str, rounds: "Sequence[Round]") -> Mixing:
    """The fastest form for the matrices of one period."""
    from telejax.topology import drawn
    from telejax.topology import rounds as host

    slots, first = rounds[0].nodes, rounds[0]
    listed = all(one.fixed and one.max_degree <= MAX_NEIGHBOURS for one in rounds)
    if listed and not any(isinstance(one, host.Complete) for one in rounds):
        return _neighbours(name, [one.at(0) for one in rounds])
    if len(rounds) > 1:
        return Switch(name, slots, tuple(from_rounds(name, [one]) for one in rounds))
    if isinstance(first, host.Complete):
        return Mean.over(slots, name, first.kept)
    if isinstance(first, drawn.Drawn):
        return Drawn(name, first.law, first.weight, np.asarray(first.seed, np.uint32))
    if isinstance(first, host.Relabelled):
        order = first.order.astype(np.int32)
        return Relabelled(from_rounds(name, [first.part]), order, np.argsort(order).astype(np.int32))
    if isinstance(first, host.Blocks):
        return block_diagonal([from_rounds(name, [part]) for part in first.parts])
    matrix = first.at(0)
    if slots <= MAX_DENSE_NODES:
        return Dense(name, slots, (matrix.messages,), matrix.sparse().toarray()[None])
    i, j = matrix.sparse().tocoo().coords
    return Edges(name, slots, (matrix.messages,), i.astype(np.int32), j.astype(np.int32), matrix.sparse().data)


def _neighbours(name: str, rounds: "Sequence[FixedRound]") -> Neighbours:
    """Pad every row to the largest degree of the period; a padded entry reads the slot itself with weight 0."""
    period, slots = len(rounds), rounds[0].nodes
    degree = max(one.max_degree for one in rounds)
    own = np.zeros((period, slots))
    weights = np.zeros((period, degree, slots))
    indices = np.tile(np.arange(slots, dtype=np.int32), (period, degree, 1))
    for t, one in enumerate(rounds):
        matrix = one.sparse()
        own[t] = matrix.diagonal()
        rows = np.repeat(np.arange(slots), np.diff(matrix.indptr))
        off = rows != matrix.indices
        rows, columns, values = rows[off], matrix.indices[off], matrix.data[off]
        starts = np.searchsorted(rows, np.arange(slots))
        position = np.arange(len(rows)) - starts[rows]
        weights[t, position, rows] = values
        indices[t, position, rows] = columns
    messages = tuple(one.messages for one in rounds)
    return Neighbours(name, slots, messages, _shared(own), _shared(weights), indices)


def _shared(table: np.ndarray) -> np.ndarray:
    """One column, where all slots (the last axis) have the same numbers."""
    return table[..., :1] if (table == table[..., :1]).all() else table


def _row(table: np.ndarray | Array, index: Array) -> Array:
    """``table[index]``; a table of one row costs no dynamic slice."""
    table = jnp.asarray(table)
    return table[0] if table.shape[0] == 1 else jax.lax.dynamic_index_in_dim(table, index, keepdims=False)
