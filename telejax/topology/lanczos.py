"""The consensus rate of large sparse graphs, by Lanczos iteration.

Graphs that mix fast converge at once. Graphs that mix slowly have few links between large parts, so that the
Laplacian of W^T W can be factorised with little fill, and the iteration converges on its inverse. A graph that
is neither gets bounds.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg as sparse_linalg
from scipy.sparse.csgraph import reverse_cuthill_mckee

RESTARTS = 40  # of 20 vectors each, of the plain iteration: two to four seconds at 10^5 nodes of degree 4
TOLERANCE = 1e-13  # of an eigenvalue near one: what rounding allows
ACCURACY = 1e-7  # relative, of a rate called resolved
MAX_ENTRIES = 5e6  # of W^T W, where it is formed
MAX_ENVELOPE = 1.5e8  # entries within the band of a matrix that is still factorised; a square torus of 10^5: 1.2e8

Matrices = Sequence[scipy.sparse.csr_array]
Operator = Callable[[np.ndarray], np.ndarray]


def bounds(matrices: Matrices) -> tuple[float, float]:
    """Lower and upper bound on p = 1 - sigma_2(W_{tau-1} ... W_0)^2; equal where the iteration converged."""
    nodes = matrices[0].shape[0]

    def squared(vector: np.ndarray) -> np.ndarray:
        vector = vector - vector.mean()
        for matrix in matrices:
            vector = matrix @ vector
        for matrix in reversed(matrices):
            vector = matrix.T @ vector
        return vector - vector.mean()

    vector, low, high = _largest(squared, nodes, RESTARTS, TOLERANCE), 0.0, 1.0
    if vector is not None:
        high = _loss(matrices, vector)
        error = float(np.linalg.norm(squared(vector) - (1 - high) * vector))  # to an eigenvalue, rigorously
        if error <= ACCURACY * high:
            return high, high
        low = max(0.0, high - error)
    solve = _inverse(matrices)
    if solve is not None and (vector := _largest(solve, nodes, RESTARTS, ACCURACY)) is not None:
        return (_loss(matrices, vector),) * 2
    return low, min(high, _loss(matrices, _smoothed(squared, nodes)))


def _largest(apply: Operator, nodes: int, restarts: int, tolerance: float) -> np.ndarray | None:
    """The unit eigenvector of the largest eigenvalue, or None where the iteration does not converge."""
    operator = sparse_linalg.LinearOperator((nodes, nodes), matvec=lambda x: apply(x.ravel()), dtype=np.float64)
    start = np.random.default_rng(0).normal(size=nodes)
    try:
        vectors = sparse_linalg.eigsh(operator, k=1, which="LA", v0=start, tol=tolerance, maxiter=restarts)[1]
    except sparse_linalg.ArpackNoConvergence:
        return None
    return vectors[:, 0]


def _loss(matrices: Matrices, vector: np.ndarray) -> float:
    """1 - ||P x||^2 / ||x||^2 without cancellation: its error is of second order in that of the eigenvector."""
    x = vector - vector.mean()
    whole, lost = float(x @ x), 0.0
    for matrix in matrices:
        y = matrix @ x
        rows = np.repeat(np.arange(len(x)), np.diff(matrix.indptr))
        lost += float(matrix.data @ (x[matrix.indices] - y[rows]) ** 2)
        x = y
    return min(1.0, lost / whole)


def _inverse(matrices: Matrices) -> Operator | None:
    """The inverse of I - P^T P on vectors of mean zero, or None where its factors would be too large."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = matrix @ product
        if product.nnz > MAX_ENTRIES:
            return None
    if product.nnz**2 / product.shape[0] > 4 * MAX_ENTRIES:  # the mean row squared, over all rows
        return None
    squared = scipy.sparse.csr_array(product.T @ product)
    squared.setdiag(0)
    squared.eliminate_zeros()
    laplacian = scipy.sparse.csr_array(scipy.sparse.diags_array(np.asarray(squared.sum(axis=1)).ravel()) - squared)
    if _envelope(laplacian) > MAX_ENVELOPE:
        return None
    grounded = scipy.sparse.csc_array(laplacian[1:, 1:])  # without one node it is not singular
    factors = sparse_linalg.splu(
        grounded, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )

    def solve(vector: np.ndarray) -> np.ndarray:
        solution = np.concatenate([[0.0], factors.solve((vector - vector.mean())[1:])])
        return solution - solution.mean()

    return solve


def _envelope(matrix: scipy.sparse.csr_array) -> float:
    """Entries between the first of each row and the diagonal, in an order that keeps the band narrow."""
    order = reverse_cuthill_mckee(matrix, symmetric_mode=True)
    place = np.argsort(order)
    first = np.minimum.reduceat(place[matrix.indices], matrix.indptr[:-1])
    return float(np.sum(np.maximum(place - first, 0)))


def _smoothed(apply: Operator, nodes: int, times: int = 100) -> np.ndarray:
    """A random vector after ``times`` applications: what is left of it decays slowly."""
    vector = np.random.default_rng(0).normal(size=nodes)
    for _ in range(times):
        vector = apply(vector)
        vector /= np.linalg.norm(vector)
    return vector
