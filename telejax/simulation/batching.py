"""Several runs in one program: seeds and hyperparameters as batch axes of its arrays.

Runs with the same seed share their keys (common random numbers), so what depends on the key alone is computed once
for all of them: inside a step, draws of nodes and of noise carry no batch axis.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import PyTreeDef
from jaxtyping import Array, ArrayLike, PyTree

from telejax.backend.memory import dividing_batch
from telejax.backend.programs import RUN_ONCE

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

    @property
    def side_by_side(self) -> bool:
        """Whether all runs are."""
        return (self.seeds_at_once, self.hyperparameters_at_once) == (self.seeds or 1, self.hyperparameters or 1)

    @property
    def of_batch(self) -> "BatchAxes":
        """The axes of those side by side: a run that is alone among several has none, however many there are."""
        if self.side_by_side:
            return self
        seeds, hyperparameters = self.seeds_at_once, self.hyperparameters_at_once
        axis = lambda length: length if length > 1 else None
        return BatchAxes(axis(seeds), axis(hyperparameters), seeds, hyperparameters)

    @property
    def batches(self) -> list[tuple[int, int]]:
        """The first seed and the first hyperparameters of every batch of runs."""
        seeds = range(0, self.seeds or 1, self.seeds_at_once)
        hyperparameters = range(0, self.hyperparameters or 1, self.hyperparameters_at_once)
        return list(itertools.product(seeds, hyperparameters))

    def run(
        self, function: Callable[[PyTree, PyTree, PyTree], Out], state: PyTree, seed: PyTree, batched: PyTree
    ) -> Out:
        """``function(state, seed, batched)`` of every run, all of them side by side.

        Args:
            function: of one run; what it returns gets the batch axes in front.
            state: leaves with both batch axes.
            seed: leaves with the axis of the seeds alone.
            batched: leaves with the axis of the hyperparameters alone.
        """
        if self.hyperparameters is not None:
            function = jax.vmap(function, (0, None, 0), axis_size=self.hyperparameters)
        if self.seeds is not None:
            function = jax.vmap(function, (0, 0, None), axis_size=self.seeds)
        return function(state, seed, batched)

    def members(self, members: Sequence[PyTree]) -> dict[int, "HyperparameterBatch"]:
        """Those of every batch, by the first of them; one alone is what it is without others."""
        batch = self.hyperparameters_at_once
        firsts = range(0, len(members), batch)
        if self.of_batch.hyperparameters is None:
            return {first: HyperparameterBatch.of(members[first : first + 1]) for first in firsts}
        whole = HyperparameterBatch.of(members)
        if batch == len(members):
            return {0: whole}
        part = lambda leaf, first: None if leaf is None else np.asarray(leaf)[first : first + batch]
        return {first: replace(whole, batched=tuple(part(leaf, first) for leaf in whole.batched)) for first in firsts}

    def cut(self, state: PyTree, first: tuple[int, int]) -> PyTree:
        """A copy of the arrays of one batch, from those of all runs."""
        return _cut(state, first, axes=self)

    def gather(self, batches: Sequence[PyTree], donate: bool = False) -> PyTree:
        """The arrays of all runs from those of all batches; donated ones are freed as soon as they are copied."""

        def one(*parts: Array) -> Array:
            whole = _repeat(parts[0], axes=self)
            for part, first in zip(parts, self.batches, strict=True):
                whole = _put(whole, part, first, axes=self)
                if donate:
                    part.delete()
            return whole

        return jax.tree.map(one, *batches)

    def join(self, batches: Sequence[PyTree]) -> PyTree:
        """NumPy arrays of all runs from those of all batches, on the host."""
        (seeds, at_once), (hyperparameters, side_by_side) = self._batches_and_sizes
        inner = len(self.of_batch.shape)

        def one(*arrays: ArrayLike) -> np.ndarray:
            rest = np.shape(arrays[0])[inner:]
            apart = np.stack(arrays).reshape(seeds, hyperparameters, at_once, side_by_side, *rest)
            return apart.swapaxes(1, 2).reshape(*self.shape, *rest)

        return jax.tree.map(one, *batches)

    @property
    def _batches_and_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Along the seeds and along the hyperparameters: how many batches there are, and of how many."""
        seeds, hyperparameters = self.seeds_at_once, self.hyperparameters_at_once
        counts = (self.seeds or 1) // seeds, (self.hyperparameters or 1) // hyperparameters
        return (counts[0], seeds), (counts[1], hyperparameters)

    def _sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a batch with all batch axes there are, from one of all runs."""
        axes = ((self.seeds, self.seeds_at_once), (self.hyperparameters, self.hyperparameters_at_once))
        at_once = tuple(batch for length, batch in axes if length is not None)
        return at_once + shape[len(at_once) :]

    def _starts(self, first: tuple[ArrayLike, ArrayLike], shape: tuple[int, ...]) -> tuple[ArrayLike, ...]:
        axes = zip((self.seeds, self.hyperparameters), first, strict=True)
        there = tuple(start for length, start in axes if length is not None)
        return there + (0,) * (len(shape) - len(there))


@partial(jax.jit, static_argnames=("axes",), compiler_options=RUN_ONCE)
def _cut(state: PyTree, first: tuple[ArrayLike, ArrayLike], *, axes: BatchAxes) -> PyTree:
    def one(x: Array) -> Array:
        piece = jax.lax.dynamic_slice(x, axes._starts(first, x.shape), axes._sizes(x.shape))
        return piece.reshape(*axes.of_batch.shape, *x.shape[len(axes.shape) :])

    return jax.tree.map(one, state)


@partial(jax.jit, static_argnames=("axes",), donate_argnames=("whole",), compiler_options=RUN_ONCE)
def _put(whole: Array, part: Array, first: tuple[ArrayLike, ArrayLike], *, axes: BatchAxes) -> Array:
    part = part.reshape(axes._sizes(whole.shape))
    return jax.lax.dynamic_update_slice(whole, part, axes._starts(first, whole.shape))


@partial(jax.jit, static_argnames=("axes",), compiler_options=RUN_ONCE)
def _repeat(part: Array, *, axes: BatchAxes) -> Array:
    rest = part.shape[len(axes.of_batch.shape) :]
    (seeds, at_once), (hyperparameters, side_by_side) = axes._batches_and_sizes
    once = part.reshape(1, at_once, 1, side_by_side, *rest)
    whole = jnp.broadcast_to(once, (seeds, at_once, hyperparameters, side_by_side, *rest))
    return whole.reshape(*axes.shape, *rest)


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
