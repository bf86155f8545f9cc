"""Files of cells, each with a seal beside it: the digest of its bytes, and of which sweep it is.

A file is parsed only where its seal holds.
"""

import hashlib
import io
import os
import warnings
from pathlib import Path

import polars as pl

from telejax.results.checksums import seal_of
from telejax.results.files import atomic_write, parquet, write_whole


def write_sealed(frame: pl.DataFrame, file: Path, sweep: str) -> None:
    """Write the rows of a cell, the seal first: a kill between the two leaves a cell that is not there yet.

    Args:
        frame: the rows.
        file: where.
        sweep: a digest of the sweep.
    """
    content = parquet(frame)
    atomic_write(seal_of(file), lambda aside: aside.write_text(_seal(content, sweep)))
    write_whole(file, content)


def read_sealed(file: Path, sweep: str) -> pl.DataFrame | None:
    """The rows of a cell; None where there are none, or, with a warning, where the file is damaged, which is set aside.

    Raises:
        ValueError: the file was not written by this sweep, or is a folder.
    """
    for one in (file, seal_of(file)):
        if one.exists() and not one.is_file():
            raise ValueError(f"{one} is no regular file; move it away to have the cell computed again")
    if not file.exists():
        return None
    content = file.read_bytes()
    seal = seal_of(file).read_text(errors="replace") if seal_of(file).exists() else ""
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


def _seal(content: bytes, sweep: str) -> str:
    return f"{sweep} {hashlib.sha256(content).hexdigest()}\n"
