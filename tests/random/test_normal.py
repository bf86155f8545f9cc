"""The cheap normal numbers are normal, independent along every axis, and reproducible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from telejax.random.normal import fast_normal

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, DIM = 2000, 500


@pytest.fixture(scope="module")
def draws():
    """Rows as tasks draw them: one folded key a node, here in two rounds."""

    def round(key):
        return jax.vmap(lambda node: fast_normal(jax.random.fold_in(key, node), (DIM,)))(jnp.arange(NODES))

    keys = [jax.random.fold_in(jax.random.key(7), t) for t in range(2)]
    return np.stack([jax.jit(round)(key) for key in keys]).astype(float)


def test_distribution(draws):
    sample = draws[0].ravel()
    # a million draws: Kolmogorov's 1 % point is 1.63e-3, the documented deviation adds 2e-4
    assert stats.kstest(sample, "norm").statistic < 1.63 / np.sqrt(sample.size) + 2e-4
    for power, exact, spread in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5), (6, 15, 10170**0.5)):
        # five standard errors, and 0.1 % of the moment
        assert abs(np.mean(sample**power) - exact) < 5 * spread / np.sqrt(sample.size) + 1e-3 * exact
    assert np.mean(np.abs(sample) > 3) == pytest.approx(0.0027, rel=0.1)


@pytest.mark.parametrize("pair", ["numbers", "nodes", "rounds"])
def test_independence(draws, pair):
    a, b = {
        "numbers": (draws[0, :, :-1], draws[0, :, 1:]),
        "nodes": (draws[0, :-1], draws[0, 1:]),
        "rounds": (draws[0], draws[1]),
    }[pair]
    limit = 5 / np.sqrt(a.size)  # five standard errors
    assert abs(np.mean(a * b)) < limit
    assert abs(np.mean((a**2 - 1) * (b**2 - 1))) < 2 * limit


def test_means_over_a_row_scatter_as_they_should(draws):
    means = draws[0].mean(axis=1) * np.sqrt(DIM)
    assert stats.kstest(means, "norm").pvalue > 1e-3


@pytest.mark.slow
def test_reproducible_and_lanes_agree():
    keys = jax.random.split(jax.random.key(3), 4)
    together = jax.vmap(lambda key: fast_normal(key, (5, 3)))(keys)
    assert np.array_equal(together[2], fast_normal(keys[2], (5, 3)))
    assert fast_normal(keys[0], (2,), jnp.bfloat16).dtype == jnp.bfloat16
