"""Programs are forgotten where they take too many maps of memory, and made again where they are needed."""

import sys

import jax
import jax.numpy as jnp
import pytest

from telejax.backend import programs


@pytest.mark.skipif(sys.platform != "linux", reason="maps are Linux's")
def test_programs_are_forgotten_and_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []

    @jax.jit
    def double(x: jax.Array) -> jax.Array:
        traced.append(x)
        return 2 * x

    assert double(jnp.ones(3)).tolist() == double(jnp.ones(3)).tolist() and len(traced) == 1
    assert not programs.forget_programs(share=1.0) and double(jnp.ones(3)).sum() == 6 and len(traced) == 1
    assert programs.forget_programs(share=0.0) and double(jnp.ones(3)).sum() == 6 and len(traced) == 2
    monkeypatch.setattr(programs, "MAPS", programs.MAPS / "missing")
    assert not programs.forget_programs(share=0.0)
