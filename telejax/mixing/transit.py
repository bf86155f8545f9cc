"""When messages arrive: a max-plus recursion over whom each slot hears.

A message leaves its sender once that is ready (with contention, after those to lower slots), and is under way for a
time of its own; a slot is done when it is ready and all that it hears has arrived.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PAIRWISE = 1024
"""Slots up to which the queue of an uplink is counted in a matrix; beyond it by sorting."""

Arrives = Callable[[Int[Array, "..."], Int[Array, "..."]], Bool[Array, "..."]]
"""Sending and receiving slots (or SERVER), of shapes that broadcast -> whether each message arrives this round."""
Slots = Int[Array, "..."]
Times = Float[Array, "..."]


class Transit(ABC):
    """What the messages of one round meet, in the seconds of ``ready``; slots may have any shapes that broadcast."""

    ready: Float[Array, " slots"]
    """When each slot has something to send."""
    contention: bool
    """Whether an uplink sends one message after another."""

    @abstractmethod
    def takes(self, sender: Slots, receiver: Slots, share: float | Array = 1.0) -> Times:
        """How long a message, or a share of one, is under way."""

    @abstractmethod
    def occupies(self, sender: Slots) -> Times:
        """How long a message occupies the uplink."""

    @abstractmethod
    def served(self) -> Times:
        """How long a message from each slot to the server is under way."""


def arrivals(
    senders: Slots,
    receivers: Slots,
    sent: Bool[Array, "..."],
    transit: Transit,
    arrives: Arrives | None,
) -> Times:
    """When each message of a list arrives: -inf for one that is not sent, or lost, for which nobody waits.

    Args:
        senders: slots, in any shape;
        receivers: likewise.
        sent: which of the list are messages.
        transit: what they meet.
        arrives: who of them arrives; one that is lost occupies the uplink all the same. None where all do.
    """
    leaves = transit.ready[senders]
    if transit.contention:
        leaves = leaves + place_in_queue(senders, receivers, sent, len(transit.ready)) * transit.occupies(senders)
    heard = sent if arrives is None else sent & arrives(senders, receivers)
    return jnp.where(heard, leaves + transit.takes(senders, receivers), -jnp.inf)


def place_in_queue(senders: Slots, receivers: Slots, sent: Bool[Array, "..."], slots: int) -> Slots:
    """How many messages of its sender go to lower slots than each message of a list does.

    >>> senders, receivers = jnp.array([0, 1, 0]), jnp.array([2, 0, 1])
    >>> place_in_queue(senders, receivers, jnp.ones(3, bool), slots=3).tolist()
    [1, 0, 0]
    """
    if slots <= PAIRWISE:
        messages = jnp.zeros((slots, slots), jnp.int32).at[senders, receivers].max(sent.astype(jnp.int32))
        return (jnp.cumsum(messages, axis=1) - messages)[senders, receivers]
    by, to = jnp.where(sent, senders, slots).ravel(), receivers.ravel()
    order = jnp.lexsort((to, by))
    place, ordered = jnp.arange(len(by), dtype=jnp.int32), by[order]
    first = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    queue = place - jax.lax.cummax(jnp.where(first, place, 0))
    return jnp.zeros_like(place).at[order].set(queue).reshape(senders.shape)


def reduced_around(present: Bool[Array, " slots"], transit: Transit) -> Float[Array, " slots"]:
    """When a ring all-reduce among the present slots is done: 2 (m - 1) steps, each as slow as its slowest link."""
    slots = len(present)
    place = jnp.arange(slots, dtype=jnp.int32)
    count = jnp.sum(present, dtype=jnp.int32)
    named = jnp.where(present, place, slots)
    later = jnp.concatenate([jax.lax.cummin(named, reverse=True)[1:], jnp.full(1, slots, jnp.int32)])
    following = jnp.where(later < slots, later, jnp.min(named)) % slots
    step = jnp.max(jnp.where(present, transit.takes(place, following, 1 / jnp.maximum(count, 1)), 0))
    done = jnp.max(jnp.where(present, transit.ready, -jnp.inf)) + 2 * jnp.maximum(count - 1, 0) * step
    return jnp.where(present, done, transit.ready)


def gathered(heard: Bool[Array, " slots"], served: Bool[Array, " slots"], transit: Transit) -> Float[Array, " slots"]:
    """When a server has all uploads that it hears, for the slots that it serves."""
    done = jnp.max(jnp.where(heard, transit.ready + transit.served(), -jnp.inf))
    return jnp.where(served, jnp.maximum(transit.ready, done), transit.ready)
