"""Clocks equal an event-driven reference, message by message, and numbers worked out by hand."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from network.events import Message, Round, World, run

import telejax as tj
from telejax.network import world as telejax_world
from telejax.network.record import Record
from telejax.network.world import Moment

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, ROUNDS = 12, 15
TASK = tj.tasks.quadratic(nodes=NODES, dim=3)
SGD = tj.optimizer(optax.sgd, learning_rate=0.05)
BYTES = 12  # three float32
FAR = 1000
RELATIVE = 1e-6  # of float32 sums of some dozen numbers, each below the time it ends at

METHODS = {
    "dsgd ring": lambda: tj.decentralized_sgd(topology="ring", optimizer=SGD, local_steps=2),
    "dsgd directed": lambda: tj.decentralized_sgd(topology="directed_exponential", optimizer=SGD),
    "dsgd star": lambda: tj.decentralized_sgd(topology="star", optimizer=SGD),
    "dsgd complete": lambda: tj.decentralized_sgd(topology="complete", optimizer=SGD),
    "dsgd one-peer": lambda: tj.decentralized_sgd(topology="one_peer_exponential", optimizer=SGD),
    "teleportation ring": lambda: tj.teleportation(active=6, topology="ring", optimizer=SGD),
    "teleportation base": lambda: tj.teleportation(active=5, topology="base:degree=2", optimizer=SGD),
    "tokens": lambda: tj.random_walk(tokens=4, optimizer=SGD),
    "walk": lambda: tj.random_walk(tokens=4, topology="ring", optimizer=SGD),
}


def random_network(seed: int) -> tj.Network:
    """Any parts, in any combination."""
    stream = np.random.default_rng(seed)
    chance = lambda most: float(stream.uniform(0, most)) if stream.random() < 0.6 else None
    links = [
        tj.network.links.table(stream.uniform(0, 2, (NODES, NODES)), stream.uniform(5, 50, (NODES, NODES))),
        tj.network.links.uniform(latency=0.3, bandwidth=20.0),
        tj.network.links.preferred("ring", cost=0.5, tau=4.0),
        tj.network.links.sites([5, 4, 3], wireless=[1]),
        tj.network.links.plane(pace=2.0, bandwidth=30.0, seed=seed),
        tj.network.links.access(stream.uniform(0, 1, NODES), stream.uniform(5, 50, NODES)),
    ][seed % 6]
    machines = [
        tj.network.machines.lognormal(1.0, 0.7, fixed=False),
        tj.network.machines.stragglers(share=0.3),
        tj.network.machines.table(stream.uniform(0, 3, NODES)),
    ][seed // 2 % 3]
    failure, fetch = chance(0.3), chance(0.6)
    faults = tj.network.faults.independent(hand_off=fetch, failure=failure, retries=1, timeout=0.7)
    return tj.Network(
        loss=chance(0.4),
        outage=chance(0.4),
        links=links,
        machines=machines,
        waiting=["barrier", "neighbours"][seed // 2 % 2],
        contention=bool(seed % 2),
        presence=tj.network.presence.epochs(0.3, length=2, seed=seed) if stream.random() < 0.6 else None,
        faults=faults if stream.random() < 0.7 else None,
    )


class Facts:
    """What the draws of a network say of each round, without any clock."""

    def __init__(self, network: tj.Network, algorithm: tj.Algorithm) -> None:
        self.network, self.algorithm, self.rounds = network, algorithm, []

    def add(self, key: jax.Array, before: tj.State, after: tj.State, drawn: np.ndarray, moved: np.ndarray) -> None:
        """A round: what its keys decide for the holders that were drawn."""
        network, algorithm, round = self.network, self.algorithm, before.round
        old, holders = np.asarray(before.holders), np.asarray(after.holders)
        slots, faults, presence = len(holders), network.faults, network.presence
        waits, lost, vain = np.zeros(slots), np.zeros(slots, bool), np.zeros(slots, int)
        hands_off = hasattr(algorithm, "active") or hasattr(algorithm, "tokens")
        if faults is not None and faults.hand_off is not None and hands_off:
            vain, lost = map(np.asarray, faults.fetches(key, jnp.asarray(old), jnp.asarray(drawn), jnp.asarray(moved)))
        idle = lost.copy()
        if presence is not None:
            idle |= ~np.asarray(presence.present(telejax_world.World(), after.holders, Moment(round)))
        broke = np.zeros(slots, bool)
        if faults is not None and faults.failure is not None:
            broke = np.asarray(faults.fails(key, after.holders)) & ~idle
            waits = waits + broke * faults.timeout
        if faults is not None:
            waits = waits + np.where(lost, vain * faults.timeout, 0)
        steps = getattr(algorithm, "local_steps", 1)
        messages = [] if hasattr(algorithm, "tokens") else self._messages(key, round, holders, idle | broke)
        seconds = np.asarray(network.machines.of(key, after.holders)) * steps
        nobody = FAR * (1 + np.arange(slots)) + holders  # an idle slot is no duty of its holder
        self.rounds.append(
            Round(
                np.where(idle, nobody, holders).tolist(),
                (moved & ~lost).tolist(),
                np.where(lost, 0, vain).tolist(),
                np.where(idle, 0.0, seconds).tolist(),
                messages,
                waits.tolist(),
            )
        )

    def _messages(self, key, round, holders, out) -> list[Message]:
        indices, weights = map(np.asarray, tj.neighbours(self.algorithm.mixing, round))
        arrived = self._arrived(key, holders)
        found = []
        for slot in range(len(holders)):
            for sender, weight in zip(indices[:, slot], weights[:, slot], strict=True):
                if sender == slot or weight == 0 or out[sender] or out[slot]:
                    continue
                found.append(Message(int(sender), slot, lost=not arrived[sender, slot]))
        return found

    @partial(jax.jit, static_argnums=0)
    def _arrived(self, key, holders) -> jax.Array:
        """Whether a message of each slot to each other arrives."""
        arrives = self.network._arrives(key, holders) or (lambda sender, slot: jnp.bool(True))
        slots = jnp.arange(len(holders))
        return jax.vmap(jax.vmap(arrives, (None, 0)), (0, None))(slots, slots)


def compare(name: str, network: tj.Network) -> None:
    algorithm, network = METHODS[name]().bind(TASK), network.bind(NODES)
    network = replace(network, record=Record(ROUNDS))
    state, root = network.start(algorithm.init(jax.random.key(0), TASK)), jax.random.key(1)
    faultless = replace(network, faults=None)

    @jax.jit
    def step(key, state):
        """A round, and who is to take the slots in it before faults say otherwise."""
        after, _ = algorithm.step(key, state, TASK, network)
        drawn = after if network.faults is None else algorithm.step(key, state, TASK, faultless)[0]
        return after, drawn.holders

    facts = Facts(network, algorithm)
    for round in range(ROUNDS):
        key = jax.random.fold_in(root, round)
        before = state
        state, drawn = step(key, state)
        drawn = np.asarray(drawn)
        moved = (drawn != np.asarray(before.holders)) & (round > 0)
        facts.add(key, before, state, drawn, moved)
    every = jnp.arange(NODES, dtype=jnp.int32)
    pairs = lambda function: jax.vmap(jax.vmap(function, (None, 0)), (0, None))(every, every)
    made = jax.jit(lambda links: (pairs(links.delay), pairs(links.rate), jax.vmap(links.uplink)(every)))
    delay, rate, uplink = (np.asarray(table, np.float64) for table in made(network.links))
    world = World(
        lambda i, j: delay[i % FAR, j % FAR],
        lambda i, j: rate[i % FAR, j % FAR],
        lambda i: uplink[i % FAR],
        BYTES,
        BYTES,
        network.waiting,
        network.contention,
        network.faults.timeout if network.faults else 0.0,
    )
    duties = {(duty.round, duty.slot): duty for duty in run(world, facts.rounds)}
    tables = {name: np.asarray(table, np.float64) for name, table in state.world.common["record"].items()}
    for (round, slot), duty in duties.items():
        base = tables["base"][round, slot]
        late = duty.computed - duty.started  # of a slot that could not be fetched we write down a later start
        for when in (
            ("computed", "ended") if tables["holder"][round, slot] < 0 and late else ("started", "computed", "ended")
        ):
            ours, theirs = base + tables[when][round, slot], getattr(duty, when)
            assert ours == pytest.approx(theirs, rel=RELATIVE, abs=1e-6), (when, round, slot)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_clocks_equal_the_events(number: int) -> None:
    names = list(METHODS)
    compare(names[number % len(names)], random_network(number))


CENTURIES = {
    "rounds": {"machines": tj.network.machines.constant(6e8)},
    "one round": {"links": tj.network.links.uniform(1e9), "machines": tj.network.machines.constant(2e9)},
    "no number": {"machines": tj.network.machines.lognormal(2e9, 20.0, fixed=False)},
}


@pytest.mark.slow
@pytest.mark.parametrize("waiting", ["barrier", "neighbours"])
@pytest.mark.parametrize("every", [1, 40])
@pytest.mark.parametrize("parts", CENTURIES.values(), ids=CENTURIES)
def test_time_beyond_the_clocks_is_refused(parts: dict[str, Any], every: int, waiting: str) -> None:
    algorithm, network = METHODS["dsgd ring"](), tj.Network(waiting=waiting, **parts)
    with pytest.raises(
        ValueError, match=r"network has a time of .*, and clocks count to 2\^31 seconds, 68 years; give"
    ):
        tj.simulate(algorithm, TASK, rounds=40, eval_every=every, network=network, progress=False)
