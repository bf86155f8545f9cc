"""Compressors lose at most what their delta says, count the bits they send, and are unbiased where they say so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import check

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

C = tj.compression
DIM = 40
X = jax.random.normal(jax.random.key(1), (DIM,)) * jnp.linspace(0.1, 3, DIM)
KEYS = jax.random.split(jax.random.key(2), 4000)

BITS = {
    "top_k": (C.top_k(0.1), 4 * (32 + 6)),
    "all": (C.top_k(1.0), DIM * (32 + 6)),
    "random_k": (C.random_k(0.25), 10 * 32),
    "random_k, unbiased": (C.random_k(0.25, unbiased=True), 10 * 32),
    "qsgd": (C.qsgd(4), DIM * (1 + 3) + 32),
    "qsgd, unbiased": (C.qsgd(16, unbiased=True), DIM * (1 + 5) + 32),
    "scaled_sign": (C.scaled_sign(), DIM + 32),
    "cast": (C.cast(jnp.bfloat16), DIM * 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BITS)
def test_what_is_lost_is_within_delta_and_bits_are_those_of_the_papers(name: str) -> None:
    compressor, bits = BITS[name]
    assert compressor.bits(DIM) == bits and compressor.message_bytes(X) == -(-bits // 8)
    sent = jax.vmap(compressor, (0, None))(KEYS, X)
    lost = jnp.sum((sent - X[None]) ** 2, axis=1) / jnp.sum(X**2)
    assert float(lost.mean()) <= 1 - compressor.delta(DIM) + 4 * float(lost.std()) / len(KEYS) ** 0.5 + 1e-7
    if compressor.unbiased:
        error = sent.std(axis=0) / len(KEYS) ** 0.5
        assert (jnp.abs(sent.mean(axis=0) - X) <= 5 * error + 1e-6).all()


def test_a_tree_is_one_vector() -> None:
    tree = {"a": jnp.array([[1.0, -5.0], [2.0, 0.5]]), "b": jnp.array([4.0])}
    kept = C.top_k(0.4)(jax.random.key(0), tree)
    assert kept["a"].tolist() == [[0.0, -5.0], [0.0, 0.0]] and kept["b"].tolist() == [4.0]
    assert C.scaled_sign()(jax.random.key(0), jnp.array([0.0, -2.0])).tolist() == [1.0, -1.0]
    narrow = C.cast(jnp.bfloat16)(jax.random.key(0), jnp.array([1 + 2**-9]))
    assert narrow.dtype == np.float32 and narrow.tolist() == [1.0]


def test_numbers_whose_squares_overflow_or_vanish_arrive() -> None:
    for size in (1e-25, 1e25, 1e37):
        for compressor in (C.qsgd(2**16), C.scaled_sign()):
            x = size * jnp.array([3.0, 3.0, -3.0, 3.0])
            np.testing.assert_allclose(compressor(jax.random.key(0), x), x, rtol=1e-3)
    network, whole = tj.Network(loss=0), tj.Network(loss=1)
    assert (network.loss, whole.loss) == (0.0, 1.0)


@pytest.mark.slow
def test_zeros_stay_zeros() -> None:
    for compressor, _ in BITS.values():
        assert (compressor(jax.random.key(0), jnp.zeros(DIM)) == 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: C.top_k(0), "share is 0; give a number above 0 and at most 1"),
        (lambda: C.top_k(1.5), "share is 1.5; give a number above 0 and at most 1"),
        (lambda: C.random_k("x"), "share is 'x'; give a number above 0 and at most 1"),
        (lambda: C.random_k(0.5, unbiased="no"), "unbiased is 'no'; give True or False"),
        (lambda: C.qsgd(0), "levels is 0; give an integer from 1 to"),
        (lambda: C.cast("int8"), "dtype is 'int8'; give a type of floats"),
        (lambda: C.cast("x"), "dtype is 'x'; give a type of floats"),
        (lambda: C.top_k(0.5)(3, X), "key is 3; give a key"),
    ],
)
def test_bad_input_is_refused(make, words: str) -> None:
    check(make, words)
