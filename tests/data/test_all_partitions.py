"""Partitions deal every sample out once at most, and tell what cannot be done."""

import numpy as np
import pytest

from telejax import data
from telejax.data import partition

LABELS = np.repeat(np.arange(10), 100)[np.random.default_rng(0).permutation(1000)]

SPLITS = {
    "iid": lambda: data.iid(LABELS, 30),
    "dirichlet": lambda: data.dirichlet(LABELS, 30, 0.1),
    "free": lambda: data.dirichlet_free(LABELS, 30, 0.1),
    "shards": lambda: data.shards(LABELS, 30),
    "writers": lambda: data.by_assignment(np.arange(1000) % 30),
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_every_sample_at_most_once(split):
    table = split()
    assert len(table) == 30 and table.dtype == np.int32
    np.testing.assert_array_equal(partition.check_table(table, 1000), table)


def test_free_sizes_and_writers_leave_nothing_over():
    for table in (SPLITS["free"](), SPLITS["writers"]()):
        assert (table >= 0).sum() == 1000


@pytest.mark.parametrize("split", [data.dirichlet, data.dirichlet_free])
@pytest.mark.parametrize("alpha", [1e-300, 1e-8, 0.1, 1e8])
@pytest.mark.parametrize("nodes", [1, 30, 1000])
def test_any_alpha_and_any_number_of_nodes_ends(split, alpha, nodes):
    """Classes run out at every node but the first few when alpha is tiny."""
    table = split(LABELS, nodes, alpha)
    assert ((table >= 0).sum(axis=1) >= 1).all()


def test_alpha_sets_the_mix():
    effective = lambda alpha: np.mean(
        [1 / np.sum((row / row.sum()) ** 2) for row in data.label_counts(data.dirichlet(LABELS, 10, alpha), LABELS, 10)]
    )
    assert effective(0.01) < 2.5 < 8 < effective(1000)  # classes a node, as the inverse of summed squares


def test_rows_are_in_random_order():
    for table in (SPLITS["dirichlet"](), SPLITS["shards"]()):
        assert np.mean([(np.diff(LABELS[row]) < 0).any() for row in table]) > 0.5


def test_sorted_placement_makes_neighbours_alike():
    table = data.shards(LABELS, 50)
    jump = lambda table: np.abs(np.diff(LABELS[table].mean(axis=1))).mean()
    assert jump(partition.place(table, LABELS, "sorted")) < 0.2 * jump(table)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: data.dirichlet(LABELS, 10, 0), "alpha is 0; give a finite number above 0"),
        (lambda: data.dirichlet_free(LABELS, 10, -1), "alpha is -1"),
        (lambda: data.dirichlet(LABELS, 1001, 0.1), "nodes is 1001 and there are 1000"),
        (lambda: data.dirichlet_free(LABELS, 1001, 0.1), "nodes is 1001"),
        (lambda: data.dirichlet_free(LABELS, 100, 0.1, at_least=11), "at_least is 11.*at most 10"),
        (lambda: data.iid(LABELS, 0), "nodes is 0"),
        (lambda: data.shards(LABELS, 600), "1200 and there are 1000"),
        (lambda: data.by_assignment([]), "owners"),
        (lambda: partition.place(data.iid(LABELS, 3), LABELS, "sortd"), "did you mean 'sorted'"),
        (lambda: partition.check_table([[0.5]], 3), "float64"),
        (lambda: partition.check_table([[0, 3]], 3), "from 0 to 3 and there are 3"),
        (lambda: partition.check_table([[0, 1], [-1, 2]], 3), "row 1"),
        (lambda: partition.check_table([[-1, -1], [0, 2]], 3), "row 0"),
    ],
)
def test_bad_input_is_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()
