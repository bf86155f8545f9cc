"""CIFAR-10 from its official batches, the binary version or the Python version."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telejax.data import files
from telejax.data.datasets import Dataset, from_arrays

PIXELS = 3 * 32 * 32
CIFAR_10: tuple[list[str], list[str]] = ["cifar-10-batches-bin", "cifar-10-batches-py"], []
"""Subfolders of the folder that is given, and places of the system."""
TRAINING_BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


def cifar10(data_dir: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Dataset:
    """CIFAR-10: 32 x 32 colour pictures of ten kinds, about 46 000 to train, 4166 to tune, 10 000 to test.

    Inputs are uint8 of shape (32, 32, 3). A. Krizhevsky 2009, Learning multiple layers of features from tiny images.

    Args:
        data_dir: the folder of the six batches (``data_batch_1.bin`` or ``data_batch_1``, ...), or of a folder
            ``cifar-10-batches-bin`` or ``cifar-10-batches-py`` with them; by default ``$TELEJAX_DATA``.
        seed: of the choice of the samples to tune with.

    Raises:
        FileNotFoundError: where it looked and how to get the files.
        ValueError: the file that is not what its name says.

    >>> cifar10("/nowhere")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no data_batch_1.bin or data_batch_1 in /nowhere, ... fetch and unpack ...
    """
    remedy = (
        "fetch and unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and name the folder (data_dir, "
        f"--data-dir or ${files.VARIABLE})"
    )
    places = files.folders(data_dir, *CIFAR_10)

    def batch(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return read_batch(files.find(file_names(name), places, remedy))

    images, labels = (np.concatenate(part) for part in zip(*map(batch, TRAINING_BATCHES), strict=True))
    return from_arrays((images, labels), batch("test_batch"), name="cifar-10", normalise=True, seed=seed)


def file_names(batch: str) -> list[str]:
    """What the file of a batch may be called: of the binary or of the Python version."""
    return [f"{batch}.bin", batch]


def read_batch(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (samples, 32, 32, 3) and labels (samples,) of one batch file, binary where its name ends in .bin.

    Raises:
        ValueError: a file that is not such a batch, by name.
    """
    path = Path(path)
    pixels, labels = _binary(path) if path.suffix == ".bin" else _python(path)
    real = labels.dtype.kind in "iuf"
    wrong = labels[(labels < 0) | (labels > 9) | (labels % 1 != 0)] if real else labels
    if len(wrong) or not len(labels):
        told = f"has a label {wrong[0]}" if len(wrong) else "has no labels"
        raise ValueError(f"{path} {told}, not integers from 0 to 9; it is no batch of CIFAR-10, or damaged")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.uint8)


def _binary(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    data = np.frombuffer(files.read(path), np.uint8)
    if not len(data) or len(data) % (PIXELS + 1):
        raise ValueError(f"{path} has {len(data)} bytes, no multiple of {PIXELS + 1}; fetch it again")
    rows = data.reshape(-1, PIXELS + 1)
    return rows[:, 1:], rows[:, 0]


def _python(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    try:
        content = _OnlyArrays(io.BytesIO(files.read(path)), encoding="bytes").load()
        pixels, labels = np.asarray(content[b"data"]), np.asarray(content[b"labels"])
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(f"{path} is no Python batch of CIFAR-10 ({error}); fetch it again") from error
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS or pixels.dtype != np.uint8 or labels.shape != pixels.shape[:1]:
        raise ValueError(
            f"{path} has data of shape {pixels.shape} and labels of shape {labels.shape}; a batch of CIFAR-10 has "
            f"(samples, {PIXELS}) uint8 and (samples,)"
        )
    return pixels, labels


class _OnlyArrays(pickle.Unpickler):
    """Builds NumPy arrays and nothing else, so that reading a file runs nothing in it."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype", "_frombuffer"})

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
