"""What a private run has spent: uses of every node's data on the device, and their epsilon on the host."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from telejax.algorithms.base import Algorithm
from telejax.errors import short
from telejax.network import Network
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.accountant import package, spent
from telejax.tasks.base import OfTask, OptionalMembers, Task
from telejax.tasks.privacy import Privacy, Private, batch_of


@pytree
@dataclass(frozen=True)
class Spent:
    """In ``State.spent``: how often each node's data were used, and with which noise."""

    uses: Int[Array, " nodes"]
    """int32: gradients that each node has computed."""
    noise_multiplier: Float[Array, ""]
    batch: int | None = field(metadata=STATIC)
    """Samples of a gradient, at the level of samples; None at that of nodes."""


@pytree
@dataclass(frozen=True)
class Sealed(OfTask):
    """A private task that refuses to tell a loss, for a look at what a method asks for."""

    task: Any

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """Refused."""
        raise ValueError(
            "task is private, and the method asks for task.loss, which is not; take one that steps along "
            "telejax.gradients or telejax.local_update, or a task without telejax.privacy"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("losses", "gradient_norms"):
            raise AttributeError(name)
        return getattr(self.task, name)


def privacy_of(task: Task) -> Privacy | None:
    """How the gradients of a task are protected; None where they are not."""
    found: Privacy | None = OptionalMembers.of(task).privacy
    return found


def protected(task: Any, privacy: Privacy | None) -> Any:
    """The task with other numbers of its privacy, or itself where it has none."""
    if privacy is None:
        return task
    return (
        replace(task, privacy=privacy)
        if isinstance(task, Private)
        else replace(task, task=protected(task.task, privacy))
    )


def unprotected(task: Any) -> Any:
    """The task of which a private one was made, or itself."""
    if privacy_of(task) is None:
        return task
    return task.task if isinstance(task, Private) else unprotected(task.task)


def sealed(task: Task) -> Task:
    """The task, which does not tell its losses where it is private."""
    return task if privacy_of(task) is None else Sealed(task)


def begun(state: State, algorithm: Algorithm, task: Task) -> State:
    """The first state, with what its gradients have spent; as it is where the task is not private."""
    if (privacy := privacy_of(task)) is None:
        return state
    first = algorithm.first_gradients(task.nodes)[0]
    uses = _added(jnp.zeros(task.nodes, jnp.int32), state.holders, _share(algorithm, first, len(state.holders)))
    batch = batch_of(unprotected(task)) if privacy.level == "sample" else None
    return state.replace(spent=Spent(uses, jnp.asarray(privacy.noise_multiplier, jnp.result_type(float)), batch))


def counted(state: State, info: Info, algorithm: Algorithm, task: Task) -> State:
    """The state after a round, with what its gradients have spent."""
    if state.spent is None:
        return state
    share = lambda: _share(algorithm, algorithm.gradients(task.nodes)[0], len(info.holders))
    steps = jnp.asarray(share() if info.steps is None else info.steps, jnp.int32)
    if info.skipped is not None:
        steps = jnp.maximum(steps - info.skipped, 0)
    known: Spent = state.spent
    uses = _added(known.uses, info.holders, steps)
    return state.replace(spent=Spent(uses, known.noise_multiplier, known.batch))


def check_private(algorithm: Algorithm, task: Task, network: Network) -> None:
    """Raise a ValueError where what a private run spends would not be known, or its losses are told."""
    if privacy_of(task) is None:
        return
    package()
    groups = algorithm.groups(task.nodes)
    if len(groups) > 1:
        raise ValueError(
            f"task is private, and {algorithm.name} has {len(groups)} groups of slots, which use the same data side "
            "by side; run them one after another, by a method with one group, and add what they spend"
        )
    algorithm.check_privacy()
    if network.activation is not None and network.activation.asks_losses:
        raise ValueError(
            f"task is private, and activation is {short(network.activation)}, which asks for losses, which are not; "
            "give another activation, or a task without telejax.privacy"
        )


def _share(algorithm: Algorithm, gradients: int, slots: int) -> int:
    """Gradients of each slot's holder."""
    if gradients % slots:
        raise ValueError(
            f"task is private, and {algorithm.name} computes {gradients} gradients at {slots} slots, of which nobody "
            "knows whose they are; report them, by network.report(state, steps=...) or Info(steps=...)"
        )
    return gradients // slots


def _added(
    uses: Int[Array, " nodes"], holders: Int[Array, " slots"], steps: int | Int[Array, " slots"]
) -> Int[Array, " nodes"]:
    """Uses of the holders added; a slot that nobody holds uses nothing."""
    return uses.at[jnp.where(holders < 0, len(uses), holders)].add(steps, mode="drop")


@dataclass(frozen=True)
class Accounting:
    """From the uses of every node to epsilon.

    Args:
        privacies: of each setting.
        batch: samples of a gradient; None at the level of nodes.
        samples: of each node, likewise.
    """

    privacies: Sequence[Privacy]
    batch: int | None
    samples: np.ndarray | None

    @staticmethod
    def of(tasks: Sequence[Task]) -> "Accounting | None":
        """That of the tasks of all settings; None where they are not private."""
        privacies = [one for one in map(privacy_of, tasks) if one is not None]
        if not privacies:
            return None
        if privacies[0].level == "node":
            return Accounting(privacies, None, None)
        return Accounting(
            privacies, batch_of(unprotected(tasks[0])), np.asarray(OptionalMembers.of(tasks[0]).samples_per_node)
        )

    def epsilon(
        self, uses: Int[np.ndarray, "seeds settings groups nodes"]
    ) -> Float[np.ndarray, "seeds settings groups"]:
        """Of every run, that of the node with the largest: who worked most, of those with as many samples."""
        told = np.zeros(uses.shape[:-1])
        for place in np.ndindex(*told.shape):
            told[place] = max(self._of_run(self.privacies[place[1]], uses[place]))
        return told

    def _of_run(self, privacy: Privacy, uses: Int[np.ndarray, " nodes"]) -> list[float]:
        spends = partial(spent, float(privacy.noise_multiplier), level=privacy.level, delta=privacy.delta)
        if self.samples is None:
            return [spends(int(uses.max()), batch=None, samples=None)]
        most = {int(size): int(uses[self.samples == size].max()) for size in np.unique(self.samples)}
        return [spends(count, batch=self.batch, samples=size) for size, count in most.items()]
