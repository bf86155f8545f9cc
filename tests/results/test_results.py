"""What a simulation returns: tuning, targets, summaries, and folders that are written whole or not at all."""

import hashlib
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
from evaluations import evaluation

import telejax as tj
from telejax.simulation.recorder import Recorder, RoundCost
from telejax.testing import TreeTask

pytestmark = pytest.mark.usefixtures("compiled_fast")

HISTORY = pl.DataFrame(
    {
        "round": [0, 10, 20] * 4,
        "seed": [0] * 6 + [1] * 6,
        "learning_rate": [0.1] * 3 + [0.5] * 3 + [0.1] * 3 + [0.5] * 3,
        "group": [0] * 12,
        "active": [4] * 12,
        "loss": [9.0, 4.0, 2.0, 9.0, 1.0, 0.5, 9.0, 5.0, 4.0, 9.0, 2.0, float("nan")],
        "loss_slots": [9.0, 4.0, 3.0, 9.0, 1.0, 0.5, 9.0, 5.0, 5.0, 9.0, 2.0, float("nan")],
        "accuracy": [0.1, 0.5, 0.9, 0.1, 0.6, 0.7, 0.1, 0.4, 0.8, 0.1, 0.6, 0.6],
        "diverged": [False] * 11 + [True],
    }
)


def result(history: pl.DataFrame = HISTORY) -> tj.Result:
    return tj.Result(history, {"algorithm": "A", "nodes": 9}, params=np.arange(4.0).reshape(2, 2, 1, 1))


def healthy() -> tj.Result:
    return result(HISTORY.with_columns(diverged=False, loss_slots=pl.col("loss_slots").fill_nan(0.6)))


def test_tuned_takes_the_lowest_loss_of_the_slots_and_no_diverged_run() -> None:
    tuned = result().tuned()
    assert tuned.learning_rates == [0.1] and tuned.history.height == 6
    assert tuned.config["tuned"] == {"learning_rate": 0.1, "by": "loss_slots", "among": {"learning_rate": [0.1, 0.5]}}
    assert tuned.params.ravel().tolist() == [0.0, 2.0]
    assert healthy().tuned().learning_rates == [0.5]
    assert healthy().tuned().params.ravel().tolist() == [1.0, 3.0]
    assert healthy().tuned("accuracy").learning_rates == [0.1]  # higher is better
    everything = result(HISTORY.with_columns(diverged=True)).tuned()
    assert everything.learning_rates == [0.5]  # all have diverged: by what is finite
    with pytest.raises(ValueError, match="unknown column 'acuracy'; did you mean 'accuracy'"):
        result().tuned("acuracy")


def test_held_out_loss_decides_where_there_is_one() -> None:
    held_out = healthy().history.with_columns(validation_loss_slots=1 / pl.col("loss_slots"))
    assert result(held_out).tuned().learning_rates == [0.1]


def test_rounds_to_a_target() -> None:
    reached = result().rounds_to(0.6)
    assert reached["rounds"].to_list() == [20, 10, 20, 10]
    assert result().rounds_to(0.85)["rounds"].to_list() == [20, None, None, None]
    assert result().rounds_to(4.0, "loss")["rounds"].to_list() == [10, 10, 20, 10]  # lower is better
    with pytest.raises(ValueError, match="unknown column 'los'; did you mean 'loss'"):
        result().rounds_to(1.0, "los")


def test_summary_is_over_seeds() -> None:
    row = result().summary().filter(learning_rate=0.1).row(0, named=True)
    assert row["runs"] == 2 and row["diverged"] == 0
    assert row["loss"] == pytest.approx(3.0) and row["loss_std"] == pytest.approx(np.sqrt(2.0))
    assert result().summary().filter(learning_rate=0.5)["diverged"][0] == 1
    with pytest.raises(ValueError, match="unknown column 'los'; did you mean 'loss'"):
        result().summary(["los"])
    assert result().summary(["accuracy"]).columns == [
        "learning_rate",
        "group",
        "runs",
        "active",
        "diverged",
        "accuracy",
        "accuracy_std",
    ]
    assert result().seeds == [0, 1] and result().rounds == 20 and result().final().height == 4


@pytest.fixture(scope="module")
def simulated() -> tj.Result:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.05)
    task = TreeTask(6, jnp.arange(6.0))
    return tj.simulate(tj.decentralized_sgd(topology="ring", optimizer=sgd), task, rounds=4, seeds=2, progress=False)


@pytest.mark.slow
def test_saved_results_come_back(simulated: tj.Result, tmp_path) -> None:
    saved = simulated.save(tmp_path / "deep" / "run")
    files = {"config.json", "history.parquet", "params.msgpack"}
    assert {file.name for file in saved.iterdir()} == {".telejax", "SHA256SUMS", *files}
    back = tj.load(saved)
    assert back.history.equals(simulated.history) and back.history.schema == simulated.history.schema
    assert back.config == json.loads(json.dumps(simulated.config))
    assert back.state is None
    np.testing.assert_array_equal(back.model["matrix"], simulated.model["matrix"])
    for ours, theirs in zip(jax.tree.leaves(simulated.params), jax.tree.leaves(back.params), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [path.name for path in saved.parent.iterdir()] == ["run"]  # nothing left aside


def test_a_folder_is_that_of_its_name_whatever_is_in_it(simulated: tj.Result, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = replace(simulated, history=simulated.history.with_columns(loss=pl.col("loss") + 1))
    for name in ("lr[12]", "run?", "a*", "[!a]", "a~", "file:x"):  # patterns and addresses to those who read paths so
        simulated.save(name)
    for name in ("lr1", "run1", "ab", "b"):
        other.save(name)
    for name in ("lr[12]", "run?", "a*", "[!a]", "a~", "file:x"):
        assert tj.load(name).history.equals(simulated.history)


def test_an_existing_folder_is_kept_unless_overwriting_is_asked_for(simulated: tj.Result, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="run', which exists; choose another folder, or overwrite it"):
        simulated.save(tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    with pytest.raises(FileExistsError, match=r"holds what telejax did not write: 'notes.txt'; choose another"):
        simulated.save(tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    (tmp_path / "run" / "notes.txt").unlink()
    for _ in range(2):  # an empty folder, then one of its own
        simulated.save(tmp_path / "run", overwrite=True)
        assert tj.load(tmp_path / "run").history.equals(simulated.history)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("before", [False, True])
def test_a_failed_save_leaves_what_was_there(simulated: tj.Result, tmp_path, monkeypatch, before: bool) -> None:
    if before:
        simulated.save(tmp_path / "run")

    def fail(*_) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr("flax.serialization.msgpack_serialize", fail)  # after two of three files
    with pytest.raises(OSError, match="disk full"):
        simulated.save(tmp_path / "run", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == (["run"] if before else [])
    if before:
        assert tj.load(tmp_path / "run").history.equals(simulated.history)


@pytest.mark.parametrize("broken", ["history.parquet", "config.json", "params.msgpack"])
@pytest.mark.parametrize("how", ["missing", "garbage"])
def test_unreadable_results_are_refused(simulated: tj.Result, tmp_path, broken: str, how: str) -> None:
    file = simulated.save(tmp_path / "run") / broken
    file.unlink() if how == "missing" else file.write_bytes(b"\xc1 not what it should be")
    (file.parent / "SHA256SUMS").unlink()  # as versions before wrote it
    with pytest.raises(ValueError, match="run', which holds no saved result"):
        tj.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["history.parquet", "config.json", "params.msgpack"])
def test_a_file_that_is_not_what_was_saved_is_refused(simulated: tj.Result, tmp_path, name: str) -> None:
    other = replace(
        simulated,
        history=simulated.history.with_columns(loss=pl.col("loss") + 1),
        config={**simulated.config, "rounds": 5},
        params=jax.tree.map(lambda x: x + 1, simulated.params),
    )
    saved = simulated.save(tmp_path / "run")
    (saved / name).write_bytes((other.save(tmp_path / "other") / name).read_bytes())
    with pytest.raises(ValueError, match=f"run', whose {name} is not what was saved: its checksum differs"):
        tj.load(saved)
    sums = saved / "SHA256SUMS"
    sums.write_text("garbage\n")
    with pytest.raises(ValueError, match="run', whose SHA256SUMS has no line for"):
        tj.load(saved)
    sums.unlink()  # as versions before wrote it
    assert tj.load(saved).history.height == simulated.history.height


def test_checksums_are_those_that_other_tools_read(simulated: tj.Result, tmp_path) -> None:
    saved = simulated.save(tmp_path / "run")
    for line in (saved / "SHA256SUMS").read_text().splitlines():
        checksum, name = line.split("  ")
        assert hashlib.sha256((saved / name).read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_reaches_no_target(bad):
    history = HISTORY.with_columns(accuracy=pl.lit(bad), loss=pl.lit(bad), lost=pl.lit(3))
    for metric, target in (("accuracy", 0.5), ("accuracy", -1e9), ("loss", 5.0), ("loss", 1e9)):
        assert result(history).first(metric, target)["rounds"].to_list() == [None] * 4
    assert result(history).first("lost", 3)["rounds"].to_list() == [0] * 4


@pytest.mark.parametrize("target", [float("nan"), float("inf"), float("-inf"), True, "0.5", None])
def test_a_target_that_nothing_reaches_is_refused(target):
    for reach in (result().first, lambda metric, target: result().rounds_to(target, metric)):
        with pytest.raises(ValueError, match=r"target is .*; give a finite number to reach"):
            reach("accuracy", target)
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    if target is not None:  # before anything runs: the default is one
        with pytest.raises(ValueError, match=r"target is .*; give a finite number to reach"):
            tj.compare([walk], tj.tasks.quadratic(nodes=5), rounds=10**9, target=target)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_until_goes_on_where_a_metric_is_not_finite(value):
    recorder = Recorder([0], [{"learning_rate": 0.1}], (1,), RoundCost(((0,),), (1,), (0,), 4, 4))
    recorder.add(1, *evaluation({"accuracy": value}, judged=0))  # of nobody, so that no run is taken for a diverged one
    assert not recorder.reached("accuracy", 0.5, higher_is_better=True)
