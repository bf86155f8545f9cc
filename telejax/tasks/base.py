"""What an algorithm may ask of a task, and nothing more."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int, Key


@runtime_checkable
class Task(Protocol):
    """What the nodes compute: a frozen dataclass, registered as a pytree, with these four.

    ``nodes`` is structure (a static field); arrays and numbers that may vary are leaves.
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
