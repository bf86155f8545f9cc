"""Errors that say what to do next: the argument, the value that was given, the remedy."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


class DivergenceError(RuntimeError):
    """Every run of a simulation reached non-finite values.

    ``result`` holds the history up to and including the evaluation that showed it, and the last
    finite mean model of every run.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


def check_integer(name: str, value: Any, minimum: int, remedy: str = "") -> int:
    """Return ``value`` as an int, or raise a ValueError that names the argument.

    >>> check_integer("rounds", 0, minimum=1)
    Traceback (most recent call last):
    ...
    ValueError: rounds is 0; give an integer of at least 1
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < minimum:
        remedy = remedy or f"give an integer of at least {minimum}"
        raise ValueError(f"{name} is {value!r}; {remedy}")
    return int(value)


def check_number(name: str, value: Any, minimum: float = 0.0, exclusive: bool = False, remedy: str = "") -> float:
    """Return ``value`` as a finite float of at least (or above) ``minimum``, or raise a ValueError.

    >>> check_number("alpha", -1.0, exclusive=True)
    Traceback (most recent call last):
    ...
    ValueError: alpha is -1.0; give a finite number above 0
    """
    bound = f"above {minimum:g}" if exclusive else f"of at least {minimum:g}"
    remedy = remedy or f"give a finite number {bound}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; {remedy}") from None
    if not np.isfinite(number) or number < minimum or (exclusive and number == minimum):
        raise ValueError(f"{name} is {value!r}; {remedy}")
    return number


def check_target(name: str, value: Any, given: Any = None) -> float:
    """Return ``value`` as a float, or raise a ValueError unless it is a finite number, which a run can reach.

    >>> check_target("target", float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: target is nan; give a finite number to reach
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise ValueError(f"{name} is {(value if given is None else given)!r}; give a finite number to reach")
    return float(value)


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``, or raise a ValueError with the nearest of them.

    >>> check_name("topology", "rign", ["ring", "torus"])
    Traceback (most recent call last):
    ...
    ValueError: unknown topology 'rign'; did you mean 'ring'? Known: ring, torus
    """
    known = sorted(known)
    if name in known:
        return name
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"unknown {kind} {name!r}; {hint}Known: {', '.join(known)}")
