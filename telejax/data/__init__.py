"""Data sets and their partition over nodes."""

from telejax.data.augmentation import crop_and_flip, random_crop, random_flip
from telejax.data.cifar import cifar10
from telejax.data.datasets import Dataset, Split, digits, from_arrays
from telejax.data.idx import fashion_mnist, mnist
from telejax.data.partition import by_assignment, dirichlet, dirichlet_free, iid, label_counts, shards
from telejax.data.synthetic import synthetic

__all__ = [
    "Dataset",
    "Split",
    "by_assignment",
    "cifar10",
    "crop_and_flip",
    "digits",
    "dirichlet",
    "dirichlet_free",
    "fashion_mnist",
    "from_arrays",
    "iid",
    "label_counts",
    "mnist",
    "random_crop",
    "random_flip",
    "shards",
    "synthetic",
]
