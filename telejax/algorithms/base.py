"""What every algorithm shares: the state of the slots, the accounting of a round, and the base class.

A method is three choices: how many slots (parameter copies) there are, who holds them in a round, and how
they mix. An algorithm states its choices in ``slots``, ``step`` and ``gossip_messages``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import polars as pl
from jaxtyping import Array, Int, Key

from telejax.errors import check_integer
from telejax.mixing.accounting import Messages
from telejax.mixing.forms import Mixing
from telejax.optimizers import FixedOptimizer, Optimizer
from telejax.tasks.base import Task
from telejax.topology import Topology, TopologyLike, resolve

Params = Any
"""Any pytree of float arrays; in a state, each leaf has the slot axis first."""

STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass


@pytree
@dataclass(frozen=True)
class State:
    """Everything the next round needs.

    ``holders`` and ``round`` may depend on the key and the task, but not on the parameters: runs that differ
    in their step size share them.
    """

    params: Params
    """Pytree with leaves (slots, ...): the parameters of each slot."""
    opt_state: Any
    """Pytree with leaves (slots, ...): the optimizer state of each slot."""
    holders: Int[Array, " slots"]
    """int32: the node that held each slot in the last round; -1 before the first."""
    round: Int[Array, ""]
    """int32: rounds done."""


@pytree
@dataclass(frozen=True)
class Info:
    """What happened in a round, for accounting and tests."""

    holders: Int[Array, " slots"]
    """int32: the nodes that worked in this round."""
    handoffs: Int[Array, " groups"]
    """int32: slots that changed hands, per group."""


@dataclass(frozen=True)
class Stage:
    """A stretch of a run in which nothing changes shape."""

    algorithm: "Algorithm"
    rounds: int
    groups: tuple[int, ...]
    """An id for each group; one that was there in the stage before goes on with its counters."""
    slots: tuple[int, ...] | None = None
    """For each slot, the slot of the stage before whose state it goes on from; None where nothing changes."""


Stages = Generator[Stage, pl.DataFrame, Sequence[int] | None]


class Plan(ABC):
    """What :func:`telejax.simulate` runs: one stage after another, the next chosen from the history so far.

    An algorithm is the plan of a single stage. A frozen dataclass.
    """

    optimizer: Optimizer | FixedOptimizer
    decides = False
    """Whether the stages depend on the history, so that each seed and step size takes its own."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short label for tables and plots."""

    @abstractmethod
    def horizons(self, nodes: int, rounds: int | None, gradients: int | None) -> tuple[int, ...]:
        """Rounds of each group within the budget, of which exactly one kind is given."""

    @abstractmethod
    def stages(self, task: Task, horizons: tuple[int, ...]) -> Stages:
        """The stages in order; what the generator is sent back is the history after each.

        It may return groups, each of which went on from the parameters of the one before: the history then
        follows them as one run, whose counters are those of all groups together.
        """

    def bind(self, task: Task) -> Self:
        """Check the plan against the task and fix what depends on its number of nodes."""
        return self

    def with_learning_rate(self, learning_rate: Any) -> Self:
        """The same plan with another step size."""
        return replace(self, optimizer=self.optimizer.with_learning_rate(learning_rate))  # type: ignore[type-var]


class Algorithm(Plan):
    """A frozen pytree with an optimizer; subclasses are dataclasses that add their own structure."""

    @abstractmethod
    def slots(self, nodes: int) -> int:
        """Number of parameter copies that a run with ``nodes`` nodes holds."""

    @abstractmethod
    def step(self, key: Key[Array, ""], state: State, task: Task) -> tuple[State, Info]:
        """One round; ``key`` is the key of this round, used for nothing else."""

    @abstractmethod
    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        """For each group, parameter copies sent by mixing in each round of its period."""

    def groups(self, nodes: int) -> tuple[int, ...]:
        """Slots of each independent run inside the state; one group by default."""
        return (self.slots(nodes),)

    def bind(self, task: Task) -> Self:
        self.slots(task.nodes)
        return self

    def horizons(self, nodes: int, rounds: int | None, gradients: int | None) -> tuple[int, ...]:
        """The same rounds for every group, or the rounds that the same gradients buy each."""
        a_round = self.gradients(nodes)
        if rounds is not None:
            return (check_integer("rounds", rounds, minimum=1),) * len(a_round)
        remedy = f"give at least {max(a_round)}, the gradients of one round of {self.name}"
        gradients = check_integer("gradients", gradients, minimum=max(a_round), remedy=remedy)
        return tuple(gradients // one for one in a_round)

    def stages(self, task: Task, horizons: tuple[int, ...]) -> Stages:
        yield Stage(self, horizons[0], groups=tuple(range(len(horizons))))
        return None

    def gradients(self, nodes: int) -> tuple[int, ...]:
        """For each group, stochastic gradients computed in a round."""
        return self.groups(nodes)

    def copy_bytes(self, state: State) -> int:
        """Bytes of one message of gossip: one copy of the parameters."""
        return copy_bytes(state.params)

    def handoff_bytes(self, state: State) -> int:
        """Bytes of one hand-off: one copy of the parameters, and of what travels with them."""
        return copy_bytes(state.params)

    def init(self, key: Key[Array, ""], task: Task) -> State:
        """All slots start from the same parameters.

        Args:
            key: typed PRNG key for ``task.init``.
            task: see ``telejax.tasks.base.Task``.

        Returns:
            A state whose leaves have the slot axis first, ``round`` 0.
        """
        return self.start(task.init(key), task.nodes)

    def start(self, params: Params, nodes: int) -> State:
        """The state before the first round, all slots at one copy of the parameters."""
        slots = self.slots(nodes)
        params = jax.tree.map(lambda x: jnp.repeat(x[None], slots, axis=0), params)
        return State(params, self.init_optimizer(params), self.first_holders(nodes), jnp.int32(0))

    def init_optimizer(self, params: Params) -> Any:
        """A new optimizer state for each slot."""
        return jax.vmap(self.optimizer.build().init)(params)

    def first_holders(self, nodes: int) -> Int[Array, " slots"]:
        """Holders before the first round: nobody, where they are drawn every round."""
        return jnp.full(self.slots(nodes), -1, jnp.int32)


def copy_bytes(tree: Any) -> int:
    """Bytes of one slot's part of a pytree with leaves (slots, ...)."""
    return sum(leaf.size * leaf.dtype.itemsize // leaf.shape[0] for leaf in jax.tree.leaves(tree))


def no_handoffs() -> Int[Array, " groups"]:
    """The hand-offs of a round in which every slot stays where it is."""
    return jnp.zeros(1, jnp.int32)


@dataclass(frozen=True)
class NodeTopology:
    """The graph over all nodes, given before their number is known: a name or a function of it."""

    topology: str | Callable[[int], Topology]

    def mixing(self, nodes: int) -> Mixing:
        return resolve(self.topology, nodes).mixing()


def node_mixing(topology: TopologyLike) -> Mixing | NodeTopology:
    """Device arrays of a Topology; a name or a function waits until the number of nodes is known."""
    return topology.mixing() if isinstance(topology, Topology) else NodeTopology(topology)


def bind_mixing(mixing: Mixing | NodeTopology, nodes: int) -> Mixing:
    """The mixing over exactly ``nodes`` nodes."""
    if isinstance(mixing, NodeTopology):
        return mixing.mixing(nodes)
    if mixing.slots != nodes:
        raise ValueError(
            f"topology {mixing.name!r} has {mixing.slots} nodes and the task {nodes}; build the topology with "
            f"{nodes} nodes, or pass its name to have it built"
        )
    return mixing


jax.tree_util.register_static(NodeTopology)
