"""A robust rule in the place of a round's average: on neighbour lists slot by slot, on a mean once for all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from telejax.backend.batched_map import batched_map
from telejax.backend.fusion import of_stored
from telejax.backend.scopes import scope
from telejax.mixing.order import MOST
from telejax.mixing.rules import Rule, Vector

if TYPE_CHECKING:
    from telejax.mixing.forms import Mixing

Tree = Any


def aggregate(
    rule: Rule,
    mixing: "Mixing",
    kept: Tree,
    round: Int[Array, ""],
    sent: Tree | None = None,
    server: Tree | None = None,
) -> Tree:
    """Each slot has what the rule makes of its own model and of those that it hears.

    Args:
        rule: of ``telejax.robust``.
        mixing: says who hears whom, and with which weight, which most rules do not ask.
        kept: what each slot has itself, leaves (slots, ...).
        round: int32 scalar.
        sent: what each slot sends, likewise; by default what it keeps.
        server: leaves (slots, ...), the model of a server, the same at every slot: what the rule takes for its own.
    """
    with scope("mixing"):
        own, back = flat(kept)
        given = own, own if sent is None else flat(sent)[0], None if server is None else flat(server)[0][0]
        mixed = of_stored(lambda given: mixing.aggregate(rule, given[0], given[1], round, given[2]), given, round)
        return back(mixed)


def among_neighbours(
    rule: Rule,
    indices: Int[Array, "m slots"],
    weights: Float[Array, "m slots"],
    kept: Float[Array, "slots d"],
    sent: Float[Array, "slots d"],
) -> Float[Array, "slots d"]:
    """The rule at every slot, of the rows that its neighbour lists name, its own first.

    Entries that name the slot itself, or have no weight, stand for what does not arrive: they count as its own, and so
    do vectors in which a number is not finite.
    """
    place = jnp.arange(kept.shape[0], dtype=jnp.int32)
    whole = jnp.all(jnp.isfinite(sent), axis=1)
    arrived = (indices != place[None]) & (weights != 0) & whole[indices]
    if rule.coordinatewise and len(indices) <= MOST:  # one neighbour position at a time, fused with what follows
        row = lambda index, there: jnp.where(there[:, None], sent.at[index].get(mode="promise_in_bounds"), kept)
        return rule.of(jnp.stack([row(*one) for one in zip(indices, arrived, strict=True)]), kept, weights)

    def at(row: tuple[Array, ...]) -> Vector:
        slot, heard, there, weight = row
        return rule.of(jnp.where(there[:, None], sent[heard], kept[slot][None]), kept[slot], weight)

    return batched_map(at, (place, indices.T, arrived.T, weights.T))


def at_server(
    rule: Rule, sent: Float[Array, "slots d"], arrived: Bool[Array, " slots"], server: Vector | None
) -> Vector:
    """The rule once, of what all slots send.

    Args:
        rule: of ``telejax.robust``.
        sent: by each slot.
        arrived: whose row is there.
        server: its own model, which stands for those that are not; without one, the first that is there.
    """
    arrived &= jnp.all(jnp.isfinite(sent), axis=1)
    own = sent[jnp.argmax(arrived)] if server is None else server
    x = jnp.where(arrived[:, None], sent, own[None])
    return rule.of(x, own, jnp.full(len(sent), 1 / len(sent), sent.dtype))


def flat(tree: Tree) -> tuple[Float[Array, "slots d"], Callable[[Array], Tree]]:
    """All numbers of each slot in one row, and the way back to trees like it."""
    rows: Array = jax.vmap(lambda row: ravel_pytree(row)[0])(tree)
    back = ravel_pytree(jax.tree.map(lambda x: x[0], tree))[1]
    return jnp.asarray(rows), jax.vmap(back)
