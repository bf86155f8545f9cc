"""Numbers as tables show them."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def mean_and_spread(mean: float | None, spread: float | None = None, digits: int = 4, join: str = " ") -> str:
    """``0.951 ± 0.004``, in so many significant digits; a dash where there is nothing."""
    if mean is None:
        return "-"
    text = f"{mean:.{digits}g}"
    return text if spread is None or np.isnan(spread) else f"{text}{join}±{float(f'{spread:.1g}'):g}"


def titled(config: Mapping[str, Any]) -> str:
    """What was run, from the config of a result; where it was private, also what its epsilon is meant by.

    >>> titled({"algorithm": "DSGD ring", "nodes": 8, "privacy": {"epsilon": "delta 1e-05, one sample replaced"}})
    'DSGD ring, 8 nodes; epsilon: delta 1e-05, one sample replaced'
    """
    private = config.get("privacy")
    return f"{config.get('algorithm', 'unknown')}, {config.get('nodes', '?')} nodes" + (
        f"; epsilon: {private['epsilon']}" if private else ""
    )
