"""What passes from round to round and out of a round: the state of the slots, the events, the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import jax
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from telejax.errors import is_kind, is_text, plain, short

if TYPE_CHECKING:
    from telejax.tasks.base import Task

Params = Any
"""Any pytree of float arrays; in a state, each leaf has the slot axis first."""

STATIC = {"static": True}
pytree = jax.tree_util.register_dataclass


@pytree
@dataclass(frozen=True)
class Memory:
    """What a method remembers beside parameters and optimizer state; None where it remembers nothing.

    >>> import jax.numpy as jnp, telejax as tj
    >>> tj.Memory(slot={"tracker": jnp.zeros((4, 3))}).slot["tracker"].shape
    (4, 3)
    """

    slot: PyTree[Array] = None
    """Pytree with leaves (slots, ...): travels with the slot, such as a tracker or an error feedback."""
    node: PyTree[Array] = None
    """Pytree with leaves (nodes, ...): stays at the node while it is inactive, such as a control variate."""
    common: PyTree[Array] = None
    """Pytree of any arrays that all nodes know, such as the state of a server."""


@pytree
@dataclass(frozen=True)
class State:
    """Everything the next round needs. Steps write ``state.replace(...)``, which keeps what they do not know.

    >>> import jax, optax, telejax as tj
    >>> walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    >>> task = tj.tasks.quadratic(nodes=9, dim=3)
    >>> state = walk.bind(task).init(jax.random.key(0), task)
    >>> state.params.shape, state.holders.shape
    ((1, 3), (1,))
    """

    params: Params
    """Pytree with leaves (slots, ...): the parameters of each slot."""
    opt_state: optax.OptState
    """Pytree with leaves (slots, ...): the optimizer state of each slot."""
    holders: Int[Array, " slots"]
    """int32: the node that held each slot in the last round; -1 before the first."""
    round: Int[Array, ""]
    """int32: rounds done; the same for all runs of a program."""
    memory: Memory = Memory()
    """What the method remembers."""
    world: PyTree[Array] = None
    """What the network keeps, see :class:`telejax.Network`."""
    spent: PyTree[Array] = None
    """How often each node's data were used, kept by the engine where the task is private: :func:`telejax.privacy`."""

    def replace(self, **changes: Any) -> Self:
        """The same state with other values of some fields.

        >>> import jax.numpy as jnp
        >>> state = State(jnp.zeros((2, 3)), None, jnp.array([0, 1], jnp.int32), jnp.int32(0))
        >>> int(state.replace(round=state.round + 1).round)
        1
        """
        return replace(self, **changes)


@pytree
@dataclass(frozen=True)
class Info:
    """What happened in a round; the engine sums ``counters`` over rounds and keeps the last ``gauges``.

    >>> import jax.numpy as jnp, telejax as tj
    >>> info = tj.Info(jnp.arange(4), counters={"skipped": jnp.array([2])})
    >>> sorted(info.counters)
    ['skipped']
    """

    holders: Int[Array, " slots"]
    """int32: the nodes that worked in this round."""
    counters: Mapping[str, Int[Array, " groups"]] = field(default_factory=dict)
    """Name to events of this round, int32 of shape (groups,), at least 0. ``handoffs`` and ``messages`` (copies beyond
    ``gossip_messages``) also enter the columns of messages and bytes."""
    gauges: Mapping[str, Array] = field(default_factory=dict)
    """Name to a value of shape (groups,), such as a clock; its last value before an evaluation is recorded."""
    steps: Int[Array, " slots"] | None = None
    """int32: gradients that each slot's holder has computed; by default an equal share of the method's."""
    skipped: Int[Array, " slots"] | None = None
    """int32: gradients among them that a holder who was away did not compute; None where nobody is ever away."""


MetricFunction = Callable[
    [Params, Bool[Array, " slots"] | None, State, "Task", tuple[int, ...]], Float[Array, " groups"]
]


@dataclass(frozen=True)
class Metric:
    """A column of one's own in the history, for ``simulate(metrics=[...])``.

    Args:
        name: of the column.
        fn: ``fn(models, judged, state, task, groups) -> (groups,)`` with ``models`` the pytree of what is judged,
            leaves (slots, ...); ``judged`` a bool (slots,), or None where all slots are; ``groups`` the slots of each
            group. Called inside the compiled program, at evaluations alone.
        higher_is_better: its direction; None where it has none, then nothing can be tuned by it.
        label: of plots' axes; by default the name.

    Raises:
        ValueError: a name or label that is no text, a function that cannot be called, a direction other than these.

    >>> import jax.numpy as jnp, optax, telejax as tj
    >>> def norm(models, judged, state, task, groups):
    ...     return jnp.max(jnp.abs(models))[None]
    >>> largest = tj.Metric("largest", norm, higher_is_better=False)
    >>> walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    >>> run = tj.simulate(walk, tj.tasks.quadratic(nodes=10), rounds=5, metrics=[largest])
    >>> run.history["largest"][0]
    0.0
    """

    name: str
    fn: MetricFunction
    higher_is_better: bool | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if not is_text(self.name) or not plain(self.name):
            raise ValueError(f"name of a Metric is {short(self.name)}; give the name of its column")
        object.__setattr__(self, "name", plain(self.name))
        if not callable(self.fn):
            told = f"fn of Metric {self.name!r} is {short(self.fn)}"
            raise ValueError(f"{told}; give fn(models, judged, state, task, groups)")
        if not (self.higher_is_better is None or is_kind(self.higher_is_better, bool)):
            raise ValueError(
                f"higher_is_better of Metric {self.name!r} is {short(self.higher_is_better)}; give True, False or None"
            )
        if not is_text(self.label):
            raise ValueError(f"label of Metric {self.name!r} is {short(self.label)}; give a text")
