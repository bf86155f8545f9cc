"""How long a node computes: the seconds of one stochastic gradient, in O(1) a node."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt

from telejax.errors import SECONDS, SHARE, Bound, check_flag, check_integer, check_numbers
from telejax.network import draws
from telejax.network.tables import check_size, read_table
from telejax.state import STATIC, pytree

SIGMA, SLOWDOWN = Bound(0.0, 20.0), Bound(1.0)

Nodes = Int[Array, "..."]
Seconds = Float[Array, "..."]


class Machines(ABC):
    """Of all nodes."""

    bounds: ClassVar[Mapping[str, Bound]] = {}
    fixed: bool
    """Whether a node is as fast in every round."""

    @abstractmethod
    def of(self, key: Key[Array, ""], node: Nodes) -> Seconds:
        """Seconds of a gradient in the round of this key."""

    def bind(self, nodes: int) -> Self:
        """The machines of so many nodes, or a ValueError where there are fewer."""
        return self


@pytree
@dataclass(frozen=True)
class Constant(Machines):
    """See :func:`constant`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"seconds": SECONDS}
    fixed: ClassVar[bool] = True  # type: ignore[misc]

    seconds: float

    def of(self, key: Key[Array, ""], node: Nodes) -> Seconds:
        return jnp.broadcast_to(jnp.asarray(self.seconds, jnp.float32), jnp.shape(node))


@pytree
@dataclass(frozen=True)
class Lognormal(Machines):
    """See :func:`lognormal`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"median": SECONDS, "sigma": SIGMA}

    median: float
    sigma: float
    seed: UInt[np.ndarray | Array, ""]
    fixed: bool = field(metadata=STATIC)

    def of(self, key: Key[Array, ""], node: Nodes) -> Seconds:
        uniform = _drawn(self, key, node)
        return self.median * jnp.exp(self.sigma * jax.scipy.special.ndtri(uniform + np.float32(2**-25)))


@pytree
@dataclass(frozen=True)
class Stragglers(Machines):
    """See :func:`stragglers`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"seconds": SECONDS, "share": SHARE, "slowdown": SLOWDOWN}

    seconds: float
    share: float
    slowdown: float
    seed: UInt[np.ndarray | Array, ""]
    fixed: bool = field(metadata=STATIC)

    def of(self, key: Key[Array, ""], node: Nodes) -> Seconds:
        slow = _drawn(self, key, node) < self.share
        return jnp.where(slow, self.seconds * self.slowdown, self.seconds).astype(jnp.float32)


@pytree
@dataclass(frozen=True)
class Table(Machines):
    """See :func:`table`."""

    fixed: ClassVar[bool] = True  # type: ignore[misc]

    seconds: Float[np.ndarray | Array, " nodes"]

    def of(self, key: Key[Array, ""], node: Nodes) -> Seconds:
        return jnp.asarray(self.seconds)[node]

    def bind(self, nodes: int) -> Self:
        check_size("machines", len(self.seconds), nodes)
        return self


def constant(seconds: float = 1.0) -> Constant:
    """All nodes alike.

    Args:
        seconds: of one stochastic gradient; may be tuned, as all numbers of machines.

    >>> constant(0.5).seconds
    0.5
    """
    return Constant(SECONDS.check("seconds", seconds))


def lognormal(median: float = 1.0, sigma: float = 0.5, *, fixed: bool = True, seed: int = 0) -> Lognormal:
    """Seconds of lognormal law: ``median exp(sigma z)`` with a normal z.

    Args:
        median: seconds of one gradient.
        sigma: how much they differ, at most 20; 0.5 makes one node of six slower than 1.6 times the median.
        fixed: whether a node is as fast in every round, or drawn anew in each.
        seed: of the nodes' speeds, where they are fixed.

    >>> import jax, jax.numpy as jnp
    >>> seconds = lognormal(median=2.0).of(jax.random.key(0), jnp.arange(1000))
    >>> 1.8 < float(jnp.median(seconds)) < 2.2
    True
    """
    numbers = SECONDS.check("median", median), SIGMA.check("sigma", sigma)
    return Lognormal(*numbers, _seed(seed), check_flag("fixed", fixed))


def stragglers(
    seconds: float = 1.0, *, share: float = 0.1, slowdown: float = 10.0, fixed: bool = True, seed: int = 0
) -> Stragglers:
    """A share of the nodes takes several times longer.

    Args:
        seconds: of one gradient at the others.
        share: of the slow ones, from 0 to 1.
        slowdown: how many times longer they take, at least 1.
        fixed: whether the same nodes are slow in every round, or drawn anew in each.
        seed: of who is slow, where that is fixed.

    >>> import jax, jax.numpy as jnp
    >>> slow = stragglers(share=0.2).of(jax.random.key(0), jnp.arange(1000)) == 10
    >>> 0.15 < float(slow.mean()) < 0.25
    True
    """
    seconds, slowdown = SECONDS.check("seconds", seconds), SLOWDOWN.check("slowdown", slowdown)
    SECONDS.check("seconds times slowdown", seconds * slowdown)
    return Stragglers(
        seconds,
        SHARE.check("share", share),
        slowdown,
        _seed(seed),
        check_flag("fixed", fixed),
    )


def table(seconds: Sequence[float] | np.ndarray | Array) -> Table:
    """Measured machines.

    Args:
        seconds: of one gradient at each node, (nodes,).

    Raises:
        ValueError: another shape, a number that is missing or below 0.

    >>> len(table([0.5, 2.0]).seconds)
    2
    """
    remedy = "give the seconds of a gradient at each node, (nodes,), finite and at least 0"
    return Table(check_numbers("seconds", seconds, SECONDS, remedy).astype(np.float32))


def from_csv(path: str | os.PathLike[str]) -> Table:
    """Measured machines from a CSV file with the columns node and seconds: a row for every node, from 0.

    Raises:
        ValueError: a missing column, a number that is none or below 0, a node twice or not at all, naming file and
            line.
        OSError: the file cannot be read.

    >>> import pathlib, tempfile, telejax as tj
    >>> file = pathlib.Path(tempfile.mkdtemp(), "machines.csv")
    >>> _ = file.write_text("node,seconds\\n0,0.5\\n1,2.0\\n")
    >>> machines = tj.network.machines.from_csv(file)
    """
    rows = read_table(path, {"node": int}, {"seconds": SECONDS})
    nodes = rows.columns["node"]
    found: dict[int, float] = {}
    for line, node, seconds in zip(rows.lines, nodes, rows.columns["seconds"], strict=True):
        if node in found:
            raise ValueError(f"{path}, line {line}: node {node} is given twice; give it once")
        if node >= len(nodes):
            raise ValueError(f"{path}, line {line}: node {node} of {len(nodes)}; number them from 0, without gaps")
        found[node] = seconds
    return table([found[node] for node in range(len(nodes))])


def _seed(seed: int) -> UInt[np.ndarray, ""]:
    return np.array(check_integer("seed", seed, minimum=0, maximum=2**32 - 1), np.uint32)


def _drawn(machines: Lognormal | Stragglers, key: Key[Array, ""], node: Nodes) -> Float[Array, "..."]:
    """A uniform number of each node, of the round or for all rounds."""
    return draws.fractions(jax.random.key(machines.seed) if machines.fixed else key, draws.SECONDS, node, jnp.int32(0))
