"""Folders of results: written whole or not at all, and never over another by accident or over what is not telejax's."""

import io
import os
import re
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from telejax.errors import check_flag, check_path, short

MARKER = ".telejax"
"""The file that tells a folder of telejax; it lists the files that may be removed with the folder."""

KINDS = (
    {"history.parquet", "config.json", "params.msgpack"},
    {"history.parquet", "config.json", "comparison.png"},
    {"table.csv", "history.parquet", "config.json", "search.png"},
    {"topologies.csv", "topologies.png"},
)
"""What versions before the marker wrote: a result, a comparison, a search, the topologies."""

LITTER = {".DS_Store", "Thumbs.db"}
"""Files that a file manager leaves in a folder that it showed."""


OF_READERS = (Exception, pl.exceptions.PanicException)
"""What the readers of damaged files raise: many kinds, and Polars one that is no Exception."""

PUT_IN_PLACE: list[Path] = []
"""The folders that this process has written, for whoever is interrupted afterwards."""


class new_folder:
    """A context in which a folder is filled aside and put in place only when all of it is written.

    Args:
        path: the folder, which is made with its parents.
        overwrite: replace a folder that telejax wrote and to which nothing was added, or one that is empty.
        later: names of files that are written into the folder afterwards, and are telejax's too.

    Raises:
        ValueError: a path that is never replaced, such as the working directory.
        FileExistsError: a folder that exists and may not be replaced; a file or a symbolic link.
        OSError: the folder cannot be written. After every error what was there is there still, and nothing else.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool, later: Sequence[str] = ()) -> None:
        self.path, self.overwrite, self.later = path, overwrite, later
        self.target = check_free(path, overwrite)

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.aside = Path(tempfile.mkdtemp(prefix=f".{self.target.name}-", dir=self.target.parent))
        return self.aside

    def __exit__(self, failed: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        try:
            if failed is None:
                names = {file.name for file in self.aside.iterdir()} | set(self.later)
                told = "# Written by telejax, which replaces this folder if asked to and if it holds only these files:"
                (self.aside / MARKER).write_text("\n".join([told, *sorted(names), ""]), encoding="utf-8")
                self.aside.chmod(0o755)
                self._put_in_place()
                PUT_IN_PLACE.append(self.target)
        except FileExistsError:
            raise
        except OSError as own:
            failed, error = OSError, own
        finally:
            shutil.rmtree(self.aside, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            why = error.strerror or error  # without the name of the folder aside
            kind = PermissionError if isinstance(error, PermissionError) else OSError
            raise kind(
                f"path is {str(self.path)!r}, which cannot be written: {why}; make room, or choose another"
            ) from error

    def _put_in_place(self) -> None:
        """Move the folder before aside, the new one in, and only then remove the one before."""
        check_free(self.path, self.overwrite)
        if not self.target.exists():
            try:
                self.aside.rename(self.target)
            except OSError as error:
                if self.target.exists():  # since the line before
                    raise FileExistsError(f"path is {str(self.path)!r}, which exists by now; choose another") from error
                raise
            return
        before = Path(tempfile.mkdtemp(prefix=f".{self.target.name}-", dir=self.target.parent))  # no longer than aside
        before.rmdir()
        self.target.rename(before)
        try:
            if added := _not_ours(before):  # since the check
                raise FileExistsError(_refusal("path", self.path, added))
            self.aside.rename(self.target)
        except BaseException:
            before.rename(self.target)
            raise
        try:
            for file in before.iterdir():
                file.unlink()
            before.rmdir()
        except OSError as error:
            warnings.warn(f"the folder before could not be removed from {str(before)!r}: {error}", stacklevel=4)


def check_free(path: str | os.PathLike[str], overwrite: bool, argument: str = "path") -> Path:
    """Refuse a folder that cannot be written or may not be replaced; errors name it as ``argument``.

    With ``overwrite``, a folder may be replaced if it is empty or holds only files that telejax wrote: those that its
    marker lists, or exactly those of a result, comparison, search or table of topologies.

    Returns:
        The absolute path, with ``..`` and the symbolic links among its parents resolved.

    Raises:
        ValueError: the path is empty, begins with "~", or is the working or home directory, a parent of these, or a
            mount point.
        FileExistsError: it exists and is a file, a symbolic link or a folder that may not be replaced.
        OSError: it cannot be written.
    """
    told = f"{argument} is {_check_place(argument, path, 'give the path of a new folder')!r}"
    check_flag("overwrite", overwrite)
    try:
        given = Path(path)
        target = given.resolve()
        check_path(argument, str(target), "give the path of a new folder")  # the working directory may be any letters
        if reason := _never_replaced(target):
            raise ValueError(f"{told}, which is {reason}; give a new folder, such as one inside it")
        if given.is_symlink():
            raise FileExistsError(
                f"{told}, which is a symbolic link to {os.readlink(given)!r}; give the folder itself, or choose another"
            )
        if target.exists():
            if not target.is_dir():
                raise FileExistsError(f"{told}, which exists and is not a folder; choose another")
            if not overwrite:
                raise FileExistsError(
                    f"{told}, which exists; choose another folder, or overwrite it (overwrite=True, --force)"
                )
            if added := _not_ours(target):
                raise FileExistsError(_refusal(argument, path, added))
        parent = next(folder for folder in target.parents if folder.exists())
        Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent)).rmdir()
    except FileExistsError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        why = getattr(error, "strerror", None) or error
        raise OSError(f"{told}, which cannot be written: {why}; choose another") from error
    return target


def check_new_file(
    path: str | os.PathLike[str], overwrite: bool, example: str, suffixes: Sequence[str], argument: str = "path"
) -> Path:
    """Refuse a file that cannot be written or may not be replaced, before anything is computed.

    Args:
        path: the file.
        overwrite: whether one that exists may be replaced.
        example: of a name.
        suffixes: of its name, so that no data are replaced by a slip.
        argument: what errors call it.
    """
    told = f"{argument} is {_check_place(argument, path, f'give the path of a new file, such as {example}')!r}"
    check_flag("overwrite", overwrite)
    file = Path(path)
    if file.is_dir():
        raise FileExistsError(f"{told}, which is a folder; give a file, such as {file / example}")
    if any(parent.is_file() for parent in file.parents):
        raise OSError(f"{told}, which cannot be written below a file; give another")
    if file.suffix.lower() not in suffixes:
        named = "a page" if ".html" in suffixes[:1] else "a picture"
        raise ValueError(f"{told}, which is no name of {named}; give one that ends with {' or '.join(suffixes[:2])}")
    if os.path.lexists(file) and not file.is_file():
        raise FileExistsError(f"{told}, which is no regular file; give another")
    if file.exists() and not overwrite:
        raise FileExistsError(f"{told}, which exists; choose another, or overwrite it (overwrite=True, --force)")
    return file


def write_table(table: pl.DataFrame, file: Path) -> None:
    """Write a table as CSV or Parquet; where that cannot be done, the error is the system's and not Polars' own."""
    file.write_bytes(table.write_csv().encode() if file.suffix == ".csv" else parquet(table))


def parquet(table: pl.DataFrame) -> bytes:
    """The bytes of a table's Parquet file."""
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


def atomic_write(file: Path, write: Callable[[Path], Any]) -> None:
    """``write`` a file aside and put it in place when it is whole; a kill or a full disk leaves the one before."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        write(aside)
        aside.replace(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_whole(file: Path, content: bytes) -> None:
    """Write these bytes, or leave the file as it was."""
    atomic_write(file, lambda aside: aside.write_bytes(content))


def add_to_marker(file: Path) -> None:
    """Let a folder of telejax be replaced together with a file that was written into it later."""
    marker = file.parent / MARKER
    if marker.is_file():
        told = marker.read_text(encoding="utf-8", errors="replace")
        if file.name not in told.splitlines()[1:]:
            atomic_write(marker, lambda aside: aside.write_text(f"{told}{file.name}\n", encoding="utf-8"))


def write_file(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all; in a folder of telejax it is telejax's, and replaced with it.

    Raises:
        OSError: it cannot be written; the file before is there still.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
        add_to_marker(file)
    except OSError as error:
        raise OSError(f"{str(file)!r} cannot be written: {error}; choose another, or make room") from error


def write_picture(
    file: Path, draw: Callable[[], bytes], kept: Sequence[str], write: Callable[[Path, bytes], None] = write_whole
) -> bool:
    """Draw and write a picture beside the data ``kept``; a failure is a warning, for the data are what counts.

    Returns:
        Whether it is written.
    """
    try:
        write(file, draw())
        return True
    except Exception as error:
        there = [name for name in kept if (file.parent / name).is_file()]
        which = f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'}" if there else "nothing is"
        warnings.warn(
            f"{file.name} was not written ({type(error).__name__}: {error}); {which} kept in {str(file.parent)!r}",
            stacklevel=3,
        )
        return False


def check_own_folder(argument: str, path: str | os.PathLike[str]) -> None:
    """Refuse a folder in which other things than telejax's live: the working and the home directory, their parents.

    Raises:
        ValueError: one of these, or a path that names no folder.
    """
    told = f"{argument} is {_check_place(argument, path, 'give a new folder')!r}"
    with suppress(OSError, RuntimeError):  # what cannot be looked at is told where it is written
        reason = _never_replaced(Path(path).resolve())
        if reason not in (None, "a mount point"):
            raise ValueError(f"{told}, which is {reason}; give a new folder, such as one inside it")


def _check_place(argument: str, path: str | os.PathLike[str], remedy: str) -> str:
    """The path as a text, or a ValueError where it begins with "~", which only shells read as the home directory."""
    place = check_path(argument, path, remedy)
    if place.startswith("~"):
        raise ValueError(
            f"{argument} is {short(place)}, which would be a folder called {Path(place).parts[0]!r}; give "
            f"Path({short(place)}).expanduser() for one in the home directory, or an absolute path"
        )
    return place


def _never_replaced(target: Path) -> str | None:
    """Why a folder is never replaced, whatever is in it."""
    places = {"the working directory": Path.cwd()}
    with suppress(RuntimeError):  # there is none
        places["the home directory"] = Path.home().resolve()
    for name, place in places.items():
        if _same(target, place):
            return name
        if any(_same(target, parent) for parent in place.parents):
            return f"a parent of {name}"
    return "a mount point" if os.path.ismount(target) else None


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, also where capitals do not count."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False


def _not_ours(folder: Path) -> list[str]:
    """What keeps a folder from being replaced: the names of what telejax did not write into it."""
    files = {entry.name for entry in folder.iterdir() if entry.is_file() and not entry.is_symlink()}
    rest = {entry.name for entry in folder.iterdir()} - LITTER
    if MARKER in files:
        lines = (folder / MARKER).read_text(encoding="utf-8", errors="replace").splitlines()
        return sorted(rest - _with_unfinished({MARKER, *lines[1:]}, files))
    return [] if rest in KINDS and rest <= files else sorted(rest)


def _with_unfinished(names: Iterable[str], files: set[str]) -> set[str]:
    """The files of these names, and what :func:`atomic_write` leaves of them when it is killed."""
    ours = "|".join(re.escape(name) for name in names)
    return {file for file in files if re.fullmatch(rf"(?:{ours})|\.(?:{ours})\.\d+\.\d+", file)}


def _refusal(argument: str, path: str | os.PathLike[str], names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
    return (
        f"{argument} is {check_path(argument, path)!r}, which holds what telejax did not write: {shown}; "
        "choose another folder, or move that away"
    )
