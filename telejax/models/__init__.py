"""Small flax models that are fast when every node has its own weights."""

from telejax.models.dense import MLP, logistic_regression

__all__ = ["MLP", "logistic_regression"]
