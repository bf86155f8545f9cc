"""What a slot does in a local step, and arithmetic of parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from telejax.errors import check_integer, short
from telejax.mixing.rules import Rule
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import Params

LocalStep = Callable[[optax.GradientTransformation, Params, Params, optax.OptState, Any], tuple[Params, optax.OptState]]
"""``step(transformation, gradient, params, opt_state, given)`` of one slot: its new parameters and optimizer state."""


def stepped(
    transformation: optax.GradientTransformation, grads: Params, params: Params, opt_state: optax.OptState
) -> tuple[Params, optax.OptState]:
    """The optimizer's step on one copy of the parameters.

    Raises:
        ValueError: its updates would be broadcast, or have another structure.
    """
    change, opt_state = transformation.update(grads, opt_state, params)
    shapes = lambda tree: [(path, jnp.shape(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    given, wanted = shapes(change), shapes(params)
    if given != wanted:
        raise ValueError(
            f"optimizer returned updates of shapes {[shape for _, shape in given]} for parameters of shapes "
            f"{[shape for _, shape in wanted]}; let its update return one array like each parameter"
        )
    return optax.apply_updates(params, change), opt_state


def corrected(
    transformation: optax.GradientTransformation, grads: Params, params: Params, opt_state: Any, given: Params
) -> tuple[Params, optax.OptState]:
    """A local step along the gradient and what was given to correct it."""
    return stepped(transformation, combined(lambda g, c: g + c, grads, given), params, opt_state)


def near(mu: float | Array) -> LocalStep:
    """A local step on the loss plus ``mu / 2 ||x - given||^2``."""

    def step(
        transformation: optax.GradientTransformation, grads: Params, params: Params, opt_state: Any, given: Params
    ) -> tuple[Params, optax.OptState]:
        direction = combined(lambda g, x, given: g + mu * (x - given), grads, params, given)
        return stepped(transformation, direction, params, opt_state)

    return step


def served(
    optimizer: Optimizer | FixedOptimizer, before: Params, mean: Params, server: optax.OptState
) -> tuple[Params, optax.OptState]:
    """The step of a server's optimizer along what its clients have moved, at every slot.

    Args:
        optimizer: of the server.
        before: leaves (slots, ...), the server's model, the same at every slot.
        mean: leaves (slots, ...), that of its clients' models.
        server: the state of its optimizer, for one copy of the parameters.
    """
    one = lambda tree: jax.tree.map(lambda x: x[0], tree)
    moved = combined(lambda before, mean: before - mean, one(before), one(mean))
    new, server = stepped(optimizer.build(), moved, one(before), server)
    return jax.tree.map(lambda x, all_x: jnp.broadcast_to(x, all_x.shape), new, mean), server


def combined(function: Callable[..., Array], first: Params, *others: Params) -> Params:
    """``function`` of the leaves of trees that are alike, in the dtype of the first.

    >>> import jax.numpy as jnp
    >>> combined(lambda x, y: x - 0.5 * y, {"a": jnp.ones(2)}, {"a": jnp.ones(2)})["a"].tolist()
    [0.5, 0.5]
    """
    return jax.tree.map(lambda x, *rest: function(x, *rest).astype(x.dtype), first, *others)


def zeros(params: Params) -> Params:
    """Zeros like the parameters."""
    return jax.tree.map(jnp.zeros_like, params)


def with_step_size(optimizer: Any, called: str) -> Optimizer:
    """The optimizer, or a ValueError where its step size, by which a method divides, is no number.

    Args:
        optimizer: that was given.
        called: the method.
    """
    made = as_optimizer(optimizer)
    if not isinstance(made, Optimizer) or "learning_rate" not in made.numbers:
        raise ValueError(
            f"optimizer is {made.describe()}, and {called} divides by its step size; give a number, as in "
            "telejax.optimizer(optax.sgd, learning_rate=0.1)"
        )
    return made


def per_step_size(optimizer: Optimizer, steps: int = 1) -> Array:
    """``1 / (steps eta)``, or 0 where eta is 0, as then nothing moves."""
    eta = jnp.asarray(optimizer.learning_rate)
    return jnp.where(eta > 0, 1 / (steps * jnp.where(eta > 0, eta, 1)), 0)


def extras(local_steps: int, aggregation: Rule | None, hand_off: object = None) -> str:
    """What the name of a method says of what is not as usual in it.

    >>> extras(2, None, "median of 3")
    ', 2 local, hand-off median of 3'
    """
    steps = f", {local_steps} local" if local_steps > 1 else ""
    fetched = "" if hand_off is None else f", hand-off {hand_off}"
    return steps + fetched + ("" if aggregation is None else f", {aggregation}")


def check_local_steps(count: int) -> int:
    """Steps of a node in a round, or a ValueError: they are counted in int32."""
    if (steps := check_integer("local_steps", count, minimum=1)) > 2**31 - 1:
        raise ValueError(f"local_steps is {short(count)}; give at most 2^31 - 1, they are counted in int32")
    return steps
