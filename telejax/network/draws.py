"""What happens to a message: a keyed draw for a pair of nodes, the same for every method that uses the link."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from telejax.random.normal import GOLDEN, scramble

# what verbs fold into the key of a round: from 2^31 on, where no node's number is
LOSS = np.uint32(2**31)
OUTAGE = np.uint32(2**31 + 1)


def happens(
    key: Key[Array, ""], cause: np.uint32, probability: float | Array, one: Int[Array, "..."], other: Int[Array, "..."]
) -> Bool[Array, "..."]:
    """Whether something of this probability happens between two nodes in a round.

    Args:
        key: the unsplit key of the round.
        cause: the constant of what may happen.
        probability: from 0 to 1, in steps of 2^-24.
        one: int32 node numbers, in any shape;
        other: likewise, of a shape that broadcasts. The order of the two matters.

    >>> import jax, jax.numpy as jnp
    >>> nodes = jnp.arange(1000)
    >>> drawn = happens(jax.random.key(0), LOSS, 0.25, nodes[:, None], nodes[None])
    >>> round(float(drawn.mean()), 2)
    0.25
    """
    data = jax.random.key_data(jax.random.fold_in(key, cause))
    first = scramble(data[0] + one.astype(jnp.uint32) * GOLDEN)
    bits = scramble((data[-1] + other.astype(jnp.uint32) * GOLDEN) ^ first)
    return (bits >> 8).astype(jnp.float32) * np.float32(2**-24) < probability
