"""Fixtures that several test modules share."""

import inspect
import os
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jaxtyping
import pytest
from jax._src import compiler
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
    """A process that ran all tests would hold more programs than Linux has maps for, and XLA would crash."""
    yield
    forget_programs(share=0.25)


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


@pytest.fixture(scope="module")
def compiled_fast() -> Iterator[None]:
    """For modules that compile much and compute little: XLA optimises little, which takes a third of the time.

    So does it in processes that they start.

    Not for LeNet or VGG: XLA then computes a map twice, rounded differently, and the gradient of max_pool, which looks
    for the maximum among the pixels again, misses it.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        if _has_older_emitters():
            options = compiler.get_compile_options
            patch.setattr(compiler, "get_compile_options", partial(_compile_options, options))
            flags = [os.environ.get("XLA_FLAGS", ""), f"--{EMITTERS}=false"]
            patch.setenv("XLA_FLAGS", " ".join(filter(None, flags)))
        yield
    jax.config.update("jax_disable_most_optimizations", before)


EMITTERS = "xla_cpu_use_fusion_emitters"
"""The option of XLA without which it takes its older way to code for a CPU, in half the time; later ones have none."""


@cache
def _has_older_emitters() -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={EMITTERS: False})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _compile_options(options: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """What jax asks of XLA, and the older emitters."""
    own = given.pop("env_options_overrides", None) or {}
    return options(*args, env_options_overrides={EMITTERS: False, **own}, **given)
