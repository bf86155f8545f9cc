"""Several runs in one program: seeds and hyperparameters as batch axes of its arrays.

Runs with the same seed share their keys (common random numbers), so what depends on the key alone is computed once
for all of them: inside a step, draws of nodes and of noise carry no batch axis.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef
from jaxtyping import Array, ArrayLike, PyTree

from telejax.backend.memory import dividing_batch

Out = TypeVar("Out")

Leaves = tuple[ArrayLike | None, ...]
"""The leaves of a pytree, None in the place of those that are elsewhere."""


@dataclass(frozen=True)
class BatchAxes:
    """Which axes the runs have, the seed before the hyperparameters, and how many of them run side by side."""

    seeds: int | None
    hyperparameters: int | None
    seeds_at_once: int = 1
    hyperparameters_at_once: int = 1

    @staticmethod
    def plan(seeds: int | None, hyperparameters: int | None, run_bytes: int) -> "BatchAxes":
        """Side by side as far as the states of the runs fit in the cache together."""
        seed_bytes = run_bytes * (hyperparameters or 1)
        return BatchAxes(
            seeds,
            hyperparameters,
            dividing_batch(seed_bytes, seeds or 1),
            dividing_batch(run_bytes, hyperparameters or 1),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes that there are."""
        return tuple(length for length in (self.seeds, self.hyperparameters) if length is not None)

    def run(
        self, function: Callable[[PyTree, PyTree, PyTree], Out], state: PyTree, seed: PyTree, batched: PyTree
    ) -> Out:
        """``function(state, seed, batched)`` of every run.

        Args:
            function: of one run; what it returns gets the batch axes in front.
            state: leaves with both batch axes.
            seed: leaves with the axis of the seeds alone.
            batched: leaves with the axis of the hyperparameters alone.
        """

        def one_seed(of_seed: tuple[PyTree, PyTree]) -> Out:
            state, seed = of_seed
            if self.hyperparameters is None:
                return function(state, seed, batched)
            one = lambda own: function(own[0], seed, own[1])
            return _mapped(one, (state, batched), self.hyperparameters, self.hyperparameters_at_once)

        if self.seeds is None:
            return one_seed((state, seed))
        return _mapped(one_seed, (state, seed), self.seeds, self.seeds_at_once)


def _mapped(function: Callable[[PyTree], Out], xs: PyTree, count: int, batch: int) -> Out:
    """``jax.vmap(function)(xs)``, ``batch`` (a divisor of ``count``) of them side by side."""
    if batch >= count:
        return jax.vmap(function, axis_size=count)(xs)
    if batch == 1:
        return jax.lax.map(function, xs)
    split = jax.tree.map(lambda x: x.reshape(count // batch, batch, *x.shape[1:]), xs)
    out = jax.lax.map(jax.vmap(function), split)
    return jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), out)


@dataclass(frozen=True)
class Structure:
    """A PyTreeDef with the classes of its nodes, by which two classes with the same fields differ.

    PyTreeDefs of registered dataclasses compare equal whatever their classes, and a program is looked up by this
    comparison: without the classes one task would run as another.
    """

    tree: PyTreeDef
    classes: tuple[type | None, ...]

    @staticmethod
    def of(tree: PyTreeDef) -> "Structure":
        """That of a PyTreeDef."""
        return Structure(tree, tuple(_classes(tree)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HyperparameterBatch:
    """Pytrees of one structure whose equal leaves are unbatched and whose differing leaves are stacked.

    A leaf of the members is in ``unbatched`` or in ``batched``, and None in the other. What a program computes from
    unbatched leaves alone carries no batch axis: random draws are made once for all members.
    """

    structure: Structure = field(metadata={"static": True})
    """That of every member."""
    unbatched: Leaves
    """The leaves that are equal in all members."""
    batched: Leaves
    """The leaves that differ, shape (members, ...)."""

    @staticmethod
    def of(members: Sequence[PyTree]) -> "HyperparameterBatch":
        """Stack ``members``.

        Raises:
            ValueError: members of different structure; see :func:`structure_of`.

        >>> both = HyperparameterBatch.of([{"rate": 0.1, "noise": 1.0}, {"rate": 0.2, "noise": 1.0}])
        >>> both.unbatched, both.batched[1].tolist()  # in the order of the keys
        ((1.0, None), [0.10000000149011612, 0.20000000298023224])
        """
        if len({structure_of(member) for member in members}) != 1:
            raise ValueError(f"members have {len({structure_of(m) for m in members})} structures; group them first")
        leaves, structure = jax.tree.flatten(members[0])
        columns = list(zip(*(jax.tree.leaves(member) for member in members), strict=True)) if leaves else []
        unbatched = tuple(column[0] if _all_equal(column) else None for column in columns)
        batched = tuple(None if _all_equal(column) else _stack(column) for column in columns)
        return HyperparameterBatch(Structure.of(structure), unbatched, batched)

    def member(self, batched: Leaves) -> PyTree:
        """The member with these leaves of its own, without the batch axis inside a mapped function."""
        leaves = [own if common is None else common for common, own in zip(self.unbatched, batched, strict=True)]
        return jax.tree.unflatten(self.structure.tree, leaves)


def structure_of(member: PyTree) -> Hashable:
    """What must agree for two members to run in one program: tree, shapes and dtypes.

    >>> structure_of({"noise": 1.0}) == structure_of({"noise": 2.0}), structure_of({"noise": None}) == structure_of({})
    (True, False)
    """
    leaves, structure = jax.tree.flatten(member)
    return Structure.of(structure), tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def _classes(tree: PyTreeDef) -> Iterator[type | None]:
    data = tree.node_data()
    yield None if data is None else data[0]
    for child in tree.children():
        yield from _classes(child)


def _all_equal(column: Sequence[ArrayLike]) -> bool:
    first = column[0]
    return all(leaf is first or bool(np.array_equal(leaf, first)) for leaf in column[1:])


def _stack(column: Sequence[ArrayLike]) -> Array:
    return jnp.stack([jnp.asarray(leaf, jnp.result_type(leaf)) for leaf in column])
