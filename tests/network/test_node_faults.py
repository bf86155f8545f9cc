"""Fetches and holders that fail: how often, for how long, and from where their slots go on, round by round in NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from network.rounds import among, fits, gradient, is_share, ring, run

import telejax as tj
from telejax.network import draws, faults
from telejax.network.faults import POLICIES

pytestmark = [pytest.mark.usefixtures("compiled_fast"), pytest.mark.slow]

NODES, K, ROUNDS = 12, 5, 12
TASK = tj.tasks.quadratic(nodes=NODES, dim=3)
RATE, MOMENTUM = 0.05, 0.5
HEAVY = tj.optimizer(optax.sgd, learning_rate=RATE, momentum=MOMENTUM)
TELEPORTATION = tj.teleportation(active=K, topology="ring", optimizer=HEAVY)
SIDE = 20_000


# how often ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 3])
@pytest.mark.parametrize("probability", [0.2, 0.6])
def test_attempts_in_vain_are_geometric_up_to_the_last_one(retries: int, probability: float) -> None:
    rule = faults.independent(hand_off=probability, retries=retries)
    old, new = jnp.arange(SIDE, dtype=jnp.int32), jnp.arange(1, SIDE + 1, dtype=jnp.int32)
    vain, failed = map(np.asarray, rule.fetches(jax.random.key(1), old, new, jnp.ones(SIDE, bool)))
    law = probability ** np.arange(retries + 2) * np.append(np.full(retries + 1, 1 - probability), 1.0)
    assert fits(np.bincount(vain, minlength=retries + 2), law)
    np.testing.assert_array_equal(failed, vain == retries + 1)
    assert is_share(failed, probability ** (retries + 1))
    other = np.asarray(rule.fetches(jax.random.key(2), old, new, jnp.ones(SIDE, bool))[0])
    assert fits(np.histogram2d(vain, other, bins=retries + 2)[0][:2, :2], square(law[:2]))  # rounds are independent


def square(law: np.ndarray) -> np.ndarray:
    """Of an independent pair, both of which are among these."""
    pairs = np.outer(law, law)
    return pairs / pairs.sum()


def test_what_did_not_move_is_not_fetched() -> None:
    rule, nodes = faults.independent(hand_off=1.0, retries=4), jnp.arange(6, dtype=jnp.int32)
    moved = jnp.array([True, False] * 3)
    vain, failed = rule.fetches(jax.random.key(0), nodes, nodes, moved)
    np.testing.assert_array_equal(vain, 5 * moved)
    np.testing.assert_array_equal(failed, moved)
    vain, failed = faults.independent(hand_off=0.0).fetches(jax.random.key(0), nodes, nodes, moved)
    assert not vain.any() and not failed.any()


@pytest.mark.parametrize("first", [0, 10**8])
def test_holders_fail_as_often_as_said(first: int) -> None:
    rule = faults.independent(failure=0.05)
    nodes = jnp.arange(first, first + SIDE, dtype=jnp.int32)
    one, other = (np.asarray(rule.fails(jax.random.key(key), nodes)) for key in range(2))
    assert is_share(one, 0.05) and is_share(one & other, 0.05**2)
    fetch = np.asarray(draws.happens(jax.random.key(0), draws.FETCH, 0.05, nodes, jnp.int32(0)))
    assert is_share(one & fetch, 0.05**2)  # another cause, another draw


# from where slots go on -----------------------------------------------------------------------------------------------


def kept(told: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Parameters, momentum and what else there is of every round, (rounds, slots, 3)."""
    (momentum,) = jax.tree.leaves(told["opt_state"])
    return (told["params"], momentum, *jax.tree.leaves(told["memory"]))


def gone_on(rows: np.ndarray, gone: np.ndarray, policy: str, initial: np.ndarray) -> np.ndarray:
    """Rows of slots that are lost, taken from elsewhere: from what there was, the next slot, or the start."""
    other = {"rollback": rows, "neighbour": np.roll(rows, -1, axis=0), "lost": np.broadcast_to(initial, rows.shape)}
    return np.where(gone[:, None], other[policy], rows)


def round_by_hand(
    policy: str, rows: tuple[np.ndarray, ...], holders: np.ndarray, unfetched: np.ndarray, broke: np.ndarray
) -> tuple[np.ndarray, ...]:
    """One round of TELEPORTATION: what cannot be fetched goes on at once, those whose holder failed after the round."""
    start = np.zeros(3), np.zeros(3)  # a quadratic begins at zero, without momentum
    if policy != "rollback":
        rows = tuple(gone_on(part, unfetched, policy, first) for part, first in zip(rows, start, strict=True))
    works = ~broke & ~(unfetched if policy == "rollback" else np.zeros_like(broke))
    momentum = MOMENTUM * rows[1] + gradient(TASK, rows[0], holders)
    after = among(ring(K), works) @ np.where(works[:, None], rows[0] - RATE * momentum, rows[0]), momentum
    ended = tuple(np.where(works[:, None], new, old) for new, old in zip(after, rows, strict=True))
    return tuple(gone_on(part, broke, policy, first) for part, first in zip(ended, start, strict=True))


@pytest.mark.fast_cases("rollback")
@pytest.mark.parametrize("policy", POLICIES)
def test_a_round_with_faults_is_that_of_numpy(policy: Any) -> None:
    rule = faults.independent(hand_off=0.6, failure=0.3, retries=1, recovery=policy)
    state, told = run(TELEPORTATION, TASK, tj.Network(faults=rule), ROUNDS)
    assert state.round == ROUNDS
    rows, old = (np.zeros((K, 3)), np.zeros((K, 3))), np.full(K, -1)
    seen = {"unfetched": 0, "broke": 0, "both": 0}
    for round in range(ROUNDS):
        key = jax.random.fold_in(jax.random.key(0), round)
        drawn = np.asarray(tj.sample_distinct(jax.random.split(key)[0], NODES, K))
        moved = (drawn != old) & (round > 0)
        vain, unfetched = map(np.asarray, rule.fetches(key, jnp.asarray(old), jnp.asarray(drawn), jnp.asarray(moved)))
        holders = np.where(unfetched, old, drawn) if policy == "rollback" else drawn
        idle = unfetched & (policy == "rollback")
        broke = np.asarray(rule.fails(key, jnp.asarray(holders))) & ~idle
        np.testing.assert_array_equal(told["holders"][round], holders)
        expected = round_by_hand(policy, rows, holders, unfetched, broke)
        rows = tuple(part[round] for part in kept(told))
        for ours, theirs in zip(rows, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)  # float32 sums of numbers of order one
        failed = (unfetched | broke).sum()
        assert told["retries"][round] == vain.sum() and told["failed"][round] == failed
        assert told["recovered"][round] == (0 if policy == "lost" else failed)
        assert told["skipped"][round] == idle.sum()  # one that fails has computed
        silent = (ring(K) != 0) & ~np.eye(K, dtype=bool) & ((idle | broke)[:, None] | (idle | broke)[None])
        assert told["unsent"][round] == silent.sum()
        assert told["handoffs"][round] == (moved & (~unfetched | (policy == "neighbour"))).sum()
        for name, events in (("unfetched", unfetched), ("broke", broke), ("both", unfetched & broke)):
            seen[name] += events.sum()
        old = holders
    assert min(seen["unfetched"], seen["broke"]) > 5 and (seen["both"] > 0) == (policy != "rollback")


@pytest.mark.fast_cases("rollback")
@pytest.mark.parametrize("policy", POLICIES)
def test_memory_and_momentum_go_on_with_their_slot(policy: Any) -> None:
    """Quasi-global momentum keeps a memory of every slot, here beside a momentum of the optimizer."""
    rule, beta, mu = faults.independent(failure=0.3, recovery=policy), 0.4, 0.8
    algorithm = tj.quasi_global_momentum(topology="ring", optimizer=HEAVY, beta=beta, mu=mu)
    _, told = run(algorithm, TASK, tj.Network(faults=rule), ROUNDS)
    rows, nodes = (np.zeros((NODES, 3)),) * 3, np.arange(NODES)
    for round in range(ROUNDS):
        x, momentum, memory = rows
        key = jax.random.fold_in(jax.random.key(0), round)
        broke = np.asarray(rule.fails(key, jnp.arange(NODES, dtype=jnp.int32)))
        heavier = MOMENTUM * momentum + gradient(TASK, x, nodes) + beta * memory
        new = among(ring(NODES), ~broke) @ (x - RATE * heavier)
        after = new, heavier, mu * memory + (1 - mu) * (x - new) / RATE
        ended = [np.where(broke[:, None], before, now) for before, now in zip(rows, after, strict=True)]
        expected = [gone_on(part, broke, policy, np.zeros(3)) for part in ended]
        rows = tuple(part[round] for part in kept(told))
        for ours, theirs in zip(rows, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)  # float32; the memory divides by 0.05
        if policy == "rollback":  # bit for bit
            before = told["params"][round - 1] if round else np.zeros((NODES, 3))
            assert (told["params"][round][broke] == before[broke]).all()


@pytest.mark.fast_cases("rollback")
@pytest.mark.parametrize("policy", POLICIES)
def test_no_slot_is_lost_for_good(policy: Any) -> None:
    rule = faults.independent(hand_off=0.5, failure=0.2, retries=1, recovery=policy)
    _, told = run(TELEPORTATION, TASK, tj.Network(faults=rule), ROUNDS, seed=5)
    changed = (np.diff(told["params"], axis=0) != 0).all(axis=-1)
    assert changed.any(axis=0).all() and np.isfinite(told["params"]).all()
    # 5 slots, 11 rounds with fetches: a quarter fails, and of the rest a fifth; every slot works in most of them
    assert told["failed"].sum() < 0.6 * K * ROUNDS


# how long -------------------------------------------------------------------------------------------------------------


def seconds(algorithm: tj.Algorithm, rule: faults.Faults, rounds: int, nodes: int = 10**6) -> float:
    """Of rounds of one second each, where every slot moves."""
    network = tj.Network(faults=rule, machines=tj.network.machines.constant(1.0))
    task = tj.tasks.quadratic(nodes=nodes, dim=3)
    result = tj.simulate(algorithm, task, rounds=rounds, eval_every=rounds, network=network, progress=False)
    return float(result.final()["time"].item())


@pytest.mark.slow
def test_timeouts_take_their_time() -> None:
    after = lambda fetch, failure, timeout, recovery="rollback": seconds(
        TELEPORTATION,
        faults.independent(hand_off=fetch, failure=failure, retries=2, timeout=timeout, recovery=recovery),
        rounds=5,
    )
    # three attempts of 7 seconds; the slots stay where they were, and nobody computes: 1 + 4 * 21
    assert after(1.0, 0.0, 7.0) == pytest.approx(85.0)
    # the same, and then from the initial point: 5 + 4 * 21
    assert after(1.0, 0.0, 7.0, "lost") == pytest.approx(89.0)
    # all have computed, then they fail, which is known 2 seconds later: 5 * (1 + 2)
    assert after(0.0, 1.0, 2.0) == pytest.approx(15.0)
    assert after(0.0, 0.0, 2.0) == pytest.approx(5.0)


def test_a_single_token_waits_a_timeout_for_every_attempt_in_vain() -> None:
    """Its time is a second a gradient and a timeout for each retry: the columns must add up."""
    rule = faults.independent(hand_off=0.4, failure=0.2, retries=2, timeout=3.0)
    network = tj.Network(faults=rule, machines=tj.network.machines.constant(1.0))
    token = tj.random_walk(optimizer=HEAVY)
    task = tj.tasks.quadratic(nodes=10**6, dim=3)
    last = tj.simulate(token, task, rounds=300, eval_every=300, network=network, progress=False).final()
    row = last.row(0, named=True)
    unfetched = 300 - row["gradients"]
    broke = row["failed"] - unfetched
    assert row["time"] == pytest.approx(row["gradients"] + 3.0 * (row["retries"] + broke))
    assert row["recovered"] == row["failed"] and row["messages_handoff"] == 299 - unfetched
    # of 299 fetches 0.4^3 fail; of those who compute a fifth: five standard deviations of a binomial
    assert abs(unfetched - 299 * 0.064) < 5 * np.sqrt(299 * 0.064 * 0.936)
    assert abs(broke - row["gradients"] * 0.2) < 5 * np.sqrt(row["gradients"] * 0.16)
