"""What goes wrong with nodes and hand-offs: fetches that fail, holders that fail in their round.

Every event is counted: ``retries``, attempts in vain to fetch a slot; ``failed``, slots that could not be fetched at
all or whose holder failed; ``recovered``, those of them that went on from a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from telejax.errors import SECONDS, SHARE, Bound, check_integer, check_name
from telejax.network import draws
from telejax.state import STATIC, pytree

POLICIES = ("rollback", "neighbour", "lost")
Policy = Literal["rollback", "neighbour", "lost"]


@pytree
@dataclass(frozen=True)
class Faults:
    """See :func:`independent`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"hand_off": SHARE, "failure": SHARE, "timeout": SECONDS}

    hand_off: float | None
    failure: float | None
    timeout: float
    retries: int = field(metadata=STATIC)
    recovery: Policy = field(metadata=STATIC)

    def fetches(
        self, key: Key[Array, ""], old: Int[Array, " slots"], new: Int[Array, " slots"], moved: Bool[Array, " slots"]
    ) -> tuple[Int[Array, " slots"], Bool[Array, " slots"]]:
        """How many attempts were in vain, and which slots could not be fetched at all."""
        assert self.hand_off is not None
        uniform = draws.fractions(key, draws.FETCH, old, new)
        probability = jnp.asarray(self.hand_off, jnp.float32)
        powers = probability ** jnp.arange(1, self.retries + 2, dtype=jnp.float32)
        vain = jnp.sum(uniform[:, None] < powers[None], axis=1, dtype=jnp.int32)
        vain = jnp.where(moved, vain, 0)
        return vain, vain > self.retries

    def fails(self, key: Key[Array, ""], holders: Int[Array, " slots"]) -> Bool[Array, " slots"]:
        """Which holders fail in their round, after computing and before they send anything."""
        assert self.failure is not None
        return draws.happens(key, draws.FAILURE, self.failure, holders, jnp.int32(0))

    def waits(self, vain: Int[Array, " slots"]) -> Float[Array, " slots"]:
        """Seconds of attempts in vain."""
        return vain.astype(jnp.float32) * jnp.asarray(self.timeout, jnp.float32)


def independent(
    *,
    hand_off: float | None = None,
    failure: float | None = None,
    retries: int = 2,
    timeout: float = 1.0,
    recovery: Policy = "rollback",
) -> Faults:
    """Fetches that fail, and holders that fail, each by itself.

    Args:
        hand_off: probability that an attempt to fetch a slot from its former holder fails; may be tuned.
        failure: probability that a holder fails in its round, after computing and before it sends anything.
        retries: attempts after the first one.
        timeout: seconds after which an attempt, or a holder, is known to have failed.
        recovery: what becomes of a slot that cannot be fetched, or whose holder failed. "rollback": it goes on in the
            next round from what its former holder kept. "neighbour": from a copy of the next slot. "lost": from the
            initial point.

    Raises:
        ValueError: a probability outside [0, 1], retries or a timeout below 0, an unknown recovery.

    >>> independent(failure=0.01, recovery="neighbour").recovery
    'neighbour'
    """
    recovery = check_name("recovery", recovery, POLICIES)
    return Faults(
        None if hand_off is None else SHARE.check("hand_off", hand_off),
        None if failure is None else SHARE.check("failure", failure),
        SECONDS.check("timeout", timeout),
        check_integer("retries", retries, minimum=0, maximum=100),
        recovery,
    )
