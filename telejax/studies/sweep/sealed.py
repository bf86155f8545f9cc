"""Files of cells, each with a seal beside it: the digest of its bytes, and of which sweep it is.

A file is parsed only where its seal holds, for a Parquet file with a flipped bit may crash its reader or be read as
another table.
"""

import hashlib
import io
import itertools
import os
import warnings
from pathlib import Path

import polars as pl

from telejax.results.files import atomic_write


def write_sealed(frame: pl.DataFrame, file: Path, sweep: str) -> None:
    """Write the rows of a cell, the seal first: a kill between the two leaves a cell that is not there yet.

    Args:
        frame: the rows.
        file: where.
        sweep: a digest of the sweep.
    """
    content = io.BytesIO()
    frame.write_parquet(content)
    atomic_write(_seal_of(file), lambda aside: aside.write_text(_seal(content.getvalue(), sweep)))
    atomic_write(file, lambda aside: aside.write_bytes(content.getvalue()))


def read_sealed(file: Path, sweep: str) -> pl.DataFrame | None:
    """The rows of a cell; None where there are none, or, with a warning, where the file is damaged, which is set aside.

    Raises:
        ValueError: the file was not written by this sweep, or is a folder.
    """
    for one in (file, _seal_of(file)):
        if one.exists() and not one.is_file():
            raise ValueError(f"{one} is no regular file; move it away to have the cell computed again")
    if not file.exists():
        return None
    content = file.read_bytes()
    seal = _seal_of(file).read_text(errors="replace") if _seal_of(file).exists() else ""
    if seal == _seal(content, sweep):
        return pl.read_parquet(io.BytesIO(content))
    if not seal.startswith(sweep):
        raise ValueError(f"{file} is no cell of this sweep; move it away to have the cell computed again")
    aside = file.with_name(f"{file.name}.damaged")
    os.replace(file, aside)
    warnings.warn(
        f"{file} is not what was written; it is {aside.name} now, and its cell is computed again", stacklevel=3
    )
    return None


def write_table(table: pl.DataFrame, file: Path) -> None:
    """Write the rows of all cells; what is there and differs is set aside with a warning, for it may be the user's."""
    content = io.BytesIO()
    table.write_parquet(content)
    if file.exists() and not (file.is_file() and file.read_bytes() == content.getvalue()):
        numbered = (file.with_name(f"{file.name}.{count}") for count in itertools.count(1))
        aside = next(one for one in numbered if not one.exists())
        os.replace(file, aside)
        warnings.warn(f"{file} is not what this sweep writes; it is {aside.name} now", stacklevel=4)
    atomic_write(file, lambda place: place.write_bytes(content.getvalue()))


def _seal(content: bytes, sweep: str) -> str:
    return f"{sweep} {hashlib.sha256(content).hexdigest()}\n"


def _seal_of(file: Path) -> Path:
    return file.with_name(f".{file.stem}.seal")
