"""Kills, interruptions, dying workers, flipped bits, two processes at once: nothing is lost, nothing mixed up.

Full disks and closed pipes are in tests/results/test_files.py, kills of simulations in tests/simulation, of tj.auto and
sweeps in tests/studies.
"""

import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.cli import main
from telejax.results.checksums import write_beside
from telejax.results.report.folder import read_folder
from telejax.simulation.fingerprint import difference, fingerprint
from telejax.studies.sweep import sweep as sweep_module
from telejax.studies.sweep.cells import run_cell

pytestmark = pytest.mark.usefixtures("compiled_fast")

TASK = tj.tasks.quadratic(nodes=6, dim=3, noise=1.0)
FACTOR = 2.0


def run(folder, learning_rate=0.1, factory=optax.sgd, **options):
    """A short run with checkpoints."""
    walk = tj.random_walk(optimizer=tj.optimizer(factory, learning_rate=learning_rate))
    return tj.simulate(walk, TASK, **{"rounds": 6, "eval_every": 2, "checkpoint": folder, "progress": False, **options})


def schedule(scale, shift=1.0):
    return lambda step: scale / (shift + step)


def recursive(depth):
    def inner(step):
        return 0.1 if depth == 0 else inner

    return inner(0) if depth == 0 else lambda step: 0.1 * (inner is not None)


class Callable:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, step):
        return self.scale


class Opaque:
    __slots__ = ()

    def __call__(self, step):
        return 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.exponential_decay(0.1, 10, 0.5),
        lambda: optax.join_schedules([optax.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 5)], [3]),
        lambda: lambda step: 0.1 / (1 + step),
        lambda: schedule(0.1),
        lambda: Callable(0.1),
        lambda: recursive(2),
        lambda: lambda step: 0.1 / FACTOR,
    ],
)
def test_functions_made_anew_are_the_same(make):
    assert fingerprint(make()) == fingerprint(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda step: 0.1 / (1 + step), lambda step: 0.1 / (2 + step)),
        (schedule(0.1), schedule(0.2)),
        (schedule(0.1), schedule(0.1, shift=2.0)),
        (Callable(0.1), Callable(0.2)),
        (lambda step, scale=0.1: scale, lambda step, scale=0.2: scale),
        (lambda step, *, scale=0.1: scale, lambda step, *, scale=0.2: scale),
        (optax.exponential_decay(0.1, 10, 0.5), optax.exponential_decay(0.1, 10, 0.6)),
        (schedule(jnp.arange(3.0)), schedule(jnp.arange(3.0) + 1)),
        (optax.adam(0.1), optax.adam(0.2)),
        ({1, 2}, {1, 3}),
        (jnp.float32(1), jnp.float32(2)),
        (np.float32, np.float64),
    ],
)
def test_functions_that_do_something_else_differ(one, other):
    assert difference(fingerprint(one, "it"), fingerprint(other, "it"))


def test_a_value_of_the_module_that_is_read_is_compared(monkeypatch):
    rate = lambda step: 0.1 / FACTOR
    before = fingerprint(rate)
    monkeypatch.setitem(rate.__globals__, "FACTOR", 3.0)
    assert difference(before, fingerprint(rate)) == "read_FACTOR was 2.0 and is 3.0"


@pytest.mark.slow
def test_a_fingerprint_is_the_same_in_another_process():
    script = "import optax; from telejax.simulation.fingerprint import fingerprint as f; import hashlib; "
    script += "made = lambda s: s in {'a', 'b', 'c'} or optax.cosine_decay_schedule(0.1, 9); "
    script += "print(f({'lambda': made, 'optax': optax.adamw(optax.cosine_decay_schedule(0.1, 9))}))"
    told = [
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] and b"0x" not in told[0]


@pytest.mark.slow
def test_a_run_with_a_schedule_goes_on_and_one_with_another_is_refused(tmp_path):
    first = run(tmp_path, optax.exponential_decay(0.1, 10, 0.5))
    assert run(tmp_path, optax.exponential_decay(0.1, 10, 0.5)).history.equals(first.history)
    with pytest.raises(ValueError, match=r"holds another run: .*decay_rate was 0.5 and is 0.6"):
        run(tmp_path, optax.exponential_decay(0.1, 10, 0.6))


@pytest.mark.slow
def test_what_cannot_be_compared_is_said_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"cannot tell whether .*learning_rate|options.* is the same"):
        run(tmp_path / "new", Opaque())
    assert not (tmp_path / "new").exists()
    run(None, Opaque())  # without a checkpoint nothing is compared


@pytest.mark.slow
def test_the_same_numbers_on_other_batch_axes_are_another_run(tmp_path):
    run(tmp_path)
    for options, message in (
        ({"tune": [0.1]}, r"batch axes was \(\) and is \(1,\)"),
        ({"seeds": 1}, r"batch axes was \(\) and is \(1,\)"),
    ):
        with pytest.raises(ValueError, match=f"holds another run: .*{message}"):
            run(tmp_path, **options)


@pytest.mark.slow
def test_a_folder_of_the_users_among_the_steps_is_left_alone(tmp_path):
    (tmp_path / "99").mkdir()
    (tmp_path / "99" / "notes.txt").write_text("mine")
    first = run(tmp_path)
    assert run(tmp_path).history.equals(first.history)
    assert (tmp_path / "99" / "notes.txt").read_text() == "mine"


def test_a_folder_in_use_is_refused_and_says_by_whom(tmp_path):
    def again(rows):
        with pytest.raises(BlockingIOError, match=f"in which process {os.getpid()} on .* works now; wait for it"):
            run(tmp_path, on_evaluation=None)

    run(tmp_path, on_evaluation=again)
    assert run(tmp_path).rounds == 6  # the lock is free again


SPEC = {
    "rounds": 4,
    "task": {"name": "quadratic", "nodes": 6, "dim": 3},
    "method": {"name": "decentralized_sgd", "topology": ["ring", "path"]},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    tj.sweep(SPEC, folder, progress=False)
    return folder


def copied(swept, folder):
    folder.mkdir(exist_ok=True)
    for file in swept.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.slow
def test_a_cell_is_that_of_its_spec_and_place(swept, tmp_path):
    folder = copied(swept, tmp_path / "a")
    good = (folder / "cell-00000.parquet").read_bytes()
    (folder / "cell-00000.parquet").write_bytes((folder / "cell-00001.parquet").read_bytes())
    with pytest.warns(UserWarning, match=r"is not what was written; it is cell-00000.parquet.damaged now"):
        tj.sweep(SPEC, folder, progress=False)
    assert (folder / "cell-00000.parquet").read_bytes() == good
    seal = folder / ".cell-00000.seal"
    seal.write_bytes(seal.read_bytes()[:20] + b"\xb1" + seal.read_bytes()[21:])  # a flipped bit, no longer UTF-8
    with pytest.warns(UserWarning, match="is not what was written"):
        tj.sweep(SPEC, folder, progress=False)
    (folder / ".cell-00000.seal").unlink()
    with pytest.raises(ValueError, match=r"cell-00000.parquet is no cell of this sweep; move it away"):
        tj.sweep(SPEC, folder, progress=False)
    other = copied(swept, tmp_path / "b")
    (other / "spec.json").unlink()
    with pytest.raises(ValueError, match=r"holds cell-00000.parquet and no spec.json; choose another folder"):
        tj.sweep({**SPEC, "rounds": 5}, other, progress=False)


def test_a_table_of_the_users_is_not_overwritten(tmp_path):
    pl.DataFrame({"mine": [1]}).write_parquet(tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"holds table.parquet and no spec.json; choose another folder"):
        tj.sweep(SPEC, tmp_path, progress=False)
    assert pl.read_parquet(tmp_path / "table.parquet").columns == ["mine"]


def test_a_table_of_the_users_in_a_sweeps_folder_is_set_aside(swept, tmp_path):
    shutil.copytree(swept, tmp_path / "sweep")
    file = tmp_path / "sweep" / "table.parquet"
    whole = file.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tj.sweep(SPEC, file.parent, progress=False)
    assert file.read_bytes() == whole
    pl.DataFrame({"mine": [1]}).write_parquet(file)
    with pytest.warns(UserWarning, match=r"table.parquet is not what telejax wrote; it is table.parquet.1 now"):
        tj.sweep(SPEC, file.parent, progress=False)
    assert pl.read_parquet(f"{file}.1").columns == ["mine"] and file.read_bytes() == whole


def test_a_table_that_telejax_wrote_is_replaced_and_a_damaged_one_reported_by_nobody(swept, tmp_path):
    folder = copied(swept, tmp_path / "sweep")
    table = pl.read_parquet(folder / "table.parquet")
    write_beside(folder / "table.parquet", b"as of another version")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tj.sweep(SPEC, folder, progress=False)
    assert pl.read_parquet(folder / "table.parquet").equals(table) and not [*folder.glob("*.1")]
    flipped = bytearray((folder / "table.parquet").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (folder / "table.parquet").write_bytes(flipped)
    with pytest.raises(ValueError, match=r"whose table.parquet is not what the sweep wrote; run telejax sweep again"):
        read_folder(str(folder))


def test_what_is_removed_while_a_sweep_runs_is_told_and_its_spec_written_again(tmp_path, monkeypatch):
    cells = {cell.index: run_cell(cell) for cell in tj.SweepSpec.from_dict(SPEC).cells()}
    places = iter([tmp_path / "a" / "spec.json", tmp_path / "b"])

    def meanwhile(cell):
        if cell.index == 1:
            place = next(places)
            place.unlink() if place.is_file() else shutil.rmtree(place)
        return cells[cell.index]

    monkeypatch.setattr(sweep_module, "run_cell", meanwhile)
    whole = tj.sweep(SPEC, tmp_path / "a", progress=False)
    monkeypatch.setattr(sweep_module, "run_cell", lambda cell: pytest.fail("it was there"))
    assert tj.sweep(SPEC, tmp_path / "a", progress=False).table.equals(whole.table)
    monkeypatch.setattr(sweep_module, "run_cell", meanwhile)
    with pytest.raises(OSError, match=r"cannot be written: No such file .*; its folder was removed, and what was in"):
        tj.sweep(SPEC, tmp_path / "b", progress=False)


SWEEP = """
rounds = 4
[task]
name = "quadratic"
nodes = 4
noise = [0.1, 1.0]
[method]
name = "random_walk"
[optimizer]
name = "sgd"
learning_rate = 0.05
"""


@pytest.mark.slow
def test_a_sweep_prints_before_it_writes_and_sets_the_users_picture_aside(tmp_path, capsys, monkeypatch):
    (tmp_path / "spec.toml").write_text(SWEEP)
    words = ["sweep", str(tmp_path / "spec.toml"), "--out", str(tmp_path / "out"), "--no-progress"]
    with monkeypatch.context() as patch:
        patch.setattr(sweep_module, "write_beside", full)
        assert main(words) == 1
    printed = capsys.readouterr()
    assert "noise" in printed.out and "Written" not in printed.out
    assert "table.parquet cannot be written: No space left on device; finished cells are kept" in printed.err
    assert main(words) == 0
    picture = tmp_path / "out" / "sweep.png"
    whole = picture.read_bytes()
    picture.write_bytes(b"the user's")
    assert main(words) == 0
    assert "sweep.png is not what telejax wrote; it is sweep.png.1 now" in capsys.readouterr().err
    assert picture.read_bytes() == whole and (tmp_path / "out" / "sweep.png.1").read_bytes() == b"the user's"
    times = {file: file.stat().st_mtime_ns for file in picture.parent.iterdir()}
    assert main(words) == 0  # what is there already is left alone
    assert times == {file: file.stat().st_mtime_ns for file in picture.parent.iterdir()}


def full(*_):
    raise OSError(28, "No space left on device")


def test_combinations_that_two_blocks_share_are_refused():
    block = {"name": "decentralized_sgd", "topology": ["ring", "path"]}
    for second in ({**block, "topology": "path"}, {"name": "dsgd", "topology": ["star", "ring"]}):
        with pytest.raises(ValueError, match=r"\[method\] name: decentralized_sgd with topology = \w+ is in an"):
            tj.SweepSpec.from_dict({**SPEC, "method": [block, second]})
    tj.SweepSpec.from_dict({**SPEC, "method": [block, {**block, "topology": "star"}, {"name": "fedavg", "clients": 2}]})


class Dying:
    """An executor whose first worker dies, while the others do their work."""

    def __init__(self):
        self.submitted = 0

    def submit(self, function, cell):
        future = Future()
        self.submitted += 1
        if self.submitted == 1:
            future.set_exception(RuntimeError("the worker died"))
        else:
            future.set_result(function(cell))
        return future


def test_a_worker_that_dies_loses_its_cell_alone(swept, tmp_path):
    with pytest.raises(RuntimeError, match=r"1 of 2 cells were lost .* cell-00000.parquet: .*worker died.*run"):
        tj.sweep(SPEC, tmp_path, executor=Dying(), progress=False)
    assert (tmp_path / "cell-00001.parquet").exists() and not (tmp_path / "cell-00000.parquet").exists()
    table = tj.sweep(SPEC, tmp_path, progress=False).table
    assert table["loss"].to_list() == pl.read_parquet(swept / "table.parquet")["loss"].to_list()


class Breaking(Dying):
    """An executor whose worker dies while more is submitted."""

    def submit(self, function, cell):
        if self.submitted:
            raise BrokenExecutor("a worker died")
        self.submitted = 2
        return super().submit(function, cell)


class Confused(Dying):
    """An executor that returns what it should not."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def submit(self, function, cell):
        future = Future()
        future.set_result(self.result)
        return future


def test_what_an_executor_took_before_it_broke_is_kept(swept, tmp_path):
    with pytest.raises(RuntimeError, match=r"1 of 2 cells were lost .* cell-00001.parquet: .*a worker died"):
        tj.sweep(SPEC, tmp_path, executor=Breaking(), progress=False)
    assert (tmp_path / "cell-00000.parquet").exists()
    table = tj.sweep(SPEC, tmp_path, progress=False).table
    assert table["loss"].to_list() == pl.read_parquet(swept / "table.parquet")["loss"].to_list()


def test_rows_of_another_cell_or_none_are_not_kept(swept, tmp_path):
    first = pl.read_parquet(swept / "cell-00000.parquet")
    for result, words, kept in ((None, "the result of the executor is None", []), (first, "of another cell", [0])):
        with pytest.raises(RuntimeError, match=words):
            tj.sweep(SPEC, tmp_path, executor=Confused(result), progress=False)
        assert sorted(tmp_path.glob("cell-*")) == [tmp_path / f"cell-0000{cell}.parquet" for cell in kept]


def test_an_executor_that_forks_is_refused():
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(ValueError, match=r"executor forks this process, .*get_context\('spawn'\)"),
    ):
        tj.sweep(SPEC, "nowhere", executor=pool, progress=False)
    assert not Path("nowhere").exists()


def test_a_flipped_bit_is_never_silent(swept, tmp_path, monkeypatch):
    """Of a cell's file: it is told, and the cell computed again."""
    whole = pl.read_parquet(swept / "table.parquet")
    cells = {cell.index: run_cell(cell) for cell in tj.SweepSpec.from_dict(SPEC).cells()}
    monkeypatch.setattr(sweep_module, "run_cell", lambda cell: cells[cell.index])
    good = (swept / "cell-00000.parquet").read_bytes()
    random = np.random.default_rng(0)
    for place in random.choice(len(good), 60, replace=False):
        folder = copied(swept, tmp_path / "flipped")
        flipped = bytearray(good)
        flipped[place] ^= 1 << int(random.integers(8))
        (folder / "cell-00000.parquet").write_bytes(flipped)
        with pytest.warns(UserWarning, match=r"cell-00000.parquet is not what was written"):
            assert tj.sweep(SPEC, folder, progress=False).table.equals(whole), f"byte {place}"


def command(arguments, folder):
    script = "from telejax.cli import command; command()"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script, *arguments, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


QUADRATIC = ["--dataset", "quadratic", "--nodes", "500", "--seeds", "1", "--no-progress"]
LONG = {
    "search": ["search", *QUADRATIC, "--rounds", "10000000", "--candidates", "1", "2"],
    "compare": ["compare", *QUADRATIC, "--rounds", "100000000", "--eval-every", "100000000", "--methods", "token"],
}


@pytest.mark.slow
def test_control_c_ends_a_command(tmp_path):
    processes = {name: command(options, tmp_path / name) for name, options in LONG.items()}
    time.sleep(9)  # compiled, and in a round that does not end
    try:
        for name, interrupts, seconds in (("compare", 2, 1.5), ("search", 1, 5.0)):
            start = time.monotonic()
            for _ in range(interrupts):
                processes[name].send_signal(signal.SIGINT)
                time.sleep(0.3)
            _, told = processes[name].communicate(timeout=60)
            assert time.monotonic() - start < seconds + 1  # a machine that is busy
            assert processes[name].returncode == 130 and "interrupted; nothing is written before all" in told
            assert not (tmp_path / name).exists()
    finally:
        for process in processes.values():
            process.kill()  # not left to run for ever beside the other tests


def test_an_interruption_after_tables_were_written_says_where_they_are(tmp_path, monkeypatch):
    from telejax.cli.interrupt import Command
    from telejax.results import files

    monkeypatch.setattr(files, "PUT_IN_PLACE", [])
    assert Command().kept() == "nothing is written before all is computed"
    with files.new_folder(tmp_path / "out", overwrite=False) as folder:
        (folder / "history.csv").write_text("")
    assert str(tmp_path / "out") in Command().kept()


@pytest.mark.slow
def test_control_c_of_a_sweep_says_what_is_kept(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        f'rounds = 200\n[task]\nname = "quadratic"\nnodes = {[*range(4, 44)]}\n[method]\n'
        'name = "decentralized_sgd"\ntopology = "ring"\n[optimizer]\nname = "sgd"\nlearning_rate = 0.1\n'
    )
    out = tmp_path / "out"
    process = command(["sweep", str(spec)], out)
    while not [*out.glob("cell-*")]:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    cells = len([*out.glob("cell-*.parquet")])
    assert process.returncode == 130 and f"{cells} finished cell" in told and "the same command goes on" in told
    assert 1 <= cells < 40


def test_ctrl_c_before_a_command_begins_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("telejax.cli.command", interrupted)
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("telejax.__main__").main()
    assert stop.value.code == 130 and capsys.readouterr().err == "telejax: interrupted; nothing was begun\n"


def test_ctrl_c_in_what_no_error_may_leave_ends_the_command_too():
    """As in what jax does when Python collects its garbage."""
    code = """
import gc, signal, time
from telejax.cli.interrupt import interruptible
def interrupted(*_):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGINT)
with interruptible(lambda: "all is kept"):
    gc.callbacks.append(interrupted)
    gc.collect()
    time.sleep(30)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130 and time.monotonic() - began < 20
    assert done.stderr == "telejax: interrupted; all is kept\n"


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["compare", "--help"]], ids=" ".join)
def test_what_cannot_be_printed_is_no_traceback(words):
    run = [sys.executable, "-m", "telejax", *words]
    with open("/dev/full", "w") as full:
        lost = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True)
    assert lost.returncode == 1 and lost.stderr.startswith("telejax: standard output cannot be written: ")
    narrow = subprocess.run(run, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert narrow.returncode == 0 and narrow.stdout and not narrow.stderr


def test_what_another_program_is_writing_beside_checkpoints_is_kept(tmp_path):
    mine = tmp_path / "model.orbax-checkpoint-tmp-5"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    unfinished = tmp_path / "round_2.orbax-checkpoint-tmp-7"
    unfinished.mkdir()
    method = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    task = tj.tasks.quadratic(nodes=8, dim=3)
    tj.simulate(method, task, rounds=4, eval_every=2, checkpoint=tmp_path, progress=False)
    assert (mine / "thesis.txt").exists() and not unfinished.exists()
    assert {"round_2", "round_4"} <= {one.name for one in tmp_path.iterdir()}
