"""Who bears the load, and who did what when: counted again from the recorded holders, and drawn."""

from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax import plots

pytestmark = [pytest.mark.usefixtures("compiled_fast"), pytest.mark.slow]

NODES, K, ROUNDS = 12, 5, 20
TASK = tj.tasks.quadratic(nodes=NODES, dim=3)
HEAVY = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.5)
COPY, HANDED = 12, 24  # three float32; with the momentum twice as many
SECONDS = np.linspace(0.5, 2.7, NODES)
LOADS = ["active", "messages_out", "messages_in", "bytes_out", "bytes_in", "seconds"]


def simulate(algorithm: Any, task: Any = TASK, **options: Any) -> tj.Result:
    return tj.simulate(algorithm, task, load=True, progress=False, **{"rounds": ROUNDS, "record": ROUNDS, **options})


@cache
def teleported() -> tj.Result:
    network = tj.Network(machines=tj.network.machines.table(SECONDS), links=tj.network.links.uniform(0.25, 48.0))
    return simulate(tj.teleportation(active=K, topology="ring", optimizer=HEAVY), network=network)


# load -----------------------------------------------------------------------------------------------------------------


def test_loads_are_those_of_a_loop_over_the_holders() -> None:
    result = teleported()
    expected = {name: np.zeros(NODES) for name in LOADS}
    before: dict[int, int] = {}
    for row in result.timeline().iter_rows(named=True):
        node, old = row["node"], before.get(row["slot"])
        expected["active"][node] += 1
        expected["seconds"][node] += SECONDS[node]
        for way in ("out", "in"):  # both neighbours on a ring
            expected[f"messages_{way}"][node] += 2
            expected[f"bytes_{way}"][node] += 2 * COPY
        assert row["fetched_from"] == (old if old != node else None)
        if old not in (None, node):
            for who, way in ((old, "out"), (node, "in")):
                expected[f"messages_{way}"][who] += 1
                expected[f"bytes_{way}"][who] += HANDED
        before[row["slot"]] = node
    load = result.load()
    assert load.columns[-7:] == ["node", *LOADS]
    assert load["node"].to_list() == list(range(NODES))
    for name, values in expected.items():
        np.testing.assert_allclose(load[name], values, rtol=1e-6 if name == "seconds" else 0)  # sums of float32


def test_sums_of_loads_are_the_counters_of_the_run() -> None:
    result = teleported()
    load, last = result.load().sum().row(0, named=True), result.final().row(0, named=True)
    assert load["active"] == last["gradients"] == K * ROUNDS
    assert load["messages_out"] == load["messages_in"] == last["messages"]
    assert load["bytes_out"] == load["bytes_in"] == last["bytes"]


def test_the_summary_is_that_of_numpy() -> None:
    result = teleported()
    load, summary = result.load(), result.load(summary=True)
    assert summary["load"].to_list() == LOADS
    for row in summary.iter_rows(named=True):
        values = load[row["load"]].to_numpy().astype(float)
        assert row["mean"] == pytest.approx(values.mean()) and row["max"] == values.max()
        # half the mean difference of two nodes, in means
        gini = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
        assert row["gini"] == pytest.approx(gini)


def test_what_is_lost_is_sent_and_not_received() -> None:
    dsgd = tj.decentralized_sgd(topology="ring", optimizer=HEAVY)
    network = tj.Network(loss=0.3, presence=tj.network.presence.epochs(0.2))
    result = simulate(dsgd, network=network)
    load, last = result.load(), result.final().row(0, named=True)
    assert load["messages_out"].sum() == last["messages"] < 2 * NODES * ROUNDS
    assert load["messages_in"].sum() == last["messages"] - last["lost"] < last["messages"]
    worked = result.timeline().drop_nulls("node")["node"].value_counts().sort("node")["count"]
    assert load["active"].to_list() == worked.to_list()
    assert load["active"].sum() == last["gradients"]
    assert "seconds" not in load.columns


@pytest.mark.slow
def test_seconds_are_of_computing_alone() -> None:
    """Neither timeouts nor rounds without anybody are, and a method that gossips twice computes in both parts."""
    machines = tj.network.machines.constant(1.5)
    faults = tj.network.faults.independent(hand_off=0.3, failure=0.3, timeout=7.0)
    network = tj.Network(machines=machines, faults=faults, presence=tj.network.presence.epochs(0.5, wait=3.0))
    twice = tj.gradient_tracking(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.01))
    for algorithm, parts in (
        (tj.teleportation(active=K, topology="ring", optimizer=HEAVY, local_steps=2), network),
        (twice, tj.Network(machines=machines)),
    ):
        result = simulate(algorithm, network=parts)
        computed = result.history["gradients"][-1] - result.history["gradients"][0]  # but for those of the start
        assert result.load()["seconds"].sum() == pytest.approx(1.5 * computed)


def test_what_goes_to_a_server_counts_at_the_node() -> None:
    result = simulate(tj.fedavg(clients=3, optimizer=HEAVY))
    load, last = result.load(), result.final().row(0, named=True)
    worked = np.bincount(result.timeline()["node"].to_numpy(), minlength=NODES)
    for name in ("active", "messages_out", "messages_in"):
        assert load[name].to_list() == worked.tolist()
    assert load["messages_out"].sum() + load["messages_in"].sum() == last["messages"] == 2 * 3 * ROUNDS
    assert result.timeline()["fetched_from"].null_count() == 3 * ROUNDS


@pytest.mark.slow
def test_runs_have_loads_of_their_own_and_go_on() -> None:
    walk = tj.random_walk(tokens=2, optimizer=HEAVY)
    first = simulate(walk, seeds=2, rounds=8)
    whole = simulate(walk, seeds=2, state=first, rounds=12).load()
    assert whole.equals(simulate(walk, seeds=2).load())
    ones = [simulate(walk, seed=seed).load()["active"].to_list() for seed in range(2)]
    assert [run["active"].to_list() for run in whole.partition_by("seed", maintain_order=True)] == ones
    assert ones[0] != ones[1] and sum(ones[0]) == 2 * ROUNDS


def test_of_millions_of_nodes_every_so_many_th_is_followed() -> None:
    nodes = 2_500_001
    task = tj.tasks.quadratic(nodes=nodes, dim=3)
    result = simulate(tj.teleportation(active=50, topology="ring", optimizer=HEAVY), task)
    load = result.load()
    assert load["node"].to_list() == list(range(0, nodes, 3))
    worked = load.filter(pl.col("active") > 0)
    held = result.timeline().filter(pl.col("node") % 3 == 0)["node"]
    assert sorted(held.to_list()) == sorted(
        node for node, often in worked.select("node", "active").iter_rows() for _ in range(often)
    )
    assert 200 < len(held) < 470  # a third of 1000: ten standard deviations of a binomial
    handed = result.timeline().filter(pl.col("fetched_from") % 3 == 0).height
    assert load["messages_out"].sum() == 2 * len(held) + handed


def test_a_load_that_was_not_counted_is_refused(tmp_path: Any) -> None:
    result = teleported()
    result.save(tmp_path / "run")
    for other in (tj.load(tmp_path / "run"), tj.Result(result.history, result.config, {})):
        with pytest.raises(ValueError, match="load was not counted; run simulate"):
            other.load()
        with pytest.raises(ValueError, match="no round was recorded; run simulate"):
            other.timeline()


# timeline -------------------------------------------------------------------------------------------------------------


def dsgd_of_three(waiting: str) -> pl.DataFrame:
    """Three nodes that all hear each other: 1, 2 and 4 seconds of computing, half a second of a message."""
    links, machines = tj.network.links.uniform(latency=0.5), tj.network.machines.table([1.0, 2.0, 4.0])
    network = tj.Network(links=links, machines=machines, waiting=waiting)
    dsgd = tj.decentralized_sgd(topology="ring", optimizer=HEAVY)
    task = tj.tasks.quadratic(nodes=3, dim=3)
    return tj.simulate(dsgd, task, rounds=4, network=network, record=3, progress=False).timeline()


def times(timeline: pl.DataFrame) -> list[tuple[float, ...]]:
    return [tuple(round(time, 4) for time in row) for row in timeline.select(plots.TIMES).iter_rows()]


def test_a_timeline_says_who_did_what_when() -> None:
    alone = dsgd_of_three("neighbours")
    assert alone.columns == ["round", "slot", "node", "fetched_from", *plots.TIMES]
    assert alone["round"].to_list() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert alone["slot"].to_list() == alone["node"].to_list() == [0, 1, 2] * 3
    assert alone["fetched_from"].null_count() == 9
    # Computed at 1, 2, 4; nodes 0 and 1 hear node 2 at 4.5, node 2 has heard node 1 at 2.5 and goes on at 4.
    # From 4.5, 4.5, 4: computed at 5.5, 6.5, 8; then 8.5, 8.5, 8. And again, 4 seconds later.
    first = [(0.0, 0.0, 1.0, 4.5), (0.0, 0.0, 2.0, 4.5), (0.0, 0.0, 4.0, 4.0)]
    second = [(4.5, 4.5, 5.5, 8.5), (4.5, 4.5, 6.5, 8.5), (4.0, 4.0, 8.0, 8.0)]
    third = [tuple(time + 4 for time in row) for row in second]
    assert times(alone) == first + second + third
    # A barrier at 4.5: node 2 waits too, and every round takes as long.
    together = [(*row[:3], 4.5) for row in first]
    assert times(dsgd_of_three("barrier")) == [tuple(t + 4.5 * i for t in row) for i in range(3) for row in together]


def test_a_fetch_stands_between_asking_and_starting() -> None:
    timeline = teleported().timeline()
    fetched = timeline.filter(pl.col("fetched_from").is_not_null())
    # 0.25 seconds and 24 bytes at 48 a second: 0.75; computing as the machines say; all end a round together
    for rows, wait in ((fetched, 0.75), (timeline.filter(pl.col("fetched_from").is_null()), 0.0)):
        np.testing.assert_allclose(rows["started"] - rows["asked"], wait, atol=1e-4)
    np.testing.assert_allclose(timeline["computed"] - timeline["started"], SECONDS[timeline["node"]], atol=1e-4)
    latest = timeline.group_by("round", maintain_order=True).agg(pl.max("computed") + 0.5, pl.col("ended"))
    np.testing.assert_allclose(np.array(latest["ended"].to_list()).T, [latest["computed"]] * K, atol=1e-4)


def test_a_timeline_without_clocks_has_no_times() -> None:
    timeline = simulate(tj.random_walk(tokens=2, optimizer=HEAVY)).timeline()
    assert timeline.columns == ["round", "slot", "node", "fetched_from"]
    with pytest.raises(ValueError, match="timeline"):
        plots.plot_timeline(timeline)


def test_a_timeline_is_drawn() -> None:
    timeline = teleported().timeline().head(4 * K)
    axes = plots.plot_timeline(timeline)
    assert len(axes.patches) == 2 * 4 * K  # computing and waiting
    assert len(axes.texts) == timeline["fetched_from"].count() > 0  # arrows
    assert axes.get_xlabel() == "simulated seconds" and axes.get_ylabel() == "node" and axes.get_title()
    names = sorted({*timeline["node"].to_list(), *timeline["fetched_from"].drop_nulls().to_list()})
    assert [text.get_text() for text in axes.get_yticklabels()] == [str(node) for node in names]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"slot {slot}" for slot in range(K)]
    dark = axes.patches[0]
    row = timeline.row(0, named=True)
    assert (dark.get_x(), dark.get_width()) == pytest.approx((row["started"], row["computed"] - row["started"]))
    given = plt.figure().add_subplot()
    assert plots.plot_timeline(timeline, given) is given
    plt.close("all")


def test_a_timeline_nobody_can_look_at_is_refused() -> None:
    timeline = teleported().timeline()
    with pytest.raises(ValueError, match="timeline has 5100 rows; give at most 5000, of fewer rounds or slots"):
        plots.plot_timeline(pl.concat([timeline] * 51))
