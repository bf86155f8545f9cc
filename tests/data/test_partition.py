"""Dealing samples out over nodes: equal shares, no sample twice, labels as skewed as asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telejax.data import dirichlet, iid

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 140))


def check_table(table: np.ndarray, samples: int, nodes: int) -> None:
    assert table.shape == (nodes, samples // nodes) and table.dtype == np.int32
    assert table.min() >= 0 and table.max() < samples
    assert len(np.unique(table)) == table.size, "a sample appears twice"


def shares(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(nodes, classes): the share of each class among a node's samples."""
    return np.stack([np.bincount(labels[row], minlength=labels.max() + 1) / len(row) for row in table])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    alpha=st.sampled_from([1e-4, 0.03, 0.3, 1.0, 1e4]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_shares_are_equal_and_no_sample_appears_twice(counts: list[int], alpha: float, seed: int, data) -> None:
    """Classes of any size, so that some run out: neither an error nor a loop without end."""
    labels = np.repeat(np.arange(len(counts)), counts)
    nodes = data.draw(st.integers(1, len(labels)))
    check_table(dirichlet(labels, nodes, alpha, seed), len(labels), nodes)
    check_table(iid(labels, nodes, seed), len(labels), nodes)


def test_small_alpha_gives_few_labels_a_node() -> None:
    """At alpha = 0.01 a draw has one class to within 1 % typically; late nodes take what is left."""
    table = dirichlet(LABELS, nodes=50, alpha=0.01)
    largest = np.sort(shares(LABELS, table), axis=1)[:, ::-1]
    assert np.median(largest[:, 0]) > 0.95
    assert np.mean(np.count_nonzero(largest, axis=1)) < 3


def test_large_alpha_is_near_the_global_mix() -> None:
    table = dirichlet(LABELS, nodes=10, alpha=1e6)
    # 140 samples of ten even classes: each share deviates by sqrt(0.1 * 0.9 / 140) = 0.025
    assert np.abs(shares(LABELS, table) - 0.1).max() < 5 * 0.025
    assert np.abs(shares(LABELS, iid(LABELS, nodes=10)) - 0.1).max() < 5 * 0.025


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_shares_have_the_variance_of_the_dirichlet_distribution(alpha: float) -> None:
    """Var(share) = 0.1 * 0.9 / (10 alpha + 1), and 0.09 / size more from sampling at size 2000."""
    labels = np.repeat(np.arange(10), 20_000)
    dealt = shares(labels, dirichlet(labels, nodes=100, alpha=alpha))
    # the last nodes must take what is left, which moves the variance by up to half; alpha moves it tenfold
    assert 0.7 < dealt.var() / (0.09 / (10 * alpha + 1)) < 1.5


@pytest.mark.parametrize("alpha", [1e-4, 1e-12, 5e-324])
def test_tiny_alpha_ends_and_makes_no_nan(alpha: float) -> None:
    """The gamma draws behind Dirichlet(1e-12) underflow to zero, and 0/0 must not reach the table."""
    with np.errstate(all="ignore"):
        for nodes in (7, 1400):
            check_table(dirichlet(LABELS, nodes, alpha), len(LABELS), nodes)


def test_a_class_with_one_sample_runs_out() -> None:
    labels = np.array([0] * 30 + [1] + [2] * 29)
    for alpha in (1e-4, 0.1, 100.0):
        check_table(dirichlet(labels, nodes=6, alpha=alpha), 60, 6)


def test_labels_need_not_be_consecutive() -> None:
    labels = np.repeat([3, 17, 40], 20)
    table = dirichlet(labels, nodes=6, alpha=0.01)
    check_table(table, 60, 6)
    assert np.mean([len(set(labels[row])) for row in table]) < 2


def test_seeds_fix_the_table_and_change_it() -> None:
    for deal in (iid, lambda labels, nodes, seed: dirichlet(labels, nodes, 0.3, seed)):
        assert np.array_equal(deal(LABELS, 20, 1), deal(LABELS, 20, 1))
        assert not np.array_equal(deal(LABELS, 20, 1), deal(LABELS, 20, 2))


@pytest.mark.parametrize(
    ("nodes", "alpha", "message"),
    [
        (0, 1.0, "nodes is 0; give an integer of at least 1"),
        (1401, 1.0, "nodes is 1401 and there are 1400 training samples; use at most 1400 nodes"),
        (10, 0.0, "alpha is 0.0; give a finite number above 0"),
        (10, float("nan"), "alpha is nan; give a finite number above 0"),
        (10, float("inf"), "alpha is inf; give a finite number above 0"),
    ],
)
def test_bad_input_is_refused(nodes: int, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dirichlet(LABELS, nodes, alpha)
