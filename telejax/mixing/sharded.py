"""Circulant mixing over a mesh of devices: shifts by fixed offsets, of which only boundary rows are sent.

The compiler would answer a ring's gather with an all-gather of all parameters; as shifts, each device sends its
neighbour the rows that cross the boundary (a collective permute).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from telejax.mixing.forms import STATIC, Arrives, Delivered, Mixing, Neighbours, Rows, pytree

Shift = tuple[int, float]
"""Every slot a hears slot (a + offset) % slots with this weight."""


@pytree
@dataclass(frozen=True)
class Shifts(Mixing):
    """Circulant mixing over a mesh: ``x_new[a] = sum_m weight_m x[(a + offset_m) % slots]``."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    mesh: Mesh = field(metadata=STATIC)
    rounds: tuple[tuple[Shift, ...], ...] = field(metadata=STATIC)
    """The shifts of each round of the period; the first is that by 0."""
    weights: Float[Array, "shifts slots"] | None = None
    """Of the only round, where they differ from slot to slot."""

    @property
    def degree(self) -> int:
        return max(len(shifts) for shifts in self.rounds)

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        (axis,) = self.mesh.axis_names
        slots = PartitionSpec(axis)
        operands = (kept,) if sent is kept else (kept, sent)
        if self.weights is None:
            mapped = lambda shifts: jax.shard_map(
                partial(self._mixed, shifts, None), mesh=self.mesh, in_specs=slots, out_specs=slots
            )
            branches = [mapped(shifts) for shifts in self.rounds]
            return (
                branches[0](*operands)
                if len(branches) == 1
                else jax.lax.switch(round % len(branches), branches, *operands)
            )
        specs = (PartitionSpec(None, axis), *[slots] * len(operands))
        weighted = lambda weights, *blocks: self._mixed(self.rounds[0], weights, *blocks)
        return jax.shard_map(weighted, mesh=self.mesh, in_specs=specs, out_specs=slots)(self.weights, *operands)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        place = jnp.arange(self.slots, dtype=jnp.int32)
        offsets, weights = np.zeros((2, len(self.rounds), self.degree))
        for t, shifts in enumerate(self.rounds):
            offsets[t, : len(shifts)], weights[t, : len(shifts)] = zip(*shifts, strict=True)
        now = round % len(self.rounds)
        indices = (place[None] + jnp.asarray(offsets, jnp.int32)[now][:, None]) % self.slots
        if self.weights is not None:  # a message that is not sent, or lost, is no neighbour any more
            return jnp.where(self.weights == 0, place[None], indices), self.weights
        return indices, jnp.broadcast_to(jnp.asarray(weights)[now][:, None], indices.shape)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        whole = super().delivered(round, arrives)
        if len(self.rounds) > 1:
            return whole
        thinned = whole.mixing.neighbours(round)[1]
        return replace(whole, mixing=replace(self, messages=(0,), weights=thinned))

    def _mixed(self, shifts: Sequence[Shift], weights: Array | None, kept: Array, sent: Array | None = None) -> Array:
        """Lay out what this device hears after its own rows, then read both row by row.

        Read as slices, the update that made the block would be computed again for every shift.
        """
        (axis,) = self.mesh.axis_names
        block = kept if sent is None else sent
        devices, rows = self.mesh.size, block.shape[0]
        pieces, length, indices = [block], rows, []
        for offset, _ in shifts:
            places = []
            for start, stop, away in self._parts(offset, rows):
                if away % devices == 0:
                    places.append(jnp.arange(start, stop))
                    continue
                route = [((to + away) % devices, to) for to in range(devices)]
                pieces.append(jax.lax.ppermute(block[start:stop], axis, route))
                places.append(jnp.arange(length, length + stop - start))
                length += stop - start
            indices.append(jnp.concatenate(places))
        laid_out = jnp.concatenate(pieces)
        heard = [laid_out.at[index].get(mode="promise_in_bounds") for index in indices]
        if sent is not None:
            heard[0] = kept
        if weights is None:
            terms = [jnp.asarray(weight, block.dtype) * x for (_, weight), x in zip(shifts, heard, strict=True)]
        else:
            column = (-1,) + (1,) * (block.ndim - 1)
            table = weights.astype(block.dtype).reshape(len(weights), *column)
            unheard = lambda w, x: jnp.where(w == 0, heard[0], x)  # 0 times a lost NaN is NaN
            terms = [w * unheard(w, x) for w, x in zip(table, heard, strict=True)]
        return sum(terms[1:], terms[0])

    def _parts(self, offset: int, rows: int) -> list[tuple[int, int, int]]:
        """Rows x[(a + offset) % slots] of a device's a: the end of one device's block, then the start of the next's.

        Each part is (start, stop, devices away).
        """
        nearest = (offset + self.slots // 2) % self.slots - self.slots // 2
        away, start = divmod(nearest, rows)
        parts = [(start, rows, away), (0, start, away + 1)]
        return [part for part in parts if part[0] < part[1]]


def shifts_of(mixing: Neighbours, mesh: Mesh) -> Shifts | None:
    """The same mixing as shifts, or None where it is not circulant."""
    rounds = circulant_rounds(mixing)
    return None if rounds is None else Shifts(mixing.name, mixing.slots, mixing.messages, mesh, rounds)


def circulant_rounds(mixing: Neighbours) -> tuple[tuple[Shift, ...], ...] | None:
    """The offsets and weights of each round, or None where some slots mix otherwise than others.

    >>> import telejax as tj
    >>> [[offset for offset, _ in one] for one in circulant_rounds(tj.topology.ring(6).mixing())]
    [[0, 1, 5]]
    """
    own, weights, indices = (np.asarray(table) for table in (mixing.own, mixing.weights, mixing.indices))
    offsets = (indices - np.arange(mixing.slots)) % mixing.slots
    order = np.argsort(offsets, axis=1)  # neighbour lists go by number, in which rows at the ends wrap around
    offsets = np.take_along_axis(offsets, order, axis=1)
    weights = np.take_along_axis(np.broadcast_to(weights, indices.shape), order, axis=1)
    if not all((table == table[..., :1]).all() for table in (own, weights, offsets)):
        return None
    return tuple(
        (
            (0, float(own[t, 0])),
            *((int(o), float(w)) for o, w in zip(offsets[t, :, 0], weights[t, :, 0], strict=True) if w),
        )
        for t in range(len(own))
    )
