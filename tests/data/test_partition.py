"""Dealing samples out over nodes: no sample twice, labels as skewed as asked for, and what cannot be done is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telejax import data
from telejax.data import partition

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 100))

SPLITS = {
    "iid": lambda seed=0: data.iid(LABELS, 30, seed),
    "dirichlet": lambda seed=0: data.dirichlet(LABELS, 30, 0.1, seed),
    "free": lambda seed=0: data.dirichlet_free(LABELS, 30, 0.1, seed),
    "shards": lambda seed=0: data.shards(LABELS, 30, seed=seed),
    "writers": lambda seed=0: data.by_assignment(np.arange(1000) % 30, seed),
}


def shares(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(nodes, classes): the share of each class among a node's samples."""
    counts = data.label_counts(table, labels, int(labels.max()) + 1)
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_every_sample_at_most_once_and_seeds_matter(split):
    table = split()
    assert len(table) == 30 and table.dtype == np.int32
    np.testing.assert_array_equal(partition.check_table(table, 1000), table)
    assert np.array_equal(table, split(0)) and not np.array_equal(table, split(1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    alpha=st.sampled_from([5e-324, 1e-12, 1e-4, 0.03, 1.0, 1e8]),
    seed=st.integers(0, 1000),
    drawn=st.data(),
)
def test_any_alpha_classes_and_number_of_nodes(counts, alpha, seed, drawn):
    """Classes run out, or the draws behind a tiny alpha underflow: no error, no NaN, no loop without end."""
    labels = np.repeat(3 * np.arange(len(counts)), counts)  # numbers need not follow on one another
    nodes = drawn.draw(st.integers(1, len(labels)))
    with np.errstate(all="ignore"):
        equal, free = (split(labels, nodes, alpha, seed) for split in (data.dirichlet, data.dirichlet_free))
    for table in (equal, free, data.iid(labels, nodes, seed)):
        partition.check_table(table, len(labels))
    assert equal.shape == (nodes, len(labels) // nodes) and equal.min() >= 0
    assert (free >= 0).sum() == len(labels) and (free[:, 0] >= 0).all()


def test_by_writer_leaves_nothing_over():
    assert (SPLITS["writers"]() >= 0).sum() == 1000


def test_small_alpha_gives_few_labels_a_node():
    """At alpha = 0.01 a draw has one class to within 1 % typically; late nodes take what is left."""
    largest = np.sort(shares(LABELS, data.dirichlet(LABELS, nodes=50, alpha=0.01)), axis=1)[:, ::-1]
    assert np.median(largest[:, 0]) > 0.95
    assert np.mean(np.count_nonzero(largest, axis=1)) < 3


def test_large_alpha_is_near_the_global_mix():
    for table in (data.dirichlet(LABELS, nodes=10, alpha=1e6), data.iid(LABELS, nodes=10)):
        # 100 samples of ten even classes: a share deviates by sqrt(0.1 * 0.9 / 100) = 0.03, more at nodes dealt last
        assert np.abs(shares(LABELS, table) - 0.1).mean() < 2 * 0.03


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_shares_have_the_variance_of_the_dirichlet_distribution(alpha):
    """Var(share) = 0.1 * 0.9 / (10 alpha + 1), and 0.09 / size more from sampling at size 2000."""
    labels = np.repeat(np.arange(10), 20_000)
    dealt = shares(labels, data.dirichlet(labels, nodes=100, alpha=alpha))
    # the last nodes must take what is left, which moves the variance by up to half; alpha moves it fiftyfold
    assert 0.7 < dealt.var() / (0.09 / (10 * alpha + 1)) < 1.5


def test_rows_are_in_random_order():
    for table in (SPLITS["dirichlet"](), SPLITS["shards"]()):
        assert np.mean([(np.diff(LABELS[row]) < 0).any() for row in table]) > 0.5


def test_sorted_placement_makes_neighbours_alike():
    table = data.shards(LABELS, 50)
    jump = lambda table: np.abs(np.diff(LABELS[table].mean(axis=1))).mean()
    assert jump(table[partition.order(table, LABELS, "sorted")]) < 0.2 * jump(table)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        *((lambda alpha=alpha: data.dirichlet(LABELS, 10, alpha), f"alpha is {alpha}; give a finite number above 0")
          for alpha in (0.0, -1.0, float("nan"), float("inf"))),
        (lambda: data.dirichlet_free(LABELS, 10, -1), "alpha is -1"),
        (lambda: data.dirichlet(LABELS, 1001, 0.1), "nodes is 1001 and there are 1000 training samples; use at most"),
        (lambda: data.dirichlet_free(LABELS, 1001, 0.1), "nodes is 1001"),
        (lambda: data.dirichlet_free(LABELS, 100, 0.1, at_least=11), "at_least is 11.*at most 10"),
        (lambda: data.iid(LABELS, 0), "nodes is 0; give an integer of at least 1"),
        (lambda: data.shards(LABELS, 600), "1200 shards, and there are 1000"),
        (lambda: data.by_assignment([]), "owners"),
        (lambda: partition.order(data.iid(LABELS, 3), LABELS, "sortd"), "did you mean 'sorted'"),
        (lambda: partition.check_table([[0.5]], 3), "float64"),
        (lambda: partition.check_table([[0, 3]], 3), "from 0 to 3 and there are 3"),
        (lambda: partition.check_table([[0, 1], [-1, 2]], 3), "row 1"),
        (lambda: partition.check_table([[-1, -1], [0, 2]], 3), "row 0"),
        (lambda: partition.check_table([[0, 1], [2, 2]], 3), "sample 2 out twice"),
    ],
)  # fmt: skip
def test_bad_input_is_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()
