"""Decentralized learning algorithms, one a file, each reading like its paper."""

from telejax.algorithms.all_reduce import all_reduce_sgd
from telejax.algorithms.base import Algorithm
from telejax.algorithms.decentralized_sgd import decentralized_sgd
from telejax.algorithms.fedavg import fedavg
from telejax.algorithms.joint import joint_teleportation
from telejax.algorithms.random_walk import random_walk
from telejax.algorithms.teleportation import teleportation

__all__ = [
    "Algorithm",
    "all_reduce_sgd",
    "decentralized_sgd",
    "fedavg",
    "joint_teleportation",
    "random_walk",
    "teleportation",
]
