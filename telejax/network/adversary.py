"""Byzantine nodes: who they are, at any number of nodes, and what they forge.

A Byzantine node that holds a slot forges what it gossips and what it hands over; it counts as one event a round in the
column ``byzantine``, and only the slots of honest holders are judged.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, UInt

from telejax.errors import FRACTION, Bound, check_array, check_integer, check_kind, short
from telejax.network import attacks, draws
from telejax.network.attacks import Attack
from telejax.random.threefry import fold_in
from telejax.state import Params, pytree
from telejax.tasks.base import Task
from telejax.tasks.poisoned import label_flipped

Nodes = Int[Array, "..."]
NODES = "give a list of nodes, numbers from 0"


@pytree
@dataclass(frozen=True)
class Adversary:
    """See :func:`adversary`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"share": FRACTION}

    attack: Attack
    share: float | None
    nodes: Int[np.ndarray | Array, " liars"] | None
    """In ascending order."""
    seed: UInt[np.ndarray | Array, ""]

    def lies(self, node: Nodes) -> Bool[Array, "..."]:
        """Which nodes are Byzantine; nobody, -1, is not."""
        if self.nodes is None:
            assert self.share is not None
            drawn = draws.happens(jax.random.key(self.seed), draws.BYZANTINE, self.share, node, jnp.int32(0))
            return drawn & (node >= 0)
        known = jnp.asarray(self.nodes)
        place = jnp.minimum(jnp.searchsorted(known, node), len(known) - 1)
        found: Array = known[place] == node
        return found

    def sent(self, key: Key[Array, ""], params: Params, holders: Nodes, cause: np.uint32) -> Params:
        """What the holders of all slots send of their rows.

        Args:
            key: the unsplit key of the round.
            params: leaves (slots, ...).
            holders: int32 (slots,).
            cause: the constant of the occasion.
        """
        return self.attack.forged(params, self.lies(holders), fold_in(key, cause))

    def bind(self, nodes: int) -> Self:
        """The adversary among so many nodes, or a ValueError where it names more of them, or all."""
        if self.nodes is not None and self.nodes[-1] >= nodes:
            raise ValueError(
                f"nodes of the adversary has {self.nodes[-1]}, and the task {nodes}; give nodes from 0 to {nodes - 1}"
            )
        if self.nodes is not None and len(self.nodes) == nodes:
            raise ValueError(f"nodes of the adversary has all {nodes} nodes of the task; leave one that is honest")
        if self.nodes is None and not self.attack.forges:  # data is forged once, before the run
            liars = np.flatnonzero(np.asarray(self.lies(jnp.arange(nodes, dtype=jnp.int32)))).astype(np.int32)
            return replace(self, share=None, nodes=liars) if len(liars) else self
        return self

    def poisoned(self, task: Task) -> Task:
        """The task with the data that the nodes have, where data is forged."""
        return task if self.attack.forges or self.nodes is None else label_flipped(task, np.asarray(self.nodes))


def adversary(
    attack: Attack, *, share: float | None = None, nodes: Sequence[int] | np.ndarray | None = None, seed: int = 0
) -> Adversary:
    """Byzantine nodes, for ``telejax.Network(adversary=...)``: a share of all, or a list.

    Args:
        attack: what they send, of ``telejax.attacks``.
        share: from 0 to below 1: each node is Byzantine with this probability, for good, O(1) at any number of nodes;
            may be tuned. Or
        nodes: their numbers.
        seed: of who they are, where a share was given.

    Raises:
        ValueError: no attack, a share outside [0, 1), nodes that are none, twice or, once the task is known, beyond its
            nodes or all of them; neither or both of the two.

    >>> import jax.numpy as jnp, telejax as tj
    >>> liars = tj.adversary(tj.attacks.sign_flip(), share=0.1)
    >>> 80 < int(liars.lies(jnp.arange(1000)).sum()) < 120
    True
    """
    check_kind("attack", attack, Attack, "give one of telejax.attacks, such as telejax.attacks.sign_flip()")
    if (share is None) == (nodes is None):
        raise ValueError(f"share is {short(share)} and nodes is {short(nodes)}; give one of the two")
    key = np.array(check_integer("seed", seed, minimum=0, maximum=2**32 - 1), np.uint32)
    share = None if share is None else FRACTION.check("share", share)
    return Adversary(attack, share, None if nodes is None else _nodes(nodes), key)


def _nodes(nodes: Any) -> Int[np.ndarray, " liars"]:
    """Numbers of nodes in ascending order."""
    given = check_array("nodes", nodes, NODES)
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "iu":
        raise ValueError(f"nodes is {short(nodes)}; {NODES}")
    ordered = np.sort(given)
    if ordered[0] < 0 or ordered[-1] > 2**31 - 1:
        raise ValueError(f"nodes has {ordered[0 if ordered[0] < 0 else -1]}; {NODES}")
    if len(again := ordered[1:][ordered[1:] == ordered[:-1]]):
        raise ValueError(f"nodes has {again[0]} twice; give each node once")
    return ordered.astype(np.int32)


def _of(make: Callable[..., Attack]) -> Callable[..., Adversary]:
    """An adversary from the arguments of its attack and its own, for files."""
    own = [one for one in inspect.signature(adversary).parameters.values() if one.name != "attack"]
    asked = [one.replace(kind=one.KEYWORD_ONLY) for one in inspect.signature(make).parameters.values()]

    def made(**arguments: Any) -> Adversary:
        of_attack = {one.name: arguments.pop(one.name) for one in asked if one.name in arguments}
        return adversary(make(**of_attack), **arguments)

    kind = inspect.signature(make).return_annotation
    made.__signature__ = inspect.Signature([*asked, *own], return_annotation=kind)  # type: ignore[attr-defined]
    return made


KINDS: dict[str, Callable[..., Adversary]] = {
    make.__name__: _of(make)
    for make in (
        attacks.sign_flip,
        attacks.inner_product,
        attacks.little_is_enough,
        attacks.mimic,
        attacks.gaussian,
        attacks.zero,
        attacks.label_flip,
    )
}
"""An adversary for each attack, by its name."""
