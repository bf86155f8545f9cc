"""What a command prints and writes when all is computed: whatever fails, the rest is still printed and written."""

import os
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

NARROWEST = 80  # columns: a narrower terminal breaks lines
BLANKS = re.compile(r"(?:[ ]|\x1b\[[0-9;]*m)+$", re.MULTILINE)
"""At the end of a line, and the colours among them."""
PLAIN = str.maketrans({"±": "~", "…": "."})  # for an encoding that lacks them, as wide as they are


class Output:
    """Standard output and the folder of one command."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(markup=False, emoji=False)  # texts of the user's are printed as they are
        self.columns = self.console.width
        """Of the terminal, or 80 where there is none."""
        self.console.width = max(self.console.width, NARROWEST)
        self.open = sys.stdout is not None  # as after ">&-"
        self.lost = False
        """Whether the files could not be written."""
        self.failed = False
        """Whether something is lost: data, or what was printed, unless nobody reads it any more."""

    def print(self, what: Any, **options: Any) -> None:
        """Print as ``rich`` does; a failure is told, and does not end the command."""
        try:
            with self.console.capture() as captured:
                self.console.print(what, crop=False, **options)
            if self.open:
                _write(BLANKS.sub(lambda end: end[0].replace(" ", ""), captured.get()))
        except BrokenPipeError:  # as after "| head": enough was read
            self._close()
        except OSError as error:
            self.failed = True
            self._close()
            tell(f"standard output cannot be written: {error}")
        except Exception as error:
            self.failed = True
            tell(f"printing failed: {_reason(error)}")

    def say(self, sentence: str) -> None:
        """Print a sentence, whose lines end between words where the terminal ends."""
        self.print(sentence, width=self.columns)

    def write(self, write: Callable[[], Any], folder: Path) -> None:
        """Write into a folder; a failure is told, and does not end the command."""
        with told_warnings():
            try:
                write()
            except Exception as error:
                self.failed = self.lost = True
                tell(f"nothing was written to {str(folder)!r}: {_reason(error)}; what is printed is all that is kept")

    def print_written(self, folder: Path, names: Sequence[str]) -> None:
        """Print which of these files there are, unless what was to be written is lost."""
        written = [name for name in names if (folder / name).is_file()]
        if not written and not self.lost:
            self.failed = True
            tell(f"{str(folder)!r} was removed since it was written; what is printed is all that is kept")
        if written and not self.lost:
            listed = " and ".join([", ".join(written[:-1]), written[-1]] if written[1:] else written)
            self.print(f"Written: {folder}/{listed}", soft_wrap=True)

    def _close(self) -> None:
        self.open = False
        discard(sys.stdout)


@contextmanager
def told_warnings() -> Iterator[None]:
    """Tell warnings as lines, where a context ends."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", category=UserWarning)
        try:
            yield
        finally:
            for warning in caught:
                tell(str(warning.message))


def tell(message: str) -> None:
    """Print a line on standard error, if it can be written; a terminal gets lines that end between words."""
    text = f"telejax: {message}"
    try:
        if sys.stderr.isatty():
            width = max(20, shutil.get_terminal_size().columns)
            text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        print(text, file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):  # the first where there is none
        discard(sys.stderr)


def flush() -> None:
    """Flush both streams now: a closed pipe that the interpreter meets at its end is a traceback and exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            discard(stream)
        except (AttributeError, OSError, ValueError):  # no stream, closed, or as told by the interpreter at its end
            pass


def discard(stream: TextIO) -> None:
    """Send to nowhere what a stream holds and will get."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):  # no file behind it, as in a test
        pass


def _write(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()


def _reason(error: Exception) -> str:
    """An error in one line, with its type where its words may not say enough."""
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
