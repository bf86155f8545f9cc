"""One round of mixing as a matrix on the host, stored in memory of order nodes times degree."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse

TOLERANCE = 1e-8  # of row and column sums, which are sums of a few rounded float64 weights


class Round(Protocol):
    """A doubly stochastic mixing matrix: ``x_new[i] = sum_j W[i, j] x[j]``."""

    @property
    def nodes(self) -> int:
        """Number of rows and columns."""
        ...

    @property
    def messages(self) -> int:
        """Number of parameter copies sent in the round: off-diagonal non-zeros of W."""
        ...

    @property
    def max_degree(self) -> int:
        """The most neighbours any node hears from, itself not counted."""
        ...

    def sparse(self) -> scipy.sparse.csr_array:
        """W in compressed sparse rows, float64."""
        ...


@dataclass(frozen=True, eq=False)
class Circulant:
    """Node i hears node ``(i + offset) % nodes`` with the weight of that offset, the same for all i."""

    nodes: int
    offsets: np.ndarray
    weights: np.ndarray

    @staticmethod
    def build(nodes: int, offsets: list[int], weights: list[float]) -> "Circulant":
        """Merge offsets that coincide modulo ``nodes``, adding their weights."""
        distinct, where = np.unique(np.asarray(offsets, dtype=np.int64) % nodes, return_inverse=True)
        merged = np.zeros(len(distinct))
        np.add.at(merged, where, weights)
        return Circulant(nodes, distinct, merged)

    @property
    def max_degree(self) -> int:
        return int(np.count_nonzero(self.offsets))

    @property
    def messages(self) -> int:
        return self.nodes * self.max_degree

    def sparse(self) -> scipy.sparse.csr_array:
        count = len(self.offsets)
        columns = (np.arange(self.nodes)[:, None] + self.offsets) % self.nodes
        rows = np.arange(0, self.nodes * count + 1, count)
        matrix = scipy.sparse.csr_array(
            (np.tile(self.weights, self.nodes), columns.ravel(), rows), shape=(self.nodes,) * 2
        )
        matrix.sort_indices()
        return matrix

    def eigenvalues(self) -> np.ndarray:
        """The complex eigenvalues of W, in the order of the Fourier modes; the first is 1."""
        first_row = np.zeros(self.nodes)
        first_row[self.offsets] = self.weights
        return np.fft.ifft(first_row) * self.nodes


@dataclass(frozen=True, eq=False)
class Complete:
    """Exact averaging, W = J / n, without its n^2 entries."""

    nodes: int

    @property
    def max_degree(self) -> int:
        return self.nodes - 1

    @property
    def messages(self) -> int:
        return self.nodes * (self.nodes - 1)

    def sparse(self) -> scipy.sparse.csr_array:
        return scipy.sparse.csr_array(np.full((self.nodes, self.nodes), 1 / self.nodes))


@dataclass(frozen=True, eq=False)
class Sparse:
    """Any doubly stochastic matrix, in compressed sparse rows."""

    matrix: scipy.sparse.csr_array

    @staticmethod
    def build(matrix: scipy.sparse.sparray | np.ndarray, name: str) -> "Sparse":
        """Check ``matrix`` and drop explicit zeros; ``name`` is the argument that errors name."""
        csr = scipy.sparse.csr_array(matrix, dtype=np.float64)
        check_doubly_stochastic(csr, name)
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

    def sparse(self) -> scipy.sparse.csr_array:
        return self.matrix


def check_doubly_stochastic(matrix: scipy.sparse.csr_array, name: str) -> None:
    """Raise a ValueError unless ``matrix`` is square, finite, non-negative and sums to one both ways."""
    rows, columns = matrix.shape
    if rows != columns:
        raise ValueError(f"{name} has shape {matrix.shape}; a mixing matrix is square, one row a node")
    if rows < 1:
        raise ValueError(f"{name} is empty; give at least one node")
    if not np.isfinite(matrix.data).all():
        bad = matrix.data[~np.isfinite(matrix.data)][0]
        raise ValueError(f"{name} has the entry {bad}; all weights must be finite")
    if matrix.data.size and matrix.data.min() < 0:
        raise ValueError(f"{name} has the entry {matrix.data.min():g}; all weights must be at least 0")
    for axis, direction in ((1, "row"), (0, "column")):
        sums = np.asarray(matrix.sum(axis=axis)).ravel()
        worst = int(np.abs(sums - 1).argmax())
        if abs(sums[worst] - 1) > TOLERANCE:
            raise ValueError(
                f"{name} is not doubly stochastic: {direction} {worst} sums to {sums[worst]:.10g}, not 1; "
                "for an undirected graph, topology.from_networkx gives Metropolis weights"
            )
