"""What was run, as a flat table of plain values, so that a changed configuration can be told apart and named."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping

import jax
import numpy as np

MAX_DEPTH = 12  # of nested objects; a cycle ends here
SHOWN = 3  # differences that an error lists

Plain = bool | int | float | str | None


def fingerprint(value: object, name: str = "") -> dict[str, Plain]:
    """Describe ``value`` as dotted name to number, text or digest, the same in every process.

    Dataclasses, mappings and sequences are taken apart, arrays are digests of their bytes, functions are their
    qualified names with what they enclose.

    >>> fingerprint({"rate": 0.1, "sizes": (4, 8)})
    {'rate': 0.1, 'sizes.0': 4, 'sizes.1': 8}
    """
    return dict(_walk(value, name, 0))


def difference(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> str:
    """What differs between two fingerprints, in words; empty where nothing does.

    >>> difference({"rate": 0.1, "rounds": 5}, {"rate": 0.2, "rounds": 5})
    'rate was 0.1 and is 0.2'
    """
    absent = "absent"
    names = [name for name in {**before, **now} if before.get(name, absent) != now.get(name, absent)]
    told = [f"{name} was {before.get(name, absent)} and is {now.get(name, absent)}" for name in names[:SHOWN]]
    return "; ".join(told + ([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []))


def _walk(value: object, name: str, depth: int) -> list[tuple[str, Plain]]:
    parts = _parts(value) if depth < MAX_DEPTH else None
    if parts is None:
        return [(name, _plain(value))]
    join = f"{name}." if name else ""
    return [pair for key, part in parts for pair in _walk(part, f"{join}{key}", depth + 1)]


def _parts(value: object) -> list[tuple[str, object]] | None:
    """The named parts of a compound value, or None for a simple one."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(index), part) for index, part in enumerate(value)]
    if isinstance(value, functools.partial):
        return [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
        return [("type", type(value).__qualname__), *fields]
    if enclosed := getattr(value, "__closure__", None):
        cells = [(f"enclosed_{i}", cell.cell_contents) for i, cell in enumerate(enclosed)]
        return [("function", _plain(value)), *cells]
    return None


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        array = np.asarray(value)
        if array.ndim == 0:
            return array.item()
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
        return f"{array.dtype}{array.shape} {digest}"
    return getattr(value, "__qualname__", type(value).__qualname__)
