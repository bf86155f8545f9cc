"""The network: links that fail and messages that are lost, between the slots of any method.

A method calls three verbs where its paper says activate, hand off, gossip, and ends the round with ``report``. Every
part of a network is None by default, which traces nothing: the verbs of the ideal network are those operations
themselves. Draws fold constants of 2^31 and above into the key of the round, then the two nodes of a link, so that the
same seed draws the same faults for every method, and none of them meets a node's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from telejax.backend.scopes import scope
from telejax.errors import check_number
from telejax.mixing.forms import Arrives, Mixing, renamed
from telejax.mixing.mix import mix
from telejax.network import draws
from telejax.random.sampling import sample_distinct
from telejax.state import Info, Params, State


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """The world between slots, for ``simulate(network=...)``; its numbers are leaves, so that a sweep is one program.

    Args:
        loss: probability that a message of gossip is lost. Its weight falls to the receiver's own model, so the rows of
            the mixing matrix still sum to one, but the mean of all models drifts: column ``mean_drift``.
        outage: probability that a link is down for a round, both ways. The mean is conserved where the mixing matrix is
            symmetric.

    Columns of the history: ``lost``, messages that were waited for in vain; ``mean_drift``, how far the messages lost
    in the last round of gossip move the mean model, at the models of the evaluation.

    Raises:
        ValueError: a probability outside [0, 1].

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> dsgd = tj.decentralized_sgd(topology="ring", optimizer=sgd)
    >>> run = tj.simulate(dsgd, tj.tasks.quadratic(nodes=10), rounds=100, network=tj.Network(loss=0.1))
    >>> 0.08 < run.history["lost"][-1] / run.history["messages"][-1] < 0.12
    True
    """

    loss: float | Array | None = None
    outage: float | Array | None = None

    def __post_init__(self) -> None:
        for name in ("loss", "outage"):
            value = getattr(self, name)
            traced = hasattr(value, "shape") and not isinstance(value, np.generic)
            if value is None or traced or type(value) is object:  # object: jax rebuilds trees with placeholders
                continue
            check_probability(name, value)
            object.__setattr__(self, name, float(value))

    def check(self) -> None:
        """Raise a ValueError where an array was given that is no probability; not for use inside a program."""
        for name in ("loss", "outage"):
            if (value := getattr(self, name)) is not None:
                check_probability(name, value)

    @property
    def ideal(self) -> bool:
        """Whether nothing happens to anything."""
        return self.loss is None and self.outage is None

    def start(self, state: State) -> State:
        """The state before the first round with what the network keeps in ``world``."""
        if self.ideal:
            return state
        slots = state.holders.shape[0]
        return state.replace(world={"lost": jnp.zeros(slots, jnp.int32), "surplus": jnp.zeros(slots)})

    def activate(
        self, key: Key[Array, ""], state: State, nodes: int, count: int, *, ordered: bool = True
    ) -> tuple[State, Int[Array, " slots"]]:
        """Draw ``count`` distinct nodes, uniform over ordered tuples.

        Args:
            key: the unsplit key of the round.
            state: before the round.
            nodes: n.
            count: k.
            ordered: whether it matters which node takes which slot, as on a graph of slots. Below a server it does not,
                and where all nodes are active, none is drawn: node i takes slot i.

        Returns:
            The state and the nodes that take the slots, int32 (slots,).
        """
        if count == nodes and not ordered:
            return state, jnp.arange(nodes, dtype=jnp.int32)
        with scope("sampling"):
            return state, sample_distinct(jax.random.split(key)[0], nodes, count)

    def hand_off(
        self, key: Key[Array, ""], state: State, holders: Int[Array, " slots"], message_bytes: int
    ) -> tuple[State, Bool[Array, " slots"]]:
        """The slots move to their new holders, who fetch them from those of the round before.

        Returns:
            The state with ``holders``, and which slots changed hands, bool (slots,): none before the first round.
        """
        moved = (holders != state.holders) & (state.round > 0)
        return state.replace(holders=holders), moved

    def gossip(
        self,
        key: Key[Array, ""],
        mixing: Mixing,
        params: Params,
        state: State,
        message_bytes: int,
        sent: Params | None = None,
        steps: int = 1,
        *,
        messages: int = 1,
        returned: bool = False,
    ) -> tuple[State, Params, Mixing]:
        """Each slot mixes what it keeps with what it hears.

        Args:
            key: the unsplit key of the round.
            mixing: the matrix.
            params: what each slot keeps, leaves (slots, ...); several trees in one travel together, in one message.
            state: with the holders of the round.
            message_bytes: of one message.
            sent: what each slot sends; by default what it keeps.
            steps: gradient steps that were computed before.
            messages: as how many messages that counts which travels together.
            returned: whether the weight of what is lost stays with its sender, as push-sum asks, so that sums over all
                slots are conserved; by default it falls to the receiver's own.

        Returns:
            The state, the mixed parameters, and the mixing that took effect: ``mixing`` itself on an ideal network.
        """
        if self.ideal:
            return state, mix(mixing, params, state.round, sent), mixing
        delivered = mixing.delivered(state.round, self._arrives(key, state.holders))
        world = state.world or self.start(state).world
        mixed, surplus = mix(delivered.mixing, params, state.round, sent), delivered.surplus
        if returned:
            column = lambda x: surplus.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
            mixed, surplus = jax.tree.map(lambda x, kept: x - column(x) * kept, mixed, params), jnp.zeros_like(surplus)
        world = {"lost": world["lost"] + messages * delivered.lost, "surplus": surplus}
        return state.replace(world=world), mixed, delivered.mixing

    def report(
        self, state: State, groups: tuple[int, ...] | None = None, **counts: Int[Array, "..."] | Bool[Array, "..."]
    ) -> tuple[State, Info]:
        """End a round: the state of the next one, and what happened in this one.

        Args:
            state: after the round, ``round`` increased.
            groups: slots of each group; by default one group of all.
            **counts: events of the method by name, such as ``handoffs``: for each slot (slots,) or group (groups,).
        """
        groups = groups or (state.holders.shape[0],)
        world = state.world
        if world is not None:
            counts, world = {**counts, "lost": world["lost"]}, {**world, "lost": jnp.zeros_like(world["lost"])}
        info = Info(state.holders, {name: per_group(count, groups) for name, count in counts.items()})
        return state.replace(world=world), info

    def honest(self, holders: Int[Array, " slots"]) -> Bool[Array, " slots"] | None:
        """Which slots an honest node holds; None where all are honest."""
        return None

    def metrics(self, models: Params, state: State, groups: tuple[int, ...]) -> Mapping[str, Float[Array, " groups"]]:
        """What an evaluation tells of the network, each of shape (groups,)."""
        if state.world is None:
            return {}
        surplus = jnp.split(state.world["surplus"], _ends(groups))

        def drift_sq(leaf: Array) -> Float[Array, " groups"]:
            parts = zip(surplus, jnp.split(leaf, _ends(groups)), strict=True)
            summed = partial(jnp.tensordot, axes=1, precision="highest")
            moved = [summed(column.astype(part.dtype), part) / len(column) for column, part in parts]
            return jnp.stack([jnp.sum(one**2) for one in moved])

        return {"mean_drift": jnp.sqrt(sum(map(drift_sq, jax.tree.leaves(models))))}

    def _arrives(self, key: Key[Array, ""], holders: Int[Array, " slots"]) -> Arrives:
        """Sending and receiving slots -> whether the message arrives."""

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


def check_probability(name: str, value: Any) -> None:
    """Raise a ValueError unless ``value`` is one number from 0 to 1."""
    remedy = "give a probability from 0 to 1, or None"
    if check_number(name, value, remedy=remedy) > 1:
        raise ValueError(f"{name} is {value!r}; {remedy}")


def per_group(count: Array, groups: tuple[int, ...]) -> Int[Array, " groups"]:
    """Events of each group, int32, from those of its slots."""
    if count.shape == (sum(groups),):
        return jnp.stack([jnp.sum(part, dtype=jnp.int32) for part in jnp.split(count, _ends(groups))])
    return jnp.broadcast_to(count, (len(groups),)).astype(jnp.int32)


def _ends(groups: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(np.cumsum(groups)[:-1].tolist())
