"""The scripts of experiments/paper: tables resume and refuse what is not theirs, CLAIMS.md is that of the tables."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import telejax as tj

PAPER = Path(__file__).parents[2] / "experiments" / "paper"

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(PAPER)


def table(path: Path, version: int = 1, room: int = 10, **settings):
    from tables import Table

    return Table.open(path, {"script": "one", "version": version, **settings}, room)


def row(value: float):
    return lambda: pl.DataFrame({"value": [value]})


def test_a_stopped_script_goes_on_with_the_cells_that_are_there(tmp_path):
    path = tmp_path / "one.csv"

    def stopped():
        raise KeyboardInterrupt

    first = table(path)
    assert first.cell({"n": 4, "rate": 0.1}, row(0.123456789))["value"].to_list() == [0.123457]
    with pytest.raises(KeyboardInterrupt):
        first.cell({"n": 8, "rate": 0.1}, stopped)
    again = table(path)
    assert again.cell({"n": 4, "rate": 0.1}, stopped)["value"].to_list() == [0.123457]
    again.cell({"n": 8, "rate": 0.1}, row(2.0))
    assert table(path).rows.select("n", "value").rows() == [(4, 0.123457), (8, 2.0)]
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["one.csv", "one.json"]


def test_tables_of_others_are_refused_and_name_what_differs(tmp_path):
    path = tmp_path / "one.csv"
    table(path, rounds=5).cell({"n": 4}, row(1.0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"another version of this script: version was 1 and is 2; move it away"):
        table(path, version=2, rounds=5)
    with pytest.raises(ValueError, match="rounds was 5 and is 6"):
        table(path, rounds=6)
    assert path.read_bytes() == before
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"one\.json is missing beside"):
        table(path)


def test_a_disk_without_room_is_told_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match=r"need up to 1000000000000 MB, and .* make room"):
        table(tmp_path / "one.csv", room=10**18)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_claims_are_those_of_the_tables():
    import claims

    claims.main(check=True)
    text = claims.FILE.read_text()
    standings = [
        line.split(":")[0].removeprefix("## ").removesuffix(", so far")
        for line in text.splitlines()
        if line.startswith("## ")
    ]
    assert standings == sorted(standings, key=["Not held", "Held only in part", "Held"].index)  # what fails comes first
    assert len(standings) == len(claims.all_claims()) == 19


def test_claims_refuse_a_table_of_another_version(tmp_path, monkeypatch):
    import claims

    (tmp_path / "rates.csv").write_bytes((claims.COMMITTED / "rates.csv").read_bytes())
    told = json.loads((claims.COMMITTED / "rates.json").read_text())
    (tmp_path / "rates.json").write_text(json.dumps(told | {"version": 0}))
    monkeypatch.setattr(claims, "COMMITTED", tmp_path)
    with pytest.raises(ValueError, match=r"rates\.csv is of another version of rates\.py: version was 0 and is 1"):
        claims.committed("rates")
    with pytest.raises(ValueError, match=r"moments\.csv is missing; run python experiments/paper/moments\.py"):
        claims.committed("moments")


@pytest.mark.slow
def test_a_script_on_the_command_line(tmp_path):
    out = tmp_path / "graphs.csv"
    script = [sys.executable, str(PAPER / "graphs_consensus.py")]
    given = ["--nodes", "6", "--graphs", "ring", "base:degree=1", "--out", str(out)]
    run = subprocess.run([*script, *given], capture_output=True, text=True, check=True)
    assert "[2/2]" in run.stdout and str(out) in run.stdout
    rows = pl.read_csv(out)
    rounds = tj.topology.from_spec("base:degree=1", 6).period
    assert rows["exact"].to_list() == [None, rounds]
    out.with_suffix(".json").write_text('{"script": "graphs_consensus", "version": 0}')
    refused = subprocess.run([*script, *given], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "version was 0" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_wrong_number_on_the_command_line_is_told_in_a_line():
    script = [sys.executable, str(PAPER / "moments.py"), "--runs", "0"]
    refused = subprocess.run(script, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and refused.stderr == "moments.py: --runs is 0; give an integer of at least 1\n"


@pytest.mark.slow
def test_section_5_2_tunes_each_budget_and_resumes(tmp_path, capsys):
    import section_5_2

    settings = section_5_2.Settings(
        data="digits",
        nodes=(8,),
        alphas=(0.1,),
        methods=("dsgd/ring", "teleportation/ring"),
        seeds=2,
        epochs=1,
        learning_rates=(0.1, 0.3),
        evaluated=(50, 50, 50),
        search_rounds=8,
        search_seeds=1,
        out=tmp_path / "networks.csv",
    )
    section_5_2.main(settings)
    rows = pl.read_csv(settings.out)
    summary = section_5_2.summary(rows)
    assert summary.select("method", "budget").rows().count(("teleportation/ring", "rounds")) == 1
    ours = summary.filter(method="teleportation/ring", budget="epochs").row(0, named=True)
    theirs = summary.filter(method="dsgd/ring").row(0, named=True)
    assert theirs["gradients"] == theirs["round"] * 8
    assert theirs["gradients"] - 8 < ours["gradients"] <= theirs["gradients"] and ours["seeds"] == 2
    before, text = settings.out.read_bytes(), capsys.readouterr().out
    assert "search" in text and "hours in all" in text
    section_5_2.main(settings)
    assert settings.out.read_bytes() == before
    tuned = rows.filter(pl.col("seed") == 0, pl.col("method") == "dsgd/ring")
    ends = tuned.filter(pl.col("round") == theirs["round"]).sort("validation_loss_slots")
    assert theirs["learning_rate"] == ends["learning_rate"][0]  # the lowest held-out loss


def test_an_independent_torch_loop_ends_alike(tmp_path):
    pytest.importorskip("torch", reason="torch is no dependency of telejax")
    import jax
    import numpy as np
    import torch
    import torch_loop

    task = torch_loop.task_of()
    params = task.init(jax.random.key(3))
    inputs = np.asarray(task._read(task.samples.inputs[:8]))
    given = torch.tensor(inputs.reshape(8, 1, 28, 28))
    made = torch_loop.lenet(jax.tree.map(np.asarray, params))(given).detach().numpy()
    np.testing.assert_allclose(made, task.network.apply(params, inputs), atol=1e-5)  # the same model
    settings = torch_loop.Settings(out=tmp_path / "torch.csv")
    torch_loop.main(settings)
    compared = torch_loop.compared(pl.read_csv(settings.out))
    assert compared["off"].abs().max() < 2
