"""TOML files whose errors name a line, which their parser tells of syntax alone."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from telejax.errors import check_path

Where = Callable[[str, int, str], str]
"""Table, its number among those of its name, key (or "" for the table itself) -> where it stands in the file."""


def read_toml(argument: str, path: str | os.PathLike[str], otherwise: str = "") -> tuple[dict[str, Any], Where]:
    """The tables of a file, and where their keys stand in it.

    Args:
        argument: what the path was given as, for errors.
        path: of the file.
        otherwise: what else may be given in place of the path.

    Raises:
        ValueError: no path, no file, no TOML.
    """
    path = check_path(argument, path, f"give the path of a TOML file{otherwise}")
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise OSError("it is no regular file")
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise ValueError(f"{argument} is {str(path)!r}, which cannot be read: {told}; give a TOML file") from error
    try:
        tables = tomllib.loads(text)
    except ValueError as error:  # of the syntax, or of an integer with more digits than Python reads
        raise ValueError(f"{path} is not TOML: {error}; write [tables] of key = value, as docs/how_to shows") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deep; give the tables that docs/how_to shows") from None
    return tables, lines(text, tables, str(path))


def named(table: str, key: str) -> str:
    """What a key is called in errors.

    >>> named("links", "latency"), named("links", ""), named("", "rounds")
    ('[links] latency', '[links]', 'rounds')
    """
    return f"[{table}] {key}".strip() if table else key


def lines(text: str, tables: Mapping[str, Any], path: str) -> Where:
    """Where keys stand, found by looking for them below the header of their table.

    Of a key of an inline table, or one with dots before it, the line on which that table begins is told.

    >>> where = lines("rounds = 3\\n[links]\\nwithin = {latency = 1}", {"links": {}}, "a.toml")
    >>> where("", 0, "rounds"), where("links.within", 0, "latency")
    ('a.toml, line 1, rounds', 'a.toml, line 3, [links.within] latency')
    >>> where("", 0, "")
    'a.toml'
    """
    found: dict[tuple[str, int, str], int] = {}
    table, counts = "", {"": 0}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?([^\[\]=]+)\]\]?\s*(#.*)?$", line)
        name = re.sub(r"[\s\"']", "", header[1]) if header else ""
        if header and _is_table(name, tables):
            table = name
            counts[table] = counts.get(table, -1) + 1
            found.setdefault((table, counts[table], ""), number)
        elif key := re.match(r"""\s*(?:([\w-]+)|"([^"]+)"|'([^']+)')\s*[.=]""", line):
            found.setdefault((table, counts[table], key[1] or key[2] or key[3]), number)

    def where(table: str, number: int, key: str) -> str:
        line, parent, last = found.get((table, number, key)), table, key
        while line is None and parent:
            line = found.get((parent, number, ""))
            parent, _, last = parent.rpartition(".")
            line = line or found.get((parent, number, last))
        return ", ".join(one for one in (path, "" if line is None else f"line {line}", named(table, key)) if one)

    return where


def _is_table(name: str, tables: Any) -> bool:
    """Whether there is a table of this name, and not one row of an array that is written over several lines."""
    for part in name.split("."):
        tables = tables[-1] if isinstance(tables, list) and tables else tables
        if not isinstance(tables, Mapping) or part not in tables:
            return False
        tables = tables[part]
    return True
