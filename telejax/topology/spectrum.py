"""How fast a sequence of mixing matrices reaches consensus: its second singular value."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse.linalg

from telejax.topology.rounds import Circulant, Complete, Round

DENSE_NODES = 1024  # up to here a dense SVD is exact and takes under a second


def consensus_rate(rounds: Sequence[Round]) -> float:
    """p = 1 - sigma_2(W_{period-1} ... W_0)^2, in [0, 1]; one node is in consensus, p = 1.

    Args:
        rounds: the matrices of one period.

    Source: PAPER of Koloskova et al. 2020 (arXiv 2003.10422), Assumption 4.
    """
    nodes = rounds[0].nodes
    if nodes == 1 or any(isinstance(one, Complete) for one in rounds):
        return 1.0
    circulants = [one for one in rounds if isinstance(one, Circulant)]
    if len(circulants) == len(rounds):  # they commute: eigenvalues of the product are products
        modes = np.prod([np.abs(one.eigenvalues()) for one in circulants], axis=0)
        return float(1 - np.max(modes[1:]) ** 2)
    if nodes <= DENSE_NODES:
        product = np.eye(nodes)
        for one in rounds:
            product = one.sparse() @ product
        return float(1 - np.linalg.norm(product - 1 / nodes, ord=2) ** 2)
    return 1 - _largest_eigenvalue(rounds)


def _largest_eigenvalue(rounds: Sequence[Round]) -> float:
    """Largest eigenvalue of P^T P with the consensus direction projected out, P the product of the rounds."""
    nodes = rounds[0].nodes
    matrices = [one.sparse() for one in rounds]

    def apply(vector: np.ndarray) -> np.ndarray:
        vector = vector.ravel() - vector.mean()
        for matrix in matrices:
            vector = matrix @ vector
        for matrix in reversed(matrices):
            vector = matrix.T @ vector
        return vector - vector.mean()

    operator = scipy.sparse.linalg.LinearOperator((nodes, nodes), matvec=apply, dtype=np.float64)
    start = np.random.default_rng(0).normal(size=nodes)
    return float(scipy.sparse.linalg.eigsh(operator, k=1, v0=start, tol=1e-10, return_eigenvectors=False)[0])
