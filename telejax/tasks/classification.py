"""Classification of labelled samples that are dealt out over the nodes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from telejax.data import datasets, partition
from telejax.data.datasets import Dataset
from telejax.errors import check_integer, check_name
from telejax.models import MLP, logistic_regression

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda classes: MLP(classes, hidden=(64,)),
    "logistic": logistic_regression,
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Samples:
    """Inputs (samples, ...) and int32 labels (samples,) on the device."""

    inputs: Float[Array, "samples ..."]
    labels: Int[Array, " samples"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Classification:
    """See :func:`classification`."""

    nodes: int = field(metadata={"static": True})
    batch: int = field(metadata={"static": True})
    model: nn.Module = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    """Name of the data set."""
    table: Int[Array, "nodes samples_per_node"]
    """The samples of each node, as rows of ``train``."""
    train: Samples
    validation: Samples
    test: Samples

    def init(self, key: Key[Array, ""]) -> Any:
        """The model's parameters."""
        return self.model.init(key, self.train.inputs[:1])["params"]

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """Mean cross-entropy of a batch of the node's samples, drawn with replacement."""
        picks = jax.random.randint(key, (self.batch,), 0, self.table.shape[1])
        chosen = self.table[node, picks]
        return self._cross_entropy(params, Samples(self.train.inputs[chosen], self.train.labels[chosen]))[0]

    def evaluate(self, params: Any) -> dict[str, Float[Array, ""]]:
        """``loss`` over all training samples that nodes hold; ``validation_loss``, ``validation_accuracy``;
        ``accuracy`` on the test set."""
        held = self.table.reshape(-1)
        loss, _ = self._cross_entropy(params, Samples(self.train.inputs[held], self.train.labels[held]))
        validation_loss, validation_accuracy = self._cross_entropy(params, self.validation)
        _, accuracy = self._cross_entropy(params, self.test)
        return {
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }

    def _cross_entropy(self, params: Any, samples: Samples) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean loss and accuracy over the samples."""
        logits: Any = self.model.apply({"params": params}, samples.inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, samples.labels)
        return jnp.mean(losses), jnp.mean(jnp.argmax(logits, axis=-1) == samples.labels)


def classification(
    data: Dataset,
    *,
    nodes: int,
    alpha: float | None = None,
    model: str | nn.Module = "mlp",
    batch: int = 8,
    seed: int = 0,
) -> Classification:
    """Train a model on labelled data that is dealt out over the nodes in equal shares.

    Args:
        data: such as ``telejax.data.digits()``.
        nodes: number of nodes, at most the number of training samples.
        alpha: concentration of the Dirichlet split over labels; None deals the samples out iid.
        model: "mlp" (64 hidden units), "logistic", or a flax.linen module from inputs to logits.
        batch: samples a gradient, drawn with replacement from the node's own.
        seed: of the split over nodes.

    Raises:
        ValueError: alpha not above 0, more nodes than samples, an unknown model.

    >>> import telejax as tj
    >>> task = tj.tasks.classification(tj.data.digits(), nodes=100, alpha=0.1)
    >>> task.table.shape
    (100, 14)
    """
    batch = check_integer("batch", batch, minimum=1)
    seed = check_integer("seed", seed, minimum=0)
    if isinstance(model, str):
        model = MODELS[check_name("model", model, MODELS)](data.classes)
    labels = data.train.labels
    table = partition.iid(labels, nodes, seed) if alpha is None else partition.dirichlet(labels, nodes, alpha, seed)
    train, validation, test = (
        Samples(jnp.asarray(split.inputs, jnp.result_type(float)), jnp.asarray(split.labels, jnp.int32))
        for split in (data.train, data.validation, data.test)
    )
    return Classification(nodes, batch, model, data.name, jnp.asarray(table, jnp.int32), train, validation, test)


def digits(
    *,
    nodes: int = 100,
    alpha: float | None = 0.1,
    model: str | nn.Module = "mlp",
    batch: int = 8,
    seed: int = 0,
) -> Classification:
    """The embedded digits over ``nodes`` nodes; arguments as for :func:`classification`.

    >>> import telejax as tj
    >>> tj.tasks.digits(nodes=50, alpha=None).table.shape
    (50, 28)
    """
    return classification(datasets.digits(), nodes=nodes, alpha=alpha, model=model, batch=batch, seed=seed)
