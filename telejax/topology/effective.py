"""How many neighbours a graph is worth: the variance that gossip takes from a random walk that forgets."""

from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.topology.matrices import Circulant, Complete, FixedMatrix, MixingMatrix
from telejax.topology.spectrum import apply, circulant_row

MOST_NODES, DENSE_NODES = 2**22, 1024
"""Nodes up to which all eigenvalues of a circulant matrix are known, and of any symmetric one."""
SMALL = 128
"""Nodes up to which the covariance of several rounds, or of a matrix that is not symmetric, is iterated."""
LEFT = 1e-9
"""Of the start, when the iteration is taken to stand."""


def effective_neighbours(rounds: Sequence[MixingMatrix], decay: float) -> float | None:
    """``1 / (1 - decay)`` by the variance of ``z <- W (sqrt(decay) z + noise)`` in the long run, a mean over nodes.

    None where rounds are drawn, or a graph has too many nodes.
    """
    if not all(one.fixed for one in rounds):
        return None
    fixed = [one.at(0) for one in rounds]
    nodes, first = fixed[0].nodes, fixed[0]
    circulant = [one for one in fixed if isinstance(one, Circulant)]
    if len(fixed) == 1 and isinstance(first, Complete):
        kept = np.full((1, min(2, nodes)), first.kept**2)
        kept[0, 0] = 1.0
        variance = _of_modes(kept, decay, np.array([1, nodes - 1])[: kept.shape[1]])
    elif len(circulant) == len(fixed) and nodes <= MOST_NODES:
        variance = _of_modes(np.stack([_spectrum(one) for one in circulant]), decay)
    elif len(fixed) == 1 and first.symmetric and nodes <= DENSE_NODES:
        matrix = apply(first, np.eye(nodes))
        variance = _of_modes(scipy.linalg.eigvalsh(matrix)[None] ** 2, decay)
    elif nodes <= SMALL:
        variance = _iterated(fixed, decay)
    else:
        return None
    return float(1 / (1 - decay) / variance)


def _spectrum(one: Circulant) -> np.ndarray:
    """Squared moduli of the eigenvalues."""
    kept: np.ndarray = np.abs(np.fft.fft(circulant_row(one))) ** 2
    return kept


def _of_modes(kept: np.ndarray, decay: float, count: np.ndarray | None = None) -> float:
    """The mean variance of modes of which a round keeps ``kept`` (rounds, modes), over a period that repeats;
    ``count`` of each.

    ``v <- kept (decay v + 1)`` is linear: after a period v = a v + b, whose fixed point is b / (1 - a).
    """
    a, b = np.ones(kept.shape[1]), np.zeros(kept.shape[1])
    for one in kept:
        a, b = one * decay * a, one * (decay * b + 1)
    v = b / (1 - a)
    found = []
    for one in kept:
        v = one * (decay * v + 1)
        found.append(np.average(v, weights=count))
    return float(np.mean(found))


def _iterated(rounds: Sequence[FixedMatrix], decay: float) -> float:
    """The same of any matrices, by iterating the covariance until it stands."""
    matrices = [apply(one, np.eye(one.nodes)) for one in rounds]
    covariance, periods = np.zeros((rounds[0].nodes,) * 2), int(np.ceil(np.log(LEFT) / np.log(decay) / len(rounds)))
    for _ in range(max(1, periods)):
        found = []
        for matrix in matrices:
            covariance = matrix @ (decay * covariance + np.eye(len(matrix))) @ matrix.T
            found.append(np.trace(covariance) / len(matrix))
    return float(np.mean(found))
