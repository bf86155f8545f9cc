"""How fast a sequence of mixing matrices reaches consensus: p = 1 - sigma_2(W_{tau-1} ... W_0)^2.

A slow graph has a tiny p, which 1 - sigma^2 in floating point would lose. Everything here computes the loss p
itself, as a sum of terms that are not negative: of a vector x with mean zero,

    ||x||^2 - ||W x||^2 = sum_ij W_ij (x_j - (W x)_i)^2

because the columns of W sum to one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.topology import lanczos
from telejax.topology.drawn import DrawnMatrix
from telejax.topology.matrices import Circulant, Complete, FixedMatrix, MixingMatrix, Permuted
from telejax.topology.sizes import check_entries

DENSE_NODES = 1024  # up to here dense eigenvalues are exact and take under a second
CLOSE_MODES = 64  # the slowest Fourier modes by FFT, among which the slowest is found without cancellation
ALL_MODES = 2**20  # nodes up to which all modes of circulant graphs are looked at
FINE = 64  # points that a wave of the spectrum is sampled at
MOST_SAMPLES = 2**24  # numbers of the samples of a spectrum
MODE_BYTES = 24  # a node of a circulant graph, whose spectrum is an FFT (measured)
EXACT = 1e-12  # relative distance to consensus that rounding leaves behind


@dataclass(frozen=True)
class Bounds:
    """``low <= p <= high``; equal where p is known to rounding."""

    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the bounds agree to a relative 1e-6."""
        return self.high - self.low <= 1e-6 * self.high


def consensus_bounds(rounds: Sequence[MixingMatrix]) -> Bounds:
    """Bounds on p over one period; see :meth:`telejax.topology.Topology.consensus_rate`."""
    nodes = rounds[0].nodes
    if nodes == 1:
        return Bounds(1.0, 1.0)
    if not connects(rounds):
        return Bounds(0.0, 0.0)
    if not _is_narrow(rounds):
        check_entries("the consensus rate of a graph", nodes, nodes, MODE_BYTES)
    if not all(one.fixed for one in rounds):
        return _drawn(rounds)
    means = [one for one in rounds if isinstance(one, Complete)]
    others = [one.at(0) for one in rounds if not isinstance(one, Complete)]
    left = float(np.prod([one.kept for one in means])) ** 2  # means commute with all and shrink all differences alike
    if left == 0 or not others:
        return Bounds(1 - left, 1 - left)
    rest = _fixed(others)
    return Bounds(1 - left * (1 - rest.low), 1 - left * (1 - rest.high)) if means else rest


def connects(rounds: Sequence[MixingMatrix]) -> bool:
    """Whether the union of all rounds connects every node with every other.

    Strides without a common divisor with the number of nodes connect all of them, without a look at any node.
    """
    if math.gcd(rounds[0].nodes, *(stride for one in rounds for stride in one.strides)) == 1:
        return True
    union = sum((one.links() for one in rounds[1:]), rounds[0].links())
    parts = scipy.sparse.csgraph.connected_components(union, directed=True, connection="strong", return_labels=False)
    return bool(parts == 1)


def is_finite_time(rounds: Sequence[MixingMatrix]) -> bool:
    """Whether a period ends in exact consensus, tried on a random start."""
    if any(isinstance(one, Complete) and one.kept == 0 for one in rounds):
        return True
    if rounds[0].nodes > 1 and not all(one.fixed for one in rounds):
        return False
    check_entries("a period of a graph", rounds[0].nodes, rounds[0].messages + rounds[0].nodes)
    start = np.random.default_rng(0).normal(size=rounds[0].nodes)
    start -= start.mean()
    end = start
    for one in rounds:
        end = apply(one.at(0), end)
    return bool(np.linalg.norm(end) <= EXACT * np.linalg.norm(start))


def apply(one: FixedMatrix, x: np.ndarray) -> np.ndarray:
    """``W x`` without the n^2 entries of a mean; x has the shape (nodes, ...)."""
    if isinstance(one, Complete):
        return one.kept * x + (1 - one.kept) * x.mean(axis=0)
    return (one.sparse() @ x.reshape(len(x), -1)).reshape(x.shape)


def _drawn(rounds: Sequence[MixingMatrix]) -> Bounds:
    """Of one drawn round in closed form; of several rounds, those of a product of independent contractions."""
    first = rounds[0]
    if len(rounds) == 1:
        while isinstance(first, Permuted):  # names do not change eigenvalues
            first = first.part
        assert isinstance(first, DrawnMatrix), "drawn blocks side by side are not connected"
        rate = first.consensus_rate()
        return Bounds(rate, rate)
    kept = float(np.prod([1 - consensus_bounds([one]).low for one in rounds]))
    return Bounds(1 - kept, 1.0)


def _fixed(rounds: Sequence[FixedMatrix]) -> Bounds:
    if all(isinstance(one, Circulant) for one in rounds):
        rate = _circulant_rate([one for one in rounds if isinstance(one, Circulant)])
    elif is_finite_time(rounds):
        rate = 1.0
    elif rounds[0].nodes <= DENSE_NODES:
        rate = _dense_rate(rounds)
    else:
        return Bounds(*lanczos.bounds([one.sparse() for one in rounds]))
    return Bounds(rate, rate)


def _circulant_rate(rounds: Sequence[Circulant]) -> float:
    """They commute, so the eigenvalues of the product are products: 1 - |lambda|^2 for the slowest modes.

    ``1 - |lambda_m|^2 = sum_ab w_a w_b 2 sin^2(pi m (o_a - o_b) / n)`` has only positive terms.
    """
    modes = _slow_samples(rounds) if _is_narrow(rounds) else _slow_modes(rounds)
    return float(-np.expm1(_log_kept(rounds, modes).max()))


def _log_kept(rounds: Sequence[Circulant], modes: np.ndarray) -> np.ndarray:
    """log |lambda_m|^2 of these modes, without cancellation."""
    nodes = rounds[0].nodes
    exact = np.zeros(modes.shape)
    for one in rounds:
        signed = _signed(one)
        apart = signed[:, None] - signed[None, :]
        pairs = np.multiply.outer(one.weights, one.weights)
        places = modes[..., None, None] * apart % nodes
        turns = np.minimum(places, nodes - places) / nodes  # of sines, which are the same on both sides
        lost = 2 * np.sum(pairs * np.sin(np.pi * turns) ** 2, axis=(-2, -1))
        with np.errstate(divide="ignore"):
            exact += np.log1p(-np.minimum(lost, 1))
    return exact


def _signed(one: Circulant) -> np.ndarray:
    """Offsets, those of more than half the nodes as negative ones."""
    return np.where(one.offsets > one.nodes // 2, one.offsets - one.nodes, one.offsets)


def _waves(rounds: Sequence[Circulant]) -> int:
    """The degree of |lambda|^2 as a trigonometric polynomial of the mode: it has at most so many maxima."""
    return max(1, int(sum(np.ptp(_signed(one)) for one in rounds)))


def _is_narrow(rounds: Sequence[MixingMatrix]) -> bool:
    """Whether nodes hear near ones alone and are so many that the slowest mode is found among samples."""
    narrow = [one for one in rounds if isinstance(one, Circulant)]
    if len(narrow) < len(rounds) or rounds[0].nodes <= ALL_MODES:
        return False
    few = _waves(narrow) * FINE * max(len(one.offsets) for one in narrow) ** 2 <= MOST_SAMPLES
    return few and _waves(narrow) * rounds[0].nodes < 2**62  # products of both are int64


def _slow_samples(rounds: Sequence[Circulant]) -> np.ndarray:
    """Modes of a narrow graph with the slowest among them: samples, then finer ones around each that is a maximum."""
    last, count = rounds[0].nodes // 2, FINE * _waves(rounds)
    sampled = np.unique(np.linspace(1, last, count + 1).round().astype(np.int64))
    kept = _log_kept(rounds, sampled)
    padded = np.concatenate([[-np.inf], kept, [-np.inf]])
    best = sampled[(kept >= padded[:-2]) & (kept >= padded[2:])]
    step = -(-last // count)
    while step > 1:
        step = -(-step * 2 // FINE)
        near = best[:, None] + step * np.arange(-FINE // 2, FINE // 2 + 1)
        near = np.clip(near, 1, last)
        best = near[np.arange(len(best)), _log_kept(rounds, near).argmax(axis=1)]
    return best


def _slow_modes(rounds: Sequence[Circulant]) -> np.ndarray:
    """The modes 1 .. n / 2 that are slowest by FFT."""
    nodes = rounds[0].nodes
    log_kept = np.zeros(nodes // 2)  # of modes 1 .. n / 2; the others are their conjugates
    for one in rounds:
        row = np.zeros(nodes)
        row[one.offsets] = one.weights
        with np.errstate(divide="ignore"):
            log_kept += 2 * np.log(np.abs(np.fft.rfft(row)[1:]))
    count = min(CLOSE_MODES, len(log_kept))
    return 1 + np.argpartition(-log_kept, count - 1)[:count]


def _dense_rate(rounds: Sequence[FixedMatrix]) -> float:
    """The second smallest eigenvalue of I - P^T P, whose diagonal is summed from the rest of the row."""
    product: Any = np.eye(rounds[0].nodes)
    for one in rounds:
        product = one.sparse() @ product
    laplacian = -product.T @ product
    np.fill_diagonal(laplacian, 0)
    np.fill_diagonal(laplacian, -laplacian.sum(axis=1))
    return float(np.clip(scipy.linalg.eigvalsh(laplacian, subset_by_index=[1, 1])[0], 0, 1))


def circulant_row(one: Circulant) -> np.ndarray:
    """The first row, float64 (nodes,), whose Fourier transform is the eigenvalues."""
    row = np.zeros(one.nodes)
    row[one.offsets] = one.weights
    return row


def least_eigenvalue(one: FixedMatrix) -> float:
    """Of a symmetric matrix: by FFT, by dense eigenvalues, or by Lanczos iteration."""
    if isinstance(one, Complete):
        return one.kept if one.nodes > 1 else 1.0
    if isinstance(one, Circulant):
        return float(np.fft.rfft(circulant_row(one)).real.min())
    matrix = one.sparse()
    if one.nodes <= DENSE_NODES:
        return float(scipy.linalg.eigvalsh(matrix.toarray(), subset_by_index=[0, 0])[0])
    return float(scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", return_eigenvectors=False)[0])
