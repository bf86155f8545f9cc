"""Random matchings on the device: partners drawn from the key of the round, which no table of a period holds."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from telejax.mixing.accounting import Messages
from telejax.mixing.forms import STATIC, Mixing, Rows, pytree

if TYPE_CHECKING:
    from telejax.topology.matchings import MatchingDistribution


@pytree
@dataclass(frozen=True)
class RandomMatching(Mixing):
    """Partners drawn anew in every round, the same for all leaves: ``x_new = (1 - weight) x + weight x[partners]``."""

    name: str = field(metadata=STATIC)
    distribution: "MatchingDistribution" = field(metadata=STATIC)
    weight: float = field(metadata=STATIC)
    seed: UInt[np.ndarray | Array, ""]

    @property
    def slots(self) -> int:  # type: ignore[override]
        return self.distribution.nodes

    @property
    def messages(self) -> Messages:  # type: ignore[override]
        if self.distribution.constant:
            return (int(self.distribution.messages),)
        return self._counts

    @property
    def degree(self) -> int:
        return 2

    def apply(
        self, kept: Float[Array, "slots ..."], sent: Float[Array, "slots ..."], round: Int[Array, ""]
    ) -> Float[Array, "slots ..."]:
        partners = self.distribution.partners(self._key(round))
        heard = sent.at[partners].get(mode="promise_in_bounds")
        if sent is not kept:
            alone = partners == jnp.arange(self.slots, dtype=partners.dtype)
            heard = jnp.where(alone.reshape((-1,) + (1,) * (kept.ndim - 1)), kept, heard)
        return (1 - self.weight) * kept + self.weight * heard

    def neighbours(self, round: Int[Array, ""]) -> Rows:
        partners = self.distribution.partners(self._key(round))
        place = jnp.arange(self.slots, dtype=jnp.int32)
        heard = jnp.where(partners == place, 0.0, self.weight)
        return jnp.stack([place, partners]), jnp.stack([1 - heard, heard])

    def _counts(self, rounds: np.ndarray) -> np.ndarray:
        padded = np.zeros(1 << len(rounds).bit_length(), np.int32)  # few lengths, so that few are compiled
        padded[: len(rounds)] = rounds
        return np.asarray(_count(self, padded))[: len(rounds)]

    def _key(self, round: Array) -> Array:
        return jax.random.fold_in(jax.random.key(self.seed), round)


@jax.jit
def _count(mixing: RandomMatching, rounds: Int[Array, " rounds"]) -> Int[Array, " rounds"]:
    """Messages of each of the given rounds."""
    return jax.vmap(lambda t: mixing.distribution.count(mixing._key(t)))(rounds)
