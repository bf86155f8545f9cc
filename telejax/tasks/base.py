"""What an algorithm may ask of a task, and nothing more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key


@runtime_checkable
class Task(Protocol):
    """What the nodes compute: a frozen dataclass, registered as a pytree, with these four.

    ``nodes`` is structure (a static field); arrays and numbers that may vary are leaves. A task may have more members,
    see :class:`OptionalMembers`.
    """

    @property
    def nodes(self) -> int:
        """Number of nodes n, at most 2^31 - 1."""
        ...

    def init(self, key: Key[Array, ""]) -> Any:
        """One copy of the parameters to start from: any pytree of float arrays."""
        ...

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """The loss of node ``node`` (int32, traced) on a batch drawn with ``key``; its gradient is the
        stochastic gradient."""
        ...

    def evaluate(self, params: Any) -> Mapping[str, Float[Array, ""]]:
        """Scalars that judge one copy of the parameters: ``loss`` (exact, over all nodes), and where known
        ``grad_norm_sq``, ``accuracy`` and ``validation_loss``."""
        ...


@dataclass(frozen=True)
class OptionalMembers:
    """What a task may have beside the four members of :class:`Task`; read by :meth:`of` and nowhere else."""

    name: str
    """For titles; by default the name of its class."""
    node_batch: int | None = None
    """How many nodes compute side by side; by default the backend's choice."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """The direction of what ``evaluate`` returns, by name; losses and accuracies are known."""
    gradient: Callable[[Any, Array, Array], Any] | None = None
    """``gradient(params, node, key)``, where it is known in closed form; by default ``jax.grad`` of the loss."""
    losses: Callable[[Any, Array, Array], Array] | None = None
    """``losses(params, node, key) -> (batch,)``, the loss of each sample of a batch that is drawn without replacement
    from the node's own, none of which depends on another sample; for :func:`telejax.privacy`."""
    gradient_norms: Callable[[Any, Array, Array], Array] | None = None
    """``gradient_norms(params, node, key) -> (batch,)``, those of the gradients of ``losses``, where there is a faster
    way than one gradient after another."""
    privacy: Any = None
    """Set by :func:`telejax.privacy`: how the gradients are protected."""
    samples_per_node: Array | np.ndarray | None = None
    """How many samples each node has, (nodes,), where they are counted."""
    mesh: Mesh | None = None
    """Set by the engine: the devices over which loops over nodes are divided."""

    @staticmethod
    def of(task: Task) -> "OptionalMembers":
        """Those of a task."""
        given = {name: getattr(task, name) for name in OptionalMembers.__dataclass_fields__ if hasattr(task, name)}
        return OptionalMembers(**{"name": type(task).__name__, **given})


class OfTask:
    """The four members of a task that is made of another; from Python 3.12 on a protocol asks the class for them."""

    task: Any

    @property
    def nodes(self) -> int:
        """Those of the task."""
        return int(self.task.nodes)

    def init(self, key: Key[Array, ""]) -> Any:
        """That of the task."""
        return self.task.init(key)

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """That of the task."""
        value: Array = self.task.loss(params, node, key)
        return value

    def evaluate(self, params: Any) -> Any:
        """That of the task."""
        return self.task.evaluate(params)


class AllOfTask(OfTask):
    """All other members of the task, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.task, name)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnMesh(AllOfTask):
    """A task whose nodes are computed on the devices of a mesh; all else is the task's own."""

    task: Any
    mesh: Mesh = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reweighted(AllOfTask):
    """A task in which the loss of each node is multiplied by a factor; all else is the task's own."""

    task: Any
    factors: Float[Array | np.ndarray, " nodes"]

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """That of the task, times the node's factor."""
        loss = self.task.loss(params, node, key)
        return loss * jnp.asarray(self.factors, loss.dtype)[node]

    def __getattr__(self, name: str) -> Any:
        own = super().__getattr__(name)
        if name not in ("gradient", "losses", "gradient_norms"):
            return own

        def weighted(params: Any, node: Array, key: Array) -> Any:
            factor = jnp.asarray(self.factors)[node]
            return jax.tree.map(lambda x: x * factor.astype(x.dtype), own(params, node, key))

        return weighted


def reweighted(task: Task, factors: np.ndarray | None) -> Task:
    """The task with its nodes' losses multiplied by factors, or itself where there are none."""
    return task if factors is None else Reweighted(task, factors)


def gradient_of(task: Task) -> Callable[[Any, Array, Array], Any]:
    """``gradient(params, node, key)``: the task's own, or that of its loss."""
    return OptionalMembers.of(task).gradient or jax.grad(task.loss)
