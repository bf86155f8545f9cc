"""Small models that are fast when every node has its own weights, and a face for any other."""

from telejax.models.convolution import Conv, GroupNorm, convolve, max_pool
from telejax.models.dense import MLP, logistic_regression
from telejax.models.image import VGG, LeNet
from telejax.models.network import MODELS, Network, as_network

__all__ = [
    "MLP",
    "MODELS",
    "VGG",
    "Conv",
    "GroupNorm",
    "LeNet",
    "Network",
    "as_network",
    "convolve",
    "logistic_regression",
    "max_pool",
]
