"""Labelled data, split into training, validation (for tuning) and test."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from telejax.errors import (
    Bound,
    check_array,
    check_flag,
    check_integer,
    check_kind,
    check_list,
    is_kind,
    is_text,
    short,
)

MAX_LABEL = 2**24 - 1  # the last layer of a model has an output for each


@dataclass(frozen=True)
class Split:
    """Inputs of shape (samples, ...), float32 or uint8 (read as 0 to 1), and int32 labels of shape (samples,)."""

    inputs: NDArray[Any]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        remedy = "give inputs (samples, ...) and an integer label for each, or make the data set with from_arrays(...)"
        for name, kinds in (("inputs", "iuf"), ("labels", "iu")):
            array = check_array(name, getattr(self, name), remedy)
            if array.dtype.kind not in kinds or array.ndim < 1 or (name == "labels" and array.ndim > 1):
                raise ValueError(f"{name} is {short(getattr(self, name))}; {remedy}")
            object.__setattr__(self, name, array)
        if self.labels.size and self.labels.min() < 0:
            raise ValueError(f"labels holds {self.labels.min()}; give the integer class, from 0, of each sample")
        if self.labels.size and self.labels.max() > MAX_LABEL:
            raise ValueError(f"labels holds {self.labels.max()}; number the classes from 0, to {MAX_LABEL} at most")
        if len(self.inputs) != len(self.labels):
            raise ValueError(f"labels has {len(self.labels)} samples and inputs {len(self.inputs)}; {remedy}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A named classification data set; ``mean`` and ``std`` are what its inputs are to be normalised with."""

    name: str
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...] = (0.0,)
    """Of each channel, after reading uint8 as 0 to 1."""
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not is_text(self.name):
            raise ValueError(f"name is {short(self.name)}; give a text")
        for name in ("train", "validation", "test"):
            check_kind(name, getattr(self, name), Split, "give a Split, or make the data set with from_arrays(...)")
            kinds = [split.inputs.dtype for split in (self.train, getattr(self, name))]
            if len({kind == np.uint8 for kind in kinds}) > 1:
                raise ValueError(
                    f"train has inputs of {kinds[0]} and {name} of {kinds[1]}, of which uint8 alone is read as 0 to 1; "
                    "give all as uint8, or none"
                )
        channels = {1, *self.train.inputs.shape[-1:]}
        for name, bound in (("mean", Bound(-np.inf)), ("std", Bound(exclusive=True))):
            given = check_list(name, getattr(self, name), "give a number for each channel")
            if len(given) not in channels:
                raise ValueError(f"{name} has {len(given)} numbers for {max(channels)} channels; give one or as many")
            for number in given:
                bound.check(name, number)

    @property
    def classes(self) -> int:
        """Number of classes: one more than the highest label of all splits, held-out ones included."""
        return max(int(split.labels.max()) for split in (self.train, self.validation, self.test) if len(split)) + 1


DIGITS_VALIDATION = 197
DIGITS_TEST = 200


def digits(seed: int = 0) -> Dataset:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn ships: 1400 to train, 197 to tune, 200 to test.

    Inputs are flat, shape (64,), scaled to [0, 1]. Source: Alpaydin & Kaynak, UCI repository, 1998.

    >>> len(digits().train), digits().classes
    (1400, 10)
    """
    stream = np.random.default_rng(check_integer("seed", seed, minimum=0))
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = stream.permutation(len(labels))
    parts = np.split(order, [len(labels) - DIGITS_VALIDATION - DIGITS_TEST, len(labels) - DIGITS_TEST])
    train, validation, test = (
        Split((inputs[part] / 16).astype(np.float32), labels[part].astype(np.int32)) for part in parts
    )
    return Dataset("digits", train, validation, test)


def from_arrays(
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike],
    *,
    name: str = "data",
    validation: int | None = None,
    normalise: bool = False,
    seed: int = 0,
) -> Dataset:
    """A data set from any two pairs of arrays (inputs, labels).

    Args:
        train: inputs of shape (samples, ...), integers or floats, and labels from 0, (samples,).
        test: the same, of the same kind. Integers of both are divided by 255 where one of either is above 1, and
            uint8 is then stored as it is; floats are taken as they are.
        name: for tables and titles.
        validation: training samples that are held out to tune with; by default a twelfth, at most 5000.
        normalise: bring each channel (last axis of images) of the training inputs to mean 0 and deviation 1.
        seed: of the choice of the held-out samples.

    Raises:
        ValueError: another number of labels than inputs, labels that are not integers from 0, test inputs of another
            shape, of classes that the training set lacks, or floats beside integers; integers that are no pixels,
            non-finite inputs, too few samples.

    >>> images, labels = np.zeros((120, 8, 8)), np.arange(120) % 10
    >>> data = from_arrays((images, labels), (images[:20], labels[:20]))
    >>> len(data.train), len(data.validation), len(data.test), data.classes
    (110, 10, 20, 10)
    """
    name = check_kind("name", name, str, "give a text")
    normalise = check_flag("normalise", normalise)
    full, held = as_split("train", *_pair("train", train)), as_split("test", *_pair("test", test))
    full, held = _scaled(full, held)
    if full.inputs.shape[1:] != held.inputs.shape[1:]:
        raise ValueError(
            f"test has inputs of shape {held.inputs.shape[1:]} and train of {full.inputs.shape[1:]}; "
            "they must be of one shape"
        )
    if held.labels.max() > full.labels.max():
        raise ValueError(
            f"test has the label {held.labels.max()} and train none above {full.labels.max()}; "
            "number the classes of both from 0"
        )
    aside = min(5000, max(1, len(full) // 12)) if validation is None else validation
    aside = check_integer("validation", aside, minimum=1)
    if aside >= len(full):
        raise ValueError(f"validation is {aside} and there are {len(full)} training samples; hold out fewer")
    order = np.random.default_rng(check_integer("seed", seed, minimum=0)).permutation(len(full))
    kept, tuning = (Split(full.inputs[part], full.labels[part]) for part in (order[aside:], order[:aside]))
    mean, std = channel_moments(kept.inputs) if normalise else ((0.0,), (1.0,))
    return Dataset(name, kept, tuning, held, mean, std)


PAIR = "give a pair of arrays, (inputs, labels)"


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    """Inputs and labels, or a ValueError that names the split."""
    pair = check_list(name, given, PAIR) if is_kind(given, tuple | list) else []
    if len(pair) != 2:
        raise ValueError(f"{name} is {short(given)}; {PAIR}")
    return pair[0], pair[1]


def as_split(name: str, inputs: ArrayLike, labels: ArrayLike) -> Split:
    """A checked split, or a ValueError that names it."""
    remedy = "give numbers of shape (samples, ...) and one integer class for each"
    inputs, labels = check_array(f"{name} inputs", inputs, remedy), check_array(f"{name} labels", labels, remedy)
    if inputs.ndim < 1 or inputs.dtype.kind not in "biuf" or 0 in inputs.shape[1:]:
        raise ValueError(f"{name} has inputs of shape {inputs.shape} and type {inputs.dtype}; {remedy}")
    if labels.ndim != 1 or len(inputs) != len(labels) or not len(labels):
        raise ValueError(
            f"{name} has inputs of shape {inputs.shape} and labels of shape {labels.shape}; "
            "give one label for each of at least one sample"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name} has labels of type {labels.dtype}; give integers from 0")
    if labels.min() < 0:
        raise ValueError(f"{name} has labels from {labels.min()}; give integers from 0")
    if labels.max() > MAX_LABEL:
        raise ValueError(f"{name} has the label {labels.max()}; number the classes from 0, to {MAX_LABEL} at most")
    if inputs.dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise ValueError(f"{name} has inputs that are not finite in float32; clean the data, or scale them")
    return Split(inputs, labels.astype(np.int32))


def _scaled(train: Split, test: Split) -> tuple[Split, Split]:
    """Both splits by one rule: uint8 stays as it is and is read as 0 to 1, unless its largest number is 1."""
    kinds = {"integers" if split.inputs.dtype.kind in "iu" else "floats" for split in (train, test)}
    if len(kinds) == 2:
        raise ValueError(
            f"train has inputs of {train.inputs.dtype} and test of {test.inputs.dtype}, of which integers are divided "
            "by 255 and floats are not; give both as integers, or both as floats"
        )
    if kinds == {"floats"}:
        return train, test
    low = min(int(split.inputs.min(initial=0)) for split in (train, test))
    high = max(int(split.inputs.max(initial=0)) for split in (train, test))
    if low < 0 or high > 255:
        raise ValueError(
            f"train and test have integers from {low} to {high}, and integers are pixels from 0 to 255; give floats, "
            "scaled as the model is to see them"
        )
    kind = np.uint8 if high > 1 else np.float32
    return tuple(Split(split.inputs.astype(kind, copy=False), split.labels) for split in (train, test))  # type: ignore


def channel_moments(inputs: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel (of all numbers, below rank 4), uint8 read as 0 to 1.

    >>> channel_moments(np.array([[0], [255]], np.uint8))
    ((0.5,), (0.5,))
    """
    axes = tuple(range(inputs.ndim - 1)) if inputs.ndim == 4 else None
    unit = 255.0 if inputs.dtype == np.uint8 else 1.0
    mean, std = (np.atleast_1d(f(inputs, axis=axes, dtype=np.float64)) / unit for f in (np.mean, np.std))
    return tuple(map(float, mean)), tuple(float(s) or 1.0 for s in std)
