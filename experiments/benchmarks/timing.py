"""Timing shared by the benchmarks: warmed up, blocked until ready, the minimum of several runs."""

import time
from collections.abc import Callable
from typing import Any

import jax


def seconds(function: Callable[..., Any], *arguments: Any, repeats: int = 7) -> float:
    """The shortest of ``repeats`` calls after one to warm up (and compile), each until its result is ready."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


def interleaved(functions: dict[str, Callable[[], Any]], repeats: int = 7, calls: int = 1) -> dict[str, float]:
    """As :func:`seconds`, for several calls in turn, so that a drift of the machine's speed meets them all.

    Each is called ``calls`` times in a row, the shortest time counts: the first meets what others left in the cache.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(repeats):
        for name, function in functions.items():
            for _ in range(calls):
                start = time.perf_counter()
                jax.block_until_ready(function())
                times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}
