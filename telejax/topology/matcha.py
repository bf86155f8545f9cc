"""MATCHA: the links of a graph in matchings, of which each round uses a random few, the important ones more often.

With L_j the Laplacian of matching j and p_j how often it is active, the mean Laplacian is Lbar = sum_j p_j L_j, and a
round mixes with ``W = I - alpha L(active)``.

Source: J. Wang, A. K. Sahu, Z. Yang, G. Joshi, S. Kar 2019, arXiv 1905.09435.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import scipy  # whose parts are imported when they are used: optimize takes long

from telejax.topology.base import Topology
from telejax.topology.drawn import DrawnMatrix

if TYPE_CHECKING:
    from telejax.mixing.drawn import Drawn

MAX_NODES = 1024  # for eigenvalues of dense matrices, some tens of times
LOW_MODES = 8  # eigenvectors that a linear program learns of at a time
CUTS = 500  # linear programs before the probabilities count as found
CLOSE = 1e-4  # of the connectivity, relative
SMALL = 0.01  # a linear program is solved to some absolute 1e-7, so smaller probabilities are in units of the budget
LEAST_BUDGET = 1e-6  # below it the eigenvalues drown in rounding


@dataclass(frozen=True, eq=False)
class RandomActivation(DrawnMatrix):
    """Matchings of one graph, each of them active in a round by a coin of its own."""

    matchings: np.ndarray
    """The partner of each node in each matching, int32, shape (matchings, nodes); a node without one is its own."""
    probabilities: np.ndarray
    """How often each matching is active, shape (matchings,)."""
    weight: float
    """``alpha`` times the number of matchings."""
    seed: int

    @property
    def nodes(self) -> int:  # type: ignore[override]
        return int(self.matchings.shape[1])

    @property
    def max_degree(self) -> int:  # type: ignore[override]
        return int((self.matchings != np.arange(self.nodes)).sum(axis=0).max())

    @property
    def messages(self) -> float:  # type: ignore[override]
        return float(self.probabilities @ (self.matchings != np.arange(self.nodes)).sum(axis=1))

    def lower(self, name: str) -> "Drawn":
        from telejax.mixing.drawn import RandomActivation as OnDevice

        seed = np.asarray(self.seed, np.uint32)
        return OnDevice(name, self.nodes, self.weight, self.matchings, self.probabilities, seed)

    def links(self) -> "scipy.sparse.csr_array":
        ends = np.tile(np.arange(self.nodes), len(self.matchings)), self.matchings.ravel()
        return scipy.sparse.csr_array((np.ones(self.matchings.size), ends), shape=(self.nodes,) * 2)

    def lazier(self, kept: float) -> "RandomActivation":
        return replace(self, weight=(1 - kept) * self.weight)

    def consensus_rate(self) -> float:
        mean, square = moments(self.matchings, self.probabilities)
        return 1 - kept_square(mean, square, self.weight / len(self.matchings))


def activation(graph: Topology, budget: float, seed: int) -> RandomActivation:
    """The matchings of an undirected graph, how often each is active, and their weight, at their best."""
    matchings = edge_colouring(graph)
    probabilities = most_connected(matchings, budget)
    used = probabilities > 0
    matchings, probabilities = matchings[used], probabilities[used]
    mean, square = moments(matchings, probabilities)
    bound = 2 / np.linalg.eigvalsh(mean)[-1]  # from here on nothing contracts
    best = scipy.optimize.minimize_scalar(partial(kept_square, mean, square), bounds=(0, bound), method="bounded")
    return RandomActivation(matchings, probabilities, float(best.x) * len(matchings), seed)


def edge_colouring(graph: Topology) -> np.ndarray:
    """The edges in at most max_degree + 1 matchings (Misra, Gries 1992): partners, int32, (matchings, nodes)."""
    try:
        import rustworkx
    except ModuleNotFoundError:
        raise ValueError(
            "topology is 'matcha', which needs the package rustworkx; install telejax[matcha], or give another graph"
        ) from None
    i, j = scipy.sparse.triu(graph.sparse(), k=1).tocoo().coords
    edges = rustworkx.PyGraph()
    edges.add_nodes_from(range(graph.nodes))
    edges.add_edges_from_no_data(list(zip(i.tolist(), j.tolist(), strict=True)))
    colours = rustworkx.graph_misra_gries_edge_color(edges)
    numbers, colour = np.unique([colours[edge] for edge in edges.edge_indices()], return_inverse=True)
    partners = np.tile(np.arange(graph.nodes, dtype=np.int32), (len(numbers), 1))
    partners[colour, i], partners[colour, j] = j, i
    return partners


def laplacian(matchings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``sum_j weights_j L_j``, dense: each matching is a permutation P, and its L_j is I - P."""
    count, nodes = matchings.shape
    dense = np.sum(weights) * np.eye(nodes)
    np.subtract.at(dense, (np.tile(np.arange(nodes), count), matchings.ravel()), np.repeat(weights, nodes))
    return dense


def most_connected(matchings: np.ndarray, budget: float) -> np.ndarray:
    """The p in [0, 1] of mean ``budget`` at most that maximise the second eigenvalue of sum_j p_j L_j.

    It is the least of the linear functions sum_j p_j <v, L_j v> over all unit vectors v without a mean. A linear
    program over those found so far bounds it from above, and eigenvectors of its answer are the next ones, until the
    bound is reached (Kelley 1960).
    """
    count = len(matchings)
    best, reached, cuts = np.full(count, budget), 0.0, np.empty((0, count))
    trial, unit = best, budget if budget < SMALL else 1.0
    for _ in range(CUTS):
        values, vectors = np.linalg.eigh(laplacian(matchings, trial))
        if values[1] > reached:
            best, reached = trial, float(values[1])
        low = vectors[:, 1 : 1 + LOW_MODES]
        along_edges = (low - low[matchings]) ** 2 / 2  # of each matching: <v, L_j v> sums it over the nodes
        cuts = np.concatenate([cuts, along_edges.sum(axis=1).T])
        answer = scipy.optimize.linprog(
            np.append(np.zeros(count), -1.0),
            A_ub=np.block([[-cuts, np.ones((len(cuts), 1))], [np.ones(count), np.zeros(1)]]),
            b_ub=np.append(np.zeros(len(cuts)), budget * count / unit),
            bounds=[(0, 1 / unit)] * count + [(None, None)],
        )
        trial, bound = unit * answer.x[:-1], unit * answer.x[-1]
        if bound <= reached * (1 + CLOSE):
            break
    return np.asarray(best)


def moments(matchings: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean Laplacian and its mean square, as L_j^2 = 2 L_j: ``Lbar^2 + 2 sum_j p_j (1 - p_j) L_j``."""
    mean = laplacian(matchings, probabilities)
    return mean, mean @ mean + 2 * laplacian(matchings, probabilities * (1 - probabilities))


def kept_square(mean: np.ndarray, square: np.ndarray, alpha: float) -> float:
    """lambda_2(E[W^T W]): the greatest eigenvalue of ``I - 2 alpha Lbar + alpha^2 E[L^2]`` where consensus is left out.

    As that of consensus is 1, it is put out of the way.
    """
    nodes = len(mean)
    matrix = np.eye(nodes) - 2 * alpha * mean + alpha**2 * square - 1 / nodes
    return float(np.linalg.eigvalsh(matrix)[-1])
