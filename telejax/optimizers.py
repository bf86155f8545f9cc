"""Optimizers whose numbers are data: other step sizes compile nothing, and a grid of them is one program."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import ArrayLike

from telejax.backend.factories import OPTIMIZERS
from telejax.backend.shapes import check_float_dtype, is_number, kind_of, traced_shapes
from telejax.errors import check_flag, check_kind, check_number, is_kind, short

BY_NAME: dict[str, Callable[..., Any]] = {name: getattr(optax, name) for name in OPTIMIZERS}
"""Those that a command line and a sweep know."""


@runtime_checkable
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
        """The same optimizer with another step size.

        Raises:
            ValueError: one that is out of range, or an optimizer without a number for it, such as with a schedule.
        """
        if "learning_rate" not in self.numbers:
            given = "a schedule as" if "learning_rate" in dict(self.options) else "no"
            raise ValueError(
                f"the optimizer {_called(self.factory)} was given {given} learning_rate, so a step size cannot be "
                "tuned; give a number, as in telejax.optimizer(optax.sgd, learning_rate=0.1)"
            )
        if not is_kind(learning_rate, jax.Array):  # one on the device may be traced
            _check_step_size(learning_rate)
        return replace(self, numbers={**self.numbers, "learning_rate": learning_rate})

    def describe(self) -> dict[str, Any]:
        numbers = {name: float(number) for name, number in self.numbers.items() if jnp.ndim(number) == 0}
        return {
            "name": _called(self.factory),
            **numbers,
            **{k: _called(v) if callable(v) else str(v) for k, v in self.options},
        }


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
        ValueError: a negative or non-finite step size, another number of optax out of its range or nan, arguments that
            the factory does not take, or a factory that makes no optax transformation, or one that needs more than
            gradients, such as ``optax.lbfgs``.

    >>> import optax
    >>> optimizer(optax.sgd, learning_rate=0.1, momentum=0.9).numbers
    {'learning_rate': 0.1, 'momentum': 0.9}
    """
    if not callable(factory):
        raise ValueError(f"factory is {short(factory)}; give a function such as optax.sgd, not its result")
    numbers: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in arguments.items():
        value = check_hyperparameter(factory, name, value)
        if name == "learning_rate":
            if callable(value):
                _check_schedule(value)
                options[name] = value
            else:
                numbers[name] = _check_step_size(value)
        elif is_kind(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):  # no part of a program's name
            numbers[name] = value
        elif is_kind(value, float):
            if value != value:
                raise ValueError(f"{name} is {short(value)}; give a number")
            numbers[name] = value
        else:
            options[name] = value
    made = Optimizer(factory, tuple(sorted(options.items())), numbers)
    try:
        built = made.build()
    except TypeError as error:
        told = f"{_called(factory)} does not take {short(arguments, 200)}: {error}"
        raise ValueError(f"{told}; give a factory such as optax.sgd the arguments that it names") from None
    if not isinstance(built, optax.GradientTransformation):
        raise ValueError(
            f"factory is {_called(factory)}, which returned {type(built).__name__} and no optax transformation; "
            "give a function such as optax.sgd"
        )
    _check_update(_called(factory), built)
    return made


def as_optimizer(given: Any, name: str = "optimizer") -> Optimizer | FixedOptimizer:
    """Accept an :func:`optimizer` or any optax transformation; errors call it ``name``.

    Raises:
        ValueError: anything else, such as a schedule or a factory that was not called.

    >>> import optax, telejax as tj
    >>> tj.as_optimizer(optax.chain(optax.clip(1.0), optax.sgd(0.1))).learning_rate is None
    True
    """
    name = check_kind("name", name, str, "give a text")
    if is_kind(given, Optimizer | FixedOptimizer):
        return given
    if is_kind(given, optax.GradientTransformation):
        _check_update("a ready optax transformation", given)
        return FixedOptimizer(given)
    raise ValueError(
        f"{name} is {short(given)}; give telejax.optimizer(optax.sgd, learning_rate=0.1) or an optax transformation"
    )


def check_optimizer(name: str, given: Any) -> OptimizerLike:
    """Return ``given``, or raise a ValueError where an algorithm was made of what is no optimizer of telejax yet."""
    remedy = (
        "give telejax.optimizer(optax.sgd, learning_rate=0.1), or telejax.as_optimizer(...) of an optax transformation"
    )
    if is_kind(given, optax.GradientTransformation):
        raise ValueError(f"{name} is a bare optax transformation; {remedy}")
    if is_kind(given, type):
        raise ValueError(f"{name} is {short(given)}; {remedy}")
    return check_kind(name, given, OptimizerLike, remedy)


SCHEDULE = "give a function of the step to one number, such as optax.cosine_decay_schedule(0.1, 1000)"

FRACTIONS = ("momentum", "b1", "b2", "decay")
"""Arguments of optax that are from 0 to below 1: what is kept from one step to the next."""
NOT_NEGATIVE = ("eps", "eps_root", "weight_decay", "initial_accumulator_value", "initial_scale")
"""Arguments of optax that are at least 0."""
DTYPES = ("mu_dtype", "accumulator_dtype")
"""Arguments of optax that are types of floats."""


def check_hyperparameter(factory: Callable[..., Any], name: str, value: Any) -> Any:
    """Return an argument of optax, or of telejax's own factory, or raise a ValueError: of a wrong kind or out of range.

    None and schedules are taken where the factory takes them; what other factories call by these names is theirs.
    Numbers become floats, except small integers, which are structure.
    """
    if (getattr(factory, "__module__", None) or "").split(".")[0] not in ("optax", "telejax"):
        return value
    known = inspect.signature(factory).parameters.get(name)
    default, is_scalar = known.default if known else None, name in (*FRACTIONS, *NOT_NEGATIVE)
    left_out = value is None and (name == "momentum" or default is None or not is_scalar)
    scheduled = (
        callable(value)
        and not (is_scalar and is_kind(value, type))
        and (  # one may be for weight_decay,
            name == "weight_decay"
            or hasattr(factory, "__wrapped__")  # and for all where optax has wrapped the factory
            or not (is_scalar or name in DTYPES or isinstance(default, bool))
        )
    )
    if left_out or scheduled or is_kind(value, jax.core.Tracer):
        return value
    if is_scalar:
        remedy = "give a number from 0 to below 1" if name in FRACTIONS else ""
        number = check_number(name, value, remedy=remedy)
        if remedy and np.float32(number) >= 1:
            raise ValueError(f"{name} is {short(value)}; {remedy}")
        return int(number) if is_kind(value, int) and number < 2**31 else number
    if name in DTYPES:
        check_float_dtype(name, value)
    if name == "mask" and is_kind(value, int | float | str):
        raise ValueError(f"mask is {short(value)}; give booleans like the parameters, or a function of them")
    if isinstance(default, bool):
        check_flag(name, value)
    return value


def _check_update(called: str, transformation: optax.GradientTransformation) -> None:
    """Raise a ValueError where an optimizer needs more of a step than gradients, such as the loss for a line search."""
    no_function = f"optimizer is {called}, whose init or update is no function; give such as optax.sgd(0.1)"
    if not callable(transformation.init):
        raise ValueError(no_function)
    x = jax.ShapeDtypeStruct((2,), "float32")
    try:
        state = traced_shapes(transformation.init, x)
    except Exception:  # of parameters that it is not made for
        return
    if strange := [leaf for leaf in jax.tree.leaves(state) if not hasattr(leaf, "dtype") and not is_number(leaf)]:
        raise ValueError(f"optimizer is {called}, whose init returned {short(strange[0])}; return arrays")
    if not callable(transformation.update):
        raise ValueError(no_function)
    try:
        made = traced_shapes(lambda x: transformation.update(x, transformation.init(x), x), x)
    except Exception as error:  # others than these may come from parameters that it is not made for
        if "keyword-only argument" in str(error):
            raise ValueError(
                f"optimizer is {called}, which needs more than gradients ({error}); give one without a line search, "
                "such as optax.sgd or optax.adam"
            ) from error
        return
    if not isinstance(made, tuple) or len(made) != 2:
        raise ValueError(f"optimizer is {called}, whose update returned {short(made)}; return updates and a state")


def _check_schedule(schedule: Callable[..., Any], name: str = "learning_rate") -> None:
    """Raise a ValueError unless a schedule makes one number of a step."""
    try:
        made = traced_shapes(schedule, jax.ShapeDtypeStruct((), "int32"))
    except Exception as error:  # of any kind: it is the user's code
        why = str(error).partition("\n")[0]
        raise ValueError(f"{name} is {short(schedule)}, which fails for a step: {why}; {SCHEDULE}") from error
    if not is_number(made) or jnp.shape(made) or kind_of(made).startswith(("bool", "uint")):
        raise ValueError(f"{name} is a schedule that returned {kind_of(made)}; {SCHEDULE}")
    if isinstance(made, int | float):  # whatever the step
        _check_step_size(made) if name == "learning_rate" else check_number(name, made)


def _check_step_size(value: Any) -> float:
    number = check_number("learning_rate", value, remedy="give a finite number of at least 0")
    if number and not np.asarray(number, dtype := jnp.result_type(float)):
        raise ValueError(f"learning_rate is {short(value)}, which is 0 in {dtype}; give a larger step size, or 0")
    return number


def _called(factory: Any) -> str:
    return getattr(factory, "__name__", type(factory).__name__)


def decayed_sgd(learning_rate: Any, momentum: float = 0.0, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """SGD on the loss plus ``weight_decay / 2 ||x||^2``, a factory for :func:`optimizer`; schedules are taken too.

    Raises:
        ValueError: a number out of its range.

    >>> optimizer(decayed_sgd, learning_rate=0.1, momentum=0.9, weight_decay=5e-4).numbers["weight_decay"]
    0.0005
    """
    if callable(learning_rate):
        _check_schedule(learning_rate)
    elif not is_kind(learning_rate, jax.Array):  # one on the device may be traced
        _check_step_size(learning_rate)
    for name, value in (("momentum", momentum), ("weight_decay", weight_decay)):
        check_hyperparameter(decayed_sgd, name, value)
    if callable(weight_decay):
        _check_schedule(weight_decay, "weight_decay")
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, momentum))


def numbers_in(part: Any, prefix: str) -> dict[str, ArrayLike]:
    """The scalar leaves of a dataclass, of the optimizers and the dataclasses in it."""
    if isinstance(part, Optimizer):
        return {f"{prefix}{name}": value for name, value in part.numbers.items() if np.ndim(value) == 0}
    found: dict[str, ArrayLike] = {}
    for one in fields(part):
        value = getattr(part, one.name)
        if one.metadata.get("static") or value is None:
            continue
        if is_dataclass(value):
            found |= numbers_in(value, f"{prefix}{one.name}.")
        elif isinstance(value, float | np.floating) or (
            isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and value.dtype.kind == "f"
        ):
            found[f"{prefix}{one.name}"] = value
    return found
