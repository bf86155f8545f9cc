"""How far the runs of a result have come, from which a later simulation goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from telejax.state import Params


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Progress:
    """Arrays (seeds, settings, groups) of the last evaluation."""

    counted: Mapping[str, np.ndarray]
    """Cumulative columns, Python integers of any size; the method's own counters among them, int64."""
    gauges: Mapping[str, np.ndarray]
    diverged: np.ndarray
    params: Params
    """Mean models, leaves (seeds, settings, groups, ...): the last finite ones of each run."""

    def setting(self, index: int) -> "Progress":
        """Of one hyperparameter setting alone."""
        return jax.tree.map(lambda x: x[:, index : index + 1], self)
