"""The network: whatever is not ideal between the slots of any method, and at the nodes that hold them.

A method calls three verbs where its paper says activate, hand off, gossip, and ends the round with ``report``. Every
part of a network is None by default, which traces nothing: the verbs of the ideal network are those operations
themselves. Draws fold constants of 2^31 and above into the key of the round, then the two nodes of a link, so that the
same seed draws the same faults for every method, and none of them meets a node's data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from telejax.backend.scopes import scope
from telejax.mixing.aggregate import aggregate
from telejax.mixing.forms import Mixing, renamed
from telejax.mixing.mix import mix
from telejax.mixing.rules import Rule
from telejax.mixing.transit import Arrives
from telejax.network import draws, recovery
from telejax.network.activation import Uniform
from telejax.network.groups import drift, per_group
from telejax.network.parts import Parts
from telejax.network.sources import Sources
from telejax.network.world import Moment, World
from telejax.random.sampling import sample_distinct, sample_weighted
from telejax.random.threefry import split
from telejax.state import Info, Params, State

Slots = Int[Array, " slots"]
Some = Bool[Array, " slots"]
Events = Int[Array, "..."] | Bool[Array, "..."]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network(Parts):
    """The world between slots, for ``simulate(network=...)``; its numbers are leaves, so that a sweep is one program.

    Args:
        loss: probability that a message of gossip is lost. Its weight falls to the receiver's own model, so the rows of
            the mixing matrix still sum to one, but the mean of all models drifts: column ``mean_drift``.
        outage: probability that a link is down for a round, both ways. The mean is conserved where the mixing matrix is
            symmetric.
        links: how long messages take, see ``telejax.network.links``; with it or
        machines: how long gradients take, see ``telejax.network.machines``, every slot has a clock.
        waiting: "barrier": every round ends for all slots at once; "neighbours": each slot waits for those alone whom
            it hears.
        contention: whether a node's uplink sends its messages of gossip one after another.
        presence: which nodes are there, see ``telejax.network.presence``.
        activation: who is active, of methods whose nodes are drawn, see ``telejax.network.activation``.
        faults: fetches and holders that fail, see ``telejax.network.faults``.
        adversary: nodes that forge what they send and hand over, see :func:`telejax.adversary`.

    Of tables with more nodes than the task has, the first are taken, so that one network serves tasks of several sizes.

    Columns of the history: ``lost``, messages that were waited for in vain; ``mean_drift``, how far the messages that
    did not arrive in the last round of gossip move the mean model, at the models of the evaluation; with clocks
    ``time``, the largest of them in simulated seconds, and the shares of the slots' time that they computed (``busy``)
    and waited for others (``waiting``; the rest is how far they are ahead); with presence ``stalled``, rounds in which
    too few nodes were there; with faults ``retries``, ``failed`` and ``recovered``; with an adversary ``byzantine``,
    slots that its nodes held, summed over rounds; the other slots are judged. Messages that an absent node does not
    send, and gradients that it does not compute, are not counted.

    Raises:
        ValueError: a probability outside [0, 1], a part of another kind, contention without links.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> dsgd = tj.decentralized_sgd(topology="ring", optimizer=sgd)
    >>> links, machines = tj.network.links.uniform(latency=0.5), tj.network.machines.constant(1)
    >>> slow = tj.Network(loss=0.1, links=links, machines=machines)
    >>> run = tj.simulate(dsgd, tj.tasks.quadratic(nodes=10), rounds=100, network=slow)
    >>> 0.08 < run.history["lost"][-1] / run.history["messages"][-1] < 0.12
    True
    >>> round(run.history["time"][-1], 3)
    150.0
    """

    def activate(
        self, key: Key[Array, ""], state: State, nodes: int, count: int, *, ordered: bool = True
    ) -> tuple[State, Slots]:
        """Draw ``count`` distinct nodes, uniform over ordered tuples unless presence or activation say otherwise.

        Args:
            key: the unsplit key of the round.
            state: before the round.
            nodes: n.
            count: k.
            ordered: whether it matters which node takes which slot, as on a graph of slots. Below a server it does not,
                and where all nodes are active, none is drawn: node i takes slot i.

        Returns:
            The state and the nodes that take the slots, int32 (slots,). Where too few nodes are present, those of the
            round before; the round then comes to nothing.
        """
        if count == nodes and not ordered:
            return state, jnp.arange(nodes, dtype=jnp.int32)
        with scope("sampling"):
            drawn = split(key)[0]
            if self.activation is None and self.presence is None:
                return state, sample_distinct(drawn, nodes, count)
            world, now = self._world(state), self._now(state)
            rule = self.activation or Uniform()
            rule.check(nodes, count)
            if (turn := rule.scheduled(nodes, count, state.round)) is not None:
                return state.replace(world=world), turn

            def weight(node: Int[Array, " draws"]) -> Float[Array, " draws"] | Bool[Array, " draws"]:
                if self.presence is None:
                    return rule.weight(world, node, now)
                there = self.presence.present(world, node, now)
                return there if self.activation is None else jnp.where(there, rule.weight(world, node, now), 0)

            holders, enough = sample_weighted(drawn, nodes, count, weight, tabled=self.activation is not None)
            if self.presence is None:
                return state.replace(world=world), holders
            anybody = jnp.where(state.holders < 0, jnp.arange(count, dtype=jnp.int32), state.holders)
            world = world.with_common(stalled=~enough)
            return state.replace(world=world), jnp.where(enough, holders, anybody)

    def hand_off(
        self,
        key: Key[Array, ""],
        state: State,
        holders: Slots,
        message_bytes: int,
        *,
        served: bool = False,
        sources: Sources | None = None,
    ) -> tuple[State, Some]:
        """The slots move to their new holders, who fetch them from those of the round before.

        A holder is taken to hand over at the end of its round, while it is there. One that has gone away since it was
        chosen takes nothing, and the slot stays where it was; so does one that cannot be fetched, unless faults say
        that it goes on from elsewhere.

        Args:
            key: the unsplit key of the round.
            state: before the round.
            holders: who are to take the slots.
            message_bytes: of one slot.
            served: whether a server sends its model to all holders, in place of those of the round before.
            sources: from whom else each holder fetches, where it does not trust one alone.

        Returns:
            The state with ``holders``, and which slots changed hands, bool (slots,): none before the first round.
        """
        old, moved = state.holders, (holders != state.holders) & (state.round > 0)
        if self.ideal:
            state = state if sources is None else sources.aggregated(state, state.params, moved)
            return state.replace(holders=holders), moved
        world, source, waits = self._world(state), old, jnp.zeros(len(holders), jnp.float32)
        if self.presence is not None:
            away = moved & ~self.presence.present(world, holders, self._now(state))
            holders, moved = jnp.where(away, old, holders), moved & ~away
        if self.faults is not None and self.faults.hand_off is not None:
            vain, lost = self.faults.fetches(key, old, holders, jnp.ones_like(moved) if served else moved)
            world, waits = world.with_slot(retries=vain, failed=lost), self.faults.waits(vain)
            if served or self.faults.recovery == "rollback":
                world, holders = world.with_slot(idle=lost), holders if served else jnp.where(lost, old, holders)
            else:
                state = recovery.recovered(state, self.faults.recovery, lost, (len(lost),), world.common.get("initial"))
            if self.faults.recovery == "neighbour" and not served:
                source = jnp.where(lost, recovery.next_slot(old, (len(lost),)), old)
            else:
                moved &= ~lost
        sent = None if served or not self.forges else self._forged(key, state.params, source, draws.FORGED_FETCH)
        if sources is not None:
            state = sources.aggregated(state, state.params if sent is None else sent, moved)
        elif sent is not None:
            state = state.replace(params=jax.tree.map(recovery.chosen(moved), sent, state.params))
        if self.presence is not None:
            world = world.with_slot(idle=world.slot["idle"] | ~self.presence.present(world, holders, self._now(state)))
        if self.load is not None or self.record is not None:
            world = world.with_slot(source=jnp.where(moved & (not served), source, -1))
        asked = source[None] if sources is None else sources.of(source)
        if self.load is not None and sources is not None:
            world = self.load.fetched(world, asked[1:], holders, moved)
        if self.timed:
            world = self.clocks.begun(world, asked, holders, moved, message_bytes, waits, served)
        return state.replace(holders=holders, world=world), moved

    def gossip(
        self,
        key: Key[Array, ""],
        mixing: Mixing,
        params: Params,
        state: State,
        message_bytes: int,
        sent: Params | None = None,
        steps: int | Int[Array, " slots"] = 1,
        *,
        messages: int = 1,
        returned: bool = False,
        aggregation: Rule | None = None,
        server: Params | None = None,
    ) -> tuple[State, Params, Mixing]:
        """Each slot has computed, and mixes what it keeps with what it hears.

        Args:
            key: the unsplit key of the round.
            mixing: the matrix.
            params: what each slot keeps, leaves (slots, ...); several trees in one travel together, in one message.
            state: with the holders of the round, and the parameters from which it began.
            message_bytes: of one message.
            sent: what each slot sends; by default what it keeps.
            steps: gradient steps that were computed before, of all slots or of each.
            messages: as how many messages that counts which travels together.
            returned: whether the weight of what is lost stays with its sender, as push-sum asks, so that sums over all
                slots are conserved; by default it falls to the receiver's own.
            aggregation: a robust rule in the place of the average.
            server: the model of the server that aggregates, at every slot; what the rule takes for its own.

        Returns:
            The state, the mixed parameters, and the mixing that took effect: ``mixing`` itself on an ideal network.
        """
        mixed_by = lambda mixing, sent: (
            mix(mixing, params, state.round, sent)
            if aggregation is None
            else aggregate(aggregation, mixing, params, state.round, sent, server)
        )
        if self.ideal:
            return state, mixed_by(mixing, sent), mixing
        world, out = self._worked(key, state, steps)
        arrives = self._arrives(key, state.holders)
        delivered, surplus = mixing, jnp.zeros(mixing.slots)
        if out is not None:
            among = delivered.among(state.round, ~out)
            delivered, surplus = among.mixing, surplus + among.surplus
            world = world.with_slot(unsent=world.slot["unsent"] + messages * among.lost)
        if self.load is not None:
            told, heard = delivered.exchanged(state.round, arrives)
            told, heard = world.slot["sent"] + messages * told, world.slot["received"] + messages * heard
            world = world.with_slot(sent=told, received=heard)
        if self.timed:
            world = self.clocks.heard(world, delivered, state.round, state.holders, message_bytes, arrives)
        if arrives is not None:
            left = delivered.delivered(state.round, arrives)
            delivered, surplus = left.mixing, surplus + left.surplus
            world = world.with_slot(lost=world.slot["lost"] + messages * left.lost)
        if self.forges:
            sent = self._forged(key, params if sent is None else sent, state.holders, draws.FORGED_GOSSIP)
        mixed = mixed_by(delivered, sent)
        if self.thins and returned:
            column = lambda x: surplus.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
            mixed, surplus = jax.tree.map(lambda x, kept: x - column(x) * kept, mixed, params), jnp.zeros_like(surplus)
        if self.thins:
            world = world.with_slot(surplus=surplus)
        return state.replace(world=world), mixed, delivered

    def work(self, key: Key[Array, ""], state: State, *, several: bool = True) -> State:
        """Each slot has computed, in a round without gossip; a node that holds ``several`` slots, in their order."""
        if self.ideal:
            return state
        world, _ = self._worked(key, state, 1)
        timed = self.timed and several
        return state.replace(world=self.clocks.one_by_one(world, state.holders) if timed else world)

    def report(
        self, state: State, groups: tuple[int, ...] | None = None, *, steps: Slots | None = None, **counts: Events
    ) -> tuple[State, Info]:
        """End a round: the state of the next one, and what happened in this one.

        Args:
            state: after the round, ``round`` increased.
            groups: slots of each group; by default one group of all.
            steps: gradients of each slot's holder, where they are not an equal share.
            **counts: events of the method by name, such as ``handoffs``: for each slot (slots,) or group (groups,).
        """
        groups = groups or (state.holders.shape[0],)
        own: dict[str, Array] = {}
        if state.world is not None:
            state, own = self._ended(state, groups)
            counts = {**counts, **own}
        counters = {name: per_group(count, groups) for name, count in counts.items()}
        return state, Info(state.holders, counters, steps=steps, skipped=own.get("skipped"))

    def honest(self, holders: Slots) -> Some | None:
        """Which slots an honest node holds; None where all are honest."""
        return None if self.adversary is None else ~self.adversary.lies(holders)

    def metrics(
        self, models: Params, state: State, groups: tuple[int, ...]
    ) -> Mapping[str, Float[Array, " groups"] | tuple[Array, ...]]:
        """What an evaluation tells of the network, each of shape (groups,); several arrays stand for their sum."""
        if state.world is None:
            return {}
        told = self.clocks.told(state.world, groups) if self.timed else {}
        return {"mean_drift": drift(models, state.world.slot["surplus"], groups), **told} if self.thins else told

    def met(self, state: State, losses: Callable[[], Float[Array, " slots"]]) -> State:
        """After a round: the losses of the slots' models at their holders, where the activation asks for them."""
        if self.activation is None or not self.activation.asks_losses:
            return state
        return state.replace(world=self.activation.met(state.world, state.holders, losses()))

    def _worked(self, key: Key[Array, ""], state: State, steps: int | Slots) -> tuple[World, Some | None]:
        """The holders have computed; which slots neither send nor hear anything, None where there are none.

        A method may gossip more than once in a round: the same slots are idle and fail.
        """
        world, idle, out, timeout = self._world(state), None, None, None
        if self.undoes:
            idle = world.slot["idle"]
            if self.presence is not None:
                away = ~self.presence.present(world, state.holders, self._now(state))
                stalled = world.common["stalled"] | jnp.all(away)  # or a trace's time would stand still for ever
                idle, world = idle | away | stalled, world.with_common(stalled=stalled)
            skipped = world.slot["skipped"] + jnp.where(idle, steps, 0)
            first = "before" not in world.slot
            out, world = idle, world.with_slot(idle=idle, skipped=skipped)
            if self.faults is not None and self.faults.failure is not None:
                fails = self.faults.fails(key, state.holders) & ~idle
                out, world = idle | fails, world.with_slot(broke=fails)
                timeout = self.faults.waits(fails.astype(jnp.int32)) if first else None
            if first:
                world = world.with_slot(before=recovery.before(state))
            if first and self.presence is not None and self.timed:
                lasts = jnp.where(world.common["stalled"], jnp.full(idle.shape, self.presence.wait), 0)
                timeout = lasts if timeout is None else timeout + lasts
        if self.timed:
            world = self.clocks.worked(key, world, state.holders, steps, idle, timeout)
        return world, out

    def _ended(self, state: State, groups: tuple[int, ...]) -> tuple[State, dict[str, Array]]:
        """A round is over: what came to nothing is undone, time has passed; the events of the slots."""
        world, counts = state.world, {}
        idle, round = world.slot.get("idle"), state.round - 1
        out = idle if self.faults is None else idle | world.slot["broke"]
        nothing = {name: jnp.zeros_like(world.slot[name]) for name in TOLD if name in world.slot}
        if self.loss is not None or self.outage is not None:
            counts["lost"] = world.slot["lost"]
        if self.adversary is not None:
            counts["byzantine"] = self.adversary.lies(state.holders)
        if self.undoes:
            counts |= {name: world.slot[name] for name in ("unsent", "skipped")}
            state = recovery.undone(state, world.slot["before"], out)
            world = replace(world, slot={name: part for name, part in world.slot.items() if name != "before"})
        if self.presence is not None:
            counts["stalled"] = world.common["stalled"]
            world = self.presence.ended(world.with_common(stalled=jnp.array(False)), state.round)
        if self.faults is not None:
            gone = world.slot["failed"] | world.slot["broke"]
            counts |= {"retries": world.slot["retries"], "failed": gone}
            counts["recovered"] = jnp.zeros_like(gone) if self.faults.recovery == "lost" else gone
            policy, initial = self.faults.recovery, world.common.get("initial")
            state = recovery.recovered(state, policy, world.slot["broke"], groups, initial)
        if self.activation is not None:
            world = self.activation.ended(world, state.holders, idle, Moment(round))
        if self.load is not None:
            world = self.load.ended(world, state.holders, idle)
        if self.timed:
            began, (world, ended) = world, self.clocks.ended(world, state.holders, groups, idle)
        if self.record is not None:
            times = (began.slot["base"], ended) if self.timed else None
            world = self.record.ended(world, state.holders, idle, times)
        return state.replace(world=world.with_slot(**nothing)), counts

    def _world(self, state: State) -> World:
        """What the network keeps, which begins with the first round."""
        world: World = self.start(state).world if state.world is None else state.world
        return world

    def _forged(self, key: Key[Array, ""], params: Params, holders: Slots, cause: np.uint32) -> Params:
        """What the holders of all slots send of their rows."""
        assert self.adversary is not None
        return self.adversary.sent(key, params, holders, cause)

    def _now(self, state: State) -> Moment:
        """When the round begins."""
        if not self.timed:
            return Moment(state.round)
        return Moment(state.round, *self.clocks.latest(self._world(state)))

    def _arrives(self, key: Key[Array, ""], holders: Slots) -> Arrives | None:
        """Sending and receiving slots -> whether the message arrives; None where all do."""
        if self.loss is None and self.outage is None:
            return None

        def arrives(one: Int[Array, "..."], other: Int[Array, "..."]) -> Bool[Array, "..."]:
            lost = jnp.zeros((), bool)
            if self.loss is not None:
                lost = draws.happens(key, draws.LOSS, self.loss, one, other)
            if self.outage is not None:
                ends = jnp.minimum(one, other), jnp.maximum(one, other)
                lost |= draws.happens(key, draws.OUTAGE, self.outage, *ends)
            return ~lost

        return renamed(arrives, lambda slot: holders[slot])


IDEAL = Network()
"""Nothing is lost, late or forged; the default, which disappears in tracing."""

TOLD = ("lost", "unsent", "skipped", "retries", "failed", "broke", "idle", "sent", "received", "worked")
"""What is kept of the slots for the rest of a round."""
