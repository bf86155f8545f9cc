"""What ByzFL makes of given arrays: run by the Python of a folder of its own, which has ByzFL and no telejax.

``python byzfl_answers.py GIVEN.npz MADE.npz``: of float64 arrays (m, d) by name, an answer of each rule and attack.
"""

import sys
from unittest.mock import MagicMock

import numpy as np

sys.modules["torchvision"] = MagicMock()  # of its benchmarks, which nothing here needs

from byzfl import (  # noqa: E402
    NNM,
    ALittleIsEnough,
    CenteredClipping,
    GeometricMedian,
    InnerProductManipulation,
    Krum,
    Meamed,
    Median,
    Mimic,
    MoNNA,
    MultiKrum,
    SignFlipping,
    TrMean,
)


def made(x: np.ndarray, f: int) -> dict[str, np.ndarray]:
    """Of vectors (m, d), of which f may be forged."""
    clipping = CenteredClipping(L=3, tau=0.7)
    clipping.m = x[0].copy()  # where it starts, which its constructor takes of torch alone
    rules = {
        "median": Median(),
        "trimmed_mean": TrMean(f=f),
        "meamed": Meamed(f=f),
        "geometric_median": GeometricMedian(nu=1e-9, T=5),
        "krum": Krum(f=f),
        "multi_krum": MultiKrum(f=f),
        "centered_clipping": clipping,
        "nearest_neighbour_mixing": NNM(f=f),
        "nearest_neighbour_averaging": MoNNA(f=f, idx=0),
        "sign_flip": SignFlipping(),
        "inner_product": InnerProductManipulation(tau=0.7),
        "little_is_enough": ALittleIsEnough(tau=1.3),
        "mimic": Mimic(epsilon=1),
    }
    return {name: np.asarray(rule(x.copy())) for name, rule in rules.items()}


if __name__ == "__main__":
    given, answers = np.load(sys.argv[1]), {}
    for name in given.files:
        f = int(name.rsplit("_", 1)[1])
        answers |= {f"{name}/{rule}": answer for rule, answer in made(given[name], f).items()}
    np.savez(sys.argv[2], **answers)
