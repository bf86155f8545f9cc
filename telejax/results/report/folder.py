"""What a folder holds: the subject of its report, whatever command or method wrote it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from telejax.errors import check_path, short
from telejax.results.checksums import check_checksums, is_sealed
from telejax.results.files import OF_READERS
from telejax.results.report.advised import check_advice
from telejax.results.report.subject import (
    FIRST,
    X_AXES,
    Subject,
    of_advice,
    of_comparison,
    of_result,
    of_search,
    of_sweep,
)

REMEDY = "give a folder of telejax compare, search, sweep or advise, or of result.save(...)"
NEEDED = {
    "comparison": ("method", "tuned", "seed", "round", "diverged"),
    "search": ("active", "learning_rate", "loss", "loss_slots", "seed", "round", "diverged"),
    "sweep": ("method", "seed", "round", "diverged"),
}
"""Columns without which a history is not that of a study."""


def read_folder(path: str, argument: str = "path") -> Subject:
    """The subject of a folder.

    Raises:
        ValueError: a folder that holds no result (with what is missing), or a file that cannot be read.
    """
    folder = Path(check_path(argument, path, REMEDY))
    told = f"{argument} is {str(path)!r}"
    if not folder.is_dir():
        raise ValueError(f"{told}, which is no folder; {REMEDY}")
    if (folder / "params.msgpack").exists():
        from telejax.results.result import load

        try:
            found = load(folder)
        except ValueError as error:
            raise ValueError(f"{argument}{str(error).removeprefix('path')}") from error
        return of_result(found.history, found.config)
    if (folder / "spec.json").exists():
        return _sweep(folder, told)
    missing = [name for name in ("history.parquet", "config.json") if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{told}, which has no {' and no '.join(missing)}; {REMEDY}")
    if all((folder / name).is_file() for name in ("history.parquet", "config.json")):
        check_checksums(folder, ("history.parquet", "config.json"), told, REMEDY)
    history, config = _table(folder / "history.parquet", told), _config(folder / "config.json", told)
    if "algorithm" in config:
        raise ValueError(f"{told}, which has no params.msgpack; {REMEDY}")
    _check_nodes(config, told)
    kind = "comparison" if "method" in history.columns else "search"
    _check_columns(history, kind, f"{told}, whose history.parquet")
    if "advice" in config:
        check_advice(config["advice"], f"{told}, whose config.json")
        return _made(of_advice, history, config, told)
    if kind == "search" and not {"objective", "best", "tuned"} <= config.keys():
        raise ValueError(f"{told}, whose config.json is neither that of a comparison nor of a search; {REMEDY}")
    return _made(of_comparison if kind == "comparison" else of_search, history, config, told)


def _sweep(folder: Path, told: str) -> Subject:
    if not (folder / "table.parquet").exists():
        raise ValueError(f"{told}, a sweep without table.parquet: it is not finished; run telejax sweep again")
    if (folder / "table.parquet").is_file() and is_sealed(folder / "table.parquet") is False:
        raise ValueError(f"{told}, whose table.parquet is not what the sweep wrote; run telejax sweep again")
    table, config = _table(folder / "table.parquet", told), _config(folder / "spec.json", told)
    _check_columns(table, "sweep", f"{told}, whose table.parquet")
    return _made(of_sweep, table, config, told)


def _made(make: Callable[..., Subject], history: pl.DataFrame, config: dict[str, Any], told: str) -> Subject:
    """The subject, or a ValueError where a config holds other things than telejax writes."""
    try:
        return make(history, config)
    except (AttributeError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{told}, whose files are not as telejax wrote them ({error!r}); {REMEDY}") from error


def _table(file: Path, told: str) -> pl.DataFrame:
    try:
        if not file.is_file():  # it may never end
            raise OSError("it is no regular file")
        return pl.read_parquet(io.BytesIO(file.read_bytes()))  # a path would be a pattern
    except OF_READERS as error:
        raise ValueError(
            f"{told}, whose {file.name} cannot be read: {error or type(error).__name__}; {REMEDY}"
        ) from error


def _config(file: Path, told: str) -> dict[str, Any]:
    try:
        if file.exists() and not file.is_file():  # it may never end
            raise OSError("it is no regular file")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{told}, whose {file.name} cannot be read: {error}; {REMEDY}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{told}, whose {file.name} holds no table of names and values; {REMEDY}")
    return found


def _check_columns(history: pl.DataFrame, kind: str, told: str) -> None:
    """Refuse a history that has not the columns of its kind, or other things than numbers in them."""
    if missing := [name for name in NEEDED[kind] if name not in history.columns]:
        raise ValueError(f"{told} has no {' and no '.join(missing)}; {REMEDY}")
    if not history.height:
        raise ValueError(f"{told} has no rows; {REMEDY}")
    kinds = dict(history.schema)
    counted = [name for name in ("round", "seed", "nodes", "active") if name in kinds and not kinds[name].is_integer()]
    measured = [name for name in (*X_AXES, *FIRST) if name in kinds and not _holds_numbers(kinds[name])]
    if strange := list(dict.fromkeys([*counted, *measured])):
        raise ValueError(f"{told} has no numbers in {' and '.join(strange)}; {REMEDY}")
    flags = [name for name in ("diverged", "tuned") if name in NEEDED[kind]]
    empty = {pl.Null} if kind == "sweep" else set()  # where no cell has run to its end
    if wrong := [name for name in flags if history.schema[name] not in {pl.Boolean, *empty}]:
        raise ValueError(f"{told} has no true or false in {' and '.join(wrong)}; {REMEDY}")
    if kind == "comparison" and not history["tuned"].any():
        raise ValueError(f"{told} has no row that is tuned; {REMEDY}")


def _holds_numbers(kind: Any) -> bool:
    return bool(kind.is_numeric()) or kind == pl.Null


def _check_nodes(config: dict[str, Any], told: str) -> None:
    """Refuse a number of nodes, or a list of them, that is none."""
    nodes = config.get("nodes", 1)
    given = nodes if isinstance(nodes, list) else [nodes]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in given):
        raise ValueError(f"{told}, whose config.json has 'nodes': {short(nodes)}, no number of nodes; {REMEDY}")
