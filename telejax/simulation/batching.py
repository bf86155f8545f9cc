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
        self,
        function: Callable[[PyTree, PyTree, PyTree, PyTree], tuple[PyTree, Out]],
        state: PyTree,
        given: PyTree,
        seed: PyTree,
        batched: PyTree,
    ) -> tuple[PyTree, Out]:
        """``function(state, given, seed, batched)`` of every run: its next state, and what else it returns.

        Args:
            function: of one run; what it returns gets the batch axes in front.
            state: leaves with both batch axes; of runs one after another it is written in place.
            given: the same, only read.
            seed: leaves with the axis of the seeds alone.
            batched: leaves with the axis of the hyperparameters alone.
        """

        run, first = function, 0  # the axis of the hyperparameters, behind that of seeds side by side
        if self.hyperparameters is not None and not self.hyperparameters_at_once == 1 < self.hyperparameters:
            run = jax.vmap(run, (0, 0, None, 0), axis_size=self.hyperparameters_at_once)
        if self.seeds is not None and not self.seeds_at_once == 1 < self.seeds:
            run, first = jax.vmap(run, (0, 0, 0, None), axis_size=self.seeds_at_once), 1
        if self.hyperparameters is not None:  # loops are outside: what a vmap writes into an array is a scatter
            run = _looped(run, first, (first, None, 0), self.hyperparameters, self.hyperparameters_at_once)
        if self.seeds is not None:
            run = _looped(run, 0, (0, 0, None), self.seeds, self.seeds_at_once)
        return run(state, given, seed, batched)


def _looped(
    function: Callable[..., tuple[PyTree, Out]], axis: int, axes: tuple[int | None, ...], count: int, batch: int
) -> Callable[..., tuple[PyTree, Out]]:
    """A function of ``count`` runs, made of one of ``batch`` runs side by side, a divisor.

    Args:
        function: from a state and other arguments to the next state and an outcome.
        axis: of the state and the outcome, along which the runs lie; one run alone has no such axis.
        axes: of the other arguments, None for what all runs share.
        count: of all runs.
        batch: of those that the function takes.
    """
    if batch >= count:
        return function

    def cut(xs: PyTree, number: Array, axis: int | None) -> PyTree:
        if axis is None:
            return xs
        piece = lambda x: jax.lax.dynamic_slice_in_dim(x, number * batch, batch, axis)
        return jax.tree.map(lambda x: piece(x) if batch > 1 else piece(x).squeeze(axis), xs)

    def put(x: Array, new: Array, number: Array) -> Array:
        piece = new if batch > 1 else jnp.expand_dims(new, axis)
        return jax.lax.dynamic_update_slice_in_dim(x, piece, number * batch, axis)

    def join(x: Array) -> Array:
        x = jnp.moveaxis(x, 0, axis)
        return x if batch == 1 else x.reshape(*x.shape[:axis], count, *x.shape[axis + 2 :])

    def looped(state: PyTree, *others: PyTree) -> tuple[PyTree, Out]:
        def turn(state: PyTree, number: Array) -> tuple[PyTree, Out]:
            own = [cut(one, number, along) for one, along in zip(others, axes, strict=True)]
            new, out = function(cut(state, number, axis), *own)
            return jax.tree.map(lambda x, new: put(x, new, number), state, new), out

        state, outs = jax.lax.scan(turn, state, jnp.arange(count // batch))
        return state, jax.tree.map(join, outs)

    return looped


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
