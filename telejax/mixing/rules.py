"""The rules of robust aggregation; ``telejax.mixing.robust`` makes them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from telejax.backend.shapes import is_array
from telejax.errors import NON_NEGATIVE, POSITIVE, Bound, check_integer, short
from telejax.mixing.order import in_order, middle

STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass

Start = Literal["own", "zero"]
Vectors = Float[Array, "m d"]
Vector = Float[Array, " d"]
Weights = Float[Array, " m"]


class Rule(ABC):
    """``rule(x, own=0)`` is one vector (d,) of the vectors x (m, d), of which row ``own`` is the receiver's."""

    bounds: ClassVar[Mapping[str, Bound]] = {}
    name: ClassVar[str]
    """That of the function which makes it."""
    coordinatewise: ClassVar[bool] = False
    """Whether it looks at each coordinate by itself; it then takes vectors (m, ...) of any shape."""
    f: int = 0
    """Forged vectors that it stands."""

    @property
    def needs_own(self) -> bool:
        """Whether it depends on which vector is the receiver's."""
        return False

    def __str__(self) -> str:
        return f"{self.name}({self.f})" if self.f else self.name

    def __call__(self, x: Vectors, own: int = 0) -> Vector:
        """Aggregate.

        Args:
            x: floats (m, d), a row for each received vector.
            own: the row that is the receiver's.

        Raises:
            ValueError: x is no array (m, d) of floats, ``own`` is no row of it, or 2 f >= m.
        """
        if not is_array(x) or jnp.ndim(x) != 2 or not x.size or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
            raise ValueError(f"x is {short(x)}; give an array (m, d) of floats, a row for each received vector")
        self.check("x", len(x))
        own = check_integer("own", own, minimum=0, maximum=len(x) - 1)
        x = jnp.asarray(x)
        return self.of(x, x[own], jnp.full(len(x), 1 / len(x), x.dtype))

    @abstractmethod
    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        """Aggregate, with the receiver's own vector and the weights of a mixing matrix."""

    def check(self, what: str, received: int) -> None:
        """Raise a ValueError where so many vectors, of which ``what`` tells, are too few."""
        if 2 * self.f >= received:
            most = (received - 1) // 2
            raise ValueError(
                f"{what} has {received} vector{'s' * (received > 1)} to aggregate, and {self.name} stands f = {self.f} "
                f"forged ones, less than half of them; give f of at most {most}, or more vectors"
            )


@pytree
@dataclass(frozen=True)
class Median(Rule):
    """See ``telejax.robust.median``."""

    name: ClassVar[str] = "median"
    coordinatewise: ClassVar[bool] = True

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return middle(in_order(x))


@pytree
@dataclass(frozen=True)
class TrimmedMean(Rule):
    """See ``telejax.robust.trimmed_mean``."""

    name: ClassVar[str] = "trimmed_mean"
    coordinatewise: ClassVar[bool] = True

    f: int = field(metadata=STATIC)

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return _mean(in_order(x)[self.f : len(x) - self.f])


@pytree
@dataclass(frozen=True)
class Meamed(Rule):
    """See ``telejax.robust.meamed``."""

    name: ClassVar[str] = "meamed"
    coordinatewise: ClassVar[bool] = True

    f: int = field(metadata=STATIC)

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        ordered, kept = in_order(x), len(x) - self.f
        centre = middle(ordered)
        mean, width = _mean(ordered[:kept]), jnp.maximum(centre - ordered[0], ordered[kept - 1] - centre)
        for first in range(1, self.f + 1):  # those nearest to the median follow each other in order
            last = first + kept - 1
            wide = jnp.maximum(centre - ordered[first], ordered[last] - centre)
            mean = jnp.where(wide < width, _mean(ordered[first : last + 1]), mean)
            width = jnp.minimum(wide, width)
        return mean


@pytree
@dataclass(frozen=True)
class GeometricMedian(Rule):
    """See ``telejax.robust.geometric_median``."""

    bounds: ClassVar[Mapping[str, Bound]] = {"floor": POSITIVE}
    name: ClassVar[str] = "geometric_median"

    floor: float
    steps: int = field(metadata=STATIC)
    start: Start = field(metadata=STATIC)

    @property
    def needs_own(self) -> bool:
        return self.start == "own"

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        def nearer(_: Array, point: Vector) -> Vector:
            near = 1 / jnp.maximum(_norms(x - point[None]), self.floor)
            return _combined(near / jnp.sum(near), x)

        start = own if self.start == "own" else jnp.zeros_like(own)
        found: Vector = jax.lax.fori_loop(0, self.steps, nearer, start)
        return found


@pytree
@dataclass(frozen=True)
class Krum(Rule):
    """See ``telejax.robust.krum``."""

    name: ClassVar[str] = "krum"

    f: int = field(metadata=STATIC)

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return x[jnp.argmin(self.scores(x))]

    def scores(self, x: Vectors) -> Float[Array, " m"]:
        """The mean squared distance of each vector to its m - f - 1 nearest others."""
        return jnp.mean(jnp.sort(_squared_distances(x), axis=1)[:, 1 : len(x) - self.f], axis=1)


@pytree
@dataclass(frozen=True)
class MultiKrum(Krum):
    """See ``telejax.robust.multi_krum``."""

    name: ClassVar[str] = "multi_krum"

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return jnp.mean(x[jnp.argsort(self.scores(x))[: len(x) - self.f]], axis=0)


@pytree
@dataclass(frozen=True)
class CenteredClipping(Rule):
    """See ``telejax.robust.centered_clipping``."""

    bounds: ClassVar[Mapping[str, Bound]] = {"radius": NON_NEGATIVE}
    name: ClassVar[str] = "centered_clipping"

    radius: float
    steps: int = field(metadata=STATIC)

    @property
    def needs_own(self) -> bool:
        return True

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        def moved(_: Array, centre: Vector) -> Vector:
            return centre + jnp.mean(_clipped(x - centre[None], self.radius), axis=0)

        found: Vector = jax.lax.fori_loop(0, self.steps, moved, own)
        return found


@pytree
@dataclass(frozen=True)
class ClippedGossip(Rule):
    """See ``telejax.robust.clipped_gossip``."""

    bounds: ClassVar[Mapping[str, Bound]] = {"radius": NON_NEGATIVE}
    name: ClassVar[str] = "clipped_gossip"

    radius: float

    @property
    def needs_own(self) -> bool:
        return True

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return own + _combined(weights, _clipped(x - own[None], self.radius))


@pytree
@dataclass(frozen=True)
class NearestNeighbourAveraging(Rule):
    """See ``telejax.robust.nearest_neighbour_averaging``."""

    name: ClassVar[str] = "nearest_neighbour_averaging"

    f: int = field(metadata=STATIC)

    @property
    def needs_own(self) -> bool:
        return True

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        return _near(x, _norms(x - own[None]), self.f)

    def check(self, what: str, received: int) -> None:
        """Of more than half that are forged too: the receiver's own is not."""
        if self.f >= received:
            raise ValueError(
                f"{what} has {received} vector{'s' * (received > 1)} to aggregate, and {self.name} leaves out f = "
                f"{self.f}; give f of at most {received - 1}"
            )


@pytree
@dataclass(frozen=True)
class NearestNeighbourMixing(Rule):
    """See ``telejax.robust.nearest_neighbour_mixing``."""

    name: ClassVar[str] = "nearest_neighbour_mixing"

    f: int = field(metadata=STATIC)
    rule: Rule

    @property
    def needs_own(self) -> bool:
        return self.rule.needs_own

    def __str__(self) -> str:
        return f"{self.name}({self.f}, {self.rule})"

    def of(self, x: Vectors, own: Vector, weights: Weights) -> Vector:
        own = _near(x, _norms(x - own[None]), self.f) if self.needs_own else own
        return self.rule.of(self.mixed(x), own, weights)

    def mixed(self, x: Vectors) -> Vectors:
        """Each vector becomes the mean of the m - f nearest to it, itself included."""
        return jax.vmap(_near, in_axes=(None, 0, None))(x, _squared_distances(x), self.f)

    def check(self, what: str, received: int) -> None:
        super().check(what, received)
        self.rule.check(what, received)


def _near(x: Vectors, distances: Float[Array, " m"], f: int) -> Vector:
    """The mean of the m - f vectors at the least distances."""
    count = len(x) - f
    return _combined(jnp.zeros(len(x), x.dtype).at[jnp.argsort(distances)[:count]].set(1 / count), x)


def _mean(rows: list[Vector]) -> Vector:
    return sum(rows[1:], rows[0]) / len(rows)


def _norms(x: Vectors) -> Float[Array, " m"]:
    return jnp.sqrt(jnp.sum(x**2, axis=1))


def _squared_distances(x: Vectors) -> Float[Array, "m m"]:
    """Between any two vectors; by their differences, since products of large models cancel."""
    return jnp.sum((x[:, None] - x[None]) ** 2, axis=2)


def _clipped(x: Vectors, radius: float | Array) -> Vectors:
    norms = _norms(x)
    scale = jnp.where(norms > radius, radius / jnp.where(norms > 0, norms, 1), 1)
    return x * scale.astype(x.dtype)[:, None]


def _combined(weights: Weights, x: Vectors) -> Vector:
    return jnp.tensordot(weights.astype(x.dtype), x, axes=1, precision="highest")
