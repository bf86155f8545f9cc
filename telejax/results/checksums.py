"""Checksums of what was written, so that nothing else is parsed in its place.

A Parquet file with a flipped bit may crash its reader, or be read as another table.
"""

import hashlib
import itertools
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from telejax.results.files import atomic_write, write_whole

CHECKSUMS = "SHA256SUMS"
"""The file of checksums, as ``sha256sum --check`` reads it; folders of versions before have none."""


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of these files of a folder."""
    lines = [f"{digest_of(folder / name)}  {name}\n" for name in names]
    atomic_write(folder / CHECKSUMS, lambda aside: aside.write_text("".join(lines), encoding="utf-8"))


def altered(folder: Path) -> list[str]:
    """The files that are not what their checksums say, or are not there; none where there are no checksums."""
    differs = lambda file, digest: not file.is_file() or digest_of(file) != digest
    return [name for name, digest in _written(folder).items() if differs(folder / name, digest)]


def check_checksums(folder: Path, names: Iterable[str], told: str, remedy: str) -> None:
    """Raise a ValueError where a file differs from what was written, or its checksum is missing from the list.

    Args:
        folder: where they are; one without checksums is not checked.
        names: of files that are there.
        told: which folder it is, for the error.
        remedy: where the list lacks one.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    written = _written(folder)
    for name in names:
        if name not in written:
            raise ValueError(f"{told}, whose {CHECKSUMS} has no line for {name}; {remedy}")
        if written[name] != digest_of(folder / name):
            raise ValueError(
                f"{told}, whose {name} is not what was saved: its checksum differs from that in "
                f"{CHECKSUMS}; take a copy that is whole, or remove {CHECKSUMS} to read it as it is"
            )


def seal_of(file: Path) -> Path:
    """The hidden file beside another that holds its digest, where there is no list of them."""
    return file.with_name(f".{file.stem}.seal")


def is_sealed(file: Path) -> bool | None:
    """Whether a file is what its seal says; None where it has none."""
    seal = seal_of(file)
    return seal.read_text(errors="replace").split()[-1:] == [digest_of(file)] if seal.is_file() else None


def write_beside(file: Path, content: bytes) -> None:
    """Write a file among those of others, and its seal; what is there and was not written so is set aside.

    The file comes first: a kill between the two leaves one that is set aside, unless it is written again as it is.
    """
    seal = f"{hashlib.sha256(content).hexdigest()}\n"
    if not (file.is_file() and file.read_bytes() == content):
        if os.path.lexists(file) and not (file.is_file() and is_sealed(file)):
            numbered = (file.with_name(f"{file.name}.{count}") for count in itertools.count(1))
            aside = next(one for one in numbered if not os.path.lexists(one))
            os.replace(file, aside)
            warnings.warn(f"{file} is not what telejax wrote; it is {aside.name} now", stacklevel=3)
        write_whole(file, content)
    elif is_sealed(file):
        return
    atomic_write(seal_of(file), lambda place: place.write_text(seal))


def digest_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _written(folder: Path) -> dict[str, str]:
    """The checksums of files by their names; none where there is no list of them."""
    file = folder / CHECKSUMS
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
