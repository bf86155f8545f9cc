"""What the theory of a method asks of its graph, checked on the host before anything is compiled."""

from dataclasses import dataclass
from typing import get_args

import numpy as np

from telejax.errors import check_flag, check_kind, check_name, check_number
from telejax.topology.base import Topology
from telejax.topology.matrices import Stochastic


@dataclass(frozen=True)
class Needs:
    """What a graph must be; by default any with doubly stochastic weights.

    >>> import telejax as tj
    >>> Needs(fixed=True).check(tj.topology.ring(4)).name
    'ring'
    """

    stochastic: Stochastic = "both"
    """Which sums of its weights are one; "column" or "row" for methods on directed graphs, who take both, too."""
    fixed: bool = False
    """Whether its matrix must be the same in every round."""
    symmetric: bool = False
    """Whether nodes must hear those who hear them, with the same weight."""
    above: float | None = None
    """What all eigenvalues of a symmetric matrix must be above."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stochastic", check_name("stochastic", self.stochastic, get_args(Stochastic)))
        check_flag("fixed", self.fixed)
        check_flag("symmetric", self.symmetric)
        if self.above is not None:
            object.__setattr__(self, "above", check_number("above", self.above, minimum=-np.inf))

    def check(self, topology: Topology) -> Topology:
        """Return the topology, or raise a ValueError that says what the method takes."""
        check_kind("topology", topology, Topology, "give a Topology, such as telejax.topology.ring(8)")
        called = f"topology {topology.name!r}"
        if topology.stochastic not in ("both", self.stochastic):
            takes = "doubly " if self.stochastic == "both" else f"{self.stochastic}-"
            raise ValueError(
                f"{called} is {topology.stochastic}-stochastic and the method takes {takes}stochastic weights; give an "
                "undirected graph, or a method for directed ones"
            )
        if self.fixed and (topology.is_drawn or topology.period > 1):
            how = "is drawn anew every round" if topology.is_drawn else f"has a period of {topology.period} rounds"
            raise ValueError(f"{called} {how} and the method takes one matrix for all; give a graph such as 'ring'")
        if self.symmetric and not topology.is_symmetric:
            raise ValueError(
                f"{called} is directed and the method takes symmetric weights; give an undirected graph such as 'ring'"
            )
        if self.above is not None and (least := topology.least_eigenvalue()) <= self.above:
            raise ValueError(
                f"{called} has the eigenvalue {least:.4g} and the method takes those above {self.above:.4g}; give "
                "topology.with_self_loops(...) of it, or the lazy form of the method"
            )
        return topology


ANY = Needs()
"""Any graph with doubly stochastic weights."""
