"""Tasks on which algorithms are checked."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from telejax.errors import check_integer


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
        check_integer("nodes", self.nodes, minimum=1)

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
