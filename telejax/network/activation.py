"""Who is active: rules beside the uniform draw of the paper, for the methods whose nodes are drawn.

A rule that prefers some nodes changes what is minimised: instead of the mean of all f_i the mean of p_i f_i, with p_i
the probability that a slot meets node i; ``evaluate`` of the task still speaks of the mean of all. ``correct`` weighs
gradients by 1 / (n p_i), which is exact for one slot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt

from telejax.errors import POSITIVE, PROBABILITY, Bound, check_flag, check_integer, check_name, check_numbers, is_kind
from telejax.network.tables import check_size
from telejax.network.world import Moment, World
from telejax.random.permutation import FEISTEL_ROUNDS, Shuffle
from telejax.random.threefry import fold_in
from telejax.state import STATIC, pytree

Nodes = Int[Array, "..."]
BY = ("speed", "data", "availability")
LEAST_SHARE = 2.0**-100
"""Of the largest weight: an exponential clock at the rate of a smaller one is inf in float32."""


class Activation:
    """How likely nodes are drawn, or when it is their turn."""

    bounds: ClassVar[Mapping[str, Bound]] = {}
    asks_losses: ClassVar[bool] = False
    """Whether it must be told the losses that the holders have met."""

    def weight(self, world: World, node: Nodes, now: Moment) -> Float[Array, "..."]:
        """From 0 to 1, in proportion to the probability that a node is drawn."""
        return jnp.ones(jnp.shape(node), jnp.float32)

    def check(self, nodes: int, count: int) -> None:
        """Raise a ValueError where so many of the nodes cannot be active in every round."""

    def scheduled(self, nodes: int, count: int, round: Int[Array, ""]) -> Int[Array, " slots"] | None:
        """The nodes of a round where nothing is drawn."""
        return None

    def start(self, world: World, nodes: int) -> World:
        """What is kept of the nodes."""
        return world

    def ended(
        self, world: World, holders: Int[Array, " slots"], idle: Bool[Array, " slots"] | None, now: Moment
    ) -> World:
        """After a round in which these nodes worked."""
        return world

    def met(self, world: World, holders: Int[Array, " slots"], losses: Float[Array, " slots"]) -> World:
        """The losses of the slots' models at their holders."""
        return world

    def bind(self, nodes: int, known: Mapping[str, np.ndarray | None]) -> Self:
        """The rule for so many nodes, of which ``known`` holds numbers by name."""
        return self

    def correction(self, nodes: int) -> Float[np.ndarray, " nodes"] | None:
        """By what the gradients of each node are multiplied; None where they are not."""
        return None


@pytree
@dataclass(frozen=True)
class Uniform(Activation):
    """See :func:`uniform`."""


@pytree
@dataclass(frozen=True)
class Weighted(Activation):
    """See :func:`weighted`."""

    weights: Float[np.ndarray | Array, " nodes"] | None
    """In proportion to the probabilities, the largest 1; None before the rule is bound."""
    by: str | None = field(metadata=STATIC)
    correct: bool = field(metadata=STATIC)

    def weight(self, world: World, node: Nodes, now: Moment) -> Float[Array, "..."]:
        return jnp.asarray(self.weights)[node]

    def bind(self, nodes: int, known: Mapping[str, np.ndarray | None]) -> Self:
        if self.weights is None:
            assert self.by is not None
            found = known[self.by]
            if found is None:
                raise ValueError(f"activation is weighted by {self.by!r}, which {MISSING[self.by]}")
            return replace(self, weights=_scaled(found[:nodes], NAMES[self.by]))
        check_size("activation", len(self.weights), nodes)
        return replace(self, weights=_scaled(np.asarray(self.weights)[:nodes], "weights"))

    def correction(self, nodes: int) -> Float[np.ndarray, " nodes"] | None:
        if not self.correct:
            return None
        weights = np.asarray(self.weights, np.float64)
        return (weights.sum() / (nodes * weights)).astype(np.float32)


NAMES = {"speed": "speed", "data": "samples_per_node", "availability": "availability"}
MISSING = {
    "speed": "needs machines whose speeds do not change; give machines=telejax.network.machines.lognormal()",
    "data": "needs a task that says how many samples each node has, in samples_per_node",
    "availability": "needs presence by a trace; give presence=telejax.network.presence.trace(path)",
}


@pytree
@dataclass(frozen=True)
class ShuffledEpochs(Activation):
    """See :func:`shuffled_epochs`."""

    seed: UInt[np.ndarray | Array, ""]

    def scheduled(self, nodes: int, count: int, round: Int[Array, ""]) -> Int[Array, " slots"] | None:
        rounds = nodes // count
        key = fold_in(jax.random.key(self.seed), round // rounds)
        order = Shuffle(nodes, jax.random.bits(key, (FEISTEL_ROUNDS,), jnp.uint32))
        return jax.vmap(order)((round % rounds) * count + jnp.arange(count, dtype=jnp.int32))


@pytree
@dataclass(frozen=True)
class Duty(Activation):
    """See :func:`duty`."""

    rest: int = field(metadata=STATIC)
    """Rounds that a node rests after each in which it worked."""

    def check(self, nodes: int, count: int) -> None:
        if count * (self.rest + 1) > nodes:
            most = nodes // (self.rest + 1)
            fewer = f"make at most {most} active, or " if most else ""
            raise ValueError(
                f"activation lets a node work in one round of {self.rest + 1}, and {count} of {nodes} nodes are to be "
                f"active in each; {fewer}raise the limit of duty to {count / nodes:.2g} or more"
            )

    def weight(self, world: World, node: Nodes, now: Moment) -> Float[Array, "..."]:
        return (now.round - world.node["last_duty"][node] > self.rest).astype(jnp.float32)

    def start(self, world: World, nodes: int) -> World:
        return world.with_node(last_duty=jnp.full(nodes, -1 - self.rest, jnp.int32))

    def ended(
        self, world: World, holders: Int[Array, " slots"], idle: Bool[Array, " slots"] | None, now: Moment
    ) -> World:
        last: Array = world.node["last_duty"]
        place = holders if idle is None else jnp.where(idle, len(last), holders)
        return world.with_node(last_duty=last.at[place].set(now.round, mode="drop"))


@pytree
@dataclass(frozen=True)
class Adaptive(Activation):
    """See :func:`adaptive`."""

    asks_losses: ClassVar[bool] = True
    bounds: ClassVar[Mapping[str, Bound]] = {"floor": PROBABILITY, "memory": PROBABILITY}

    floor: float
    memory: float

    def weight(self, world: World, node: Nodes, now: Moment) -> Float[Array, "..."]:
        seen, largest = world.node["loss_seen"][node], world.common["loss_scale"]
        share = jnp.clip(seen / jnp.where(largest > 0, largest, 1), 0, 1)
        return jnp.where(jnp.isnan(seen), 1, self.floor + (1 - self.floor) * share)

    def start(self, world: World, nodes: int) -> World:
        unknown = jnp.full(nodes, jnp.nan, jnp.float32)
        return world.with_node(loss_seen=unknown).with_common(loss_scale=jnp.zeros((), jnp.float32))

    def met(self, world: World, holders: Int[Array, " slots"], losses: Float[Array, " slots"]) -> World:
        before = world.node["loss_seen"][holders]
        fresh = jnp.where(jnp.isfinite(losses), losses, jnp.nan).astype(jnp.float32)
        now = jnp.where(jnp.isnan(before), fresh, (1 - self.memory) * before + self.memory * fresh)
        largest, worst = world.common["loss_scale"], jnp.max(jnp.where(jnp.isnan(fresh), 0, fresh))
        scale = jnp.where(largest == 0, worst, largest + 0.1 * (worst - largest))  # the losses of a round shrink slowly
        return world.with_node(loss_seen=world.node["loss_seen"].at[holders].set(now)).with_common(loss_scale=scale)


def uniform() -> Uniform:
    """All nodes alike, distinct, every round anew: the rule of the paper, and the default.

    >>> import telejax as tj
    >>> tj.Network(activation=tj.network.activation.uniform()).activation is None  # which is the usual rule
    True
    """
    return Uniform()


def weighted(weights: Sequence[float] | np.ndarray | Array | str, *, correct: bool = False) -> Weighted:
    """Some nodes are active more often: distinct nodes drawn one after another, in proportion to their weights.

    Args:
        weights: above 0, (nodes,); or "speed" (in proportion to gradients a second, of machines that do not change),
            "data" (to the samples of a node), "availability" (to the share of the time that a trace has it present).
        correct: weigh gradients by 1 / (n p_i), p_i in proportion to the weights, so that the mean of all f_i is
            minimised: exactly for one slot, nearly for few of many.

    Raises:
        ValueError: weights that are not finite and above 0, another shape, an unknown name.

    >>> weighted([1.0, 3.0]).bind(2, {}).correction(2) is None
    True
    >>> weighted([1.0, 3.0], correct=True).bind(2, {}).correction(2).tolist()
    [2.0, 0.6666...]
    """
    correct = check_flag("correct", correct)
    if is_kind(weights, str):
        return Weighted(None, check_name("weights", weights, BY), correct)
    remedy = f"give a finite number above 0 for each node, (nodes,), or one of {', '.join(BY)}"
    array = check_numbers("weights", weights, POSITIVE, remedy)
    _scaled(array, "weights")
    return Weighted(array, None, correct)


def shuffled_epochs(seed: int = 0) -> ShuffledEpochs:
    """Every node once an epoch of floor(n / k) rounds, in an order of its own; those left over rest in that epoch.

    Args:
        seed: of the orders, which are computed node by node, at any n.

    >>> import jax.numpy as jnp
    >>> rule, epoch = shuffled_epochs(), range(5)
    >>> sorted(jnp.concatenate([rule.scheduled(10, 2, jnp.int32(round)) for round in epoch]).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    return ShuffledEpochs(np.array(check_integer("seed", seed, minimum=0, maximum=2**32 - 1), np.uint32))


def duty(limit: float) -> Duty:
    """No node works in more than a share of the rounds: it rests after each. n integers are kept.

    Args:
        limit: the share, above 0 and at most 1: a node rests ``1 / limit - 1`` rounds, rounded up.

    Raises:
        ValueError: a share outside its range.

    >>> duty(limit=0.1).rest
    9
    """
    limit = PROBABILITY.check("limit", limit)
    return Duty(int(min(np.ceil(1 / limit - 1e-9) - 1, 2**30)))


def adaptive(floor: float = 0.2, memory: float = 1.0) -> Adaptive:
    """Prefer nodes whose data the model fits worst, as far as their losses were seen when they were active last.

    A node's weight is ``floor + (1 - floor) loss_i / scale``, at most 1, with the scale a moving mean of the worst loss
    of a round; nodes that were never active have weight 1. One more loss is computed in every slot and round, and n
    floats are kept. It minimises more of the worst losses than of their mean.

    Args:
        floor: the least weight, above 0 and at most 1, where it is the uniform rule; may be tuned.
        memory: how much of the estimate the newest loss makes, above 0 and at most 1.

    >>> adaptive(floor=0.5).floor
    0.5
    """
    return Adaptive(PROBABILITY.check("floor", floor), PROBABILITY.check("memory", memory))


def _scaled(weights: np.ndarray, called: str) -> Float[np.ndarray, " nodes"]:
    """Of the largest, or a ValueError where a node would never be drawn."""
    shares = weights / weights.max()
    if not (least := shares.min()) >= LEAST_SHARE:
        place = int(shares.argmin())
        raise ValueError(
            f"{called} of node {place} is {weights[place]:g}, {least:.2g} of the largest, with which it would never be "
            "drawn; give numbers above 0 that differ by less than 2^100"
        )
    return shares.astype(np.float32)
