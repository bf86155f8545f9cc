"""The folder that a command writes: checked before it computes, and another beside it where somebody came first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from telejax.cli.output import tell


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
        self._force, self._before = force, _seen(self.path)

    def fill(self, write: Callable[[Path, bool], Any]) -> None:
        """``write(folder, overwrite)``, once more beside it if the folder is taken by now."""
        if _seen(self.path) != self._before:
            self._move()
        try:
            write(self.path, self._force)
        except FileExistsError:  # in this very moment
            self._move()
            write(self.path, self._force)

    def _move(self) -> None:
        taken, number = self.path, 2
        while self.path.exists():
            self.path, number = taken.with_name(f"{taken.name}-{number}"), number + 1
        self._force = False
        tell(f"{str(taken)!r} has changed since this command began; what it found goes to {str(self.path)!r}")


def _seen(folder: Path) -> tuple[int, int] | None:
    """What tells a folder, as it is now, from another and from itself with other files; None where there is none."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns
