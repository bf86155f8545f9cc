"""The open contract, proven from outside: methods that telejax has not, each with seeds, a checkpoint and a mesh."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES = 8
TASK = tj.tasks.quadratic(nodes=NODES, dim=3, heterogeneity=3.0, noise=0.5)
SGD = tj.optimizer(optax.sgd, learning_rate=0.05)
STATIC = {"static": True}


def method(cls: type) -> type:
    """A frozen dataclass and pytree, as every algorithm is."""
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(cls))


class OneSlotANode(tj.Algorithm):
    """Slot i is at node i, which gossips once a round."""

    optimizer: Any
    mixing: Any

    @property
    def name(self):
        return type(self).__name__

    def slots(self, nodes):
        return self.mixing.slots

    def first_holders(self, nodes):
        return jnp.arange(nodes, dtype=jnp.int32)

    def gossip_messages(self, nodes):
        return (self.mixing.messages,)


@method
class GradientTracking(OneSlotANode):
    """x <- W x - eta y; y <- W y + g+ - g (DIGing, Nedic 2017): y and g are remembered by the slots."""

    optimizer: Any
    mixing: Any

    def start(self, key, params, task):
        state = super().start(key, params, task)
        first = tj.gradients(key, state.params, state.holders, task)
        return state.replace(memory=tj.Memory(slot={"tracker": first, "gradient": first}))

    def first_gradients(self, nodes):
        return (nodes,)

    def gossip_messages(self, nodes):
        return (tuple(2 * sent for sent in self.mixing.messages),)  # a model and a tracker

    def step(self, key, state, task):
        tracker, gradient = state.memory.slot["tracker"], state.memory.slot["gradient"]
        mixed = tj.mix(self.mixing, state.params, state.round)
        params, opt_state = tj.apply_gradients(tracker, mixed, state.opt_state, self.optimizer)
        new = tj.gradients(key, params, state.holders, task)
        tracker = tj.mix(self.mixing, tracker, state.round) + new - gradient
        memory = tj.Memory(slot={"tracker": tracker, "gradient": new})
        state = state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1)
        return state, tj.Info(state.holders)


@method
class Scaffold(tj.Algorithm):
    """SCAFFOLD (Karimireddy 2020), one local step: c_i is remembered by the nodes, c by all."""

    optimizer: Any
    clients: int = field(metadata=STATIC)

    name = "SCAFFOLD"

    def slots(self, nodes):
        return self.clients

    def gossip_messages(self, nodes):
        return ((4 * self.clients,),)

    def start(self, key, params, task):
        controls = jax.tree.map(lambda x: jnp.zeros((task.nodes, *x.shape)), params)
        common = jax.tree.map(jnp.zeros_like, params)
        return super().start(key, params, task).replace(memory=tj.Memory(node=controls, common=common))

    def step(self, key, state, task):
        draw_key, data_key = jax.random.split(key)
        holders = tj.sample_distinct(draw_key, task.nodes, self.clients)
        own, common = state.memory.node[holders], state.memory.common
        grads = tj.gradients(data_key, state.params, holders, task)
        direction = grads - own + common[None]
        params, opt_state = tj.apply_gradients(direction, state.params, state.opt_state, self.optimizer)
        change = grads - own  # c_i+ - c_i = (x - z) / eta - c after one step
        memory = tj.Memory(
            node=state.memory.node.at[holders].add(change),
            common=common + self.clients / task.nodes * jnp.mean(change, axis=0),
        )
        params = jnp.broadcast_to(jnp.mean(params, axis=0), params.shape)
        state = state.replace(params=params, opt_state=opt_state, holders=holders, memory=memory, round=state.round + 1)
        return state, tj.Info(holders)


@method
class EventTriggered(OneSlotANode):
    """A node sends only where its model has moved from what it sent last; it counts its own messages."""

    optimizer: Any
    mixing: Any
    threshold: float

    def gossip_messages(self, nodes):
        return ((0,),)

    def start(self, key, params, task):
        state = super().start(key, params, task)
        return state.replace(memory=tj.Memory(slot=state.params))

    def step(self, key, state, task):
        params, opt_state = tj.local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        moved = jnp.linalg.norm(params - state.memory.slot, axis=1) > self.threshold
        sent = jnp.where(moved[:, None], params, state.memory.slot)
        messages = jnp.sum(moved, dtype=jnp.int32)[None] * 2  # two neighbours on a ring
        params = tj.mix(self.mixing, params, state.round, sent=sent)
        state = state.replace(params=params, opt_state=opt_state, memory=tj.Memory(slot=sent), round=state.round + 1)
        return state, tj.Info(state.holders, counters={"messages": messages, "events": messages // 2})


@method
class PushSum(OneSlotANode):
    """x <- A (x - eta g(x / w)), w <- A w with A column-stochastic (Assran 2019); judged at x / w."""

    optimizer: Any
    mixing: Any

    def start(self, key, params, task):
        return super().start(key, params, task).replace(memory=tj.Memory(slot=jnp.ones((task.nodes, 1))))

    def models(self, state):
        return state.params / state.memory.slot

    def step(self, key, state, task):
        grads = tj.gradients(key, self.models(state), state.holders, task)
        params, opt_state = tj.apply_gradients(grads, state.params, state.opt_state, self.optimizer)
        params, weights = tj.mix(self.mixing, (params, state.memory.slot), state.round)
        state = state.replace(params=params, opt_state=opt_state, memory=tj.Memory(slot=weights), round=state.round + 1)
        return state, tj.Info(state.holders)


@method
class LyingSlot(OneSlotANode):
    """Slot 0 holds nothing finite, sends zeros, and is not judged."""

    optimizer: Any
    mixing: Any

    def judged(self, state, task):
        return jnp.arange(task.nodes) > 0

    def step(self, key, state, task):
        params, opt_state = tj.local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        liar = (jnp.arange(task.nodes) == 0)[:, None]
        params = tj.mix(self.mixing, params, state.round, sent=jnp.where(liar, 0.0, params))
        params = jnp.where(liar, jnp.nan, params)
        return state.replace(params=params, opt_state=opt_state, round=state.round + 1), tj.Info(state.holders)


@method
class Clocked(OneSlotANode):
    """A round takes as long as its slowest node, by a number that is tuned; the clock is a gauge."""

    optimizer: Any
    mixing: Any
    slowness: float

    def start(self, key, params, task):
        return super().start(key, params, task).replace(memory=tj.Memory(common=jnp.zeros(1)))

    def step(self, key, state, task):
        params, opt_state = tj.local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        params = tj.mix(self.mixing, params, state.round)
        seconds = jax.random.exponential(jax.random.fold_in(key, np.uint32(2**32 - 1)), (task.nodes,)) * self.slowness
        clock = state.memory.common + jnp.max(seconds)
        state = state.replace(params=params, opt_state=opt_state, memory=tj.Memory(common=clock), round=state.round + 1)
        return state, tj.Info(state.holders, gauges={"time": clock})


def ring():
    return tj.topology.ring(NODES).mixing()


def directed():
    """Every node sends to the next one, the even ones also to the one after; columns sum to one."""
    matrix = np.eye(NODES) + np.roll(np.eye(NODES), 1, axis=0)
    matrix[:, ::2] += np.roll(np.eye(NODES), 2, axis=0)[:, ::2]
    return tj.topology.directed(matrix / matrix.sum(axis=0), stochastic="column").mixing()


METHODS = {
    "tracker": lambda: GradientTracking(SGD, ring()),
    "scaffold": lambda: Scaffold(SGD, 4),
    "events": lambda: EventTriggered(SGD, ring(), 0.05),
    "push-sum": lambda: PushSum(SGD, directed()),
    "liar": lambda: LyingSlot(SGD, ring()),
    "clock": lambda: Clocked(SGD, ring(), 2.0),
}
TUNED = {
    "events": {"learning_rate": [0.02, 0.05], "threshold": [0.0, 0.1]},
    "clock": {"slowness": [1.0, 3.0]},
}


LEFT_OUT = {
    # slot 0 sends zeros whatever it holds, which are not heard as its own, and draw the honest ones off a consensus
    "liar": ("messages", "consensus"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["events", "liar", "clock"])
def test_the_checks_pass(name: str) -> None:
    """But for ``trees``: they are written for parameters in one array. The others have relatives in the registry."""
    make = lambda optimizer: replace(METHODS[name](), optimizer=optimizer)
    left_out = (*LEFT_OUT.get(name, ()), "trees", "mesh", "checkpoint", "warm_start")  # of the last three other tests
    tj.testing.check_algorithm(make, NODES, without=left_out)


def run(name: str, **options: Any) -> tj.Result:
    given = {"rounds": 12, "eval_every": 4, "seeds": 2, "tune": TUNED.get(name, [0.02, 0.05]), **options}
    return tj.simulate(METHODS[name](), TASK, progress=False, **given)


def arrays(result: tj.Result) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(result.state)]


@pytest.mark.fast_cases("scaffold")
@pytest.mark.parametrize("name", METHODS)
def test_seeds_and_numbers_are_those_of_single_runs(name: str) -> None:
    together = run(name)
    number, values = next(iter((TUNED.get(name) or {"learning_rate": [0.02, 0.05]}).items()))
    tune = {key: [tried[-1]] for key, tried in TUNED.get(name, {number: values}).items()}
    alone = run(name, seeds=[1], tune=tune).history
    same = together.history.filter(pl.col("seed") == 1, *(pl.col(key) == tried[0] for key, tried in tune.items()))
    assert same.height == alone.height == 4
    for column in alone.columns:  # float32, summed in another order in a wider program
        np.testing.assert_allclose(same[column], alone[column], rtol=1e-4, atol=1e-5, err_msg=column)
    other = together.history.filter(pl.col(number) == values[0])
    changed = "time" if name == "clock" else "loss"
    assert other[changed][-1] != same[changed][-1]


class Killed(Exception):
    """In place of a kill."""


@pytest.mark.fast_cases("clock")
@pytest.mark.parametrize("name", METHODS)
def test_checkpoints_and_warm_starts_are_exact(name: str, tmp_path: Path) -> None:
    whole = run(name)

    def killed_at(round: int) -> Callable[[pl.DataFrame], None]:
        def kill(rows: pl.DataFrame) -> None:
            if rows["round"][0] == round:
                raise Killed

        return kill

    with pytest.raises(Killed):
        run(name, checkpoint=tmp_path / "run", on_evaluation=killed_at(8))
    resumed = run(name, checkpoint=tmp_path / "run")
    half = run(name, rounds=8)
    goes_on = {"rounds": 4, "state": half}
    with pytest.raises(Killed):
        run(name, checkpoint=tmp_path / "warm", on_evaluation=killed_at(12), **goes_on)
    for warm in (run(name, **goes_on), run(name, checkpoint=tmp_path / "warm", **goes_on)):  # twice from one state
        later = whole.history.filter(pl.col("round") >= 8)
        assert warm.history.equals(later)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays(warm), arrays(whole), strict=True))
    assert resumed.history.equals(whole.history)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays(resumed), arrays(whole), strict=True))


MESH = """
import sys
sys.path.insert(0, sys.argv[1])
import jax, numpy as np
from test_contract import METHODS, run
assert len(jax.devices()) == 2
for name in METHODS:
    ours, theirs = (run(name, devices=devices).history for devices in ("cpu:2", None))
    for column in ours.columns:  # float32 sums in another order
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-4, atol=1e-5, err_msg=f"{name}: {column}")
"""


@pytest.mark.slow
def test_a_mesh_gives_the_results_of_one_device() -> None:
    environment = {
        **os.environ,
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", MESH, str(Path(__file__).parent)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_tracker_is_exact_where_decentralized_sgd_is_biased() -> None:
    task = tj.tasks.quadratic(nodes=NODES, dim=3, heterogeneity=3.0, placement="sorted")
    tracked, plain = (
        tj.simulate(method, task, rounds=600, eval_every=200, progress=False).history
        for method in (METHODS["tracker"](), tj.decentralized_sgd(topology="ring", optimizer=SGD))
    )
    assert tracked["loss_slots"][-1] < 1e-8 < 1e-3 < plain["loss_slots"][-1]
    assert tracked["gradients"][0] == NODES and tracked["gradients"][-1] == 601 * NODES


def test_the_common_control_is_the_mean_of_those_of_the_nodes() -> None:
    memory = run("scaffold").state.memory
    assert memory.node.shape == (2, 2, NODES, 3)
    np.testing.assert_allclose(memory.node.mean(axis=2), memory.common, atol=1e-5)


def test_events_are_counted_and_fall_with_the_threshold() -> None:
    history = run("events").final()
    often, rarely = (history.filter(pl.col("threshold") == one) for one in (0.0, 0.1))
    assert often["messages"].to_list() == [12 * NODES * 2] * 4  # every node, every round
    assert (rarely["messages"] < often["messages"]).all()
    assert (history["messages"] == 2 * history["events"]).all()
    assert (history["bytes"] == history["messages"] * 3 * 4).all()


def test_push_sum_is_judged_at_the_ratio() -> None:
    result = run("push-sum", rounds=400, eval_every=400)
    np.testing.assert_allclose(result.state.memory.slot.sum(axis=2), NODES, rtol=1e-5)
    models = np.asarray(result.state.params / result.state.memory.slot)
    np.testing.assert_allclose(result.params[:, :, 0], models.mean(axis=2), rtol=1e-4, atol=1e-5)
    assert (result.final()["loss"] < 0.02).all()


def test_a_slot_that_is_not_judged_spoils_no_metric() -> None:
    result = run("liar")
    assert np.isnan(result.state.params[:, :, 0]).all()
    assert not result.history["diverged"].any() and np.isfinite(result.params).all()
    honest = np.asarray(result.state.params)[0, 0, 1:]
    last = result.final().row(0, named=True)
    assert last["loss"] == pytest.approx(float(TASK.evaluate(honest.mean(axis=0))["loss"]), rel=1e-4)
    spread = np.mean(np.sum((honest - honest.mean(axis=0)) ** 2, axis=1))
    assert last["consensus"] == pytest.approx(spread, rel=1e-3)


def test_where_nobody_is_judged_rows_are_null() -> None:
    @method
    class Nobody(LyingSlot):
        def judged(self, state, task):
            return jnp.full(task.nodes, False)

    result = tj.simulate(Nobody(SGD, ring()), TASK, rounds=4, progress=False)
    assert result.history["loss"].null_count() == 5 and not result.history["diverged"].any()


def test_a_clock_is_plotted_against_and_awaited() -> None:
    result = run("clock")
    slow, fast = (result.history.filter(pl.col("slowness") == one, pl.col("seed") == 0)["time"] for one in (3.0, 1.0))
    np.testing.assert_allclose(slow, 3 * fast, rtol=1e-5)
    assert slow[0] == 0 and slow.is_sorted()
    axes = result.plot("loss", x="time")
    assert axes.get_xlabel() == "simulated seconds" and len(axes.lines) == 2
    assert axes.get_legend().get_texts()[0].get_text().endswith("slowness 1, 8 slots")
    reached = result.first("loss", 2.0, x="time")
    assert (
        reached.columns == ["seed", "learning_rate", "slowness", "group", "time"]
        and reached["time"].is_not_null().all()
    )


@pytest.mark.slow
def test_until_stops_where_all_runs_have_arrived() -> None:
    target = 2.5
    result = run("tracker", rounds=200, eval_every=2, until=("loss", target))
    assert result.rounds < 200
    before, last = (result.history.filter(pl.col("round") == result.rounds - back) for back in (2, 0))
    assert (last["loss"] <= target).all() and not (before["loss"] <= target).all()


@pytest.mark.slow
def test_until_stops_once_every_run_has_been_there() -> None:
    """Also where noise takes some away from it again, so that all are never there at one evaluation before."""
    task = tj.tasks.quadratic(nodes=8, dim=3, noise=5.0)
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.3))
    arguments = {"seeds": 6, "eval_every": 1, "progress": False}
    whole = tj.simulate(walk, task, rounds=60, **arguments)
    target = whole.history.filter(pl.col("round") > 30)["loss"].quantile(0.2)
    arrived = whole.first("loss", target)["rounds"].max()
    at_once = whole.history.group_by("round").agg((pl.col("loss") <= target).all()).filter("loss")["round"]
    assert arrived < 60 and arrived not in at_once.to_list()
    assert tj.simulate(walk, task, rounds=60, until=("loss", target), **arguments).rounds == arrived


def test_a_metric_of_ones_own_decides() -> None:
    def largest(models, judged, state, task, groups):
        return jnp.max(jnp.abs(models))[None]

    smallest = tj.Metric("largest", largest, higher_is_better=False, label="largest entry")
    result = run("tracker", metrics=[smallest, tj.Metric("unknown", largest)])
    best = result.tuned("largest")
    finals = result.final().group_by("learning_rate").agg(pl.col("largest").mean()).sort("largest")
    assert best.learning_rates == [finals["learning_rate"][0]]
    assert result.plot("largest").get_ylabel() == "largest entry"
    with pytest.raises(ValueError, match="nobody knows whether a higher one is better; declare it"):
        result.tuned("unknown")


def test_a_metric_is_traced_once_to_be_checked_and_once_a_program() -> None:
    traces = []

    def largest(models, judged, state, task, groups):
        traces.append(models.shape)
        return jnp.max(jnp.abs(models))[None]

    metric = tj.Metric("largest", largest)
    walk = tj.random_walk(optimizer=SGD)
    for rate in (0.05, 0.1):
        tj.simulate(walk.with_learning_rate(rate), TASK, rounds=2, metrics=[metric], progress=False)
    assert traces == [(1, 3)] * 2
    tj.simulate(tj.random_walk(tokens=2, optimizer=SGD), TASK, rounds=2, metrics=[metric], progress=False)
    assert traces[2:] == [(2, 3)] * 2
