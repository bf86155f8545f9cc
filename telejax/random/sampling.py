"""Drawing the active nodes: k distinct nodes of n, in random order, in time that does not grow with n."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from telejax.errors import check_integer
from telejax.random.keys import check_key

MAX_NODES = 2**31 - 1  # node numbers are int32
COMPARED_PAIRWISE = 128  # draws up to which comparing all pairs beats a sort


def sample_distinct(key: Key[Array, ""], nodes: int, count: int) -> Int[Array, " count"]:
    """Draw ``count`` distinct nodes of 0 .. nodes - 1, uniform over ordered tuples.

    Where ``count`` is at most a quarter of ``nodes``, 2 count nodes are drawn with replacement and the first
    ``count`` distinct ones kept, drawing again where there are fewer; renaming the nodes changes neither the
    drawing nor the keeping, so every ordered tuple is equally likely. Otherwise all nodes are permuted, which
    costs at most four times ``count``.

    Args:
        key: typed PRNG key, used once.
        nodes: population size n, at most 2^31 - 1.
        count: sample size k, at most n.

    Returns:
        int32 array of shape (count,).

    Raises:
        ValueError: more draws than nodes, or a size outside the range.

    >>> import jax
    >>> sample_distinct(jax.random.key(0), nodes=10**9, count=3).shape
    (3,)
    """
    check_key("key", key)
    nodes = check_integer("nodes", nodes, minimum=1, maximum=MAX_NODES)
    count = check_integer("count", count, minimum=1)
    if count > nodes:
        raise ValueError(f"count is {count} of {nodes} nodes; draw at least 1 and at most all of them")
    if 4 * count > nodes:
        return jax.random.permutation(key, jnp.arange(nodes, dtype=jnp.int32))[:count]

    def draw(key: Array) -> tuple[Array, Array, Array]:
        key, draw_key = jax.random.split(key)
        values = jax.random.randint(draw_key, (2 * count,), 0, nodes, dtype=jnp.int32)
        return key, values, first_occurrence(values)

    def too_few(carry: tuple[Array, Array, Array]) -> Array:
        return jnp.sum(carry[2]) < count

    _, values, first = jax.lax.while_loop(too_few, lambda carry: draw(carry[0]), draw(key))
    # the c-th distinct value goes to place c; repetitions and surplus fall off the end
    place = jnp.where(first, jnp.cumsum(first) - 1, count)
    return jnp.zeros(count, jnp.int32).at[place].set(values, mode="drop")


def first_occurrence(values: Int[Array, " count"]) -> Bool[Array, " count"]:
    """Whether each entry is the first of its value."""
    count = values.shape[0]
    if count <= COMPARED_PAIRWISE:
        earlier = jnp.tril(jnp.ones((count, count), bool), k=-1)
        return ~jnp.any((values[:, None] == values[None, :]) & earlier, axis=1)
    order = jnp.argsort(values, stable=True)
    ordered = values[order]
    new = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(count, bool).at[order].set(new)
