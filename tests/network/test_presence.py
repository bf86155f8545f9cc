"""Who is there: the laws of the draws, spells from a file, and what a round of absent nodes leaves as it was."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
from network.rounds import among, gradient, is_share, ring, run, unrelated

import telejax as tj
from telejax.network import draws, presence
from telejax.network.world import Moment, World

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, K = 12, 4
TASK = tj.tasks.quadratic(nodes=NODES, dim=3)
MOMENTUM = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.5)
TELEPORTATION = tj.teleportation(active=K, topology="ring", optimizer=MOMENTUM)
DSGD = tj.decentralized_sgd(topology="ring", optimizer=MOMENTUM)

SIDE = 400
ROUNDS = jnp.arange(SIDE, dtype=jnp.int32)


@pytest.mark.slow
def test_each_node_has_a_probability_of_its_own() -> None:
    rule = presence.epochs([0.0, 0.5, 1.0])
    seen = np.asarray(epochs_there(rule, jnp.arange(3, dtype=jnp.int32), ROUNDS)).mean(axis=0)
    assert seen[0] == 1 and seen[2] == 0 and 0.4 < seen[1] < 0.6
    alike = np.asarray(epochs_there(presence.epochs(0.5), jnp.arange(3, dtype=jnp.int32), ROUNDS))
    assert (alike[:, 1] == np.asarray(epochs_there(rule, jnp.arange(3, dtype=jnp.int32), ROUNDS))[:, 1]).all()
    run = tj.simulate(
        TELEPORTATION,
        TASK,
        rounds=20,
        network=tj.Network(presence=presence.epochs([0.0] * 6 + [1.0] * 6)),
        record=20,
        progress=False,
    )
    assert run.timeline()["node"].drop_nulls().max() < 6
    with pytest.raises(ValueError, match="presence is of 3 nodes, and the task has 12"):
        tj.simulate(TELEPORTATION, TASK, rounds=2, network=tj.Network(presence=rule), progress=False)


@jax.jit
def epochs_there(rule: presence.Epochs, nodes: jax.Array, rounds: jax.Array) -> jax.Array:
    return jax.vmap(lambda round: rule.present(World(), nodes, Moment(round)))(rounds)


def there(away: float, length: int = 1, *, first: int = 0, seed: int = 0) -> np.ndarray:
    """Rounds in rows, nodes in columns."""
    rule = presence.epochs(away, length, seed=seed)
    return np.asarray(epochs_there(rule, jnp.arange(first, first + SIDE, dtype=jnp.int32), ROUNDS))


# epochs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("first", [0, 10**8, 2**31 - 1 - SIDE])
def test_nodes_are_away_as_often_as_said(away: float, first: int) -> None:
    drawn = ~there(away, first=first)
    assert is_share(drawn, away)
    for axis in (0, 1):  # the largest of 400: 5.5 standard deviations, and 4 events where few are expected
        most = np.abs(drawn.mean(axis=axis) - away).max()
        assert most < 5.5 * np.sqrt(away * (1 - away) / SIDE) + 4 / SIDE


def test_nobody_and_everybody_is_away() -> None:
    assert there(0.0).all() and not there(1.0).any()


@pytest.mark.parametrize("length", [1, 7])
def test_a_node_is_there_or_away_for_a_whole_epoch(length: int) -> None:
    drawn = there(0.4, length)
    for epoch in range(SIDE // length):
        inside = drawn[epoch * length : (epoch + 1) * length]
        assert (inside == inside[0]).all()
    starts = drawn[::length]  # else a node that never changes would pass
    assert 0.4 < (starts[1:] != starts[:-1]).mean() < 0.56  # 2 * 0.4 * 0.6 = 0.48 of 22,800: more than 20 deviations
    assert is_share(~starts, 0.4)


def test_epochs_nodes_and_seeds_are_independent() -> None:
    drawn = there(0.4)
    assert unrelated(drawn[1:], drawn[:-1]) and unrelated(drawn[:, 1:], drawn[:, :-1])
    assert unrelated(drawn[1:, 1:], drawn[:-1, :-1]) and unrelated(drawn, drawn.T)
    assert unrelated(drawn, there(0.4, seed=1)) and unrelated(drawn, there(0.4, first=SIDE))
    assert not unrelated(drawn, there(0.4))


def test_a_node_is_as_present_among_ten_as_among_a_hundred_million() -> None:
    rule, nodes = presence.epochs(0.5), jnp.arange(10, dtype=jnp.int32)
    small, large = (tj.Network(presence=rule).bind(n).presence for n in (10, 10**8))
    np.testing.assert_array_equal(epochs_there(small, nodes, ROUNDS), epochs_there(large, nodes, ROUNDS))


@pytest.mark.slow
def test_epochs_cost_nothing_a_node() -> None:
    task = tj.tasks.quadratic(nodes=10**8, dim=3)
    network = tj.Network(presence=presence.epochs(0.5))
    state, told = run(TELEPORTATION, task, network, 20)
    assert max(x.size for x in jax.tree.leaves(state.world)) <= K * 3
    assert not told["stalled"].any() and told["holders"].max() > 10**7
    each = jax.vmap(lambda nodes, round: network.presence.present(World(), nodes, Moment(round)))
    assert each(jnp.asarray(told["holders"]), ROUNDS[:20]).all()


# markov ---------------------------------------------------------------------------------------------------------------


@functools.cache
def chain(leave: float, back: float, nodes: int = 2000, rounds: int = 100) -> np.ndarray:
    """Who is there in each round, (rounds + 1, nodes)."""
    rule = presence.markov(leave, back, seed=3)

    def one(world: World, round: jax.Array) -> tuple[World, jax.Array]:
        world = rule.ended(world, round)
        return world, world.node["present"]

    world = rule.start(World(), nodes, jnp.int32(0))
    _, told = jax.lax.scan(one, world, jnp.arange(1, rounds + 1, dtype=jnp.int32))
    return np.concatenate([np.asarray(world.node["present"])[None], np.asarray(told)])


@pytest.mark.parametrize(("leave", "back"), [(0.1, 0.3), (0.6, 0.2), (0.5, 1.0)])
def test_transitions_are_as_frequent_as_said_and_remember_nothing_more(leave: float, back: float) -> None:
    present = chain(leave, back)
    before, now = present[:-1], present[1:]
    assert is_share(~now[before], leave) and is_share(now[~before], back)
    earlier, before, now = present[:-2], present[1:-1], present[2:]
    for state, probability in ((True, leave), (False, back)):  # whatever was two rounds ago
        for past in (True, False):
            where = (before == state) & (earlier == past)
            assert not where.any() or is_share(now[where] != state, probability)


@pytest.mark.parametrize(("leave", "back"), [(0.1, 0.3), (0.6, 0.2), (0.5, 1.0)])
def test_a_chain_starts_in_its_long_run_and_stays_there(leave: float, back: float) -> None:
    away = leave / (leave + back)
    present = chain(leave, back)
    assert is_share(~present[0], away)
    assert is_share(~present[-1], away)
    # 2000 chains whose rounds are correlated by r = 1 - leave - back: their mean varies (1 + r) / (1 - r) as much
    memory = (2 - leave - back) / (leave + back)
    deviation = np.sqrt(away * (1 - away) * max(memory, 1) / present.size)
    assert abs((~present).mean() - away) < 5 * deviation
    assert unrelated(present[0, 1:], present[0, :-1]) and unrelated(present[-1, 1:], present[-1, :-1])


@pytest.mark.slow
def test_the_bits_change_where_they_are_drawn_and_nowhere_else() -> None:
    leave, back, nodes = 0.1, 0.3, 500
    network = tj.Network(presence=presence.markov(leave, back, seed=5))
    task = tj.tasks.quadratic(nodes=nodes, dim=3)
    key, every = jax.random.key(5), jnp.arange(nodes, dtype=jnp.int32)
    drawn = lambda p, round: np.asarray(draws.happens(key, draws.PRESENCE, p, every, jnp.int32(round)))
    present = ~drawn(leave / (leave + back), -1)
    for round in range(1, 9):
        present = np.where(present, ~drawn(leave, round), drawn(back, round))
    state, _ = run(TELEPORTATION, task, network, 8)
    np.testing.assert_array_equal(state.world.node["present"], present)


def test_a_chain_may_stand_still() -> None:
    assert chain(0.0, 0.0, 50, 5).all() and chain(0.0, 0.5, 50, 5).all()
    assert not chain(0.3, 0.0, 50, 5).any()  # in the long run all have left
    turns = chain(1.0, 1.0, 50, 5)
    assert (turns[1:] != turns[:-1]).all()


# traces ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spells(tmp_path: Path) -> Path:
    file = tmp_path / "spells.csv"
    file.write_text("up,down,node\n6,8,0\n0,2,0\n2,4,0\n0,10,3\n9.5,10,1\n")  # in any order; nobody says a word of 2
    return file


def test_spells_are_half_open_and_begin_again(spells: Path) -> None:
    rule = presence.trace(spells)
    nodes = jnp.arange(4, dtype=jnp.int32)
    moment = lambda seconds: Moment(jnp.int32(0), jnp.int32(seconds // 1), jnp.float32(seconds % 1))
    at = lambda seconds: np.asarray(rule.present(World(), nodes, moment(seconds))).tolist()
    assert rule.period == 10 * 2**rule.bits and np.shape(rule.begins) == (3, 4)
    assert at(0) == [True, False, False, True]
    assert at(2) == at(3.5) == [True, False, False, True]  # one spell ends where the next begins
    assert at(4) == at(5.9) == at(8) == at(9.4) == [False, False, False, True]
    assert at(6) == at(7.75) == [True, False, False, True]
    assert at(9.5) == [False, True, False, True]
    for seconds in (0, 2, 4, 6, 8, 9.5):
        assert at(seconds) == at(seconds + 10) == at(seconds + 1000)
    later = presence.trace(spells, period=16)
    assert not np.asarray(later.present(World(), nodes, moment(12))).any()


def test_availability_is_the_share_of_the_time(spells: Path) -> None:
    # node 2 is never there; its weight is the least, for weights are above 0
    np.testing.assert_allclose(presence.trace(spells).availability(), [0.6, 0.05, 1e-6, 1.0], rtol=1e-6)
    np.testing.assert_allclose(presence.trace(spells, period=20).availability(), [0.3, 0.025, 1e-6, 0.5], rtol=1e-6)


@pytest.mark.slow
def test_a_trace_says_who_may_be_drawn_when(tmp_path: Path) -> None:
    file = tmp_path / "shifts.csv"
    file.write_text("node,up,down\n" + "".join(f"{i},{5 * (i % 2)},{5 * (i % 2) + 5}\n" for i in range(NODES)))
    network = tj.Network(machines=tj.network.machines.constant(1.0), presence=presence.trace(file))
    _, told = run(TELEPORTATION, TASK, network, 30)  # a round takes a second: even nodes in five rounds, then odd ones
    np.testing.assert_array_equal(told["holders"] % 2, np.broadcast_to((np.arange(30) // 5 % 2)[:, None], (30, K)))


# rounds ---------------------------------------------------------------------------------------------------------------


def present_in(rule: presence.Epochs, rounds: int, nodes: int = NODES) -> np.ndarray:
    return np.asarray(epochs_there(rule, jnp.arange(nodes, dtype=jnp.int32), ROUNDS[:rounds]))


def test_only_present_nodes_are_drawn() -> None:
    rule = presence.epochs(0.3, length=2, seed=1)
    _, told = run(TELEPORTATION, TASK, tj.Network(presence=rule), 200)
    here = present_in(rule, 200)
    few = here.sum(axis=1) < K
    np.testing.assert_array_equal(told["stalled"][:, 0], few)
    drawn = np.take_along_axis(here, told["holders"], axis=1)
    assert drawn[~few].all() and not told["skipped"][~few].any()


@pytest.mark.slow
def test_a_round_of_too_few_leaves_all_as_it_was() -> None:
    rule = presence.epochs(0.6, seed=2)
    _, told = run(TELEPORTATION, TASK, tj.Network(presence=rule), 60)
    few = present_in(rule, 60).sum(axis=1) < K
    assert 10 < few.sum() < 50
    np.testing.assert_array_equal(told["stalled"][:, 0], few)
    (momentum,) = jax.tree.leaves(told["opt_state"])
    for round in range(1, 60):
        for kept in (told["params"], momentum):
            same = kept[round] == kept[round - 1]
            assert same.all() if few[round] else not same.any()
        assert not few[round] or (told["holders"][round] == told["holders"][round - 1]).all()
    assert (told["skipped"][:, 0] == K * few).all() and (told["unsent"][:, 0] == 2 * K * few).all()
    assert not told["handoffs"][few].any()


@pytest.mark.slow
def test_what_was_not_done_is_not_counted() -> None:
    rule = presence.epochs(0.6, seed=2)
    network = tj.Network(presence=rule, machines=tj.network.machines.constant(0.0))
    result = tj.simulate(TELEPORTATION, TASK, rounds=60, eval_every=20, network=network, progress=False)
    few = np.cumsum(present_in(rule, 60).sum(axis=1) < K)[[19, 39, 59]]
    worked, history = np.array([20, 40, 60]) - few, result.history[1:]
    assert history["stalled"].to_list() == few.tolist()
    assert history["gradients"].to_list() == (K * worked).tolist()
    assert history["messages_gossip"].to_list() == (2 * K * worked).tolist()
    assert history["bytes_gossip"].to_list() == (2 * K * worked * 12).tolist()
    assert history["time"].to_list() == few.tolist()  # wait = 1 second a round, and the others take none


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "nobody"),
    [
        pytest.param(TELEPORTATION, presence.epochs(1.0, limit=6), id="drawn"),
        pytest.param(TELEPORTATION, presence.markov(0.5, 0.0, limit=6), id="markov"),
        pytest.param(DSGD, presence.epochs(1.0, limit=6), id="all"),
    ],
)
def test_a_run_without_anybody_ends(algorithm: tj.Algorithm, nobody: presence.Presence) -> None:
    network, seen = tj.Network(presence=nobody), []
    with pytest.raises(ValueError, match=r"presence had too few nodes there in 6 rounds.*up to round 6") as caught:
        tj.simulate(algorithm, TASK, rounds=99, eval_every=3, network=network, on_evaluation=seen.append)
    assert "make fewer nodes active, or more present, or raise its limit of 6" in str(caught.value)
    before = seen[1]
    assert before["stalled"].item() == 3 and before["gradients"].item() == before["messages"].item() == 0


def test_time_goes_on_where_nobody_is_there(tmp_path: Path) -> None:
    """Otherwise a trace with a gap would never come to its end: who is there is a matter of the time."""
    file = tmp_path / "days.csv"
    file.write_text("node,up,down\n" + "".join(f"{node},0,5\n" for node in range(NODES)))
    nights = presence.trace(file, period=8.0, wait=1.5)
    network = tj.Network(machines=tj.network.machines.constant(1.0), presence=nights)
    rows = tj.simulate(DSGD, TASK, rounds=9, eval_every=1, network=network, progress=False).history
    # five rounds of a second; two of 1.5 in which nobody is there, at 5 and 6.5; from 8, the next day, two of a second
    assert rows["time"].to_list() == pytest.approx([0, 1, 2, 3, 4, 5, 6.5, 8, 9, 10])
    assert rows["stalled"].to_list() == [0, 0, 0, 0, 0, 0, 1, 2, 2, 2]
    assert rows["gradients"].to_list() == [NODES * round for round in (0, 1, 2, 3, 4, 5, 5, 5, 6, 7)]


@pytest.mark.slow
def test_rounds_of_too_few_are_only_counted_in_a_row() -> None:
    rule = presence.epochs(0.6, seed=2, limit=6)
    longest = max(map(len, "".join("x" if few else " " for few in present_in(rule, 60).sum(axis=1) < K).split()))
    assert longest < 6
    network = tj.Network(presence=rule)
    result = tj.simulate(TELEPORTATION, TASK, rounds=60, eval_every=1, network=network, progress=False)
    assert result.final()["stalled"].item() > 6


@pytest.mark.slow
def test_an_absent_node_keeps_its_model_and_its_edges_are_dropped() -> None:
    rule = presence.epochs(0.4, seed=4)
    start = DSGD.bind(TASK).init(jax.random.key(9), TASK)
    _, told = run(DSGD, TASK, tj.Network(presence=rule), 12)
    here, matrix = present_in(rule, 12), ring(NODES)
    params, momentum = np.asarray(start.params), np.zeros((NODES, 3))
    (after,) = jax.tree.leaves(told["opt_state"])
    for round, present in enumerate(here):
        absent, mixed = ~present, among(matrix, present)
        assert absent.any() and present.any()
        assert (told["params"][round][absent] == params[absent]).all()  # bit for bit
        assert (after[round][absent] == momentum[absent]).all()
        moved = 0.5 * momentum + gradient(TASK, params, np.arange(NODES))
        expected = mixed @ np.where(present[:, None], params - 0.05 * moved, params)
        # float32 sums of a dozen numbers of order one
        np.testing.assert_allclose(told["params"][round][present], expected[present], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(after[round][present], moved[present], rtol=1e-5, atol=1e-5)
        unsent = np.count_nonzero((matrix != 0) & ~np.eye(NODES, dtype=bool) & ~(present[:, None] & present[None]))
        assert told["unsent"][round] == unsent and told["skipped"][round] == absent.sum()
        params, momentum = told["params"][round], after[round]
    assert not told["stalled"].any()


SOLO = {
    "dsgd": DSGD,
    "all-reduce": tj.all_reduce_sgd(optimizer=MOMENTUM),
    "gradient tracking": tj.gradient_tracking(
        topology="complete", optimizer=tj.optimizer(optax.sgd, learning_rate=0.01)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLO)
def test_every_method_meets_the_same_absences(name: str) -> None:
    rule = presence.epochs(0.3, length=2, seed=7)
    network = tj.Network(presence=rule)
    result = tj.simulate(SOLO[name], TASK, rounds=6, seed=len(name), network=network, record=6, progress=False)
    worked = result.timeline().select(pl.col("node").is_not_null().alias("there"))["there"].to_numpy()
    np.testing.assert_array_equal(worked.reshape(6, NODES), present_in(rule, 6))
