"""Bounds, their minimum over k, and the constants measured from a task."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

import telejax as tj
from telejax.studies import theory

pytestmark = pytest.mark.usefixtures("compiled_fast")

UNIT = theory.ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)


def test_special_cases_agree():
    # k = n on a complete graph is mini-batch SGD over all nodes, where heterogeneity has no part
    full = theory.teleportation(UNIT, nodes=50, active=50, rounds=100, p=1.0)
    assert full == pytest.approx(theory.all_reduce(UNIT, nodes=50, rounds=100))
    assert full == pytest.approx(theory.decentralized_sgd(UNIT, nodes=50, rounds=100, p=1.0))
    # written out by hand: sqrt(1/(4 100)) + ((0.5 + 1) 0.5 / (0.25 100^2))^(1/3) + 1 / (0.5 100)
    by_hand = np.sqrt(1 / 400) + (1.5 * 0.5 / (0.25 * 1e4)) ** (1 / 3) + 1 / 50
    assert theory.decentralized_sgd(UNIT, nodes=4, rounds=100, p=0.5) == pytest.approx(by_hand)
    # sqrt((1 + (1 - 1/3)) / (2 100)) + (2 0.5 / (0.5 100^2))^(1/3) + 1 / (0.5 100)
    by_hand = np.sqrt((5 / 3) / 200) + (2 * 0.5 / (0.5 * 1e4)) ** (1 / 3) + 1 / 50
    assert theory.teleportation(UNIT, nodes=4, active=2, rounds=100, p=0.5) == pytest.approx(by_hand)


def test_a_ring_degrades_dsgd_with_n_and_not_teleportation():
    rate = lambda n: tj.topology.ring(n).consensus_rate()
    dsgd = [theory.decentralized_sgd(UNIT, nodes=n, rounds=1000, p=rate(n)) for n in (16, 64, 256)]
    assert dsgd[0] < dsgd[1] < dsgd[2]
    teleportation = [theory.teleportation(UNIT, nodes=n, active=16, rounds=1000, p=rate(16)) for n in (16, 64, 256)]
    assert teleportation[2] < 1.5 * teleportation[0]


@pytest.mark.slow
def test_the_optimum_on_a_ring_grows_as_the_seventh_root():
    """Over five decades of T the fitted exponent is 1/7 within 0.02 (all k tried, so no rounding to powers of two)."""
    times = np.logspace(7, 12, 6)
    best = [theory.optimal_active(UNIT, nodes=10**6, rounds=int(t), candidates=range(1, 200)) for t in times]
    slope = np.polyfit(np.log(times), np.log(best), 1)[0]
    assert slope == pytest.approx(1 / 7, abs=0.02)


def test_a_period_enters_with_its_length():
    table = theory.bounds(UNIT, nodes=16, topology="one_peer_exponential", rounds=1000)
    assert table["p"].to_list() == pytest.approx([1.0] * 5)
    assert table["tau"].to_list() == [1, 1, 2, 3, 4]
    faster = theory.optimal_active(UNIT, nodes=1024, topology="exponential", rounds=10**5)
    assert faster > theory.optimal_active(UNIT, nodes=1024, topology="ring", rounds=10**5)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "looked_at"), [(64, 64), (400, 100)])
def test_measure_finds_the_constants_of_a_quadratic(nodes, looked_at):
    task = tj.tasks.quadratic(nodes=nodes, heterogeneity=5.0, noise=3.0)
    at = task.optimum
    problem = tj.theory.measure(task, at, nodes=looked_at, draws=32)
    numbers = jnp.arange(nodes, dtype=jnp.int32)
    curvatures = np.asarray(jax.vmap(lambda i: task.local(i)[0])(numbers))
    if looked_at == nodes:
        assert problem.smoothness == pytest.approx(curvatures.max(), rel=1e-4)
    else:  # the largest of a sample
        assert np.quantile(curvatures, 0.9) < problem.smoothness <= curvatures.max() * 1.0001
    assert problem.suboptimality == pytest.approx(5.0, rel=1e-5)
    # chi-square over 31 x 50 x 100 degrees of freedom: relative deviation 0.4 %
    assert problem.noise_sq == pytest.approx(9.0, rel=0.03)
    # ||g_i||^2 is 25 for every node; the correction for noise adds about 2 %, a sample of nodes 10 %
    assert problem.heterogeneity_sq == pytest.approx(25.0, rel=0.05 if looked_at == nodes else 0.3)


def test_measure_without_noise_or_heterogeneity():
    task = tj.tasks.quadratic(nodes=16, heterogeneity=0.0, noise=0.0, spread=0.0)
    problem = theory.measure(task)
    assert problem.noise_sq == 0.0 and problem.heterogeneity_sq == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_power_iteration_finds_the_largest_eigenvalue_of_a_full_hessian():
    from dataclasses import dataclass, field

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Full:
        nodes: int = field(metadata={"static": True})
        matrix: jax.Array

        def init(self, key):
            return {"x": jnp.ones(4), "y": jnp.ones(2)}

        def loss(self, params, node, key):
            x = jnp.concatenate([params["x"], params["y"]])
            return 0.5 * x @ self.matrix @ x * (1 + node)

        def evaluate(self, params):
            return {"loss": self.loss(params, 1, None)}

    root = np.random.default_rng(0).normal(size=(6, 6))
    matrix = root @ root.T
    problem = theory.measure(Full(3, jnp.asarray(matrix)), steps=300)
    assert problem.smoothness == pytest.approx(3 * np.linalg.eigvalsh(matrix)[-1], rel=1e-3)


@pytest.mark.slow
def test_measure_on_a_network():
    problem = theory.measure(tj.tasks.digits(nodes=50, alpha=0.1), nodes=8, draws=4, steps=5)
    assert problem.smoothness > 0 and problem.noise_sq > 0 and problem.heterogeneity_sq > 0
    assert problem.suboptimality == pytest.approx(np.log(10), rel=0.5)  # about ln 10 at the start


@pytest.mark.slow
def test_plot_marks_both_optima():
    task = tj.tasks.quadratic(nodes=30, noise=1.0)
    found = tj.search(task, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1), rounds=30, seeds=1, progress=False)
    axes = theory.plot(UNIT, found)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    predicted = theory.optimal_active(UNIT, nodes=30, rounds=30)
    assert f"predicted: {predicted}" in labels and f"recommended: {found.best}" in labels


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.ProblemConstants(0.0, 1.0, 1.0, 1.0), "smoothness is 0"),
        (lambda: theory.ProblemConstants(1.0, -1.0, 1.0, 1.0), "noise_sq is -1"),
        (lambda: theory.decentralized_sgd(UNIT, nodes=4, rounds=10, p=0.0), "p is 0"),
        (lambda: theory.decentralized_sgd(UNIT, nodes=4, rounds=10, p=1.5), "p is 1.5"),
        (lambda: theory.teleportation(UNIT, nodes=4, active=5, rounds=10, p=1.0), "active is 5 of 4"),
        (lambda: theory.bounds(UNIT, nodes=4), "exactly one"),
        (lambda: theory.measure(tj.tasks.quadratic(nodes=4), minimum=9.0), "minimum is 9"),
        (lambda: theory.measure(tj.tasks.quadratic(nodes=4), draws=1), "draws is 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_most_uses_at_the_smallest_probabilities():
    uses = tj.theory.most_uses(2596, nodes=301, active=253, probability=1e-14)
    law = scipy.stats.binom(2596, 253 / 301)
    assert 301 * law.sf(uses) <= 1e-14 < 301 * law.sf(uses - 1)
