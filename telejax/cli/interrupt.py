"""Ctrl-C: the first ends a command within seconds, a second at once, whatever compiled code is at work."""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from telejax.cli.output import flush, tell

PATIENCE = 4.0  # seconds in which an interrupted command may end by itself
INTERRUPTED = 130  # the exit code, as shells count it


class Command:
    """What every subcommand can tell."""

    def kept(self) -> str:
        """What is left of a command that is interrupted."""
        from telejax.results.files import PUT_IN_PLACE

        if PUT_IN_PLACE:
            return f"all is computed, and its tables are in {PUT_IN_PLACE[-1]}; a picture may be missing"
        return "nothing is written before all is computed"

    def check(self) -> None:
        """Refuse what can be refused before jax is imported."""

    def surroundings(self) -> AbstractContextManager[None]:
        """What the command runs in, once it is checked."""
        return nullcontext()


@contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """Within it a SIGINT raises KeyboardInterrupt and, if that is not enough, ends the process.

    Python handles a signal between two of its own steps, and a compiled program is one step, however long it takes. So
    a thread watches, too: it is woken by the signal itself. Where the error meets a function that no error may leave,
    such as what jax does when Python collects its garbage, the process ends as if it were interrupted once more.

    Args:
        kept: says what an interrupted command leaves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before, hook = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False), sys.unraisablehook
    again = lambda: writing.send(bytes([signal.SIGINT]))
    sys.unraisablehook = lambda lost: again() if lost.exc_type is KeyboardInterrupt else hook(lost)
    watch = threading.Thread(target=_watch, args=(reading, kept), daemon=True)
    watch.start()
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        writing.close()
        watch.join()
        reading.close()


def _watch(reading: socket.socket, kept: Callable[[], str]) -> None:
    """Wait for the first SIGINT, then for a second or for the command to end."""
    while (number := reading.recv(1)) and number[0] != signal.SIGINT:
        pass
    if not number:  # the command has ended
        return
    ready, _, _ = select.select([reading], [], [], PATIENCE)
    if ready and not reading.recv(1):
        return
    tell(f"interrupted; {kept()}")
    end()


def end() -> None:
    """End the process without Python's own last steps, which threads at work in compiled code do not survive."""
    flush()
    os._exit(INTERRUPTED)
