"""One process at a time in a folder."""

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

LOCK, HOLDER = ".telejax-lock", ".telejax-holder"


def hold(folder: Path) -> FileLock:
    """Take the lock of a folder, which the system frees when this process ends, however it ends.

    Raises:
        BlockingIOError: another process has it; the error says which.

    >>> import tempfile
    >>> lock = hold(Path(tempfile.mkdtemp()))
    >>> lock.release()
    """
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"checkpoint is {str(folder)!r}, in which {_holder(folder)} works now; wait for it, or give another folder"
        ) from None
    (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}")
    return lock


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text() or "another process"
    except OSError:
        return "another process"
