"""Gathered windows against XLA's convolution, normalisation and pooling against flax's."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax import models
from telejax.models.network import check_fits

pytestmark = pytest.mark.usefixtures("compiled_fast")

CASES = {
    "paper": ((28, 28), (5, 5), (1, 1), "VALID"),
    "odd sizes": ((13, 9), (3, 5), (1, 1), "VALID"),
    "strides": ((14, 15), (3, 3), (2, 3), "VALID"),
    "same": ((9, 8), (3, 3), (1, 1), "SAME"),
    "same, strides": ((9, 8), (4, 3), (2, 2), "SAME"),
    "given padding": ((7, 6), (5, 2), (2, 1), ((3, 0), (1, 2))),
    "kernel as large as the map": ((5, 4), (5, 4), (1, 1), "VALID"),
}


@pytest.mark.fast_cases("same, strides")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_windows_equal_plain_convolution(case):
    size, window, strides, padding = case
    keys = jax.random.split(jax.random.key(0), 3)
    maps = jax.random.normal(keys[0], (3, *size, 4))
    kernel = jax.random.normal(keys[1], (*window, 3, 5)) / np.sqrt(3 * np.prod(window))

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(form):
        value, pull = jax.vjp(lambda *xs: models.convolve(*xs, strides, padding, form), maps, kernel)
        return value, *pull(jax.random.normal(keys[2], value.shape) / np.sqrt(value.size))

    for fast, plain in zip(value_and_gradients("windows"), value_and_gradients("plain"), strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-5)  # the bound; sums of float32 of order one


def test_group_norm_equals_flax():
    images = 3 + 2 * jax.random.normal(jax.random.key(0), (4, 5, 7, 6))  # NHWC
    ours, params = jax.jit(models.GroupNorm(2).init_with_output)(jax.random.key(0), images.transpose(3, 1, 2, 0))
    theirs, _ = jax.jit(nn.GroupNorm(2).init_with_output)(jax.random.key(0), images)
    np.testing.assert_allclose(ours.transpose(3, 1, 2, 0), theirs, atol=2e-5)  # one-pass variance of numbers near 3
    assert jax.tree.map(jnp.shape, params["params"]) == {"scale": (6,), "bias": (6,)}


def test_max_pool_equals_flax():
    images = jax.random.normal(jax.random.key(0), (2, 9, 6, 3))
    ours = models.max_pool(images.transpose(3, 1, 2, 0)).transpose(3, 1, 2, 0)
    np.testing.assert_array_equal(ours, nn.max_pool(images, (2, 2), (2, 2)))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: models.convolve(jnp.zeros((1, 4, 4, 1)), jnp.zeros((5, 5, 1, 2))), "4 x 4 pixels"),
        (lambda: models.convolve(jnp.zeros((3, 9, 9, 1)), jnp.zeros((5, 5, 1, 2))), "3 channels"),
        (lambda: models.GroupNorm(4).init(jax.random.key(0), jnp.zeros((6, 2, 2, 1))), "groups is 4.*6 channels"),
        (lambda: check_fits(models.as_network("lenet", 10), (64,), 10), r"\(64,\).*at least\s+16 x 16"),
        (lambda: check_fits(models.as_network("vgg", 10), (6, 6, 3), 10), r"\(6, 6, 3\).*8 x 8"),
        (lambda: check_fits(models.as_network(models.LeNet(7), 10), (28, 28, 1), 10), r"\(7,\).*10 classes"),
        (lambda: models.as_network("lenett", 10), "did you mean 'lenet'"),
        (lambda: models.as_network(3, 10), "model is 3; give a name"),
    ],
)
def test_bad_input_is_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_batch_statistics_are_refused():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False)(nn.Dense(10)(x))

    with pytest.raises(ValueError, match=r"batch_stats.*GroupNorm"):
        check_fits(models.as_network(Normed(), 10), (4,), 10)


def test_blocks_equal_plain_convolution_and_are_pooled_alike():
    keys = jax.random.split(jax.random.key(0), 3)
    maps = jax.random.normal(keys[0], (3, 9, 12, 4))
    kernel = jax.random.normal(keys[1], (4, 3, 3, 5)) / 6
    weights = jax.random.normal(keys[2], (5, 3, 5, 4)) / 8

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(blocks):
        def of(maps, kernel):
            out = models.convolution.convolve_blocks(maps, kernel) if blocks else models.convolve(maps, kernel)
            return jnp.sum(models.max_pool(out) * weights), models.convolution.from_blocks(out) if blocks else out

        return jax.value_and_grad(of, (0, 1), has_aux=True)(maps, kernel)

    for fast, plain in zip(*map(jax.tree.leaves, (value_and_gradients(True), value_and_gradients(False))), strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-5)  # sums of float32 of order one


def test_norm_of_blocks_is_that_of_their_maps():
    blocks = jax.random.normal(jax.random.key(0), (6, 4, 3, 2, 5))
    norm, from_blocks = models.GroupNorm(2), models.convolution.from_blocks
    params = norm.init(jax.random.key(1), blocks)
    np.testing.assert_allclose(
        from_blocks(norm.apply(params, blocks)), norm.apply(params, from_blocks(blocks)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: models.convolution.convolve_blocks(jnp.zeros((1, 9, 8, 1)), jnp.zeros((3, 3, 1, 2))),
            "7 x 6 new pixels",
        ),
        (
            lambda: models.Conv(2, (3, 3), padding="SAME", blocks=True).init(
                jax.random.key(0), jnp.zeros((1, 8, 8, 1))
            ),
            "with blocks leave",
        ),
    ],
)
def test_blocks_that_cannot_be_are_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()
