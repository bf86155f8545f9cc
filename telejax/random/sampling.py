"""Drawing the active nodes: k distinct nodes of n, in random order, in time that does not grow with n."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt

from telejax.backend.loops import asks_device
from telejax.backend.memory import compared_pairwise
from telejax.backend.places import first_true
from telejax.errors import check_integer
from telejax.random.hashed import hashed_bits
from telejax.random.keys import check_key
from telejax.random.threefry import integers, split

MAX_NODES = 2**31 - 1  # node numbers are int32
SURPLUS = 32
"""Draws beyond twice the count: with j = count - 1 < n / 4, the chance that all of m = 2 j + 34 draws fall on j nodes
is at most C(n, j) (j / n)^m <= e^j 4^(j - m) < 2^-68."""

ALL_OF = 4096
"""Nodes up to which all of them are looked at, where some are likelier than others."""
FEW_TURNS, MOST_TURNS = 8, 4096
"""Turns of drawing after which all nodes are looked at, or too few of them are taken to be there."""
NOBODY = np.int32(-1)


Found = tuple[Int[Array, " count"], Int[Array, ""]]
"""The first distinct nodes so far, and the turns it took."""


def sample_distinct(key: Key[Array, ""], nodes: int, count: int) -> Int[Array, " count"]:
    """Draw ``count`` distinct nodes of 0 .. nodes - 1, uniform over ordered tuples.

    Where ``count`` is at most a quarter of ``nodes``, nodes are drawn with replacement, one after another, and the
    first ``count`` distinct ones kept; renaming the nodes changes neither the drawing nor the keeping, so every
    ordered tuple is equally likely. Of 2 count draws mostly enough are distinct; else more are drawn, on an accelerator
    32 every time, which all but once in 2^68 times are enough. Otherwise all nodes are permuted, which costs at most
    four times ``count``.

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
    if count == 1:  # is distinct
        return integers(split(key)[1], (1,), nodes)
    key, now = split(key)
    usual = integers(now, (2 * count,), nodes)
    if asks_device():
        return _with_more(first_distinct(usual, count), key, nodes)
    surplus = _hashed_nodes(key, jnp.arange(SURPLUS, dtype=jnp.int32), nodes)
    return first_distinct(jnp.concatenate([usual, surplus]), count)


def _with_more(found: Int[Array, " count"], key: Key[Array, ""], nodes: int) -> Int[Array, " count"]:
    """Further draws, one after another, until every place has a node."""

    def turn(drawn: Found) -> Found:
        found, turns = drawn
        fresh = _hashed_nodes(key, turns, nodes)
        empty = jnp.arange(found.shape[0]) == jnp.sum(found >= 0)
        return jnp.where(empty & jnp.all(found != fresh), fresh, found), turns + 1

    return jax.lax.while_loop(lambda drawn: drawn[0][-1] < 0, turn, (found, jnp.int32(0)))[0]


def _hashed_nodes(key: Key[Array, ""], place: Int[Array, "..."], nodes: int) -> Int[Array, "..."]:
    """Independent draws of nodes, with replacement, by their place."""
    return _below(hashed_bits(key, place, jnp.int32(0)), hashed_bits(key, place, jnp.int32(1)), nodes)


def _below(high: UInt[Array, "..."], low: UInt[Array, "..."], nodes: int) -> Int[Array, "..."]:
    """Numbers from 0 to nodes - 1 of 64 bits, as jax.random.randint."""
    folded = (high % np.uint32(nodes)) * np.uint32(2**32 % nodes) + low % np.uint32(nodes)
    return (folded % np.uint32(nodes)).astype(jnp.int32)


def sample_subset(key: Key[Array, ""], population: int | Int[Array, ""], count: int) -> Int[Array, " count"]:
    """Draw a set of ``count`` of the numbers 0 .. population - 1, every set equally likely.

    R. Floyd's algorithm (J. Bentley 1987, Communications of the ACM 30(9)): ``count`` turns, whatever the population,
    which may be known to the device alone. The order of what it returns is not random.

    Args:
        key: typed PRNG key, used once.
        population: int32, at least ``count``: fewer cannot be told here, where they are traced.
        count: of the set.

    Returns:
        int32 array of shape (count,), without repetitions.

    >>> import jax
    >>> sorted(sample_subset(jax.random.key(0), 3, 3).tolist())
    [0, 1, 2]
    """
    check_key("key", key)
    count = check_integer("count", count, minimum=1)
    last = jnp.asarray(population, jnp.int32) - count + jnp.arange(count, dtype=jnp.int32)
    drawn = integers(key, (count,), last + 1)

    def turn(place: Int[Array, ""], chosen: Int[Array, " count"]) -> Int[Array, " count"]:
        taken = jnp.any(chosen == drawn[place])
        return chosen.at[place].set(jnp.where(taken, last[place], drawn[place]))

    return jax.lax.fori_loop(0, count, turn, jnp.full(count, NOBODY))


def sample_weighted(
    key: Key[Array, ""],
    nodes: int,
    count: int,
    weight: Callable[[Int[Array, " draws"]], Float[Array, " draws"] | Bool[Array, " draws"]],
    *,
    tabled: bool = False,
) -> tuple[Int[Array, " count"], Bool[Array, ""]]:
    """Draw ``count`` distinct nodes one after another, each with probability proportional to its weight.

    Successive sampling: the first ``count`` distinct ones of independent draws, each of which is accepted with the
    probability of its weight, so that time does not grow with n. Where 8 turns of 2 k draws have not found enough,
    the rest of up to 4096 nodes, or of fewer than 4 k, is drawn by the first of exponential clocks at the rates of
    their weights, which continues the same law; of more nodes the turns go on, up to 4096.

    Args:
        key: typed PRNG key, used once.
        nodes: n.
        count: k, at most n.
        weight: of int32 nodes (draws,), from 0 to 1 or True and False; 0 and False are never drawn.
        tabled: whether something is kept of every node anyway, so that after 4096 turns the rest of any number of nodes
            is drawn by the clocks.

    Returns:
        int32 (count,), and whether there were so many: otherwise what is drawn means nothing. Of more than 4096 nodes
        that are not tabled too few are found where 4096 turns do not do.

    >>> import jax, jax.numpy as jnp
    >>> even = lambda node: node % 2 == 0
    >>> drawn, enough = sample_weighted(jax.random.key(0), nodes=10**9, count=3, weight=even)
    >>> (drawn % 2).tolist(), bool(enough)
    ([0, 0, 0], True)
    """
    listed = nodes <= ALL_OF or 4 * count > nodes

    def turn(found: Found) -> Found:
        kept, turns = found
        fresh = _accepted(key, turns, nodes, 2 * count, weight)
        return first_distinct(jnp.concatenate([kept, fresh]), count), turns + 1

    def rest(found: Found) -> Found:
        kept, turns = found
        every = jnp.arange(nodes, dtype=jnp.int32)
        weights = weight(every).astype(jnp.float32).at[jnp.where(kept < 0, nodes, kept)].set(0, mode="drop")
        waits = -jnp.log1p(-_fractions(hashed_bits(key, every, -1 - turns)))  # of exponential clocks
        first, others = jax.lax.top_k(jnp.where(weights > 0, -waits / weights, -jnp.inf), count)
        named = jnp.where(first > -jnp.inf, others.astype(jnp.int32), NOBODY)
        return first_distinct(jnp.concatenate([kept, named]), count), turns + 1

    few = FEW_TURNS if listed else MOST_TURNS
    unfinished = lambda turns: lambda found: (found[0][-1] < 0) & (found[1] < turns)
    start = first_distinct(_accepted(key, jnp.int32(0), nodes, 2 * count, weight), count), jnp.int32(1)
    found = jax.lax.while_loop(unfinished(few), turn, start)
    if listed or tabled:
        found = jax.lax.while_loop(unfinished(few + 1), rest, found)
    return found[0], found[0][-1] >= 0


def _accepted(
    key: Key[Array, ""], turn: Int[Array, ""], nodes: int, length: int, weight: Callable[[Array], Array]
) -> Int[Array, " draws"]:
    """Independent draws of nodes: a negative number in place of one that is not accepted."""
    place = jnp.arange(length, dtype=jnp.int32)
    high, low, coin = (hashed_bits(key, place, 3 * turn + part) for part in range(3))
    fresh = _below(high, low, nodes)
    likely = weight(fresh)
    return jnp.where(likely if likely.dtype == bool else _fractions(coin) < likely, fresh, NOBODY)


def _fractions(bits: UInt[Array, "..."]) -> Float[Array, "..."]:
    """Numbers between 0 and 1, the smaller the finer."""
    return jnp.minimum((bits.astype(jnp.float32) + 0.5) * np.float32(2**-32), np.float32(1 - 2**-24))


def first_distinct(values: Int[Array, " draws"], count: int) -> Int[Array, " count"]:
    """The first ``count`` distinct nodes among values of which negative ones are none, and -1 where there are fewer."""
    place = first_true(first_occurrence(values) & (values >= 0), count)
    return values.at[place].get(mode="fill", fill_value=NOBODY)


def first_occurrence(values: Int[Array, " count"]) -> Bool[Array, " count"]:
    """Whether each entry is the first of its value."""
    count = values.shape[0]
    if count <= compared_pairwise():
        place = jnp.arange(count, dtype=jnp.int32)
        alike = values[:, None] == values[None, :]
        return jnp.min(jnp.where(alike, place[:, None], count), axis=0) == place
    order = jnp.argsort(values, stable=True)
    ordered = values[order]
    new = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(count, bool).at[order].set(new)
