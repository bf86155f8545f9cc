"""The code that a user wrote, which a fingerprint compares too: which it is, of what it is made, what it reads."""

import dis
import functools
import hashlib
import sys
import types
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from telejax.backend.shapes import is_deleted

LIBRARIES = {"telejax", "jax", "jaxlib", "flax", "optax", "numpy"}
"""Never the user's, wherever they are installed; others are told by their folder."""

INSTALLED = {"site-packages", "dist-packages"}

CONTAINERS = (list, tuple, set, frozenset, deque, memoryview, Mapping, types.SimpleNamespace)
RULES = ("fwd", "bwd", "jvp")
"""What jax.custom_vjp and jax.custom_jvp hold beside the function."""

NESTED, MOST = 20, 1000
"""Lists within lists whose content is compared, and members of a list that are compared one by one."""


def is_own_class(kind: type) -> bool:
    """Whether a class is the user's own, and neither telejax's nor of an installed library or of Python.

    >>> is_own_class(type("Task", (), {"__module__": "my_tasks"})), is_own_class(Path)
    (True, False)
    """
    return is_own_module(kind.__module__)


def read_by(function: types.FunctionType) -> dict[str, object]:
    """What a function reads from its module and may change what it does, by name; see :func:`_compared_as`.

    Names that a module of the user has are followed through it. Nothing for a function of a library.

    >>> sorted(read_by(lambda: (is_own_class, MOST)))  # telejax's own
    []
    """
    if not is_own_module(str(function.__module__)):
        return {}
    codes = list(_codes(function.__code__))
    steps = [step for code in codes for step in dis.get_instructions(code)]
    names = dict.fromkeys(step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    attributes = dict.fromkeys(name for code in codes for name in code.co_names)
    return dict(_followed(function.__globals__, names, attributes)) | dict(vars(function))


def _codes(code: types.CodeType) -> Iterable[types.CodeType]:
    """A function's code and that of the functions inside it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)


def instructions(code: types.CodeType) -> list[object]:
    """What a function does, without where it was written and what its docstring says, the same in every process.

    >>> def one(x): return x + 1
    >>> def two(x):
    ...     "The next number."
    ...     return x + 1
    >>> instructions(one.__code__) == instructions(two.__code__)
    True
    """
    steps = [
        (step.opname, _constant(step.argval) if step.opcode in dis.hasconst else step.arg)
        for step in dis.get_instructions(code)
    ]
    return [*steps, code.co_names, code.co_varnames]


def _constant(value: object) -> object:
    if isinstance(value, types.CodeType):
        return instructions(value)
    if isinstance(value, tuple):
        return tuple(_constant(one) for one in value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)  # as in every process


def _followed(
    scope: Mapping[str, object], names: Iterable[str], attributes: Iterable[str], above: tuple[str, ...] = ()
) -> Iterable[tuple[str, object]]:
    """The pairs of a module's names; where one is a module of the user, those of its attributes."""
    for name in names:
        if name not in scope:
            continue
        value = scope[name]
        if not isinstance(value, types.ModuleType):
            yield ".".join((*above, name)), _compared_as(value)
        elif name in above or not is_own_module(value.__name__):
            yield ".".join((*above, name)), value.__name__
        else:
            yield from _followed(vars(value), attributes, attributes, (*above, name))


def _compared_as(value: Any, depth: int = 0) -> object:
    """What of a value that a function reads is compared: the user's code and objects whole, of libraries a name.

    Graphs and tables of data are compared by their content.
    """
    again = functools.partial(_compared_as, depth=depth + 1)
    if depth > NESTED:
        return type(value).__qualname__
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list | tuple | set | frozenset | deque) and not is_own_class(type(value)):
        members = [again(one) for one in value]
        members = sorted(members, key=_text) if isinstance(value, set | frozenset) else members
        return tuple(members) if len(members) <= MOST else f"{len(members)} members {digest_of(members)}"
    if isinstance(value, Mapping) and not is_own_class(type(value)):
        made = {"default": again(value.default_factory)} if isinstance(value, defaultdict) else {}
        return {_key(key): again(one) for key, one in value.items()} | made
    if _is_graph(value):
        keys = {"keys": True} if value.is_multigraph() else {}
        edges = list(value.edges(data=True, **keys))
        return (type(value).__qualname__, *map(again, (value.graph, dict(value.nodes(data=True)), edges)))
    if isinstance(value, types.FunctionType):
        closed = value.__closure__ is not None or is_own_module(str(value.__module__))
        return value if closed else full_name(value)
    if isinstance(value, types.MethodType | functools.partial | types.SimpleNamespace) or is_own_class(type(value)):
        return value
    if isinstance(value, type):
        return value if is_own_class(value) else full_name(value)
    if (inner := getattr(value, "__wrapped__", None)) is not None:  # of a jitted function
        rules = [again(rule) for name in RULES if (rule := getattr(value, name, None)) is not None]
        return (again(inner), *rules) if rules else again(inner)
    if is_dataclass(value) or _is_constant(value):
        return value
    if hasattr(value, "__array__"):  # a table or a series
        index = getattr(value, "index", None)  # of pandas
        rows = None if index is None or callable(index) else digest_of(np.asarray(index))
        names = [*map(str, getattr(value, "columns", ())), str(getattr(value, "name", ""))]
        return (type(value).__qualname__, names, rows, digest_of(np.asanyarray(value)))
    return full_name(value) if hasattr(value, "__qualname__") else value


def _key(key: object) -> object:
    """The key of a mapping, as every process has it."""
    if _is_constant(key) or key is None:
        return key
    return full_name(key) if isinstance(key, type) else _text(key)


def _text(value: object) -> str:
    """A value as a text without addresses, arrays by their bytes."""
    if isinstance(value, jax.core.Tracer) or is_deleted(value):
        return "jax.Array"
    if isinstance(value, np.ndarray | jax.Array):
        return digest_of(np.asarray(value))
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, Mapping):
        return f"({', '.join(f'{_text(key)}: {_text(one)}' for key, one in value.items())})"
    if isinstance(value, types.FunctionType):
        return f"{full_name(value)} {instructions(value.__code__)} {value.__defaults__}"
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def digest_of(value: np.ndarray | list[object]) -> str:
    """A digest of an array of numbers and its mask, or of the texts of all members."""
    if isinstance(value, np.ma.MaskedArray):
        return digest_of(np.asarray(value)) + digest_of(np.ma.getmaskarray(value))
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        content = np.ascontiguousarray(value).tobytes()
    else:
        members = value.ravel().tolist() if isinstance(value, np.ndarray) else value
        content = "\n".join(_text(one) for one in members).encode()
    return digest(content)


def full_name(value: object) -> str:
    """The full name of a class or a function, also of one of C."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    return f"{getattr(value, '__module__', type(value).__module__)}.{name}"


def digest(content: bytes) -> str:
    """A short digest of bytes."""
    return hashlib.sha256(content).hexdigest()[:12]


def parts_of_class(kind: type) -> list[tuple[str, object]]:
    """The named parts of a class of the user: its bases, its functions, and the plain values that it holds.

    What a dataclass or a library writes into a class by itself is left out.
    """
    fields = vars(kind).get("__dataclass_fields__", {})
    given = [(name, one) for name, field in fields.items() for one in (field.default, field.default_factory)]
    defaults = {name: _compared_as(one) for name, one in given if one is not MISSING}
    written = {name: one for name, one in vars(kind).items() if name not in fields}
    members = {name: _compared(one) for name, one in written.items() if name[:2] != "__" or not _is_constant(one)}
    return [
        ("name", f"{kind.__module__}.{kind.__qualname__}"),
        ("bases", kind.__bases__),
        *([("metaclass", type(kind))] if is_own_class(type(kind)) else []),
        ("defaults", defaults),
        *((name, one) for name, one in members.items() if one is not None),
    ]


def _compared(member: object) -> object:
    """What of a member of a class is compared, without the descriptors and wrappers of libraries; None for nothing."""
    if isinstance(member, property):
        return _compared(member.fget)
    if isinstance(member, staticmethod | classmethod):
        return _compared(member.__func__)
    if isinstance(member, functools.partialmethod):
        return (_compared(member.func), _compared_as(member.args), _compared_as(member.keywords))
    if isinstance(member, CONTAINERS) or _is_graph(member) or hasattr(member, "__array__"):
        return _compared_as(member)
    if isinstance(member, types.FunctionType):
        if "__create_fn__" in member.__code__.co_qualname:  # of a dataclass
            return None
        if is_own_module(member.__globals__.get("__name__", "builtins")):
            return member
        inner = member.__dict__.get("__wrapped__")
        return f"{member.__module__}.{member.__qualname__}" if inner is None else _compared(inner)
    if isinstance(member, type | functools.partial) or is_dataclass(member) or _is_constant(member):
        return member
    if is_own_class(type(member)):
        return member
    if any(getattr(member, rule, None) is not None for rule in RULES) or not hasattr(type(member), "__get__"):
        return _compared_as(member)  # a function with rules, or an object of a library
    held = getattr(member, "__dict__", {})  # of a jitted function, or of a descriptor such as functools.cached_property
    if "__wrapped__" in held:
        return _compared(held["__wrapped__"])
    return [one for one in map(_compared, held.values()) if one is not None and not _is_constant(one)] or None


def _is_graph(value: Any) -> bool:
    """Whether this is a graph of networkx, which is not imported for it."""
    library = sys.modules.get("networkx")
    return library is not None and isinstance(value, library.Graph)


def _is_constant(value: object) -> bool:
    """Whether this is a plain value, an array, or a tuple of some."""
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, bool | int | float | complex | str | bytes | np.ndarray | np.generic | jax.Array)


def is_own_module(name: str) -> bool:
    """Whether a module is the user's own."""
    root = name.partition(".")[0]
    if root in LIBRARIES or root.startswith("namedtuple_"):  # which Python writes
        return False
    if root != "__main__" and root in sys.stdlib_module_names:
        return False
    modules = (sys.modules.get(one) for one in (name, root))
    file = next((path for one in modules if (path := getattr(one, "__file__", None))), "")
    return not INSTALLED.intersection(Path(file).parts)
