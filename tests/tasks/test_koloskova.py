"""The synthetic problem of Koloskova et al. 2020, by its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.tasks.koloskova import MAX_NODES
from telejax.testing import check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")


def test_losses_and_optimum_follow_the_formula(x64: None) -> None:
    n, d = 9, 5
    task = tj.tasks.koloskova_quadratic(nodes=n, dim=d, heterogeneity=2.0, seed=4)
    b, x = np.asarray(task.targets), np.random.default_rng(0).normal(size=d)
    matrices = [np.sqrt((i + 1) ** 2 / n) * np.eye(d) for i in range(n)]  # A_i^2 = i^2 / n, i from 1
    losses = [0.5 * np.sum((matrices[i] @ x - b[i]) ** 2) for i in range(n)]
    ours = [float(task.loss(jnp.asarray(x), jnp.int32(i), jax.random.key(0))) for i in range(n)]
    np.testing.assert_allclose(ours, losses, rtol=1e-12)
    hessian = np.mean([a.T @ a for a in matrices], axis=0)
    optimum = np.linalg.solve(hessian, np.mean([a.T @ y for a, y in zip(matrices, b, strict=True)], axis=0))
    np.testing.assert_allclose(np.asarray(task.optimum), optimum, rtol=1e-12)
    at_optimum = np.mean([0.5 * np.sum((a @ optimum - y) ** 2) for a, y in zip(matrices, b, strict=True)])
    measured = task.evaluate(jnp.asarray(x))
    assert float(measured["loss"]) == pytest.approx(np.mean(losses) - at_optimum, rel=1e-12)
    assert float(measured["grad_norm_sq"]) == pytest.approx(np.sum((hessian @ (x - optimum)) ** 2), rel=1e-12)
    assert np.array_equal(np.asarray(task.init(jax.random.key(0))), np.ones(d))


def test_targets_have_variance_zeta_squared_over_i_squared() -> None:
    task = tj.tasks.koloskova_quadratic(nodes=400, dim=200, heterogeneity=3.0)
    scaled = np.asarray(task.targets) * np.arange(1, 401)[:, None] / 3.0
    assert np.mean(scaled**2) == pytest.approx(1.0, abs=5 * np.sqrt(2 / 80_000))
    rows = np.mean(scaled**2, axis=1)  # each has the deviation sqrt(2 / 200) = 0.1
    assert rows.min() > 0.5 and rows.max() < 1.5


def test_noise_has_variance_sigma_squared() -> None:
    task, quiet = (tj.tasks.koloskova_quadratic(nodes=4, dim=10, noise=noise) for noise in (2.0, 0.0))
    x, keys = jnp.ones(10), jax.random.split(jax.random.key(1), 20_000)
    noisy = jax.jit(jax.vmap(lambda key: jax.grad(task.loss)(x, jnp.int32(3), key)))(keys)
    noise = np.asarray(noisy - jax.grad(quiet.loss)(x, jnp.int32(3), keys[0])[None])
    # ||e||^2 has the deviation 4 sqrt(2 / 10) = 1.8, its mean over 20 000 draws 0.013
    assert np.mean(np.sum(noise**2, axis=1)) == pytest.approx(4.0, abs=5 * 0.013)
    assert quiet.noise is None


@pytest.mark.slow
def test_contract() -> None:
    check_task(tj.tasks.koloskova_quadratic(nodes=25, dim=4, noise=1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": MAX_NODES + 1}, f"nodes is {MAX_NODES + 1}; .*tasks.quadratic has bounded curvature"),
        ({"nodes": 0}, "nodes is 0; give an integer of at least 1"),
        ({"dim": 0}, "dim is 0; give an integer of at least 1"),
        ({"noise": -1.0}, "noise is -1.0; give a finite number"),
        ({"heterogeneity": float("inf")}, "heterogeneity is inf; give a finite number"),
        ({"seed": -2}, "seed is -2; give an integer of at least 0"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tj.tasks.koloskova_quadratic(**{"nodes": 8, **arguments})
