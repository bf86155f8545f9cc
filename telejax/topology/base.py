"""The communication graph of a simulation: a validated, possibly time-varying mixing matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.errors import (
    Bound,
    check_array,
    check_flag,
    check_integer,
    check_kind,
    check_list,
    check_name,
    check_number,
    short,
)
from telejax.topology import effective, spectrum
from telejax.topology.matrices import FixedMatrix, MixingMatrix, Stochastic
from telejax.topology.sizes import check_entries

FLOAT_BYTES = 8
MAX_DRAWN = 256  # nodes of a picture in Jupyter
MAX_ROUND = 2**31 - 1  # rounds are int32 on the device

if TYPE_CHECKING:
    import matplotlib.axes
    import networkx

    from telejax.mixing.forms import Mixing

OPEN_SHARE = Bound(0.0, 1.0, exclusive=True, below=True)


def check_tolerance(tolerance: float) -> float:
    """A share of a consensus distance, above 0 and below 1."""
    remedy = "give a number above 0 and below 1, a share of the distance at the start"
    if (share := check_number("tolerance", tolerance, exclusive=True, remedy=remedy)) >= 1:
        raise ValueError(f"tolerance is {short(tolerance)}; {remedy}")
    return share


@dataclass(frozen=True, eq=False, repr=False)
class Topology:
    """A periodic sequence of doubly stochastic mixing matrices over the same nodes.

    Round t mixes as ``x_new = W_t x`` with ``W_t = matrix(t)``; row i holds the weights that node i
    gives to what it hears. Rounds may also be drawn: then every round of a run has a matrix of its own,
    which a seed decides, and the period counts independent draws.

    >>> import telejax as tj
    >>> ring = tj.topology.ring(4)
    >>> ring
    Topology('ring', nodes=4, period=1, max_degree=2)
    >>> ring.matrix(0)[0].round(2).tolist()
    [0.33, 0.33, 0.0, 0.33]
    """

    name: str
    rounds: tuple[MixingMatrix, ...]
    stochastic: Stochastic = "both"
    """Which sums of the matrices are one: "row" or "column" for the methods on directed graphs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_kind("name", self.name, str, "give a text"))
        called, remedy = f"rounds of topology {self.name!r}", "use telejax.topology.from_matrix, or a name"
        if not (rounds := check_list(called, self.rounds, remedy)):
            raise ValueError(f"{called} is empty; {remedy}")
        for one in rounds:
            if not hasattr(type(one), "links"):
                raise ValueError(f"{called} holds {short(one)}; {remedy}")
        object.__setattr__(self, "rounds", tuple(rounds))
        sizes = sorted({one.nodes for one in rounds})
        if len(sizes) != 1:
            raise ValueError(f"topology {self.name!r} has rounds over {sizes} nodes; all rounds need the same nodes")
        object.__setattr__(self, "stochastic", check_name("stochastic", self.stochastic, get_args(Stochastic)))

    @staticmethod
    def build(
        name: str, rounds: Sequence[MixingMatrix], connected: bool = True, stochastic: Stochastic = "both"
    ) -> "Topology":
        """Check that the rounds fit together and, unless told otherwise, that they connect all nodes."""
        check_flag("connected", connected)
        topology = Topology(name, rounds, stochastic)  # type: ignore[arg-type]  # which makes a tuple of them
        if connected:
            topology.check_connected()
        return topology

    @property
    def nodes(self) -> int:
        """Number of nodes (or slots) that mix."""
        return self.rounds[0].nodes

    @property
    def period(self) -> int:
        """Number of rounds after which the sequence repeats, or draws again."""
        return len(self.rounds)

    @property
    def is_drawn(self) -> bool:
        """Whether some rounds are drawn anew every time."""
        return not all(one.fixed for one in self.rounds)

    @property
    def max_degree(self) -> int:
        """The most neighbours any node hears from in one round, itself not counted."""
        return max(one.max_degree for one in self.rounds)

    def messages(self, round: int = 0) -> int:
        """Parameter copies sent in the given round: the off-diagonal non-zeros of its matrix."""
        return self._at(round).messages

    @property
    def mean_messages(self) -> float:
        """Parameter copies sent in a round, averaged over the period, and over the draws where rounds are drawn."""
        return sum(one.messages for one in self.rounds) / self.period

    def matrix(self, round: int = 0) -> np.ndarray:
        """The dense mixing matrix of a round, float64, shape (nodes, nodes)."""
        check_entries(f"the dense matrix of {self.name!r}", self.nodes, self.nodes**2, FLOAT_BYTES)
        return self.sparse(round).toarray()

    def sparse(self, round: int = 0) -> "scipy.sparse.csr_array":
        """The mixing matrix of a round in compressed sparse rows, float64: a copy."""
        one = self._at(round)
        check_entries(f"the matrix of {self.name!r}", self.nodes, one.messages + self.nodes)
        return one.sparse().copy()  # what a caller writes into it stays with the caller

    def average(self, x: np.ndarray, round: int = 0) -> np.ndarray:
        """``W x`` on the host in float64, shape (nodes, ...), also where W has too many entries to write down."""
        remedy = f"give numbers of shape ({self.nodes}, ...), one row a node"
        x = check_array("x", x, remedy)
        x = x.astype(np.float64) if "float" in x.dtype.name else x  # narrow ones of jax are no floats of NumPy
        if x.shape[:1] != (self.nodes,) or x.dtype.kind not in "biufc":
            raise ValueError(f"x has the shape {x.shape} and type {x.dtype}; {remedy}")
        return spectrum.apply(self._at(round), x)

    def consensus_rate(self) -> float:
        """p = 1 - sigma_2(W_{period-1} ... W_0)^2: the share of the squared consensus distance lost in a period.

        Of drawn rounds p = 1 - lambda_2(E[W^T W]), the share lost in expectation. Read it together with
        ``period``. Circulant sequences are answered by FFT, up to 1024 nodes by dense eigenvalues, larger graphs
        by Lanczos iteration, if need be on the inverse; all to a relative 1e-6, however slow the graph.

        Raises:
            ValueError: the iteration did not converge, or the sequence mixes fixed and drawn rounds; use
                :meth:`consensus_bounds`.

        Source: Koloskova et al. 2020 (arXiv 2003.10422), assumption 4.

        >>> import telejax as tj
        >>> round(tj.topology.ring(1_000_000).consensus_rate() * 1e12, 1)
        26.3
        """
        if self.stochastic != "both":
            raise ValueError(
                f"topology {self.name!r} is {self.stochastic}-stochastic; p is that of doubly stochastic ones"
            )
        bounds = self.consensus_bounds()
        if not bounds.resolved:
            raise ValueError(
                f"topology {self.name!r} has a consensus rate between {bounds.low:.3g} and {bounds.high:.3g} that "
                "could not be resolved further; use consensus_bounds()"
            )
        return bounds.high

    def consensus_bounds(self) -> spectrum.Bounds:
        """Bounds ``low <= p <= high`` on the consensus rate, equal wherever :meth:`consensus_rate` knows it.

        >>> import telejax as tj
        >>> tj.topology.complete(4).consensus_bounds()
        Bounds(low=1.0, high=1.0)
        """
        return spectrum.consensus_bounds(self.rounds)

    def effective_neighbours(self, decay: float = 0.95) -> float | None:
        """How many nodes the graph averages over as well as all of them would: from 1 (nobody) to n (complete).

        The variance of a random walk that forgets, ``z <- sqrt(decay) z + noise`` at every node, by what is left of it
        where every step is followed by gossip: ``1 / (1 - decay)`` by the mean of ``l^2 / (1 - decay l^2)`` over the
        eigenvalues l of W; of several rounds, a mean over the period. The nearer ``decay`` is to 1 (the smaller the
        step size), the farther noise spreads before it is forgotten.

        Args:
            decay: above 0 and below 1.

        Returns:
            None where rounds are drawn or the graph is too large: 1024 nodes, 128 where there are several rounds or
            directions; circulant graphs may have 4 million, complete ones any number.

        Raises:
            ValueError: ``decay`` out of its range.

        Source: T. Vogels, H. Hendrikx, M. Jaggi 2022 (arXiv 2206.03093), definition A.

        >>> import telejax as tj
        >>> [round(tj.topology.from_spec(name, 16).effective_neighbours(), 1) for name in ("ring", "complete")]
        [8.5, 16.0]
        """
        return effective.effective_neighbours(self.rounds, OPEN_SHARE.check("decay", decay))

    @property
    def is_symmetric(self) -> bool:
        """Whether every round is a fixed matrix in which nodes hear those who hear them, with the same weight."""
        return all(one.fixed and one.at(0).symmetric for one in self.rounds)

    def least_eigenvalue(self) -> float:
        """The least eigenvalue of a fixed symmetric matrix: at least -1, and 0 or more for lazy weights.

        Raises:
            ValueError: rounds that differ, or weights that are not symmetric.

        >>> import telejax as tj
        >>> round(tj.topology.ring(4).least_eigenvalue(), 3)
        -0.333
        """
        if self.is_drawn or self.period > 1 or not self.is_symmetric:
            raise ValueError(f"topology {self.name!r} is no fixed symmetric matrix; give an undirected graph")
        return spectrum.least_eigenvalue(self._at(0))

    def is_finite_time(self) -> bool:
        """Whether every period ends in exact consensus, up to rounding."""
        return spectrum.is_finite_time(self.rounds)

    def rounds_to_consensus(self, tolerance: float = 1e-6) -> float:
        """Rounds after which the consensus distance is at most ``tolerance`` of its start, whatever the start.

        Whole periods, from the consensus rate (its lower bound where it is not resolved); in expectation where
        rounds are drawn; infinite where the nodes are not connected.

        >>> import telejax as tj
        >>> tj.topology.one_peer_exponential(8).rounds_to_consensus()
        3
        """
        tolerance = check_tolerance(tolerance)
        low = 1.0 if self.is_finite_time() else self.consensus_bounds().low
        if low in (0.0, 1.0):
            return math.inf if low == 0 else self.period
        return self.period * max(1, math.ceil(math.log(tolerance) / math.log1p(-low)))

    def is_connected(self) -> bool:
        """Whether the union of all rounds connects every node with every other."""
        return spectrum.connects(self.rounds)

    def check_connected(self) -> None:
        """Raise a ValueError if some nodes never hear from each other over the whole period."""
        if not self.is_connected():
            raise ValueError(
                f"topology {self.name!r} with {self.nodes} nodes is not connected over its period of "
                f"{self.period}: some nodes never hear from others; add edges, or pass connected=False, "
                "as from_matrix and directed take it, for one round of a longer sequence"
            )

    def mixing(self) -> "Mixing":
        """The matrices as device arrays, in the fastest form for their shape; see ``telejax.mixing.forms``."""
        from telejax.topology.lower import mixing_of  # here, so that graphs can be studied without importing jax

        return mixing_of(self.name, self.rounds)

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
        from telejax.results import plots

        return plots.draw_topology(self, round, axes)

    def _at(self, round: int) -> FixedMatrix:
        round = check_integer("round", round, minimum=0, maximum=MAX_ROUND)
        return self.rounds[round % self.period].at(round)

    def __repr__(self) -> str:
        return f"Topology({self.name!r}, nodes={self.nodes}, period={self.period}, max_degree={self.max_degree})"

    def _repr_html_(self) -> str:
        from telejax.results import cards

        small = self.nodes <= MAX_DRAWN
        told: dict[str, float | None] = {"nodes": self.nodes, "period": self.period, "degree": self.max_degree}
        told |= {"messages a round": self.mean_messages}
        if small and self.stochastic == "both":
            told |= {"consensus rate p": self.consensus_bounds().high, "worth nodes": self.effective_neighbours()}
        return cards.card(self.name, cards.picture(self.draw, repr(self)) if small else "", cards.facts(told))
