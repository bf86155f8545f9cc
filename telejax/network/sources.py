"""Protected hand-off: a new holder fetches several former holders' slots, and trusts none of them alone."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from telejax.errors import check_integer, is_kind, plain, short
from telejax.mixing import robust
from telejax.mixing.aggregate import among_neighbours, at_server, flat
from telejax.mixing.compression import Compressor, check_compressor
from telejax.mixing.rules import Rule
from telejax.network.recovery import chosen
from telejax.state import STATIC, Params, State, pytree

AS = 'give a rule and how many sources, as in "median:sources=3" or "trimmed_mean:f=1,sources=5"'


@pytree
@dataclass(frozen=True)
class Sources:
    """The slot itself and the next ones in order, ``count`` in all, as their former holders send them."""

    rule: Rule
    count: int = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)
    """Whether the optimizer state is handed over too; its floats are then aggregated with the parameters."""

    def __str__(self) -> str:
        return f"{self.rule} of {self.count}"

    def of(self, x: Array) -> Array:
        """What belongs to the sources of each slot, (count, slots), of what belongs to the slots.

        >>> Sources(robust.median(), 3, False).of(jnp.arange(4)).tolist()
        [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1]]
        """
        return x[self._places(len(x))]

    def aggregated(self, state: State, sent: Params, moved: Bool[Array, " slots"]) -> State:
        """The state in which slots that moved are what the rule makes of their sources.

        Args:
            state: after the hand-off.
            sent: the parameters that each former holder sends, leaves (slots, ...).
            moved: which slots were fetched.
        """
        leaves, structure = jax.tree.flatten(state.opt_state if self.state_travels else ())
        floats = [place for place, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]
        kept = state.params, [leaves[place] for place in floats]
        given = sent, kept[1]
        x, back = flat(given)
        if self.count == len(moved) and not self.rule.needs_own:  # all fetch the same
            fetched = jnp.broadcast_to(at_server(self.rule, x, jnp.ones(len(x), bool), None)[None], x.shape)
        else:
            x = jnp.where(jnp.all(jnp.isfinite(x), axis=1)[:, None], x, jnp.roll(x, -1, axis=0))  # or there is no own
            places = self._places(len(moved))
            fetched = among_neighbours(self.rule, places, jnp.full(places.shape, 1 / self.count), x, x)
        params, own = jax.tree.map(chosen(moved), back(fetched), kept)
        if not self.state_travels:
            return state.replace(params=params)
        for place, leaf in zip(floats, own, strict=True):
            leaves[place] = leaf
        return state.replace(params=params, opt_state=jax.tree.unflatten(structure, leaves))

    def _places(self, slots: int) -> Int[Array, "sources slots"]:
        return (jnp.arange(slots, dtype=jnp.int32)[None] + jnp.arange(self.count, dtype=jnp.int32)[:, None]) % slots


def check_sources(
    hand_off: Any, active: int, state_travels: bool, compressor: Compressor | None = None
) -> Sources | None:
    """The sources that a text describes, or None for the former holder alone.

    Args:
        hand_off: the text.
        active: slots.
        state_travels: whether the optimizer state is handed over too.
        compressor: of what is handed over by one holder alone.

    Raises:
        ValueError: no such text, an unknown rule or parameter, fewer than 2 sources or more than there are slots, too
            few for the rule; a compressor that is none, or beside several sources.

    >>> str(check_sources("median:sources=3", active=8, state_travels=True))
    'median of 3'
    """
    if compressor is not None:
        check_compressor("hand_off_compressor", compressor)
    if hand_off is None:
        return None
    if compressor is not None:
        raise ValueError(f"hand_off is {short(hand_off)} and hand_off_compressor {compressor}; give one of the two")
    if not is_kind(hand_off, str):
        raise ValueError(f"hand_off is {short(hand_off)}; {AS}")
    name, _, given = plain(hand_off).partition(":")
    items = [item for item in given.split(",") if item.partition("=")[0].strip() != "sources"]
    asked = [item.partition("=")[2] for item in given.split(",") if item not in items]
    if len(asked) != 1 or not asked[0].strip().isdigit():
        raise ValueError(f"hand_off is {hand_off!r}, without its number of sources; {AS}")
    rule = robust.from_spec("hand_off", f"{name}:{','.join(items)}")
    remedy = f"give from 2 to {active}, the active slots"
    called = f"hand_off is {short(hand_off)}: sources"
    count = check_integer(called, int(asked[0]), minimum=2, maximum=max(2, active), remedy=remedy)
    if count > active:
        raise ValueError(f"hand_off is {hand_off!r}, and there is {active} active slot; leave it out")
    rule.check(f"hand_off of {count} sources", count)
    return Sources(rule, count, state_travels)
