"""Every form of mixing against NumPy: what is kept and sent, what a slot hears, what is left when messages are lost."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.mixing import forms, means
from telejax.mixing.compose import Blocks, Periodic, Permuted
from telejax.mixing.drawn import RandomActivation, RandomPeers
from telejax.topology import lower

pytestmark = pytest.mark.usefixtures("compiled_fast")

T = tj.topology
SERVER = forms.SERVER  # the last row and column of tables of arrivals

# sums of at most 40 products of numbers of order one: 40 roundings of 2^-24 and of 2^-53
ROUNDED = {"float32": {"rtol": 0, "atol": 5e-6}, "float64": {"rtol": 0, "atol": 1e-14}}


@dataclass(frozen=True)
class Form:
    """A form on the device, the topology whose matrices it must have, and whether a zero weight hides a NaN."""

    kind: type
    build: Callable[[], tuple[tj.topology.Topology, forms.Mixing]]
    hides: bool = True


def of(topology: tj.topology.Topology) -> tuple[tj.topology.Topology, forms.Mixing]:
    return topology, topology.mixing()


def directed() -> tj.topology.Topology:
    """A column-stochastic graph of 9 nodes with one to four out-links."""
    links = np.random.default_rng(3).random((9, 9)) < 0.3
    np.fill_diagonal(links, True)
    links[np.arange(9), np.arange(9) - 1] = True
    return T.directed(links / links.sum(axis=0), stochastic="column")


def edges() -> tuple[tj.topology.Topology, forms.Mixing]:
    """A star as a list of edges; otherwise they are for more than 4096 nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "MAX_DENSE_NODES", 8)
        return of(T.star(40))


def mean(transport: str) -> tuple[tj.topology.Topology, forms.Mixing]:
    return T.complete(9), means.Mean("mean", 9, (0,), transport=transport)


def permuted() -> tuple[tj.topology.Topology, forms.Mixing]:
    """A star in other roles; topologies permute all but drawn rounds and blocks on the host."""
    order = np.array([3, 0, 7, 1, 8, 2, 6, 4, 5], np.int32)
    return T.permuted(T.star(9), order), Permuted(T.star(9).mixing(), order, np.argsort(order).astype(np.int32))


def permuted_server() -> tuple[tj.topology.Topology, forms.Mixing]:
    order = np.array([3, 0, 7, 1, 8, 2, 6, 4, 5], np.int32)
    return T.complete(9), Permuted(mean("server")[1], order, np.argsort(order).astype(np.int32))


def periodic(names: tuple[str, ...] = ("ring", "star", "complete", "random_matching")) -> tj.topology.Topology:
    return T.sequence([T.from_spec(name, 40) for name in names])


def blocks() -> tj.topology.Topology:
    """Two lists that are joined, a mean, a star that is dense, drawn pairs."""
    parts = [T.ring(5), T.path(3), T.complete(4), T.star(36), T.random_matching(5)]
    return T.block_diagonal(parts)


def blocks_on_the_device() -> tuple[tj.topology.Topology, forms.Mixing]:
    """Groups with their own periods, of which lists of one period are joined."""
    parts = [T.one_peer_exponential(8), T.one_peer_exponential(8), T.ring(6), T.star(3), T.complete(4)]
    return T.block_diagonal(parts), tj.block_diagonal([part.mixing() for part in parts])


FORMS = {
    "shared weights": Form(forms.Neighbours, lambda: of(T.ring(9))),
    "own weights": Form(forms.Neighbours, lambda: of(T.path(9))),
    "padded": Form(forms.Neighbours, lambda: of(T.star(9))),
    "a period": Form(forms.Neighbours, lambda: of(T.one_peer_exponential(9))),
    "padded period": Form(forms.Neighbours, lambda: of(T.base_graph(9))),
    "directed": Form(forms.Neighbours, lambda: of(directed())),
    "one slot": Form(means.Mean, lambda: of(T.ring(1)), hides=False),
    "dense": Form(forms.Dense, lambda: of(T.star(40)), hides=False),
    "mean": Form(means.Mean, lambda: of(T.complete(9)), hides=False),
    "lazy mean": Form(means.Mean, lambda: of(T.with_self_loops(T.complete(9), 0.3)), hides=False),
    "mean over a server": Form(means.Mean, lambda: mean("server"), hides=False),
    "mean by all-reduce": Form(means.Mean, lambda: mean("all_reduce"), hides=False),
    "edges": Form(forms.Edges, edges),
    "offset peers": Form(RandomPeers, lambda: of(T.od_equidyn(9, seed=1))),
    "offset matchings": Form(RandomPeers, lambda: of(T.ou_equidyn(9, seed=1))),
    "uniform matchings": Form(RandomPeers, lambda: of(T.random_matching(9, seed=1))),
    "several peers": Form(RandomPeers, lambda: of(T.epidemic(9, peers=3, seed=1))),
    "active matchings": Form(RandomActivation, lambda: of(T.matcha(9, seed=1))),
    "permuted": Form(Permuted, permuted),
    "permuted server": Form(Permuted, permuted_server, hides=False),
    "permuted blocks": Form(Permuted, lambda: of(T.permuted(blocks(), np.arange(53)[::-1])), hides=False),
    "permuted matchings": Form(Permuted, lambda: of(T.permuted(T.ou_equidyn(9), np.roll(np.arange(9), 2)))),
    "periodic": Form(Periodic, lambda: of(periodic()), hides=False),
    "periodic lists": Form(Periodic, lambda: of(periodic(("path", "random_matching")))),
    "blocks": Form(Blocks, lambda: of(blocks()), hides=False),
    "blocks of periods": Form(Blocks, blocks_on_the_device, hides=False),
}
ROUNDS = range(5)


ARRIVALS = {"asymmetric": 0.6, "symmetric": 0.4, "all": 1.0, "none": 0.0}


WIDE = ("own weights", "dense", "mean", "mean over a server", "edges", "several peers", "periodic", "blocks")
"""Forms that are tried in float64 too, one of each kind."""


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.fixture(
    params=[(name, "float32") for name in FORMS] + [(name, "float64") for name in WIDE], ids=lambda both: "-".join(both)
)
def form_in_width(request):
    """A form, and a width of floats for the duration of a test."""
    name, width = request.param
    with jax.enable_x64(width == "float64"):
        yield FORMS[name], width


def tree(slots: int, seed: int, dtype: str) -> dict[str, np.ndarray]:
    """Leaves of two ranks."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(slots, *shape)).astype(dtype) for name, shape in (("one", ()), ("three", (2, 2)))}


def table_of(slots: int, arriving: str) -> np.ndarray:
    """Whether what a sender (row) sends to a receiver (column) arrives; the server is the last of both."""
    draws = np.random.default_rng(7).random((slots + 1, slots + 1))
    return (np.minimum(draws, draws.T) if arriving == "symmetric" else draws) < ARRIVALS[arriving]


def arrivals(table) -> forms.Arrives:
    """The table as ``delivered`` asks for it."""
    return lambda sender, receiver: jnp.asarray(table)[sender, receiver]


@jax.jit
def applied(mixing, round, table, kept, sent):
    """All that a form can do, in one program; twice, as it is and with what of it is delivered."""
    delivered = mixing.delivered(round, arrivals(table))
    results = []
    for one, t in ((mixing, round), (delivered.mixing, 0)):
        results.append((tj.mix(one, kept, t, sent=sent), tj.mix(one, kept, t), *tj.neighbours(one, t)))
    return *results, delivered.lost, delivered.surplus


def formula(matrix: np.ndarray, kept: np.ndarray, sent: np.ndarray) -> np.ndarray:
    """``diag(W) kept + (W - diag(W)) sent``, in float64."""
    own = np.diag(np.diag(matrix))
    return np.tensordot(own, kept.astype(float), axes=1) + np.tensordot(matrix - own, sent.astype(float), axes=1)


def as_matrix(indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """W from what each slot hears; the first row names the slot itself, as does padding."""
    indices, weights = np.asarray(indices), np.asarray(weights, float)
    slots = np.arange(indices.shape[1])
    assert indices.dtype == np.int32 and indices.shape == weights.shape
    assert (indices[0] == slots).all()
    assert (weights[1:][indices[1:] == slots] == 0).all()
    matrix = np.zeros((len(slots), len(slots)))
    np.add.at(matrix, (np.broadcast_to(slots, indices.shape), indices), weights)
    return matrix


def check_mixed(matrix, kept, sent, mixed, width):
    for name, leaf in mixed.items():
        assert leaf.dtype == width and leaf.shape == kept[name].shape
        np.testing.assert_allclose(leaf, formula(matrix, kept[name], sent[name]), **ROUNDED[width])


@pytest.mark.fast_cases(
    "shared weights-float32",
    "padded-float32",
    "dense-float32",
    "mean-float32",
    "edges-float32",
    "uniform matchings-float32",
)
def test_what_is_kept_and_what_is_sent(form_in_width):
    form, width = form_in_width
    topology, mixing = form.build()
    assert type(mixing) is form.kind
    kept, sent = (tree(topology.nodes, seed, width) for seed in (0, 1))
    # weights are rounded once, those of a mean are divided on the device: two roundings
    rtol = {"float32": 2.0**-22, "float64": 2.0**-50}[width]
    for t in ROUNDS:
        matrix = topology.matrix(t)
        (mixed, alone, *rows), *_ = applied(mixing, np.int32(t), table_of(topology.nodes, "all"), kept, sent)
        check_mixed(matrix, kept, sent, mixed, width)
        check_mixed(matrix, kept, kept, alone, width)
        np.testing.assert_allclose(as_matrix(*rows), matrix, rtol=rtol)
        assert len(rows[0]) == mixing.degree
    (mixed, alone, *_), *_ = applied(mixing, np.int32(0), table_of(topology.nodes, "all"), kept, kept)
    for name, leaf in mixed.items():
        np.testing.assert_allclose(leaf, alone[name], **ROUNDED[width])


# matrix products and means read every row, and 0 x NaN is NaN
@pytest.mark.fast_cases("shared weights", "padded", "edges", "uniform matchings")
@pytest.mark.parametrize("form", [name for name in FORMS if FORMS[name].hides], indirect=True)
def test_a_nan_reaches_only_those_who_hear_it(form):
    topology, mixing = form.build()
    kept, table = tree(topology.nodes, 0, "float32"), table_of(topology.nodes, "asymmetric")
    for t in ROUNDS:
        for b in (0, topology.nodes // 2, topology.nodes - 1):
            sent = {name: leaf.copy() for name, leaf in kept.items()}
            for leaf in sent.values():
                leaf[b] = np.nan
            hears = (topology.matrix(t)[:, b] != 0) & (np.arange(topology.nodes) != b)
            (mixed, *_), (left, *_), *_ = applied(mixing, np.int32(t), table, kept, sent)
            np.testing.assert_array_equal(np.isnan(mixed["one"]), hears)
            np.testing.assert_array_equal(np.isnan(left["one"]), hears & table[b, :SERVER])
            np.testing.assert_array_equal(np.isnan(left["three"]).any(axis=(1, 2)), hears & table[b, :SERVER])


def without(matrix: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix whose lost messages fall to their receivers, and how many each of them lost; by loops."""
    left, lost = matrix.copy(), np.zeros(len(matrix), int)
    for a in range(len(matrix)):
        for b in range(len(matrix)):
            if a != b and matrix[a, b] != 0 and not table[b, a]:
                left[a, a] += left[a, b]
                left[a, b] = 0
                lost[a] += 1
    return left, lost


def served(matrix: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same over a server, which averages what arrives; where nothing does, nothing is sent back."""
    slots = len(matrix)
    up = [b for b in range(slots) if table[b, SERVER]]
    left, lost = np.eye(slots), np.zeros(slots, int)
    for a in range(slots):
        lost[a] = int(not table[a, SERVER]) + int(not table[SERVER, a])
        if up and table[SERVER, a]:
            left[a] = 0
            left[a, up] = 1 / len(up)
    return left, lost


def by_hand(mixing: forms.Mixing, matrix: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    part = mixing.part if isinstance(mixing, Permuted) else mixing
    transport = part.transport if isinstance(part, means.Mean) else "all_to_all"
    if transport == "all_reduce":
        return matrix, np.zeros(len(matrix))
    return (served if transport == "server" else without)(matrix, table)


@pytest.mark.fast_cases(
    "shared weights-float32",
    "padded-float32",
    "dense-float32",
    "mean-float32",
    "edges-float32",
    "uniform matchings-float32",
)
def test_lost_messages_fall_to_their_receivers(form_in_width):
    form, width = form_in_width
    check_delivered(*form.build(), width)


def check_delivered(topology: tj.topology.Topology, mixing: forms.Mixing, width: str) -> None:
    kept, sent = (tree(topology.nodes, seed, width) for seed in (0, 1))
    for t, arriving in itertools.product(ROUNDS, ARRIVALS):
        matrix, table = topology.matrix(t), table_of(topology.nodes, arriving)
        left, lost = by_hand(mixing, matrix, table)
        _, (mixed, alone, *rows), lost_by, surplus = applied(mixing, np.int32(t), table, kept, sent)
        assert lost_by.dtype == np.int32
        np.testing.assert_array_equal(lost_by, lost)
        found = as_matrix(*rows)
        np.testing.assert_allclose(found, left, **ROUNDED[width])
        np.testing.assert_allclose(found.sum(axis=1), matrix.sum(axis=1), **ROUNDED[width])
        np.testing.assert_allclose(surplus, left.sum(axis=0) - matrix.sum(axis=0), **ROUNDED[width])
        check_mixed(left, kept, sent, mixed, width)
        check_mixed(left, kept, kept, alone, width)


@pytest.mark.slow
def test_a_server_among_other_groups_stays_the_server():
    _, server = mean("server")
    table = table_of(18, "asymmetric")
    both = tj.block_diagonal([server, server]).delivered(jnp.int32(0), arrivals(table))
    for start, found in ((0, both.mixing.parts[0]), (9, both.mixing.parts[1])):
        places = [*range(start, start + 9), SERVER]
        left, lost = served(np.eye(9), table[np.ix_(places, places)])
        np.testing.assert_allclose(as_matrix(*tj.neighbours(found)), left, **ROUNDED["float32"])
        np.testing.assert_array_equal(both.lost[start : start + 9], lost)


def test_symmetric_losses_conserve_the_mean():
    delivered = T.path(9).mixing().delivered(jnp.int32(0), arrivals(table_of(9, "symmetric")))
    assert 0 < delivered.lost.sum() < 16
    np.testing.assert_allclose(delivered.surplus, 0, atol=1e-7)  # two float32 weights of order one


def large_blocks() -> forms.Mixing:
    return T.sequence([T.block_diagonal([T.complete(40)] * 110), T.random_matching(4400)]).mixing()


@pytest.mark.parametrize("build", [lambda: T.complete(4097).mixing(), large_blocks], ids=["mean", "periodic"])
def test_too_many_messages_to_lose_are_refused(build):
    with pytest.raises(ValueError, match="at most 4096"):
        jax.eval_shape(lambda mixing: mixing.delivered(jnp.int32(0), lambda one, other: one != other), build())


def test_too_long_lists_are_refused():
    largest = jax.eval_shape(lambda: tj.neighbours(T.complete(4096).mixing()))
    assert largest[0].shape == (4096, 4096)
    with pytest.raises(
        ValueError, match=r"over 4097 slots, whose neighbour lists have 16785409 entries; at most 16777"
    ):
        tj.neighbours(T.complete(4097).mixing())
    with pytest.raises(ValueError, match="at most 16777216 are listed"):
        tj.neighbours(T.star(5000).mixing())


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_weights_are_not_rounded_to_integers(dtype):
    leaf = np.ones((4, 2), dtype)
    for tree in ({"kept": leaf}, {"kept": leaf * 1.0, "sent": leaf}):
        with pytest.raises(ValueError, match=f"has a leaf of {dtype}; weights are fractions, give floats"):
            tj.mix(tj.topology.ring(4).mixing(), **tree)
