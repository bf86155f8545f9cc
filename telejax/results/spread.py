"""Numbers as tables show them."""

import numpy as np


def mean_and_spread(mean: float | None, spread: float | None = None, digits: int = 4, join: str = " ") -> str:
    """``0.951 ± 0.004``, in so many significant digits; a dash where there is nothing."""
    if mean is None:
        return "-"
    text = f"{mean:.{digits}g}"
    return text if spread is None or np.isnan(spread) else f"{text}{join}±{float(f'{spread:.1g}'):g}"
