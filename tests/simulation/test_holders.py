"""A slot that no node holds is told: clamped to another node's data, or lost in a loop, it would be silently wrong."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.random.permutation import sorted_or_shuffled
from telejax.testing import check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=5, dim=2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Astray(tj.Algorithm):
    """Slot 1 goes to the node that ``to`` names in the third round, and in all later ones unless it is ``brief``."""

    optimizer: Any
    to: float
    brief: bool = field(default=False, metadata={"static": True})

    @property
    def name(self):
        return "astray"

    def slots(self, nodes):
        return 2

    def gossip_messages(self, nodes):
        return ((0,),)

    def step(self, key, state, task):
        goes = state.round == 2 if self.brief else state.round >= 2
        there = jnp.where(goes, jnp.int32(self.to), 1)
        holders = jnp.stack([jnp.int32(0), there])
        params, opt_state = tj.apply_gradients(
            tj.gradients(key, state.params, holders, task), state.params, state.opt_state, self.optimizer
        )
        after = state.replace(params=params, opt_state=opt_state, holders=holders, round=state.round + 1)
        return after, tj.Info(holders, {})


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("node", [5, 7, -2])
def test_a_holder_that_is_no_node_stops_the_run(node, brief):
    told = rf"^astray had a slot held by node {node} in one of the rounds 3 to 4, and the task has 5 nodes; give hol"
    with pytest.raises(ValueError, match=told):
        tj.simulate(Astray(SGD, float(node), brief), TASK, rounds=8, eval_every=2, progress=False)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Elsewhere(Astray):
    """Its slots stay with nodes 0 and 1, while others work."""

    def step(self, key, state, task):
        after, info = super().step(key, state, task)
        return after.replace(holders=state.holders), info


@pytest.mark.parametrize("node", [5, -2])
def test_who_works_is_a_node_too(node):
    told = rf"^astray had a slot held by node {node} in one of the rounds 3 to 4, and the task has 5 nodes; give hol"
    with pytest.raises(ValueError, match=told):
        tj.simulate(Elsewhere(SGD, float(node), brief=True), TASK, rounds=8, eval_every=2, progress=False)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Uncounted(Astray):
    """Counts less than nothing in round 2."""

    def step(self, key, state, task):
        after, _ = super().step(key, state, task)
        least = jnp.where(state.round == 2, -jnp.int32(self.to), 0)
        if self.brief:
            return after, tj.Info(after.holders, steps=jnp.stack([least, jnp.int32(1)]))
        return after, tj.Info(after.holders, {"messages": least[None]})


@pytest.mark.parametrize("brief", [False, True])
def test_less_than_nothing_is_no_count(brief):
    told = r"^astray counted -3 events in one of the rounds 3 to 4; give counters, steps and skipped of Info"
    with pytest.raises(ValueError, match=told):
        tj.simulate(Uncounted(SGD, 3.0, brief), TASK, rounds=8, eval_every=2, progress=False)
    assert tj.simulate(Uncounted(SGD, 0.0, brief), TASK, rounds=4, eval_every=2, progress=False).rounds == 4


def test_the_round_is_told_where_every_one_is_evaluated():
    with pytest.raises(ValueError, match=r"held by node 9 in round 3, .* holders from 0 to 4, or -1 for nobody$"):
        tj.simulate(Astray(SGD, 9.0, brief=True), TASK, rounds=8, eval_every=1, tune={"to": [1, 9]}, progress=False)


def test_nobody_and_the_last_node_are_no_error():
    for node in (-1.0, 4.0):
        assert tj.simulate(Astray(SGD, node), TASK, rounds=4, eval_every=2, progress=False).rounds == 4


@pytest.mark.fast_cases("9")
@pytest.mark.parametrize("nodes", [5, 9, 33, 1000])
def test_a_shuffle_answers_at_once_beyond_the_last_node(nodes):
    shuffle = sorted_or_shuffled("shuffled", nodes, seed=0)
    last = int(shuffle(jnp.int32(nodes - 1)))
    beyond = jnp.array([nodes, 2 * nodes, 2**31 - 1, -1], jnp.int32)
    assert np.asarray(jax.vmap(shuffle)(beyond)).tolist() == [last] * 4
    assert sorted(np.asarray(jax.vmap(shuffle)(jnp.arange(nodes))).tolist()) == list(range(nodes))


@pytest.mark.parametrize("nodes", [(5,), (0, 7), (-1,), (), (1.0,)])
def test_check_task_refuses_nodes_that_the_task_has_not(nodes):
    with pytest.raises(ValueError, match="nodes is"):
        check_task(TASK, nodes=nodes)


FALLS = optax.piecewise_constant_schedule(0.3, {4: 0.0})


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.sgd(FALLS),
        lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=FALLS),
        lambda: tj.optimizers.decayed_sgd(0.1, weight_decay=FALLS),
        lambda: optax.chain(optax.masked(optax.add_decayed_weights(FALLS), True), optax.sgd(0.1)),
    ],
)
def test_schedules_go_on_where_the_optimizer_starts_afresh(make):
    task, sgd = tj.tasks.quadratic(nodes=40, dim=3), tj.as_optimizer(make())
    run = lambda travels: tj.simulate(
        tj.teleportation(active=4, topology="ring", optimizer=sgd, state_travels=travels),
        task,
        rounds=9,
        eval_every=3,
        progress=False,
    )
    afresh, travels = run(False).history, run(True).history
    assert afresh["loss"].to_list() == travels["loss"].to_list()  # there is nothing else to start afresh
    assert afresh["loss"].n_unique() > 2


def test_an_optimizer_with_a_key_of_its_own_is_refused():
    noisy = tj.as_optimizer(optax.chain(optax.add_noise(0.1, 0.5, 3), optax.sgd(0.1)))
    with pytest.raises(ValueError, match=r"keeps a random key.*telejax\.privacy"):
        tj.simulate(tj.random_walk(optimizer=noisy), tj.tasks.quadratic(nodes=4), rounds=1, progress=False)
