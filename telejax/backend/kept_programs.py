"""Compiled programs, kept in a folder for later processes; jax does the keeping, and nothing of it can stop a run."""

import hashlib
import os
import platform
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import jax
from filelock import FileLock, Timeout
from jax.experimental.compilation_cache import compilation_cache

from telejax.errors import check_path

VARIABLE, OFF = "TELEJAX_CACHE", "off"
MOST_BYTES = 10**9
"""Of all programs of a folder; those that were used longest ago go first."""
ENTRY, USED, LOCK = "-cache", "-atime", ".lockfile"
"""What jax calls a program, the time of its last use, and the lock of the folder."""
PATIENCE = 10.0  # seconds, as jax waits for the lock
HASH = "?" * 64
"""The hexadecimal digits that follow the name of a program."""
REMARK = r"(Error (reading|writing) persistent compilation cache entry|Cache value for key)"
"""How jax's warnings about the cache begin."""
UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '(?P<name>[^']*)': (?P<error>\w+)")
BUSY = {"Timeout", "PermissionError", "FileNotFoundError", "OSError"}
"""Errors in which the entry is not at fault."""


def folder() -> Path | None:
    """Where programs are kept: a folder of ``$TELEJAX_CACHE`` or of the user's caches; None where that is off.

    Machines of different CPUs, which may share a home, have different folders: code for one may not run on another.

    Raises:
        ValueError: ``$TELEJAX_CACHE`` is no path.
    """
    given = os.environ.get(VARIABLE, "")
    if given.lower() == OFF:
        return None
    try:
        root = Path(check_path(VARIABLE, given, _REMEDY)).expanduser() if given else _of_user()
    except RuntimeError as error:  # of ~somebody who is not known
        raise ValueError(f"{VARIABLE} is {given!r}, the home of nobody here; {_REMEDY}") from error
    return None if root is None else root.absolute() / _machine()


_REMEDY = f"give a folder, or {OFF}"


def _of_user() -> Path | None:
    """The user's folder for programs, None without a home."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # to be ignored then, as its specification says
        try:
            home = Path.home()
        except RuntimeError:
            return None
        if not os.path.isdir(home):  # False too where one may not look
            return None
        caches = home / {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    return caches / "telejax" / "programs"


def _machine() -> str:
    """A name for the kind of CPU, by what its instructions are."""
    told = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return f"{platform.machine() or 'any'}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def kept(place: Path) -> tuple[int, int]:
    """How many programs a folder keeps, and their bytes.

    >>> kept(Path("/nowhere"))
    (0, 0)
    """
    sizes = []
    for entry in place.glob(f"*{ENTRY}"):
        with suppress(OSError):  # deleted meanwhile
            sizes.append(entry.stat().st_size)
    return len(sizes), sum(sizes)


def prepare(place: Path) -> None:
    """Make the folder, and delete what a process that was ended in the middle left there.

    Such an entry is cut short and lacks its time, without which jax keeps no more.

    Raises:
        OSError: the folder cannot be made or written, or another process holds it.
    """
    place.mkdir(parents=True, exist_ok=True, mode=0o700)  # who can write to it can make its readers run anything
    with FileLock(place / LOCK, timeout=PATIENCE):
        for entry in place.glob(f"*{ENTRY}"):
            if not _used(entry).exists():
                entry.unlink(missing_ok=True)


@contextmanager
def keep_programs(place: Path | None) -> Iterator[None]:
    """Within it, jax keeps in a folder what it compiles, and takes from there what was compiled before.

    Nothing changes where ``place`` is None, where jax was told of a folder by other means
    (``JAX_COMPILATION_CACHE_DIR``), or where the folder cannot be used, which is an error only if ``$TELEJAX_CACHE``
    names it. Processes may share the folder. An entry that cannot be read is deleted and compiled again.

    Raises:
        ValueError: ``$TELEJAX_CACHE`` names a folder that cannot be used.
    """
    if place is None or jax.config.values["jax_compilation_cache_dir"] is not None or not _usable(place):
        yield
        return
    settings: dict[str, Any] = {
        "jax_compilation_cache_dir": str(place),
        "jax_compilation_cache_max_size": MOST_BYTES,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
        "jax_persistent_cache_enable_xla_caches": "none",  # which would have no limit
    }
    before = {name: jax.config.values[name] for name in settings}
    with _unremarked(place):
        _tell_jax(settings)
        try:
            yield
        finally:
            _tell_jax(before)


def _usable(place: Path) -> bool:
    """Whether programs can be kept there."""
    try:
        prepare(place)
    except (OSError, Timeout, NotImplementedError) as error:  # the last on file systems without locks
        if given := os.environ.get(VARIABLE):
            raise ValueError(f"{VARIABLE} is {given!r}, where no programs can be kept ({error}); {_REMEDY}") from error
        return False
    return True


def _tell_jax(settings: dict[str, Any]) -> None:
    compilation_cache.reset_cache()  # it opens a folder once, and keeps to it
    for name, value in settings.items():
        jax.config.update(name, value)


@contextmanager
def _unremarked(place: Path) -> Iterator[None]:
    """Take jax's warnings about the cache as what they say, and show the others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=REMARK)  # each time, not once
        warnings.showwarning = partial(_heed, place, time.time(), warnings.showwarning)
        yield


def _heed(
    place: Path,
    began: float,
    show: Any,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Delete what jax says that it cannot read, before it would keep the program anew: it replaces no entry."""
    text = str(message)
    if not re.match(REMARK, text):
        show(message, category, filename, lineno, file, line)
    elif (found := UNREADABLE.match(text)) and found["error"] not in BUSY:
        _delete(place, found["name"], began)


def _delete(place: Path, name: str, before: float) -> None:
    """Delete the programs of this name, for which of them it is, jax does not say; those written since are sound."""
    with suppress(OSError, Timeout), FileLock(place / LOCK, timeout=PATIENCE):
        for entry in place.glob(f"{name}-{HASH}{ENTRY}"):
            if entry.stat().st_mtime > before:
                continue
            entry.unlink(missing_ok=True)
            _used(entry).unlink(missing_ok=True)


def _used(entry: Path) -> Path:
    """The file beside an entry that says when it was used."""
    return entry.with_name(entry.name.removesuffix(ENTRY) + USED)
