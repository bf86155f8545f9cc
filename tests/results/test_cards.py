"""What Jupyter shows of each object: its numbers, and a picture where one can be drawn."""

import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.results import cards

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=8, dim=3)


@pytest.fixture(scope="module")
def result():
    return tj.simulate(tj.decentralized_sgd(topology="ring", optimizer=SGD), TASK, rounds=4, seeds=2, progress=False)


def test_a_result(result):
    shown = result._repr_html_()
    assert "DSGD ring, 8 nodes" in shown and shown.count("data:image/png;base64,") == 1 and "loss_slots" in shown


@pytest.mark.slow
def test_a_result_of_a_wide_grid_shows_the_best_setting_alone():
    walk = tj.random_walk(optimizer=SGD)
    tried = tj.simulate(walk, TASK, rounds=2, tune=[0.01 * k for k in range(1, 12)], progress=False)
    assert "data:image/png" in tried._repr_html_()


def test_what_cannot_be_drawn_is_left_out(result):
    def broken():
        raise ValueError("no picture")

    assert cards.picture(broken, "a picture") == ""
    assert "<img" not in cards.card("title", cards.picture(broken, "a picture"), "<p>numbers</p>")


@pytest.mark.slow
def test_a_comparison_a_search_and_a_sweep(tmp_path, result):
    methods = [tj.random_walk(optimizer=SGD), tj.teleportation(active=4, topology="ring", optimizer=SGD)]
    compared = tj.compare(methods, TASK, rounds=4, seeds=1, progress=False)
    found = tj.search(TASK, "ring", optimizer=SGD, rounds=8, candidates=[1, 2], seeds=1, progress=False)
    spec = {
        "rounds": 4,
        "seeds": [0, 1],
        "task": {"name": "quadratic", "nodes": 8, "dim": 3},
        "method": {"name": "random_walk"},
        "optimizer": {"name": "sgd", "learning_rate": [0.1, 0.2]},
    }
    swept = tj.sweep(spec, tmp_path / "sweep", progress=False)
    for one, told in ((compared, "one token"), (found, "Activate"), (swept, "Sweep(axes=")):
        shown = one._repr_html_()
        assert told in shown and "data:image/png" in shown and "<table" in shown
    assert repr(compared).startswith("Comparison('Quadratic, 8 nodes'") and len(repr(compared)) < 80
    assert "one token" in str(compared) and "{" not in str(compared)


def test_a_topology_with_its_numbers_and_without_a_picture_where_nobody_could_see_it():
    small, large = tj.topology.ring(16)._repr_html_(), tj.topology.ring(10**6)._repr_html_()
    assert "data:image/png" in small and "consensus rate p" in small and "2e+06" in large
    assert "data:image/png" not in large
    directed = tj.topology.directed(np.array([[1.0, 0.5], [0.0, 0.5]]), stochastic="column", connected=False)
    assert "consensus rate" not in directed._repr_html_()


def test_a_network_part_by_part():
    shown = tj.Network(loss=0.1, machines=tj.network.machines.lognormal(0.2))._repr_html_()
    assert "loss" in shown and "0.1" in shown and "lognormal" in shown
    assert "ideal" in tj.Network()._repr_html_()


def test_texts_are_escaped():
    assert "<script>" not in cards.card("<script>") + cards.facts({"<script>": "<script>"})
    assert "<script>" not in cards.table(pl.DataFrame({"<script>": ["<script>"]}))
