"""``simulate``: rows, budgets, lanes, compilation, divergence and bad input."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.simulation.fingerprint import described

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.5)
TASK = tj.tasks.quadratic(nodes=12, dim=3, heterogeneity=2.0, noise=1.0)
TELEPORT = tj.teleportation(active=4, topology="ring", optimizer=SGD)


def run(algorithm=TELEPORT, task=TASK, **arguments) -> tj.Result:
    return tj.simulate(algorithm, task, **{"progress": False, **arguments})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rounds", "eval_every", "expected"),
    [
        (10, 5, [0, 5, 10]),
        (10, 4, [0, 4, 8, 10]),
        (10, 10, [0, 10]),
        (10, 99, [0, 10]),
        (1, 1, [0, 1]),
        (7, None, [0, 1, 2, 3, 4, 5, 6, 7]),
        (120, None, [*range(0, 120, 2), 120]),
    ],
)
def test_rows_are_every_evaluation_and_the_first_and_last_round(rounds, eval_every, expected) -> None:
    result = run(rounds=rounds, eval_every=eval_every)
    assert result.history["round"].to_list() == expected
    assert result.rounds == rounds == int(result.state.round)


def test_rows_do_not_depend_on_how_often_they_are_taken() -> None:
    often, rarely = run(rounds=12, eval_every=1).history, run(rounds=12, eval_every=5).history
    both = often.filter(pl.col("round").is_in([0, 5, 10, 12]))
    assert both.drop("loss", "loss_slots", "grad_norm_sq", "consensus").equals(
        rarely.drop("loss", "loss_slots", "grad_norm_sq", "consensus")
    )
    for column in ("loss", "loss_slots", "grad_norm_sq", "consensus"):  # one program; only its loop is shorter
        np.testing.assert_allclose(both[column], rarely[column], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "budget", "rounds"),
    [(TELEPORT, 43, 10), (tj.fedavg(clients=4, local_steps=3, optimizer=SGD), 43, 3)],
)
def test_a_budget_of_gradients_buys_whole_rounds(algorithm, budget: int, rounds: int) -> None:
    history = run(algorithm, gradients=budget, eval_every=rounds).history
    assert history["round"][-1] == rounds
    assert history["gradients"][-1] <= budget < history["gradients"][-1] * (rounds + 1) / rounds


@pytest.mark.slow
def test_lanes_equal_single_runs() -> None:
    seeds, rates = [3, 9], [0.02, 0.1, 0.2]
    together = run(rounds=12, eval_every=6, seeds=seeds, tune=rates)
    assert together.seeds == seeds and together.learning_rates == rates
    assert together.history.height == 2 * 3 * 3
    assert together.params.shape == (2, 3, 1, 3) and together.state.params.shape == (2, 3, 4, 3)
    for i, seed in enumerate(seeds):
        for j, rate in enumerate(rates):
            alone = run(TELEPORT.with_learning_rate(rate), rounds=12, eval_every=6, seed=seed)
            lane = together.history.filter(pl.col("seed") == seed, pl.col("learning_rate") == rate)
            for column in alone.history.columns:  # float32, summed in another order in a wider program
                np.testing.assert_allclose(lane[column], alone.history[column], rtol=1e-4, atol=1e-6, err_msg=column)
            np.testing.assert_allclose(together.params[i, j, 0], alone.model, rtol=1e-4, atol=1e-5)
    counted = run(rounds=12, eval_every=6, seed=5, seeds=3)
    assert counted.seeds == [5, 6, 7]


traces: list[str] = []


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Traced(tj.tasks.Quadratic):
    """Leaves a mark whenever it is traced."""

    def loss(self, params, node, key):
        traces.append("loss")
        return super().loss(params, node, key)

    def evaluate(self, params):
        traces.append("evaluate")
        return super().evaluate(params)


def traced(**numbers) -> Traced:
    task = tj.tasks.quadratic(**{"nodes": 12, "dim": 3, "heterogeneity": 2.0, "noise": 1.0, **numbers})
    return Traced(**{name: getattr(task, name) for name in task.__dataclass_fields__})


@pytest.mark.slow
def test_other_numbers_trace_nothing_anew() -> None:
    traces.clear()
    first = run(task=traced(), rounds=10, eval_every=5).history
    assert traces.count("loss") > 0 and traces.count("evaluate") > 0
    traces.clear()
    other = tj.optimizer(optax.sgd, learning_rate=0.03, momentum=0.2)
    algorithm = tj.teleportation(active=4, topology="ring", optimizer=other)
    changed = run(algorithm, traced(heterogeneity=3.0, noise=0.5, seed=4), rounds=21, eval_every=4, seed=8).history
    assert traces == []
    assert changed["loss"][1] != first["loss"][1]
    run(task=traced(noise=0.0), rounds=10, eval_every=5)
    assert traces  # no noise is another structure, which shows that the marks do count


def test_divergence_of_every_run_is_an_error_that_keeps_the_history() -> None:
    with pytest.raises(
        tj.DivergenceError, match=r"diverged by round \d+ with step size 50; try a smaller one"
    ) as caught:
        run(TELEPORT.with_learning_rate(50.0), rounds=200, eval_every=5)
    result = caught.value.result
    history = result.history
    assert 5 <= result.rounds < 200
    assert history["diverged"].to_list() == [False] * (history.height - 1) + [True]
    assert np.isfinite(result.model).all()
    # the parameters are those of the last finite row
    loss = float(TASK.evaluate(jnp.asarray(result.model))["loss"])
    assert loss == pytest.approx(history["loss"][-2], rel=1e-5)


def test_a_metric_of_ones_own_that_is_not_finite_is_named() -> None:
    late = lambda models, judged, state, task, groups: jnp.where(state.round >= 10, jnp.nan, 1.0)[None]
    told = r"has values that are not finite in correlation by round 10, but a finite loss; look .* in the metric"
    with pytest.raises(tj.DivergenceError, match=told) as caught:
        run(rounds=20, eval_every=5, metrics=[tj.Metric("correlation", late)])
    assert caught.value.result.history["loss"].is_finite().all()


@pytest.mark.slow
def test_a_network_of_which_nothing_can_be_told_is_no_error_after_the_run() -> None:
    network = tj.Network(loss=0.1)
    told = described({"network": network, "opaque": object()})  # a fingerprint, which is compared, refuses this
    assert told is not None and told["network.loss"] == 0.1 and told["opaque"] == "builtins.object"
    assert described(None) is None and run(rounds=2, network=network).config["network"]["loss"] == 0.1


@pytest.mark.slow
def test_one_diverged_run_does_not_stop_the_others() -> None:
    result = run(rounds=200, eval_every=20, tune=[0.1, 50.0], seeds=2)
    assert result.rounds == 200
    final = result.final()
    assert final.filter(learning_rate=0.1)["diverged"].to_list() == [False, False]
    assert final.filter(learning_rate=50.0)["diverged"].to_list() == [True, True]
    alone = run(rounds=200, eval_every=20, seed=1).history
    beside = result.history.filter(pl.col("seed") == 1, pl.col("learning_rate") == 0.1)
    np.testing.assert_allclose(beside["loss"], alone["loss"], rtol=1e-3, atol=1e-5)  # float32 over 200 rounds
    assert np.isfinite(result.params).all()
    assert result.tuned().learning_rates == [0.1]


@pytest.mark.slow
def test_task_with_other_parameters_and_a_raw_optimizer_runs() -> None:
    from telejax.testing import TreeTask

    task = TreeTask(6, jnp.arange(6.0))
    adam = tj.decentralized_sgd(topology="ring", optimizer=optax.adam(0.01))
    result = run(adam, task, rounds=20, eval_every=20)
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert result.history["learning_rate"].to_list() == [None, None]
    with pytest.raises(ValueError, match="whose step size cannot be tuned; give"):
        run(adam, task, rounds=20, tune=[0.1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds is 0; give an integer of at least 1"),
        ({"rounds": 2.5}, "rounds is 2.5; give an integer of at least 1"),
        ({"rounds": True}, "rounds is True; give an integer"),
        ({"rounds": 5, "eval_every": 0}, "eval_every is 0; give an integer of at least 1"),
        ({}, "rounds is None and gradients is None; give exactly one"),
        ({"rounds": 5, "gradients": 50}, "rounds is 5 and gradients is 50; give exactly one"),
        ({"gradients": 3}, "gradients is 3; give at least 4, the gradients of one round of TELEPORTATION"),
        ({"rounds": 5, "seed": -1}, "seed is -1; give an integer of at least 0"),
        ({"rounds": 5, "seed": 2**32}, "seed reaches 4294967296; give seeds of at most 4294967295"),
        ({"rounds": 5, "seeds": 0}, "seeds is 0; give an integer of at least 1"),
        ({"rounds": 5, "seeds": []}, r"seeds is \[\]; give at least one seed, and each only once"),
        ({"rounds": 5, "seeds": [1, 2, 1]}, r"seeds is \[1, 2, 1\]; give at least one seed, and each only once"),
        ({"rounds": 5, "tune": []}, r"tune is \[\]; give at least one value"),
        ({"rounds": 5, "tune": [0.1, 0.1]}, r"tune is \[0.1, 0.1\]; .*each only once"),
        ({"rounds": 5, "tune": [0.1, 0.0]}, "tune is 0.0; give a finite number above 0"),
        ({"rounds": 5, "tune": [float("nan")]}, "tune is nan; give a finite number above 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**arguments)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: tj.teleportation(active=13, topology="ring", optimizer=SGD),
            "active is 13 and the task has 12 nodes; ",
        ),
        (lambda: tj.fedavg(clients=13, optimizer=SGD), "clients is 13 and the task has 12 nodes; "),
        (lambda: tj.random_walk(tokens=13, optimizer=SGD), "tokens is 13 and the task has 12 nodes; use at most 12"),
        (
            lambda: tj.decentralized_sgd(topology=tj.topology.ring(8), optimizer=SGD),
            "topology 'ring' has 8 nodes and the task 12; build the topology with 12",
        ),
        (
            lambda: tj.decentralized_sgd(topology="rign", optimizer=SGD),
            "unknown topology 'rign'; did you mean 'ring'",
        ),
        (
            lambda: tj.teleportation(active=4, topology=tj.topology.ring(8), optimizer=SGD),
            "topology 'ring' has 8 nodes where 4 mix; build it with 4",
        ),
        (
            lambda: tj.random_walk(topology="complete", optimizer=SGD),
            "topology 'complete' with 12 nodes has no short rows to walk along; leave topology out",
        ),
        (
            lambda: tj.teleportation(active=0, topology="ring", optimizer=SGD),
            "active is 0; give an integer of at least 1",
        ),
        (lambda: tj.fedavg(clients=2, local_steps=0, optimizer=SGD), "local_steps is 0; give an integer of at least 1"),
        (lambda: tj.random_walk(tokens=0, optimizer=SGD), "tokens is 0; give an integer of at least 1"),
        (lambda: tj.all_reduce_sgd(optimizer=0.1), "optimizer is 0.1; give telejax.optimizer"),
        (lambda: tj.optimizer(optax.sgd, learning_rate=-0.1), "learning_rate is -0.1; give a finite number"),
        (lambda: tj.optimizer(optax.sgd, rate=0.1), "sgd does not take"),
        (lambda: tj.optimizer(optax.sgd(0.1), learning_rate=0.1), "give a function such as optax.sgd, not its result"),
    ],
)
def test_algorithms_that_do_not_fit_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(build(), rounds=3)


def test_arguments_are_refused_before_anything_is_traced() -> None:
    traces.clear()
    with pytest.raises(ValueError, match="eval_every"):
        run(task=replace(traced(), noise=None), rounds=5, eval_every=-1)
    assert traces == []


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Wrapped:
    """A task that hands on what another has; since Python 3.12 a protocol's isinstance does not see it."""

    task: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.task, name)


@pytest.mark.usefixtures("any_types")  # whose isinstance is that of Python
def test_a_task_may_hand_on_the_members_of_another() -> None:
    task = tj.tasks.quadratic(nodes=8, dim=3)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    histories = [run(algorithm, one, rounds=4, eval_every=2).history for one in (task, Wrapped(task))]
    assert histories[0].equals(histories[1])
