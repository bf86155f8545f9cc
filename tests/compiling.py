"""Fixtures under which tests that compile much take less time; jax is imported when they are used.

jax is asked in private: its compiler options can be given to single functions alone.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest

EMITTERS = "xla_cpu_use_fusion_emitters"
"""The option of XLA without which it writes code for a CPU in its older way, in half the time; later ones have none."""


@pytest.fixture(scope="module")
def little_optimised() -> Iterator[None]:
    """For modules that compile much and compute little: XLA optimises little, which takes half the time.

    So does it in processes that they start.
    """
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def compiled_fast(little_optimised: None) -> Iterator[None]:
    """The same, in a third of the time, where functions such as exp may be rounded at 1e-9 in float64."""
    if not _has_older_emitters():
        yield
        return
    from jax._src import compiler

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", partial(_older_emitters, compiler.get_compile_options))
        patch.setenv("XLA_FLAGS", f"{os.environ.get('XLA_FLAGS', '')} --{EMITTERS}=false".strip())
        yield


@cache
def _has_older_emitters() -> bool:
    import jax

    try:
        jax.jit(lambda: 0, compiler_options={EMITTERS: False})()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _older_emitters(options: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """What jax asks of XLA, and its older way."""
    own = given.pop("env_options_overrides", None) or {}
    return options(*args, env_options_overrides={EMITTERS: False, **own}, **given)
