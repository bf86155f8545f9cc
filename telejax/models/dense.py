"""Fully connected models."""

from collections.abc import Sequence

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from telejax.errors import check_integer, check_list


class MLP(nn.Module):
    """Hidden layers with ReLU, then one output a class; without hidden layers, logistic regression.

    Inputs of shape (batch, ...) are flattened; outputs are logits of shape (batch, classes).
    """

    classes: int
    hidden: Sequence[int] = (64,)

    @nn.compact
    def __call__(self, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        x = inputs.reshape(inputs.shape[0], -1)
        for width in check_list("hidden", self.hidden, "give a list of widths, such as (64,)"):
            x = jax.nn.relu(nn.Dense(check_integer("hidden", width, minimum=1))(x))
        return nn.Dense(check_integer("classes", self.classes, minimum=1))(x)


def logistic_regression(classes: int) -> MLP:
    """A linear model with one output a class.

    >>> import telejax as tj
    >>> task = tj.tasks.classification(tj.data.digits(), nodes=5, model=tj.models.logistic_regression(10))
    >>> task.nodes
    5
    """
    return MLP(check_integer("classes", classes, minimum=1), hidden=())
