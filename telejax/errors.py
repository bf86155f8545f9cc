"""Errors that say what to do next: the argument, the value that was given, the remedy."""

import difflib
import inspect
import itertools
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind")


class DivergenceError(RuntimeError):
    """Every run of a simulation reached non-finite values.

    ``result`` holds the history up to and including the evaluation that showed it, and the last
    finite mean model of every run.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


def short(value: Any, most: int = 80) -> str:
    """The value itself, or its class where it is long or cannot be shown, with the dtype and shape of an array."""
    name = type(value).__name__
    called = f"a{'n' if name[:1] in 'aeiouAEIOU' else ''} {name}"
    try:
        text = plain(repr(value))
        return text if len(text) <= most else f"{called} of {value.dtype}, shape {tuple(value.shape)}"
    except Exception:  # no array, or of a user's class
        return called


def attribute(value: Any, name: str, default: Any = None) -> Any:
    """An attribute, or the default where there is none or a user's class answers with an error of its own.

    >>> attribute(3, "real"), attribute(3, "evaluate")
    (3, None)
    """
    try:
        return getattr(value, name, default)
    except Exception:  # of a user's class
        return default


if TYPE_CHECKING:
    from builtins import isinstance as is_kind  # to narrow types likewise
else:

    def is_kind(value: object, kind: Any) -> bool:
        """Whether a value is of a kind, also of a protocol, which asks it for its members; a stand-in is of its own."""
        try:
            honest = value.__class__ is type(value)
            if honest and (members := getattr(kind, "__protocol_attrs__", ())):  # since Python 3.12 isinstance
                return all(hasattr(value, name) for name in members)  # overlooks what a __getattr__ hands on
            return isinstance(value, kind) if honest else issubclass(type(value), kind)
        except Exception:  # of a user's class
            return False


def plain(value: Any) -> Any:
    """A whole number, a float or a text of a user's subclass as the builtin: what the subclass overrides is not asked.

    >>> plain(np.float64(0.1)), plain(True), plain("ring")
    (0.1, True, 'ring')
    """
    if type(value) is not bool:
        for kind, made in ((int, int.__int__), (float, float.__float__), (str, str.__str__)):
            if issubclass(type(value), kind):
                return made(value)
    return value


def is_text(value: object) -> bool:
    """Whether a value is a text that can be written into a file.

    >>> is_text("loss"), is_text("\\ud800"), is_text(3)
    (True, False, False)
    """
    text = plain(value)
    return type(text) is str and text.encode("utf-8", "ignore").decode() == text


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function may be called with so many arguments, as far as one can tell.

    >>> takes(lambda x: x, 1), takes(lambda x: x, 2), takes(max, 2)
    (True, False, True)
    """
    try:
        inspect.signature(function).bind(*[None] * count)
        return True
    except Exception as error:  # a ValueError of a builtin, of which nobody knows; a TypeError, or of a user's class
        return isinstance(error, ValueError)


MAX_SCALE, MAX_FLOAT = 1e15, float(np.finfo(np.float64).max)
LARGEST, LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
"""Of the numbers of a run: a larger one is inf on the device, one nearer to 0 is 0."""
MOST = 2**24
"""Numbers of a range that may be listed."""
MAX_AXES = 64
"""Of an array of NumPy."""
MAX_BITS = 14000
"""Of an integer: Python writes out no more than 4300 digits."""
MAX_PATH, MAX_PARTS, MAX_PART = 4000, 300, 255
"""Characters of a path, its folders, characters of one of them: with more it cannot be made, or not looked at."""


def check_integer(name: str, value: Any, minimum: int, remedy: str = "", maximum: int | None = None) -> int:
    """Return ``value`` as an int, or raise a ValueError that names the argument.

    >>> check_integer("rounds", 0, minimum=1)
    Traceback (most recent call last):
    ...
    ValueError: rounds is 0; give an integer of at least 1
    """
    given = plain(value)
    whole = issubclass(type(given), int | np.integer) and not issubclass(type(given), bool | np.timedelta64)
    number = int(given) if whole else 0
    if number.bit_length() > MAX_BITS:
        raise ValueError(f"{name} is {short(value)} of more digits than can be shown; {remedy or 'give a smaller one'}")
    if not whole or number < minimum or (maximum is not None and number > maximum):
        bound = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"{name} is {short(value)}; {remedy or f'give an integer {bound}'}")
    return number


def check_number(name: str, value: Any, minimum: float = 0.0, exclusive: bool = False, remedy: str = "") -> float:
    """Return ``value`` as a finite float of at least (or above) ``minimum``, or raise a ValueError.

    Scalars of NumPy and arrays without axes are numbers; booleans, texts and complex numbers are not.

    >>> check_number("alpha", -1.0, exclusive=True)
    Traceback (most recent call last):
    ...
    ValueError: alpha is -1.0; give a finite number above 0
    """
    bound = f"above {minimum:g}" if exclusive else f"of at least {minimum:g}"
    remedy = remedy or f"give a finite number{'' if minimum == -np.inf else f' {bound}'}"
    try:
        given = plain(value)
        size = abs(given) if is_real(given) else np.nan
        large, number = bool(LARGEST < size < np.inf), float(given) if size <= LARGEST else np.nan
    except Exception as error:  # of a user's class, or of jax about what is traced
        raise ValueError(f"{name} is {short(value)}, whose value cannot be read here; {remedy}") from error
    if large:
        raise ValueError(f"{name} is {short(value)}; give a number of at most {LARGEST:.2g}, the largest float32")
    if not np.isfinite(number) or number < minimum or (exclusive and number == minimum):
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    return number


def is_real(value: object) -> bool:
    """Whether a value is one real number: of Python, or a scalar or an array without axes of NumPy or jax."""
    if isinstance(value, bool | np.bool_):
        return False
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isinstance(value, numbers.Real)
    kind, called = getattr(dtype, "kind", ""), getattr(dtype, "name", "")
    return np.ndim(value) == 0 and (kind in "iuf" or "float" in called)  # type: ignore[arg-type]


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise a ValueError: a text such as "no" would count as true.

    >>> check_flag("skip", "no")
    Traceback (most recent call last):
    ...
    ValueError: skip is 'no'; give True or False
    """
    if not is_kind(value, bool | np.bool_):
        raise ValueError(f"{name} is {short(value)}; give True or False")
    return bool(value)


@dataclass(frozen=True)
class Bound:
    """Where a number of a method must be: from ``least`` (above it, where exclusive) to ``most``, or below it.

    It must be there in float32 too, as it is on the device.

    >>> Bound(0.0, most=1.0, exclusive=True).check("probability", 0)
    Traceback (most recent call last):
    ...
    ValueError: probability is 0; give a number above 0 and at most 1
    """

    least: float = 0.0
    most: float = np.inf
    exclusive: bool = False
    below: bool = False
    """Whether it must be below ``most``."""

    def __post_init__(self) -> None:
        """Raise a ValueError unless there is a number within."""
        for name, given in {"least": self.least, "most": self.most}.items():
            if not is_real(given) or not (abs(given) <= LARGEST or abs(given) == np.inf):
                raise ValueError(f"{name} is {short(given)}; give a number of at most {LARGEST:.2g}, or infinity")
        check_flag("exclusive", self.exclusive), check_flag("below", self.below)
        if self.least > self.most or (self.least == self.most and (self.exclusive or self.below)):
            raise ValueError(f"least is {self.least:g} and most {self.most:g}; give a larger most")

    def check(self, name: str, value: Any) -> float:
        """Return ``value`` as a float, or raise a ValueError that names the argument."""
        upper = "" if np.isinf(self.most) else f" and {'below' if self.below else 'at most'} {self.most:g}"
        lower = f"{'above' if self.exclusive else 'of at least'} {self.least:g}"
        remedy = f"give a {'' if upper else 'finite '}number {lower}{upper}"
        number = check_number(name, value, self.least, self.exclusive, remedy)
        if number > self.most or (self.below and number == self.most):
            raise ValueError(f"{name} is {short(value)}; {remedy}")
        rounded = float(np.float32(number)) if abs(number) >= LEAST else 0.0
        if (self.exclusive and rounded <= self.least) or (self.below and rounded >= self.most):
            raise ValueError(f"{name} is {short(value)}, which is {rounded:g} in float32; {remedy}")
        return number


def check_numbers(name: str, value: Any, bound: Bound, remedy: str) -> NDArray[np.float64]:
    """Return a number of each node as float64 (nodes,), or raise a ValueError where one is out of its bound.

    >>> check_numbers("seconds", [1.0, -1.0], NON_NEGATIVE, "give seconds")
    Traceback (most recent call last):
    ...
    ValueError: seconds of node 1 is -1.0; give a finite number of at least 0
    """
    array = check_array(name, value, remedy)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iuf" or isinstance(value, bytearray | memoryview):
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    for place in sorted({int(array.argmin()), int(array.argmax())}):  # the first nan is both
        bound.check(f"{name} of node {place}", array[place].item())
    return array.astype(np.float64)


NON_NEGATIVE, POSITIVE = Bound(), Bound(exclusive=True)
PROBABILITY = Bound(0.0, 1.0, exclusive=True)
FRACTION = Bound(0.0, 1.0, below=True)
SHARE = Bound(0.0, 1.0)
SECONDS = Bound(0.0, 2.0**31)
"""As far as a clock of a network counts: 68 years."""


def check_scale(name: str, value: Any) -> float:
    """Return ``value`` as a finite float of at least 0 whose square is finite in float32, or raise a ValueError.

    >>> check_scale("noise", 1e20)
    Traceback (most recent call last):
    ...
    ValueError: noise is 1e+20; give at most 1e+15, whose square a float32 holds
    """
    if (number := check_number(name, value)) > MAX_SCALE:
        raise ValueError(f"{name} is {short(value)}; give at most {MAX_SCALE:g}, whose square a float32 holds")
    return number


def check_target(name: str, value: Any, given: Any = None) -> float:
    """Return ``value`` as a float, or raise a ValueError unless it is a finite number, which a run can reach.

    >>> check_target("target", float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: target is nan; give a finite number to reach
    """
    number = plain(value)
    kind, real, none = type(number), int | float | np.integer | np.floating, bool | np.timedelta64
    if not issubclass(kind, real) or issubclass(kind, none) or not _is_finite(number):
        raise ValueError(f"{name} is {short(value if given is None else given)}; give a finite number to reach")
    return float(number)


def _is_finite(value: Any) -> bool:
    """Whether a number is a finite float, an integer or a longer float of any size included."""
    return -MAX_FLOAT <= value <= MAX_FLOAT if isinstance(value, int) else bool(np.isfinite(float(value)))


def check_kind(name: str, value: Kind, kind: type[Any], remedy: str) -> Kind:
    """Return ``value`` if it is a ``kind``, or raise a ValueError.

    >>> check_kind("name", 3, str, "give a text")
    Traceback (most recent call last):
    ...
    ValueError: name is 3; give a text
    """
    if not is_kind(value, kind):
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    return plain(value)


def check_mapping(name: str, value: Any, remedy: str) -> dict[Any, Any]:
    """Return a mapping as a dictionary, or raise a ValueError.

    >>> check_mapping("labels", ["loss"], "give a mapping of columns to texts")
    Traceback (most recent call last):
    ...
    ValueError: labels is ['loss']; give a mapping of columns to texts
    """
    try:
        if is_kind(value, Mapping):
            return {plain(key): one for key, one in dict(value).items()}
    except Exception as error:  # of a user's class
        raise ValueError(f"{name} is {short(value)}, which cannot be read as a mapping; {remedy}") from error
    raise ValueError(f"{name} is {short(value)}; {remedy}")


def check_list(name: str, value: Any, remedy: str, ordered: bool = True) -> list[Any]:
    """Return several values as a list, or raise a ValueError where it is one value, a text or, if ordered, a mapping.

    >>> check_list("candidates", 5, "give a list of integers")
    Traceback (most recent call last):
    ...
    ValueError: candidates is 5; give a list of integers
    """
    one = is_kind(value, str | bytes | bytearray | memoryview) or not is_kind(value, Iterable)
    one = one or (ordered and is_kind(value, Mapping | set))
    try:
        one = one or (type(value) is range and len(value) > MOST)  # which takes long to list
        if not (one or getattr(value, "ndim", 1) < 1):
            listed = list(itertools.islice(value, MOST + 1))  # some have no end, and a length may be a lie
            if len(listed) <= MOST:
                return listed
    except Exception as error:  # of a user's class
        raise ValueError(f"{name} is {short(value)}, which cannot be read as a list; {remedy}") from error
    raise ValueError(f"{name} is {short(value)}; {remedy}")


def check_array(name: str, value: Any, remedy: str) -> NDArray[Any]:
    """Return ``value`` as an array, or raise a ValueError where it is none, or its rows differ in length.

    >>> check_array("labels", [[1], [1, 2]], "give integers")
    Traceback (most recent call last):
    ...
    ValueError: labels is [[1], [1, 2]], which is no array of numbers or texts; give integers
    """
    if is_kind(value, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array, whose mask would be lost; {remedy}")
    try:
        array = np.asarray(value if _ends(value) else None)
    except Exception:  # ragged, or of a user's class
        array = np.asarray(None)
    if array.dtype == object:
        raise ValueError(f"{name} is {short(value)}, which is no array of numbers or texts; {remedy}")
    return array


def _ends(value: Any) -> bool:
    """Whether the first item of the first item, and so on, is one at last: NumPy would look for it without end."""
    for _ in range(MAX_AXES):
        if isinstance(value, str | bytes) or attribute(value, "__array__") or not attribute(value, "__getitem__"):
            return True
        if not len(value):
            return True
        value = value[0]
    return False


def check_path(name: str, value: Any, remedy: str = "give the path of a folder") -> str:
    """Return a path as a text, or raise a ValueError where it is none, or no UTF-8.

    >>> check_path("path", 3)
    Traceback (most recent call last):
    ...
    ValueError: path is 3; give the path of a folder
    """
    try:
        path = str.__str__(os.fspath(value))
        fits = bool(path.encode("utf-8")) and "\0" not in path
    except Exception:  # none, or of a user's class, or letters that not all who write files take
        fits = False
    if not fits:
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    if len(path) > MAX_PATH or len(parts := Path(path).parts) > MAX_PARTS or max(map(len, parts), default=0) > MAX_PART:
        told = f"{short(value)} that begins with {path[:40]!r} and is longer than a path may be"
        raise ValueError(f"{name} is {told}; {remedy}")
    return path


def check_name(kind: str, name: Any, known: Iterable[str]) -> Any:
    """Return ``name`` if it is one of ``known``, or raise a ValueError, with the nearest of them where one is near.

    >>> check_name("topology", "rign", ["ring", "torus"])
    Traceback (most recent call last):
    ...
    ValueError: unknown topology 'rign'; did you mean 'ring'? Known: ring, torus
    """
    known, given = sorted(known), plain(name)
    if type(given) is not str:
        given = short(name)
    elif given in known:
        return given
    nearest = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]!r}? Known" if nearest else "give one of"
    raise ValueError(f"unknown {kind} {short(name)}; {hint}: {', '.join(known)}")
