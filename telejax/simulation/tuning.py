"""Which numbers a run may tune, by name: those of the method, its optimizers, the network and the task's privacy."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from telejax.algorithms.base import Algorithm
from telejax.errors import check_list, check_mapping, check_name, check_number, is_kind, short
from telejax.network import Network
from telejax.optimizers import Optimizer, check_hyperparameter, numbers_in
from telejax.results.directions import all_directions
from telejax.simulation.recorder import RESERVED
from telejax.tasks.privacy import Privacy

Values = Sequence[float] | np.ndarray
Tune = Values | Mapping[str, Values]
"""Step sizes to try, or a name to the values to try of each of several numbers."""

COLUMNS = frozenset({*RESERVED, *all_directions()}) - {"learning_rate"}
"""Columns that a history has anyway: a number of the same name goes by its full one, such as ``network.loss``."""


_OF_PRIVACY = frozenset({*Privacy.bounds, *(f"privacy.{name}" for name in Privacy.bounds)})
GIVE = "give a list of step sizes, or a mapping of names to lists"

MOST_SETTINGS = 10**5
"""Combinations of the numbers that are tried: each is a run of its own."""


@dataclass(frozen=True)
class Setting:
    """One combination of the numbers that are tried."""

    columns: dict[str, float | None]
    """Their values by column, ``learning_rate`` first."""
    algorithm: Algorithm
    network: Network
    privacy: Privacy | None = None


def settings(
    tune: Tune | None, algorithm: Algorithm, network: Network, privacy: Privacy | None = None
) -> tuple[list[Setting], dict[str, list[float]] | None]:
    """Every combination of the values of ``tune``, and those values by full name; one combination where it is None.

    Raises:
        ValueError: a name that is none of a number, or of several; no values, or one twice; a value out of range.
    """
    rate = algorithm.optimizer.learning_rate
    if tune is None:
        return [Setting({"learning_rate": rate}, algorithm, network, privacy)], None
    tried = checked(tune, algorithm, network, privacy)
    full_names = [resolve(name, algorithm, network, privacy) for name in tried]
    made = []
    for values in itertools.product(*tried.values()):
        method, world, private = algorithm, network, privacy
        for name, value in zip(full_names, values, strict=True):
            if name.startswith("privacy."):
                private = replaced(private, name.split(".")[1:], value)
            else:
                method, world = with_number(name, value, method, world)
        columns = dict(zip(tried, values, strict=True))
        made.append(Setting({"learning_rate": method.optimizer.learning_rate, **columns}, method, world, private))
    return made, tried


def plain_tune(tune: Any) -> Any:
    """A mapping to lists, or a list, as that of Python; what is neither as it is."""
    plainly = lambda values: check_list("tune", values, GIVE) if is_list(values) else values
    if is_kind(tune, Mapping):
        return {name: plainly(values) for name, values in check_mapping("tune", tune, GIVE).items()}
    return plainly(tune)


def checked(
    tune: Tune, algorithm: Algorithm, network: Network, privacy: Privacy | None = None
) -> dict[str, list[float]]:
    """The values to try, by the name of their column."""
    tune = plain_tune(tune)
    if not (is_kind(tune, Mapping) or is_list(tune)):
        raise ValueError(f"tune is {short(tune)}; {GIVE}")
    tune = tune if is_kind(tune, Mapping) else {"learning_rate": tune}
    if not tune:
        raise ValueError(f"tune is empty; {GIVE}")
    count = math.prod(len(values) for values in tune.values() if is_list(values))
    if count > MOST_SETTINGS:
        raise ValueError(f"tune has {count} combinations of its values; give at most {MOST_SETTINGS}")
    found: dict[str, list[float]] = {}
    full_names: dict[str, str] = {}
    for name, values in tune.items():
        full = resolve(name, algorithm, network, privacy)
        if full in full_names:
            raise ValueError(f"tune has {full_names[full]!r} and {name!r}, which are one number; give one of them")
        full_names[full] = name
        found[full if name in COLUMNS else name] = _values(name, full, values)
    return found


def _values(name: str, full: str, values: Any) -> list[float]:
    """The numbers of one list, each in its range and different on the device too."""
    if not is_list(values):
        raise ValueError(f"tune is {_named(name, values)}; give at least one value, in a list")
    exclusive = full.split(".")[-1] == "learning_rate"
    argument = "tune" if exclusive else f"tune[{name!r}]"
    numbers = [check_number(argument, one, exclusive=exclusive) for one in values]
    if exclusive and (lost := [one for one in numbers if not np.asarray(one, jnp.result_type(float))]):
        raise ValueError(f"{argument} is {lost[0]}, which is 0 in {jnp.result_type(float)}; give a larger step size")
    if not numbers or len(set(np.asarray(numbers, jnp.result_type(float)).tolist())) < len(numbers):
        raise ValueError(f"tune is {_named(name, values)}; give at least one value, and each only once")
    return numbers


def is_list(values: Any) -> bool:
    """Whether these are several values in an order."""
    if is_kind(values, list | tuple | range):
        return True
    try:
        return is_kind(values, Iterable) and not is_kind(values, memoryview) and getattr(values, "ndim", 0) == 1
    except Exception:  # of a user's class
        return False


def numbers(algorithm: Algorithm, network: Network, privacy: Privacy | None = None) -> dict[str, ArrayLike]:
    """The numbers that may be tuned, by their full dotted name.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    >>> sorted(numbers(tj.random_walk(optimizer=sgd), tj.Network(loss=0.1)))
    ['network.loss', 'optimizer.learning_rate', 'optimizer.momentum']
    """
    own = {} if privacy is None else numbers_in(privacy, "privacy.")
    return {**numbers_in(algorithm, ""), **numbers_in(network, "network."), **own}


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The full names that a full or a last name stands for.

    >>> meant("momentum", ["optimizer.momentum", "server_optimizer.momentum", "network.loss"])
    ['optimizer.momentum', 'server_optimizer.momentum']
    """
    return [full for full in known if full == name or full.endswith(f".{name}")]


def resolve(name: str, algorithm: Algorithm, network: Network, privacy: Privacy | None = None) -> str:
    """The full name of a number that is given by its full or its last name."""
    known = numbers(algorithm, network, privacy)
    matching = meant(name, known)
    if len(matching) == 1 or name in known:
        return name if name in known else matching[0]
    if len(matching) > 1:
        raise ValueError(f"tune has {name!r}, which may be {' or '.join(matching)}; give one of these names")
    if name in _structure(algorithm):
        raise ValueError(
            f"tune has {name!r}, which is structure of {algorithm.name}; run one simulation for each value"
        )
    if name in ("learning_rate", "optimizer.learning_rate"):
        algorithm.with_learning_rate(0.1)  # says why the step size of this optimizer cannot be tuned
    last = str(name).removeprefix("network.")
    for part, called in ((algorithm, algorithm.name), (network, "the network")):
        if isinstance(whole := getattr(part, last, None), int):
            raise ValueError(f"tune has {name!r}, which is {short(whole)} in {called}; write {float(whole)} to tune it")
    if privacy is None and name in _OF_PRIVACY:
        raise ValueError(f"tune has {name!r}, and the task is not private; give telejax.privacy(...)(task)")
    if last in {one.name for one in fields(network)}:
        raise ValueError(f"tune has {name!r}, and the network has none; give network=telejax.Network({last}=...) too")
    if not known:
        raise ValueError(
            f"tune has {name!r}, and {algorithm.name} has no numbers to tune; give "
            "optimizer=telejax.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)"
        )
    last_names = [full.split(".")[-1] for full in known]
    check_name("number in tune", name, {*known, *(one for one in last_names if last_names.count(one) == 1)})
    raise AssertionError(name)


def _structure(algorithm: Algorithm) -> set[str]:
    """What of a method and of its optimizers is structure, by full and by last name."""
    own = {one.name for one in fields(algorithm) if one.metadata.get("static")}  # type: ignore[arg-type]
    parts = {one.name: getattr(algorithm, one.name) for one in fields(algorithm)}  # type: ignore[arg-type]
    optimizers = {name: part for name, part in parts.items() if isinstance(part, Optimizer)}
    options = {(name, option) for name, part in optimizers.items() for option in dict(part.options)}
    options -= {(name, "learning_rate") for name in optimizers}  # a schedule, of which with_learning_rate tells more
    return own | {option for _, option in options} | {f"{name}.{option}" for name, option in options}


def with_number(full: str, value: float, algorithm: Algorithm, network: Network) -> tuple[Algorithm, Network]:
    """The method and the network with another value of the number of this full name."""
    if full.startswith("network."):
        return algorithm, replaced(network, full.split(".")[1:], value)
    return replaced(algorithm, full.split("."), value), network


def replaced(part: Any, path: Sequence[str], value: float) -> Any:
    """A part with another value of a number in it, or a ValueError where that is out of its range."""
    first, *rest = path
    if isinstance(part, Optimizer):
        check_hyperparameter(part.factory, first, value)
        return replace(part, numbers={**part.numbers, first: value})
    if not rest and first in getattr(part, "bounds", {}):
        part.bounds[first].check(f"tune[{first!r}]", value)
    return replace(part, **{first: replaced(getattr(part, first), rest, value) if rest else value})


def _named(name: str, values: object) -> str:
    return short(values) if name == "learning_rate" else f"{{{name!r}: {short(values)}}}"
