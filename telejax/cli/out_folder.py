"""The folder that a command writes: checked before it computes, and another beside it where somebody came first."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from telejax.cli.output import tell

PATIENCE = 60.0
"""Seconds to wait for a command that writes."""


class OutFolder:
    """``--out`` of a command, from its start to its end.

    What was there when the command began may be replaced if ``force`` says so; what came meanwhile, the result of
    another command or a file of the user's, may not, and the result goes to a folder beside it.

    Raises:
        ValueError, OSError: it may not be replaced, or cannot be written.
    """

    def __init__(self, out: Path, force: bool) -> None:
        from telejax.results.files import check_free

        target = check_free(out, force, argument="--out")
        self.path = target if ".." in out.parts else out
        """Where the files are, or will be."""
        self._force, self._before = force, seen(self.path)

    def fill(self, write: Callable[[Path, bool], Any]) -> None:
        """``write(folder, overwrite)``, or beside it if the folder is taken by now; one command after another."""
        with one_at_a_time(self.path):
            if seen(self.path) != self._before:
                self._move()
            while True:
                try:
                    write(self.path, self._force)
                    return
                except FileExistsError:  # in this very moment
                    if not os.path.lexists(self.path):
                        raise
                    self._move()

    def _move(self) -> None:
        taken, number = self.path, 2
        while os.path.lexists(self.path):
            self.path, number = taken.with_name(f"{taken.name}-{number}"), number + 1
        self._force = False
        if self.path == taken:
            tell(f"{str(taken)!r} was removed since this command began; what it found goes to a new one")
        else:
            tell(f"{str(taken)!r} has changed since this command began; what it found goes to {str(self.path)!r}")


def seen(folder: Path) -> tuple[Any, ...] | None:
    """What tells a folder, as it is now, from another and from itself with other files; None where there is none."""
    about = lambda one: (one.st_ino, one.st_mtime_ns, one.st_size)
    try:
        files = sorted((entry.name, *about(entry.stat(follow_symlinks=False))) for entry in os.scandir(folder))
        return *about(folder.lstat()), *files
    except OSError:
        return None


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Alone among the commands of this user on this machine that write here, as far as its temporary folder can say."""
    name = hashlib.sha256(os.fsencode(f"{Path.home()} {folder.resolve()}")).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"telejax-{name}.lock", timeout=PATIENCE)
    with suppress(OSError, Timeout):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
