"""What the nodes get themselves: the accuracy of their models on data like their own, its mean and its worst tenth."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from telejax.errors import attribute, short
from telejax.state import Metric, Params, State

MOST = 10_000
"""Nodes that are looked at; of more, as many at equal distances."""
WORST = 0.1


@cache
def local_accuracy() -> tuple[Metric, Metric]:
    """The columns ``accuracy_local`` and ``accuracy_local_worst``, for ``simulate(metrics=...)``.

    A node uses the model that it holds or, of a method whose holders are drawn, that of slot i mod k (node i, k slots),
    as if the last active nodes had handed theirs to all. Its data are the test samples that belong to it where the task
    says so (``classification(test_owners=...)``), or else all test samples, weighted so that labels are as frequent as
    among its training samples. ``accuracy_local`` is the mean over nodes, ``accuracy_local_worst`` that over the tenth
    of them with the lowest accuracy, as in Li et al. 2020 (arXiv 1905.10497). Of more than 10 000 nodes, as many at
    equal distances are looked at; where some nodes lie, the honest ones. A task needs a member ``accuracy_at``, as that
    of :func:`telejax.tasks.classification`; any other is refused.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.5)
    >>> alone, task = tj.local_training(optimizer=sgd), tj.tasks.digits(nodes=50, alpha=0.1)
    >>> run = tj.simulate(alone, task, rounds=100, metrics=tj.tasks.local_accuracy())
    >>> bool(run.history["accuracy_local"][-1] > run.history["accuracy_slots"][-1] + 0.2)
    True
    """
    mean = lambda accuracy, judged: jnp.sum(jnp.where(judged, accuracy, 0)) / jnp.sum(judged)
    return (
        Metric("accuracy_local", _of_groups(mean), True, "accuracy on the nodes' own data"),
        Metric("accuracy_local_worst", _of_groups(_worst), True, "accuracy on own data, the worst tenth of nodes"),
    )


def _worst(accuracy: Float[Array, " nodes"], judged: Bool[Array, " nodes"]) -> Float[Array, ""]:
    """The mean of the lowest tenth, at least one."""
    ordered = jnp.sort(jnp.where(judged, accuracy, jnp.inf))
    count = jnp.ceil(WORST * jnp.sum(judged)).astype(jnp.int32)
    among = jnp.arange(len(ordered)) < count
    return jnp.sum(jnp.where(among, ordered, 0)) / count


def _of_groups(
    reduce: Callable[[Float[Array, " nodes"], Bool[Array, " nodes"]], Float[Array, ""]],
) -> Callable[..., Float[Array, " groups"]]:
    """A metric that reduces the accuracies of nodes, of each group of slots."""

    def measured(
        models: Params, judged: Bool[Array, " slots"] | None, state: State, task: Any, groups: tuple[int, ...]
    ) -> Float[Array, " groups"]:
        own = attribute(task, "accuracy_at")
        if not callable(own):
            raise ValueError(
                f"metrics has accuracy_local, and task {short(task)} has no accuracy_at(models, slots, nodes); give a "
                "task of classification"
            )
        nodes = np.unique(np.linspace(0, task.nodes - 1, min(task.nodes, MOST)).astype(np.int32))
        honest = jnp.ones(len(state.holders), bool) if judged is None else judged
        first, found = 0, []
        for slots in groups:
            slot = first + nodes % slots
            found.append(reduce(own(models, slot, nodes), honest[slot]))
            first += slots
        return jnp.stack(found)

    return measured
