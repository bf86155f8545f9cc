"""What every algorithm shares: the base class and its accounting.

A method is three choices: how many slots (parameter copies) there are, who holds them in a round, and how
they mix. An algorithm states its choices in ``slots``, ``step`` and ``gossip_messages``.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, Self, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Key, PyTree

from telejax.backend.memory import tree_bytes
from telejax.backend.shapes import kind_of, leaves_of
from telejax.errors import Bound, short
from telejax.mixing.accounting import Messages
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, check_optimizer
from telejax.random.threefry import fold_in
from telejax.state import Info, Memory, Params, State
from telejax.tasks.base import Task

START = np.uint32(2**31 + 2**16)  # folded into the key of task.init for what a method draws at its start


class Algorithm(ABC):
    """A frozen pytree with an optimizer; subclasses are dataclasses that add their own structure.

    Numbers that one might tune are leaves; counts, shapes and functions are static fields.
    """

    bounds: ClassVar[Mapping[str, Bound]] = {}
    """Where numbers of its own must be, for what tunes them too."""

    optimizer: Optimizer | FixedOptimizer

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.init is not Algorithm.init:
            raise TypeError(f"{cls.__name__} overrides init, which is final; override start(key, params, task) instead")

    @property
    @abstractmethod
    def name(self) -> str:
        """A short label for tables and plots."""

    @abstractmethod
    def slots(self, nodes: int) -> int:
        """Number of parameter copies that a run with ``nodes`` nodes holds."""

    @abstractmethod
    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        """One round; ``key`` is the key of this round, used for nothing else.

        A method for ideal networks only may leave ``network`` out.
        """

    @abstractmethod
    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        """For each group, parameter copies sent by mixing in each round of its period."""

    def groups(self, nodes: int) -> tuple[int, ...]:
        """Slots of each independent run inside the state; one group by default."""
        return (self.slots(nodes),)

    def bind(self, task: Task) -> Self:
        """Check the algorithm against the task and fix what depends on its number of nodes."""
        self.slots(task.nodes)
        return self

    def on_mesh(self, mesh: Mesh) -> Self:
        """The same algorithm with every mixing in the form that suits slots sharded over a mesh."""
        is_mixing = lambda x: isinstance(x, Mixing)
        return jax.tree.map(lambda x: x.sharded(mesh) if is_mixing(x) else x, self, is_leaf=is_mixing)

    def gradients(self, nodes: int) -> tuple[int, ...]:
        """For each group, stochastic gradients computed in a round."""
        return self.groups(nodes)

    def first_gradients(self, nodes: int) -> tuple[int, ...]:
        """For each group, stochastic gradients that :meth:`start` computes; counted in the row of round 0."""
        return (0,) * len(self.groups(nodes))

    def copy_bytes(self, state: State) -> int:
        """Bytes of one message of gossip: one copy of the parameters."""
        return copy_bytes(state.params)

    @property
    def handoff_messages(self) -> int:
        """Messages of one hand-off: one, from the former holder."""
        return 1

    def handoff_bytes(self, state: State) -> int:
        """Bytes of one message of a hand-off: one copy of the parameters, and of what travels with them."""
        return copy_bytes(state.params)

    def with_learning_rate(self, learning_rate: float | Array) -> Self:
        """The same algorithm with another step size."""
        return replace(self, optimizer=self.optimizer.with_learning_rate(learning_rate))  # type: ignore[type-var]

    @final
    def init(self, key: Key[Array, ""], task: Task) -> State:
        """The state before the first round: the parameters of ``task.init``, then :meth:`start`.

        Args:
            key: typed PRNG key for ``task.init``; that of ``start`` is folded from it.
            task: see :class:`telejax.tasks.Task`.

        Returns:
            A state whose leaves have the slot axis first, ``round`` 0.

        Raises:
            ValueError: an optimizer that is none yet, or a ``start`` that returns no state of this method.
        """
        self.check()
        return self._checked(self.start(start_key(key), task.init(key), task), task.nodes)

    def check(self) -> None:
        """Raise a ValueError unless the optimizers of the method are optimizers of telejax."""
        if not hasattr(self, "optimizer"):
            raise ValueError(f"optimizer of {type(self).__name__} is missing; give it a field of this name")
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)} if is_dataclass(self) else {}
        bare = {name: value for name, value in own.items() if isinstance(value, optax.GradientTransformation)}
        for name, value in {"optimizer": self.optimizer, **bare}.items():
            check_optimizer(name, value)

    def _checked(self, state: Any, nodes: int) -> State:
        """The state that ``start`` returned, or a ValueError that names what is wrong with its shapes."""
        called, slots = f"{type(self).__name__}.start", self.slots(nodes)
        if not isinstance(state, State):
            raise ValueError(f"{called} returned {type(state).__name__}; return the State of super().start(...)")
        if not isinstance(state.memory, Memory):
            raise ValueError(
                f"memory of the state of {called} is {type(state.memory).__name__}; "
                "give telejax.Memory(slot=..., node=..., common=...)"
            )
        if state.world is not None:
            raise ValueError(f"world of the state of {called} is {short(state.world)}; leave it to the network")
        if (found := kind_of(state.holders)) != f"int32[{slots}]":
            raise ValueError(f"holders of the state of {called} is {found}; give int32[{slots}], a node or -1 a slot")
        if (found := kind_of(state.round)) not in ("int32[]", "int64[]"):
            raise ValueError(f"round of the state of {called} is {found}; give jnp.int32(0)")
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float):
                where = jax.tree_util.keystr(path)
                raise ValueError(f"the state of {called} has {short(leaf)} in {where}; give arrays")
        for name in ("params", "opt_state"):
            for leaf in jax.tree.leaves(getattr(state, name)):
                if jnp.shape(leaf)[:1] != (slots,):
                    raise ValueError(
                        f"{name} of the state of {called} has a leaf {kind_of(leaf)}; its first axis is that of the "
                        f"{slots} slots"
                    )
        if not jax.tree.leaves(state.params):
            raise ValueError(f"params of the state of {called} is {short(state.params)}; give arrays (slots, ...)")
        return state

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        """The one hook for the first state; by default all slots at one copy of the parameters.

        A method with a memory calls ``super().start(...)`` and replaces ``memory``.

        Args:
            key: for what the method draws at its start.
            params: one copy of the parameters.
            task: whose gradients may be taken; count them in :meth:`first_gradients`.
        """
        slots = self.slots(task.nodes)
        params = jax.tree.map(lambda x: jnp.repeat(x[None], slots, axis=0), params)
        opt_state = self.init_optimizer(params)
        if opt_state is None:
            raise ValueError(f"{type(self).__name__}.init_optimizer returned None; return arrays (slots, ...)")
        return State(params, opt_state, self.first_holders(task.nodes), jnp.int32(0))

    def init_optimizer(self, params: Params) -> optax.OptState:
        """A new optimizer state for each slot."""
        leaves_of("params", params)
        return jax.vmap(self.optimizer.build().init)(params)

    def first_holders(self, nodes: int) -> Int[Array, " slots"]:
        """Holders before the first round: nobody, where they are drawn every round."""
        return jnp.full(self.slots(nodes), -1, jnp.int32)

    def check_network(self, network: Network) -> None:  # noqa: B027  # most stand all
        """Raise a ValueError where the method cannot stand what a network does."""

    def check_privacy(self) -> None:  # noqa: B027  # most are as private as their gradients
        """Raise a ValueError where a node's gradient may be taken twice in a round, with the same noise."""

    def models(self, state: State) -> Params:
        """What is judged, leaves (slots, ...): the parameters by default, the ratio x / w in push-sum."""
        return state.params

    def judged(self, state: State, task: Task) -> Bool[Array, " slots"] | None:
        """Which slots are judged, bool (slots,); None for all."""
        return None


class AllNodes(Algorithm):
    """An algorithm in which every node holds a slot of its own, slot i at node i."""

    def slots(self, nodes: int) -> int:
        return nodes

    def first_holders(self, nodes: int) -> Int[Array, " slots"]:
        return jnp.arange(nodes, dtype=jnp.int32)


def start_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """The key of :meth:`Algorithm.start`, from that of ``task.init``."""
    return fold_in(key, START)


def takes_network(algorithm: Algorithm) -> bool:
    """Whether the algorithm's step has a place for a network."""
    parameters = inspect.signature(algorithm.step).parameters.values()
    return len(parameters) > 3 or any(one.kind is one.VAR_KEYWORD or one.name == "network" for one in parameters)


def copy_bytes(tree: PyTree[Array | jax.ShapeDtypeStruct]) -> int:
    """Bytes of one slot's part of a pytree with leaves (slots, ...)."""
    return sum(tree_bytes(leaf) // leaf.shape[0] for leaf in jax.tree.leaves(tree))
