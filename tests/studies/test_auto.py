"""The plan that finds its number of active nodes while it runs."""

import functools
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.simulation.program import Program
from telejax.simulation.recorder import COUNTERS, Recorder
from telejax.studies.search.equal_gradients import EqualGradients
from telejax.studies.search.kept import KeptPhases
from telejax.studies.search.phases import followed
from telejax.studies.search.schedule import Schedule

pytestmark = pytest.mark.usefixtures("compiled_fast")

EVALUATIONS = 17 * 2  # at the start and the end of each phase of 2 rounds (1 in the last)

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=4.0, noise=3.0)
TWO = jax.sharding.Mesh(np.array(jax.devices() * 2), ("slots",))  # one device twice: two runs at a time


def auto(**changes):
    return tj.auto(**{"topology": "ring", "optimizer": SGD, **changes})


@pytest.fixture(scope="module")
def run():
    return tj.simulate(auto(), TASK, rounds=320, eval_every=5, progress=False)


@pytest.mark.slow
def test_one_continuous_history(run):
    history = run.history
    assert history["round"].to_list() == list(range(0, 321, 5))
    assert history["group"].unique().to_list() == [0]
    assert run.final().height == 1 and run.rounds == 320
    assert history["loss_slots"][-1] < 0.2 * history["loss_slots"][0]
    assert jax.tree.leaves(run.params)[0].shape == (1, 1, 1, 6)
    np.testing.assert_allclose(TASK.evaluate(run.model)["loss"], history["loss"][-1], rtol=1e-4)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_search_opens_again_when_the_objective_stalls():
    """Tolerance so wide that one node wins the first search; later, larger candidates branch from it and lose too."""
    run = tj.simulate(auto(candidates=(1, 4, 16), tolerance=1e9), TASK, rounds=320, eval_every=5, progress=False)
    spent = run.history["gradients"].diff().drop_nulls() / 5
    assert run.history["active"].unique().to_list() == [1]
    assert spent[0] == 21  # the first search
    settled = int(np.argmax(spent.to_numpy() == 1))
    assert spent[settled] == 1  # the winner alone
    assert (spent[settled:] == 21).any()  # and again the larger ones beside it


@pytest.mark.slow
def test_a_candidate_without_room_is_tried_alone():
    """With n = 64 a run of 64 cannot stand beside one of 32; f(mean) gets lower the more are active."""
    task = tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=6.0, noise=0.0)
    plan = auto(candidates=(32, 64), objective="mean")
    run = tj.simulate(plan, task, rounds=320, eval_every=5, progress=False)
    assert run.history["active"][0] == 32 and run.history["active"][-1] == 64
    # all nodes are active at once, so heterogeneity is no noise any more
    assert run.history["loss"][-1] < 0.1 * run.history.filter(active=32)["loss"][-1]


@pytest.mark.slow
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


@pytest.mark.slow
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
        (lambda: tj.simulate(auto(), TASK, rounds=9, mesh=TWO), "mesh has 2 devices for 1 runs"),
        (lambda: tj.simulate(auto(), TASK, rounds=9, until=("loss", 0.1)), "until is .*phases"),
        (lambda: tj.simulate(auto(), TASK, rounds=9, every=3), "every is 3 and checkpoint is None"),
        (lambda: tj.simulate(auto(), TASK, rounds=9, tune={"active": [1.0]}), "tune has 'active'"),
        (lambda: auto(objective="worst"), "unknown objective 'worst'"),
        (lambda: tj.teleportation(active="many", topology="ring", optimizer=SGD), "active is 'many'.*telejax.auto"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class Killed(Exception):
    """In place of a signal."""


def kept(folder, **options):
    """A short run with a momentum that travels; its candidates change after most of its 16 phases."""
    adam = tj.optimizer(optax.adam, learning_rate=0.1)
    return tj.simulate(
        auto(candidates=(1, 4, 16), optimizer=adam, tolerance=1e9),
        TASK,
        rounds=33,
        eval_every=2,
        progress=False,
        checkpoint=folder,
        **options,
    )


def same(one, other):
    assert one.history.equals(other.history)
    assert one.config == other.config
    for a, b in zip(
        jax.tree.leaves((one.params, one.state)), jax.tree.leaves((other.params, other.state)), strict=True
    ):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@functools.cache
def whole():
    return kept(None)


@pytest.fixture
def never_killed():  # compiled with the fixture of the module, as what it is compared with
    return whole()


class Kill:
    """Raises Killed instead of the n-th evaluation from now on; counts those before."""

    def __init__(self, monkeypatch, evaluation):
        self.add, self.seen, self.evaluation = Recorder.add, 0, evaluation
        monkeypatch.setattr(Recorder, "add", lambda recorder, *arguments: self(recorder, *arguments))

    def __call__(self, recorder, *arguments):
        self.seen += 1
        if self.seen == self.evaluation:
            raise Killed
        return self.add(recorder, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("evaluation", "again"), [(7, 1), (32, 2)])
def test_a_run_that_is_killed_inside_a_phase_goes_on_bit_for_bit(
    evaluation, again, never_killed, tmp_path, monkeypatch
):
    running = tmp_path / "seed-0" / "running"
    of_the_user = [running / "mine" / "thesis.txt", running / "notes.txt", running / "0" / "round_two.txt"]
    for file in of_the_user:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    kill = Kill(monkeypatch, evaluation)
    with pytest.raises(Killed):
        kept(tmp_path)
    kill.seen = evaluation
    same(kept(tmp_path), never_killed)
    assert kill.seen == EVALUATIONS + again  # no more than the one that was killed, and the start of its phase
    assert sorted(one for one in running.rglob("*") if one.is_file()) == sorted(of_the_user)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_killed_as_it_keeps_a_phase_goes_on_bit_for_bit(moment, never_killed, tmp_path, monkeypatch):
    save, phases = KeptPhases.save, [0]

    def killed(self, finished):
        phases[0] += 1
        if phases[0] == 5 and moment == "before":
            raise Killed
        with monkeypatch.context() as patch:
            if phases[0] == 5:  # the folder of the phase that ran is still there
                patch.setattr("shutil.rmtree", lambda *arguments, **options: None)
            save(self, finished)
        if phases[0] == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(KeptPhases, "save", killed)
        with pytest.raises(Killed):
            kept(tmp_path)
    same(kept(tmp_path), never_killed)
    assert not (tmp_path / "seed-0" / "running").exists()


@pytest.mark.slow
def test_a_finished_run_is_read_back_and_another_one_refused(never_killed, tmp_path, monkeypatch):
    kept(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Program, "advance", None)  # nothing is computed again
        same(kept(tmp_path), never_killed)
    with pytest.raises(ValueError, match=r"holds another run: .*network.loss was None and is 0.1"):
        kept(tmp_path, network=tj.Network(loss=0.1))


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_bit_for_bit(never_killed, tmp_path):
    script = Path(__file__).parent / "killed_auto.py"
    process = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "round 18":
            process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "seed-0" / "phases").is_dir() and process.returncode == -signal.SIGKILL
    same(kept(tmp_path), never_killed)


@pytest.mark.slow
def test_candidates_with_equal_gradients_go_on_from_a_checkpoint(tmp_path, monkeypatch):
    joint = tj.joint_teleportation(active=(1, 2, 4), topology="ring", optimizer=SGD)

    def run(folder):
        options = {"gradients": 24, "eval_every": 3, "seeds": 2, "tune": [0.05, 0.1], "progress": False}
        return tj.simulate(EqualGradients(joint), TASK, checkpoint=folder, **options)

    whole = run(None)
    Kill(monkeypatch, 6)
    with pytest.raises(Killed):
        run(tmp_path)
    again = run(tmp_path)
    assert again.history.equals(whole.history) and np.array_equal(again.params, whole.params)


@pytest.mark.slow
def test_seeds_and_settings_run_on_the_devices_of_a_mesh_and_keep_their_own_checkpoints(tmp_path):
    options = {"rounds": 4, "eval_every": 2, "seeds": [0, 4], "tune": {"momentum": [0.0, 0.5]}, "progress": False}
    plan = auto(candidates=(1, 8), optimizer=tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9))
    alone = tj.simulate(plan, TASK, **options)
    meshed = tj.simulate(plan, TASK, mesh=TWO, checkpoint=tmp_path, **options)
    assert meshed.history.equals(alone.history) and alone.history["momentum"].unique().to_list() == [0.0, 0.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0-0", "seed-0-1", "seed-4-0", "seed-4-1"]
    assert meshed.config["tune"] == {"momentum": [0.0, 0.5]}
    assert jax.tree.leaves(meshed.params)[0].shape == (2, 2, 1, 6)


@pytest.mark.slow
def test_a_network_and_metrics_of_ones_own():
    def norm(models, judged, state, task, groups):
        return jnp.stack([jnp.linalg.norm(models) for _ in groups])

    run = tj.simulate(
        auto(candidates=(4, 8)),
        TASK,
        rounds=32,
        network=tj.Network(loss=0.3),
        metrics=[tj.Metric("norm", norm, higher_is_better=False)],
        progress=False,
    )
    assert run.history["lost"][-1] > 0 and run.history["norm"].is_not_null().all()
