"""Rounds in which every exchange, every hand-off and every gradient is noted while the compiled program runs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from telejax.algorithms.base import Algorithm, takes_network
from telejax.mixing.forms import Mixing
from telejax.mixing.means import Mean
from telejax.network import Network
from telejax.state import Info, Params, State
from telejax.tasks.base import OptionalMembers, Task


@dataclass(frozen=True)
class Exchange:
    """One call of ``network.gossip``."""

    pairs: np.ndarray
    """bool (slots, slots): sender, receiver."""
    message_bytes: int
    collective: int | None
    """Messages of a mean over a server or an all-reduce; None where each pair is one message."""


@dataclass(frozen=True)
class HandOff:
    """One call of ``network.hand_off``."""

    moved: np.ndarray
    """bool (slots,)."""
    message_bytes: int


@dataclass
class Log:
    """What was noted since it was last emptied; exchanges in the order of their calls in the program."""

    exchanges: list[tuple[int, Exchange]] = field(default_factory=list)
    handoffs: list[HandOff] = field(default_factory=list)
    gradients: list[int] = field(default_factory=list)
    """The node of each."""
    calls: int = 0

    def empty(self) -> "Log":
        """A copy of what was noted, which is then forgotten."""
        jax.effects_barrier()
        noted = replace(self, exchanges=sorted(self.exchanges, key=lambda one: one[0]))
        self.exchanges, self.handoffs, self.gradients = [], [], []
        return noted

    __hash__ = object.__hash__  # as structure of a network and a task it is itself


@dataclass(frozen=True)
class Round:
    """What happened in a round."""

    before: State
    after: State
    info: Info
    exchanges: list[Exchange]
    handoffs: list[HandOff]
    gradients: list[int]


@dataclass(frozen=True)
class Observed:
    """What happened from the start on."""

    networked: bool
    """Whether the step takes a network, so that exchanges and hand-offs are known."""
    first_gradients: list[int]
    """Nodes at which ``start`` took gradients."""
    rounds: list[Round]


def observe(algorithm: Algorithm, task: Task, keys: list[Any]) -> Observed:
    """Run one round a key, compiled, from the start."""
    log = Log()
    counting, networked = CountingTask(task, log), takes_network(algorithm)
    network = (RecordingNetwork(log=log),) if networked else ()
    state = jax.jit(lambda key: algorithm.init(key, counting))(jax.random.key(0))
    first_gradients = log.empty().gradients
    step = jax.jit(lambda key, state: algorithm.step(key, state, counting, *network))
    rounds = []
    for key in keys:
        before = state
        state, info = jax.block_until_ready(step(key, state))
        noted = log.empty()
        exchanges = [exchange for _, exchange in noted.exchanges]
        rounds.append(Round(before, state, info, exchanges, noted.handoffs, noted.gradients))
    return Observed(networked, first_gradients, rounds)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RecordingNetwork(Network):
    """The ideal network, which notes what it is asked for."""

    log: Log = field(default_factory=Log, metadata={"static": True})

    def gossip(
        self,
        key: Any,
        mixing: Mixing,
        params: Params,
        state: State,
        message_bytes: int,
        sent: Params | None = None,
        steps: int | Int[Array, " slots"] = 1,
        *others: Any,
        **named: Any,
    ) -> tuple[State, Params, Mixing]:
        """See :meth:`telejax.Network.gossip`."""
        self.log.calls += 1
        number, collective = self.log.calls, collective_messages(mixing)

        def note(pairs: np.ndarray) -> None:
            self.log.exchanges.append((number, Exchange(np.array(pairs), int(message_bytes), collective)))

        jax.debug.callback(note, senders_and_receivers(mixing, state.round))
        return super().gossip(key, mixing, params, state, message_bytes, sent, steps, *others, **named)

    def hand_off(
        self, key: Any, state: State, holders: Int[Array, " slots"], message_bytes: int, **others: Any
    ) -> tuple[State, Bool[Array, " slots"]]:
        """See :meth:`telejax.Network.hand_off`."""
        state, moved = super().hand_off(key, state, holders, message_bytes, **others)
        jax.debug.callback(lambda moved: self.log.handoffs.append(HandOff(np.array(moved), int(message_bytes))), moved)
        return state, moved


def collective_messages(mixing: Mixing) -> int | None:
    """Messages of a mean that comes about in the middle."""
    if not isinstance(mixing, Mean) or mixing.transport == "all_to_all":
        return None
    return 2 * mixing.slots if mixing.transport == "server" else 2 * (mixing.slots - 1)


def senders_and_receivers(mixing: Mixing, round: Int[Array, ""]) -> Bool[Array, "slots slots"]:
    """Whose message, (sender, receiver), weighs anything in a round."""
    indices, weights = mixing.neighbours(round)
    receivers = jnp.broadcast_to(jnp.arange(mixing.slots)[None], indices.shape)
    pairs = jnp.zeros((mixing.slots, mixing.slots), bool).at[indices, receivers].max(weights != 0)
    return pairs & ~jnp.eye(mixing.slots, dtype=bool)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CountingTask:
    """A task of which each derivative at a node is noted when it is computed; all else is the task's own."""

    task: Any
    log: Log = field(metadata={"static": True})

    @property
    def nodes(self) -> int:
        """Those of the task."""
        return self.task.nodes

    def init(self, key: Any) -> Any:
        """That of the task."""
        return self.task.init(key)

    def loss(self, params: Any, node: Any, key: Any) -> Any:
        """That of the task, which notes its derivatives."""
        return self._noting_derivatives(self.task.loss)(params, node, key)

    def evaluate(self, params: Any) -> Any:
        """That of the task."""
        return self.task.evaluate(params)

    def __getattr__(self, name: str) -> Any:
        """Members that a task may have beside; a gradient in closed form is noted, too."""
        if name.startswith("__") or name not in OptionalMembers.__dataclass_fields__:
            raise AttributeError(name)
        member = getattr(self.task, name)
        if name == "losses":
            return self._noting_derivatives(member)
        return self._noting(member) if name == "gradient" else member

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(params: Any, node: Any, key: Any) -> Any:
            self._note(params, node, key)
            return function(params, node, key)

        return noted

    def _noting_derivatives(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose derivative rule alone notes, and so neither its values nor its second use."""
        noting = jax.custom_jvp(lambda params, node, key: function(params, node, key))

        @noting.defjvp
        def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
            params, node, key = primals
            self._note(params, node, key)
            return jax.jvp(lambda params: function(params, node, key), (params,), tangents[:1])

        return noting

    def _note(self, params: Any, node: Any, key: Any) -> None:
        """Note the node; what it depends on is given along, so that every element of a batch is noted."""
        batched_as = [leaf.ravel()[0] for leaf in (*jax.tree.leaves(params), jax.random.key_data(key)) if leaf.size]
        jax.debug.callback(lambda node, *_: self.log.gradients.append(int(node)), node, *batched_as)
