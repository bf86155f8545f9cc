"""Mixing matrices made of others: permuted, one after another, side by side."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from telejax.errors import check_kind, check_list
from telejax.mixing.accounting import Messages, one_after_another, sent, side_by_side
from telejax.mixing.forms import (
    MAX_DENSE_NODES,
    MAX_NEIGHBOURS,
    STATIC,
    Arrives,
    Delivered,
    Mixing,
    Neighbours,
    Rows,
    pytree,
    renamed,
)

Out = TypeVar("Out")


class OfPart(Mixing):
    """A mixing made of another, whose name, slots and messages it has."""

    part: Mixing

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.part.name

    @property
    def slots(self) -> int:  # type: ignore[override]
        return self.part.slots

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        return self.part.messages

    @property
    def degree(self) -> int:
        return self.part.degree

    def sharded(self, mesh: Mesh) -> Mixing:
        return replace(self, part=self.part.sharded(mesh))  # type: ignore[type-var]


@pytree
@dataclass(frozen=True)
class Permuted(OfPart):
    """Another mixing in which slot a takes the role of slot ``order[a]``."""

    part: Mixing
    order: Int[np.ndarray | Array, " slots"]
    inverse: Int[np.ndarray | Array, " slots"]

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        in_role = kept.at[self.inverse].get(mode="promise_in_bounds")
        others = in_role if sent is kept else sent.at[self.inverse].get(mode="promise_in_bounds")
        return self.part.apply(in_role, others, round).at[self.order].get(mode="promise_in_bounds")

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        indices, weights = self.part.neighbours(round)
        return jnp.asarray(self.inverse)[indices[:, self.order]], weights[:, self.order]

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        inverse = jnp.asarray(self.inverse)
        part = self.part.delivered(round, renamed(arrives, lambda role: inverse[role]))
        return Delivered(replace(self, part=part.mixing), part.lost[self.order], part.surplus[self.order])


@pytree
@dataclass(frozen=True)
class Periodic(Mixing):
    """A period whose rounds have different forms: round t uses ``parts[t % period]``."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    parts: tuple[Mixing, ...]

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        return one_after_another([part.messages for part in self.parts])

    @property
    def degree(self) -> int:
        return max(part.degree for part in self.parts)

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        if sent is kept:
            return self._switch(round, lambda part, x: part.apply(x, x, round), kept)
        return self._switch(round, lambda part, x, y: part.apply(x, y, round), kept, sent)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        return self._switch(round, lambda part: _padded(part, round, self.degree))

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        if self.degree > MAX_NEIGHBOURS + 1 and self.slots > MAX_DENSE_NODES:
            raise ValueError(
                f"topology {self.name!r} has rounds in which a slot hears {self.degree - 1} others; messages can be "
                f"lost among at most {MAX_DENSE_NODES} slots, take a graph of lower degree"
            )
        return super().delivered(round, arrives)

    def sharded(self, mesh: Mesh) -> Mixing:
        return replace(self, parts=tuple(part.sharded(mesh) for part in self.parts))

    def _switch(self, round: Int[Array, ""], function: Callable[..., Out], *operands: Array) -> Out:
        """``function(part, *operands)`` of the round's part."""
        branches = [partial(function, part) for part in self.parts]
        return jax.lax.switch(round % len(self.parts), branches, *operands)


@pytree
@dataclass(frozen=True)
class FirstSilent(OfPart):
    """Another mixing, but nobody sends anything in round 0: W_0 = I."""

    part: Mixing
    silent: Bool[Array, ""] | None = None
    """Whether this is round 0, where it was asked for one round alone."""

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        return lambda rounds: np.where(rounds == 0, 0, sent(self.part.messages, rounds))

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        return jnp.where(self._now(round), kept, self.part.apply(kept, sent, round))

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        indices, weights = self.part.neighbours(round)
        return indices, jnp.where(self._now(round), jnp.zeros_like(weights).at[0].set(1), weights)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        silent, whole = self._now(round), self.part.delivered(round, arrives)
        lost, surplus = (jnp.where(silent, 0, x) for x in (whole.lost, whole.surplus))
        return Delivered(FirstSilent(whole.mixing, silent), lost, surplus)

    def _now(self, round: Int[Array, ""]) -> Bool[Array, ""]:
        return round == 0 if self.silent is None else self.silent


@pytree
@dataclass(frozen=True)
class Blocks(Mixing):
    """Independent groups side by side: a block-diagonal matrix in which every block keeps its own period."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    parts: tuple[Mixing, ...]
    joined: tuple[Mixing, ...]
    """The same matrix in fewer pieces, which compile faster."""

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        return side_by_side([part.messages for part in self.parts])

    @property
    def degree(self) -> int:
        return max(part.degree for part in self.joined)

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        own = jnp.split(kept, self._ends())
        others = own if sent is kept else jnp.split(sent, self._ends())
        parts = zip(self.joined, own, others, strict=True)
        return jnp.concatenate([part.apply(x, y, round) for part, x, y in parts])

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        indices, weights, start = [], [], 0
        for part in self.joined:
            index, weight = _padded(part, round, self.degree)
            indices.append(index + start)
            weights.append(weight)
            start += part.slots
        return jnp.concatenate(indices, axis=1), jnp.concatenate(weights, axis=1)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        starts = (0, *self._ends())
        outside = [renamed(arrives, lambda slot, start=start: slot + start) for start in starts]  # type: ignore[misc]
        parts = [part.delivered(round, heard) for part, heard in zip(self.joined, outside, strict=True)]
        thinned = tuple(part.mixing for part in parts)
        return Delivered(
            Blocks(self.name, self.slots, thinned, thinned),
            jnp.concatenate([part.lost for part in parts]),
            jnp.concatenate([part.surplus for part in parts]),
        )

    def _ends(self) -> tuple[int, ...]:
        """Where each block but the last ends."""
        return tuple(np.cumsum([part.slots for part in self.joined])[:-1].tolist())


def _padded(part: Mixing, round: Int[Array, ""], degree: int) -> Rows:
    """The neighbour lists of a part with so many rows: those that it has not name the slot itself with weight 0."""
    indices, weights = part.neighbours(round)
    missing = degree - part.degree
    itself = jnp.broadcast_to(jnp.arange(part.slots, dtype=jnp.int32), (missing, part.slots))
    return jnp.concatenate([indices, itself]), jnp.pad(weights, ((0, missing), (0, 0)))


def block_diagonal(parts: Sequence[Mixing]) -> Blocks:
    """Mix several groups of slots independently in one program; ``messages`` adds up over the groups.

    Args:
        parts: the mixing of each group, from ``topology.mixing()``.

    >>> import jax.numpy as jnp, telejax as tj
    >>> both = block_diagonal([tj.topology.complete(2).mixing(), tj.topology.ring(1).mixing()])
    >>> tj.mix(both, jnp.array([0.0, 2.0, 5.0])).tolist()
    [1.0, 1.0, 5.0]
    """
    remedy = "give a list of at least one mixing, as of telejax.topology.ring(8).mixing()"
    parts = check_list("parts", parts, remedy)
    if not parts:
        raise ValueError(f"parts is empty; {remedy}")
    for place, part in enumerate(parts):
        check_kind(f"parts[{place}]", part, Mixing, remedy)
    name = " + ".join(part.name for part in parts)
    return Blocks(name, sum(part.slots for part in parts), tuple(parts), _joined(parts))


def _joined(parts: Sequence[Mixing]) -> tuple[Mixing, ...]:
    """Neighbour lists of one period that follow each other become one list."""
    joined: list[Mixing] = []
    for period, run in itertools.groupby(
        parts, lambda part: len(part.messages) if isinstance(part, Neighbours) else None
    ):
        lists = list(run)
        joined += lists if period is None or len(lists) == 1 else [_join(lists)]  # type: ignore[arg-type]
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
    one, other, names = (np.concatenate(tables, axis=-1) for tables in (own, weights, indices))
    messages = tuple(np.sum([part.messages for part in lists], axis=0).tolist())
    symmetric = all(part.symmetric for part in lists)
    return Neighbours("joined", start, messages, one, other, names, symmetric)
