"""What happens to messages, nodes and links: keyed draws, the same for every method that meets them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from telejax.random.hashed import hashed_bits
from telejax.random.threefry import fold_in

# what verbs fold into the key of a round: from 2^31 on, where no node's number is
LOSS = np.uint32(2**31)
OUTAGE = np.uint32(2**31 + 1)
FETCH = np.uint32(2**31 + 2)
FAILURE = np.uint32(2**31 + 3)
SECONDS = np.uint32(2**31 + 4)
PRESENCE = np.uint32(2**31 + 5)
PLACE = np.uint32(2**31 + 6)
CHOICE = np.uint32(2**31 + 7)
BYZANTINE = np.uint32(2**31 + 8)
FORGED_GOSSIP = np.uint32(2**31 + 9)
FORGED_FETCH = np.uint32(2**31 + 10)


def fractions(
    key: Key[Array, ""], cause: np.uint32, one: Int[Array, "..."], other: Int[Array, "..."]
) -> Float[Array, "..."]:
    """A uniform number from 0 to below 1, in steps of 2^-24, for each pair.

    Args:
        key: the unsplit key of the round, or that of what does not change with the rounds.
        cause: the constant of what is drawn.
        one: int32 numbers of nodes, in any shape;
        other: likewise, of a shape that broadcasts. The order of the two matters.

    >>> import jax, jax.numpy as jnp
    >>> drawn = fractions(jax.random.key(0), PLACE, jnp.arange(1000), jnp.int32(0))
    >>> round(float(drawn.mean()), 1)
    0.5
    """
    bits = hashed_bits(fold_in(key, cause), one, other)
    return (bits >> 8).astype(jnp.float32) * np.float32(2**-24)


def happens(
    key: Key[Array, ""], cause: np.uint32, probability: float | Array, one: Int[Array, "..."], other: Int[Array, "..."]
) -> Bool[Array, "..."]:
    """Whether something of this probability, in steps of 2^-24, happens between two nodes; see :func:`fractions`.

    >>> import jax, jax.numpy as jnp
    >>> nodes = jnp.arange(1000)
    >>> drawn = happens(jax.random.key(0), LOSS, 0.25, nodes[:, None], nodes[None])
    >>> round(float(drawn.mean()), 2)
    0.25
    """
    return fractions(key, cause, one, other) < probability
