"""More than one device: the slot axis sharded over a mesh, and circulant mixing that moves boundary rows only.

Everything but the mixing is work on single slots, which the compiler splits by itself. A ring's gather it would
answer with an all-gather of all parameters; as shifts by a fixed offset, each device sends its neighbour the
rows that cross the boundary (a collective permute).
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from telejax.mixing.forms import STATIC, Neighbours, pytree

Shift = tuple[int, float]
"""Every slot a hears slot (a + offset) % slots with this weight."""


def slot_mesh(mesh: Mesh | None, devices: str | None) -> Mesh | None:
    """The mesh over which slots are sharded, from ``mesh`` or from a text such as "cpu:2".

    Raises:
        ValueError: both are given, a mesh of several axes, or more devices than there are.
    """
    if mesh is not None and devices is not None:
        raise ValueError(f"mesh is {mesh} and devices is {devices!r}; give one of them")
    if devices is not None:
        return _named(devices)
    if mesh is not None and len(mesh.axis_names) != 1:
        raise ValueError(f"mesh has the axes {mesh.axis_names}; give a mesh of one axis, over which slots are sharded")
    # the compiler places what is not placed here, also where the axis was made explicit, as jax.make_mesh does
    return None if mesh is None else Mesh(mesh.devices, mesh.axis_names)


def _named(devices: str) -> Mesh:
    platform, _, count = devices.partition(":")
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"devices is {devices!r}; give a platform and how many, as in 'cpu:2'")
    try:
        found = jax.devices(platform)
    except RuntimeError as error:
        raise ValueError(f"devices is {devices!r}; there is no such platform here: {error}") from None
    if len(found) < int(count):
        remedy = f"; start Python with JAX_NUM_CPU_DEVICES={count} in the environment" if platform == "cpu" else ""
        raise ValueError(f"devices is {devices!r} and jax sees {len(found)}{remedy or '; give at most that many'}")
    return Mesh(np.array(found[: int(count)]), ("slots",))


def one_device_a_core() -> int:
    """Make each core of the CPU a jax device, so that loops over nodes are divided over them; how many there are.

    XLA divides single operations over cores, but a loop over nodes (:mod:`telejax.backend.batched_map`), which
    convolutions with their own weights take, runs on one core a device. To be called before jax computes anything;
    afterwards, or where ``JAX_NUM_CPU_DEVICES`` is set, the devices stay as they are.
    """
    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # not set
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    return jax.local_device_count("cpu")


@dataclass(frozen=True)
class Placement:
    """Where arrays of a simulation live: on one device (``mesh`` None), or slots sharded and all else replicated."""

    mesh: Mesh | None
    lane_axes: int

    def check(self, slots: int) -> None:
        """Raise a ValueError unless the mesh divides the slots."""
        if self.mesh is not None and slots % self.mesh.size:
            raise ValueError(
                f"mesh has {self.mesh.size} devices, which do not divide {slots} slots; "
                f"use {np.gcd(self.mesh.size, slots)} devices, or a multiple of {self.mesh.size} slots"
            )

    def replicate(self, tree: Any) -> Any:
        """Copy arrays to every device; Python numbers stay what they are."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        # through NumPy, so that each of several processes may give its own copy
        put = lambda x: x if isinstance(x, int | float) else jax.device_put(np.asarray(x), everywhere)
        return jax.tree.map(put, tree)

    def constrain(self, state: Any, rest: Any) -> tuple[Any, Any]:
        """Inside a program: shard the slots of ``state`` and replicate ``rest``."""
        if self.mesh is None:
            return state, rest
        (axis,) = self.mesh.axis_names
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        slots = NamedSharding(self.mesh, PartitionSpec(*[None] * self.lane_axes, axis))
        pin = jax.lax.with_sharding_constraint
        held = pin(state.holders, everywhere), pin(state.round, everywhere)
        sharded = jax.tree.map(lambda x: pin(x, slots), replace(state, holders=None, round=None))
        return replace(sharded, holders=held[0], round=held[1]), jax.tree.map(lambda x: pin(x, everywhere), rest)

    def spread(self, algorithm: Any) -> Any:
        """The algorithm with mixing that is fast on the mesh, where its graph is circulant."""
        mixing = getattr(algorithm, "mixing", None)
        if self.mesh is None or not isinstance(mixing, Neighbours):
            return algorithm
        rounds = circulant_rounds(mixing)
        if rounds is None:
            return algorithm
        return replace(algorithm, mixing=Shifts(mixing.name, mixing.slots, mixing.messages, self.mesh, rounds))


@pytree
@dataclass(frozen=True)
class Shifts:
    """Circulant mixing over a mesh: ``x_new[a] = sum_m weight_m x[(a + offset_m) % slots]``."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: tuple[int, ...] = field(metadata=STATIC)
    mesh: Mesh = field(metadata=STATIC)
    rounds: tuple[tuple[Shift, ...], ...] = field(metadata=STATIC)

    def apply(self, x: Float[Array, "slots ..."], round: Int[Array, ""]) -> Float[Array, "slots ..."]:
        spec = PartitionSpec(*self.mesh.axis_names)
        branches = [
            jax.shard_map(partial(self._mixed, shifts), mesh=self.mesh, in_specs=spec, out_specs=spec)
            for shifts in self.rounds
        ]
        return branches[0](x) if len(branches) == 1 else jax.lax.switch(round % len(branches), branches, x)

    def _mixed(self, shifts: Sequence[Shift], block: Array) -> Array:
        """Lay out what this device hears after its own rows, then read both row by row.

        Read as slices, the update that made the block would be computed again for every shift.
        """
        (axis,) = self.mesh.axis_names
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
        weights = [jnp.asarray(weight, block.dtype) for _, weight in shifts]
        terms = [
            weight * laid_out.at[index].get(mode="promise_in_bounds")
            for weight, index in zip(weights, indices, strict=True)
        ]
        return sum(terms[1:], terms[0])

    def _parts(self, offset: int, rows: int) -> list[tuple[int, int, int]]:
        """Rows x[(a + offset) % slots] of a device's a: the end of one device's block, then the start of the next's.

        Each part is (start, stop, devices away).
        """
        nearest = (offset + self.slots // 2) % self.slots - self.slots // 2
        away, start = divmod(nearest, rows)
        parts = [(start, rows, away), (0, start, away + 1)]
        return [part for part in parts if part[0] < part[1]]


def circulant_rounds(mixing: Neighbours) -> tuple[tuple[Shift, ...], ...] | None:
    """The offsets and weights of each round, or None where some slots mix otherwise than others.

    >>> import telejax as tj
    >>> [[offset for offset, _ in one] for one in circulant_rounds(tj.topology.ring(6).mixing())]
    [[0, 1, 5]]
    """
    own, weights, indices = (np.asarray(getattr(mixing, one.name)) for one in fields(mixing)[-3:])
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
