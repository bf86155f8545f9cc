"""Labelled data, split into training, validation (for tuning) and test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Inputs float32 of shape (samples, ...) and integer labels of shape (samples,)."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A named classification data set."""

    name: str
    train: Split
    validation: Split
    test: Split

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.train.labels.max()) + 1


DIGITS_VALIDATION = 197
DIGITS_TEST = 200


def digits(seed: int = 0) -> Dataset:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn ships: 1400 to train, 197 to tune, 200 to test.

    Inputs are flat, shape (64,), scaled to [0, 1]. Source: Alpaydin & Kaynak, UCI repository, 1998.

    >>> len(digits().train), digits().classes
    (1400, 10)
    """
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    parts = np.split(order, [len(labels) - DIGITS_VALIDATION - DIGITS_TEST, len(labels) - DIGITS_TEST])
    train, validation, test = (
        Split((inputs[part] / 16).astype(np.float32), labels[part].astype(np.int32)) for part in parts
    )
    return Dataset("digits", train, validation, test)
