"""Optimizers whose numbers are data: other step sizes compile nothing, and a grid of them is one program."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from telejax.errors import check_number


class OptimizerLike(Protocol):
    """What an algorithm asks of an optimizer."""

    @property
    def learning_rate(self) -> Any:
        """The step size where it is known, else None."""
        ...

    def build(self) -> optax.GradientTransformation: ...

    def describe(self) -> dict[str, Any]: ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Optimizer:
    """An optax factory (structure) with its numbers (leaves); made by :func:`optimizer`."""

    factory: Callable[..., optax.GradientTransformation] = field(metadata={"static": True})
    options: tuple[tuple[str, Any], ...] = field(metadata={"static": True})
    numbers: dict[str, Any]

    @property
    def learning_rate(self) -> Any:
        return self.numbers.get("learning_rate")

    def build(self) -> optax.GradientTransformation:
        return self.factory(**self.numbers, **dict(self.options))

    def with_learning_rate(self, learning_rate: Any) -> "Optimizer":
        """The same optimizer with another step size."""
        if "learning_rate" not in self.numbers:
            raise ValueError(f"{self.factory.__name__} was given no number learning_rate; a step size cannot be tuned")
        return replace(self, numbers={**self.numbers, "learning_rate": learning_rate})

    def describe(self) -> dict[str, Any]:
        numbers = {name: float(number) for name, number in self.numbers.items() if jnp.ndim(number) == 0}
        return {"name": self.factory.__name__, **numbers, **{k: str(v) for k, v in self.options}}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FixedOptimizer:
    """A ready optax transformation; all of it is structure, so another one compiles anew."""

    transformation: optax.GradientTransformation = field(metadata={"static": True})
    learning_rate: None = None

    def build(self) -> optax.GradientTransformation:
        return self.transformation

    def with_learning_rate(self, learning_rate: Any) -> "FixedOptimizer":
        raise ValueError(
            "the optimizer is a ready optax transformation, whose step size cannot be tuned; "
            "give telejax.optimizer(optax.sgd, learning_rate=0.1) instead"
        )

    def describe(self) -> dict[str, Any]:
        return {"name": "optax transformation"}


def optimizer(factory: Callable[..., optax.GradientTransformation], **arguments: Any) -> Optimizer:
    """An optimizer from an optax factory and its arguments.

    Floats, and ``learning_rate`` in any number type, become leaves: changing them compiles nothing. All other
    arguments (integers, booleans, schedules) are structure.

    Args:
        factory: such as ``optax.sgd`` or ``optax.adam``.
        **arguments: keyword arguments of the factory.

    Raises:
        ValueError: a negative or non-finite step size, or arguments that the factory does not take.

    >>> import optax
    >>> optimizer(optax.sgd, learning_rate=0.1, momentum=0.9).numbers
    {'learning_rate': 0.1, 'momentum': 0.9}
    """
    if not callable(factory):
        raise ValueError(f"factory is {factory!r}; give a function such as optax.sgd, not its result")
    numbers, options = {}, {}
    for name, value in arguments.items():
        if name == "learning_rate" and not callable(value):
            numbers[name] = check_number(name, value)
        elif isinstance(value, float):
            numbers[name] = value
        else:
            options[name] = value
    made = Optimizer(factory, tuple(sorted(options.items())), numbers)
    try:
        made.build()
    except TypeError as error:
        raise ValueError(f"{factory.__name__} does not take {arguments}: {error}") from None
    return made


def as_optimizer(given: Any) -> Optimizer | FixedOptimizer:
    """Accept an :func:`optimizer` or any optax transformation."""
    if isinstance(given, Optimizer | FixedOptimizer):
        return given
    if isinstance(given, optax.GradientTransformation):
        return FixedOptimizer(given)
    raise ValueError(
        f"optimizer is {given!r}; give telejax.optimizer(optax.sgd, learning_rate=0.1) or an optax transformation"
    )


def decayed_sgd(learning_rate: Any, momentum: float = 0.0, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """SGD on the loss plus ``weight_decay / 2 ||x||^2``, a factory for :func:`optimizer`; schedules are taken too.

    >>> optimizer(decayed_sgd, learning_rate=0.1, momentum=0.9, weight_decay=5e-4).numbers["weight_decay"]
    0.0005
    """
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum))
