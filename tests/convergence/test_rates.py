"""Orders of convergence, measured: how errors scale with the step size, k, n and the consensus rate."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.05)


def slope(x, y) -> float:
    """The order of y in x: the slope of log y against log x by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def floor(result: tj.Result, after: int, column: str = "loss") -> np.ndarray:
    """For each step size, the column averaged over seeds and over the rounds past ``after``."""
    late = result.history.filter(pl.col("round") > after)
    return late.group_by("learning_rate", maintain_order=True).agg(pl.col(column).mean())[column].to_numpy()


@pytest.mark.slow
def test_noise_floor_of_sgd_is_proportional_to_the_step_size() -> None:
    """All f_i alike: x <- (1 - eta) x + eta e, so ||x||^2 settles at eta^2 sigma^2 / (1 - (1 - eta)^2)."""
    task = tj.tasks.quadratic(nodes=16, dim=10, heterogeneity=0.0, noise=2.0, spread=0.0)
    rates = np.array([0.02, 0.04, 0.08, 0.16])
    run = partial(tj.simulate, tj.random_walk(optimizer=SGD), task, progress=False)
    measured = floor(run(rounds=2000, eval_every=10, seeds=16, tune=list(rates)), after=400)
    exact = 0.5 * rates**2 * 2.0**2 / (1 - (1 - rates) ** 2)
    # 16 seeds, 10 components, 1600 rounds of correlation time 1/(2 eta) = 25 or less: about 10^4 independent
    # squares of relative deviation 1.4, hence 1.4 %; four of them
    np.testing.assert_allclose(measured, exact, rtol=0.06)
    # eta / (2 - eta) has the order 1.035 on this grid; the errors above move a slope over a factor 8 by 0.01
    assert slope(rates, measured) == pytest.approx(1.0, abs=0.07)


@pytest.mark.slow
def test_teleportation_speeds_up_linearly_in_k() -> None:
    """Where noise dominates, the error of the mean model falls as 1/k, gradient noise and drawn holders alike."""
    task = tj.tasks.quadratic(nodes=4096, dim=10, heterogeneity=5.0, noise=5.0)
    active = np.array([1, 4, 16, 64])
    errors = []
    for k in active:
        algorithm = tj.teleportation(active=int(k), topology="ring", optimizer=SGD)
        errors.append(floor(tj.simulate(algorithm, task, rounds=800, eval_every=5, seeds=8, progress=False), 200)[0])
    # the correlation time is 10 rounds: 8 seeds x 60 x at least 2 components, 1000 squares, 5 % each, and a
    # slope over a factor 64 errs by 0.02; the curvatures' spread adds 1.8 eta / 2 at k = 1, the consensus error
    # of the slots a like share at k = 64: 0.02 more
    assert slope(active, errors) == pytest.approx(-1.0, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "grows"), [("shuffled", 2.0), ("sorted", 8.0)])
def test_teleportation_does_not_degrade_in_n_where_a_ring_does(placement: str, grows: float) -> None:
    """One task, one grid of step sizes, equal rounds; n = 16, 256, 4096.

    Without gradient noise, the drawn holders are the only noise of TELEPORTATION; its variance grows by
    1 / (1 - 7/15) = 1.9 from n = 16 to infinity at k = 8, and no further.
    """
    sizes, grid = [16, 256, 4096], [0.3, 0.1, 0.03, 0.01]
    best: dict[str, list[float]] = {"ring": [], "teleportation": []}
    for n in sizes:
        task = tj.tasks.quadratic(nodes=n, dim=4, heterogeneity=5.0, placement=placement)
        run = partial(tj.simulate, task=task, rounds=600, eval_every=5, tune=grid, progress=False)
        ring = run(tj.decentralized_sgd(topology="ring", optimizer=SGD))
        teleport = run(tj.teleportation(active=8, topology="ring", optimizer=SGD), seeds=32)
        best["ring"].append(floor(ring, 400).min())
        best["teleportation"].append(floor(teleport, 400).min())
    small, middle, large = best["teleportation"]
    # at eta = 0.01 the last 200 rounds are 4 correlation times: 32 x 4 x 2 squares, 9 % each, 13 % a ratio
    assert large / middle < 1.5 and large / small < 1.9 * 1.5
    small, middle, large = best["ring"]
    assert large / small > grows and middle > small
    assert large > grows * best["teleportation"][-1]


def lazy_ring(nodes: int, share: float) -> tj.Topology:
    """(1 - share) I + share W: a ring that mixes less, of the same structure."""
    return tj.topology.from_matrix((1 - share) * np.eye(nodes) + share * tj.topology.ring(nodes).matrix())


@pytest.mark.slow
@pytest.mark.parametrize("vary", ["nodes", "share"])
def test_bias_of_decentralized_sgd_grows_as_the_consensus_rate_shrinks(vary: str, x64: None) -> None:
    """Stationary errors are proportional to (1 - p) / p^2, the heterogeneity term of the bound.

    Sorted on a circle, gradients lie in the slowest mode of a ring, whose eigenvalue is lambda = sqrt(1 - p). To
    first order in eta the slots settle at -eta lambda / (1 - lambda) g_i from their mean, and the mean where
    sum_i a_i (x_i - x*) + g_i = 0: both squares are eta^2 lambda^2 / (1 - lambda)^2 = eta^2 (1 - p)
    (1 + lambda)^2 / p^2 times a constant.
    """
    graphs = [(8, 1.0), (12, 1.0), (16, 1.0), (24, 1.0)] if vary == "nodes" else [(12, s) for s in (1, 0.6, 0.4, 0.25)]
    rate, predicted, consensus, bias = 1e-3, [], [], []
    for nodes, share in graphs:
        topology = lazy_ring(nodes, share)
        task = tj.tasks.quadratic(nodes=nodes, dim=2, heterogeneity=1.0, spread=0.5, placement="sorted")
        algorithm = tj.decentralized_sgd(topology=topology, optimizer=tj.optimizer(optax.sgd, learning_rate=rate))
        last = tj.simulate(algorithm, task, rounds=12_000, eval_every=12_000, progress=False).history.row(
            -1, named=True
        )
        p = topology.consensus_rate()
        predicted.append((1 - p) / p**2 * (1 + np.sqrt(1 - p)) ** 2 / 4)
        consensus.append(last["consensus"])
        bias.append(last["loss"])
    assert max(predicted) > 10 * min(predicted)
    # exact: eta^2 zeta^2 (1-p)(1+lambda)^2/p^2; what is left out is of relative order eta / p <= 0.04
    np.testing.assert_allclose(consensus, 4 * rate**2 * np.array(predicted), rtol=0.1)
    assert slope(predicted, consensus) == pytest.approx(1.0, abs=0.04)
    assert slope(predicted, bias) == pytest.approx(1.0, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("active", [2, 4, 8, 15, 16])
def test_drawing_without_replacement_has_the_hypergeometric_variance(active: int) -> None:
    """From the optimum, one step of size 1 moves the mean by the mean of g_i over the holders, whose variance is
    zeta^2 / k (1 - (k - 1) / (n - 1)): none at all at k = n."""
    task = tj.tasks.quadratic(nodes=16, dim=2, heterogeneity=5.0)
    one = tj.optimizer(optax.sgd, learning_rate=1.0)
    algorithm = tj.teleportation(active=active, topology="complete", optimizer=one)
    state = algorithm.start(jax.random.key(0), task.optimum, task)
    moves = jax.jit(jax.vmap(lambda key: algorithm.step(key, state, task)[0].params[0] - task.optimum))
    squares = np.sum(np.asarray(moves(jax.random.split(jax.random.key(active), 20_000)), np.float64) ** 2, axis=1)
    expected = 5.0**2 / active * (1 - (active - 1) / 15)
    # the square of a 2-d vector deviates by about its mean: 20 000 of them by 0.7 %; five of these. float32 leaves
    # 1e-5 of numbers of order 20, squared
    assert np.mean(squares) == pytest.approx(expected, rel=0.035, abs=1e-8)
    assert (squares.max() < 1e-8) == (active == 16)


def fixed_point(task: tj.tasks.Quadratic, matrix: np.ndarray, eta: float) -> np.ndarray:
    """Where x <- W (x - eta g(x)) stays, from gradients that are affine: g_i(x) = a_i x + c_i. (nodes, dim)."""
    nodes = jnp.arange(task.nodes, dtype=jnp.int32)
    at = lambda x: np.asarray(tj.gradients(jax.random.key(0), jnp.full((task.nodes, task.dim), x), nodes, task))
    constant = at(0.0)
    curvature = (at(1.0) - constant)[:, 0]
    system = np.eye(task.nodes) - matrix @ np.diag(1 - eta * curvature)
    return np.linalg.solve(system, -eta * matrix @ constant)


@pytest.mark.slow
def test_bias_of_decentralized_sgd_has_the_orders_of_step_size_and_consensus_rate(x64: None) -> None:
    """The squared distance of the nodes from the optimum is of the order eta^2 / p^2, where eta is far below p."""
    rates, sizes = [1e-4, 5e-5, 2.5e-5], [16, 32, 64]
    errors = {}
    for nodes in sizes:
        task = tj.tasks.quadratic(nodes=nodes, dim=3, heterogeneity=3.0, placement="sorted")
        ring = tj.topology.ring(nodes)
        for eta in rates:
            point = fixed_point(task, ring.matrix(), eta)
            method = tj.decentralized_sgd(topology=ring, optimizer=tj.optimizer(optax.sgd, learning_rate=eta))
            state = method.init(jax.random.key(0), task).replace(params=jnp.asarray(point))
            after, _ = method.step(jax.random.key(1), state, task)
            np.testing.assert_allclose(after.params, point, rtol=0, atol=1e-13)  # telejax stays there
            errors[nodes, eta] = float(np.mean(np.sum((point - np.asarray(task.optimum)) ** 2, axis=1)))
    for nodes in sizes:  # at n = 64, eta / p is 0.02 still
        assert slope(rates, [errors[nodes, eta] for eta in rates]) == pytest.approx(2.0, abs=0.1)
    gaps = [tj.topology.ring(nodes).consensus_rate() for nodes in sizes]
    assert slope(gaps, [errors[nodes, rates[-1]] for nodes in sizes]) == pytest.approx(-2.0, abs=0.15)


@pytest.mark.slow
def test_compressed_gossip_reaches_consensus_linearly() -> None:
    """CHOCO-SGD with step size 0 and 5 % of the numbers: each 500 rounds shrink the consensus distance alike."""
    task = tj.tasks.quadratic(nodes=8, dim=100)
    method = tj.choco_sgd(
        topology="ring",
        compressor=tj.compression.top_k(0.05),
        consensus_step=0.02,
        optimizer=tj.optimizer(optax.sgd, learning_rate=0.0),
    ).bind(task)
    state = method.init(jax.random.key(0), task)
    state = state.replace(params=jax.random.normal(jax.random.key(1), (8, 100)))

    @jax.jit
    def later(state: tj.State) -> tj.State:
        return jax.lax.fori_loop(0, 500, lambda _, x: method.step(jax.random.key(2), x, task)[0], state)

    distances = []
    for _ in range(6):
        x = np.asarray(state.params, np.float64)
        distances.append(np.sum((x - x.mean(axis=0)) ** 2))
        state = later(state)
    shrunk = np.log(np.divide(distances[1:-1], distances[2:]))  # the first rounds tell the neighbours of the start
    assert shrunk.min() > 1 and shrunk.min() > 0.95 * shrunk.max()
