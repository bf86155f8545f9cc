"""Classification of labelled samples that are partitioned over the nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key
from numpy.typing import ArrayLike, NDArray

from telejax.backend.batched_map import batched_map, measured_batch, sum_over_batches
from telejax.backend.host import check_memory
from telejax.backend.memory import free_bytes
from telejax.data import datasets, partition
from telejax.data.augmentation import Augmentation, as_augmentation, check_keeps_shape
from telejax.data.datasets import Dataset
from telejax.errors import check_integer, check_kind, check_list, is_kind, plain, short
from telejax.models.network import Network, as_network, check_fits
from telejax.models.sample_norms import sample_norms
from telejax.random.sampling import sample_subset
from telejax.random.threefry import fold_in, integers, split
from telejax.tasks.evaluation_subset import EvaluationSubset, evaluation_subset, owners_of
from telejax.tasks.privacy import tree_norm

Model = str | nn.Module | Callable[..., Any]

EVALUATED = 10_000  # samples of a split: the whole test set of Fashion-MNIST and CIFAR-10


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Samples:
    """Inputs (samples, ...), float or uint8, and int32 labels (samples,) on the device."""

    inputs: Array
    labels: Int[Array, " samples"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Classification:
    """See :func:`classification`."""

    nodes: int = field(metadata={"static": True})
    batch: int = field(metadata={"static": True})
    network: Network = field(metadata={"static": True})
    augment: Augmentation | None = field(metadata={"static": True})
    node_batch: int | None = field(metadata={"static": True})
    """Nodes whose gradients are computed side by side; None for the backend's choice."""
    name: str = field(metadata={"static": True})
    """Name of the data set."""
    table: Int[Array, "nodes samples_per_node"]
    """The samples of each node, as rows of ``samples``; -1 at the end of shorter rows."""
    sizes: Int[Array, " nodes"] | None
    """Samples of each node where they differ."""
    mean: Float[Array, " channels"]
    std: Float[Array, " channels"]
    samples: Samples
    """Training, validation and test samples, one after the other, so that one pass judges a model on all."""
    subset: EvaluationSubset
    test_owners: Int[Array, " tests"] | None
    """Of each test sample that judges a model, the node whose own it is."""

    @property
    def samples_per_node(self) -> Int[Array | np.ndarray, " nodes"]:
        """How many samples each node has."""
        return np.full(self.nodes, self.table.shape[1]) if self.sizes is None else self.sizes

    def init(self, key: Key[Array, ""]) -> Any:
        """The model's parameters."""
        return self.network.init(key, self._read(self.samples.inputs[:1]))

    def loss(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """Mean cross-entropy of a batch of the node's samples, drawn with replacement and augmented."""
        held = self.table.shape[1] if self.sizes is None else self.sizes[node]
        chosen = self.table[node, integers(key, (self.batch,), held)]
        inputs = self._read(self.samples.inputs[chosen])
        if self.augment is not None:
            inputs = self.augment(fold_in(key, 1), inputs)
        return jnp.mean(_cross_entropy(self.network.apply(params, inputs), self.samples.labels[chosen]))

    def losses(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, " batch"]:
        """Cross-entropy of each sample of a batch of the node's, drawn without replacement, each augmented alone."""
        inputs, labels = self._distinct(node, key)
        return _cross_entropy(self.network.apply(params, inputs), labels)

    def gradient_norms(self, params: Any, node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, " batch"]:
        """Norms of the gradients of :meth:`losses`."""
        inputs, labels = self._distinct(node, key)
        norms = sample_norms(self.network, params, inputs, partial(_cross_entropy, labels=labels))
        if norms is not None:
            return norms
        own = lambda x, label: jax.grad(lambda params: _cross_entropy(self.network.apply(params, x[None]), label)[0])
        one = lambda sample: tree_norm(own(sample[0], sample[1][None])(params))
        return jax.lax.map(one, (inputs, labels))

    def _distinct(
        self, node: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Float[Array, "batch ..."], Int[Array, " batch"]]:
        """Inputs and labels of a batch without repetitions; none is augmented by what is drawn for another."""
        held = self.table.shape[1] if self.sizes is None else self.sizes[node]
        chosen = self.table[node, sample_subset(key, held, self.batch)]
        inputs = self._read(self.samples.inputs[chosen])
        if self.augment is not None:
            keys = split(fold_in(key, 1), self.batch)
            inputs = jax.vmap(lambda key, x: self.augment(key, x[None])[0])(keys, inputs)  # type: ignore[misc]
        return inputs, self.samples.labels[chosen]

    def evaluate(self, params: Any) -> dict[str, Float[Array, ""]]:
        """``loss`` over the training samples that nodes hold, every node counting the same; ``validation_loss``,
        ``validation_accuracy``; ``accuracy`` on the test set; of each split so many samples as ``evaluated`` says."""
        totals = sum_over_batches(partial(self._scores, params), self.subset)
        totals = totals / jnp.sum(
            self.subset.weights, axis=0, keepdims=True
        )  # whole numbers where nodes are equal: exact
        (loss, validation_loss, _), (_, validation_accuracy, accuracy) = totals
        return {
            "loss": loss,
            "accuracy": accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
        }

    def accuracy_at(
        self, models: Any, slots: Int[Array | np.ndarray, " some"], nodes: Int[Array | np.ndarray, " some"]
    ) -> Float[Array, " some"]:
        """The accuracy of the model of a slot on data like a node's own, see :func:`telejax.tasks.local_accuracy`.

        Args:
            models: leaves (slots, ...);
            slots: whose models are judged,
            nodes: each on the data of one of these.
        """
        rows = self.subset.rows[-self.subset.tests :]
        labels = self.samples.labels[rows]
        part = labels if self.test_owners is None else self.test_owners
        parts = self._outputs if self.test_owners is None else self.nodes
        count = jnp.zeros(parts).at[part].add(1)

        def right(tested: tuple[Array, ...], model: Any) -> Float[Array, " parts"]:
            rows, labels, part, weight = tested
            logits = self.network.apply(model, self._read(self.samples.inputs[rows]))
            return jnp.zeros(parts).at[part].add(weight * (jnp.argmax(logits, axis=-1) == labels))

        tested = rows, labels, part, jnp.ones(len(rows))
        share = lambda model: sum_over_batches(partial(right, model=model), tested) / jnp.maximum(count, 1)
        right_share = batched_map(share, models)[slots]
        if self.test_owners is not None:
            return right_share[jnp.arange(len(nodes)), nodes]
        held = self.table[nodes]
        own = self.samples.labels[held]
        counted = jnp.zeros(right_share.shape).at[jnp.arange(len(nodes))[:, None], own].add(held >= 0)
        known = counted * (count > 0)[None]
        total = jnp.sum(known, axis=1)
        return jnp.sum(known * right_share, axis=1) / jnp.where(total > 0, total, jnp.nan)

    @property
    def _outputs(self) -> int:
        """Of the model: the number of classes."""
        model = jax.eval_shape(self.init, jax.random.key(0))
        logits = lambda model: self.network.apply(model, self._read(self.samples.inputs[:1]))
        return int(jax.eval_shape(logits, model).shape[-1])

    def label_flipped(self, nodes: NDArray[np.integer]) -> "Classification":
        """See :func:`telejax.tasks.label_flipped`."""
        held = np.asarray(self.table)[nodes]
        rows = held[held >= 0]
        labels, weights = np.array(self.samples.labels), np.array(self.subset.weights)
        labels[rows] = labels.max() - labels[rows]
        weights[np.isin(np.asarray(self.subset.rows), rows), 0] = 0
        samples = replace(self.samples, labels=jnp.asarray(labels))
        return replace(self, samples=samples, subset=replace(self.subset, weights=jnp.asarray(weights)))

    def _scores(self, params: Any, subset: EvaluationSubset) -> Float[Array, "2 3"]:
        """Weighted sums of loss and of right answers, for each split."""
        labels = self.samples.labels[subset.rows]
        logits = self.network.apply(params, self._read(self.samples.inputs[subset.rows]))
        scores = jnp.stack([_cross_entropy(logits, labels), jnp.argmax(logits, axis=-1) == labels])
        return jnp.matmul(scores, subset.weights, precision="highest")

    def _read(self, inputs: Array) -> Float[Array, "batch ..."]:
        """Floats, normalised; uint8 is stored as it is and read as 0 to 1."""
        if inputs.dtype == jnp.uint8:
            inputs = inputs / jnp.asarray(255, self.mean.dtype)
        per_channel = lambda x: x.reshape((1,) * (inputs.ndim - x.ndim) + x.shape)
        return (inputs - per_channel(self.mean)) / per_channel(self.std)


def classification(
    data: Dataset,
    *,
    nodes: int | None = None,
    alpha: float | None = None,
    partition: ArrayLike | None = None,
    placement: str = "shuffled",
    model: Model = "mlp",
    batch: int = 8,
    augment: str | Augmentation | None = None,
    evaluated: int | Sequence[int] | None = None,
    test_owners: ArrayLike | None = None,
    node_batch: int | Literal["measure"] | None = None,
    seed: int = 0,
) -> Classification:
    """Train a model on labelled data that is partitioned over the nodes.

    Args:
        data: such as ``telejax.data.digits()``, ``fashion_mnist()``, ``cifar10()`` or ``from_arrays(...)``.
        nodes: number of nodes, at most the number of training samples; taken from ``partition`` where that is given.
        alpha: concentration of the Dirichlet split over labels, in equal shares; None partitions the samples iid.
        partition: instead, a table of ``telejax.data`` (``shards``, ``dirichlet_free``, ``by_assignment``) or any
            integers of shape (nodes, samples of a node), the training samples of each node, -1 at the end of
            shorter rows. All nodes count the same, whatever their size.
        placement: "shuffled" leaves the nodes in the order dealt; "sorted" orders them by their mean label.
        model: "mlp" (64 hidden units), "logistic", "lenet", "vgg", a flax.linen module from inputs to logits, or a
            function from ``nnx.Rngs`` to an nnx module.
        batch: samples a gradient, drawn with replacement from the node's own.
        augment: "crop", "flip", "crop+flip", or a function of a key and a batch of (normalised) inputs.
        evaluated: at most so many samples of each split judge a model, drawn once with ``seed``, or three such numbers
            (training, validation, test); by default 10 000, which is all of the usual test sets, and of training
            sets up to that size. Evaluation then is exact.
        test_owners: of each test sample the node whose own it is, (samples,), at least one for each node: the row of
            ``partition`` or, where there is none, of the task's ``table``; read by
            :func:`telejax.tasks.local_accuracy`. By default all nodes share the test samples.
        node_batch: nodes whose gradients are computed side by side; by default the backend's choice, "measure" times
            it now (about a minute for a network on a CPU).
        seed: of the split over nodes and of the samples evaluated.

    Raises:
        ValueError: alpha not above 0, more nodes than samples, an unknown model, inputs that the model does not take,
            a table that deals a sample out twice, a node that owns no test sample; before anything is compiled.

    >>> import telejax as tj
    >>> task = tj.tasks.classification(tj.data.digits(), nodes=100, alpha=0.1)
    >>> task.table.shape
    (100, 14)
    """
    check_kind("data", data, Dataset, "give a data set, such as telejax.data.digits() or telejax.data.from_arrays(...)")
    batch = _checked_batch_size(batch, data)
    seed = check_integer("seed", seed, minimum=0)
    nodes = None if nodes is None else check_integer("nodes", nodes, minimum=1)
    measure = is_kind(node_batch, str) and plain(node_batch) == "measure"  # an array would compare its elements
    most = _checked_evaluated(EVALUATED if evaluated is None else evaluated)
    _check_samples(data)
    network = as_network(model, data.classes)
    check_fits(network, data.train.inputs.shape[1:], data.classes)
    augmentation = as_augmentation(augment)
    if augmentation is not None:
        check_keeps_shape(augmentation, data.train.inputs.shape[1:])
    table, rows = _partitioned(data.train.labels, nodes, alpha, partition, placement, seed)
    sizes = (table >= 0).sum(axis=1)
    real = jnp.result_type(float)
    subset = evaluation_subset(data, table, most, seed)
    task = Classification(
        nodes=len(table),
        batch=batch,
        network=network,
        augment=augmentation,
        node_batch=None if measure else _checked_batch(node_batch),
        name=data.name,
        table=jnp.asarray(table, jnp.int32),
        sizes=None if (sizes == sizes[0]).all() else jnp.asarray(sizes, jnp.int32),
        mean=jnp.asarray(data.mean, real),
        std=jnp.asarray(data.std, real),
        samples=_on_device(data),
        subset=subset,
        test_owners=None if test_owners is None else owners_of(test_owners, len(table), data, subset, rows),
    )
    return replace(task, node_batch=_measured_batch(task)) if measure else task


def digits(
    *,
    nodes: int = 100,
    alpha: float | None = 0.1,
    model: Model = "mlp",
    batch: int = 8,
    seed: int = 0,
) -> Classification:
    """The embedded digits over ``nodes`` nodes; arguments as for :func:`classification`.

    >>> import telejax as tj
    >>> tj.tasks.digits(nodes=50, alpha=None).table.shape
    (50, 28)
    """
    return classification(datasets.digits(), nodes=nodes, alpha=alpha, model=model, batch=batch, seed=seed)


def _check_samples(data: Dataset) -> None:
    """Raise a ValueError unless every split has samples."""
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if not len(part):
            raise ValueError(f"data has no samples in {name}; give at least one, a mean over none is no number")


def _partitioned(
    labels: NDArray[np.int32],
    nodes: int | None,
    alpha: float | None,
    given: ArrayLike | None,
    placement: str,
    seed: int,
) -> tuple[partition.Table, NDArray[np.int64] | None]:
    """The samples of each node and, where a table was given, its rows in the order of the nodes."""
    if given is not None:
        table = partition.check_table(given, len(labels))
        if alpha is not None or nodes not in (None, len(table)):
            raise ValueError(
                f"partition has {len(table)} rows, nodes is {nodes} and alpha {alpha}; leave nodes and alpha out"
            )
    elif nodes is None:
        raise ValueError("nodes is None; give their number, or a partition")
    elif alpha is None:
        table = partition.iid(labels, nodes, seed)
    else:
        table = partition.dirichlet(labels, nodes, alpha, seed)
    order = partition.order(table, labels, placement)
    return table[order], None if given is None else order


def _on_device(data: Dataset) -> Samples:
    splits = (data.train, data.validation, data.test)
    inputs = np.concatenate([split.inputs for split in splits])
    kept = jnp.uint8 if inputs.dtype == np.uint8 else jnp.result_type(float)
    return Samples(jnp.asarray(inputs, kept), jnp.asarray(np.concatenate([s.labels for s in splits]), jnp.int32))


def _checked_batch_size(batch: Any, data: Dataset) -> int:
    """The samples of a gradient, of which one node's fit in memory."""
    batch = check_integer("batch", batch, minimum=1)
    sample = 4 * int(np.prod(data.train.inputs.shape[1:]))
    check_memory(f"batch is {short(batch)}, which", batch * sample, "give fewer samples a gradient", free=free_bytes())
    return batch


def _checked_evaluated(evaluated: Any) -> list[int]:
    given = check_list("evaluated", evaluated, "give three") if is_kind(evaluated, list | tuple) else [evaluated] * 3
    if len(given) != 3:
        raise ValueError(
            f"evaluated is {short(evaluated)}; give one number, or three: training, validation and test samples"
        )
    return [check_integer("evaluated", most, minimum=1) for most in given]


def _checked_batch(node_batch: Any) -> int | None:
    remedy = 'give an integer of at least 1, "measure", or leave it out'
    return None if node_batch is None else check_integer("node_batch", node_batch, minimum=1, remedy=remedy)


def _measured_batch(task: Classification) -> int:
    """The fastest batch for the gradients of up to 32 nodes."""
    nodes = jnp.arange(min(task.nodes, 32), dtype=jnp.int32)
    keys = jax.random.split(jax.random.key(0), len(nodes))
    params = jax.vmap(task.init)(keys)
    return measured_batch(jax.grad(task.loss), (params, nodes, keys))


def _cross_entropy(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> Float[Array, " batch"]:
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return optax.softmax_cross_entropy_with_integer_labels(wide, labels)
