"""Members of one structure as lanes: each is what it is alone, and no program runs a member of another class."""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.simulation.hyperparameters import Variants, structure_of
from telejax.simulation.simulate import simulate_variants

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=12, dim=3, noise=1.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Doubled(tj.tasks.Quadratic):
    """The same fields, another loss."""

    def loss(self, params, node, key):
        return 2 * super().loss(params, node, key)


def doubled() -> Doubled:
    return Doubled(**{name: getattr(TASK, name) for name in TASK.__dataclass_fields__})


def test_classes_with_the_same_fields_are_two_structures() -> None:
    assert structure_of(TASK) != structure_of(doubled())
    with pytest.raises(ValueError, match="variants have 2 structures"):
        Variants.of([TASK, doubled()])
    plan = tj.teleportation(active=4, topology="ring", optimizer=SGD)
    ours, theirs = (tj.simulate(plan, task, rounds=4, progress=False).history for task in (TASK, doubled()))
    assert ours["loss"][-1] != theirs["loss"][-1]


def test_variants_of_a_plan_with_several_stages() -> None:
    """As many gradients for each candidate: the larger one leaves early."""
    plan = tj.joint_teleportation(active=(1, 4), topology="ring", optimizer=SGD)
    rates = [0.05, 0.1]
    tuned = tj.simulate(plan, TASK, gradients=32, eval_every=4, seeds=2, tune=rates, progress=False)
    assert tuned.final()["round"].to_list() == [32, 8] * 4
    for lane, rate in enumerate(rates):
        alone = tj.simulate(plan.with_learning_rate(rate), TASK, gradients=32, eval_every=4, seeds=2, progress=False)
        rows = tuned.history.filter(learning_rate=rate)
        assert rows["bytes"].to_list() == alone.history["bytes"].to_list()
        # float32, summed in another order in a wider program
        np.testing.assert_allclose(rows["loss"], alone.history["loss"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(tuned.params[:, lane], alone.params[:, 0], rtol=1e-4, atol=1e-5)


def test_noises_side_by_side() -> None:
    walk = tj.random_walk(optimizer=SGD)
    tasks = [tj.tasks.quadratic(nodes=12, dim=3, noise=noise) for noise in (0.5, 1.0)]
    runs = simulate_variants([(walk, task) for task in tasks], rounds=20, seeds=[0, 1], progress=False)
    for run, task in zip(runs, tasks, strict=True):
        alone = tj.simulate(walk, task, rounds=20, seeds=2, progress=False)
        assert run.history.columns == alone.history.columns
        np.testing.assert_allclose(run.history["loss"], alone.history["loss"], rtol=1e-4, atol=1e-6)


def test_plans_that_decide_are_no_variants() -> None:
    auto = tj.teleportation(active="auto", topology="ring", optimizer=SGD)
    with pytest.raises(ValueError, match="k=auto, whose stages depend on the history"):
        simulate_variants([(auto.bind(TASK), TASK)], rounds=4, seeds=[0])
