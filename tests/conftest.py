"""Fixtures that several test modules share."""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jaxtyping
import pytest
from refusals import ReachedCompilation

from telejax.backend.programs import forget_programs
from telejax.simulation.program import Program

os.environ["TELEJAX_CACHE"] = "off"  # nor do processes that tests start touch the user's folder


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a simulation where its first program would be compiled."""

    def stop(*arguments: Any) -> None:
        raise ReachedCompilation

    monkeypatch.setattr(Program, "start", stop)
    monkeypatch.setattr(Program, "take", stop)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """A process that ran all tests would hold more programs than Linux has maps for, and XLA would crash.

    Long before, the more it holds the slower the next ones are lowered and compiled.
    """
    yield
    forget_programs(share=0.03)


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


@pytest.fixture(autouse=True)
def types_of_refusals(request: pytest.FixtureRequest) -> None:
    """Tests in which something is refused, or breaks a contract, give wrong types on purpose."""
    function = getattr(request, "function", None)
    if function is not None and _refuses(function):
        request.getfixturevalue("any_types")


@cache
def _refuses(function: Callable[..., None]) -> bool:
    source = inspect.getsource(function)
    return "TypeCheckError" not in source and re.search(r"raises|refus|check\(", source) is not None
