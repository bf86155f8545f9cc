"""What the analysis predicts: convergence bounds, the number of active nodes that minimises them, their constants."""

from telejax.studies.theory.constants import ProblemConstants, measure
from telejax.studies.theory.convergence import (
    all_reduce,
    bounds,
    decentralized_sgd,
    optimal_active,
    plot,
    teleportation,
)
from telejax.studies.theory.moments import moments
from telejax.studies.theory.privacy import epsilon, most_uses, noise_for

__all__ = [
    "ProblemConstants",
    "all_reduce",
    "bounds",
    "decentralized_sgd",
    "epsilon",
    "measure",
    "moments",
    "most_uses",
    "noise_for",
    "optimal_active",
    "plot",
    "teleportation",
]
