"""A record of the first rounds: who held each slot, and when it fetched, computed and waited."""

from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from telejax.network.world import World
from telejax.state import STATIC, pytree


@pytree
@dataclass(frozen=True)
class Record:
    """Of so many rounds from the first one on."""

    rounds: int = field(metadata=STATIC)

    def start(self, world: World, slots: int, timed: bool) -> World:
        """Tables (rounds, slots) of nobody."""
        nobody = jnp.full((self.rounds, slots), -1, jnp.int32)
        tables = {"holder": nobody, "source": nobody}
        if timed:
            zero = jnp.zeros((self.rounds, slots), jnp.float32)
            tables |= {"base": jnp.zeros((self.rounds, slots), jnp.int32)}
            tables |= dict.fromkeys(("asked", "started", "computed", "ended"), zero)
            world = world.with_slot(asked=zero[0])
        return world.with_common(record=tables, recorded=jnp.int32(0))

    def ended(
        self,
        world: World,
        holders: Int[Array, " slots"],
        idle: Bool[Array, " slots"] | None,
        times: tuple[Array, Array] | None,
    ) -> World:
        """Write down a round, unless the record is full."""
        tables, at = world.common["record"], world.common["recorded"]
        active = holders if idle is None else jnp.where(idle, -1, holders)
        row = {"holder": active, "source": world.slot["source"]}
        if times is not None:  # the whole seconds from which the others count, and when the round ended
            row |= {name: world.slot[name] for name in ("asked", "started", "computed")}
            row |= {"base": times[0], "ended": times[1]}
            world = world.with_slot(asked=world.slot["clock"])  # when the next round begins, handed over or not
        written = {name: table.at[at].set(row[name], mode="drop") for name, table in tables.items()}
        return world.with_common(record=written, recorded=at + 1)
