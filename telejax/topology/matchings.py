"""Rounds without a period: in each, every node hears from at most one partner, drawn anew.

The partners of round t follow from ``fold_in(key(seed), t)``, on the device
(:class:`telejax.mixing.matchings.RandomMatching`) and on the host alike, so that ``Topology.matrix(t)`` is what a
simulation mixes with in round t.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy.sparse

from telejax.topology.matrices import Permuted, Sparse, cycle
from telejax.topology.sizes import check_entries

if TYPE_CHECKING:
    from jaxtyping import Array, Int, Key

    from telejax.mixing.forms import Mixing


DISTANCE_BYTES = 64  # in arrays over all distances, and their FFT


class MatchingDistribution(Hashable, Protocol):
    """A distribution of partners: a permutation Q of the nodes, drawn so that all nodes are treated alike.

    Hashable, so that it is structure to the compiler; only the seed is data.
    """

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def messages(self) -> float:
        """Mean number of nodes that have a partner."""
        ...

    @property
    def constant(self) -> bool:
        """Whether the number of nodes with a partner is the same in every draw."""
        ...

    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        """The node that each node hears from, int32; a node without a partner hears itself."""
        ...

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        """How many nodes have a partner in the draw of ``partners(key)``."""
        ...

    def spectral_gap(self) -> float:
        """1 - the second largest real part of the eigenvalues of E[Q]."""
        ...


@dataclass(frozen=True)
class OffsetPeer:
    """Every node hears the node u further round, u uniform over 1 .. nodes - 1."""

    nodes: int
    constant = True

    @property
    def messages(self) -> float:
        return self.nodes

    def partners(self, key: "Key[Array, '']") -> "Int[Array, ' nodes']":
        import jax
        import jax.numpy as jnp

        offset = jax.random.randint(key, (), 1, self.nodes, dtype=jnp.int32)
        return (jnp.arange(self.nodes, dtype=jnp.int32) + offset) % self.nodes

    def count(self, key: "Key[Array, '']") -> "Int[Array, '']":
        import jax.numpy as jnp

        return jnp.int32(self.nodes)

    def spectral_gap(self) -> float:
        return self.nodes / (self.nodes - 1)


@dataclass(frozen=True)
class OffsetMatching:
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
        import jax
        import jax.numpy as jnp

        start_key, _ = jax.random.split(key)
        distance = self._distance(key)
        start = jax.random.randint(start_key, (), 0, self.nodes, dtype=jnp.int32)
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
        import jax
        import jax.numpy as jnp

        _, offset_key = jax.random.split(key)
        offset = jax.random.randint(offset_key, (), 1, self.nodes, dtype=jnp.int32)
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
class UniformMatching:
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


@cache
def _draw(distribution: MatchingDistribution) -> "Callable[[np.uint32, np.int32], Array]":
    """The compiled draw of a round on the host, from the seed and the round."""
    import jax  # here, so that graphs can be studied without importing it

    return jax.jit(lambda seed, round: distribution.partners(jax.random.fold_in(jax.random.key(seed), round)))


@dataclass(frozen=True, eq=False)
class RandomMatching:
    """``x_new = (1 - weight) x + weight Q x`` with the partners Q drawn anew every round."""

    distribution: MatchingDistribution
    weight: float
    seed: int
    fixed = False
    listable = False
    max_degree = 1
    strides = (1,)  # every pair may meet

    def lower(self, name: str) -> "Mixing":
        from telejax.mixing.matchings import RandomMatching as Matching

        return Matching(name, self.distribution, self.weight, np.asarray(self.seed, np.uint32))

    @property
    def nodes(self) -> int:
        return self.distribution.nodes

    @property
    def messages(self) -> float:
        return self.distribution.messages

    def at(self, round: int) -> Sparse:
        check_entries("a matching", self.nodes, 2 * self.nodes)
        partners = np.asarray(_draw(self.distribution)(np.uint32(self.seed), np.int32(round)))
        index = np.arange(self.nodes)
        heard = scipy.sparse.csr_array((np.full(self.nodes, self.weight), (index, partners)), shape=(self.nodes,) * 2)
        return Sparse(scipy.sparse.csr_array(heard + scipy.sparse.diags_array(np.full(self.nodes, 1 - self.weight))))

    def links(self) -> scipy.sparse.csr_array:
        return cycle(self.nodes)  # every pair may meet

    def permuted(self, order: np.ndarray) -> Permuted:
        return Permuted(self, order)

    def lazier(self, kept: float) -> "RandomMatching":
        return replace(self, weight=(1 - kept) * self.weight)

    def consensus_rate(self) -> float:
        """1 - lambda_2(E[W^T W]); Q^T Q = I, so it is 2 weight (1 - weight) (1 - lambda_2(E[Q]))."""
        return 2 * self.weight * (1 - self.weight) * self.distribution.spectral_gap()
