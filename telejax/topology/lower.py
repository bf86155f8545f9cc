"""From matrices on the host to their forms on the device; the only module of this room that needs jax to load."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from telejax.backend.host import check_host_memory
from telejax.mixing.compose import Periodic
from telejax.mixing.forms import MAX_DENSE_NODES, MAX_NEIGHBOURS, Dense, Edges, Mixing, Neighbours
from telejax.topology.matrices import Circulant

if TYPE_CHECKING:
    from telejax.topology.matrices import FixedMatrix, MixingMatrix


def mixing_of(name: str, rounds: "Sequence[MixingMatrix]") -> Mixing:
    """The fastest form for the matrices of one period: one table of neighbour lists, if all have short rows."""
    if all(one.listable and one.max_degree <= MAX_NEIGHBOURS for one in rounds):
        return neighbour_lists(name, [one.at(0) for one in rounds])
    if len(rounds) == 1:
        return rounds[0].lower(name)
    return Periodic(name, rounds[0].nodes, tuple(mixing_of(name, [one]) for one in rounds))


def long_rows(name: str, matrix: "FixedMatrix") -> Dense | Edges:
    """A matrix some of whose rows are long."""
    if matrix.nodes <= MAX_DENSE_NODES:
        return Dense(name, matrix.nodes, (matrix.messages,), matrix.sparse().toarray()[None])
    i, j = matrix.sparse().tocoo().coords
    return Edges(name, matrix.nodes, (matrix.messages,), i.astype(np.int32), j.astype(np.int32), matrix.sparse().data)


def neighbour_lists(name: str, rounds: "Sequence[FixedMatrix]") -> Neighbours:
    """Pad every row to the largest degree of the period; a padded entry reads the slot itself with weight 0."""
    if all(isinstance(one, Circulant) and len({*one.weights[one.offsets != 0]}) <= 1 for one in rounds):
        return _shifted_lists(name, rounds)  # type: ignore[arg-type]
    period, slots = len(rounds), rounds[0].nodes
    degree = max(one.max_degree for one in rounds)
    own = np.zeros((period, slots))
    weights = np.zeros((period, degree, slots))
    indices = np.tile(np.arange(slots, dtype=np.int32), (period, degree, 1))
    for t, one in enumerate(rounds):
        matrix = one.sparse()
        own[t] = matrix.diagonal()
        rows = np.repeat(np.arange(slots), np.diff(matrix.indptr))
        off = rows != matrix.indices
        rows, columns, values = rows[off], matrix.indices[off], matrix.data[off]
        starts = np.searchsorted(rows, np.arange(slots))
        position = np.arange(len(rows)) - starts[rows]
        weights[t, position, rows] = values
        indices[t, position, rows] = columns
    messages = tuple(one.messages for one in rounds)
    symmetric = all(one.symmetric for one in rounds)
    return Neighbours(name, slots, messages, _shared(own), _shared(weights), indices, symmetric)


def _shifted_lists(name: str, rounds: "Sequence[Circulant]") -> Neighbours:
    """Those of circulant rounds whose neighbours weigh the same: int32 numbers in the order of the columns of a matrix.

    Nothing else is as long as the slots, which may be many.
    """
    period, slots = len(rounds), rounds[0].nodes
    degree = max(one.max_degree for one in rounds)
    check_host_memory(
        f"topology {name!r} with {slots} nodes",
        (period * degree + 1) * slots * np.dtype(np.int32).itemsize,
        "give it fewer nodes, such as the slots of telejax.teleportation",
    )
    own, weights = np.zeros((period, 1)), np.zeros((period, degree, 1))
    indices = np.empty((period, degree, slots), np.int32)
    for t, one in enumerate(rounds):
        away = one.offsets != 0
        own[t] = one.weights[~away].sum()
        weights[t, : one.max_degree, 0] = one.weights[away]
        offsets = one.offsets[away].tolist()
        starts = [0, *(slots - offset for offset in reversed(offsets)), slots]
        for wrapped, (start, stop) in enumerate(itertools.pairwise(starts)):  # so many neighbours are past the end
            ahead = len(offsets) - wrapped
            in_order = [*(offset - slots for offset in offsets[ahead:]), *offsets[:ahead]]
            for m, offset in enumerate(in_order + [0] * (degree - len(offsets))):
                indices[t, m, start:stop] = np.arange(start + offset, stop + offset, dtype=np.int32)
    messages = tuple(one.messages for one in rounds)
    return Neighbours(name, slots, messages, own, weights, indices, all(one.symmetric for one in rounds))


def _shared(table: np.ndarray) -> np.ndarray:
    """One column, where all slots (the last axis) have the same numbers."""
    return table[..., :1] if (table == table[..., :1]).all() else table
