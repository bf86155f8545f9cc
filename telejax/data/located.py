"""Which data sets are there, without reading them."""

from pathlib import Path

from telejax.data import cifar, files, idx

SETS = {
    "fashion-mnist": (idx.FASHION_MNIST, [*idx.file_names("train"), *idx.file_names("t10k")]),
    "mnist": (idx.MNIST, [*idx.file_names("train"), *idx.file_names("t10k")]),
    "cifar-10": (cifar.CIFAR_10, [cifar.file_names(one) for one in (*cifar.TRAINING_BATCHES, "test_batch")]),
}
"""Of those that are read from files: where they may be, and what each file may be called."""


def located(name: str) -> Path | None:
    """The folder of a data set's files by default (``$TELEJAX_DATA`` and the system's), None where one is missing.

    >>> located("cifar-10") is None or located("cifar-10").is_dir()
    True
    """
    (subfolders, system), needed = SETS[name]
    places = files.folders(None, subfolders, system)
    try:
        found = [files.find(names, places, "") for names in needed]
    except FileNotFoundError:
        return None
    return found[0].parent
