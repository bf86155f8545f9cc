"""Peers drawn on the device from the key of the round, which no table of a period holds."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

from telejax.mixing.accounting import Messages
from telejax.mixing.forms import MAX_NEIGHBOURS, STATIC, Mixing, Rows, pytree
from telejax.random.threefry import fold_in

if TYPE_CHECKING:
    from telejax.topology.peers import PeerDistribution


class Drawn(Mixing):
    """Peers drawn anew in every round, the same for all leaves: ``x_new = (1 - weight) x + weight mean_m x[peers[m]]``.

    A peer that is the slot itself is none, and sends nothing.
    """

    weight: float
    """What a slot gives to all that it hears."""
    seed: UInt[np.ndarray | Array, ""]

    @abstractmethod
    def peers(self, round: Int[Array, ""]) -> Int[Array, "peers slots"]:
        """Whom each slot hears in a round, int32."""

    @abstractmethod
    def count(self, round: Int[Array, ""]) -> Int[Array, ""]:
        """How many models are sent in a round, int32."""

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        peers = self.peers(round)

        def hear(m: Array, mixed: Array) -> Array:
            heard = sent.at[peers[m]].get(mode="promise_in_bounds")
            if sent is not kept:
                alone = peers[m] == jnp.arange(self.slots, dtype=peers.dtype)
                heard = jnp.where(alone.reshape((-1,) + (1,) * (kept.ndim - 1)), kept, heard)
            return mixed + self.weight / len(peers) * heard

        few = len(peers) <= MAX_NEIGHBOURS
        return jax.lax.fori_loop(0, len(peers), hear, (1 - self.weight) * kept, unroll=few)

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        peers = self.peers(round)
        place = jnp.arange(self.slots, dtype=jnp.int32)
        told, times = _once(peers)
        heard = self.weight / len(peers) * jnp.where(told == place[None], 0, times).astype(float)
        return jnp.concatenate([place[None], told]), jnp.concatenate([1 - jnp.sum(heard, axis=0, keepdims=True), heard])

    def fewest(self) -> tuple[int, int, int]:
        """Of the peers that a slot may have; those that a round does not draw count as missing."""
        return self.degree, 0, 0

    def counts(self, rounds: np.ndarray) -> np.ndarray:
        """How many models are sent in each of the given rounds."""
        padded = np.zeros(1 << len(rounds).bit_length(), np.int32)  # few lengths, so that few are compiled
        padded[: len(rounds)] = rounds
        return np.asarray(_count(self, padded))[: len(rounds)]

    def key(self, round: Array) -> Array:
        """What the draws of a round come from."""
        return fold_in(jax.random.key(self.seed), round)


@pytree
@dataclass(frozen=True)
class RandomPeers(Drawn):
    """Peers drawn from a distribution that treats all slots alike."""

    name: str = field(metadata=STATIC)
    distribution: "PeerDistribution" = field(metadata=STATIC)
    weight: float = field(metadata=STATIC)
    seed: UInt[np.ndarray | Array, ""]

    @property
    def slots(self) -> int:  # type: ignore[override]
        return self.distribution.nodes

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        if self.distribution.constant:
            return (int(self.distribution.messages),)
        return self.counts

    @property
    def degree(self) -> int:
        return self.distribution.peers + 1

    def peers(self, round: Int[Array, ""]) -> Int[Array, "peers slots"]:
        return self.distribution.draw(self.key(round))

    def count(self, round: Int[Array, ""]) -> Int[Array, ""]:
        return self.distribution.count(self.key(round))


@pytree
@dataclass(frozen=True)
class RandomActivation(Drawn):
    """Matchings of one graph, each of them active in a round by a coin of its own."""

    name: str = field(metadata=STATIC)
    slots: int = field(metadata=STATIC)
    weight: float = field(metadata=STATIC)
    matchings: Int[np.ndarray | Array, "matchings slots"]
    """The partner of each slot in each matching; a slot without one is its own."""
    probabilities: Float[np.ndarray | Array, " matchings"]
    seed: UInt[np.ndarray | Array, ""]

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        return self.counts

    @property
    def degree(self) -> int:
        return int(self.matchings.shape[0]) + 1

    def peers(self, round: Int[Array, ""]) -> Int[Array, "peers slots"]:
        place = jnp.arange(self.slots, dtype=jnp.int32)
        return jnp.where(self.active(round)[:, None], self.matchings, place[None])

    def fewest(self) -> tuple[int, int, int]:
        partners = 1 + np.sum(np.asarray(self.matchings) != np.arange(self.slots), axis=0)
        return int(partners.min()), int(partners.argmin()), 0

    def count(self, round: Int[Array, ""]) -> Int[Array, ""]:
        sizes = jnp.sum(jnp.asarray(self.matchings) != jnp.arange(self.slots)[None], axis=1, dtype=jnp.int32)
        return jnp.sum(jnp.where(self.active(round), sizes, 0))

    def active(self, round: Int[Array, ""]) -> Bool[Array, " matchings"]:
        """Whether each matching is used in a round."""
        coins = jax.random.uniform(self.key(round), (self.degree - 1,), jnp.float32)
        return coins < jnp.asarray(self.probabilities, jnp.float32)


def _once(peers: Int[Array, "peers slots"]) -> tuple[Int[Array, "peers slots"], Int[Array, "peers slots"]]:
    """The peers with those that a slot draws twice named once, and how often each was drawn.

    An entry that is left over names its slot, 0 times. Long lists are left as they are: who needs each peer once
    makes a matrix of them.
    """
    if len(peers) > MAX_NEIGHBOURS:
        return peers, jnp.ones_like(peers)
    same = peers[:, None] == peers[None]
    earlier = jnp.tril(jnp.ones((len(peers),) * 2, bool), k=-1)[..., None]
    again = jnp.any(same & earlier, axis=1)
    place = jnp.arange(peers.shape[1], dtype=peers.dtype)
    return jnp.where(again, place[None], peers), jnp.where(again, 0, jnp.sum(same, axis=1, dtype=jnp.int32))


@jax.jit
def drawn_peers(mixing: Drawn, round: Int[Array, ""]) -> Int[Array, "peers slots"]:
    """The draw of a round, compiled."""
    return mixing.peers(round)


@jax.jit
def _count(mixing: Drawn, rounds: Int[Array, " rounds"]) -> Int[Array, " rounds"]:
    """Models sent in each of the given rounds."""
    return jax.lax.map(mixing.count, rounds)
