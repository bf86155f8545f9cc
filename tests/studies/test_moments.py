"""Exact moments: by enumerating all draws of a small problem, by runs without noise, by many runs with it."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.studies.theory.moments import Locals, moments

pytestmark = pytest.mark.usefixtures("compiled_fast")

COLUMNS = ["loss", "loss_slots", "consensus"]
ETA = 0.2
SGD = tj.optimizer(optax.sgd, learning_rate=ETA)
QUADRATIC = tj.tasks.quadratic(nodes=4, dim=3, heterogeneity=2.0, spread=1.0, seed=1)
KOLOSKOVA = tj.tasks.koloskova_quadratic(nodes=4, dim=3, heterogeneity=2.0, seed=1)
NOISY = tj.tasks.quadratic(nodes=20, dim=4, heterogeneity=3.0, noise=4.0)


def by_enumeration(task, matrix: np.ndarray, rounds: int) -> list[list[float]]:
    """The three columns as means over all sequences of holders, each as likely."""
    nodes = jnp.arange(task.nodes)
    a, g = (np.asarray(part, np.float64) for part in jax.vmap(task.local)(nodes))
    start = np.asarray(task.init(None), np.float64) - np.asarray(task.optimum, np.float64)
    draws = [np.array(one) for one in itertools.permutations(range(task.nodes), len(matrix))]
    rows = [[0.0, 0.0, 0.0] for _ in range(rounds + 1)]
    for sequence in itertools.product(draws, repeat=rounds):
        e = np.tile(start, (len(matrix), 1))
        for now in range(rounds + 1):
            mean = e.mean(axis=0)
            told = a.mean() / 2 * mean @ mean, a.mean() / 2 * (e**2).sum(1).mean(), ((e - mean) ** 2).sum(1).mean()
            rows[now] = [old + one / len(draws) ** rounds for old, one in zip(rows[now], told, strict=True)]
            if now < rounds:
                holders = sequence[now]
                e = matrix @ (e - ETA * (a[holders, None] * e + g[holders]))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("task", [QUADRATIC, KOLOSKOVA], ids=["quadratic", "koloskova"])
@pytest.mark.parametrize(("active", "topology"), [(2, "complete"), (3, "path"), (1, "complete")])
def test_teleportation_is_the_mean_over_all_draws(task, active, topology):
    algorithm = tj.teleportation(active=active, topology=topology, optimizer=SGD)
    matrix = tj.topology.from_spec(topology, active).matrix(0)
    made = moments(task, algorithm, 2).select(COLUMNS).to_numpy()
    np.testing.assert_allclose(made, by_enumeration(task, matrix, 2), rtol=1e-6)  # a and g are float32


@pytest.mark.slow
@pytest.mark.parametrize("order", ["adapt_then_combine", "combine_then_adapt"])
@pytest.mark.parametrize("topology", ["ring", "one_peer_exponential", "random_matching", "star"])
def test_dsgd_without_noise_is_its_run(order, topology):
    task = tj.tasks.quadratic(nodes=16, dim=4, heterogeneity=3.0)
    algorithm = tj.decentralized_sgd(topology=topology, optimizer=SGD, order=order)
    run = tj.simulate(algorithm, task, rounds=12, eval_every=1, progress=False).history
    made = moments(task, algorithm, 12)
    assert made["round"].to_list() == run["round"].to_list()
    np.testing.assert_allclose(made.select(COLUMNS).to_numpy(), run.select(COLUMNS).to_numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [
        tj.teleportation(active=6, topology="ring", optimizer=SGD),
        tj.teleportation(active=6, topology="random_matching", optimizer=SGD),
        tj.decentralized_sgd(topology="ring", optimizer=SGD),
        tj.decentralized_sgd(topology="ring", optimizer=SGD, order="combine_then_adapt"),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_many_runs_with_noise_have_these_means(algorithm):
    runs = tj.simulate(algorithm, NOISY, rounds=20, eval_every=10, seeds=600, progress=False).history
    means = runs.group_by("round").agg(pl.col(*COLUMNS).mean()).sort("round")[1:]
    errors = runs.group_by("round").agg(pl.col(*COLUMNS).std() / np.sqrt(600)).sort("round")[1:]
    exact = moments(NOISY, algorithm, 20).filter(pl.col("round").is_in([10, 20]))
    off = (means.select(COLUMNS) - exact.select(COLUMNS)).to_numpy() / errors.select(COLUMNS).to_numpy()
    assert np.abs(off).max() < 4.5  # of six; the seeds are fixed
    quiet = moments(tj.tasks.quadratic(nodes=20, dim=4, heterogeneity=3.0), algorithm, 20)[20]
    noisy = exact[-1].select(COLUMNS).to_numpy() - quiet.select(COLUMNS).to_numpy()
    assert (noisy > 5 * errors[-1].select(COLUMNS).to_numpy()).all()  # what was compared is not the noiseless curve


def test_all_nodes_on_a_complete_graph_are_gradient_descent():
    algorithm = tj.teleportation(active=4, topology="complete", optimizer=SGD)
    made = moments(QUADRATIC, algorithm, 30)
    np.testing.assert_allclose(made["loss"], 5.0 * (1 - ETA) ** (2 * np.arange(31)), rtol=1e-5)
    np.testing.assert_allclose(made["consensus"], 0, atol=1e-9)


@pytest.mark.slow
def test_the_exact_optimum_is_that_of_exact_curves():
    task, tried = tj.tasks.quadratic(nodes=32, heterogeneity=5.0, noise=5.0), {"learning_rates": [0.01, 0.05]}
    found = tj.theory.optimal_active(task, rounds=100, objective="slots", **tried)
    ends = {}
    for k in (1, 2, 4, 8, 16, 32):
        methods = [
            tj.teleportation(active=k, topology="ring", optimizer=SGD.with_learning_rate(rate)) for rate in (0.01, 0.05)
        ]
        ends[k] = min(moments(task, one, 100)["loss_slots"][-1] for one in methods)
    assert found == min(k for k, end in ends.items() if end <= 1.05 * min(ends.values()))
    bound = tj.theory.optimal_active(tj.theory.measure(task), nodes=32, rounds=100)
    assert found > bound  # as searches measure it
    mean = tj.theory.optimal_active(task, rounds=100, objective="mean", **tried)
    assert mean >= found  # of the mean, more is better


def test_locals_are_those_of_the_task():
    told = Locals.of(KOLOSKOVA)
    np.testing.assert_allclose(told.gradients.mean(axis=0), 0, atol=1e-6)
    at = jnp.ones(3)
    for node in range(4):
        own = jax.grad(KOLOSKOVA.loss)(at, jnp.int32(node), jax.random.key(0))
        e = np.ones(3) - np.asarray(KOLOSKOVA.optimum)
        np.testing.assert_allclose(own, told.curvatures[node] * e + told.gradients[node], rtol=1e-4)


RING = tj.teleportation(active=2, topology="ring", optimizer=SGD)
BAD = {
    "task": (lambda: moments(tj.tasks.digits(nodes=10), RING, 3), "give a quadratic"),
    "method": (lambda: moments(QUADRATIC, tj.random_walk(optimizer=SGD), 3), "give telejax.decentralized_sgd(...)"),
    "momentum": (
        lambda: moments(
            QUADRATIC,
            tj.teleportation(
                active=2, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
            ),
            3,
        ),
        "moments are those of plain SGD",
    ),
    "adam": (
        lambda: moments(
            QUADRATIC,
            tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.adam, learning_rate=0.1)),
            3,
        ),
        "plain SGD",
    ),
    "local": (
        lambda: moments(QUADRATIC, tj.teleportation(active=2, topology="ring", optimizer=SGD, local_steps=2), 3),
        "local_steps = 2",
    ),
    "rule": (
        lambda: moments(QUADRATIC, tj.teleportation(active=4, topology="ring", optimizer=SGD, aggregation="median"), 3),
        "aggregation",
    ),
    "rounds": (lambda: moments(QUADRATIC, RING, 0), "rounds is 0"),
    "slots": (
        lambda: moments(tj.tasks.quadratic(nodes=10**4), tj.decentralized_sgd(topology="ring", optimizer=SGD), 3),
        "10000 slots; give at most 4096",
    ),
    "nodes": (lambda: moments(tj.tasks.quadratic(nodes=10**8), RING, 3), "100000000 nodes; give at most 1000000"),
    "objective": (lambda: tj.theory.optimal_active(QUADRATIC, rounds=3, objective="best"), "objective"),
    "constants": (
        lambda: tj.theory.optimal_active(tj.theory.measure(QUADRATIC), rounds=3, objective="slots"),
        "problem is",
    ),
    "n twice": (
        lambda: tj.theory.optimal_active(QUADRATIC, nodes=4, rounds=3, objective="slots"),
        "leave nodes out",
    ),
    "no rates": (
        lambda: tj.theory.optimal_active(QUADRATIC, rounds=3, objective="slots", learning_rates=[]),
        "learning_rates is empty",
    ),
    "rates that diverge": (
        lambda: tj.theory.optimal_active(QUADRATIC, rounds=2000, objective="slots", learning_rates=[50.0]),
        "learning_rates is 50, with which the loss of every candidate diverges",
    ),
    "a task for the bound": (lambda: tj.theory.optimal_active(QUADRATIC, nodes=4, rounds=3), "problem is"),
    "no nodes": (
        lambda: tj.theory.optimal_active(tj.theory.measure(QUADRATIC), rounds=3),
        "nodes is None",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
