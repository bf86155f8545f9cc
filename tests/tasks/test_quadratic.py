"""The quadratic: its heterogeneity, optimum, curvature and noise are what its docstring says, exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0

import telejax as tj
from telejax.tasks.quadratic import SUMMED_NODES
from telejax.testing import check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")

gradients = jax.jit(jax.vmap(lambda task, x, node, key: jax.grad(task.loss)(x, node, key), (None, None, 0, None)))


def all_gradients(task: tj.tasks.Quadratic, x: np.ndarray) -> np.ndarray:
    """float (nodes, dim): each node's gradient at x."""
    nodes = jnp.arange(task.nodes, dtype=jnp.int32)
    return np.asarray(gradients(task, jnp.asarray(x, task.optimum.dtype), nodes, jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["sorted", "shuffled"])
@pytest.mark.parametrize("nodes", [3, 17, 64, SUMMED_NODES, SUMMED_NODES + 1])
def test_gradients_are_exact(nodes: int, placement: str, x64: None) -> None:
    task = tj.tasks.quadratic(nodes=nodes, dim=6, heterogeneity=5.0, placement=placement, distance_sq=7.0, seed=3)
    optimum = np.asarray(task.optimum)
    assert np.sum((np.asarray(task.init(jax.random.key(0))) - optimum) ** 2) == pytest.approx(7.0, abs=1e-12)
    # tolerances: float64, means over at most 4097 numbers of order 20
    at_optimum = all_gradients(task, optimum)
    np.testing.assert_allclose(np.linalg.norm(at_optimum, axis=1), 5.0, rtol=1e-12)
    np.testing.assert_allclose(at_optimum.mean(axis=0), 0.0, atol=1e-12)
    x = np.random.default_rng(0).normal(size=6)
    np.testing.assert_allclose(all_gradients(task, x).mean(axis=0), x - optimum, atol=1e-12)
    moved = all_gradients(task, optimum + np.eye(6)[0])
    curvature = (moved - at_optimum)[:, 0]
    np.testing.assert_allclose(curvature.mean(), 1.0, rtol=1e-12)
    assert curvature.max() / curvature.min() <= np.exp(2 * 1.5) * (1 + 1e-12)
    measured = task.evaluate(jnp.asarray(x))
    assert float(measured["loss"]) == pytest.approx(0.5 * np.sum((x - optimum) ** 2))
    assert float(measured["grad_norm_sq"]) == pytest.approx(np.sum((x - optimum) ** 2))


def test_sum_and_bessel_function_agree_where_they_meet() -> None:
    """The mean over an even circle converges faster than any power: at 4096 nodes it is I_0 to the last digits."""
    for spread in (0.1, 1.5, 4.0):
        mean = np.mean(np.exp(spread * np.cos(2 * np.pi * np.arange(SUMMED_NODES) / SUMMED_NODES)))
        assert mean == pytest.approx(i0(spread), rel=1e-14)
    few = tj.tasks.quadratic(nodes=3, dim=2, spread=4.0)
    assert abs(float(few.mean_exp) / i0(4.0) - 1) > 0.01  # so small n does need its own sum


def test_two_nodes_pull_in_opposite_directions() -> None:
    at = all_gradients(task := tj.tasks.quadratic(nodes=2, dim=2, heterogeneity=1.0), np.asarray(task.optimum))
    np.testing.assert_allclose(at[0], -at[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(at, axis=1), 1.0, rtol=1e-5)


def test_largest_number_of_nodes() -> None:
    task = tj.tasks.quadratic(nodes=2**31 - 1, dim=3, placement="shuffled")
    nodes = jnp.asarray([0, 1, 2**30, 2**31 - 2], jnp.int32)
    at = gradients(task, task.optimum, nodes, jax.random.key(0))
    # float32, and the difference x - b of numbers of order 20 cancels: 1e-6 of 20 at curvature up to 3
    np.testing.assert_allclose(np.linalg.norm(at, axis=1), 5.0, rtol=1e-5)
    assert len(np.unique(np.round(at, 3), axis=0)) == 4


def test_noise_has_variance_sigma_squared_and_no_mean() -> None:
    task, quiet = (tj.tasks.quadratic(nodes=8, dim=20, noise=noise) for noise in (3.0, 0.0))
    keys = jax.random.split(jax.random.key(0), 20_000)
    x = task.optimum + 1.0
    noisy = jax.jit(jax.vmap(lambda key: jax.grad(task.loss)(x, jnp.int32(5), key)))(keys)
    noise = np.asarray(noisy - jax.grad(quiet.loss)(x, jnp.int32(5), keys[0])[None], np.float64)
    # ||e||^2 = 9/20 chi^2_20: standard deviation 9 sqrt(2/20) = 2.8, of the mean over 20 000 draws 0.02; five of them
    assert np.mean(np.sum(noise**2, axis=1)) == pytest.approx(9.0, abs=0.1)
    # each component of the mean has the deviation sqrt(9/20/20000) = 0.0047
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=5 * 0.0047)
    assert np.abs(np.corrcoef(noise.T) - np.eye(20)).max() < 5 / np.sqrt(20_000)  # white
    assert quiet.noise is None  # no noise is structure: nothing is drawn
    assert "random_bits" not in str(jax.make_jaxpr(quiet.loss)(x, jnp.int32(5), keys[0]))


def test_neighbours_are_alike_when_sorted_and_not_when_shuffled() -> None:
    alike = {}
    for placement in ("sorted", "shuffled"):
        task = tj.tasks.quadratic(nodes=256, dim=4, placement=placement)
        at = all_gradients(task, np.asarray(task.optimum)) / 5.0
        alike[placement] = np.mean(np.sum(at * np.roll(at, 1, axis=0), axis=1))
    assert alike["sorted"] == pytest.approx(np.cos(2 * np.pi / 256), abs=1e-4)
    assert abs(alike["shuffled"]) < 5 / np.sqrt(2 * 256)  # mean of 256 cosines of random angles


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["sorted", "shuffled"])
def test_contract(placement: str) -> None:
    check_task(tj.tasks.quadratic(nodes=50, dim=4, noise=2.0, placement=placement))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 1}, "nodes is 1; give an integer of at least 2"),
        ({"nodes": 2**31}, "nodes is 2147483648; give at most 2147483647"),
        ({"nodes": 2.5}, "nodes is 2.5; give an integer"),
        ({"dim": 1}, "dim is 1; give an integer of at least 2"),
        ({"heterogeneity": -1.0}, "heterogeneity is -1.0; give a finite number of at least 0"),
        ({"noise": float("nan")}, "noise is nan; give a finite number"),
        ({"spread": "wide"}, "spread is 'wide'; give a finite number"),
        ({"distance_sq": float("inf")}, "distance_sq is inf; give a finite number"),
        ({"placement": "shufled"}, "unknown placement 'shufled'; did you mean 'shuffled'"),
        ({"seed": -1}, "seed is -1; give an integer of at least 0"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tj.tasks.quadratic(**{"nodes": 8, **arguments})
