"""The communication graph of a simulation: a validated, possibly time-varying mixing matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from telejax.topology import spectrum
from telejax.topology.rounds import Complete, Round

if TYPE_CHECKING:
    import matplotlib.axes
    import networkx

    from telejax.mixing import Mixing


@dataclass(frozen=True, eq=False, repr=False)
class Topology:
    """A periodic sequence of doubly stochastic mixing matrices over the same nodes.

    Round t mixes as ``x_new = W_t x`` with ``W_t = matrix(t)``; row i holds the weights that node i
    gives to what it hears.

    >>> import telejax as tj
    >>> ring = tj.topology.ring(4)
    >>> ring
    Topology('ring', nodes=4, period=1, max_degree=2)
    >>> ring.matrix(0)[0].round(2).tolist()
    [0.33, 0.33, 0.0, 0.33]
    """

    name: str
    rounds: tuple[Round, ...]

    @staticmethod
    def build(name: str, rounds: Sequence[Round], connected: bool = True) -> "Topology":
        """Check that the rounds fit together and, unless told otherwise, that they connect all nodes."""
        topology = Topology(name, tuple(rounds))
        sizes = sorted({one.nodes for one in rounds})
        if len(sizes) != 1:
            raise ValueError(f"topology {name!r} has rounds over {sizes} nodes; all rounds need the same nodes")
        if connected:
            topology.check_connected()
        return topology

    @property
    def nodes(self) -> int:
        """Number of nodes (or slots) that mix."""
        return self.rounds[0].nodes

    @property
    def period(self) -> int:
        """Number of rounds after which the sequence repeats."""
        return len(self.rounds)

    @property
    def max_degree(self) -> int:
        """The most neighbours any node hears from in one round, itself not counted."""
        return max(one.max_degree for one in self.rounds)

    def messages(self, round: int = 0) -> int:
        """Parameter copies sent in the given round: the off-diagonal non-zeros of its matrix."""
        return self.rounds[round % self.period].messages

    def matrix(self, round: int = 0) -> np.ndarray:
        """The dense mixing matrix of a round, float64, shape (nodes, nodes)."""
        return self.rounds[round % self.period].sparse().toarray()

    def sparse(self, round: int = 0) -> scipy.sparse.csr_array:
        """The mixing matrix of a round in compressed sparse rows, float64."""
        return self.rounds[round % self.period].sparse()

    def consensus_rate(self) -> float:
        """p = 1 - sigma_2(W_{period-1} ... W_0)^2: the share of the squared consensus distance lost in a period.

        Read it together with ``period``. Circulant sequences are answered by FFT, small graphs by a dense
        SVD and large ones by Lanczos iteration.

        >>> import telejax as tj
        >>> round(tj.topology.ring(1_000_000).consensus_rate() * 1e12, 1)
        26.3
        """
        return spectrum.consensus_rate(self.rounds)

    def is_connected(self) -> bool:
        """Whether the union of all rounds connects every node with every other."""
        if any(isinstance(one, Complete) for one in self.rounds):
            return True
        union = sum((one.sparse() for one in self.rounds[1:]), self.rounds[0].sparse())
        return bool(connected_components(union, directed=True, connection="strong")[0] == 1)

    def check_connected(self) -> None:
        """Raise a ValueError if some nodes never hear from each other over the whole period."""
        if not self.is_connected():
            raise ValueError(
                f"topology {self.name!r} with {self.nodes} nodes is not connected over its period of "
                f"{self.period}: some nodes never hear from others; add edges, or pass connected=False to "
                "from_matrix for one round of a longer sequence"
            )

    def mixing(self) -> "Mixing":
        """The matrices as device arrays, in the fastest form for their shape; see ``telejax.mixing``."""
        from telejax import mixing  # here, so that graphs can be studied without importing jax

        return mixing.from_rounds(self.name, self.rounds)

    def to_networkx(self, round: int = 0) -> "networkx.Graph":
        """The graph of a round, self-loops left out: edges j -> i carry ``weight`` = W[i, j].

        An undirected graph where the matrix is symmetric, a directed one otherwise.
        """
        import networkx as nx

        matrix = self.sparse(round).tocoo()
        symmetric = abs(matrix - matrix.T).max() < 1e-12
        graph = nx.Graph() if symmetric else nx.DiGraph()
        graph.add_nodes_from(range(self.nodes))
        i, j = matrix.coords
        graph.add_weighted_edges_from(
            (int(b), int(a), float(w)) for a, b, w in zip(i, j, matrix.data, strict=True) if a != b
        )
        return graph

    def draw(self, round: int = 0, axes: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
        """Draw the graph of a round on a circle; line width grows with the weight of the edge."""
        from telejax import plotting

        return plotting.draw_topology(self, round, axes)

    def __repr__(self) -> str:
        return f"Topology({self.name!r}, nodes={self.nodes}, period={self.period}, max_degree={self.max_degree})"

    def _repr_png_(self) -> bytes:
        from telejax import plotting

        return plotting.figure_png(self.draw())
