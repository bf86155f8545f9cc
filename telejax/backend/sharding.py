"""More than one device: the slot axis sharded over a mesh.

Everything but the mixing is work on single slots, which the compiler splits by itself.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from telejax.errors import short


def slot_mesh(mesh: Mesh | None, devices: str | None) -> Mesh | None:
    """The mesh over which slots are sharded, from ``mesh`` or from a text such as "cpu:2".

    Raises:
        ValueError: both are given, a mesh of several axes, or more devices than there are.
    """
    if mesh is not None and devices is not None:
        raise ValueError(f"mesh is {mesh} and devices is {short(devices)}; give one of them")
    if devices is not None:
        return _named(devices)
    if mesh is not None and len(mesh.axis_names) != 1:
        raise ValueError(f"mesh has the axes {mesh.axis_names}; give a mesh of one axis, over which slots are sharded")
    # the compiler places what is not placed here, also where the axis was made explicit, as jax.make_mesh does
    return None if mesh is None else Mesh(mesh.devices, mesh.axis_names)


def _named(devices: str) -> Mesh:
    platform, _, count = devices.partition(":")
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"devices is {short(devices)}; give a platform and how many, as in 'cpu:2'")
    try:
        found = jax.devices(platform)
    except RuntimeError as error:
        told = f"devices is {short(devices)}; there is no such platform here: {error}"
        raise ValueError(f"{told}; give one of this machine, as in 'cpu:2'") from None
    if len(found) < int(count):
        remedy = f"; start Python with JAX_NUM_CPU_DEVICES={count} in the environment" if platform == "cpu" else ""
        told = f"devices is {short(devices)} and jax sees {len(found)}"
        raise ValueError(f"{told}{remedy or '; give at most that many'}")
    return Mesh(np.array(found[: int(count)]), ("slots",))


def check_platform() -> None:
    """Raise a ValueError where jax finds no device of the platforms that it was told to use."""
    try:
        jax.devices()
    except Exception as error:  # a RuntimeError at first, others when asked again
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        config: Any = jax.config  # whose attributes some versions tell type checkers, and some do not
        asked = config.jax_platforms
        raise ValueError(
            f"JAX_PLATFORMS is {asked!r}, and jax finds no such device ({told}); unset it, or "
            "give one that this machine has, such as cpu"
        ) from error


def one_device_a_core() -> int:
    """Make each core of the CPU a jax device, so that loops over nodes are divided over them; how many there are.

    XLA divides single operations over cores, but a loop over nodes (:mod:`telejax.backend.batched_map`), which
    convolutions with their own weights take, runs on one core a device. To be called before jax computes anything;
    afterwards, or where ``JAX_NUM_CPU_DEVICES`` is set, the devices stay as they are.
    """
    if jax.config.values["jax_num_cpu_devices"] < 0:  # not set
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    return jax.local_device_count("cpu")


@dataclass(frozen=True)
class SlotSharding:
    """Where arrays of a simulation live: on one device (``mesh`` None), or slots sharded and all else replicated."""

    mesh: Mesh | None
    batch_axes: int
    """How many axes of runs stand before that of the slots."""

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

    def replicated(self, tree: Any) -> Any:
        """Inside a program: on every device."""
        return self._constrained(tree, lambda shape: PartitionSpec())

    def sharded(self, tree: Any) -> Any:
        """Inside a program: the axis after those of the runs over the mesh, where it divides."""
        return self._constrained(tree, self._over_devices)

    def _over_devices(self, shape: tuple[int, ...]) -> PartitionSpec:
        assert self.mesh is not None
        divides = len(shape) > self.batch_axes and shape[self.batch_axes] % self.mesh.size == 0
        return PartitionSpec(*[None] * self.batch_axes, *self.mesh.axis_names) if divides else PartitionSpec()

    def _constrained(self, tree: Any, spec: Any) -> Any:
        if self.mesh is None:
            return tree
        mesh, pin = self.mesh, jax.lax.with_sharding_constraint
        return jax.tree.map(lambda x: pin(x, NamedSharding(mesh, spec(x.shape))), tree)
