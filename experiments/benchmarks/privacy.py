"""Private gradients beside plain ones: 8 LeNets with batches of 32, and 100 small networks with batches of 8.

    python experiments/benchmarks/privacy.py

The clipped sum is found from norms without gradients, then noised; beside it the same by the gradient of every sample
(jax.vmap of jax.grad), side by side or one after another. All run in turn, and the shortest time counts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj
from telejax.tasks.classification import _cross_entropy
from telejax.tasks.privacy import tree_norm

KEY = jax.random.key(0)


def task_of(model: str, shape: tuple[int, ...], nodes: int, batch: int) -> tj.tasks.Classification:
    random = np.random.default_rng(0)
    labels = np.arange(64 * nodes) % 10
    inputs = random.random((len(labels), *shape), np.float32)
    data = tj.data.from_arrays((inputs, labels), (inputs[:100], labels[:100]))
    return tj.tasks.classification(data, nodes=nodes, model=model, batch=batch)


def every_gradient(task: Any, side_by_side: bool, params: Any, node: jax.Array, key: jax.Array) -> Any:
    """The sum of clipped gradients, each of which is computed."""
    inputs, labels = task._distinct(node, key)
    loss = lambda params, x, label: _cross_entropy(task.network.apply(params, x[None]), label[None])[0]

    def clipped(x: jax.Array, label: jax.Array) -> Any:
        own = jax.grad(loss)(params, x, label)
        factor = jnp.minimum(1, 1 / tree_norm(own))
        return jax.tree.map(lambda g: factor * g, own)

    if side_by_side:
        return jax.tree.map(lambda g: jnp.sum(g, axis=0), jax.vmap(clipped)(inputs, labels))
    add = lambda total, sample: (jax.tree.map(jnp.add, total, clipped(*sample)), None)
    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), (inputs, labels))[0]


def of_all(gradient: Callable[..., Any] | None, task: Any, params: Any) -> Callable[[], Any]:
    """The gradients of all nodes, as a method takes them."""
    task = task if gradient is None else With(task, gradient)
    nodes = jnp.arange(task.nodes, dtype=jnp.int32)
    return partial(jax.jit(lambda params: tj.gradients(KEY, params, nodes, task)), params)


class With:
    """A task with another gradient."""

    def __init__(self, task: Any, gradient: Callable[..., Any]) -> None:
        self.task, self.gradient = task, gradient

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def main(repeats: int = 15) -> None:
    for title, task in {
        "8 LeNets, batch 32": task_of("lenet", (28, 28, 1), nodes=8, batch=32),
        "100 MLPs 784-64-10, batch 8": task_of("mlp", (784,), nodes=100, batch=8),
    }.items():
        params = jax.vmap(task.init)(jax.random.split(KEY, task.nodes))
        private = lambda level, task=task: tj.privacy(clip=1.0, noise_multiplier=1.0, level=level)(task)
        found = interleaved(
            {
                "plain": of_all(None, task, params),
                "private, sample level": of_all(None, private("sample"), params),
                "private, node level": of_all(None, private("node"), params),
                "every gradient, no noise": of_all(partial(every_gradient, task, False), task, params),
                "every gradient, side by side": of_all(partial(every_gradient, task, True), task, params),
            },
            repeats,
        )
        table = Table(title=f"{title}, {jax.default_backend()}: ms, and times the plain ones", title_justify="left")
        for column in ("gradients", "ms", "times"):
            table.add_column(column, justify="left" if column == "gradients" else "right")
        for name, seconds in found.items():
            table.add_row(name, f"{1e3 * seconds:.2f}", f"{seconds / found['plain']:.2f}")
        Console(width=100).print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
