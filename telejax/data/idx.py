"""Fashion-MNIST and MNIST from their official IDX files, packed (.gz) or not."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telejax.data import files
from telejax.data.datasets import Dataset, from_arrays

IMAGES, LABELS = 0x0803, 0x0801
"""Magic numbers: unsigned bytes (08) in three dimensions or one."""
Places = tuple[list[str], list[str]]
"""Subfolders of the folder that is given, and places of the system."""
FASHION_MNIST: Places = ["fashion-mnist", "FashionMNIST/raw"], ["/usr/share/datasets/fashion-mnist"]
MNIST: Places = ["mnist", "MNIST/raw"], []


def fashion_mnist(data_dir: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Dataset:
    """Fashion-MNIST: 28 x 28 grey pictures of ten kinds of clothes, 55 000 to train, 5000 to tune, 10 000 to test.

    Inputs are uint8 of shape (28, 28, 1). H. Xiao, K. Rasul, R. Vollgraf 2017, arXiv 1708.07747.

    Args:
        data_dir: the folder of the four IDX files, or of a folder ``fashion-mnist`` with them; by default
            ``$TELEJAX_DATA``, then where Debian's package dataset-fashion-mnist puts them.
        seed: of the choice of the samples to tune with.

    Raises:
        FileNotFoundError: where it looked and how to get the files.
        ValueError: the file that is not what its name says.

    >>> fashion_mnist("/nowhere")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no train-images-idx3-ubyte.gz or ... apt-get install dataset-fashion-mnist, or ...
    """
    remedy = (
        "apt-get install dataset-fashion-mnist, or fetch the four files from "
        "https://github.com/zalandoresearch/fashion-mnist and name their folder (data_dir, --data-dir or "
        f"${files.VARIABLE})"
    )
    places = files.folders(data_dir, *FASHION_MNIST)
    return _load("fashion-mnist", places, remedy, seed)


def mnist(data_dir: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Dataset:
    """MNIST: 28 x 28 grey handwritten digits, 55 000 to train, 5000 to tune, 10 000 to test.

    As :func:`fashion_mnist`, in ``data_dir`` or ``$TELEJAX_DATA``, or a folder ``mnist`` there. Y. LeCun et al. 1998.

    >>> mnist("data/mnist")  # doctest: +SKIP
    Dataset(...)
    """
    remedy = (
        "fetch the four IDX files of MNIST, such as from https://ossci-datasets.s3.amazonaws.com/mnist, and name their "
        f"folder (data_dir, --data-dir or ${files.VARIABLE})"
    )
    return _load("mnist", files.folders(data_dir, *MNIST), remedy, seed)


def read_idx(path: str | os.PathLike[str], magic: int) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes; ``magic`` tells its number of dimensions.

    Raises:
        ValueError: another magic number, or another length than the header says; the file is named.
    """
    path = Path(path)
    data = files.read(path)
    found = int.from_bytes(data[:4], "big")
    if len(data) < 4 or found != magic:
        raise ValueError(f"{path} starts with the magic number {found:#010x}, not {magic:#010x}; it is another file")
    dimensions = magic & 0xFF
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise ValueError(f"{path} ends within its header; fetch it again")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    if len(data) - start != int(np.prod(shape, dtype=object)):
        raise ValueError(f"{path} has {len(data) - start} bytes of data and its header says {shape}; fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def file_names(part: str) -> list[list[str]]:
    """What the files of images and of labels may be called, of the "train" or the "t10k" part."""
    stems = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    return [[f"{stem}.gz", stem] for stem in stems]


def _load(name: str, places: list[Path], remedy: str, seed: int) -> Dataset:
    parts: list[tuple[Any, Any]] = []
    for part in ("train", "t10k"):
        image_file, label_file = (files.find(names, places, remedy) for names in file_names(part))
        images, labels = read_idx(image_file, IMAGES), read_idx(label_file, LABELS)
        if len(images) != len(labels):
            raise ValueError(
                f"{image_file} has {len(images)} images and {label_file} {len(labels)} labels; they do not belong "
                "together; fetch both again"
            )
        if labels.max(initial=0) > 9:
            raise ValueError(f"{label_file} has a label {labels.max()}, above 9; it is another file, or damaged")
        if not images.size:
            raise ValueError(f"{image_file} has images of shape {images.shape}, without pixels; fetch it again")
        if part == "t10k" and labels.max() > (highest := parts[0][1].max()):
            raise ValueError(
                f"{label_file} has the label {labels.max()}, and those of training none above {highest}; they do not "
                "belong together; fetch both again"
            )
        parts.append((images[..., None], labels))
    return from_arrays(parts[0], parts[1], name=name, normalise=True, seed=seed)
