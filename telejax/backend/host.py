"""What this machine's own memory holds: a refusal before anything is taken, without importing jax."""

import psutil

MOST_BYTES = 10**24
"""Whatever needs more is told by this: an integer may be larger than any float."""


def host_bytes() -> int | None:
    """Memory of this machine that is free now; None where unknown."""
    try:
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, NotImplementedError):
        return None


def check_memory(what: str, needed: float, remedy: str, free: int | None) -> None:
    """Raise a ValueError where something needs more memory than there is, before any of it is taken.

    Args:
        what: the words before "needs ... GB".
        needed: bytes.
        remedy: what to do.
        free: bytes, of :func:`host_bytes` or :func:`telejax.backend.memory.free_bytes`; where unknown, all passes.

    >>> check_memory("state", 8 * 10**9, "take fewer nodes", free=10**9)
    Traceback (most recent call last):
    ...
    ValueError: state needs 8.0 GB and 1.0 GB are free; take fewer nodes
    """
    if free is not None and needed > free:
        gigabytes = f"{needed / 1e9:.1f}" if needed < MOST_BYTES else "more than 10^15"
        raise ValueError(f"{what} needs {gigabytes} GB and {free / 1e9:.1f} GB are free; {remedy}")


def check_host_memory(what: str, needed: float, remedy: str) -> None:
    """As :func:`check_memory`, of what this machine has."""
    check_memory(what, needed, remedy, host_bytes())
