"""Base-(k+1) graphs: exact consensus in finitely many rounds for every number of nodes, at degree at most k.

Source: Y. Takezawa, R. Sato, H. Bao, K. Niwa, M. Yamada 2023, arXiv 2305.11420. Written in integer arithmetic
throughout: with a floating-point logarithm, some sizes get a round of too large a degree.
"""

from dataclasses import dataclass, field

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.errors import check_integer
from telejax.topology.base import Topology
from telejax.topology.matrices import Sparse
from telejax.topology.sizes import check_entries, check_nodes


def base_graph(nodes: int, degree: int = 1) -> Topology:
    """Base-(degree + 1): at most 2 log_{degree+1}(nodes) + 2 rounds to exact consensus.

    With nodes = p q, p of all prime factors up to degree + 1: the simple graph on p groups of q nodes, then a
    hyper-hypercube across the groups; or the simple graph on all nodes where that is shorter.

    Args:
        nodes: any number of nodes.
        degree: the most neighbours of a node in a round, below ``nodes`` (a single node takes any).

    Raises:
        ValueError: a degree below 1, or not below ``nodes``.

    >>> import telejax as tj
    >>> [tj.topology.base_graph(25, degree=k).period for k in (1, 2, 3, 4)]
    [9, 6, 5, 2]
    """
    nodes, degree = _check(nodes, degree)
    smooth, rest = _split(nodes, degree + 1)
    simple = _simple(nodes, degree + 1)
    grouped = _tiled(_simple(rest, degree + 1), rest, smooth)
    grouped += [_cliques(np.arange(nodes), rest * stride, factor) for stride, factor in _digits(smooth, degree + 1)]
    return _topology("base_graph", nodes, degree, simple if len(simple) < len(grouped) else grouped)


def simple_base_graph(nodes: int, degree: int = 1) -> Topology:
    """Simple Base-(degree + 1): exact consensus in finitely many rounds, often a few more than ``base_graph``.

    The digits of ``nodes`` in base b = degree + 1 cut the nodes into blocks. Each reaches consensus by itself;
    then the smaller blocks exchange with the larger ones what makes every cell of b^p nodes average to the mean
    of all; then the cells reach consensus by themselves.

    Args:
        nodes: any number of nodes.
        degree: the most neighbours of a node in a round, below ``nodes`` (a single node takes any).

    Raises:
        ValueError: a degree below 1, or not below ``nodes``.

    >>> import telejax as tj
    >>> [tj.topology.simple_base_graph(100, degree=k).period for k in (1, 2, 3, 4)]
    [13, 9, 7, 3]
    """
    nodes, degree = _check(nodes, degree)
    return _topology("simple_base_graph", nodes, degree, _simple(nodes, degree + 1))


@dataclass
class _Edges:
    """The links of one round: W_ij = W_ji = weight; what is left of each row stays on the diagonal."""

    i: list[np.ndarray] = field(default_factory=list)
    j: list[np.ndarray] = field(default_factory=list)
    weight: list[np.ndarray] = field(default_factory=list)

    def link(self, i: np.ndarray, j: np.ndarray, weight: float) -> None:
        self.i.append(i)
        self.j.append(j)
        self.weight.append(np.full(len(i), weight))

    def join(self, other: "_Edges") -> None:
        self.i += other.i
        self.j += other.j
        self.weight += other.weight

    def round(self, nodes: int) -> Sparse:
        none = np.empty(0, np.int64)
        i, j = np.concatenate([none, *self.i]), np.concatenate([none, *self.j])
        weight = np.concatenate([none.astype(np.float64), *self.weight])
        ends = np.concatenate([i, j]), np.concatenate([j, i])
        links = scipy.sparse.csr_array((np.tile(weight, 2), ends), shape=(nodes, nodes))
        own = 1.0 - np.asarray(links.sum(axis=1)).ravel()
        return Sparse.build(links + scipy.sparse.diags_array(own), name="base graph")


@dataclass(frozen=True)
class _Block:
    """Consecutive nodes ``start ..``, cut into ``count`` cells of ``size`` nodes, a power of the base."""

    start: int
    count: int
    size: int

    @property
    def nodes(self) -> np.ndarray:
        return np.arange(self.start, self.start + self.count * self.size)

    @property
    def cell_size(self) -> int:
        """Nodes that reach consensus by themselves in the end: a cell, or the whole block where cells are single."""
        return self.size if self.size > 1 else self.count


def _check(nodes: int, degree: int) -> tuple[int, int]:
    nodes = check_nodes(nodes)
    degree = check_integer("degree", degree, minimum=1)
    if degree >= nodes > 1:
        raise ValueError(
            f"degree is {degree} with {nodes} nodes; give a degree of at most {nodes - 1}, which is one round of "
            "exact averaging"
        )
    rounds = 2 * nodes.bit_length() / (degree + 1).bit_length() + 2
    check_entries("a base graph", nodes, rounds * (degree + 1) * nodes)
    return nodes, degree


def _topology(name: str, nodes: int, degree: int, rounds: list[_Edges]) -> Topology:
    return Topology.build(f"{name}:degree={degree}", [one.round(nodes) for one in rounds])


def _split(nodes: int, base: int) -> tuple[int, int]:
    """nodes = smooth * rest, smooth of all prime factors up to ``base``, with multiplicity."""
    rest = nodes
    for divisor in range(2, base + 1):  # a composite divisor has gone with its primes
        while rest % divisor == 0:
            rest //= divisor
    return nodes // rest, rest


def _digits(nodes: int, base: int) -> list[tuple[int, int]]:
    """Stride and size of each digit of the mixed radix system of a smooth number, smallest digits first."""
    factors = []
    for divisor in range(base, 1, -1):
        while nodes % divisor == 0:
            factors.append(divisor)
            nodes //= divisor
    stride, digits = 1, []
    for factor in sorted(factors) or [1]:
        digits.append((stride, factor))
        stride *= factor
    return digits


def _cliques(nodes: np.ndarray, stride: int, size: int) -> _Edges:
    """Nodes that differ only in digit floor(place / stride) mod size average with each other."""
    edges = _Edges()
    place = np.arange(len(nodes))
    digit = place // stride % size
    for apart in range(1, size):
        low = place[digit < size - apart]
        edges.link(nodes[low], nodes[low + apart * stride], 1 / size)
    return edges


def _simple(nodes: int, base: int) -> list[_Edges]:
    if _split(nodes, base)[1] == 1:
        return [_cliques(np.arange(nodes), stride, size) for stride, size in _digits(nodes, base)]
    blocks = _blocks(nodes, base)
    whole = [_digits(block.count * block.size, base) for block in blocks]
    cells = [_digits(block.cell_size, base) for block in blocks]
    rounds = []
    for t in range(len(whole[0])):
        edges = _Edges()
        for block, digits in zip(blocks, whole, strict=True):
            edges.join(_cliques(block.nodes, *digits[t % len(digits)]))
        rounds.append(edges)
    last = len(blocks) - 1
    for turn in range(len(cells[0]) + 1):  # the block of number ``turn`` gives; those before it go on by themselves
        edges = _Edges()
        for number, block in enumerate(blocks):
            if number < turn or number == last <= turn:
                steps = turn - min(number + 1, last)  # rounds that it has already had since its exchange
                edges.join(_cliques(block.nodes, *cells[number][steps % len(cells[number])]))
        if turn < last:
            edges.join(_exchange(blocks[turn], blocks[turn + 1 :], base))
        rounds.append(edges)
    return rounds


def _blocks(nodes: int, base: int) -> list[_Block]:
    """One block for each digit of ``nodes`` that is not zero, the highest first."""
    size = 1
    while size * base <= nodes:
        size *= base
    blocks, start = [], 0
    while size:
        count = (nodes - start) // size
        if count:
            blocks.append(_Block(start, count, size))
            start += count * size
        size //= base
    return blocks


def _exchange(giver: _Block, takers: list[_Block], base: int) -> _Edges:
    """Each node of the smaller blocks meets one node of every cell of the giver; the giver's others average."""
    edges = _Edges()
    taker = np.concatenate([block.nodes for block in reversed(takers)])
    share = giver.count * giver.size / (giver.count * giver.size + len(taker))
    free = []
    for cell in range(giver.count):
        end = giver.start + (cell + 1) * giver.size
        edges.link(taker, end - 1 - np.arange(len(taker)), share / giver.count)
        free.append(np.arange(end - giver.size, end - len(taker)))
    unused = np.concatenate(free)
    even = len(unused) - len(unused) % base
    edges.join(_cliques(unused[:even], 1, base))
    if len(unused) - even > 1:
        edges.join(_cliques(unused[even:], 1, len(unused) - even))
    return edges


def _tiled(rounds: list[_Edges], size: int, groups: int) -> list[_Edges]:
    """Rounds over ``size`` nodes, on each of several consecutive groups of that many."""
    starts = size * np.arange(groups)[:, None]

    def spread(ends: list[np.ndarray]) -> list[np.ndarray]:
        return [(starts + end).ravel() for end in ends]

    return [_Edges(spread(one.i), spread(one.j), [np.tile(weight, groups) for weight in one.weight]) for one in rounds]
