"""Averages over all slots, and how they come about: among all, over a server, by an all-reduce."""

from dataclasses import dataclass, field
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from telejax.mixing.accounting import Messages
from telejax.mixing.aggregate import at_server
from telejax.mixing.forms import (
    MAX_DENSE_NODES,
    SERVER,
    STATIC,
    Delivered,
    Mixing,
    Rows,
    delivered_dense,
    pytree,
)
from telejax.mixing.rules import Rule
from telejax.mixing.transit import Arrives, Transit, gathered, reduced_around


@pytree
@dataclass(frozen=True)
class Mean(Mixing):
    """Averaging: W = lazy I + (1 - lazy) J / n in every round, exact consensus for lazy = 0."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: Messages = field(metadata=STATIC)
    lazy: float = field(metadata=STATIC, default=0.0)
    transport: Literal["all_to_all", "server", "all_reduce"] = field(metadata=STATIC, default="all_to_all")
    """How the mean comes about, which decides what can be lost: any message, an upload or a download, nothing."""

    @staticmethod
    def over(slots: int, name: str = "complete", lazy: float = 0.0) -> "Mean":
        """The mean over ``slots`` slots, each of which hears from every other."""
        return Mean(name, slots, (slots * (slots - 1),), lazy)

    @property
    def degree(self) -> int:
        return self.slots

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        mean = jnp.broadcast_to(jnp.mean(sent, axis=0, keepdims=True), sent.shape)
        if sent is not kept:
            mean += (kept - sent) / self.slots
        return mean if self.lazy == 0 else self.lazy * kept + (1 - self.lazy) * mean

    def aggregate(
        self,
        rule: Rule,
        kept: Float[Array, "slots d"],
        sent: Float[Array, "slots d"],
        round: Int[Array, ""],
        server: Float[Array, " d"] | None = None,
    ) -> Float[Array, "slots d"]:
        """Once, as all have the same vectors, unless the rule asks for each slot's own."""
        if rule.needs_own and server is None:
            return super().aggregate(rule, kept, sent, round)
        one = at_server(rule, sent, jnp.ones(self.slots, bool), server)
        return jnp.broadcast_to(one[None], kept.shape)

    def fewest(self) -> tuple[int, int, int]:
        return self.slots, 0, 0

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        place = jnp.arange(self.slots, dtype=jnp.int32)
        weights = jnp.full((self.slots, self.slots), (1 - self.lazy) / self.slots)
        return (place[:, None] + place[None]) % self.slots, weights.at[0].add(self.lazy)

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        if self.transport == "all_reduce":
            return Delivered(self, jnp.zeros(self.slots, jnp.int32), jnp.zeros(self.slots))
        if self.transport == "server":
            return self._served().delivered(round, arrives)
        if self.slots > MAX_DENSE_NODES:
            raise ValueError(
                f"topology {self.name!r} has {self.slots} slots, each of which hears all others; messages can be lost "
                f"among at most {MAX_DENSE_NODES}, take a graph of lower degree"
            )
        off = (1 - self.lazy) / self.slots
        matrix = jnp.full((self.slots, self.slots), off) + self.lazy * jnp.eye(self.slots)
        return delivered_dense(self.name, matrix, arrives)

    def among(self, round: Int[Array, ""], present: Bool[Array, " slots"]) -> Delivered:
        if self.transport == "all_to_all":
            return super().among(round, present)
        served = Served(self.name, self.slots, (0,), present, present, self.transport)
        absent = (~present).astype(jnp.int32)
        return Delivered(served, 2 * absent, served.surplus())

    def last_arrivals(
        self, round: Int[Array, ""], transit: Transit, arrives: Arrives | None = None
    ) -> Float[Array, " slots"]:
        if self.transport == "all_to_all":
            return super().last_arrivals(round, transit, arrives)
        return self._served().last_arrivals(round, transit, arrives)

    def exchanged(
        self, round: Int[Array, ""], arrives: Arrives | None = None
    ) -> tuple[Int[Array, " slots"], Int[Array, " slots"]]:
        if self.transport == "all_to_all":
            return super().exchanged(round, arrives)
        return self._served().exchanged(round, arrives)

    def _served(self) -> "Served":
        """A mean that does not come about from all to all, of one round."""
        assert self.transport != "all_to_all"
        all_slots = jnp.ones(self.slots, bool)
        return Served(self.name, self.slots, (0,), all_slots, all_slots, self.transport)


@pytree
@dataclass(frozen=True)
class Served(Mixing):
    """One round of a mean over a server: of the uploads that arrived, for those whose download arrived.

    Where no upload arrives, every slot keeps its model.
    """

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    messages: Messages = field(metadata=STATIC)
    up: Bool[Array, " slots"]
    down: Bool[Array, " slots"]
    transport: Literal["server", "all_reduce"] = field(metadata=STATIC, default="server")

    @property
    def degree(self) -> int:
        return self.slots

    def delivered(self, round: Int[Array, ""], arrives: Arrives) -> Delivered:
        if self.transport == "all_reduce":
            return Delivered(self, jnp.zeros(self.slots, jnp.int32), jnp.zeros(self.slots))
        place = jnp.arange(self.slots, dtype=jnp.int32)
        up, down = self.up & arrives(place, jnp.int32(SERVER)), self.down & arrives(jnp.int32(SERVER), place)
        lost = (self.up & ~up).astype(jnp.int32) + (self.down & ~down).astype(jnp.int32)
        left = Served(self.name, self.slots, (0,), up, down & jnp.any(up))
        return Delivered(left, lost, left.surplus() - self.surplus())

    def last_arrivals(
        self, round: Int[Array, ""], transit: Transit, arrives: Arrives | None = None
    ) -> Float[Array, " slots"]:
        if self.transport == "all_reduce":
            return reduced_around(self.up, transit)
        place = jnp.arange(self.slots, dtype=jnp.int32)
        up = self.up if arrives is None else self.up & arrives(place, jnp.int32(SERVER))
        return gathered(up, self.up, transit)

    def exchanged(
        self, round: Int[Array, ""], arrives: Arrives | None = None
    ) -> tuple[Int[Array, " slots"], Int[Array, " slots"]]:
        sent = self.up.astype(jnp.int32)
        if self.transport == "all_reduce":
            return 2 * sent, 2 * sent  # (m - 1) / m of them, in pieces
        place = jnp.arange(self.slots, dtype=jnp.int32)
        down = self.down if arrives is None else self.down & arrives(jnp.int32(SERVER), place)
        return sent, down.astype(jnp.int32)

    def _share(self) -> Float[Array, " slots"]:
        """What each slot weighs in the server's mean."""
        return self.up / jnp.maximum(jnp.sum(self.up), 1)

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        column = (-1,) + (1,) * (kept.ndim - 1)
        up, share = self.up.reshape(column), self._share().astype(sent.dtype)
        mean = jnp.tensordot(share, jnp.where(up, sent, 0), axes=1, precision="highest")[None]
        if sent is not kept:
            mean += share.reshape(column) * jnp.where(up, kept - sent, 0)
        return jnp.where(self.down.reshape(column), mean, kept)

    def aggregate(
        self,
        rule: Rule,
        kept: Float[Array, "slots d"],
        sent: Float[Array, "slots d"],
        round: Int[Array, ""],
        server: Float[Array, " d"] | None = None,
    ) -> Float[Array, "slots d"]:
        if rule.needs_own and server is None:
            return super().aggregate(rule, kept, sent, round)
        return jnp.where(self.down[:, None], at_server(rule, sent, self.up, server)[None], kept)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        place = jnp.arange(self.slots, dtype=jnp.int32)
        indices = (place[:, None] + place[None]) % self.slots
        weights = jnp.where(self.down[None], self._share()[indices], 0)
        return indices, weights.at[0].add(~self.down)

    def surplus(self) -> Float[Array, " slots"]:
        """What the losses add to the column sums, which are one without them."""
        return self._share() * jnp.sum(self.down) - self.down
