"""Which samples judge a model of classification, what each counts, and whose own they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike, NDArray

from telejax.data.datasets import Dataset
from telejax.data.partition import Table
from telejax.errors import check_array, short


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EvaluationSubset:
    """Which samples judge a model, and what each counts in each split."""

    rows: Int[Array, " samples"]
    weights: Float[Array, "samples 3"]
    tests: int = field(metadata={"static": True})
    """How many of them, the last, are of the test set."""


def evaluation_subset(data: Dataset, table: Table, most: Sequence[int], seed: int) -> EvaluationSubset:
    """All samples that nodes hold, or ``most`` of each split, drawn without replacement."""
    random = np.random.default_rng([seed, 1])
    held = table >= 0
    size = held.sum(axis=1, keepdims=True)
    share = np.where(held, size.max() / size, 0.0)[held]  # every node counts the same
    validation, test = len(data.validation), len(data.test)
    splits: list[tuple[NDArray[np.integer], NDArray[np.float64]]] = [
        (table[held], share),
        (len(data.train) + np.arange(validation), np.ones(validation)),
        (len(data.train) + validation + np.arange(test), np.ones(test)),
    ]
    rows, weights = [], []
    for split, (candidates, counts) in enumerate(splits):
        if most[split] < len(candidates):
            chosen = np.sort(random.choice(len(candidates), most[split], replace=False))
            candidates, counts = candidates[chosen], counts[chosen]
        rows.append(candidates)
        weights.append(np.outer(counts, np.eye(3)[split]))
    return EvaluationSubset(
        jnp.asarray(np.concatenate(rows), jnp.int32),
        jnp.asarray(np.concatenate(weights), jnp.result_type(float)),
        tests=len(rows[-1]),
    )


def owners_of(
    given: ArrayLike, nodes: int, data: Dataset, subset: EvaluationSubset, rows: NDArray[np.integer] | None = None
) -> Int[Array, " tests"]:
    """The owners of the test samples that judge a model.

    Args:
        given: of each test sample.
        nodes: how many there are.
        data: whose test samples are meant.
        subset: which of them judge.
        rows: by node, what the owners are called in place of nodes.
    """
    remedy = f"give a node from 0 to {nodes - 1} for each of the {len(data.test)} test samples"
    owners = check_array("test_owners", given, remedy)
    if owners.shape != (len(data.test),) or owners.dtype.kind not in "iu":
        raise ValueError(f"test_owners is {short(given)}; {remedy}")
    if owners.min() < 0 or owners.max() >= nodes:
        raise ValueError(f"test_owners holds {owners.min() if owners.min() < 0 else owners.max()}; {remedy}")
    kept = owners[np.asarray(subset.rows)[-subset.tests :] - len(data.train) - len(data.validation)]
    if missing := np.setdiff1d(np.arange(nodes), kept).tolist():
        told = f"test_owners names node {missing[0]} for no test sample that judges a model"
        raise ValueError(f"{told}; give it at least one, or raise evaluated")
    return jnp.asarray(kept if rows is None else np.argsort(rows)[kept], jnp.int32)
