"""Several objects of one structure as lanes of one program: what is equal in all is stored and computed once."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Structure:
    """A PyTreeDef with the classes of its nodes, by which two classes with the same fields differ.

    PyTreeDefs of registered dataclasses compare equal whatever their classes, and a program is looked up by this
    comparison: without the classes one task would run as another.
    """

    tree: Any
    """The PyTreeDef."""
    classes: tuple[Any, ...]

    @staticmethod
    def of(tree: Any) -> "Structure":
        """That of a PyTreeDef."""
        return Structure(tree, tuple(_classes(tree)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Variants:
    """Pytrees of one structure whose equal leaves are shared and whose differing leaves are stacked.

    A leaf of the members is in ``shared`` or in ``own``, and None in the other. What a program computes from
    shared leaves alone carries no lane axis: random draws are made once for all lanes (common random numbers).
    """

    structure: Structure = field(metadata={"static": True})
    """That of every member."""
    shared: tuple[Any, ...]
    """The leaves that are equal in all members."""
    own: tuple[Any, ...]
    """The leaves that differ, shape (members, ...)."""

    @staticmethod
    def of(members: Sequence[Any]) -> "Variants":
        """Stack ``members``.

        Raises:
            ValueError: members of different structure; see :func:`structure_of`.

        >>> both = Variants.of([{"rate": 0.1, "noise": 1.0}, {"rate": 0.2, "noise": 1.0}])
        >>> both.shared, both.own[1].tolist()  # in the order of the keys
        ((1.0, None), [0.10000000149011612, 0.20000000298023224])
        """
        if len({structure_of(member) for member in members}) != 1:
            raise ValueError(f"variants have {len({structure_of(m) for m in members})} structures; group them first")
        leaves, structure = jax.tree.flatten(members[0])
        columns = list(zip(*(jax.tree.leaves(member) for member in members), strict=True)) if leaves else []
        shared = tuple(column[0] if _all_equal(column) else None for column in columns)
        own = tuple(None if _all_equal(column) else _stack(column) for column in columns)
        return Variants(Structure.of(structure), shared, own)

    def member(self, own: tuple[Any, ...]) -> Any:
        """The member with these leaves of its own, without the lane axis inside a mapped function."""
        leaves = [mine if common is None else common for common, mine in zip(self.shared, own, strict=True)]
        return jax.tree.unflatten(self.structure.tree, leaves)


def structure_of(member: Any) -> Hashable:
    """What must agree for two members to run in one program: tree, shapes and dtypes.

    >>> structure_of({"noise": 1.0}) == structure_of({"noise": 2.0}), structure_of({"noise": None}) == structure_of({})
    (True, False)
    """
    leaves, structure = jax.tree.flatten(member)
    return Structure.of(structure), tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def _classes(tree: Any) -> Iterator[Any]:
    data = tree.node_data()
    yield None if data is None else data[0]
    for child in tree.children():
        yield from _classes(child)


def _all_equal(column: Sequence[Any]) -> bool:
    first = column[0]
    return all(leaf is first or bool(np.array_equal(leaf, first)) for leaf in column[1:])


def _stack(column: Sequence[Any]) -> jax.Array:
    return jnp.stack([jnp.asarray(leaf, jnp.result_type(leaf)) for leaf in column])
