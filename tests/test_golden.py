"""Every case gives what was recorded before the library was refactored, to the last bit where bits compare."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden import cases

FOLDER = Path(__file__).parent / "golden"
RECORD = json.loads((FOLDER / "record.json").read_text())
BITS = all(RECORD[name] == cases.machine()[name] for name in ("jaxlib", "processor"))
"""Another compiler or processor adds up in another order and fuses other products: bits do not compare then."""

TOLERANCE = 1e-5
"""Of the largest entry of an array. Some 10 rounds of sums of a few dozen float32 numbers round by about 1e-6 of it."""

NOISE = 1e-10
"""What remains where the truth is 0, as the consensus distance of an exact average: (1e-7)^2 an entry, and some."""


@cache
def recorded() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "histories.npz") as file:
        return dict(file)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        pytest.param(name, width, marks=() if name in cases.FAST and width == "float32" else pytest.mark.slow)
        for name, width in cases.RUNS
        if name not in cases.LONG and (width == "float32" or name in cases.WIDE)
    ],
)
def test_histories_are_those_recorded(name, width):
    before = {key: array for key, array in recorded().items() if key.startswith(f"{name}/{width}/")}
    now = cases.arrays_of(name, width)
    assert before and before.keys() <= now.keys()
    differ = {key: array for key, array in before.items() if not cases.same_bits(array, now[key])}
    if BITS:
        assert not differ, {key: cases.relative_difference(array, now[key]) for key, array in differ.items()}
    for key, array in differ.items():
        if array.dtype.kind != "f":
            np.testing.assert_array_equal(array, now[key], err_msg=key)
        elif cases.relative_difference(array, now[key]) > TOLERANCE:
            np.testing.assert_allclose(array, now[key], rtol=0, atol=NOISE, err_msg=key)


def test_every_recorded_history_is_of_a_case():
    assert {tuple(key.split("/")[:2]) for key in recorded()} == set(cases.RUNS)


@pytest.mark.parametrize(
    ("right", "same", "difference"),
    [
        ([1.0, np.nan], True, 0.0),
        ([1.0 + 2**-52, np.nan], False, 2**-52),
        ([1.0, 0.0], False, np.inf),
        ([np.inf, np.nan], False, np.inf),
        ([1.0], False, np.inf),
    ],
)
def test_a_difference_is_seen(right, same, difference):
    left, right = np.array([1.0, np.nan]), np.array(right)
    assert cases.same_bits(left, right) == same
    assert cases.relative_difference(left, right) == difference


def test_the_sign_of_zero_is_a_bit():
    assert not cases.same_bits(np.array([0.0]), np.array([-0.0]))
