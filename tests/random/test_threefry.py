"""Keys and integers are those of jax, to the bit, however they are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax.random.threefry import fold_in, integers, split, words_of_seeds

pytestmark = pytest.mark.usefixtures("compiled_fast")

DATA = [0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1]
BELOW = [1, 2, 3, 64, 1000, 2**16 - 1, 2**16, 2**16 + 1, 10**6, 2**31 - 1]


def words(key: jax.Array) -> list:
    return np.asarray(jax.random.key_data(key)).tolist()


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1])
def test_they_are_those_of_jax(seed: int) -> None:
    key = jax.random.key(seed)
    for data in DATA:
        assert words(fold_in(key, data)) == words(jax.random.fold_in(key, data)), data
    for count in (1, 2, 5):
        assert words(split(key, count)) == words(jax.random.split(key, count)), count
    for below in BELOW:
        drawn, expected = integers(key, (3, 3), below), jax.random.randint(key, (3, 3), 0, below, dtype=jnp.int32)
        assert drawn.dtype == jnp.int32 and drawn.tolist() == expected.tolist(), below


@pytest.mark.slow
def test_numbers_below_what_the_device_knows() -> None:
    key, below = jax.random.key(2), jnp.asarray(BELOW, jnp.int32)
    draw = lambda draw: jax.jit(jax.vmap(draw))(below)
    assert (
        draw(lambda one: integers(key, (4,), one)).tolist()
        == draw(lambda one: jax.random.randint(key, (4,), 0, one)).tolist()
    )
    shape = below.shape
    assert integers(key, shape, below).tolist() == jax.random.randint(key, shape, 0, below).tolist()


@pytest.mark.slow
def test_so_they_are_when_mapped_and_looped() -> None:
    keys = jax.random.split(jax.random.key(3), 4)
    nodes = jnp.arange(5, dtype=jnp.int32) * 1000
    every = lambda fold: jax.jit(jax.vmap(jax.vmap(fold, (None, 0)), (0, None)))(keys, nodes)
    assert words(every(fold_in)) == words(every(jax.random.fold_in))
    drawn = lambda draw: jax.jit(jax.vmap(draw))(keys)
    ours = drawn(lambda key: integers(split(key)[1], (3,), 100))
    assert ours.tolist() == drawn(lambda key: jax.random.randint(jax.random.split(key)[1], (3,), 0, 100)).tolist()
    chain = lambda fold: jax.lax.scan(lambda key, x: (fold(key, x), None), keys[0], jnp.arange(3))[0]
    assert words(chain(fold_in)) == words(chain(jax.random.fold_in))


@pytest.mark.parametrize("key", [jax.random.key(1, impl="rbg"), jax.random.PRNGKey(1)], ids=["another hash", "untyped"])
def test_keys_of_another_kind_are_left_to_jax(key: jax.Array) -> None:
    assert (fold_in(key, 3) == jax.random.fold_in(key, 3)).all()
    assert (split(key, 3) == jax.random.split(key, 3)).all()
    assert integers(key, (3,), 10).tolist() == jax.random.randint(key, (3,), 0, 10).tolist()


def test_keys_of_seeds_are_jaxs() -> None:
    seeds = np.array([0, 1, 2**32 - 1], np.uint32)
    for partitionable, impl in ((True, "threefry2x32"), (False, "threefry2x32"), (True, "rbg")):
        with jax.threefry_partitionable(partitionable), jax.default_prng_impl(impl):
            every = words_of_seeds(seeds, 3)
            jaxs = [jax.random.key_data(jax.random.split(jax.random.key(seed), 3)) for seed in seeds]
            assert every.tolist() == np.stack(jaxs).tolist()
            assert words_of_seeds(seeds[1:2], 3)[0].tolist() == jaxs[1].tolist()


def test_numbers_of_an_older_jax_are_left_to_jax() -> None:
    key = jax.random.key(1)
    with jax.threefry_partitionable(False):
        assert words(split(key, 3)) == words(jax.random.split(key, 3))
        assert integers(key, (3,), 10).tolist() == jax.random.randint(key, (3,), 0, 10).tolist()
