"""Sweeps survive kills, failures and corrupt files, and run anywhere with the same table."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import jax
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.cli import main
from telejax.simulation.simulate import simulate_batch
from telejax.studies.sweep import cells as sweep_cells
from telejax.studies.sweep import sweep as sweeping
from telejax.studies.sweep.spec import SweepSpec, canonical

pytestmark = pytest.mark.usefixtures("compiled_fast")

SPEC = """rounds = 40
eval_every = 20
seeds = [0, 1]

[task]
name = "quadratic"
nodes = [30, 40]
dim = 4
noise = [0.5, 1.0]

[[method]]
name = "teleportation"
topology = ["ring", "exponential"]
active = 6

[[method]]
name = "random_walk"

[optimizer]
name = "sgd"
learning_rate = [0.03, 0.1]
"""
CELLS = 6


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "spec.toml"
    file.write_text(SPEC)
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "spec.toml").write_text(SPEC)
    return tj.sweep(folder / "spec.toml", folder / "out", progress=False)


@pytest.mark.slow
def test_every_combination_has_its_rows(whole):
    assert whole.axes == ("method", "topology", "active", "nodes", "noise", "learning_rate")
    assert whole.final().height == CELLS * 2 * 2 * 2  # noises, step sizes, seeds
    assert whole.table.height == whole.final().height * 3
    assert set(whole.table["status"]) == {"finished"}


@pytest.mark.slow
def test_a_run_is_what_simulate_gives(whole):
    task = tj.tasks.quadratic(nodes=40, dim=4, noise=1.0)
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    algorithm = tj.teleportation(active=6, topology="exponential", optimizer=sgd)
    alone = tj.simulate(algorithm, task, rounds=40, eval_every=20, seed=1, progress=False).history
    rows = whole.table.filter(
        (pl.col("nodes") == 40) & (pl.col("noise") == 1) & (pl.col("topology") == "exponential"),
        (pl.col("learning_rate") == 0.1) & (pl.col("seed") == 1),
    )
    # the same numbers in another order of summation
    assert np.allclose(rows["loss"], alone["loss"], rtol=1e-4)
    assert rows["bytes"].to_list() == alone["bytes"].to_list()


@pytest.mark.slow
def test_summary_has_students_band(whole):
    row = whole.summary("loss").row(0, named=True)
    values = whole.final()["loss"][:2].to_numpy()
    assert row["mean"] == pytest.approx(values.mean())
    half = 12.7062 * values.std(ddof=1) / np.sqrt(2)  # t of one degree of freedom at 97.5 %
    assert row["high"] - row["mean"] == pytest.approx(half, rel=1e-4)
    assert whole.summary("loss", by="round").height == 3 * whole.summary("loss").height
    assert len(whole.plot("loss", x="nodes").lines) == 12
    assert len(whole.plot("loss").lines) == 24


@pytest.mark.slow
def test_finished_cells_are_not_computed_again(spec, tmp_path, whole, monkeypatch):
    out = tmp_path / "out"
    run, count = sweep_cells.run_cell, []

    def until_the_third(cell):
        count.append(cell.index)
        if len(count) == 3:
            raise KeyboardInterrupt
        return run(cell)

    monkeypatch.setattr(sweeping, "run_cell", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        tj.sweep(spec, out, progress=False)
    resumed = tj.sweep(spec, out, progress=False)
    assert count == [0, 1, 2, 2, 3, 4, 5]
    assert resumed.table.equals(whole.table)
    assert pl.read_parquet(out / "table.parquet").equals(whole.table)


@pytest.mark.slow
def test_kill_and_resume(spec, tmp_path, whole):
    out = tmp_path / "out"
    command = [sys.executable, "-c", "import sys; from telejax.cli import main; sys.exit(main())"]
    command += ["sweep", str(spec), "--out", str(out), "--no-progress"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (out / "cell-00001.parquet").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "table.parquet").exists()
    before = (out / "cell-00000.parquet").stat().st_mtime_ns
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert (out / "cell-00000.parquet").stat().st_mtime_ns == before
    assert pl.read_parquet(out / "table.parquet").equals(whole.table)
    assert (out / "sweep.png").exists()


@pytest.mark.slow
def test_shards_join(spec, tmp_path, whole):
    out = tmp_path / "out"
    assert tj.sweep(spec, out, shard="1/2", progress=False).missing == CELLS // 2
    assert main(["sweep", str(spec), "--out", str(out), "--shard", "0/2", "--no-progress"]) == 0
    assert pl.read_parquet(out / "table.parquet").equals(whole.table)
    with pytest.raises(ValueError, match="shard is '2/2'"):
        tj.sweep(spec, out, shard="2/2")


@pytest.mark.slow
def test_process_pool(spec, tmp_path, whole):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert tj.sweep(spec, tmp_path / "out", executor=pool, progress=False).table.equals(whole.table)


@pytest.mark.slow
def test_dask(spec, tmp_path, whole):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        outcome = tj.sweep(spec, tmp_path / "out", executor=client.get_executor(), progress=False)
    assert outcome.table.equals(whole.table)


@pytest.mark.slow
def test_failed_and_diverged_runs_are_told_and_the_rest_goes_on(tmp_path):
    spec = {
        "rounds": 400,
        "task": {"name": "quadratic", "nodes": 10, "heterogeneity": [-1.0, 1.0]},
        "method": {"name": "teleportation", "topology": "ring", "active": [4, 11]},
        "optimizer": {"name": "sgd", "learning_rate": [0.1, 100.0]},
    }
    outcome = tj.sweep(spec, tmp_path, progress=False)
    told = {(row["active"], row["heterogeneity"], row["learning_rate"]): row for row in outcome.final().to_dicts()}
    assert len(told) == 8
    assert told[4, 1.0, 0.1]["status"] == "finished"
    assert told[4, 1.0, 100.0]["status"] == "diverged"
    assert told[4, 1.0, 100.0]["reason"].startswith("non-finite values by round")
    assert "heterogeneity is -1.0" in told[4, -1.0, 0.1]["reason"]
    assert "active is 11 and the task has 10 nodes" in told[11, 1.0, 0.1]["reason"]
    assert outcome.failures().height == 7


@pytest.mark.slow
def test_a_corrupt_part_is_named_and_computed_again(spec, tmp_path, whole):
    out = tmp_path / "out"
    tj.sweep(spec, out, progress=False)
    part = out / "cell-00002.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.warns(UserWarning, match=r"cell-00002.parquet is not what was written; .*damaged now"):
        again = tj.sweep(spec, out, progress=False)
    assert again.table.equals(whole.table)


@pytest.mark.slow
def test_another_spec_is_refused_with_what_differs(spec, tmp_path):
    tj.sweep(spec, tmp_path / "out", shard="0/6", progress=False)
    spec.write_text(SPEC.replace("0.03", "0.01"))
    with pytest.raises(ValueError, match=r"learning_rate\.0 was 0.03 and is 0.01"):
        tj.sweep(spec, tmp_path / "out", progress=False)


@pytest.mark.slow
def test_memory_splits_the_runs(spec, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(sweep_cells, "fitting_memory", lambda run_bytes: 1)
    split = tj.sweep(spec, tmp_path / "out", progress=False).table.sort(pl.all())
    together = whole.table.sort(pl.all())
    keys = ["cell", "noise", "learning_rate", "seed", "round"]
    assert split.select(keys).equals(together.select(keys))
    assert np.allclose(split.sort(keys)["loss"], together.sort(keys)["loss"], rtol=1e-4)


def test_an_unwritable_folder_is_named(spec, tmp_path):
    with pytest.raises(OSError, match=r"out is .*spec.toml"):
        tj.sweep(spec, spec / "inside")


@pytest.mark.slow
def test_a_full_disk_keeps_finished_cells(spec, tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        if "cell-00001" in str(self):
            raise OSError("No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"cell-00001.parquet cannot be written: No space left"):
        tj.sweep(spec, tmp_path / "out", progress=False)
    assert sorted(file.name for file in (tmp_path / "out").glob("[!.]*")) == ["cell-00000.parquet", "spec.json"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dim = 4", "dimm = 4", r"line 8, \[task\] dimm: unknown parameter of task quadratic 'dimm'; .* mean 'dim'"),
        ("dim = 4", "dim = []", r"line 8, \[task\] dim is an empty list"),
        ("dim = 4", "dim = 4.5", r"line 8, \[task\] dim is 4.5; give an integer"),
        ("dim = 4", 'dim = "four"', r"line 8, \[task\] dim is 'four'; give an integer"),
        ("active = 6\n", "", r"line 12, \[method\] name: teleportation needs active; give a value"),
        ("active = 6", "active = true", r"line 14, \[method\] active is True"),
        ('name = "random_walk"', 'name = "walk"', r"line 17, \[method\] name: unknown method 'walk'"),
        ("[0.03, 0.1]", '[0.1, "x"]', r"line 21, \[optimizer\] learning_rate is 'x'; give a number"),
        ("[0.03, 0.1]", "[0.1, 0.1]", r"line 21, \[optimizer\] learning_rate .* only once"),
        ("rounds = 40", "rounds = [40]", r"line 1, rounds is \[40\]; give an integer"),
        ("rounds = 40", "rounds = 0", r"line 1, rounds is 0; give an integer from 1"),
        ("rounds = 40", "round = 40", r"line 1, round: unknown key 'round'; did you mean 'rounds'"),
        ("rounds = 40", "rounds = ", r"is not TOML: .*line 1"),
        (
            '[optimizer]\nname = "sgd"\n',
            "[optimizer]\n",
            r"line \d+, \[optimizer\] has no name; give a table with name = one of adagrad",
        ),
        ('name = "sgd"\n', 'nam = "sgd"\n', r"line \d+, \[optimizer\] has no name, but 'nam'; give a table with name"),
        ("rounds = 40\n", "", r"spec.toml has no rounds; give one"),
        ("[0.03, 0.1]", "[0.1, 1e39]", r"line 21, \[optimizer\] learning_rate"),
    ],
)
def test_wrong_specs_are_told_by_line_and_key(spec, old, new, message):
    spec.write_text(SPEC.replace(old, new))
    with pytest.raises(ValueError, match=message):
        SweepSpec.from_toml(spec)


NETWORK = """
[network]
loss = 0.1
[links]
kind = "server"
latency = 0.5
[links.peers]
kind = "uniform"
"""
SMALL = """rounds = 8
eval_every = 4
[task]
name = "quadratic"
nodes = 6
dim = 3
[method]
name = "decentralized_sgd"
topology = "ring"
[optimizer]
name = "sgd"
learning_rate = 0.05
"""


def with_network(folder: Path, lines: str, network: str = NETWORK) -> Path:
    (folder / "net.toml").write_text(network)
    (folder / "spec.toml").write_text(SMALL + lines)
    return folder / "spec.toml"


@pytest.mark.slow
def test_numbers_of_a_network_are_one_program_and_those_of_simulate(tmp_path, monkeypatch):
    batches = []

    def counted(members, **more):
        batches.append(len(members))
        return simulate_batch(members, **more)

    monkeypatch.setattr(sweep_cells, "simulate_batch", counted)
    lines = '[network]\nfile = "net.toml"\nloss = [0, 0.5]\npeers.latency = [0.1, 1.0]\n'
    swept = tj.sweep(with_network(tmp_path, lines), tmp_path / "out", progress=False)
    assert swept.axes == ("network.loss", "peers.latency") and batches == [4]
    method = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.05))
    run = tj.simulate(
        method,
        tj.tasks.quadratic(nodes=6, dim=3),
        rounds=8,
        eval_every=4,
        tune={"network.loss": [0, 0.5], "peers.latency": [0.1, 1.0]},
        network=tj.Network.from_toml(tmp_path / "net.toml"),
    )
    keys = ["network.loss", "peers.latency", "round"]
    swept_rows, rows = swept.table.sort(keys), run.history.sort(keys)
    assert set(swept_rows["network"]) == {"net.toml"} and rows["lost"][-1] > 0
    for name in (*keys, "time", "lost", "bytes"):
        assert swept_rows[name].to_list() == rows[name].to_list()
    np.testing.assert_allclose(swept_rows["loss"], rows["loss"], rtol=1e-5)


@pytest.mark.slow
def test_files_of_networks_are_cells_and_their_contents_belong_to_the_sweep(tmp_path):
    (tmp_path / "other.toml").write_text('[machines]\nkind = "constant"\n')
    spec = with_network(tmp_path, "").read_text()
    (tmp_path / "spec.toml").write_text(f'network = ["net.toml", "other.toml"]\n{spec}')
    swept = tj.sweep(tmp_path / "spec.toml", tmp_path / "out", progress=False)
    cells = SweepSpec.from_toml(tmp_path / "spec.toml").cells()
    assert swept.axes == ("network",) and [cell.network for cell in cells] == ["net.toml", "other.toml"]
    assert swept.final().filter(network="other.toml")["time"].to_list() == [8.0]
    assert swept.failures().is_empty()
    (tmp_path / "other.toml").write_text('[machines]\nkind = "constant"\nseconds = 2\n')
    with pytest.raises(ValueError, match=r"holds another sweep: network\.files\.other\.toml\.machines\.seconds was 1"):
        tj.sweep(tmp_path / "spec.toml", tmp_path / "out", progress=False)


def test_a_spec_without_a_network_is_stored_as_before_there_were_any(spec):
    assert not [name for name in canonical(SweepSpec.from_toml(spec)) if name.startswith("network")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[network]\nloss = 0.1\n", r"line 13, \[network\] has no file; give file = the path"),
        ('[network]\nfile = "no.toml"\n', r"line 14, \[network\] file: network is .*no.toml', which cannot be read"),
        ("[network]\nfile = 3\n", r"line 14, \[network\] file is 3; give a text"),
        ('[network]\nfile = "net.toml"\nlos = 0.1\n', r"line 15, \[network\] los: unknown number .* mean 'loss'"),
        ('[network]\nfile = "net.toml"\noutage = 0.1\n', r"line 15, \[network\] outage: unknown number of the network"),
        ('[network]\nfile = "net.toml"\nloss = [0.1, 2.0]\n', r"line 15, \[network\] loss: loss is 2.0; give a prob"),
        ('[network]\nfile = "net.toml"\nloss = "x"\n', r"line 15, \[network\] loss is 'x'; give a number"),
        ('[network]\nfile = "net.toml"\nlatency = 0.1\n', r"line 15, .*: 'latency' may be network.links.latency or"),
        (
            '[network]\nfile = "net.toml"\nloss = 0.1\n"network.loss" = 0.2\n',
            r"line 16, \[network\] network.loss is a number that the table has under another name too; give it once",
        ),
        (
            '[network]\nfile = "net.toml"\n[network.peers]\nlatency = -1.0\n',
            r"line 16, \[network.peers\] latency is -1.0; give a finite number of at least 0",
        ),
    ],
)
def test_wrong_networks_are_told_by_line_and_key(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        SweepSpec.from_toml(with_network(tmp_path, lines))


@pytest.mark.parametrize("name", ["cell-00000.parquet", ".cell-00000.seal"])
def test_a_folder_in_the_place_of_a_cell_is_named(tmp_path, name):
    spec = {
        "rounds": 2,
        "task": {"name": "quadratic", "nodes": 4, "dim": 2},
        "method": {"name": "random_walk"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    tj.sweep(spec, tmp_path, progress=False)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name} is no regular file; move it away"):
        tj.sweep(spec, tmp_path, progress=False)


def test_another_precision_is_another_sweep():
    spec = SweepSpec.from_dict(
        {
            "rounds": 2,
            "task": {"name": "quadratic", "nodes": 4},
            "method": {"name": "random_walk"},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )
    with jax.enable_x64(True):
        wide = canonical(spec)
    assert wide == {**canonical(spec), "precision": "float64"}


@pytest.mark.slow
def test_counters_of_the_cells_do_not_keep_a_process_from_going_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "counting", one := type(sys)("counting"))
    text = "import telejax as tj\nCOUNT, SIZE = [0], 3\n"
    text += "def make(nodes: int):\n    COUNT[0] += 1\n    return tj.tasks.quadratic(nodes=nodes, dim=SIZE)\n"
    exec(text, one.__dict__)
    spec = {
        "rounds": 2,
        "task": {"name": "counting:make", "nodes": [4, 5]},
        "method": {"name": "random_walk"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    first = tj.sweep(spec, tmp_path, progress=False)
    assert one.COUNT[0] > 0 and tj.sweep(spec, tmp_path, progress=False).table.equals(first.table)
    one.SIZE = 4
    with pytest.raises(ValueError, match="SIZE was 3 and is 4"):
        tj.sweep(spec, tmp_path, progress=False)
