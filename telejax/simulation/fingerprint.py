"""What was run, as a flat table of plain values, so that a changed configuration can be told apart and named."""

import dataclasses
import enum
import functools
import types
from collections.abc import Collection, Mapping

import jax
import numpy as np

from telejax.backend.shapes import is_deleted
from telejax.simulation.own_code import (
    RULES,
    digest,
    digest_of,
    full_name,
    instructions,
    is_own_class,
    parts_of_class,
    read_by,
)

SHOWN = 3  # differences that an error lists
DEEPEST = 50  # of what code leads to

LEAVES = (bool, int, float, complex, str, bytes, jax.Array, np.ndarray, np.generic)

Plain = bool | int | float | str | None


def fingerprint(value: object, name: str = "", strict: bool = True) -> dict[str, Plain]:
    """Describe ``value`` as dotted name to number, text or digest, the same in every process.

    Dataclasses, mappings, sequences and other objects are taken apart, arrays are digests of their bytes, functions
    their names, a digest of their code, their defaults, what they enclose, and the plain values that they read from
    their module. What a function of the user reads from a module is followed: other functions, classes, settings; of
    objects whose class the user wrote, the functions of the class are compared likewise. This is as far as they can
    be compared: what is imported or looked up inside a function is not seen.

    Raises:
        ValueError: something in it can be compared in no way, and this is ``strict``; else it goes by its class.

    >>> fingerprint({"rate": 0.1, "sizes": (4, 8)})
    {'rate': 0.1, 'sizes.0': 4, 'sizes.1': 8}
    """
    return dict(_walk(value, name, (), {}, strict))


def changed(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """What a run itself has changed of what its code reads: counters, logs and caches, which are no settings.

    >>> changed({"loss.read_COUNT.0": 0, "rounds": 5}, {"loss.read_COUNT.0": 2, "rounds": 5})
    ['loss.read_COUNT.0']
    """
    names = _differing(before, now)
    return sorted({name if name in before and name in now else _holder(name) for name in names})


def _differing(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """Names of what is not the same: as numbers, and 0.0 is another one than -0.0."""
    alike = lambda old, new: repr(old) == repr(new) if isinstance(old, float) and isinstance(new, float) else old == new
    return [
        name
        for name in {**before, **now}
        if name not in before or name not in now or not alike(before[name], now[name])
    ]


def _holder(name: str) -> str:
    """What holds a member that came or went: at most what was read from a module last."""
    head, read, rest = name.rpartition("read_")
    inside = rest.rpartition(".")[0] or rest
    return head + read + inside if read else name


def without(found: Mapping[str, Plain], roots: Collection[str]) -> dict[str, Plain]:
    """A fingerprint without what these lead to."""
    return {name: value for name, value in found.items() if not any(f"{name}.".startswith(f"{one}.") for one in roots)}


def described(network: object) -> dict[str, Plain] | None:
    """What a network has, in plain values, to be told and not compared; None for an ideal one."""
    if network is None:
        return None
    return {name: one for name, one in fingerprint(network, strict=False).items() if one is not None}


def difference(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> str:
    """What differs between two fingerprints, in words; empty where nothing does.

    >>> difference({"rate": 0.1, "rounds": 5}, {"rate": 0.2, "rounds": 5})
    'rate was 0.1 and is 0.2'
    """
    absent = "absent"
    names = _differing(before, now)
    told = [f"{name} was {before.get(name, absent)} and is {now.get(name, absent)}" for name in names[:SHOWN]]
    return "; ".join(told + ([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []))


def _walk(
    value: object, name: str, above: tuple[int, ...], met: dict[int, object], strict: bool
) -> list[tuple[str, Plain]]:
    """The pairs of a value.

    Args:
        value: to be described.
        name: before all names.
        above: the identities of what the value is inside of.
        met: the objects that the user's code has led to, each of which is described once.
        strict: whether what can be compared in no way is an error; it is not where code led to the value.
    """
    if id(value) in above:  # a function that encloses itself
        return [(name, f"{above[::-1].index(id(value)) + 1} above")]
    if not strict and (id(value) in met or len(above) > DEEPEST):
        return [(name, full_name(value if hasattr(value, "__qualname__") else type(value)))]
    parts = _parts(value)
    if not strict and parts is None and _is_opaque(value):
        parts = _slots(value) or None
    if not strict and parts is not None and not isinstance(value, Mapping | list | tuple | set | frozenset):
        met[id(value)] = value
    join, inside = f"{name}." if name else "", (*above, id(value))
    if parts is None:
        found = [(name, _plain(value, name, strict))]
    else:
        found = [pair for key, part in parts for pair in _walk(part, f"{join}{key}", inside, met, strict)]
    for key, part in _code_of(value):
        found += _walk(part, f"{join}{key}", inside, met, strict=False)
    return found


def _code_of(value: object) -> list[tuple[str, object]]:
    """The code of the user that a value leads to: its class, or what a function reads from its module."""
    if isinstance(value, types.FunctionType):
        return [(f"read_{name}", one) for name, one in read_by(value).items()]
    if isinstance(value, type) or not is_own_class(type(value)):
        return []
    apart = isinstance(value, Mapping | list | tuple | set | frozenset) or _parts(value) is None
    also = dict(vars(value)) if apart and hasattr(value, "__dict__") else {}  # of a subclass of list or float
    if not dataclasses.is_dataclass(value):
        also |= dict(_slots(value))
    return [("class", type(value)), *also.items()]


def _slots(value: object) -> list[tuple[str, object]]:
    """What an object keeps in ``__slots__``."""
    named = [(one, str(name)) for one in type(value).__mro__ for name in np.atleast_1d(vars(one).get("__slots__", ()))]
    return [(name, getattr(value, _stored_as(name, one), None)) for one, name in named]


def _is_opaque(value: object) -> bool:
    """Whether an object says nothing of itself but where it is, another place in every process."""
    simple = _is_leaf(value) or isinstance(value, type | types.ModuleType | types.BuiltinFunctionType)
    return not simple and " at 0x" in repr(value)


def _stored_as(name: str, kind: type) -> str:
    """The attribute of a slot: Python writes the class before a name of two underscores."""
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name


def _parts(value: object) -> list[tuple[str, object]] | None:
    """The named parts of a compound value, or None for a simple one."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(index), part) for index, part in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(str(index), part) for index, part in enumerate(sorted(value, key=repr))]
    if isinstance(value, functools.partial):
        return [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
        return [("type", type(value).__qualname__), *fields]
    if isinstance(value, types.MethodType):
        return [("function", value.__func__), ("self", value.__self__)]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value)
    if isinstance(value, type) and is_own_class(value):
        return parts_of_class(value)
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType | enum.Enum | np.dtype | np.ufunc):
        return None
    if _is_leaf(value):
        return None
    if (inner := getattr(value, "__wrapped__", None)) is not None:  # of a jitted function
        rules = [(name, rule) for name in RULES if (rule := getattr(value, name, None)) is not None]
        return [("type", type(value).__qualname__), ("wrapped", inner), *rules]
    if own := getattr(value, "__dict__", None):
        return [("type", type(value).__qualname__), *own.items()]
    return None


def _parts_of_function(function: types.FunctionType) -> list[tuple[str, object]]:
    code = function.__code__
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    read = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    return [
        ("function", f"{function.__module__}.{function.__qualname__}"),
        ("code", digest(repr(instructions(code)).encode())),
        *{"defaults": function.__defaults__, "keywords": function.__kwdefaults__}.items(),
        *((f"enclosed_{name}", _content(cell)) for name, cell in cells.items()),
        *((f"read_{name}", value) for name, value in read.items() if _is_leaf(value)),
    ]


def _content(cell: types.CellType) -> object:
    """What a cell encloses; None for a variable that was not assigned."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _is_leaf(value: object) -> bool:
    """Whether this is a plain value, an array or a key."""
    return value is None or isinstance(value, LEAVES)


def _plain(value: object, name: str, strict: bool) -> Plain:
    """What a simple value is compared by; unless this is ``strict``, one that has nothing goes by its class."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.core.Tracer) or is_deleted(value):  # which a function has left behind
        return full_name(jax.Array)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        array = np.asanyarray(value)
        if array.ndim == 0 and isinstance(number := array.item(), bool | int | float | str):
            return number
        return f"{array.dtype}{array.shape} {digest_of(array)}"
    if isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        return full_name(value)
    text = repr(value)
    if " at 0x" in text and not strict:
        return full_name(type(value))
    if " at 0x" in text:  # an address, another one in every process
        raise ValueError(
            f"checkpoint cannot tell whether {name} is the same when the run goes on: it is {text}, of which nothing "
            "can be compared; make it a function, or a dataclass of plain values and arrays"
        )
    return text
