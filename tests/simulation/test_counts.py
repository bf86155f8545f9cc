"""Counts never wrap: bytes beyond int64 become float64, rounds beyond int32 are refused."""

import optax
import polars as pl
import pytest
from evaluations import evaluation

import telejax as tj
from telejax.simulation.recorder import Recorder, RoundCost

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=20, dim=2)
WALK = tj.random_walk(optimizer=SGD)
NOTHING = evaluation({"loss": 1.0})


def recorder(start=0, before=None):
    nodes = 2**31 - 1
    cost = RoundCost(((nodes * (nodes - 1),),), (nodes,), (0,), copy_bytes=200, handoff_bytes=200)
    return Recorder([0], [{"learning_rate": 0.1}], (nodes,), cost, start, before)


def test_bytes_beyond_int64_are_float64_and_the_rest_of_the_row_is_exact():
    kept = recorder()
    for rounds in (0, 1, 1):
        kept.add(rounds, *NOTHING)
    table = kept.table()
    copies = (2**31 - 1) * (2**31 - 2)
    assert table["bytes"].dtype == pl.Float64 and table["bytes"].to_list() == [0.0, 200.0 * copies, 400.0 * copies]
    assert table["messages"].dtype == pl.Int64 and table["messages"][1] == copies
    on = recorder(2, kept.progress())
    on.add(1, *NOTHING)
    assert on.table()["bytes"][0] == 600.0 * copies and on.table()["messages"][0] == 3.0 * copies


def test_counts_that_fit_stay_integers():
    kept = recorder()
    kept.add(0, *NOTHING)
    names = ["gradients", "messages", "messages_gossip", "messages_handoff", "bytes", "bytes_gossip", "bytes_handoff"]
    assert set(kept.table().select(names).dtypes) == {pl.Int64}


@pytest.mark.parametrize(
    "run",
    [
        lambda rounds: tj.simulate(WALK, TASK, rounds=rounds),
        lambda rounds: tj.simulate(WALK, TASK, gradients=rounds),
        lambda rounds: tj.simulate(tj.auto(optimizer=SGD), TASK, rounds=rounds),
        lambda rounds: tj.compare([WALK], TASK, rounds=rounds),
        lambda rounds: tj.search(TASK, optimizer=SGD, rounds=rounds),
        lambda rounds: tj.search(TASK, optimizer=SGD, gradients=rounds),
    ],
)
def test_rounds_beyond_int32_are_refused(run):
    with pytest.raises(ValueError, match=r"rounds are counted in int32, give at most 2147483647"):
        run(2**31)


def test_a_run_that_goes_on_may_not_pass_them_either():
    import jax
    import jax.numpy as jnp

    state = WALK.init(jax.random.key(0), TASK).replace(round=jnp.int32(2**31 - 10))
    with pytest.raises(ValueError, match="rounds is 10; rounds are counted in int32, give at most 9"):
        tj.simulate(WALK, TASK, rounds=10, state=state)
