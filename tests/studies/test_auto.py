"""The plan that finds its number of active nodes while it runs."""

import jax
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.simulation.recorder import COUNTERS
from telejax.studies.search.phases import followed
from telejax.studies.search.schedule import Schedule

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=4.0, noise=3.0)


def auto(**changes):
    return tj.auto(**{"topology": "ring", "optimizer": SGD, **changes})


@pytest.fixture(scope="module")
def run():
    return tj.simulate(auto(), TASK, rounds=320, eval_every=5, progress=False)


def test_one_continuous_history(run):
    history = run.history
    assert history["round"].to_list() == list(range(0, 321, 5))
    assert history["group"].unique().to_list() == [0]
    assert run.final().height == 1 and run.rounds == 320
    assert history["loss_slots"][-1] < 0.2 * history["loss_slots"][0]
    assert jax.tree.leaves(run.params)[0].shape == (1, 1, 1, 6)
    np.testing.assert_allclose(TASK.evaluate(run.model)["loss"], history["loss"][-1], rtol=1e-4)


def test_costs_are_those_of_all_candidates(run):
    """The first search runs 1 + 2 + ... + 32 = 63 slots; what is never run costs nothing."""
    history = run.history
    for name in COUNTERS:
        assert history[name].is_sorted()
    first = history.filter(round=20)  # before anything is dropped
    assert first["gradients"].item() == 20 * 63
    ring = sum(2 * k for k in (4, 8, 16, 32)) + 2  # two neighbours, one of two slots, none of one
    assert first["messages_gossip"].item() == 20 * ring
    assert 0.9 * 19 * 63 < first["messages_handoff"].item() <= 19 * 63
    assert history["bytes"].to_list() == (history["messages"] * 6 * 4).to_list()
    # losers leave, so that there are rounds with fewer gradients than at the start; and never more than all nodes
    spent = history["gradients"].diff().drop_nulls() / 5
    assert spent.min() < spent[0] and spent.max() <= 64


@pytest.mark.slow
def test_it_ends_as_low_as_the_best_candidate():
    """Within 10 % of the lowest of an exhaustive grid, both averaged over six seeds and their last quarter."""
    runs = tj.simulate(auto(), TASK, rounds=320, eval_every=5, seeds=6, progress=False)
    ends = runs.history.filter(pl.col("round") >= 240)["loss_slots"].mean()
    grid = tj.search(TASK, optimizer=SGD, rounds=320, seeds=16, seed=100, progress=False)
    assert ends <= 1.1 * grid.table["slots"].min()
    assert runs.seeds == list(range(6)) and runs.final().height == 6


@pytest.mark.slow
def test_a_seed_of_several_is_the_seed_alone():
    both = tj.simulate(auto(candidates=(1, 8)), TASK, rounds=64, seeds=[3, 5], tune=[0.05, 0.1], progress=False)
    alone = tj.simulate(auto(candidates=(1, 8)), TASK, rounds=64, seed=5, progress=False)
    alone_in_both = both.history.filter((pl.col("seed") == 5) & (pl.col("learning_rate") == 0.1))
    assert alone_in_both["loss"].to_list() == alone.history["loss"].to_list()
    assert jax.tree.leaves(both.params)[0].shape == (2, 2, 1, 6)
    assert both.tuned().learning_rates[0] in (0.05, 0.1)


def test_the_search_opens_again_when_the_objective_stalls():
    """Tolerance so wide that one node wins the first search; later, larger candidates branch from it and lose too."""
    run = tj.simulate(auto(candidates=(1, 4, 16), tolerance=1e9), TASK, rounds=320, eval_every=5, progress=False)
    spent = run.history["gradients"].diff().drop_nulls() / 5
    assert run.history["active"].unique().to_list() == [1]
    assert spent[0] == 21  # the first search
    settled = int(np.argmax(spent.to_numpy() == 1))
    assert spent[settled] == 1  # the winner alone
    assert (spent[settled:] == 21).any()  # and again the larger ones beside it


def test_a_candidate_without_room_is_tried_alone():
    """With n = 64 a run of 64 cannot stand beside one of 32; f(mean) gets lower the more are active."""
    task = tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=6.0, noise=0.0)
    plan = auto(candidates=(32, 64), objective="mean")
    run = tj.simulate(plan, task, rounds=320, eval_every=5, progress=False)
    assert run.history["active"][0] == 32 and run.history["active"][-1] == 64
    # all nodes are active at once, so heterogeneity is no noise any more
    assert run.history["loss"][-1] < 0.1 * run.history.filter(active=32)["loss"][-1]


def test_an_incumbent_that_did_not_run_goes_on_from_the_trial():
    """As above, but for the slots' objective at a tolerance that makes the smaller one win after the trial."""
    run = tj.simulate(auto(candidates=(32, 64), tolerance=1e9), TASK, rounds=320, eval_every=5, progress=False)
    assert set(run.history["active"].to_list()) == {32, 64}
    assert run.history["active"][-1] == 32 or run.history["active"].rle().struct.field("value").to_list()[-2:] == [
        32,
        64,
    ]
    assert run.history["round"].is_unique().all()


@pytest.mark.parametrize(
    ("winner", "trial", "runs_next", "decided"),
    [
        ((1.0, 1.0, 0.01), (1.5, 1.5, 0.01), 32, True),
        ((1.0, 1.0, 0.01), (0.5, 0.5, 0.01), 64, True),
        ((1.0, 1.0, 0.4), (1.0, 1.0, 0.4), 64, True),  # in doubt the larger: it costs gradients alone
        ((1.0, 1.0, 0.01), (2.5, 1.2, 0.01), 64, False),  # still on its way down
    ],
)
def test_a_trial_gives_way_only_when_it_has_settled_and_is_clearly_worse(winner, trial, runs_next, decided):
    search = Schedule(auto(candidates=(32, 64)).bind(TASK), nodes=64, window=10)
    search._open(0, done=40)
    assert search.incumbent == 0 and search.phase.groups == (1,)
    random = np.random.default_rng(0)
    rows = []
    for group, (first, last, noise), (start, end) in ((0, winner, (0, 40)), (1, trial, (40, 70))):
        rounds = np.arange(start + 1, end + 1)
        loss = np.linspace(first, last, len(rounds)) + noise * random.normal(size=len(rounds))
        rows.append(pl.DataFrame({"round": rounds, "group": group, "loss_slots": loss, "diverged": False}))
    search.decide(pl.concat(rows), 70)
    assert search.sizes[search.phase.groups[0]] == runs_next
    assert (search.incumbent is None) == decided


def test_following_adds_up_groups_and_keeps_the_ancestry():
    rows = [(0, 0, 0), (0, 1, 0), (5, 0, 10), (5, 1, 20), (10, 0, 20), (15, 2, 7), (15, 0, 30)]
    table = pl.DataFrame(rows, schema=["round", "group", "gradients"], orient="row")
    table = table.with_columns(pl.col("gradients").alias(name) for name in COUNTERS)
    run = followed(table, [0, 2])
    assert run["round"].to_list() == [0, 5, 10, 15]
    assert run["gradients"].to_list() == [0, 30, 40, 57]


def test_all_candidates_diverged():
    plan = auto(optimizer=SGD.with_learning_rate(1e4))
    with pytest.raises(tj.DivergenceError, match="diverged") as caught:
        tj.simulate(plan, TASK, rounds=64, progress=False)
    assert caught.value.result.history["diverged"][-1]
    with pytest.raises(tj.DivergenceError, match="every seed and step size"):
        tj.simulate(plan, TASK, rounds=64, seeds=2, progress=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tj.simulate(auto(), TASK, gradients=1000), "gradients is 1000; give rounds"),
        (lambda: tj.simulate(auto(candidates=(1, 65)), TASK, rounds=9), "candidates holds 65"),
        (lambda: tj.simulate(auto(topology=tj.topology.ring(4)), TASK, rounds=9), "cannot be built for candidates"),
        (lambda: tj.teleportation(active="auto", topology="ring", optimizer=SGD), "active is 'auto'.*telejax.auto"),
        (lambda: tj.simulate(auto(), TASK, rounds=9, devices="cpu:1"), "devices is 'cpu:1'.*phases"),
        (lambda: auto(objective="worst"), "unknown objective 'worst'"),
        (lambda: tj.teleportation(active="many", topology="ring", optimizer=SGD), "active is 'many'.*telejax.auto"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
