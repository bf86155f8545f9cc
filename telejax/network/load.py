"""The load of single nodes: how often each is active, what it sends and receives, how long it computes."""

from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from telejax.network.world import World
from telejax.state import STATIC, pytree

EXACT = 10**6
"""Nodes of which each is followed; of more, every so-many-th."""

COUNTED = ("active", "sent", "received", "handed", "fetched")


@pytree
@dataclass(frozen=True)
class Load:
    """Of which nodes the load is counted: all, or every ``stride``-th."""

    nodes: int = field(metadata=STATIC)
    stride: int = field(metadata=STATIC)

    @staticmethod
    def over(nodes: int) -> "Load":
        """Of all nodes, up to a million."""
        return Load(nodes, -(-nodes // EXACT))

    @property
    def followed(self) -> np.ndarray:
        """The nodes whose load is counted."""
        return np.arange(0, self.nodes, self.stride)

    def start(self, world: World) -> World:
        """Nothing done yet."""
        size = len(self.followed)
        counts = {name: jnp.zeros(size, jnp.uint32) for name in COUNTED}
        seconds = jnp.zeros(size, jnp.int32), jnp.zeros(size, jnp.float32)
        if "computed" in world.slot:
            world = world.with_slot(worked=jnp.zeros_like(world.slot["computed"]))
        return world.with_node(load=counts | {"seconds": seconds})

    def ended(
        self,
        world: World,
        holders: Int[Array, " slots"],
        idle: Bool[Array, " slots"] | None,
    ) -> World:
        """Add what the holders did in a round, and what those before them handed over."""
        load, size = world.node["load"], len(self.followed)
        place, source = self._place(holders), world.slot["source"]
        moved = source >= 0
        worked = jnp.ones(len(holders), bool) if idle is None else ~idle
        add = lambda name, at, events: load[name].at[at].add(events.astype(jnp.uint32), mode="drop")
        counts = {
            "active": add("active", place, worked),
            "sent": add("sent", place, world.slot["sent"]),
            "received": add("received", place, world.slot["received"]),
            "fetched": add("fetched", place, moved),
            "handed": add("handed", jnp.where(moved, self._place(source), size), moved),
        }
        whole, rest = load["seconds"]
        if "worked" in world.slot:
            rest = rest.at[place].add(world.slot["worked"], mode="drop")
            carried = jnp.floor(rest)
            whole, rest = whole + carried.astype(jnp.int32), rest - carried
        return world.with_node(load=counts | {"seconds": (whole, rest)})

    def fetched(
        self,
        world: World,
        sources: Int[Array, "sources slots"],
        holders: Int[Array, " slots"],
        moved: Bool[Array, " slots"],
    ) -> World:
        """Add what was fetched of the slots that moved, beside the slots themselves, from others."""
        load, size = world.node["load"], len(self.followed)
        count = len(sources) * moved.astype(jnp.uint32)
        fetched = load["fetched"].at[self._place(holders)].add(count, mode="drop")
        asked = jnp.where(moved[None], self._place(sources), size)
        handed = load["handed"].at[asked].add(jnp.uint32(1), mode="drop")
        return world.with_node(load={**load, "fetched": fetched, "handed": handed})

    def _place(self, node: Int[Array, " slots"]) -> Int[Array, " slots"]:
        """Where a node is counted; beyond the end where it is not."""
        return jnp.where(node % self.stride == 0, node // self.stride, len(self.followed))
