"""The mixing matrix of one round on the host, stored in memory of order nodes times degree.

It is either a fixed matrix (:class:`Circulant`, :class:`Complete`, :class:`Sparse`), or is drawn anew every
time (:class:`telejax.topology.drawn.RandomPeers`), or is made of others (:class:`Blocks`, :class:`Permuted`).
"""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.topology.sizes import check_entries

if TYPE_CHECKING:
    from telejax.mixing.forms import Mixing

FixedT = TypeVar("FixedT")

TOLERANCE = 1e-8  # of row and column sums, which are sums of a few rounded float64 weights
SYMMETRIC = 1e-12  # weights that differ by less are the same, rounded
ROUNDING = 1e-5  # of row and column sums of float32 weights, which are normalised
NORMALISED_TURNS = 50  # of rows and columns in turn (Sinkhorn), from sums within ROUNDING to within TOLERANCE


Stochastic = Literal["both", "row", "column"]
"""Which sums of a mixing matrix are one."""


class MixingMatrix(Protocol):
    """A round that may be drawn anew every time; ``at`` gives the matrix of a particular one."""

    @property
    def nodes(self) -> int:
        """Number of rows and columns."""
        ...

    @property
    def fixed(self) -> bool:
        """Whether the matrix is the same every time."""
        ...

    @property
    def messages(self) -> float:
        """Parameter copies sent, off-diagonal non-zeros of W; their mean, where the round is drawn."""
        ...

    @property
    def max_degree(self) -> int:
        """The most neighbours any node hears from, itself not counted."""
        ...

    def at(self, round: int) -> "FixedMatrix":
        """What this is in the given round of a run."""
        ...

    def links(self) -> "scipy.sparse.csr_array":
        """A graph of order nodes times degree edges that connects what the union of all draws connects."""
        ...

    @property
    def strides(self) -> tuple[int, ...]:
        """Distances d at which every node i is connected with (i + d) % nodes by construction; empty where unknown."""
        ...

    def permuted(self, order: np.ndarray) -> "MixingMatrix":
        """Node a in the role of node ``order[a]``: ``W'[a, b] = W[order[a], order[b]]``."""
        ...

    def lazier(self, kept: float) -> "MixingMatrix":
        """``kept I + (1 - kept) W``."""
        ...

    @property
    def listable(self) -> bool:
        """Whether neighbour lists are the best form on the device, as long as rows are short."""
        ...

    def lower(self, name: str) -> "Mixing":
        """The form on the device, where rows are too long for neighbour lists or something is faster."""
        ...


class FixedMatrix(MixingMatrix, Protocol):
    """A doubly stochastic mixing matrix: ``x_new[i] = sum_j W[i, j] x[j]``."""

    @property
    def messages(self) -> int:
        """Parameter copies sent: off-diagonal non-zeros of W."""
        ...

    @property
    def symmetric(self) -> bool:
        """Whether W equals its transpose, up to rounding."""
        ...

    def sparse(self) -> "scipy.sparse.csr_array":
        """W in compressed sparse rows, float64."""
        ...


class Fixed:
    """What all fixed matrices share."""

    fixed = True
    listable = True
    strides: tuple[int, ...] = ()

    def lower(self: "FixedMatrix", name: str) -> "Mixing":
        from telejax.topology.lower import long_rows  # here, so that graphs can be studied without importing jax

        return long_rows(name, self)

    def at(self: FixedT, round: int) -> FixedT:
        return self

    @property
    def symmetric(self: FixedMatrix) -> bool:
        matrix = self.sparse()
        return bool(abs(matrix - matrix.T).max() < SYMMETRIC)

    def links(self: FixedMatrix) -> "scipy.sparse.csr_array":
        return self.sparse()

    def permuted(self: FixedMatrix, order: np.ndarray) -> MixingMatrix:
        return Sparse(scipy.sparse.csr_array(self.sparse()[order][:, order]))


@dataclass(frozen=True, eq=False)
class Circulant(Fixed):
    """Node i hears node ``(i + offset) % nodes`` with the weight of that offset, the same for all i."""

    nodes: int
    offsets: np.ndarray
    weights: np.ndarray

    @staticmethod
    def build(nodes: int, offsets: list[int], weights: list[float]) -> "Circulant":
        """Merge offsets that coincide modulo ``nodes``, adding their weights, and drop those of weight 0."""
        distinct, where = np.unique(np.asarray(offsets, dtype=np.int64) % nodes, return_inverse=True)
        merged = np.zeros(len(distinct))
        np.add.at(merged, where, weights)
        return Circulant(nodes, distinct[merged != 0], merged[merged != 0])

    @property
    def strides(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(self.offsets.tolist())

    @property
    def symmetric(self) -> bool:
        mirrored = Circulant.build(self.nodes, (-self.offsets).tolist(), self.weights.tolist())
        same = np.array_equal(mirrored.offsets, self.offsets)
        return same and bool(np.abs(mirrored.weights - self.weights).max() < SYMMETRIC)

    @property
    def max_degree(self) -> int:
        return int(np.count_nonzero(self.offsets))

    @property
    def messages(self) -> int:
        return self.nodes * self.max_degree

    def sparse(self) -> "scipy.sparse.csr_array":
        check_entries("a circulant graph", self.nodes, len(self.offsets) * self.nodes)
        count = len(self.offsets)
        columns = (np.arange(self.nodes)[:, None] + self.offsets) % self.nodes
        rows = np.arange(0, self.nodes * count + 1, count)
        matrix = scipy.sparse.csr_array(
            (np.tile(self.weights, self.nodes), columns.ravel(), rows), shape=(self.nodes,) * 2
        )
        matrix.sort_indices()
        return matrix

    def lazier(self, kept: float) -> "Circulant":
        return Circulant.build(self.nodes, [0, *self.offsets.tolist()], [kept, *((1 - kept) * self.weights).tolist()])


@dataclass(frozen=True, eq=False)
class Complete(Fixed):
    """Exact averaging without its n^2 entries: W = kept I + (1 - kept) J / n."""

    nodes: int
    kept: float = 0.0
    listable = False
    strides = (1,)

    def lower(self, name: str) -> "Mixing":
        from telejax.mixing.means import Mean

        return Mean.over(self.nodes, name, self.kept)

    @property
    def max_degree(self) -> int:
        return self.nodes - 1

    @property
    def messages(self) -> int:
        return self.nodes * (self.nodes - 1)

    def sparse(self) -> "scipy.sparse.csr_array":
        check_entries("a complete graph", self.nodes, self.nodes**2)
        uniform = np.full((self.nodes, self.nodes), (1 - self.kept) / self.nodes)
        return scipy.sparse.csr_array(uniform + self.kept * np.eye(self.nodes))

    def links(self) -> "scipy.sparse.csr_array":
        return cycle(self.nodes)

    def permuted(self, order: np.ndarray) -> "Complete":
        return self

    def lazier(self, kept: float) -> "Complete":
        return Complete(self.nodes, kept + (1 - kept) * self.kept)


@dataclass(frozen=True, eq=False)
class Sparse(Fixed):
    """Any stochastic matrix, in compressed sparse rows."""

    matrix: "scipy.sparse.csr_array"

    @staticmethod
    def build(matrix: "scipy.sparse.sparray | np.ndarray", name: str, stochastic: Stochastic = "both") -> "Sparse":
        """Check ``matrix`` and drop explicit zeros; ``name`` is the argument that errors name."""
        csr = normalised(scipy.sparse.csr_array(matrix, dtype=np.float64, copy=True), name, stochastic)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        return Sparse(csr)

    @property
    def nodes(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def max_degree(self) -> int:
        neighbours = np.diff(self.matrix.indptr) - (self.matrix.diagonal() != 0)
        return int(neighbours.max())

    @property
    def messages(self) -> int:
        return int(self.matrix.nnz - np.count_nonzero(self.matrix.diagonal()))

    def sparse(self) -> "scipy.sparse.csr_array":
        return self.matrix

    def lazier(self, kept: float) -> "Sparse":
        diagonal = scipy.sparse.diags_array(np.full(self.nodes, kept))
        return Sparse(scipy.sparse.csr_array(diagonal + (1 - kept) * self.matrix))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Independent groups of nodes side by side: a block-diagonal matrix."""

    parts: tuple[MixingMatrix, ...]
    strides = ()

    def lower(self, name: str) -> "Mixing":
        from telejax.mixing.compose import block_diagonal
        from telejax.topology.lower import mixing_of

        return block_diagonal([mixing_of(name, [part]) for part in self.parts])

    @property
    def listable(self) -> bool:
        return self.fixed

    @property
    def nodes(self) -> int:
        return sum(part.nodes for part in self.parts)

    @property
    def fixed(self) -> bool:
        return all(part.fixed for part in self.parts)

    @property
    def max_degree(self) -> int:
        return max(part.max_degree for part in self.parts)

    @property
    def messages(self) -> float:
        return sum(part.messages for part in self.parts)

    def at(self, round: int) -> Sparse:
        return Sparse(scipy.sparse.block_diag([part.at(round).sparse() for part in self.parts], format="csr"))

    def links(self) -> "scipy.sparse.csr_array":
        return scipy.sparse.block_diag([part.links() for part in self.parts], format="csr")

    def permuted(self, order: np.ndarray) -> "Permuted":
        return Permuted(self, order)

    def lazier(self, kept: float) -> "Blocks":
        return Blocks(tuple(part.lazier(kept) for part in self.parts))


@dataclass(frozen=True, eq=False)
class Permuted:
    """Another round in which node a takes the role of node ``order[a]``."""

    part: MixingMatrix
    order: np.ndarray
    strides = ()

    def lower(self, name: str) -> "Mixing":
        from telejax.mixing.compose import Permuted as PermutedMixing
        from telejax.topology.lower import mixing_of

        order = self.order.astype(np.int32)
        return PermutedMixing(mixing_of(name, [self.part]), order, np.argsort(order).astype(np.int32))

    @property
    def listable(self) -> bool:
        return self.fixed

    @property
    def nodes(self) -> int:
        return self.part.nodes

    @property
    def fixed(self) -> bool:
        return self.part.fixed

    @property
    def max_degree(self) -> int:
        return self.part.max_degree

    @property
    def messages(self) -> float:
        return self.part.messages

    def at(self, round: int) -> FixedMatrix:
        matrix = self.part.at(round).sparse()
        return Sparse(scipy.sparse.csr_array(matrix[self.order][:, self.order]))

    def links(self) -> "scipy.sparse.csr_array":
        return scipy.sparse.csr_array(self.part.links()[self.order][:, self.order])

    def permuted(self, order: np.ndarray) -> "Permuted":
        return Permuted(self.part, self.order[order])

    def lazier(self, kept: float) -> "Permuted":
        return Permuted(self.part.lazier(kept), self.order)


def cycle(nodes: int) -> "scipy.sparse.csr_array":
    """Node i linked with node i + 1: the cheapest graph that connects all nodes."""
    index = np.arange(nodes)
    return scipy.sparse.csr_array((np.ones(nodes), (index, (index + 1) % nodes)), shape=(nodes, nodes))


def normalised(
    matrix: "scipy.sparse.csr_array", name: str, stochastic: Stochastic = "both"
) -> "scipy.sparse.csr_array":
    """The matrix with sums of exactly one (rows, columns or both), where they are off by rounding alone.

    Sums within 1e-5, as of float32 weights, are normalised, with a warning above 1e-8.

    Args:
        matrix: of the weights.
        name: the argument that errors name.
        stochastic: which sums are one.

    Raises:
        ValueError: not square, not finite, negative, or sums further off.
    """
    if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} has shape {matrix.shape}; a mixing matrix is square, give one row a node")
    if not matrix.shape[0]:
        raise ValueError(f"{name} is empty; give at least one node")
    if not np.isfinite(matrix.data).all():
        bad = matrix.data[~np.isfinite(matrix.data)][0]
        raise ValueError(f"{name} has the entry {bad}; all weights must be finite")
    if matrix.data.size and matrix.data.min() < 0:
        raise ValueError(f"{name} has the entry {matrix.data.min():g}; all weights must be at least 0")
    kind = {"both": "doubly stochastic", "row": "row-stochastic", "column": "column-stochastic"}[stochastic]
    axes = [(1, "row")] * (stochastic != "column") + [(0, "column")] * (stochastic != "row")
    off = 0.0
    for axis, direction in axes:
        sums = np.asarray(matrix.sum(axis=axis)).ravel()
        worst = int(np.abs(sums - 1).argmax())
        if abs(sums[worst] - 1) > ROUNDING:
            hint = f"divide each {direction} by its sum"
            if stochastic == "both":
                hint = "for an undirected graph, topology.from_networkx gives Metropolis weights"
            raise ValueError(f"{name} is not {kind}: {direction} {worst} sums to {sums[worst]:.10g}, not 1; {hint}")
        off = max(off, float(abs(sums[worst] - 1)))
    if off <= TOLERANCE:
        return matrix
    warnings.warn(f"{name} is {kind} up to {off:.1g}; its weights are normalised", stacklevel=4)
    for _ in range(NORMALISED_TURNS if stochastic == "both" else 1):
        for axis, _ in axes:
            scale = scipy.sparse.diags_array(1 / np.asarray(matrix.sum(axis=axis)).ravel())
            matrix = scipy.sparse.csr_array(scale @ matrix if axis == 1 else matrix @ scale)
    return matrix
