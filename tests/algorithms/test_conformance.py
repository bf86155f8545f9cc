"""Every algorithm keeps the contract, and the checks that say so catch algorithms that do not."""

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.algorithms.teleportation import Teleportation
from telejax.testing import TreeTask, check_algorithm, check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")

ALGORITHMS = {
    "dsgd one-peer": lambda o: tj.decentralized_sgd(topology="one_peer_exponential", optimizer=o),
    "all-reduce": lambda o: tj.all_reduce_sgd(optimizer=o),
    "teleportation": lambda o: tj.teleportation(active=3, topology="ring", optimizer=o),
    "teleportation left behind": lambda o: tj.teleportation(
        active=4, topology="one_peer_exponential", optimizer=o, state_travels=False
    ),
    "fedavg": lambda o: tj.fedavg(clients=4, local_steps=2, optimizer=o),
    "fedavg travels": lambda o: tj.fedavg(clients=4, optimizer=o, state_travels=True),
    "one token": lambda o: tj.random_walk(optimizer=o),
    "tokens on a graph": lambda o: tj.random_walk(tokens=3, topology="torus", optimizer=o),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithm_keeps_the_contract(name: str) -> None:
    check_algorithm(ALGORITHMS[name], nodes=9)


def test_task_of_nested_parameters_keeps_the_contract() -> None:
    check_task(TreeTask(6, jnp.arange(6.0)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mutant(Teleportation):
    """TELEPORTATION with one property broken."""

    fault: str = field(metadata={"static": True})

    def start(self, key, params, task):
        state = super().start(key, params, task)
        return replace(state, round=jnp.float32(0)) if self.fault == "float round" else state

    def groups(self, nodes):
        return (1,) if self.fault == "groups" else super().groups(nodes)

    def step(self, key, state, task):
        new, info = super().step(key, state, task)
        match self.fault:
            case "dtype":
                new = replace(new, params=jax.tree.map(lambda x: x.astype(jnp.float16), new.params))
            case "shape":
                new = replace(new, holders=new.holders[None])
            case "round":
                new = replace(new, round=state.round)
            case "other holders":
                info = replace(info, holders=(info.holders + 1) % task.nodes)
            case "no such node":
                new = replace(new, holders=new.holders + task.nodes)
                info = replace(info, holders=new.holders)
            case "first hand-off":
                info = replace(info, counters={"handoffs": jnp.ones_like(info.counters["handoffs"])})
            case "leaks":
                new = replace(new, params=jax.tree.map(lambda x: 0.99 * x, new.params))
            case "eager":
                eager = not isinstance(new.round, jax.core.Tracer)
                new = replace(new, params=jax.tree.map(lambda x: x + 0.1 * eager, new.params))
            case "remembers":  # state outside of the state
                memory.append(1)
                new = replace(new, params=jax.tree.map(lambda x: x + 0.1 * len(memory), new.params))
            case "one tree":
                new = replace(new, params=new.params + 0.0)  # works on an array alone
        return new, info


memory: list[int] = []

FAULTS = {
    "dtype": "float16",
    "shape": "holders|shape",
    "groups": "groups must add up",
    "float round": "round of the state of .* is float32",
    "round": "state.round is 0 after 1 rounds",
    "other holders": "info.holders and state.holders differ",
    "no such node": "are not all nodes",
    "first hand-off": "counter handoffs is 1 in round 0",
    "leaks": "a consensus before and after",
    "eager": "jit and eager",
    "remembers": "jit and eager",
}


def mutant(fault: str):
    def make(optimizer):
        sound = tj.teleportation(active=3, topology="ring", optimizer=optimizer)
        return Mutant(sound.optimizer, sound.mixing, sound.active, sound.state_travels, fault)

    return make


@pytest.mark.slow
def test_the_mutant_without_a_fault_passes() -> None:
    check_algorithm(mutant("none"), nodes=9)


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_algorithms_are_caught(fault: str) -> None:
    memory.clear()
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_algorithm(mutant(fault), nodes=9)


def test_parameters_that_must_be_one_array_are_caught() -> None:
    with pytest.raises(TypeError):
        check_algorithm(mutant("one tree"), nodes=9)


def test_step_sizes_that_are_structure_are_caught() -> None:
    def make(optimizer):
        # the step size as a static field: a new program for every number
        inner = optimizer.numbers
        fixed = replace(optimizer, options=(*optimizer.options, *inner.items()), numbers={})
        return tj.teleportation(active=3, topology="ring", optimizer=fixed)

    with pytest.raises(AssertionError, match="2 traces for two step sizes"):
        check_algorithm(make, nodes=9)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BrokenTask(TreeTask):
    """The nested task with one property broken."""

    fault: str = field(metadata={"static": True})

    def init(self, key):
        params = super().init(key)
        match self.fault:
            case "integers":
                return params | {"count": jnp.int32(1)}
            case "nothing":
                return {}
            case "random start":
                return params | {"matrix": jnp.asarray(np.random.default_rng().normal(size=(2, 3)), jnp.float32)}
        return params

    def loss(self, params, node, key):
        loss = super().loss(params, node, key)
        match self.fault:
            case "vector":
                return loss[None]
            case "not finite":
                return loss * jnp.where(node == self.nodes - 1, jnp.nan, 1.0)
            case "biased":
                return loss + 0.05 * jnp.sum(params["matrix"])
            case "one node too many":
                return loss * jnp.where(node == 0, 0.0, 1.0)
            case "jit":
                return loss * (1.0 if not isinstance(node, jax.core.Tracer) else 2.0)
        return loss

    def evaluate(self, params):
        measured = super().evaluate(params)
        match self.fault:
            case "no loss":
                return {"error": measured["loss"]}
            case "two losses":
                return measured | {"accuracy": jnp.ones(2)}
            case "unknown accuracy":
                return measured | {"accuracy": jnp.nan}
        return measured


TASK_FAULTS = {
    "integers": "parameters are floats",
    "nothing": "returned no arrays",
    "random start": "with the same key differ",
    "vector": "must be a scalar",
    "not finite": "task.loss is nan at node 5",
    "biased": "mean stochastic gradient",
    "one node too many": "mean stochastic gradient",
    "jit": "vmap over nodes and a loop differ",
    "no loss": "it needs a 'loss'",
    "two losses": "gave accuracy of shape",
    "unknown accuracy": "gave accuracy = nan",
}


@pytest.mark.parametrize("fault", TASK_FAULTS)
def test_broken_tasks_are_caught(fault: str) -> None:
    with pytest.raises(AssertionError, match=TASK_FAULTS[fault]):
        check_task(BrokenTask(6, jnp.arange(6.0), fault))


@dataclass(frozen=True)
class Labelled(TreeTask):
    """Its static field is a new object in every copy, so that every copy compiles anew."""

    label: object = field(default_factory=object, metadata={"static": True})


jax.tree_util.register_pytree_node(
    Labelled, lambda t: ((t.targets,), (t.nodes, object())), lambda aux, leaves: Labelled(aux[0], leaves[0])
)


def test_a_task_that_traces_anew_is_caught() -> None:
    with pytest.raises(AssertionError, match="traced anew"):
        check_task(Labelled(6, jnp.arange(6.0)))


def test_a_number_of_nodes_that_is_a_leaf_is_caught() -> None:
    with pytest.raises(AssertionError, match="must be a static int"):
        check_task(TreeTask(jnp.int32(6), jnp.arange(6.0)))
