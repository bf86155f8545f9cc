"""Gradients that are private before anybody else sees them: clipped, then noised, at the node itself::

    sample level:  g = (sum_i min(1, C / ||g_i||) g_i + z C N(0, I)) / batch      (M. Abadi et al. 2016)
    node level:    g = min(1, C / ||g||) g + z C N(0, I)                          (H. B. McMahan et al. 2018)

arXiv 1607.00133 and 1710.06963. A method sees such gradients alone, so what it sends, remembers and hands over, and the
state of its optimizer, follows from them (post-processing).
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from telejax.errors import POSITIVE, Bound, check_kind, check_name, short
from telejax.random.threefry import fold_in
from telejax.tasks.base import OfTask, OptionalMembers, Task, gradient_of

Level = Literal["sample", "node"]

DELTA = Bound(0.0, most=1.0, exclusive=True, below=True)
NOISE = np.uint32(2**31 + 2**23)
"""Folded into the key of a gradient for its noise, as nothing else is: see ``telejax.network.draws``."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Privacy:
    """See :func:`privacy`."""

    bounds: ClassVar[dict[str, Bound]] = {"clip": POSITIVE, "noise_multiplier": POSITIVE}

    clip: float
    noise_multiplier: float
    level: Level = field(metadata={"static": True})
    delta: float = field(metadata={"static": True})

    def __call__(self, task: Task) -> "Private":
        """The task with private gradients.

        Raises:
            ValueError: a task without per-sample losses at the level of samples, or without the number of samples of
                each node; a batch above the samples of a node; a task that is private already.
        """
        check_kind("task", task, Task, "give a task, such as telejax.tasks.digits()")
        members = OptionalMembers.of(task)
        if members.privacy is not None:
            raise ValueError(f"task is private already, by {members.privacy}; give the task that it was made of")
        if self.level == "sample":
            _check_samples(task, members)
        return Private(task, self)

    def describe(self) -> dict[str, Any]:
        """Plain values, and what epsilon is meant by."""
        numbers = {"clip": float(self.clip), "noise_multiplier": float(self.noise_multiplier)}
        return {**numbers, "level": self.level, "delta": self.delta, "epsilon": statement(self.level, self.delta)}


def statement(level: Level, delta: float) -> str:
    """Adjacency and threat model of every epsilon: what it holds for, and against whom.

    >>> statement("sample", 1e-5)
    'delta 1e-05, one sample of a node replaced, observer of all messages who knows who is active'
    """
    replaced = "one sample of a node replaced" if level == "sample" else "all data of one node replaced"
    return f"delta {delta:g}, {replaced}, observer of all messages who knows who is active"


def privacy(*, clip: float, noise_multiplier: float, level: Level = "sample", delta: float = 1e-5) -> Privacy:
    """Differential privacy for any method: ``tj.privacy(clip=1.0, noise_multiplier=2.0)(task)`` is the private task.

    The history of a run gets a column ``epsilon``: that of the node that has worked most, from what was really drawn,
    at ``delta``, for one sample of a node replaced by another (or all its data), against an observer of all messages
    who knows who is active. Nothing else is claimed: the columns that tell of the data (``loss``, ``accuracy``), and a
    choice made by them, are the simulator's view, which no node has. ``telejax.theory.epsilon`` tells it in advance,
    ``telejax.theory.noise_for`` the noise for an epsilon. Needs ``telejax[privacy]``.

    Args:
        clip: C, the largest norm of a sample's gradient, or at the level of nodes of a node's; may be tuned.
        noise_multiplier: z; noise of standard deviation z C on the sum of a batch, or on a node's gradient; may be
            tuned.
        level: "sample": batches are drawn without replacement and the gradients of samples clipped; "node": the
            gradient of a node's batch is clipped.
        delta: at which epsilon is told, above 0 and below 1; well below one in the samples (or nodes).

    Raises:
        ValueError: a number out of its range, an unknown level.

    >>> import optax, telejax as tj
    >>> task = tj.privacy(clip=1.0, noise_multiplier=20.0)(tj.tasks.digits(nodes=50))
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> run = tj.simulate(tj.teleportation(active=4, topology="ring", optimizer=sgd), task, rounds=20)
    >>> run.history["epsilon"][0], 0 < run.history["epsilon"][-1] < 2
    (0.0, True)
    >>> run.config["privacy"]["epsilon"]
    'delta 1e-05, one sample of a node replaced, observer of all messages who knows who is active'
    """
    for name, value in (("clip", clip), ("noise_multiplier", noise_multiplier)):
        POSITIVE.check(name, value)
    check_name("level", level, get_args(Level))
    return Privacy(float(clip), float(noise_multiplier), level, check_delta(delta))


def check_delta(delta: Any) -> float:
    """Return delta, or raise a ValueError where it is none."""
    return DELTA.check("delta", delta)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Private(OfTask):
    """A task whose gradients are private; all else is the task's own."""

    task: Any
    privacy: Privacy

    def gradient(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Any:
        """The private gradient of a node, like the parameters; the noise is keyed as the batch is."""
        if self.privacy.level == "sample":
            total, batch = clipped_sum(self.task, params, node, key, self.privacy.clip)
        else:
            whole, batch = gradient_of(self.task)(params, node, key), 1
            factor = _factor(tree_norm(whole), self.privacy.clip)
            total = jax.tree.map(lambda x: factor.astype(x.dtype) * x, whole)
        std = self.privacy.noise_multiplier * self.privacy.clip
        noise = normal_like(fold_in(key, NOISE), total)
        return jax.tree.map(lambda x, e: ((x + std * e) / batch).astype(x.dtype), total, noise)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("losses", "gradient_norms"):
            raise AttributeError(name)
        own = getattr(self.task, name)
        if name == "label_flipped":  # which makes another task, private too
            return lambda nodes: replace(self, task=own(nodes))
        return own


def clipped_sum(
    task: Any, params: Any, node: Int[Array, ""], key: Key[Array, ""], clip: float | Array
) -> tuple[Any, int]:
    """``sum_i min(1, C / ||g_i||) g_i`` over the samples i of a batch, and how many there are.

    Found from the norms alone, as the gradient of ``sum_i min(1, C / ||g_i||) loss_i``.
    """
    losses = lambda params: task.losses(params, node, key)
    norms = OptionalMembers.of(task).gradient_norms
    found = _norms_one_by_one(losses, params) if norms is None else norms(params, node, key)
    factors = jax.lax.stop_gradient(_factor(found, clip))

    def weighted(params: Any) -> Float[Array, ""]:
        each = losses(params)
        return jnp.sum(factors.astype(each.dtype) * each)

    return jax.grad(weighted)(params), len(found)


def tree_norm(tree: Any) -> Float[Array, ""]:
    """``||x||`` of all leaves together, float32 at least.

    >>> float(tree_norm({"a": jnp.array([3.0]), "b": jnp.array([[4.0]])}))
    5.0
    """
    wide = lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.sqrt(sum(jnp.sum(jnp.square(wide(x))) for x in jax.tree.leaves(tree)))


def _norms_one_by_one(losses: Any, params: Any) -> Float[Array, " batch"]:
    """The norm of each loss's gradient, one pass backwards over the whole batch for each."""
    values, back = jax.vjp(losses, params)
    return jax.lax.map(lambda one: tree_norm(back(one)[0]), jnp.eye(len(values), dtype=values.dtype))


def _factor(norm: Float[Array, "..."], clip: float | Array) -> Float[Array, "..."]:
    """``min(1, C / norm)``, 1 where the norm is 0."""
    return jnp.minimum(1.0, clip / jnp.where(norm > 0, norm, clip))


def normal_like(key: Key[Array, ""], tree: Any) -> Any:
    """Independent normal numbers in the shapes of a tree, float32 or wider.

    One draw for all leaves, which compiles in a tenth of the time of one for each; by jax.random.normal, not by the
    faster ``fast_normal``, whose law is off by 2e-4, more than a delta allows.
    """
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([x.size for x in leaves])
    widest = jnp.result_type(jnp.float32, *leaves)
    parts = jnp.split(jax.random.normal(key, (int(ends[-1]),), widest), ends[:-1].tolist())
    return jax.tree.unflatten(structure, [part.reshape(x.shape) for part, x in zip(parts, leaves, strict=True)])


def batch_of(task: Task) -> int:
    """Samples of a gradient of a task with per-sample losses."""
    params, key = jax.eval_shape(task.init, jax.random.key(0)), jax.random.key(0)
    losses = OptionalMembers.of(task).losses
    assert losses is not None
    shape = getattr(jax.eval_shape(losses, params, jnp.int32(0), key), "shape", None)
    if shape is None or len(shape) != 1 or shape[0] < 1:
        raise ValueError(f"task.losses returned {short(shape)}; return one loss a sample, of shape (batch,)")
    return int(shape[0])


def _check_samples(task: Task, members: OptionalMembers) -> None:
    """Raise a ValueError unless a task draws batches of samples, of which every node has enough."""
    if members.losses is None:
        raise ValueError(
            f"level is 'sample', and task {members.name!r} has no losses; give it losses(params, node, key) -> "
            "(batch,), the loss of each sample of a batch drawn without replacement, or take level='node'"
        )
    if members.samples_per_node is None:
        raise ValueError(
            f"level is 'sample', and task {members.name!r} has no samples_per_node; give it, an integer a node, or "
            "take level='node'"
        )
    batch, fewest = batch_of(task), int(np.min(np.asarray(members.samples_per_node)))
    if batch > fewest:
        raise ValueError(
            f"batch is {batch} and a node has {fewest} samples, of which none is drawn twice; give a batch of at most "
            f"{fewest}, or level='node'"
        )
