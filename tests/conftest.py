"""Fixtures that several test modules share."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the duration of one test; jax keeps the programs of both widths apart.

    These tests compile much and compute little, so XLA optimises little (half the time).
    """
    optimised = jax.config.read("jax_disable_most_optimizations")
    with jax.enable_x64(True):
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", optimised)
