"""Members of one structure as a batch axis: each is what it is alone, and no program runs a member of another class."""

from dataclasses import dataclass

import jax
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.backend import memory
from telejax.simulation import compiled
from telejax.simulation.batching import BatchAxes, HyperparameterBatch, structure_of
from telejax.simulation.simulate import simulate_batch
from telejax.studies.search.equal_gradients import EqualGradients

pytestmark = pytest.mark.usefixtures("compiled_fast")

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


@pytest.mark.slow
def test_classes_with_the_same_fields_are_two_structures() -> None:
    assert structure_of(TASK) != structure_of(doubled())
    with pytest.raises(ValueError, match="members have 2 structures"):
        HyperparameterBatch.of([TASK, doubled()])
    plan = tj.teleportation(active=4, topology="ring", optimizer=SGD)
    ours, theirs = (tj.simulate(plan, task, rounds=4, progress=False).history for task in (TASK, doubled()))
    assert ours["loss"][-1] != theirs["loss"][-1]


@pytest.mark.slow
def test_step_sizes_under_equal_gradients() -> None:
    """As many gradients for each candidate: the larger one leaves early."""
    plan = tj.joint_teleportation(active=(1, 4), topology="ring", optimizer=SGD)
    rates = [0.05, 0.1]
    common = {"gradients": 32, "eval_every": 4, "seeds": 2, "progress": False}
    tuned = tj.simulate(EqualGradients(plan), TASK, tune=rates, **common)
    assert tuned.final()["round"].to_list() == [32, 8] * 4
    for place, rate in enumerate(rates):
        alone = tj.simulate(EqualGradients(plan.with_learning_rate(rate)), TASK, **common)
        rows = tuned.history.filter(learning_rate=rate)
        assert rows["bytes"].to_list() == alone.history["bytes"].to_list()
        # float32, summed in another order in a wider program
        np.testing.assert_allclose(rows["loss"], alone.history["loss"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(tuned.params[:, place], alone.params[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_noises_side_by_side() -> None:
    walk = tj.random_walk(optimizer=SGD)
    tasks = [tj.tasks.quadratic(nodes=12, dim=3, noise=noise) for noise in (0.5, 1.0)]
    runs = simulate_batch([(walk, task) for task in tasks], rounds=20, seeds=[0, 1], progress=False)
    for run, task in zip(runs, tasks, strict=True):
        alone = tj.simulate(walk, task, rounds=20, seeds=2, progress=False)
        assert run.history.columns == alone.history.columns
        np.testing.assert_allclose(run.history["loss"], alone.history["loss"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_models_belong_to_their_rows_in_whatever_order_step_sizes_are_given() -> None:
    plan = tj.joint_teleportation(active=(1, 4), topology="ring", optimizer=SGD)
    for run in (
        tj.simulate(plan, TASK, rounds=8, tune=[0.1, 0.02], progress=False),
        tj.simulate(EqualGradients(plan), TASK, gradients=32, tune=[0.1, 0.02], progress=False),
    ):
        assert run.learning_rates == [0.1, 0.02]
        best = run.tuned()
        # float32, evaluated in a program of its own
        assert float(TASK.evaluate(best.model)["loss"]) == pytest.approx(best.final()["loss"][0], rel=1e-4)


@pytest.mark.slow
def test_a_tuned_result_is_tuned_already_and_goes_on() -> None:
    plan = tj.teleportation(active=4, topology="ring", optimizer=SGD)
    tuned = tj.simulate(plan, TASK, rounds=8, tune=[0.1, 0.02], progress=False).tuned()
    again = tuned.tuned()
    assert again.state.params.shape == tuned.state.params.shape == (4, 3)
    assert np.array_equal(again.state.params, tuned.state.params)
    best = plan.with_learning_rate(tuned.learning_rates[0])
    more = tj.simulate(best, TASK, rounds=4, state=again, progress=False).history
    assert more["round"][0] == 8 and more["messages"][-1] > tuned.history["messages"][-1]


GRID = {"learning_rate": [0.05, 0.1, 0.2], "momentum": [0.0, 0.5]}


def grid(**arguments) -> tj.Result:
    """Two seeds of six settings on a network whose links take time."""
    algorithm = tj.teleportation(
        active=4, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    )
    network = tj.Network(links=tj.network.links.uniform(latency=0.1, bandwidth=1e6), loss=0.1)
    common = {"rounds": 10, "eval_every": 5, "seeds": 2, "tune": GRID, "network": network, "progress": False}
    return tj.simulate(algorithm, TASK, **{**common, **arguments})


def in_batches(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    """So many runs have room beside one another."""
    plan = BatchAxes.plan
    monkeypatch.setattr(memory, "BYTES_AT_ONCE", {jax.default_backend(): runs})
    monkeypatch.setattr(memory, "BYTES_AT_ONCE_ACCELERATOR", runs)
    monkeypatch.setattr(BatchAxes, "plan", lambda seeds, hyperparameters, run_bytes: plan(seeds, hyperparameters, 1))


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "batches"), [(1, 12), (3, 4)])
def test_batch_after_batch_is_what_all_are_side_by_side(runs, batches, monkeypatch, tmp_path) -> None:
    """One setting, or three of the six of a seed, at a time."""
    whole = grid()
    in_batches(monkeypatch, runs)
    calls = []
    advance = compiled.advance
    monkeypatch.setattr(compiled, "advance", lambda *a, **o: calls.append(a) or advance(*a, **o))
    apart = grid()
    assert len(calls) == 3 * batches  # round 0, 5 and 10
    assert apart.history.columns == whole.history.columns
    for name in whole.history.columns:
        # float32, in programs of other widths
        np.testing.assert_allclose(apart.history[name], whole.history[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert jax.tree.structure(apart.state) == jax.tree.structure(whole.state)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), apart.state, whole.state)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), apart.params, whole.params)

    def fail(rows) -> None:
        if rows["round"][0] == 10:
            raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="power"):
        grid(checkpoint=tmp_path, on_evaluation=fail)
    for more in (grid(rounds=5, state=grid(rounds=5)), grid(checkpoint=tmp_path)):
        jax.tree.map(np.testing.assert_array_equal, more.state, apart.state)


@pytest.mark.slow
def test_where_one_runs_at_a_time_more_seeds_and_step_sizes_compile_nothing_anew(monkeypatch) -> None:
    in_batches(monkeypatch, 1)
    grid(tune=[0.05, 0.1, 0.2], seeds=1)
    known = compiled.start._cache_size(), compiled.advance._cache_size()
    many, best = grid(tune=[0.05, 0.1], seeds=3), grid(tune=[0.1], seeds=3)
    assert (compiled.start._cache_size(), compiled.advance._cache_size()) == known
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, 1:] if np.ndim(x) else x, y), many.state, best.state)
