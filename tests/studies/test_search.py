"""The joint program of all candidates, and the search on top of it."""

import json
import subprocess
import sys
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
import scipy.stats

import telejax as tj
from telejax import cli
from telejax.studies.search.candidates import fitting, passes
from telejax.studies.search.result import aggregate
from telejax.testing import check_algorithm

pytestmark = pytest.mark.usefixtures("compiled_fast")

OF_HOLDERS = ("structure", "holders", "counters", "handoffs", "messages")
OF_ENGINE = ("mesh", "checkpoint", "warm_start")  # of which the tests of meshes, networks and tj.auto are, too
SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=40, dim=6, heterogeneity=3.0, noise=2.0)


def joint(sizes, topology="ring", optimizer=SGD, **options):
    return tj.joint_teleportation(active=sizes, topology=topology, optimizer=optimizer, **options)


@pytest.mark.slow
@pytest.mark.parametrize("travels", [True, False])
def test_joint_keeps_the_contract(travels):
    make = lambda sgd: joint([1, 2, 5], lambda k: tj.topology.one_peer_exponential(k), sgd, state_travels=travels)
    check_algorithm(make, only=None if travels else OF_HOLDERS, without=OF_ENGINE if travels else ())


def test_holders_of_all_candidates_are_distinct_in_every_round():
    algorithm, task = joint([1, 2, 4, 8, 16]), tj.tasks.quadratic(nodes=33, dim=2)
    state = algorithm.init(jax.random.key(0), task)
    step = jax.jit(algorithm.step)
    drawn = []
    for round in range(200):
        state, info = step(jax.random.fold_in(jax.random.key(1), round), state, task)
        drawn.append(np.asarray(info.holders))
        assert len(set(drawn[-1].tolist())) == 31
    # each of the 33 nodes works in a round with probability 31/33: 200 rounds, six standard deviations
    counts = np.bincount(np.concatenate(drawn), minlength=33)
    assert np.all(np.abs(counts - 200 * 31 / 33) < 6 * np.sqrt(200 * 31 / 33 * 2 / 33))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WholeNumbers:
    """Gradients are whole numbers at whole parameters: with halves as weights, float32 has no rounding to hide in."""

    nodes: int = field(metadata={"static": True})

    def init(self, key):
        return jnp.zeros(3)

    def loss(self, params, node, key):
        noise = jax.random.randint(key, (3,), -2, 3).astype(params.dtype)
        return 0.5 * jnp.sum((params - node - noise) ** 2)

    def evaluate(self, params):
        return {"loss": jnp.sum(params**2)}


@dataclass(frozen=True)
class Chosen(tj.Network):
    """A network on which the active nodes are given."""

    holders: object = None

    def activate(self, key, state, nodes, count):
        return state, self.holders


@pytest.mark.parametrize(
    ("topology", "task", "tolerance", "travels"),
    [
        ("one_peer_exponential", WholeNumbers(40), 0.0, True),
        ("complete", WholeNumbers(40), 0.0, False),
        ("ring", TASK, 1e-5, True),  # thirds and normal noise: sums in another order differ in the last digits
    ],
)
@pytest.mark.slow
def test_a_candidate_is_teleportation_with_the_same_holders(topology, task, tolerance, travels):
    """Same holders, same keys: the same parameters, momenta and hand-offs, bit for bit where nothing is rounded."""
    sizes = [1, 2, 4, 8]
    sgd = tj.optimizer(optax.sgd, learning_rate=0.5 if tolerance == 0 else 0.1, momentum=0.5)
    both = joint(sizes, topology, sgd, state_travels=travels)
    state = both.init(jax.random.key(0), task)
    ends = np.cumsum([0, *sizes])
    single = [tj.teleportation(active=k, topology=topology, optimizer=sgd, state_travels=travels) for k in sizes]
    states = [one.init(jax.random.key(0), task) for one in single]
    step_both = jax.jit(lambda key, state: both.step(key, state, task))
    step_one = jax.jit(lambda one, key, state, holders: one.step(key, state, task, Chosen(holders=holders)))
    for round in range(4):
        key = jax.random.fold_in(jax.random.key(3), round)
        state, info = step_both(key, state)
        for place, (one, start, end) in enumerate(zip(single, ends[:-1], ends[1:], strict=True)):
            mine = state.holders[start:end]
            states[place], told = step_one(one, key, states[place], mine)
            assert int(told.counters["handoffs"][0]) == int(info.counters["handoffs"][place])
            theirs = jax.tree.map(lambda x, a=start, b=end: x[a:b], (state.params, state.opt_state))
            alone = jax.tree.leaves((states[place].params, states[place].opt_state))
            for left, right in zip(jax.tree.leaves(theirs), alone, strict=True):
                np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 8])
def test_a_candidate_is_distributed_as_teleportation_alone(k):
    """Final objectives of 200 seeds each: same distribution, mean and spread (all p-values above 0.001)."""
    both = tj.simulate(joint([1, 2, 4, 8]), TASK, rounds=60, eval_every=60, seeds=200, progress=False)
    one = tj.simulate(
        tj.teleportation(active=k, topology="ring", optimizer=SGD),
        TASK,
        rounds=60,
        eval_every=60,
        seed=1000,
        seeds=200,
        progress=False,
    )
    for column in ("loss", "loss_slots") if k == 2 else ("loss", "loss_slots", "consensus"):  # two on a ring agree
        left = both.final().filter(active=k)[column].to_numpy()
        right = one.final()[column].to_numpy()
        assert scipy.stats.ks_2samp(left, right).pvalue > 0.001
        assert scipy.stats.ttest_ind(left, right, equal_var=False).pvalue > 0.001
        assert scipy.stats.levene(left, right, center="median").pvalue > 0.001


@pytest.mark.slow
def test_the_two_sample_test_tells_other_candidates_apart():
    both = tj.simulate(joint([4, 8]), TASK, rounds=60, eval_every=60, seeds=200, progress=False).final()
    four, eight = (both.filter(active=k)["loss"].to_numpy() for k in (4, 8))
    assert scipy.stats.ks_2samp(four, eight).pvalue < 1e-6


@pytest.mark.slow
def test_costs_of_a_candidate_are_those_of_running_it_alone():
    both = tj.simulate(joint([2, 4, 8], "one_peer_exponential"), TASK, rounds=7, progress=False).final()
    for k in (2, 4, 8):
        one = tj.simulate(
            tj.teleportation(active=k, topology="one_peer_exponential", optimizer=SGD), TASK, rounds=7, progress=False
        ).final()
        for column in ("gradients", "messages_gossip", "bytes_gossip"):
            assert both.filter(active=k)[column].item() == one[column].item()


def test_passes_of_powers_of_two_are_at_most_two():
    for nodes in (1, 2, 3, 7, 8, 100, 1023, 1024):
        powers = [2**i for i in range(nodes.bit_length())]
        split = passes(powers, nodes)
        assert len(split) == (1 if sum(powers) <= nodes else 2)
        assert [k for one in split for k in one] == powers
        assert all(sum(one) <= nodes for one in split)


def test_search_reports_both_objectives_and_the_rounds():
    found = tj.search(TASK, optimizer=SGD, rounds=80, seeds=2, progress=False)
    assert found.table["active"].to_list() == [1, 2, 4, 8, 16, 32]
    assert found.rounds_used == 160
    lowest = found.table["slots"].min()
    within = found.table.filter(pl.col("slots") <= 1.05 * lowest)["active"].to_list()
    assert found.best == min(within)
    assert found.table["gradients"].to_list() == [80 * k for k in (1, 2, 4, 8, 16, 32)]
    last = found.histories.filter((pl.col("active") == 4) & (pl.col("round") >= 60))
    assert found.table.filter(active=4)["mean"].item() == pytest.approx(last["loss"].mean())
    assert f"Activate {found.best} of 40 nodes" in found.sentence() and "80 rounds" in found.sentence()
    assert found.plot().get_xlabel() == "active nodes k"


@pytest.mark.slow
def test_the_objective_and_the_tolerance_decide():
    mean = tj.search(TASK, optimizer=SGD, rounds=150, objective="mean", tolerance=0.0, progress=False)
    assert mean.best == mean.table.sort("mean")["active"][0]
    loose = tj.search(TASK, optimizer=SGD, rounds=150, tolerance=1e6, progress=False)
    assert loose.best == 1


@pytest.mark.slow
def test_step_sizes_are_tuned_for_every_candidate():
    rates = [0.01, 0.1]
    both = tj.search(TASK, optimizer=SGD, rounds=40, candidates=[1, 8], tune=rates, progress=False)
    assert both.grid.height == 4
    for rate in rates:
        alone = tj.search(TASK, optimizer=SGD.with_learning_rate(rate), rounds=40, candidates=[1, 8], progress=False)
        lane = both.grid.filter(pl.col("learning_rate") == rate).sort("active")
        np.testing.assert_allclose(lane["slots"], alone.table["slots"], rtol=1e-4)
    row = both.table.filter(active=8)
    assert row["slots"].item() == both.grid.filter(active=8)["slots"].min()


@pytest.mark.slow
def test_equal_gradients_buy_fewer_active_nodes_more_rounds():
    found = tj.search(TASK, optimizer=SGD, gradients=160, candidates=[1, 8, 32], seeds=1, eval_every=5, progress=False)
    assert found.table["rounds"].to_list() == [160, 20, 5]
    assert found.table["gradients"].to_list() == [160] * 3
    assert found.rounds_used == 160 + 5 and found.config["passes"] == [[1, 8], [32]]
    assert "160 gradients" in found.sentence()
    history = found.histories.filter(active=1)
    assert history["round"].to_list() == list(range(0, 161, 5))
    assert history["messages_handoff"].is_sorted()


@pytest.mark.slow
def test_one_diverged_step_size_does_not_decide():
    found = tj.search(TASK, optimizer=SGD, rounds=60, tune=[0.1, 1e4], progress=False)
    assert found.table["learning_rate"].unique().to_list() == [0.1]
    assert not found.table["diverged"].any()


@pytest.mark.slow
def test_all_candidates_diverged():
    with pytest.raises(tj.DivergenceError, match=r"all candidates .* diverged; step sizes tried: 10000, 20000"):
        tj.search(TASK, optimizer=SGD, rounds=60, tune=[1e4, 2e4], progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": []}, "candidates is empty"),
        ({"candidates": [2, 2]}, r"candidates is \[2, 2\]; give each"),
        ({"candidates": [2, 41]}, "candidates holds 41 and the task has 40 nodes"),
        ({"candidates": [0]}, "candidates is 0"),
        ({"candidates": [2, 3], "topology": "hypercube"}, r"'hypercube'.* for candidates \[3\].*skip=True"),
        ({"candidates": [3], "topology": "hypercube", "skip": True}, "give another topology"),
        ({"topology": "rign"}, "did you mean 'ring'"),
        ({"topology": tj.topology.ring(8)}, r"cannot be built for candidates \[1, 2, 4, 16, 32\]"),
        ({"objective": "median"}, "unknown objective 'median'"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"rounds": 0}, "rounds is 0"),
        ({"gradients": 100}, "exactly one of the two budgets"),
        ({"rounds": None, "gradients": 8}, "gradients is 8; give at least 32"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_bad_input_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        tj.search(TASK, **{"optimizer": SGD, "rounds": 10, "progress": False, **options})


@pytest.mark.slow
def test_unbuildable_candidates_are_skipped_only_when_asked():
    found = tj.search(
        TASK, "hypercube", optimizer=SGD, rounds=10, candidates=[2, 3, 4], skip=True, seeds=1, progress=False
    )
    assert found.table["active"].to_list() == [2, 4]
    assert found.config["skipped"] == [3]


def test_judge_averages_the_last_quarter():
    rows = {"round": [0, 50, 75, 100], "loss": [9.0, 9.0, 1.0, 3.0], "loss_slots": [9.0, 9.0, 2.0, 4.0]}
    rest = dict.fromkeys(("seed", "active", "gradients", "messages", "bytes"), 1)
    table = aggregate(
        pl.DataFrame(rows).with_columns(learning_rate=0.1, diverged=False, **{k: pl.lit(v) for k, v in rest.items()})
    )
    assert (table["mean"].item(), table["slots"].item()) == (2.0, 3.0)


@pytest.mark.slow
def test_command_line(tmp_path, capsys):
    out = tmp_path / "found"
    words = "search --dataset quadratic --nodes 30 --rounds 40 --learning-rates 0.05 0.1 --seeds 1 --no-progress"
    assert cli.main([*words.split(), "--out", str(out)]) == 0
    files = {".telejax", "SHA256SUMS", "config.json", "history.parquet", "search.png", "table.csv"}
    assert {path.name for path in out.iterdir()} == files
    best = json.loads((out / "config.json").read_text())["best"]
    assert f"Activate {best} of 30 nodes" in capsys.readouterr().out
    assert cli.main([*words.split(), "--out", str(out)]) == 2  # exists
    assert cli.main([*words.split(), "--force", "--candidates", "64", "--out", str(out)]) == 2
    assert "candidates holds 64" in capsys.readouterr().err
    assert cli.main(["search", "--rounds", "5", "--gradients", "5"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--candidates", "candidates is empty"),
        ("--candidates 4 4", "candidates is [4, 4]"),
        ("--candidates 2 3 --topology hypercube", "cannot be built for candidates [3]"),
        ("--momentum 1", "--momentum is 1.0"),
        ("--learning-rates", "--learning-rates is empty"),
        ("--nodes 1", "nodes is 1"),
    ],
)
def test_wrong_values_exit_with_2(words, message, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert cli.main(["search", "--dataset", "quadratic", "--nodes", "8", "--out", out, *words.split()]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.startswith("telejax: ") and printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_default_step_sizes_fit_the_data_set():
    assert cli.Search(dataset="fashion-mnist").grid[0] == 0.001
    assert cli.Search(dataset="digits").grid == cli.Compare(dataset="digits").grid
    assert cli.Search(dataset="quadratic", learning_rates=(0.2,)).grid == (0.2,)


def test_help_does_not_import_jax():
    code = (
        "import sys, telejax.cli\ntry: telejax.cli.main(['search', '--help'])\nfinally: assert 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--tolerance" in done.stdout


@pytest.mark.slow
def test_evaluation_reduces_every_group_apart():
    from telejax.network import IDEAL
    from telejax.simulation.metrics import evaluate

    sizes = (1, 3, 4)
    state = joint(sizes).init(jax.random.key(0), TASK)
    params = jax.random.normal(jax.random.key(1), state.params.shape)
    measured, means, judged = evaluate(state.replace(params=params), joint(sizes), TASK, IDEAL)
    metrics = measured.columns
    assert judged is None
    start = 0
    for place, k in enumerate(sizes):
        part = np.asarray(params[start : start + k])
        start += k
        mean = part.mean(axis=0)
        np.testing.assert_allclose(means[place], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(metrics["loss"][place], TASK.evaluate(mean)["loss"], rtol=1e-5)
        own = np.mean([TASK.evaluate(x)["loss"] for x in part])
        np.testing.assert_allclose(metrics["loss_slots"][place], own, rtol=1e-5)
        spread = np.mean(np.sum((part - mean) ** 2, axis=1))
        np.testing.assert_allclose(metrics["consensus"][place], spread, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"rounds": 40}, {"gradients": 160}])
def test_several_numbers_are_tuned(budget):
    """Each candidate is judged at its own best pair: no momentum but in one setting, whose counts are its own."""
    task = tj.tasks.quadratic(nodes=8, dim=4, noise=1.0)
    optimizer = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.5)
    tune = {"learning_rate": [0.05, 0.1], "momentum": [0.0, 0.9]}
    options = {"candidates": [1, 4], "seeds": 2, "progress": False, **budget}
    found = tj.search(task, optimizer=optimizer, tune=tune, **options)
    assert found.grid.select("active", "learning_rate", "momentum").is_unique().all() and found.grid.height == 8
    assert "momentum" in found.sentence() and found.table.height == 2
    for rate, momentum in ((0.05, 0.0), (0.1, 0.9)):
        one = optimizer.with_learning_rate(rate)
        alone = tj.search(task, optimizer=one, tune={"momentum": [momentum]}, **options)
        rows = found.grid.filter((pl.col("learning_rate") == rate) & (pl.col("momentum") == momentum))
        assert rows["gradients"].to_list() == alone.grid["gradients"].to_list()
        np.testing.assert_allclose(rows["slots"], alone.grid["slots"], rtol=1e-4)  # float32, other batch axes


@pytest.mark.slow
def test_default_candidates_stop_where_their_slots_no_longer_fit_the_memory(monkeypatch):
    monkeypatch.setattr("telejax.studies.search.candidates.fitting_memory", lambda run_bytes: 2000 // run_bytes)
    task = tj.tasks.quadratic(nodes=10**8, dim=2)  # 8 bytes a slot, six times
    told = (
        r"candidates stop at 16 active of 100000000 nodes: the slots of \[32, .*67108864\] do not fit .*6 runs of each"
    )
    with pytest.warns(UserWarning, match=told):
        found = tj.search(task, optimizer=SGD, rounds=4, seeds=3, tune=[0.1, 0.2])
    assert found.table["active"].to_list() == [1, 2, 4, 8, 16]
    assert found.config["skipped"] == [2**power for power in range(5, 27)]
    with pytest.warns(UserWarning, match="candidates stop at"):
        assert max(tj.auto(optimizer=SGD).bind(task).candidates) < 128


def test_given_candidates_are_never_left_out(monkeypatch):
    monkeypatch.setattr("telejax.studies.search.candidates.fitting_memory", lambda run_bytes: 1)
    assert fitting([2, 16], TASK, SGD, 4) == ([2, 16], [])


@pytest.mark.slow
def test_what_seeds_spend_is_a_mean():
    found = tj.search(
        tj.tasks.quadratic(nodes=20, dim=3), "ring", optimizer=SGD, rounds=9, seeds=2, candidates=[1, 2], progress=False
    )
    ends = found.histories.filter(pl.col("round") == 9).group_by("active").agg(pl.col("messages", "bytes").mean())
    assert found.table.select("active", "messages", "bytes").equals(ends.sort("active"))
