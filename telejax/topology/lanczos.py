"""The consensus rate of large sparse graphs, by Lanczos iteration.

Graphs that are long and thin mix slowly, but their Laplacian can be factorised with little fill, and the
iteration on its inverse converges at once. Other graphs mix fast, and the plain iteration converges. A graph
that is neither gets bounds.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy  # whose parts are imported when they are used

ACCURACY = 5e-7  # relative, of a rate called resolved
FIRST_TOLERANCE = 1e-7  # of an eigenvalue near one, before the rate is known
ROUNDING = 1e-14  # what floating point allows
POWER = 4  # products with P^T P for each Lanczos vector: products are cheaper than keeping vectors orthogonal
RESTARTS = 20  # of 20 vectors each: at most about ten seconds at 10^5 nodes of degree 4
MAX_ENTRIES = 5e6  # of P^T P, where it is formed
MAX_WORK = 3e9  # operations of a factorisation within the band that are always worth it: about a second
MAX_WIDTH = 4.0  # mean width of the band, over sqrt(nodes), that is; grids have 1 to 2, and less fill than the band
LEAF_PASSES = 64  # passes that strip leaves, which cause no fill

Matrices = Sequence["scipy.sparse.csr_array"]
Operator = Callable[[np.ndarray], np.ndarray]


def bounds(matrices: Matrices) -> tuple[float, float]:
    """Lower and upper bound on p = 1 - sigma_2(W_{tau-1} ... W_0)^2; equal where the iteration converged."""
    rate = _by_inverse(matrices)
    return _by_products(matrices) if rate is None else (rate, rate)


def _by_products(matrices: Matrices) -> tuple[float, float]:
    nodes = matrices[0].shape[0]

    def squared(vector: np.ndarray) -> np.ndarray:
        vector = vector - vector.mean()
        for matrix in matrices:
            vector = matrix @ vector
        for matrix in reversed(matrices):
            vector = matrix.T @ vector
        return vector

    def power(vector: np.ndarray) -> np.ndarray:
        for _ in range(POWER):
            vector = squared(vector)
        return vector

    vector = np.random.default_rng(0).normal(size=nodes)
    low, high, tolerance = 0.0, 1.0, FIRST_TOLERANCE
    while tolerance >= ROUNDING:
        converged = _largest(power, vector, tolerance)
        if converged is None:
            break
        vector = converged
        high = _loss(matrices, vector)
        error = float(np.linalg.norm(squared(vector) - (1 - high) * vector))  # to the nearest eigenvalue, rigorously
        if error <= ACCURACY * high:
            return high, high
        low = max(0.0, high - error)
        tolerance = min(tolerance / 10, ACCURACY * high)
    return low, min(high, _loss(matrices, _smoothed(squared, vector)))


def _by_inverse(matrices: Matrices) -> float | None:
    """The rate by iteration on the inverse of a Laplacian, or None where its factors would be too large."""
    first = matrices[0]
    if len(matrices) == 1 and abs(first - first.T).max() == 0:
        vector = _slowest(first)
        # I - W sees the eigenvalues near 1; those near -1 are no slower, by Gershgorin's circles
        if vector is not None and _quotient(first, vector) <= 2 * first.diagonal().min():
            return _loss(matrices, vector)
    squared = _squared(matrices)
    vector = None if squared is None else _slowest(squared)
    return None if vector is None else _loss(matrices, vector)


def _slowest(matrix: "scipy.sparse.csr_array") -> np.ndarray | None:
    """The eigenvector next to the constant one of a symmetric doubly stochastic matrix."""
    off = scipy.sparse.csr_array(matrix, copy=True)
    off.setdiag(0)
    off.eliminate_zeros()
    if _work(off) > MAX_WORK + (MAX_WIDTH * off.shape[0]) ** 2:
        return None
    laplacian = scipy.sparse.csc_array(scipy.sparse.diags_array(np.asarray(off.sum(axis=1)).ravel()) - off)
    # without one node it is not singular; without the one of most links, the hub of a star say, it is easiest to order
    kept = np.delete(np.arange(matrix.shape[0]), np.diff(off.indptr).argmax())
    factors = scipy.sparse.linalg.splu(
        laplacian[kept][:, kept], permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )

    def solve(vector: np.ndarray) -> np.ndarray:
        solution = np.zeros_like(vector)
        solution[kept] = factors.solve((vector - vector.mean())[kept])
        return solution - solution.mean()

    return _largest(solve, np.random.default_rng(0).normal(size=matrix.shape[0]), ACCURACY)


def _largest(apply: Operator, start: np.ndarray, tolerance: float) -> np.ndarray | None:
    """The unit eigenvector of the largest eigenvalue, or None where the iteration does not converge."""
    nodes = len(start)
    operator = scipy.sparse.linalg.LinearOperator((nodes, nodes), matvec=lambda x: apply(x.ravel()), dtype=np.float64)
    try:
        vectors = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", v0=start, tol=tolerance, maxiter=RESTARTS)[1]
    except scipy.sparse.linalg.ArpackNoConvergence:
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


def _quotient(matrix: "scipy.sparse.csr_array", x: np.ndarray) -> float:
    """x^T (I - W) x / ||x||^2 of a symmetric matrix: half the weighted squares of all differences."""
    rows = np.repeat(np.arange(len(x)), np.diff(matrix.indptr))
    return float(matrix.data @ (x[matrix.indices] - x[rows]) ** 2 / (2 * (x @ x)))


def _squared(matrices: Matrices) -> "scipy.sparse.csr_array | None":
    """P^T P, or None where it has too many entries."""
    product = matrices[0]
    for matrix in matrices[1:]:
        if _entries(matrix, product) > MAX_ENTRIES:
            return None
        product = matrix @ product
    transposed = scipy.sparse.csr_array(product.T)
    if _entries(transposed, product) > MAX_ENTRIES:
        return None
    return scipy.sparse.csr_array(transposed @ product)


def _entries(left: "scipy.sparse.csr_array", right: "scipy.sparse.csr_array") -> int:
    """At most so many entries has the product."""
    return int(np.diff(right.indptr)[left.indices].sum())


def _work(links: "scipy.sparse.csr_array") -> float:
    """Operations of a factorisation within the band: its width at each row squared, in an order that keeps it narrow.

    Leaves are stripped before: eliminated first, they leave nothing behind, whatever the band.
    """
    for _ in range(LEAF_PASSES):
        inner = np.flatnonzero(np.diff(links.indptr) > 1)
        if len(inner) == links.shape[0]:
            break
        links = scipy.sparse.csr_array(links[inner][:, inner])
    if links.nnz == 0:
        return 0.0
    place = np.argsort(scipy.sparse.csgraph.reverse_cuthill_mckee(links, symmetric_mode=True))
    rows = np.flatnonzero(np.diff(links.indptr))
    first = np.minimum.reduceat(place[links.indices], links.indptr[rows])
    return float(np.sum(np.maximum(place[rows] - first, 0).astype(np.float64) ** 2))


def _smoothed(apply: Operator, vector: np.ndarray, times: int = 100) -> np.ndarray:
    """A vector after ``times`` applications: what is left of it decays slowly."""
    for _ in range(times):
        vector = apply(vector)
        vector /= np.linalg.norm(vector)
    return vector
