"""What an accelerator runs without asking its device gives what a CPU gives, which asks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.backend import loops
from telejax.random import sampling, threefry
from telejax.random.permutation import sorted_or_shuffled
from telejax.simulation import compiled, program

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.fixture
def asking(monkeypatch):
    """Sets whether devices are asked: as on a CPU, or as on an accelerator."""

    def set_to(asks):
        for module in (loops, program, sampling, threefry):
            monkeypatch.setattr(module, "asks_device", lambda: asks)
        jax.clear_caches()

    yield set_to
    jax.clear_caches()


def while_loops(function, *arguments) -> int:
    return str(jax.make_jaxpr(function)(*arguments)).count("while[")


def drawn():
    draw = jax.jit(jax.vmap(lambda key: tj.sample_distinct(key, 8, 2)))
    return np.asarray(draw(jax.random.split(jax.random.key(4), 2000)))


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [5, 1300, 70_001])
def test_shuffles_are_the_same(nodes, asking):
    shuffle = jax.vmap(sorted_or_shuffled("shuffled", nodes, 3))
    every = jnp.arange(nodes, dtype=jnp.int32)
    places = []
    for asks in (True, False):
        asking(asks)
        places.append(np.asarray(jax.jit(shuffle)(every)))
        assert while_loops(shuffle, every) == asks
    assert (places[0] == places[1]).all()


@pytest.mark.slow
def test_draws_are_the_same(asking):
    both = []
    for asks in (True, False):
        asking(asks)
        both.append(drawn())
        assert bool(while_loops(lambda key: tj.sample_distinct(key, 8, 2), jax.random.key(0))) == asks
    assert (both[0] == both[1]).all()  # four draws are all equal about four times in 2000


@pytest.mark.slow
def test_chunks_of_the_usual_length_have_a_static_one(asking, monkeypatch):
    asking(False)
    lengths = []
    advance = compiled.advance
    monkeypatch.setattr(compiled, "advance", lambda *a, length, **o: lengths.append(length) or advance(*a, **o))
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    tj.simulate(walk, tj.tasks.quadratic(nodes=9, dim=2), rounds=25, eval_every=10)
    assert lengths == [None, 10, 10, None]


@pytest.mark.cpu
def test_a_loop_that_carries_much_is_no_function_of_one_thread():
    """As XLA writes others since jax 0.12; what is added is 0 in every turn."""
    carried = np.arange(loops.MANY_BYTES // 4, dtype=np.float32)

    def body(turn, carry):
        x, added = carry
        return (x + x[::-1]) / 2, added + jnp.abs(loops.on_all_threads(turn, x.nbytes))

    program = jax.jit(lambda x, turns: jax.lax.fori_loop(0, turns, body, (x, jnp.int32(0)))).lower(carried, 5).compile()
    assert "small_call" not in program.as_text() and "topk" in program.as_text().lower()
    mixed, added = program(carried, 5)
    assert added == 0
    np.testing.assert_array_equal(mixed, np.full_like(carried, carried.mean()))
    jaxpr = str(jax.make_jaxpr(lambda turn: loops.on_all_threads(turn, loops.MANY_BYTES - 1))(3))
    assert "top_k" not in jaxpr
