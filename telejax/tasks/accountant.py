"""How much privacy is spent: the answers of the package dp-accounting to what a node has done.

A gradient of a node is one use of its data: Gaussian noise of standard deviation z C on a sum of vectors of norm C at
most. Where one of them is replaced by another the sum moves by up to 2 C, not C, so the noise multiplier of the event
is z / 2: the accountant of dp-accounting for Renyi divergences takes it as noise over sensitivity under REPLACE_ONE.
Batches without replacement are a ``SampledWithoutReplacementDpEvent`` (Y.-X. Wang et al. 2019, arXiv 1808.00087,
Theorem 27), whose bound is above that of the whole data for batches of about half of them and more; both hold, and the
smaller is told.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are used: optimize takes long

from telejax.tasks.privacy import Level, statement

SENSITIVITY = 2.0
"""Of a sum of vectors of norm 1, one of which is replaced by another."""
HOPELESS = 1e6
"""An epsilon beyond which it is not looked at whether sampling makes it smaller."""
MOST_NOISE = 1e8
"""Beyond it divergences are below all floats; what is spent is no more than there."""
WITHIN = 1e-4
"""How far above the least noise that does the found one is at most, in proportion."""


class Epsilon(float):
    """An epsilon that prints what it is meant by; else a number like any other."""

    meaning: str

    def __new__(cls, value: float, meaning: str) -> "Epsilon":
        made = super().__new__(cls, value)
        made.meaning = meaning
        return made

    def __repr__(self) -> str:
        return f"{float(self):.4g} ({self.meaning})"

    __str__ = __repr__


def spent(
    noise_multiplier: float, uses: int, *, level: Level, batch: int | None, samples: int | None, delta: float
) -> Epsilon:
    """The epsilon of a node that has computed so many gradients.

    Args:
        noise_multiplier: z.
        uses: gradients.
        level: "sample" or "node".
        batch: samples of a gradient, at the level of samples.
        samples: of the node, likewise.
        delta: at which it is told.

    Raises:
        ValueError: without the package dp-accounting.
    """
    accounting, meaning = package(), statement(level, delta)
    if uses == 0:
        return Epsilon(0.0, meaning)
    noise_multiplier = min(noise_multiplier, MOST_NOISE)
    told = lambda orders, rdp: float(accounting.rdp.compute_epsilon(orders, uses * rdp, delta)[0])
    whole = told(*_of_one_use(noise_multiplier, 1, 1))
    if level == "node" or batch == samples or whole > HOPELESS:
        return Epsilon(whole, meaning)
    assert batch is not None and samples is not None
    return Epsilon(min(whole, told(*_of_one_use(noise_multiplier, batch, samples))), meaning)


def noise(epsilon: float, uses: int, **given: Any) -> float:
    """The least noise multiplier whose :func:`spent` is at most epsilon, or a little more."""
    above = lambda log_noise: math.log(max(spent(math.exp(log_noise), uses, **given), 1e-12) / epsilon)
    low, high = math.log(0.5), math.log(2.0)
    while above(low) < 0:
        low -= 1.0
    while above(high) > 0:
        high += 1.0
    found: float = math.exp(scipy.optimize.brentq(above, low, high, xtol=WITHIN / 4))
    while spent(found, uses, **given) > epsilon:
        found *= 1 + WITHIN / 4
    return found


def package() -> Any:
    """The package dp-accounting.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        import dp_accounting
        import dp_accounting.rdp
    except ModuleNotFoundError as error:
        raise ValueError(
            f"epsilon is asked for, and the package {error.name} is not installed; install telejax[privacy]"
        ) from None
    return dp_accounting


@lru_cache(maxsize=4096)
def _of_one_use(noise_multiplier: float, batch: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Orders and Renyi divergences of one gradient, which add up over gradients."""
    accounting = package()
    event = accounting.GaussianDpEvent(noise_multiplier / SENSITIVITY)
    if batch < samples:
        event = accounting.SampledWithoutReplacementDpEvent(samples, batch, event)
    accountant = accounting.rdp.RdpAccountant(neighboring_relation=accounting.NeighboringRelation.REPLACE_ONE)
    accountant.compose(event)
    return np.asarray(accountant._orders), np.asarray(accountant._rdp)  # of which it gives nothing but an epsilon
