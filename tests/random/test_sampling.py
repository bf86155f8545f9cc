"""Drawing k distinct nodes: exactly uniform over ordered tuples, in memory that does not grow with n."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.backend.memory import compared_pairwise
from telejax.random.sampling import MAX_NODES, SURPLUS, first_occurrence, sample_weighted

pytestmark = pytest.mark.usefixtures("compiled_fast")

KEYS = 60_000


@partial(jax.jit, static_argnames=("nodes", "count", "draws"))
def draw(key, nodes: int, count: int, draws: int):
    return jax.vmap(lambda key: tj.sample_distinct(key, nodes, count))(jax.random.split(key, draws))


@pytest.mark.fast_cases("1-1", "7-7", "100-26", "100000000-300")
@pytest.mark.parametrize(
    ("nodes", "count"),
    [(1, 1), (2, 2), (7, 7), (7, 1), (100, 25), (100, 26), (1000, 200), (10**8, 300), (MAX_NODES, 64)],
)
def test_nodes_are_distinct_and_in_range(nodes: int, count: int) -> None:
    drawn = draw(jax.random.key(1), nodes, count, draws=50)
    assert drawn.dtype == jnp.int32 and drawn.shape == (50, count)
    values = np.asarray(drawn)
    assert values.min() >= 0 and values.max() < nodes
    assert all(len(set(row)) == count for row in values.tolist())
    if count == nodes:
        assert (np.sort(values, axis=1) == np.arange(nodes)).all()
        assert nodes < 7 or len({tuple(row) for row in values.tolist()}) > 40  # 50 draws of 5040 orders


@pytest.mark.fast_cases("8-2", "5-3")
@pytest.mark.parametrize(
    ("nodes", "count"),
    [(8, 2), (12, 3), (9, 1), (5, 2), (5, 3), (4, 4), (4, 1)],
    ids=lambda number: str(number),
)
def test_every_ordered_tuple_is_equally_likely(nodes: int, count: int) -> None:
    """The first three have 4 k <= n and are drawn with replacement; the others are permutations."""
    drawn = np.asarray(draw(jax.random.key(2), nodes, count, draws=KEYS), np.int64)
    codes = drawn @ nodes ** np.arange(count)
    counts = np.bincount(codes, minlength=nodes**count)
    possible = [code for code in range(nodes**count) if len(set(np.unravel_index(code, [nodes] * count))) == count]
    assert counts.sum() == counts[possible].sum() == KEYS
    expected = KEYS / len(possible)
    statistic = np.sum((counts[possible] - expected) ** 2) / expected
    degrees = len(possible) - 1
    assert expected > 40  # so that the statistic is chi-square; five deviations: less than once in 10^5
    assert abs(statistic - degrees) < 5 * np.sqrt(2 * degrees) + 5


def test_large_n_is_covered_evenly() -> None:
    """With n = 2^31 - 1 there is no table of nodes; the draws fall evenly into 64 equal ranges."""
    drawn = np.asarray(draw(jax.random.key(3), MAX_NODES, 32, draws=2000), np.int64)
    counts = np.bincount((drawn * 64 // MAX_NODES).ravel(), minlength=64)
    statistic = np.sum((counts - 1000) ** 2 / 1000)
    assert abs(statistic - 63) < 5 * np.sqrt(2 * 63)


@pytest.mark.parametrize("count", [compared_pairwise(), compared_pairwise() + 1, 400])
def test_first_occurrence_either_way(count: int) -> None:
    values = np.random.default_rng(count).integers(0, count // 2, size=count).astype(np.int32)
    seen: set[int] = set()
    expected = [not (value in seen or seen.add(value)) for value in values.tolist()]
    assert first_occurrence(jnp.asarray(values)).tolist() == expected


@pytest.mark.slow
def test_too_few_distinct_are_drawn_again() -> None:
    """Of 8 nodes for k = 2, four draws are all equal once in 512 keys; a pair is distinct all the same."""
    keys = jax.random.split(jax.random.key(4), 4000)
    first = jax.vmap(lambda key: jax.random.randint(jax.random.split(key)[1], (4,), 0, 8))(keys)
    unlucky = np.flatnonzero([len(set(row)) == 1 for row in np.asarray(first).tolist()])
    assert len(unlucky) > 0
    drawn = np.asarray(draw(jax.random.key(4), 8, 2, draws=4000))[unlucky]
    assert (drawn[:, 0] != drawn[:, 1]).all()


@pytest.mark.slow
def test_jit_vmap_and_eager_draw_the_same() -> None:
    for nodes, count in [(100, 8), (10, 8)]:
        together = draw(jax.random.key(5), nodes, count, draws=6)
        keys = jax.random.split(jax.random.key(5), 6)[::3]
        alone = [tj.sample_distinct(key, nodes, count) for key in keys]
        assert (together[::3] == jnp.stack(alone)).all()


def largest(jaxpr) -> int:
    """Elements of the largest array anywhere in a traced program, inner programs included."""
    sizes = [v.aval.size for e in jaxpr.eqns for v in e.outvars if hasattr(v.aval, "size")]
    parts = [leaf for e in jaxpr.eqns for value in e.params.values() for leaf in jax.tree.leaves(value)]
    inner = [getattr(part, "jaxpr", part) for part in parts]
    return max([0, *sizes, *(largest(one) for one in inner if hasattr(one, "eqns"))])


@pytest.mark.parametrize("count", [16, 300])
def test_no_array_grows_with_the_number_of_nodes(count: int) -> None:
    program = jax.make_jaxpr(lambda key: tj.sample_distinct(key, 10**8, count))(jax.random.key(0))
    most = largest(program.jaxpr)
    assert 2 * count <= most <= (2 * count + SURPLUS) ** 2  # the pairs of all draws at most
    whole = jax.make_jaxpr(lambda key: jax.random.choice(key, 10**4, (4,), replace=False))(jax.random.key(0))
    assert largest(whole.jaxpr) >= 10**4  # the check does see inner programs


@pytest.mark.parametrize(
    ("nodes", "count", "message"),
    [
        (0, 1, "nodes is 0; give an integer from 1"),
        (2**31, 1, "nodes is 2147483648; give an integer from 1 to 2147483647"),
        (5, 6, "count is 6 of 5 nodes; draw at least 1"),
        (5, 0, "count is 0; give an integer of at least 1"),
    ],
)
def test_sizes_out_of_range_are_refused(nodes: int, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tj.sample_distinct(jax.random.key(0), nodes, count)


@pytest.mark.parametrize("tabled", [True, False])
def test_weights_that_hardly_any_draw_meets_are_drawn_from_their_table(tabled: bool) -> None:
    """Of 5000 nodes one has weight 1 and two 2^-30: 4096 turns of 6 draws meet these in one of 10^5 cases."""
    weight = lambda node: jnp.where(node == 7, 1.0, jnp.where(node % 2500 == 0, 2.0**-30, 0.0))
    draw = jax.jit(lambda key: sample_weighted(key, 5000, 3, weight, tabled=tabled))
    drawn, enough = draw(jax.random.key(0))
    assert bool(enough) == tabled and (not tabled or sorted(drawn.tolist()) == [0, 7, 2500])
