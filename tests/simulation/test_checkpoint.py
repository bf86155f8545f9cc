"""A run that was killed and started again is, bit for bit, the run that never was."""

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

SCRIPT = """
import sys, optax, telejax as tj
from telejax.simulation.recorder import Recorder
import numpy as np, jax

folder, slow = sys.argv[1], len(sys.argv) > 2
if slow:  # tell after every evaluation, and leave time to be killed in
    import time
    add = Recorder.add
    def slow_add(self, *args):
        rows = add(self, *args)
        print("round", self.round, flush=True)
        time.sleep(0.3)
        return rows
    Recorder.add = slow_add
task = tj.tasks.quadratic(nodes=100, dim=7, noise=1.0)
adam = tj.optimizer(optax.adam, learning_rate=0.1)
result = tj.simulate(
    tj.teleportation(active=8, topology="exponential", optimizer=adam), task, rounds=63, eval_every=5,
    seeds=2, tune=[0.1, 0.2], checkpoint=folder, progress=False,
)
result.save(folder + "-result")
leaves = jax.tree.leaves((result.state.params, result.state.opt_state, result.state.holders, result.state.round))
np.savez(folder + "-state.npz", *leaves)
"""


def script(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, line):
    for printed in process.stdout:
        if printed.strip() == line:
            return
    raise AssertionError(process.stderr.read())


def finish(process):
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error


def same(folder, other):
    ours, theirs = tj.load(f"{folder}-result"), tj.load(f"{other}-result")
    assert ours.history.equals(theirs.history)
    for a, b in zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True):
        assert a.tobytes() == b.tobytes()
    a, b = np.load(f"{folder}-state.npz"), np.load(f"{other}-state.npz")
    assert all(a[name].tobytes() == b[name].tobytes() for name in b.files)


@pytest.mark.slow
def test_killed_and_interrupted_runs_go_on_bit_for_bit(tmp_path):
    whole, killed, interrupted = (tmp_path / name for name in ("whole", "killed", "interrupted"))
    at_once = {killed: script(killed, "slow"), interrupted: script(interrupted, "slow"), whole: script(whole)}
    wait_for(at_once[killed], "round 20")
    time.sleep(0.15)
    at_once[killed].send_signal(signal.SIGKILL)
    at_once[killed].wait()
    assert 0 < max(int(step.name.partition("_")[2]) for step in killed.glob("round_*")) < 63
    wait_for(at_once[interrupted], "round 20")
    at_once[interrupted].send_signal(signal.SIGINT)
    _, error = at_once[interrupted].communicate(timeout=60)
    assert "KeyboardInterrupt" in error and at_once[interrupted].returncode != 0
    told = re.search(r"interrupted; round (\d+) is in the checkpoint", error)  # 20, or later where this test is slow
    assert told and 20 <= int(told[1]) < 63 and (interrupted / f"round_{told[1]}").is_dir()
    finish(at_once[whole])
    for process in [script(killed), script(interrupted)]:
        finish(process)
    for folder in (killed, interrupted):
        same(folder, whole)


def run(folder, rate=0.1, **options):
    task = tj.tasks.quadratic(nodes=20, dim=3)
    sgd = tj.optimizer(optax.sgd, learning_rate=rate)
    walk = tj.random_walk(optimizer=sgd)
    options = {"rounds": 12, "eval_every": 4, **options}
    return tj.simulate(walk, task, checkpoint=folder, progress=False, **options)


@pytest.mark.slow
def test_a_finished_run_is_read_back(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert first.history.equals(again.history)
    assert np.array_equal(first.state.params, again.state.params)


def test_every_thins_the_checkpoints(tmp_path, monkeypatch):
    saved = []
    save = ocp.CheckpointManager.save
    monkeypatch.setattr(
        ocp.CheckpointManager, "save", lambda self, step, **kw: (saved.append(step), save(self, step, **kw))[1]
    )
    run(tmp_path, every=8)
    assert saved == [8, 12]


def test_another_configuration_is_refused_with_what_differs(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"holds another run: .*learning_rate was 0.1 and is 0.2"):
        run(tmp_path, rate=0.2)
    with pytest.raises(ValueError, match="rounds was 12 and is 16"):
        run(tmp_path, rounds=16)


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"checkpoint is .*file"):
        run(tmp_path / "file" / "inside")


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    save = ocp.CheckpointManager.save

    def full(self, step, **options):
        if step == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(self, step, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", full)
        with pytest.raises(OSError, match="No space left on device; round 4 is kept"):
            run(tmp_path / "disk")
    assert run(tmp_path / "disk").history.equals(whole.history)


def test_a_folder_of_the_user_that_is_called_as_a_checkpoint_is_kept(tmp_path):
    mine = tmp_path / "before" / "round_1" / "notes.txt"
    run(tmp_path / "before")
    mine.parent.mkdir()
    mine.write_text("mine")
    for rounds in (0, 8):  # the run is finished, and goes on from an earlier step
        if rounds:
            shutil.rmtree(tmp_path / "before" / "round_12")
        with pytest.raises(ValueError, match="whose folder round_1 is called as a checkpoint is and holds none; move"):
            run(tmp_path / "before")
    assert mine.read_text() == "mine"

    def keep(rows):
        folder = tmp_path / "meanwhile" / f"round_{rows['round'][0]}"
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "loss.txt").write_text("mine")

    with pytest.raises(OSError, match="cannot be written: round_4 is there, which telejax did not write"):
        run(tmp_path / "meanwhile", on_evaluation=keep)
    assert len(list((tmp_path / "meanwhile").rglob("loss.txt"))) == 2


def test_an_unreadable_checkpoint_is_named(tmp_path):
    run(tmp_path)
    files = [file for file in (tmp_path / "round_12").rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="step 12 cannot be read"):
        run(tmp_path)
    (tmp_path / "round_12" / "SHA256SUMS").unlink()  # as where a process ended before it wrote them
    with pytest.raises(ValueError, match="step 12 cannot be read"):
        run(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_a_damaged_file_of_a_checkpoint_is_named_and_nothing_else_is_told(tmp_path, capfd, caplog, damage):
    whole = run(tmp_path)
    file = max((tmp_path / "round_12" / "state").rglob("*"), key=lambda one: one.is_file() and one.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flipped" else content[:-1])
    with pytest.raises(ValueError, match=rf"step 12 cannot be read: state/.*{file.name} in it is not what was written"):
        run(tmp_path)
    assert capfd.readouterr() == ("", "") and not caplog.records
    shutil.rmtree(tmp_path / "round_12")
    assert run(tmp_path).history.equals(whole.history)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["state", "record", "identity"])
def test_a_part_of_another_step_is_refused(tmp_path, part):
    whole = run(tmp_path)
    step = tmp_path / "round_12"
    shutil.rmtree(step / part)
    shutil.copytree(tmp_path / "round_8" / part, step / part)
    with pytest.raises(ValueError, match=f"step 12 cannot be read: {part}/.* is not what was written"):
        run(tmp_path)
    (step / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"step 12 cannot be read: .* is of another step; remove its folder round_12"):
        run(tmp_path)
    shutil.rmtree(step)
    assert run(tmp_path).history.equals(whole.history)


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path):
    run(tmp_path)
    (tmp_path / "round_12" / "SHA256SUMS").unlink()
    file = tmp_path / "round_12" / "identity" / "metadata"
    file.write_text(json.dumps(json.loads(file.read_text())["part"]["run"]))
    with pytest.raises(ValueError, match="an older version of telejax wrote it"):
        run(tmp_path)


def test_an_array_without_elements_is_told_before_the_run(tmp_path):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Task:
        nodes: int = dataclasses.field(metadata={"static": True})
        init = lambda self, key: {"none": np.zeros(0, np.float32), "some": np.zeros(2, np.float32)}
        loss = lambda self, params, node, key: (params["some"] ** 2).sum() + params["none"].sum()
        evaluate = lambda self, params: {"loss": (params["some"] ** 2).sum()}

    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    assert tj.simulate(walk, Task(4), rounds=2, progress=False).rounds == 2
    rows = []
    with pytest.raises(ValueError, match=r"without elements at .*none.*leave it out of task.init"):
        tj.simulate(walk, Task(4), rounds=2, checkpoint=tmp_path, on_evaluation=rows.append, progress=False)
    assert not rows


def test_every_needs_a_folder():
    with pytest.raises(ValueError, match="every is 5 and checkpoint is None"):
        run(None, every=5)


def test_groups_of_several_costs_refuse_a_budget_of_gradients():
    plan = tj.joint_teleportation(active=(1, 2), topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    with pytest.raises(ValueError, match=r"gradients is 12, and the groups .* compute \[1, 2\] a round; give rounds"):
        tj.simulate(plan, tj.tasks.quadratic(nodes=20, dim=3), gradients=12)


@pytest.mark.slow
def test_groups_side_by_side_go_on_from_a_checkpoint(tmp_path, monkeypatch):
    plan = tj.joint_teleportation(
        active=(1, 4), topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.5)
    )

    def simulate(folder):
        task = tj.tasks.quadratic(nodes=20, dim=3, noise=1.0)
        return tj.simulate(plan, task, rounds=12, eval_every=4, seeds=2, checkpoint=folder, progress=False)

    whole = simulate(tmp_path / "whole")
    save = ocp.CheckpointManager.save

    def stopped(self, step, **options):
        save(self, step, **options)
        if step == 8:
            raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "save", stopped)
        with pytest.raises(OSError, match="cannot be written"):
            simulate(tmp_path / "stopped")
    again = simulate(tmp_path / "stopped")
    assert again.history.equals(whole.history)
    assert np.array_equal(again.params, whole.params) and again.params.shape == (2, 1, 2, 3)
