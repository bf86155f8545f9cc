"""Epsilon of a run: from what every node really did, as dp-accounting answers it, whatever interrupts the run."""

import math
import sys
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import dp_accounting
import dp_accounting.rdp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
import scipy.optimize
import scipy.stats
from refusals import check

import telejax as tj
from telejax.simulation.spending import begun, counted
from telejax.tasks import accountant

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, SAMPLES, BATCH, DELTA = 8, 24, 4, 1e-5
RANDOM = np.random.default_rng(0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Points:
    """Samples that are points, and parameters that go to their middle; batches are not drawn, which compiles faster."""

    nodes: int = field(metadata={"static": True})
    samples_per_node: np.ndarray
    points: jax.Array

    def init(self, key):
        return jnp.zeros(2)

    def losses(self, params, node, key):
        return jnp.sum((self.points[node, :BATCH] - params[None]) ** 2, axis=1)

    def loss(self, params, node, key):
        return jnp.mean(self.losses(params, node, key))

    def evaluate(self, params):
        return {"loss": jnp.mean((self.points - params[None, None]) ** 2)}


def points(*sizes: int) -> Points:
    return Points(len(sizes), np.array(sizes), jnp.asarray(RANDOM.normal(size=(len(sizes), BATCH, 2)), "float32"))


PLAIN = points(*[SAMPLES] * NODES)
Z = 6.0
PRIVATE = tj.privacy(clip=0.5, noise_multiplier=Z, delta=DELTA)(PLAIN)
SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TELEPORTATION = tj.teleportation(active=2, topology="ring", optimizer=SGD)
DSGD = tj.decentralized_sgd(topology="ring", optimizer=SGD)
run = partial(tj.simulate, progress=False)


def own_answer(*events: dp_accounting.DpEvent) -> float:
    """That of the package, asked as its users ask."""
    replaced = dp_accounting.NeighboringRelation.REPLACE_ONE
    asked = dp_accounting.rdp.RdpAccountant(neighboring_relation=replaced)
    for event in events:
        asked.compose(event)
    return asked.get_epsilon(DELTA)


def sampled(z: float, count: int, batch: int = BATCH, samples: int = SAMPLES) -> dp_accounting.DpEvent:
    noised = dp_accounting.GaussianDpEvent(z / 2)  # of a sum that moves by 2 C
    event = dp_accounting.SampledWithoutReplacementDpEvent(samples, batch, noised)
    return dp_accounting.SelfComposedDpEvent(event, count)


@pytest.mark.slow
def test_the_accountant_gives_the_answer_of_the_package() -> None:
    told = tj.theory.epsilon(Z, uses=50, batch=BATCH, samples=SAMPLES, delta=DELTA)
    assert told == pytest.approx(own_answer(sampled(Z, 20), sampled(Z, 30)), rel=1e-12)
    node = tj.theory.epsilon(Z, uses=50, level="node", delta=DELTA)
    assert node == pytest.approx(own_answer(*[dp_accounting.GaussianDpEvent(Z / 2)] * 50), rel=1e-12)
    # of large batches the bound of sampling is above that of no sampling, which holds too
    large = tj.theory.epsilon(Z, uses=50, batch=20, samples=24, delta=DELTA)
    assert large == pytest.approx(node) and own_answer(sampled(Z, 50, 20)) > 1.1 * large
    assert str(told) == (
        f"{float(told):.4g} (delta 1e-05, one sample of a node replaced, observer of all messages who knows who is "
        "active)"
    )
    assert f"{told:.3f}" == f"{float(told):.3f}" and tj.theory.epsilon(Z, uses=0, level="node") == 0.0


def test_epsilon_is_true_for_a_sum_that_moves_by_twice_the_clip() -> None:
    """Of one Gaussian the exact epsilon is known (B. Balle, Y.-X. Wang 2018); noise over C would claim too much."""

    def delta(epsilon: float, std: float, moves: float) -> float:
        a, b = moves / (2 * std), epsilon * std / moves
        return scipy.stats.norm.cdf(a - b) - math.exp(epsilon) * scipy.stats.norm.cdf(-a - b)

    exact = scipy.optimize.brentq(lambda epsilon: delta(epsilon, Z, 2.0) - DELTA, 1e-6, 20)
    told = tj.theory.epsilon(Z, uses=1, level="node", delta=DELTA)
    assert exact <= told <= 1.2 * exact
    assert own_answer(dp_accounting.GaussianDpEvent(Z)) < 0.6 * exact  # what the package says of noise over C


@pytest.mark.slow
def test_noise_for_is_the_inverse() -> None:
    given = {"uses": 40, "batch": BATCH, "samples": SAMPLES, "delta": DELTA}
    z = tj.theory.noise_for(8.0, **given)
    assert 0.999 * 8 < tj.theory.epsilon(z, **given) <= 8


def test_activity_that_is_hidden_is_amplified() -> None:
    known = tj.theory.epsilon(Z, uses=100, level="node", delta=DELTA)
    hidden = tj.theory.epsilon(Z, uses=100, level="node", delta=DELTA, active=4, nodes=400)
    assert hidden == pytest.approx(own_answer(sampled(2 * Z, 100, 4, 400)), rel=1e-12)  # four noises in the mean
    assert hidden < 0.2 * known and "does not know who is active" in str(hidden)


def test_most_uses_are_exceeded_as_seldom_as_said() -> None:
    most = tj.theory.most_uses(60, nodes=50, active=5, probability=0.2)
    draws = RANDOM.random((400, 60, 50)).argsort(axis=2)[:, :, :5]  # 400 runs of 60 rounds
    counts = np.array([np.bincount(one.ravel(), minlength=50).max() for one in draws])
    assert (counts > most).mean() <= 0.2 + 4 * np.sqrt(0.16 / 400) and (counts > most - 2).mean() > 0.2
    assert tj.theory.most_uses(7, nodes=5, active=5, local_steps=3) == 21


def expected(counts: np.ndarray, z: float = Z) -> float:
    return tj.theory.epsilon(z, uses=int(counts.max()), batch=BATCH, samples=SAMPLES, delta=DELTA)


@pytest.mark.slow
def test_epsilon_is_that_of_the_node_that_worked_most() -> None:
    result = run(TELEPORTATION, PRIVATE, rounds=12, eval_every=6, seeds=2, load=True)
    uses = np.asarray(result.state.spent.uses)
    followed = result.load().sort("seed", "node")["active"].to_numpy().reshape(2, NODES)
    np.testing.assert_array_equal(uses, followed)
    assert uses.sum(axis=1).tolist() == [24, 24] and uses.max() > 24 / NODES
    last = result.final().sort("seed")["epsilon"].to_list()
    assert last == [expected(one) for one in uses]
    assert result.history.filter(round=0)["epsilon"].to_list() == [0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "first", "a_round"),
    [
        (tj.decentralized_sgd(topology="ring", optimizer=SGD, local_steps=2), 0, 2),
        (tj.gradient_tracking(topology="ring", optimizer=SGD), 1, 1),
    ],
    ids=["local steps", "gradients of the start"],
)
def test_where_all_nodes_work_all_are_counted(method, first, a_round) -> None:
    result = run(method, PRIVATE, rounds=3, eval_every=3)
    assert np.asarray(result.state.spent.uses).tolist() == [first + 3 * a_round] * NODES
    assert result.history["epsilon"][0] == expected(np.array([first]))


@pytest.mark.slow
def test_methods_that_say_who_worked_and_nodes_that_were_away() -> None:
    pairs = run(tj.gossip_pairs(topology="ring", optimizer=SGD), PRIVATE, rounds=9, eval_every=9)
    assert np.asarray(pairs.state.spent.uses).sum() == 9
    away = tj.Network(presence=tj.network.presence.epochs(away=0.5, length=2))
    result = run(DSGD, PRIVATE, rounds=8, eval_every=8, network=away)
    uses = np.asarray(result.state.spent.uses)
    assert uses.sum() == result.history["gradients"][-1] < 8 * NODES and uses.min() < uses.max()


@pytest.mark.slow
def test_noise_and_clip_are_tuned_as_axes_of_one_program() -> None:
    tune = {"noise_multiplier": [3.0, Z], "clip": [0.5, 2.0]}
    both = run(TELEPORTATION, PRIVATE, rounds=6, eval_every=6, tune=tune)
    one = both.history.filter(noise_multiplier=Z, clip=0.5)
    alone = run(TELEPORTATION, PRIVATE, rounds=6, eval_every=6).history
    np.testing.assert_allclose(one["loss"], alone["loss"], rtol=1e-5)
    assert one["epsilon"].to_list() == alone["epsilon"].to_list()
    uses = np.asarray(both.state.spent.uses)
    assert both.history.filter(noise_multiplier=3.0, round=6)["epsilon"].to_list() == [expected(uses[0], 3.0)] * 2
    assert len(both.final()["loss"].unique()) == 4
    assert set(both.config["privacy"]) == {"level", "delta", "epsilon"}
    compared = tj.compare([DSGD], PRIVATE, rounds=2, seeds=1, tune={"clip": [0.5, 1.0]}, progress=False)
    assert set(compared.runs["DSGD ring"].history["clip"]) == {0.5, 1.0}


class Killed(Exception):
    """In place of a kill."""


@pytest.mark.slow
def test_epsilon_goes_on_where_a_run_was_interrupted(tmp_path: Path) -> None:
    def stop(rows: pl.DataFrame) -> None:
        if rows["round"][0] == 8:
            raise Killed

    whole = run(TELEPORTATION, PRIVATE, rounds=12, eval_every=4).history
    given = {"rounds": 12, "eval_every": 4, "checkpoint": tmp_path / "kept"}
    with pytest.raises(Killed):
        run(TELEPORTATION, PRIVATE, on_evaluation=stop, **given)
    assert run(TELEPORTATION, PRIVATE, **given).history["epsilon"].to_list() == whole["epsilon"].to_list()
    half = run(TELEPORTATION, PRIVATE, rounds=8, eval_every=4)
    for state in (half, half.state):  # of which the second begins its other counts anew
        more = run(TELEPORTATION, PRIVATE, rounds=4, eval_every=4, state=state).history
        assert more["epsilon"].to_list() == whole["epsilon"].to_list()[2:]
    after = run(TELEPORTATION, PLAIN, rounds=4, state=half)  # and ends where the data are met as they are
    assert "epsilon" not in after.history.columns and after.state.spent is None


def test_what_is_printed_says_adjacency_and_threat_model(tmp_path: Path) -> None:
    result = run(TELEPORTATION, PRIVATE, rounds=2)
    meant = "delta 1e-05, one sample of a node replaced, observer of all messages who knows who is active"
    kept = tj.load(result.save(tmp_path / "run"))
    assert kept.config["privacy"] == {
        "clip": 0.5, "noise_multiplier": Z, "level": "sample", "delta": DELTA, "epsilon": meant
    }  # fmt: skip
    assert meant in kept.__rich__().title and meant in kept._repr_html_()
    assert kept.config["labels"]["epsilon"] == f"epsilon: {meant}" and not kept.higher_is_better("epsilon")
    assert kept.config["task"] == "Points"


@pytest.mark.slow
def test_nodes_of_several_sizes_are_each_judged_by_their_own() -> None:
    task = points(30, 30, 30, 5)
    small = run(DSGD, tj.privacy(clip=1.0, noise_multiplier=Z)(task), rounds=2, eval_every=2).history["epsilon"][-1]
    assert (
        small
        == tj.theory.epsilon(Z, uses=2, batch=BATCH, samples=5)
        > tj.theory.epsilon(Z, uses=2, batch=BATCH, samples=30)
    )


def test_nothing_is_traced_where_nothing_is_private() -> None:
    state = DSGD.bind(PLAIN).init(jax.random.key(0), PLAIN)
    info = tj.Info(state.holders)
    assert begun(state, DSGD, PLAIN) is state and counted(state, info, DSGD, PLAIN) is state
    assert len(jax.tree.leaves(state)) == 3  # parameters, holders and the round


@jax.tree_util.register_dataclass
class Nosy(type(DSGD)):
    """A method that looks at the loss."""

    def step(self, key, state, task, network=tj.network.IDEAL):
        told = jnp.mean(jax.vmap(lambda x, i: task.loss(x, i, key))(state.params, state.holders))
        state, info = super().step(key, state, task, network)
        return state, tj.Info(info.holders, gauges={"told": told})


@jax.tree_util.register_dataclass
class Silent(type(DSGD)):
    """A method that does not say who computes."""

    def gradients(self, nodes):
        return (1,)


like_dsgd = lambda kind: kind(**{one.name: getattr(DSGD, one.name) for one in fields(DSGD)})
other = tj.privacy(clip=0.5, noise_multiplier=2 * Z, delta=DELTA)(PLAIN)
of_nodes = tj.privacy(clip=0.5, noise_multiplier=Z, level="node")(PLAIN)
asks = tj.Network(activation=tj.network.activation.adaptive())
tokens = tj.random_walk(tokens=2, topology="ring", optimizer=SGD)
nosy, silent = like_dsgd(Nosy), like_dsgd(Silent)
start = lambda task: run(DSGD, task, rounds=1).state
THEORY = {"uses": 3, "batch": 4, "samples": 24}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run(nosy, PRIVATE, rounds=1), ("asks for task.loss", "telejax.gradients")),
        (lambda: run(TELEPORTATION, PRIVATE, rounds=1, network=asks), ("asks for losses", "another activation")),
        (lambda: run(tokens, PRIVATE, rounds=1), ("may meet at a node", "give one token")),
        (lambda: run(silent, PRIVATE, rounds=1), ("nobody knows whose they are", "steps=")),
        (lambda: run(tj.auto(topology="ring", optimizer=SGD), PRIVATE, rounds=20), ("groups of slots", "one group")),
        (lambda: run(DSGD, PLAIN, rounds=1, tune={"clip": [1.0]}), ("tune has 'clip'", "is not private")),
        (lambda: run(DSGD, PRIVATE, rounds=1, tune={"clip": [0.0]}), ("tune['clip'] is 0.0", "above 0")),
        (lambda: run(DSGD, PRIVATE, rounds=1, state=start(PLAIN)), ("a run without privacy", "start anew")),
        (lambda: run(DSGD, other, rounds=1, state=start(PRIVATE)), ("noise_multiplier [6.0]", "[12.0]", "start anew")),
        (lambda: run(DSGD, of_nodes, rounds=1, state=start(PRIVATE)), ("at the level of samples", "nodes")),
        (lambda: tj.theory.epsilon(0.0, **THEORY), ("noise_multiplier is 0.0", "above 0")),
        (lambda: tj.theory.epsilon(1.0, **{**THEORY, "delta": 2.0}), ("delta is 2.0", "below 1")),
        (lambda: tj.theory.epsilon(1.0, **{**THEORY, "batch": 25}), ("batch is 25", "from 1 to 24")),
        (lambda: tj.theory.epsilon(1.0, uses=3), ("samples is None", "give the samples of the node")),
        (lambda: tj.theory.epsilon(1.0, uses=-1, level="node"), ("uses is -1",)),
        (lambda: tj.theory.epsilon(1.0, level="node", **THEORY), ("batch is 4", "leave it out")),
        (lambda: tj.theory.epsilon(1.0, active=2, nodes=4, **THEORY), ("active is 2", "level='node'")),
        (lambda: tj.theory.epsilon(1.0, uses=3, level="node", active=5, nodes=4), ("active is 5", "from 1 to 4")),
        (lambda: tj.theory.noise_for(0.0, **THEORY), ("epsilon is 0.0", "above 0")),
        (lambda: tj.theory.most_uses(0, nodes=4, active=1), ("rounds is 0",)),
        (lambda: tj.theory.most_uses(1, nodes=4, active=1, probability=1.0), ("probability is 1.0", "below 1")),
    ],
)
def test_bad_input(call, words) -> None:
    check(call, words)


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    for call in (lambda: run(DSGD, PRIVATE, rounds=1), lambda: tj.theory.epsilon(1.0, uses=1, level="node")):
        check(call, ("dp_accounting is not installed", "install telejax[privacy]"))
    assert accountant.package.__doc__
