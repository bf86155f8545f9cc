"""What attackers send in the place of their models: ``attack(honest, key=None)`` of the honest models (m, d) is (d,).

They know all honest models of the round and send the same forged one to everybody. ``telejax.adversary`` says who they
are. ``label_flip`` forges data in place of messages.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from telejax.backend.shapes import is_array
from telejax.errors import NON_NEGATIVE, Bound, check_integer, short
from telejax.random.keys import check_key
from telejax.state import STATIC, Params, pytree

Slots = Float[Array, "slots ..."]
Honest = Bool[Array, " slots"]


class Attack(ABC):
    """``attack(honest, key=None)`` is what attackers send, (d,), of the honest models (m, d) of a round."""

    bounds: ClassVar[Mapping[str, Bound]] = {}
    forges: ClassVar[bool] = True
    """Whether messages are forged; else the data of the attackers is."""
    draws: ClassVar[bool] = False
    """Whether a key is drawn from."""

    def __call__(self, honest: Float[Array, "m d"], key: Key[Array, ""] | None = None) -> Float[Array, " d"]:
        """Forge a model.

        Args:
            honest: floats (m, d), all honest models.
            key: of attacks that draw.

        Raises:
            ValueError: no array (m, d) of floats, or no key where one is needed.
        """
        if not is_array(honest) or jnp.ndim(honest) != 2 or not honest.size:
            raise ValueError(f"honest is {short(honest)}; give an array (m, d) of floats, a row for each honest model")
        honest = jnp.asarray(honest)
        if not jnp.issubdtype(honest.dtype, jnp.floating):
            raise ValueError(f"honest is of {honest.dtype}; give floats, a row for each honest model")
        if self.draws:
            check_key("key", key)
        return self.of(honest, jnp.ones(len(honest), bool), jax.random.key(0) if key is None else key)

    @abstractmethod
    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        """What is sent, of the rows of slots with honest holders."""

    def forged(self, params: Params, liars: Bool[Array, " slots"], key: Key[Array, ""]) -> Params:
        """What each slot sends: its own row, or the forged one where its holder lies, leaf by leaf.

        Where all lie, they forge what is made of all.
        """
        honest = ~liars | jnp.all(liars)
        leaves, structure = jax.tree.flatten(params)
        sent = []
        for place, x in enumerate(leaves):
            wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            lie = self.of(wide, honest, jax.random.fold_in(key, place)).astype(x.dtype)
            sent.append(jnp.where(_column(liars, x), lie[None], x))
        return jax.tree.unflatten(structure, sent)


@pytree
@dataclass(frozen=True)
class SignFlip(Attack):
    """See :func:`sign_flip`."""

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        return -_mean(x, honest)


@pytree
@dataclass(frozen=True)
class InnerProduct(Attack):
    """See :func:`inner_product`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"tau": NON_NEGATIVE}

    tau: float

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        return -self.tau * _mean(x, honest)


@pytree
@dataclass(frozen=True)
class LittleIsEnough(Attack):
    """See :func:`little_is_enough`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"tau": NON_NEGATIVE}

    tau: float

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        mean = _mean(x, honest)
        squares = jnp.where(_column(honest, x), (x - mean[None]) ** 2, 0)
        among = jnp.maximum(jnp.sum(honest) - 1, 1).astype(x.dtype)
        return mean + self.tau * jnp.sqrt(jnp.sum(squares, axis=0) / among)


@pytree
@dataclass(frozen=True)
class Mimic(Attack):
    """See :func:`mimic`."""

    row: int = field(metadata=STATIC)

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        order = jnp.argsort(~honest, stable=True)  # the honest first
        return x[order[jnp.minimum(self.row, jnp.sum(honest) - 1)]]


@pytree
@dataclass(frozen=True)
class Gaussian(Attack):
    """See :func:`gaussian`."""

    bounds: ClassVar[Mapping[str, Bound]] = {"scale": NON_NEGATIVE}
    draws: ClassVar[bool] = True

    scale: float

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        return self.scale * jax.random.normal(key, x.shape[1:], x.dtype)


@pytree
@dataclass(frozen=True)
class Zero(Attack):
    """See :func:`zero`."""

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        return jnp.zeros(x.shape[1:], x.dtype)


@pytree
@dataclass(frozen=True)
class LabelFlip(Attack):
    """See :func:`label_flip`."""

    forges: ClassVar[bool] = False

    def of(self, x: Slots, honest: Honest, key: Key[Array, ""]) -> Float[Array, "..."]:
        raise ValueError("label_flip forges data and no messages; give it to telejax.adversary(...)")


def sign_flip() -> SignFlip:
    """The negative mean of the honest models (Z. Allen-Zhu et al. 2020, arXiv 2012.14368).

    >>> import jax.numpy as jnp
    >>> sign_flip()(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [-2.0, -3.0]
    """
    return SignFlip()


def inner_product(tau: float = 2.0) -> InnerProduct:
    """``-tau`` times the mean of the honest models (C. Xie et al. 2020, arXiv 1903.03936).

    Args:
        tau: at least 0; may be tuned.

    Raises:
        ValueError: tau below 0.

    >>> import jax.numpy as jnp
    >>> inner_product(tau=0.5)(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [-1.0, -1.5]
    """
    return InnerProduct(NON_NEGATIVE.check("tau", tau))


def little_is_enough(tau: float = 1.5) -> LittleIsEnough:
    """The mean of the honest models and ``tau`` of their standard deviations (M. Baruch et al. 2019, arXiv 1902.06156).

    Args:
        tau: at least 0; may be tuned. The deviation is that of each coordinate, over m - 1.

    Raises:
        ValueError: tau below 0.

    >>> import jax.numpy as jnp
    >>> little_is_enough(tau=1.0)(jnp.array([[1.0], [2.0], [3.0]])).tolist()
    [3.0]
    """
    return LittleIsEnough(NON_NEGATIVE.check("tau", tau))


def mimic(row: int = 0) -> Mimic:
    """The model of one honest slot, which then counts too much (S. P. Karimireddy et al. 2022, arXiv 2006.09365).

    Args:
        row: which of the honest slots, in their order; the last one where there are fewer.

    Raises:
        ValueError: a row below 0.

    >>> import jax.numpy as jnp
    >>> mimic(row=1)(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [3.0, 4.0]
    """
    return Mimic(check_integer("row", row, minimum=0, maximum=2**31 - 1))


def gaussian(scale: float = 1.0) -> Gaussian:
    """Normal noise around zero (P. Blanchard et al. 2017, arXiv 1703.02757).

    Args:
        scale: standard deviation, at least 0; may be tuned.

    Raises:
        ValueError: a scale below 0.

    >>> import jax, jax.numpy as jnp
    >>> gaussian(scale=2.0)(jnp.ones((3, 5)), jax.random.key(0)).shape
    (5,)
    """
    return Gaussian(NON_NEGATIVE.check("scale", scale))


def zero() -> Zero:
    """Zeros.

    >>> import jax.numpy as jnp
    >>> zero()(jnp.ones((3, 2))).tolist()
    [0.0, 0.0]
    """
    return Zero()


def label_flip() -> LabelFlip:
    """No forged messages: attackers train honestly, on labels c that were turned into classes - 1 - c.

    The task must have labels, as :func:`telejax.tasks.classification` has; see :func:`telejax.tasks.label_flipped`.

    >>> import telejax as tj
    >>> tj.Network(adversary=tj.adversary(label_flip(), nodes=[3])).adversary.attack.forges
    False
    """
    return LabelFlip()


def _mean(x: Slots, honest: Honest) -> Float[Array, "..."]:
    among = jnp.maximum(jnp.sum(honest), 1).astype(x.dtype)
    return jnp.sum(jnp.where(_column(honest, x), x, 0), axis=0) / among


def _column(mask: Bool[Array, " slots"], x: Array) -> Bool[Array, "slots ..."]:
    return mask.reshape((-1,) + (1,) * (x.ndim - 1))
