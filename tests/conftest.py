"""Fixtures that several test modules share."""

from collections.abc import Iterator
from typing import Any

import jax
import pytest
from refusals import ReachedCompilation

from telejax.simulation.program import Program


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a simulation where its first program would be compiled."""

    def stop(*arguments: Any) -> None:
        raise ReachedCompilation

    monkeypatch.setattr(Program, "start", stop)
    monkeypatch.setattr(Program, "take", stop)


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the duration of one test; jax keeps the programs of both widths apart."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compiled_fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests that compile much and compute little: XLA optimises little, which takes half the time.

    So does it in processes that they start.

    Not for LeNet or VGG: XLA then computes a map twice, rounded differently, and the gradient of max_pool, which looks
    for the maximum among the pixels again, misses it.
    """
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
