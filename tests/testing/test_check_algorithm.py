"""Each check of algorithms catches liars by its name, run alone, and passes the method that tells the truth."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.algorithms.base import Algorithm
from telejax.algorithms.decentralized_sgd import DecentralizedSGD
from telejax.algorithms.teleportation import Teleportation
from telejax.testing import CHECKS, check_algorithm

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES = 6
TASK = tj.tasks.quadratic(nodes=NODES, dim=3, noise=1.0)
Make = Callable[[Any], Algorithm]


def changed(honest: Make, **members: Any) -> Make:
    """A method with other members."""

    @cache
    def below(base: type) -> type:
        cls = type("Changed", (base,), members)
        return jax.tree_util.register_dataclass(dataclass(frozen=True)(cls))

    def make(optimizer: Any) -> Algorithm:
        base = honest(optimizer)
        return below(type(base))(**{one.name: getattr(base, one.name) for one in fields(base)})

    return make


def gives(value: Any) -> Callable[..., Any]:
    return lambda *arguments: value


# TELEPORTATION for ideal networks only, with counts that the nodes keep
def start(self, key, params, task):
    return Teleportation.start(self, key, params, task).replace(memory=tj.Memory(node=jnp.zeros(task.nodes)))


def step(self, key, state, task):
    new, info = Teleportation.step(self, key, state, task)
    return new.replace(memory=tj.Memory(node=state.memory.node.at[info.holders].add(1.0))), info


alone = changed(lambda o: tj.teleportation(active=4, topology="ring", optimizer=o), start=start, step=step)


def then(change: Callable[..., Any]) -> Make:
    """``alone``, whose rounds end with ``change(state, info, before, task) -> (state, info)``."""

    def lying(self, key, state, task):
        return change(*step(self, key, state, task), state, task)

    return changed(alone, step=lying)


def of_state(change: Callable[..., Any]) -> Make:
    """``alone``, with ``change(parameters)`` at the end of each round."""
    return then(lambda new, info, old, task: (new.replace(params=jax.tree.map(change, new.params)), info))


def of_info(**parts: Any) -> Make:
    """``alone``, with other counters or gauges, from those that it has."""
    return then(lambda new, info, old, task: (new, replace(info, **{k: f(info) for k, f in parts.items()})))


def elsewhere(new, info, old, task):
    new = new.replace(holders=new.holders + task.nodes)
    return new, replace(info, holders=new.holders)


def static_numbers(optimizer):
    """The step size as a static field: a new program for every number."""
    fixed = replace(optimizer, options=(*optimizer.options, *optimizer.numbers.items()), numbers={})
    return alone(fixed)


calls: list[int] = []


def outside(x):
    """Something that a state does not hold: how often this was called."""

    def count(_):
        calls.append(1)
        return np.float32(len(calls))

    return x + 0.1 * jax.pure_callback(count, jax.ShapeDtypeStruct((), jnp.float32), x, vmap_method="sequential")


def traced_outside(x):
    calls.append(1)
    return x + 0.1 * len(calls)


@jax.custom_batching.custom_vmap
def by_itself(x):
    return x


@by_itself.def_vmap
def _(size, batched, x):
    return x + 0.1, batched[0]


def eagerly(x):
    return x if isinstance(x, jax.core.Tracer) else x + 0.1


# What a method of one's own sends without a network: Decentralized SGD over a ring
class Ring(tj.Algorithm):
    name = "ring"

    def slots(self, nodes):
        return self.mixing.slots

    def first_holders(self, nodes):
        return jnp.arange(nodes, dtype=jnp.int32)

    def gossip_messages(self, nodes):
        return (self.mixing.messages,)

    def mix(self, params, round):
        return tj.mix(self.mixing, params, round)

    def counters(self, moved):
        return {}

    def step(self, key, state, task):
        params, opt_state = tj.local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        moved = jnp.any(params != state.params, axis=1)
        new = state.replace(params=self.mix(params, state.round), opt_state=opt_state, round=state.round + 1)
        return new, tj.Info(state.holders, self.counters(moved))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnRing(Ring):
    optimizer: Any
    mixing: Any


def ring(optimizer):
    return OnRing(optimizer, tj.topology.ring(NODES).mixing())


SENT = 2 * NODES  # by a ring in a round
no_mix = {"mix": lambda self, params, round: params}
odd_rounds = {"mix": lambda self, x, round: jax.lax.cond(round % 2, lambda x: tj.mix(self.mixing, x), lambda x: x, x)}
by_counter = {
    "gossip_messages": gives(((0,),)),
    "counters": lambda self, moved: {"messages": 2 * jnp.sum(moved, dtype=jnp.int32)[None]},
}
every_second = changed(ring, gossip_messages=gives(((0, SENT),)), **odd_rounds)
event = changed(ring, **by_counter)


# And with a network: telejax's own
def dsgd(optimizer):
    return tj.decentralized_sgd(topology="base:degree=1", optimizer=optimizer)


def teleportation(optimizer):
    return tj.teleportation(active=3, topology="ring", optimizer=optimizer)


def fedavg(optimizer):
    return tj.fedavg(clients=3, optimizer=optimizer)


def deaf(self, key, state, task, network=tj.network.IDEAL):
    new, info = Teleportation.step(self, key, state, task, network)
    return new.replace(params=state.params), info


def beside(self, key, state, task, network=tj.network.IDEAL):
    """Sends, and then mixes once more past the network."""
    new, info = Teleportation.step(self, key, state, task, network)
    return new.replace(params=jnp.broadcast_to(jnp.mean(new.params, axis=0, keepdims=True), new.params.shape)), info


def past(self, key, state, task, network=tj.network.IDEAL):
    """Mixes without the network."""
    return Teleportation.step(self, key, state, task)


def faulty(self, key, state, task, network=tj.network.IDEAL):
    new, info = Teleportation.step(self, key, state, task, network)
    return (new if network.ideal else new.replace(params=new.params * jnp.nan)), info


def forgets(self, key, state, task, network=tj.network.IDEAL):
    new, _ = Teleportation.step(self, key, state, task, network)
    return new, tj.Info(new.holders)


def another_bytes(self, key, state, task, network=tj.network.IDEAL):
    new, moved = network.hand_off(key, state, network.activate(key, state, task.nodes, self.active)[1], 1)
    new, params, _ = network.gossip(key, self.mixing, new.params, new, self.copy_bytes(state))
    return network.report(new.replace(params=params, round=new.round + 1), handoffs=moved)


def twice(self, key, state, task):
    new, info = Ring.step(self, key, state, task)
    extra = tj.gradients(jax.random.fold_in(key, 1), new.params, new.holders, task)
    return new.replace(params=new.params - 1e-3 * extra), info


def strangers(self, key, state, task):
    """Takes its gradients at the nodes after its holders."""
    other = state.replace(holders=(state.holders + 1) % (task.nodes - 1))
    new, _ = Ring.step(self, key, other, task)
    return new.replace(holders=state.holders), tj.Info(state.holders)


def warm(self, key, params, task):
    state = tj.Algorithm.start(self, key, params, task)
    return state.replace(params=state.params - 0.1 * tj.gradients(key, state.params, state.holders, task))


def of_nodes(shape):
    return lambda *arguments: start(*arguments).replace(memory=tj.Memory(node=jnp.zeros(shape)))


def doubled(self, mesh):
    return Teleportation.on_mesh(self, mesh).with_learning_rate(2 * self.optimizer.learning_rate)


LIES: dict[str, tuple[str, str, Make]] = {
    "dtype": ("structure", "float16", of_state(lambda x: x.astype(jnp.float16))),
    "shape": (
        "structure",
        "other shapes or dtypes",
        then(lambda new, info, old, task: (new.replace(holders=new.holders[None]), info)),
    ),
    "groups": ("structure", "groups must add up", changed(alone, groups=gives((1,)))),
    "float round": (
        "structure",
        "round of the state of .* is float32",
        changed(alone, start=lambda *arguments: start(*arguments).replace(round=jnp.float32(0))),
    ),
    "round": (
        "structure",
        "state.round is 0 after 1 rounds",
        then(lambda new, info, old, task: (new.replace(round=old.round), info)),
    ),
    "other holders": (
        "holders",
        "info.holders and state.holders differ",
        then(lambda new, info, old, task: (new, replace(info, holders=(info.holders + 1) % task.nodes))),
    ),
    "no such node": ("holders", "are not all nodes", then(elsewhere)),
    "memory of idle nodes": (
        "memory",
        "changed memory.node of the nodes",
        then(lambda new, info, old, task: (new.replace(memory=tj.Memory(node=new.memory.node + 1)), info)),
    ),
    "memory without an axis of nodes": ("memory", r"give \(6, ...\)", changed(alone, start=of_nodes((3,)))),
    "first hand-off": (
        "counters",
        "counter handoffs is 1 in round 0",
        of_info(counters=lambda info: {"handoffs": jnp.ones_like(info.counters["handoffs"])}),
    ),
    "negative events": (
        "counters",
        "counter 'seen' is .-1. in round 0",
        of_info(counters=lambda info: {"seen": -jnp.ones(1, jnp.int32)}),
    ),
    "events of slots": (
        "counters",
        r"counter 'seen' is int32\[4\]",
        of_info(counters=lambda info: {"seen": jnp.ones(4, jnp.int32)}),
    ),
    "gauge of slots": ("gauges", r"gauge 'time' is float32\[4\]", of_info(gauges=lambda info: {"time": jnp.ones(4)})),
    "models that are none": ("models", "not finite", changed(alone, models=lambda self, state: state.params * jnp.nan)),
    "too few models": ("models", "other shapes", changed(alone, models=lambda self, state: state.params[:2])),
    "judged by numbers": ("judged", r"judged is float32\[4\]", changed(alone, judged=gives(jnp.ones(4)))),
    "one tree": (
        "trees",
        "raised TypeError.*use jax.tree.map",
        then(lambda new, info, old, task: (new.replace(params=new.params + 0.0), info)),
    ),
    "eager": ("jit", "jit and eager", of_state(eagerly)),
    "remembers": ("jit", "jit and eager", of_state(traced_outside)),
    "mapped": ("vmap", "vmap over keys and a loop differ", of_state(by_itself)),
    "numbers that are structure": ("traces", "2 traces for two step sizes", static_numbers),
    "not in the state": ("resumes", "a resumed and an uninterrupted run differ", of_state(outside)),
    "leaks": ("consensus", "a consensus before and after", of_state(lambda x: 0.99 * x)),
    "seven that nobody sends": (
        "messages",
        "declare 7 in round 0, and no slot hears another; declare 0",
        changed(ring, gossip_messages=gives(((7,),)), **no_mix),
    ),
    "silent": ("messages", "declare 0 in round 0, and 12 slots", changed(ring, gossip_messages=gives(((0,),)))),
    "twice as many": (
        "messages",
        "declare 24 in round 0, and 12 pairs of slots hear one another; declare 12",
        changed(ring, gossip_messages=gives(((2 * SENT,),))),
    ),
    "every second round, declared for each": (
        "messages",
        "declare 12 in round 0, and no slot hears another",
        changed(ring, gossip_messages=gives(((SENT,),)), **odd_rounds),
    ),
    "an event uncounted": (
        "messages",
        "counter messages knows of 0 in round 0",
        changed(event, counters=lambda self, moved: {"messages": jnp.zeros(1, jnp.int32)}),
    ),
    "events counted twice": (
        "messages",
        "declare 24 in round 0, and 12 pairs",
        changed(event, counters=lambda self, moved: {"messages": 4 * jnp.sum(moved, dtype=jnp.int32)[None]}),
    ),
    "a group that hears another": (
        "messages",
        "group 0 hears another group",
        changed(ring, groups=gives((3, 3)), gossip_messages=gives(((SENT // 2,), (SENT // 2,)))),
    ),
    "a network, seven too many": (
        "messages",
        "declare 13 of copy_bytes .* network.gossip sent 6 of 12",
        changed(teleportation, gossip_messages=gives(((13,),))),
    ),
    "a network, silent": ("messages", "declare 0 in round 0", changed(teleportation, gossip_messages=gives(((0,),)))),
    "a network, twice as many": (
        "messages",
        "declare 12 of copy_bytes",
        changed(teleportation, gossip_messages=gives(((12,),))),
    ),
    "a network, one count for a period": (
        "messages",
        "declare .* of copy_bytes in round",
        changed(dsgd, gossip_messages=lambda self, nodes: (DecentralizedSGD.gossip_messages(self, nodes)[0][:1],)),
    ),
    "a network, ignored": ("messages", "no slot hears another", changed(teleportation, step=deaf)),
    "a network, gone past": ("messages", "network.gossip sent nothing", changed(teleportation, step=past)),
    "a network, and more": (
        "messages",
        "hears .* without a message",
        changed(lambda o: tj.teleportation(active=5, topology="ring", optimizer=o), step=beside),
    ),
    "gradients of one": ("gradients", "6 gradients are taken .* declares 1", changed(ring, gradients=gives((1,)))),
    "gradients twice": ("gradients", "12 gradients are taken", changed(ring, step=twice)),
    "gradients of strangers": ("gradients", "takes gradients at", changed(ring, step=strangers)),
    "gradients of the start": ("gradients", "start takes 6 gradients", changed(ring, start=warm)),
    "hand-offs of nobody": (
        "handoffs",
        "counter handoffs is .0. in round 1",
        of_info(counters=lambda info: {"handoffs": jnp.zeros(1, jnp.int32)}),
    ),
    "hand-offs uncounted": ("handoffs", "there is no counter handoffs", of_info(counters=gives({}))),
    "hand-offs without bytes": ("handoffs", "handoff_bytes is 0", changed(alone, handoff_bytes=gives(0))),
    "hand-offs of other bytes": ("handoffs", "messages of 1 bytes", changed(teleportation, step=another_bytes)),
    "batched": ("batch_axes", "runs as batch axes and alone differ", of_state(by_itself)),
    "another on a mesh": ("mesh", "runs on a mesh and without one differ", changed(alone, on_mesh=doubled)),
    "not in the checkpoint": ("checkpoint", "an interrupted and an uninterrupted run differ", of_state(outside)),
    "not in the result": ("warm_start", "rounds in two calls and in one differ", of_state(outside)),
    "nothing finite": ("network", "it becomes non-finite|diverged", changed(teleportation, step=faulty)),
    "lost and not reported": ("network", r"the columns \['lost'\] are missing", changed(teleportation, step=forgets)),
}
SOUND = {
    "messages": [alone, every_second, event, dsgd, fedavg],
    "gradients": [ring, fedavg],
    "handoffs": [alone, fedavg],
    "network": [teleportation, ring],
}


def check(make: Make, name: str) -> None:
    calls.clear()
    check_algorithm(make, NODES, [TASK], only=(name,))


@pytest.mark.fast_cases(
    "dtype",
    "no such node",
    "negative events",
    "too few models",
    "seven that nobody sends",
    "gradients of one",
    "hand-offs uncounted",
)
@pytest.mark.parametrize("lie", LIES)
def test_liars_are_caught_by_the_check_of_this_name(lie: str) -> None:
    name, words, make = LIES[lie]
    with pytest.raises(AssertionError, match=f"(?s)^{name}: .*({words})"):
        check(make, name)


def test_there_is_a_liar_for_each_check() -> None:
    assert {name for name, _, _ in LIES.values()} == set(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("make", {make: None for several in SOUND.values() for make in several})
def test_those_that_tell_the_truth_pass(make: Make) -> None:
    names = [name for name in CHECKS if make in SOUND.get(name, [alone])]
    calls.clear()
    check_algorithm(make, NODES, [TASK], only=names)


def test_each_check_says_its_property() -> None:
    assert all(check.__doc__ and check.__name__ == name for name, check in CHECKS.items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"only": ("message",)}, "unknown check 'message'; did you mean 'messages'?"),
        ({"without": ("tree",)}, "unknown check 'tree'; did you mean 'trees'?"),
        ({"only": "messages"}, "only is 'messages'; give a sequence of names"),
        ({"nodes": 1}, "nodes is 1; give an integer from 2 to 1000"),
        ({"nodes": 5, "tasks": [TASK]}, r"tasks have \[6\] nodes and nodes is 5"),
    ],
)
def test_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_algorithm(ring, **arguments)
