"""What a saved result must hold."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from telejax.errors import is_kind, short

OF_CONFIG = {"algorithm": str, "nodes": int, "seeds": list, "tune": dict, "higher_is_better": dict, "labels": dict}
"""What a config holds, as far as it does; the last three may be null."""

COUNTED, WHOLE = ("round", "seed", "group"), ("round", "seed", "group", "diverged")
"""Columns of integers, and those without a gap."""

REMEDY = "give the folder of a result.save(...)"


def tuned_columns(config: Mapping[str, Any]) -> list[str]:
    """The columns of the numbers that may differ between runs, ``learning_rate`` first, from the config of a result."""
    return ["learning_rate", *(name for name in config.get("tune") or {} if name != "learning_rate")]


def check_has(name: str, given: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise a ValueError where a part of a result, its columns or its keys, lacks some."""
    if missing := sorted({*wanted}.difference(given)):
        raise ValueError(f"{name} has no {' and no '.join(missing)}; give that of simulate")


def check_parts(history: pl.DataFrame, config: Mapping[str, Any]) -> None:
    """Raise a ValueError where a history or a config is none of a result."""
    if fault := _kinds_fault(config):
        raise ValueError(f"config {fault}; give that of simulate")
    if fault := _history_fault(history, tuned_columns(config)):
        raise ValueError(f"history {fault}; give that of simulate")


def check_saved(history: pl.DataFrame, config: Mapping[str, Any], params: Any, folder: Path) -> None:
    """Raise a ValueError, which names the file, unless what was read is a result that can be looked at."""
    for name, fault in (
        ("config.json", lambda: _config_fault(config)),
        ("history.parquet", lambda: _history_fault(history, tuned_columns(config))),
        ("params.msgpack", lambda: _params_fault(params, history, tuned_columns(config))),
    ):
        if told := fault():
            raise ValueError(f"path is {str(folder)!r}, whose {name} {told}; {REMEDY}")


def _config_fault(config: Mapping[str, Any]) -> str:
    """What is wrong with a config; empty where nothing is."""
    if not isinstance(config, dict) or not {"algorithm", "nodes"} <= config.keys():
        return "is not that of a result"
    return _kinds_fault(config)


def _kinds_fault(config: Mapping[str, Any]) -> str:
    """What of a config is of another kind than ``simulate`` writes, as far as it is there; empty where nothing is."""
    for name, kind in OF_CONFIG.items():
        value = config.get(name, kind())
        if not is_kind(value, kind) and not (value is None and name in ("tune", "higher_is_better", "labels")):
            return f"has {name!r}: {short(value)}, no {kind.__name__}"
    nodes: Any = config.get("nodes", 1)
    return f"has 'nodes': {nodes}, no number of nodes" if isinstance(nodes, bool) or nodes < 1 else ""


def _history_fault(history: pl.DataFrame, tuned: list[str]) -> str:
    """What is wrong with a history; empty where nothing is."""
    if missing := {"seed", *tuned, "group", "round", "diverged", "active"}.difference(history.columns):
        return f"has no {' and no '.join(sorted(missing))}"
    schema = history.schema
    numbers = all(schema[name].is_integer() for name in COUNTED) and schema.get("loss", pl.Null()).is_float()
    if not history.height:
        return "has no rows"
    if not numbers:
        return f"has no whole numbers in {', '.join(COUNTED)}, or no floats in loss"
    if schema["diverged"] != pl.Boolean:
        return "has no true or false in diverged"
    if gaps := [name for name in WHOLE if history[name].null_count()]:
        return f"has rows without {' and '.join(gaps)}"
    maybe_null = {*tuned, "diverged"}  # an optimizer without a step size has null in all rows
    fits = lambda name, kind: kind.is_numeric() or (name in maybe_null and kind in (pl.Null, pl.Boolean))
    if strange := [name for name, kind in schema.items() if not fits(name, kind)]:
        return f"has no numbers in {', '.join(strange)}"
    return ""


def _params_fault(params: Any, history: pl.DataFrame, tuned: list[str]) -> str:
    """What is wrong with the parameters; empty where nothing is."""
    if not isinstance(params, Mapping | np.ndarray) or not (leaves := jax.tree.leaves(params)):
        return "holds no parameters"
    runs = tuple(history.select(names).unique().height for names in (["seed"], tuned, ["group"]))
    for leaf in leaves:
        numbers = isinstance(leaf, np.ndarray) and jax.numpy.issubdtype(leaf.dtype, jax.numpy.number)
        if not numbers or leaf.shape[:3] != runs:
            told = f"{leaf.dtype} of shape {leaf.shape}" if isinstance(leaf, np.ndarray) else short(leaf)
            return f"has {told}, no numbers with the axes {runs} of seeds, settings and groups"
    return ""
