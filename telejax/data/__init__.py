"""Data sets and their partition over nodes."""

from telejax.data.datasets import Dataset, Split, digits
from telejax.data.partition import dirichlet, iid

__all__ = ["Dataset", "Split", "digits", "dirichlet", "iid"]
