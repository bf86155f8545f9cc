"""Clocks of the slots, in simulated seconds: a max-plus recursion over whom each slot hears.

With c_a the clock of slot a, h_a its holder and delay(i, j) the time of a message between two nodes, a round is ::

    c_a <- max(c_a + delay(old h_a, new h_a) where the slot moved, free(new h_a))
    c_a <- c_a + steps * seconds(h_a)
    c_a <- max(c_a, max over b heard of departure_ba + delay(h_b, h_a))
    c_a <- max_b c_b    with waiting="barrier"

free(i) is when node i finished its last duty in any slot; a departure is at c_b or, with contention, after the messages
of b to lower slots. Clocks are whole seconds, int32, and a float32 rest, so that they tick on after 10^7 seconds; the
whole seconds move on by themselves in every round, so that bits do not depend on when one evaluates. At ``LAST`` they
stand still and the rest grows, by which the host sees that time is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from telejax.mixing.forms import Mixing
from telejax.mixing.transit import Arrives, Transit
from telejax.network.link_kinds import Links
from telejax.network.machines import Machines
from telejax.network.world import World
from telejax.state import STATIC, pytree

LAST = 2**31 - 128
"""Whole seconds to which clocks count, 68 years: the largest float32 that an int32 holds."""
FREE_ENTRIES = 2**20
"""Nodes whose last duty is remembered: all of as many. Of more, one of those that are equal modulo this number; the
other one is taken to be free, which it mostly is."""

Seconds = Float[Array, " slots"]
Wide = tuple[Int[Array, " slots"], Float[Array, " slots"]]
"""Whole seconds and a rest: a sum to which small times can be added for long."""


@pytree
@dataclass(frozen=True)
class OnTheWay(Transit):
    """The messages of one round, by the links between the holders of the slots."""

    ready: Seconds
    holders: Int[Array, " slots"]
    links: Links | None
    size: float = field(metadata=STATIC)
    contention: bool = field(metadata=STATIC)

    def takes(
        self, sender: Int[Array, "..."], receiver: Int[Array, "..."], share: float | Array = 1.0
    ) -> Float[Array, "..."]:
        if self.links is None:
            return jnp.zeros(jnp.broadcast_shapes(sender.shape, receiver.shape), jnp.float32)
        one, other = self.holders[sender], self.holders[receiver]
        return self.links.delay(one, other) + np.float32(self.size) * share / self.links.rate(one, other)

    def occupies(self, sender: Int[Array, "..."]) -> Float[Array, "..."]:
        assert self.links is not None, "contention is refused without links"
        return np.float32(self.size) / self.links.uplink(self.holders[sender])

    def served(self) -> Float[Array, "..."]:
        server = None if self.links is None else self.links.serving
        return jnp.zeros((), jnp.float32) if server is None else server.reached(self.size, self.holders)


@pytree
@dataclass(frozen=True)
class Clocks:
    """How time passes; see :class:`telejax.Network`."""

    links: Links | None
    machines: Machines | None
    waiting: Literal["barrier", "neighbours"] = field(metadata=STATIC)
    contention: bool = field(metadata=STATIC)

    def start(self, world: World, slots: int, nodes: int) -> World:
        """All clocks at 0."""
        zero, none = jnp.zeros(slots, jnp.float32), jnp.zeros(slots, jnp.int32)
        world = world.with_slot(
            base=none, clock=zero, started=zero, computed=zero, busy=(none, zero), waiting=(none, zero)
        )
        if self.waiting == "barrier":  # all have ended when the next round begins
            return world
        size = min(nodes, FREE_ENTRIES)
        whole, rest = jnp.zeros(size, jnp.int32), jnp.full(size, -jnp.inf, jnp.float32)
        return world.with_node(free=(whole, rest) if nodes == size else (whole, rest, jnp.full(size, -1, jnp.int32)))

    def begun(
        self,
        world: World,
        sources: Int[Array, "sources slots"],
        holders: Int[Array, " slots"],
        moved: Bool[Array, " slots"],
        size: float,
        waits: Seconds,
        served: bool,
    ) -> World:
        """A round begins: holders fetch what moved from its sources, or all from a server, and start when free.

        Args:
            world: of the network.
            sources: from whom each slot is fetched.
            holders: who has it now.
            moved: which slots are fetched.
            size: bytes of a slot.
            waits: seconds of attempts in vain.
            served: whether a server sends its model to all holders.
        """
        takes = jnp.zeros_like(waits)
        if served and self.links is not None:
            assert self.links.serving is not None
            takes = takes + self.links.serving.reached(size, holders)
            if self.contention:
                queue = jnp.arange(len(holders), dtype=jnp.float32)
                takes += queue * (np.float32(size) / self.links.serving.throughput)
        elif self.links is not None:
            slowest = jnp.max(self.links.takes(jnp.maximum(sources, 0), holders[None], size), axis=0)
            takes = jnp.where(moved, slowest, 0)
        begun = world.slot["clock"] + takes + waits
        free = self._free(world, holders)
        if free is None:
            return world.with_slot(clock=begun)
        idle = world.slot.get("idle", jnp.zeros(len(holders), bool))
        return world.with_slot(clock=jnp.where(idle, begun, jnp.maximum(begun, free)))

    def worked(
        self,
        key: Key[Array, ""],
        world: World,
        holders: Int[Array, " slots"],
        steps: int | Int[Array, " slots"],
        idle: Bool[Array, " slots"] | None = None,
        timeout: Seconds | None = None,
    ) -> World:
        """The holders compute so many gradients each; idle ones none. Then a failure is noticed after a timeout."""
        begun = world.slot["clock"]
        seconds = jnp.zeros_like(begun) if self.machines is None else steps * self.machines.of(key, holders)
        seconds = seconds.astype(jnp.float32) if idle is None else jnp.where(idle, 0, seconds).astype(jnp.float32)
        done = begun + seconds if timeout is None else begun + seconds + timeout
        if "worked" in world.slot:  # where the load of nodes is counted
            world = world.with_slot(worked=world.slot["worked"] + seconds)
        return world.with_slot(clock=done, started=begun, computed=done, busy=_add(world.slot["busy"], seconds))

    def one_by_one(self, world: World, holders: Int[Array, " slots"]) -> World:
        """Where a node holds several slots in a round, it computes them in their order, but for idle ones."""
        begun, done = world.slot["started"], world.slot["computed"]
        place = jnp.arange(len(holders), dtype=jnp.int32)
        holders = jnp.where(world.slot.get("idle", jnp.zeros(len(holders), bool)), -1 - place, holders)

        def wait(a: Array, times: tuple[Seconds, Seconds]) -> tuple[Seconds, Seconds]:
            begun, done = times
            earlier = (holders == holders[a]) & (place < a)
            late = jnp.maximum(0, jnp.max(jnp.where(earlier, done, -jnp.inf)) - begun[a])
            return begun.at[a].add(late), done.at[a].add(late)

        begun, done = jax.lax.fori_loop(0, len(holders), wait, (begun, done))
        return world.with_slot(clock=done, started=begun, computed=done)

    def heard(
        self,
        world: World,
        mixing: Mixing,
        round: Int[Array, ""],
        holders: Int[Array, " slots"],
        size: float,
        arrives: Arrives | None,
    ) -> World:
        """The slots wait for the messages that they hear."""
        transit = OnTheWay(world.slot["clock"], holders, self.links, size, self.contention)
        clock = mixing.last_arrivals(round, transit, arrives)
        return world.with_slot(clock=clock, waiting=_add(world.slot["waiting"], clock - world.slot["clock"]))

    def ended(
        self,
        world: World,
        holders: Int[Array, " slots"],
        groups: tuple[int, ...],
        idle: Bool[Array, " slots"] | None = None,
    ) -> tuple[World, Seconds]:
        """The round ends: at a barrier for each group of slots, or for each slot by itself; and when it has ended."""
        clock = world.slot["clock"]
        if self.waiting == "barrier":
            clock = _each_group(jnp.max, clock, groups)
        waited = clock - world.slot["clock"]
        shift = jnp.minimum(jnp.floor(_each_group(jnp.min, clock, groups)), _left(world.slot["base"]))
        base = world.slot["base"] + shift.astype(jnp.int32)
        world = world.with_slot(base=base, clock=clock - shift, waiting=_add(world.slot["waiting"], waited))
        if self.waiting == "barrier":
            return world, clock
        whole, rest, *names = world.node["free"]
        place = holders % len(whole)  # twice the same where tokens meet: the node is free after the last of them
        if idle is not None:  # whose holder was not there, or had a slot before that nobody could fetch
            place = jnp.where(idle, len(whole), place)
        whole = whole.at[place].set(base, mode="drop")
        rest = rest.at[place].set(-jnp.inf, mode="drop").at[place].max(world.slot["clock"], mode="drop")
        names = [one.at[place].set(-1, mode="drop").at[place].max(holders, mode="drop") for one in names]
        return world.with_node(free=(whole, rest, *names)), clock

    def latest(self, world: World) -> tuple[Int[Array, ""], Float[Array, ""]]:
        """The largest clock: whole seconds, and a rest below 1."""
        whole, rest = _add((world.slot["base"], jnp.zeros_like(world.slot["clock"])), world.slot["clock"])
        largest = jnp.max(whole)
        return largest, jnp.max(jnp.where(whole == largest, rest, 0))

    def told(self, world: World, groups: tuple[int, ...]) -> Mapping[str, tuple[Array, ...] | Array]:
        """The largest clock of each group, and the shares of the slots' time that they computed and waited."""
        first = lambda x: _of_groups(lambda part: part[0], x, groups)
        time = first(world.slot["base"]), _of_groups(jnp.max, world.slot["clock"], groups)
        whole = time[0].astype(jnp.float32) + time[1]
        share = lambda sums: _of_groups(jnp.mean, sums[0].astype(jnp.float32) + sums[1], groups)
        of_time = lambda name: jnp.where(whole > 0, share(world.slot[name]) / jnp.where(whole > 0, whole, 1), 0)
        return {"time": time, "busy": of_time("busy"), "waiting": of_time("waiting")}

    def _free(self, world: World, holders: Int[Array, " slots"]) -> Seconds | None:
        """When each holder has ended its last duty in any slot; None where all have when a round begins."""
        if self.waiting == "barrier":
            return None
        whole, rest, *names = world.node["free"]
        place = holders % len(whole)
        free = (whole[place] - world.slot["base"]).astype(jnp.float32) + rest[place]
        return jnp.where(names[0][place] == holders, free, -jnp.inf) if names else free


def _add(total: Wide, seconds: Seconds) -> Wide:
    whole, rest = total
    rest = rest + seconds
    carried = jnp.minimum(jnp.floor(rest), _left(whole))
    return whole + carried.astype(jnp.int32), rest - carried


def _left(whole: Int[Array, " slots"]) -> Seconds:
    """Seconds until whole ones stand still."""
    return (LAST - whole).astype(jnp.float32)


def _of_groups(function: Callable[[Array], Array], x: Array, groups: tuple[int, ...]) -> Array:
    """Of each group of slots, (groups,)."""
    ends = np.cumsum(groups)[:-1].tolist()
    return jnp.stack([function(part) for part in jnp.split(x, ends)])


def _each_group(function: Callable[[Array], Array], x: Array, groups: tuple[int, ...]) -> Array:
    """Of its group for each slot, (slots,)."""
    if len(groups) == 1:
        return jnp.broadcast_to(function(x), x.shape)
    return jnp.repeat(_of_groups(function, x, groups), np.array(groups), total_repeat_length=sum(groups))
