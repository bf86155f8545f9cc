"""Whom each node hears in a round, drawn so that all nodes are treated alike."""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from telejax.topology.sizes import check_entries

if TYPE_CHECKING:
    from jaxtyping import Array, Int, Key

DISTANCE_BYTES = 64  # in arrays over all distances, and their FFT


class PeerDistribution(Hashable, Protocol):
    """A distribution of the mean Q of so many permutations of the nodes.

    Hashable, so that it is structure to the compiler; only the seed is data.
    """

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def peers(self) -> int:
        """Number of permutations: of nodes that each node hears, if it does not hear itself or one of them twice."""
        ...

    @property
    def messages(self) -> float:
        """Mean number of pairs of nodes of which one hears the other."""
        ...

    @property
    def constant(self) -> bool:
        """Whether this number is the same in every draw."""
        ...

    def draw(self, key: "Key[Array, '']") -> "Int[Array, 'peers nodes']":
        """The nodes that each node hears, int32; one that hears fewer hears itself."""
        ...

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        """How many pairs of nodes there are of which one hears the other in ``draw(key)``."""
        ...

    def consensus_rate(self, weight: float) -> float:
        """1 - lambda_2(E[W^T W]) of ``W = (1 - weight) I + weight Q``."""
        ...


class OnePeer(ABC):
    """One permutation Q: as Q^T Q = I, the rate is 2 weight (1 - weight) (1 - lambda_2(E[Q]))."""

    peers = 1

    def draw(self, key: "Key[Array, '']") -> "Int[Array, '1 nodes']":
        return self.partners(key)[None]

    def consensus_rate(self, weight: float) -> float:
        return 2 * weight * (1 - weight) * self.spectral_gap()

    @abstractmethod
    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        """The node that each node hears, int32; a node without a partner hears itself."""

    @abstractmethod
    def spectral_gap(self) -> float:
        """1 - the second largest real part of the eigenvalues of E[Q]."""


@dataclass(frozen=True)
class OffsetPeer(OnePeer):
    """Every node hears the node u further round, u uniform over 1 .. nodes - 1."""

    nodes: int
    constant = True

    @property
    def messages(self) -> float:
        return self.nodes

    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        import jax.numpy as jnp

        from telejax.random.threefry import integers

        offset = 1 + integers(key, (), self.nodes - 1)
        return (jnp.arange(self.nodes, dtype=jnp.int32) + offset) % self.nodes

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        import jax.numpy as jnp

        return jnp.int32(self.nodes)

    def spectral_gap(self) -> float:
        return self.nodes / (self.nodes - 1)


@dataclass(frozen=True)
class OffsetMatching(OnePeer):
    """A matching at cyclic distance d = min(u, nodes - u), u uniform over 1 .. nodes - 1.

    From a uniform start, the next free node is matched with the one d further while that is free: blocks of d
    nodes pair up with the d nodes after them, and what is left over at the end of the circle idles. This is
    algorithm 2 of Song et al. 2022 (arXiv 2210.07881) in closed form.
    """

    nodes: int
    constant = False

    @property
    def messages(self) -> float:
        return float(np.mean(self._matched(self._distances())))

    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        import jax.numpy as jnp

        from telejax.random.threefry import integers, split

        start_key, _ = split(key)
        distance = self._distance(key)
        start = integers(start_key, (), self.nodes)
        index = jnp.arange(self.nodes, dtype=jnp.int32)
        place = (index - start) % self.nodes
        first = place % (2 * distance) < distance
        other = jnp.where(first, place + distance, place - distance)
        return jnp.where(other < self.nodes, (other + start) % self.nodes, index)

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        return self._matched(self._distance(key))

    def spectral_gap(self) -> float:
        distances = self._distances()
        row = np.zeros(self.nodes)  # E[Q], circulant because the start is uniform
        heard = self._matched(distances) / (2 * self.nodes * (self.nodes - 1))
        np.add.at(row, distances, heard)
        np.add.at(row, self.nodes - distances, heard)
        modes = np.fft.rfft(row).real  # idle nodes hear themselves: eigenvalue 1 - sum(row) + modes
        return float(row.sum() - modes[1:].max())

    def _distance(self, key: "Key[Array, '']") -> "Int[Array, '']":
        import jax.numpy as jnp

        from telejax.random.threefry import integers, split

        _, offset_key = split(key)
        offset = 1 + integers(offset_key, (), self.nodes - 1)
        return jnp.minimum(offset, self.nodes - offset)

    def _distances(self) -> np.ndarray:
        check_entries("the distances of a matching", self.nodes, self.nodes, DISTANCE_BYTES)
        offset = np.arange(1, self.nodes)
        return np.minimum(offset, self.nodes - offset)

    def _matched(self, distance):  # type: ignore[no-untyped-def]  # NumPy or jax integers alike
        left = self.nodes % (2 * distance)
        paired = (left > distance) * 2 * (left - distance)
        return self.nodes - left + paired


@dataclass(frozen=True)
class UniformMatching(OnePeer):
    """Uniform over all matchings of floor(nodes / 2) pairs."""

    nodes: int
    constant = True

    @property
    def messages(self) -> float:
        return self.nodes - self.nodes % 2

    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        import jax
        import jax.numpy as jnp

        index = jnp.arange(self.nodes, dtype=jnp.int32)
        order = jax.random.permutation(key, index)
        left, right = order[0 : self.nodes - 1 : 2], order[1::2]
        return index.at[left].set(right).at[right].set(left)

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        import jax.numpy as jnp

        return jnp.int32(self.messages)

    def spectral_gap(self) -> float:
        return 1.0 if self.nodes % 2 else self.nodes / (self.nodes - 1)


@dataclass(frozen=True)
class UniformPermutations:
    """So many permutations, each uniform over all of them, fixed points included."""

    nodes: int
    peers: int
    constant = False

    @property
    def messages(self) -> float:
        pairs = self.nodes * (self.nodes - 1)  # each of which one permutation leaves out with probability 1 - 1/n
        return -pairs * math.expm1(self.peers * math.log1p(-1 / self.nodes))

    def draw(self, key: "Key[Array, '']") -> "Int[Array, 'peers nodes']":
        import jax
        import jax.numpy as jnp

        from telejax.random.threefry import split

        index = jnp.arange(self.nodes, dtype=jnp.int32)
        return jax.vmap(lambda one: jax.random.permutation(one, index))(split(key, self.peers))

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        import jax.numpy as jnp

        in_order = jnp.sort(self.draw(key), axis=0)
        others = in_order != jnp.arange(self.nodes, dtype=jnp.int32)[None]
        again = in_order[1:] == in_order[:-1]
        return jnp.sum(others.at[1:].set(others[1:] & ~again), dtype=jnp.int32)

    def consensus_rate(self, weight: float) -> float:
        """Where consensus is left out, E[Q] = 0 and E[Q^T Q] = I / peers."""
        return weight * (2 - weight - weight / self.peers)
