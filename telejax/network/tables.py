"""Tables of nodes and links from CSV files; whatever is wrong is named with its file and line."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from telejax.backend.plain_numbers import is_plain_number
from telejax.errors import Bound, check_path, short

MAX_NODE = 2**31 - 2


@dataclass(frozen=True)
class Rows:
    """The rows of a file, column by column."""

    lines: list[int]
    """Where each row stands in the file, from 1."""
    columns: dict[str, list[Any]]


def read_table(path: str | os.PathLike[str], nodes: Mapping[str, type[int]], numbers: Mapping[str, Bound]) -> Rows:
    """Read columns of node numbers and columns of bounded numbers.

    Raises:
        ValueError: no rows, a missing column, a value out of its range, with file and line.
        OSError: the file cannot be read.
    """
    file = check_path("path", path, "give the path of a CSV file")
    if os.path.exists(file) and not os.path.isfile(file):  # polars joins the files of a folder; a pipe may never end
        raise ValueError(f"path is {file!r}, which is no regular file; give the path of a CSV file")
    try:
        # of bytes: polars takes * and [1] in a path for patterns, and what looks like an address for one
        table = pl.read_csv(Path(file).read_bytes(), infer_schema=False, truncate_ragged_lines=False)
    except OSError as error:
        told = f"path is {file!r}, which cannot be read: {error.strerror or error}; give the path of a CSV file"
        raise type(error)(told) from error
    except pl.exceptions.PolarsError as error:
        told = str(error).splitlines()[0] if str(error) else "it is empty"
        raise ValueError(f"{file} cannot be read as a CSV file: {told}; give comma-separated columns") from error
    wanted = [*nodes, *numbers]
    _check_header(file, table, wanted)
    if missing := [name for name in wanted if name not in table.columns]:
        raise ValueError(
            f"{file} has no column {', '.join(missing)}, but {short(table.columns)}; give {', '.join(wanted)}"
        )
    if not len(table):
        raise ValueError(f"{file} has no rows below its header; give one a line")
    lines = list(range(2, len(table) + 2))
    read: dict[str, Callable[[str, str], Any]] = dict.fromkeys(nodes, _node)
    for name, bound in numbers.items():
        read[name] = lambda called, text, bound=bound: bound.check(called, _number(called, text))  # type: ignore[misc]
    columns = {
        name: [_of_line(file, line, name, text, reader) for line, text in zip(lines, table[name], strict=True)]
        for name, reader in read.items()
    }
    return Rows(lines, columns)


def _check_header(file: str, table: pl.DataFrame, wanted: Sequence[str]) -> None:
    """Raise a ValueError where the header has a column twice, or one more than the rows."""
    for name in table.columns:
        if (twice := re.fullmatch(r"(.*)_duplicated_\d+", name)) and twice[1] in table.columns:
            raise ValueError(f"{file}, line 1: column {twice[1]} is given twice; give it once")
    last = table.columns[-1]
    if len(table) and last not in wanted and table[last].null_count() == len(table):
        raise ValueError(f"{file}, line 1: column {last} has no value in any row; leave it out")


def check_size(name: str, present: int, nodes: int) -> None:
    """Raise a ValueError where a network has fewer nodes than the task; of more, the task has the first."""
    if present < nodes:
        raise ValueError(f"{name} is of {present} nodes, and the task has {nodes}; give those of all nodes")


def _of_line(file: str, line: int, name: str, text: str | None, read: Callable[[str, str], Any]) -> Any:
    try:
        return read(name, "" if text is None else text.strip())
    except ValueError as error:
        raise ValueError(f"{file}, line {line}: {error}") from error


def _node(name: str, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,10}", text) is None or int(text) > MAX_NODE:
        raise ValueError(f"{name} is {short(text)}; give the number of a node, from 0")
    return int(text)


def _number(name: str, text: str) -> float:
    if not is_plain_number(text):
        raise ValueError(f"{name} is {short(text)}; give a number")
    return float(text)
