"""Comparisons: which seeds choose the step size, and several numbers of nodes side by side."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

import telejax as tj

pytestmark = [pytest.mark.usefixtures("compiled_fast"), pytest.mark.slow]

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
METHODS = [tj.decentralized_sgd(topology="ring", optimizer=SGD), tj.random_walk(optimizer=SGD)]
ASKED = {"rounds": 20, "eval_every": 10, "tune": [0.01, 0.1, 0.3], "progress": False}


def quadratic(nodes: int) -> tj.tasks.Quadratic:
    return tj.tasks.quadratic(nodes=nodes, dim=3)


@pytest.fixture(scope="module")
def grown() -> tj.Scaling:
    return tj.scaling(METHODS, quadratic, [16, 4], seeds=3, tune_seeds=1, **ASKED)


@pytest.mark.slow
def test_few_seeds_choose_and_all_run_with_their_choice(grown: tj.Scaling) -> None:
    few = grown.comparisons[16]
    alone = tj.compare(METHODS, quadratic(16), seeds=1, **ASKED)
    for name, run in few.tuned.items():
        first = alone.tuned[name]
        assert run.seeds == [0, 1, 2] and run.settings == first.settings
        assert run.config["tuned"] == first.config["tuned"]  # what it was chosen among
        # The same bits: seeds and settings are rows of one program each.
        assert_frame_equal(run.history.filter(seed=0), first.history, abs_tol=1e-6)
        assert_frame_equal(few.runs[name].history, alone.runs[name].history)
    history = few.history()
    assert history.height == 2 * (3 * 3 + 2 * 3)  # methods; three step sizes of one seed, one of two more; rows
    assert history.filter("tuned").height == 2 * 3 * 3
    assert few.table()["runs"].to_list() == [3, 3] and few.config["tune_seeds"] == 1


@pytest.mark.slow
def test_sizes_are_those_of_single_comparisons(grown: tj.Scaling) -> None:
    assert list(grown.comparisons) == [4, 16]
    small = tj.compare(METHODS, quadratic(4), seeds=3, tune_seeds=1, **ASKED)
    assert_frame_equal(grown.table().filter(nodes=4).drop("nodes"), small.table())
    assert_frame_equal(grown.history().filter(nodes=4).drop("nodes"), small.history())
    assert grown.config["nodes"] == [4, 16] and grown.config["sizes"]["4"] == small.config


def test_the_table_has_a_column_a_size(grown: tj.Scaling) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(grown)
    lines = captured.get().splitlines()
    table = grown.table().row(by_predicate=(pl.col("nodes") == 16) & (pl.col("method") == "DSGD ring"), named=True)
    row = next(line for line in lines if line.startswith("DSGD ring"))
    assert f"{table['loss_slots']:.3g} ±" in row and "320" in row  # 16 gradients in 20 rounds
    assert all(len(line.rstrip()) <= 80 for line in lines)


def test_the_picture_has_a_line_a_method_and_no_start_on_logarithmic_axes(grown: tj.Scaling) -> None:
    figure = grown.plot()
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2, 2]
    for axes in figure.axes[:2]:
        assert axes.lines[0].get_xdata().tolist() == [4, 16]
    for axes in figure.axes[2:]:
        assert axes.get_xscale() == "log" and axes.lines[0].get_xdata().min() > 0
    plt.close(figure)


@pytest.mark.slow
def test_counts_of_numpy_are_saved_like_others(tmp_path: Path, any_types: None) -> None:
    asked = {**ASKED, "tune": [0.1]}
    few = tj.compare(METHODS[1:], quadratic(4), seeds=np.int64(2), tune_seeds=np.int64(1), **asked)
    assert json.loads((few.save(tmp_path / "few") / "config.json").read_text())["tune_seeds"] == 1


def test_what_is_saved(grown: tj.Scaling, tmp_path: Path) -> None:
    folder = grown.save(tmp_path / "scaling")
    assert_frame_equal(pl.read_parquet(folder / "history.parquet"), grown.history())
    assert json.loads((folder / "config.json").read_text())["nodes"] == [4, 16]
    assert (folder / "scaling.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(FileExistsError):
        grown.save(tmp_path / "scaling")


@pytest.mark.slow
def test_methods_that_diverge_are_told_with_their_size() -> None:
    wild = tj.scaling(
        METHODS, quadratic, [4, 8], seeds=2, tune_seeds=1, **{**ASKED, "rounds": 200, "tune": [50.0, 60.0]}
    )
    assert list(wild.diverged()) == [
        f"{name} at {size} nodes" for size in (4, 8) for name in ("DSGD ring", "one token")
    ]
    assert wild.at_edge() == []


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unjudged:
    nodes: int = field(default=4, metadata={"static": True})

    def init(self, key):
        return jnp.ones(2)

    def loss(self, params, node, key):
        return jnp.sum(params**2)

    def evaluate(self, params):
        return {"loss": jnp.sum(params) * jnp.nan}


def test_a_task_whose_loss_is_no_number_at_the_start_is_told():
    with pytest.raises(ValueError, match=r"task\.evaluate gives the first models a loss of nan.*look\s+for nan"):
        tj.compare([tj.random_walk(optimizer=SGD)], Unjudged(), rounds=2, progress=False)
