"""What is read several times is computed once, whatever the round, and the numbers are those without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax.backend.fusion import of_stored

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.mark.parametrize("round", [0, 1, 7, -1, -(2**31), 2**31 - 1])
def test_every_round_is_mixed(round):
    x = jnp.arange(6.0)
    program = jax.jit(lambda x, round: of_stored(lambda x: x[::-1], 2 * x, round))
    assert program(x, jnp.int32(round)).tolist() == [10.0, 8.0, 6.0, 4.0, 2.0, 0.0]
    assert of_stored(lambda x: x[::-1], x, jnp.int32(round)).tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def test_rounds_of_a_batch():
    rounds = jnp.arange(-3, 4)
    program = jax.jit(jax.vmap(lambda round: of_stored(lambda x: x + 1, round * jnp.ones(2), round)))
    np.testing.assert_array_equal(program(rounds), np.stack([np.arange(-2.0, 5)] * 2, axis=1))


@pytest.mark.cpu
def test_a_cpu_keeps_it_apart():
    """In the compiled program the branch is still there: else what is read would be fused with what reads it."""
    program = jax.jit(lambda x, round: of_stored(lambda x: x[::-1], jnp.sin(x), round))
    assert "conditional(" in program.lower(jnp.ones(6), jnp.int32(0)).compile().as_text()
