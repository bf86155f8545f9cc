"""The shuffle of nodes is a permutation, and not a tidy one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telejax.random.permutation import FEISTEL_ROUNDS, Shuffle, sorted_or_shuffled

pytestmark = pytest.mark.usefixtures("compiled_fast")

PADDED = 1200


def positions(nodes: int, seed: int) -> np.ndarray:
    shuffle = sorted_or_shuffled("shuffled", nodes, seed)
    return np.asarray(jax.jit(jax.vmap(shuffle))(jnp.arange(nodes, dtype=jnp.int32)))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(nodes=st.integers(2, PADDED), seed=st.integers(0, 2**32 - 1))
def test_shuffle_is_a_bijection(nodes: int, seed: int) -> None:
    assert np.array_equal(np.sort(positions(nodes, seed)), np.arange(nodes))


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [2, 3, 4, 5, 1023, 1024, 1025, 2**16 + 1, 10**5])
def test_shuffle_is_a_bijection_around_powers_of_two(nodes: int) -> None:
    assert np.array_equal(np.sort(positions(nodes, seed=1)), np.arange(nodes))


@pytest.mark.parametrize("nodes", [2**31 - 1, 2**30 + 1, 10**9])
def test_large_shuffles_stay_in_range_and_do_not_collide(nodes: int) -> None:
    some = jnp.asarray(np.random.default_rng(0).choice(min(nodes, 2**30), 20_000, replace=False), jnp.int32)
    some = some.at[0].set(nodes - 1)
    at = np.asarray(jax.jit(jax.vmap(sorted_or_shuffled("shuffled", nodes, 5)))(some))
    assert at.dtype == np.int32 and at.min() >= 0 and at.max() < nodes
    assert len(np.unique(at)) == len(some)
    counts = np.bincount((at.astype(np.int64) * 50 // nodes), minlength=50)
    assert np.sum((counts - 400) ** 2 / 400) < 49 + 5 * np.sqrt(2 * 49)  # chi-square: evenly over 50 ranges


@pytest.mark.parametrize("nodes", [64, 1000, 4096])
def test_shuffle_is_not_affine(nodes: int) -> None:
    """An affine map a i + b has one step between neighbours; a random permutation about (1 - 1/e) n of them."""
    steps = np.diff(positions(nodes, seed=0)) % nodes
    assert 0.5 * nodes < len(np.unique(steps)) < 0.8 * nodes
    xor = positions(nodes, seed=0)[1::2] ^ positions(nodes, seed=0)[::2][: nodes // 2]
    assert len(np.unique(xor)) > 0.25 * nodes  # nor linear over bits, which has a single value here


def test_shuffle_has_as_many_fixed_points_and_cycles_as_a_random_permutation() -> None:
    """Over 200 seeds the mean number of fixed points is 1 with a standard error of 0.07."""
    keys = jnp.asarray(np.random.default_rng(9).integers(2**32, size=(200, FEISTEL_ROUNDS), dtype=np.uint32))
    everyone = jnp.arange(500, dtype=jnp.int32)
    at = np.asarray(jax.jit(jax.vmap(lambda one: jax.vmap(Shuffle(500, one))(everyone)))(keys))
    assert np.mean(np.sum(at == np.arange(500), axis=1)) == pytest.approx(1.0, abs=5 * 0.07)
    first = np.bincount(at[:, 7] // 100, minlength=5)  # where node 7 goes, over seeds: evenly, 40 in each fifth
    assert np.sum((first - 40) ** 2 / 40) < 4 + 5 * np.sqrt(8)


def test_seeds_differ_and_repeat() -> None:
    assert np.array_equal(positions(300, 1), positions(300, 1))
    assert np.mean(positions(300, 1) == positions(300, 2)) < 0.05
    assert sorted_or_shuffled("sorted", 300, 1) is None
