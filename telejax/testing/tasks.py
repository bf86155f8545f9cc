"""Tasks on which algorithms are checked."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.errors import check_array, check_integer, is_kind, short

GIVE = "give an array of floats, (nodes,)"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TreeTask:
    """A small task whose parameters are a nested pytree of several ranks; for tests of algorithms.

    Args:
        nodes: number of nodes.
        targets: floats (nodes,); node i wants every parameter to be ``targets[i] / nodes``.
    """

    nodes: int = field(metadata={"static": True})
    targets: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", check_integer("nodes", self.nodes, minimum=1))
        if is_kind(self.targets, np.ndarray | list | tuple | str | bytes | float | complex) or callable(self.targets):
            targets = check_array("targets", self.targets, GIVE)  # others may be what jax puts in its place
            if targets.dtype.kind not in "iuf" or targets.shape[-1:] != (self.nodes,):
                raise ValueError(f"targets is {short(self.targets)}; {GIVE}")

    def init(self, key: Any) -> Any:
        """Zeros and ones."""
        return {"matrix": jnp.ones((2, 3)), "deep": [jnp.zeros(()), (jnp.ones(4),)]}

    def loss(self, params: Any, node: Any, key: Any) -> Any:
        """The squared distance to the node's target, which is seen through noise."""
        target = self.targets[node] / self.nodes + 0.1 * jax.random.normal(key)
        return sum(jnp.sum((leaf - target) ** 2) for leaf in jax.tree.leaves(params))

    def evaluate(self, params: Any) -> dict[str, Any]:
        """The mean over nodes of the loss without noise."""
        distance = lambda target: sum(jnp.sum((leaf - target) ** 2) for leaf in jax.tree.leaves(params))
        return {"loss": jnp.mean(jax.vmap(distance)(self.targets / self.nodes))}
