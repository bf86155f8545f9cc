"""Kinds of links: latency and bandwidth between any two nodes, in O(1) a pair; made by ``telejax.network.links``.

A message of b bytes from node i to node j takes ``latency_ij + b / bandwidth_ij`` seconds. With contention a node's
uplink sends one message after another, each of which occupies it for ``b / uplink_i`` seconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from telejax.errors import NON_NEGATIVE, POSITIVE, SECONDS, Bound, check_array, check_number, is_kind, short
from telejax.mixing.means import Mean
from telejax.mixing.mix import neighbours
from telejax.network import draws
from telejax.network.tables import check_size
from telejax.state import STATIC, pytree
from telejax.topology import TopologyLike, resolve

Numbers = Float[Array, "..."]
Nodes = Int[Array, "..."]

Rows = Sequence[Sequence[float]] | np.ndarray | Array

MAX_PAIRS = 2**24


class Links(ABC):
    """Between any two nodes; arrays of nodes may have any shapes that broadcast."""

    bounds: ClassVar[Mapping[str, Bound]] = {"latency": SECONDS, "bandwidth": POSITIVE}

    @abstractmethod
    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        """The latency: seconds until the first byte arrives."""

    @abstractmethod
    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        """The bandwidth: bytes a second."""

    @abstractmethod
    def uplink(self, sender: Nodes) -> Numbers:
        """Bytes a second that a node sends to all others together."""

    def takes(self, sender: Nodes, receiver: Nodes, size: float) -> Numbers:
        """Seconds that a message of ``size`` bytes is under way.

        Raises:
            ValueError: nodes that are no integers, a size that is no finite number of at least 0.
        """
        sender, receiver = _check_nodes("sender", sender), _check_nodes("receiver", receiver)
        size = check_number("size", size, remedy="give bytes, a finite number of at least 0")
        return self.delay(sender, receiver) + np.float32(size) / self.rate(sender, receiver)

    @property
    def serving(self) -> "Serving | None":
        """The server, where there is one."""
        return None

    def bind(self, nodes: int) -> Self:
        """The links among so many nodes, or a ValueError where there are fewer."""
        return self


def _check_nodes(name: str, nodes: Any) -> Any:
    """Nodes as an array of integers, or a ValueError."""
    remedy = "give integers, the numbers of nodes"
    array = nodes if is_kind(nodes, jax.Array) else check_array(name, nodes, remedy)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{name} is {short(nodes)}; {remedy}")
    return array


class Serving(Protocol):
    """A server that every node reaches."""

    @property
    def throughput(self) -> Numbers:
        """Bytes a second that it sends to all nodes together."""

    def reached(self, size: float, node: Nodes) -> Numbers:
        """Seconds of a message between each node and the server, either way."""


@pytree
@dataclass(frozen=True)
class Uniform(Links):
    """See :func:`uniform`."""

    latency: float
    bandwidth: float

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return _like(self.latency, sender, receiver)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return _like(self.bandwidth, sender, receiver)

    def uplink(self, sender: Nodes) -> Numbers:
        return _like(self.bandwidth, sender)


@pytree
@dataclass(frozen=True)
class Preferred(Links):
    """See :func:`preferred`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"cost": SECONDS, "tau": NON_NEGATIVE}

    topology: TopologyLike | None = field(metadata=STATIC)
    cost: float
    tau: float
    heard: Int[np.ndarray | Array, "neighbours nodes"] | None = None
    """Whom each node hears over a preferred link; None where all links are, or before it is bound."""

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        if self.heard is None:
            return _like(self.cost, sender, receiver)
        sender, receiver = jnp.broadcast_arrays(sender, receiver)
        near = jnp.any(jnp.asarray(self.heard)[:, receiver] == sender[None], axis=0)
        return jnp.where(near, self.cost, self.cost * self.tau)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return _like(np.inf, sender, receiver)

    def uplink(self, sender: Nodes) -> Numbers:
        return _like(np.inf, sender)

    def bind(self, nodes: int) -> Self:
        if self.topology is None:
            return self
        graph = resolve(self.topology, nodes)
        mixing = graph.mixing()
        if isinstance(mixing, Mean):
            return replace(self, topology=None)
        rounds = [neighbours(mixing, round) for round in range(graph.period)]
        place = np.arange(nodes)
        rows = [np.where(np.asarray(weights) != 0, np.asarray(indices), place) for indices, weights in rounds]
        return replace(self, topology=None, heard=np.concatenate(rows).astype(np.int32))


@pytree
@dataclass(frozen=True)
class Sites(Links):
    """See :func:`sites`."""

    ends: Int[np.ndarray | Array, " sites"]
    """The node after the last one of each site."""
    wireless: Int[np.ndarray | Array, " sites"]
    """1 where the way out of a site is by radio."""
    within: Uniform
    between: Uniform
    radio: Uniform

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        one, other = self._site(sender), self._site(receiver)
        outside = self.between.latency + self.radio.latency * (self._radio(one) + self._radio(other))
        return jnp.where(one == other, self.within.latency, outside)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        one, other = self._site(sender), self._site(receiver)
        slowest = jnp.minimum(self.between.bandwidth, self.radio.bandwidth)
        outside = jnp.where(self._radio(one) + self._radio(other) > 0, slowest, self.between.bandwidth)
        return jnp.where(one == other, self.within.bandwidth, outside)

    def uplink(self, sender: Nodes) -> Numbers:
        return _like(self.within.bandwidth, sender)

    def bind(self, nodes: int) -> Self:
        check_size("links", int(self.ends[-1]), nodes)
        return self

    def _site(self, node: Nodes) -> Nodes:
        return jnp.searchsorted(jnp.asarray(self.ends), node, side="right").astype(jnp.int32)

    def _radio(self, site: Nodes) -> Nodes:
        return jnp.asarray(self.wireless)[site]


@pytree
@dataclass(frozen=True)
class Access(Links):
    """See :func:`access`."""

    bounds: ClassVar[Mapping[str, Bound]] = {}

    latencies: Float[np.ndarray | Array, " nodes"]
    bandwidths: Float[np.ndarray | Array, " nodes"]
    server: Uniform | None

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return self._at(self.latencies, sender) + self._at(self.latencies, receiver)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return jnp.minimum(self._at(self.bandwidths, sender), self._at(self.bandwidths, receiver))

    def uplink(self, sender: Nodes) -> Numbers:
        return self._at(self.bandwidths, sender)

    def reached(self, size: float, node: Nodes) -> Numbers:
        assert self.server is not None
        slowest = jnp.minimum(self._at(self.bandwidths, node), self.server.bandwidth)
        return self._at(self.latencies, node) + self.server.latency + np.float32(size) / slowest

    @property
    def throughput(self) -> Numbers:
        assert self.server is not None
        return jnp.asarray(self.server.bandwidth, jnp.float32)

    @property
    def serving(self) -> "Access | None":
        return None if self.server is None else self

    def bind(self, nodes: int) -> Self:
        check_size("links", len(self.latencies), nodes)
        return self

    def _at(self, table: Float[np.ndarray | Array, " nodes"], node: Nodes) -> Numbers:
        return jnp.asarray(table)[node]


@pytree
@dataclass(frozen=True)
class Plane(Links):
    """See :func:`plane`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"latency": SECONDS, "pace": SECONDS, "bandwidth": POSITIVE}

    latency: float
    pace: float
    bandwidth: float
    seed: UInt[np.ndarray | Array, ""]

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        (x, y), (to_x, to_y) = self.position(sender), self.position(receiver)
        return self.latency + self.pace * jnp.hypot(x - to_x, y - to_y)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return _like(self.bandwidth, sender, receiver)

    def uplink(self, sender: Nodes) -> Numbers:
        return _like(self.bandwidth, sender)

    def position(self, node: Nodes) -> tuple[Numbers, Numbers]:
        """Where a node lies in the unit square."""
        key = jax.random.key(self.seed)
        x, y = (draws.fractions(key, draws.PLACE, jnp.asarray(node), jnp.int32(axis)) for axis in (0, 1))
        return x, y


@pytree
@dataclass(frozen=True)
class Table(Links):
    """See :func:`table`."""

    bounds: ClassVar[Mapping[str, Bound]] = {}

    latencies: Float[np.ndarray | Array, "nodes nodes"]
    bandwidths: Float[np.ndarray | Array, "nodes nodes"]
    uplinks: Float[np.ndarray | Array, " nodes"]

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return jnp.asarray(self.latencies)[sender, receiver]

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return jnp.asarray(self.bandwidths)[sender, receiver]

    def uplink(self, sender: Nodes) -> Numbers:
        return jnp.asarray(self.uplinks)[sender]

    def bind(self, nodes: int) -> Self:
        check_size("links", len(self.uplinks), nodes)
        return self


@pytree
@dataclass(frozen=True)
class Server(Links):
    """See :func:`server`."""

    latency: float
    bandwidth: float
    peers: Links | None

    def delay(self, sender: Nodes, receiver: Nodes) -> Numbers:
        return _like(2 * self.latency, sender, receiver) if self.peers is None else self.peers.delay(sender, receiver)

    def rate(self, sender: Nodes, receiver: Nodes) -> Numbers:
        if self.peers is None:  # the server passes on what it has received whole
            return _like(self.bandwidth / 2, sender, receiver)
        return self.peers.rate(sender, receiver)

    def uplink(self, sender: Nodes) -> Numbers:
        return _like(self.bandwidth, sender) if self.peers is None else self.peers.uplink(sender)

    def reached(self, size: float, node: Nodes) -> Numbers:
        return _like(self.latency + np.float32(size) / self.bandwidth, node)

    @property
    def throughput(self) -> Numbers:
        return jnp.asarray(self.bandwidth, jnp.float32)

    @property
    def serving(self) -> "Server":
        return self

    def bind(self, nodes: int) -> Self:
        return self if self.peers is None else replace(self, peers=self.peers.bind(nodes))


def _like(value: Any, *nodes: Nodes) -> Numbers:
    """A number for every pair."""
    return jnp.broadcast_to(jnp.asarray(value, jnp.float32), jnp.broadcast_shapes(*map(jnp.shape, nodes)))
