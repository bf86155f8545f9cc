"""Fixtures that several test modules share."""

from collections.abc import Iterator

import jax
import jaxtyping
import pytest


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the duration of one test; jax keeps the programs of both widths apart."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def any_types() -> Iterator[None]:
    """For tests that give wrong types on purpose: errors of the functions themselves, not of tests/type_checked.py."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def compiled_fast() -> Iterator[None]:
    """For modules that compile much and compute little: XLA optimises little, which takes half the time.

    So does it in processes that they start.

    Not for LeNet or VGG: XLA then computes a map twice, rounded differently, and the gradient of max_pool, which looks
    for the maximum among the pixels again, misses it.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)
