"""Compiled programs: how much is done to make them fast, and how many of them a process holds.

Each takes maps of memory, of which Linux allows a process only so many.
"""

import gc
from pathlib import Path

import jax

RUN_ONCE = {"xla_backend_optimization_level": 1}
"""Options of a program that runs once, which compiles in a third of the time: the first parameters of a network draw
their numbers in loops that are written out otherwise. The numbers were the same of all models here."""

MAPS, LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")


def forget_programs(share: float = 0.5) -> bool:
    """Forget all compiled programs where they take more than a ``share`` of the maps that a process may have.

    Without any left XLA ends the process (SIGSEGV), after some thousands of programs; what is needed again is compiled
    again. Nothing happens on systems without these files.

    >>> forget_programs(share=1.0)
    False
    """
    try:
        used, limit = MAPS.read_bytes().count(b"\n"), int(LIMIT.read_text())
    except (OSError, ValueError):
        return False
    if used <= share * limit:
        return False
    jax.clear_caches()
    gc.collect()
    return True
