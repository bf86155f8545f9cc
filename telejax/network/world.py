"""What the network keeps from round to round, in ``State.world``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jaxtyping import Array, Float, Int, PyTree

from telejax.state import pytree


@pytree
@dataclass(frozen=True)
class World:
    """Pytrees by name; what nobody asked for is not there."""

    slot: Mapping[str, PyTree[Array]] = field(default_factory=dict)
    """Of the slots, leaves (slots, ...)."""
    node: Mapping[str, PyTree[Array]] = field(default_factory=dict)
    """Of nodes, or of a table of them."""
    common: Mapping[str, PyTree[Array]] = field(default_factory=dict)
    """Of all."""

    def with_slot(self, **parts: PyTree[Array]) -> "World":
        """The same with other parts of the slots."""
        return replace(self, slot={**self.slot, **parts})

    def with_node(self, **parts: PyTree[Array]) -> "World":
        """The same with other parts of the nodes."""
        return replace(self, node={**self.node, **parts})

    def with_common(self, **parts: PyTree[Array]) -> "World":
        """The same with other common parts."""
        return replace(self, common={**self.common, **parts})


class Moment(NamedTuple):
    """When a round begins."""

    round: Int[Array, ""]
    whole: Int[Array, ""] | int = 0
    """On a network with clocks, of the largest of them: whole seconds, int32."""
    rest: Float[Array, ""] | float = 0.0
    """And what is left, from 0 to below 1, float32."""
