"""Rounds without a period: in each, every node hears peers drawn anew.

The peers of round t follow from ``fold_in(key(seed), t)``, on the device (:mod:`telejax.mixing.drawn`) and on the host
alike, so that ``Topology.matrix(t)`` is what a simulation mixes with in round t.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy  # whose parts are imported when they are used

from telejax.topology.matrices import Permuted, Sparse, cycle
from telejax.topology.peers import PeerDistribution
from telejax.topology.sizes import check_entries

if TYPE_CHECKING:
    from telejax.mixing.drawn import Drawn


class DrawnMatrix(ABC):
    """``x_new = (1 - weight) x + weight Q x`` with Q the mean of permutations drawn anew every round."""

    nodes: int
    weight: float
    seed: int
    max_degree: int
    messages: float
    fixed = False
    listable = False
    strides: tuple[int, ...] = ()

    @abstractmethod
    def lower(self, name: str) -> "Drawn":
        """The form on the device, which draws."""

    @abstractmethod
    def links(self) -> "scipy.sparse.csr_array":
        """A graph that connects what the union of all draws connects."""

    @abstractmethod
    def consensus_rate(self) -> float:
        """1 - lambda_2(E[W^T W])."""

    @abstractmethod
    def lazier(self, kept: float) -> "DrawnMatrix":
        """``kept I + (1 - kept) W``."""

    def at(self, round: int) -> Sparse:
        from telejax.mixing.drawn import drawn_peers  # here, so that graphs can be studied without importing jax

        check_entries("peers of a round", self.nodes, (self.max_degree + 1) * self.nodes)
        peers = np.asarray(drawn_peers(self.lower(""), np.int32(round)))
        index = np.arange(self.nodes)
        shares, rows = np.full(peers.size, self.weight / len(peers)), np.tile(index, len(peers))
        heard = scipy.sparse.csr_array((shares, (rows, peers.ravel())), shape=(self.nodes,) * 2)
        return Sparse(scipy.sparse.csr_array(heard + scipy.sparse.diags_array(np.full(self.nodes, 1 - self.weight))))

    def permuted(self, order: np.ndarray) -> Permuted:
        return Permuted(self, order)


@dataclass(frozen=True, eq=False)
class RandomPeers(DrawnMatrix):
    """Peers drawn from a distribution that treats all nodes alike."""

    distribution: PeerDistribution
    weight: float
    seed: int
    strides = (1,)  # every pair may meet

    @property
    def nodes(self) -> int:  # type: ignore[override]
        return self.distribution.nodes

    @property
    def max_degree(self) -> int:  # type: ignore[override]
        return self.distribution.peers

    @property
    def messages(self) -> float:  # type: ignore[override]
        return self.distribution.messages

    def lower(self, name: str) -> "Drawn":
        from telejax.mixing.drawn import RandomPeers as OnDevice

        return OnDevice(name, self.distribution, self.weight, np.asarray(self.seed, np.uint32))

    def links(self) -> "scipy.sparse.csr_array":
        return cycle(self.nodes)  # every pair may meet

    def lazier(self, kept: float) -> "RandomPeers":
        return replace(self, weight=(1 - kept) * self.weight)

    def consensus_rate(self) -> float:
        return self.distribution.consensus_rate(self.weight)
