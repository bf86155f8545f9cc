"""Rules of robust aggregation: by their definitions in NumPy, by ByzFL where it is installed, and by their theory."""

import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.mixing.aggregate import aggregate
from telejax.mixing.order import comparisons, in_order

pytestmark = pytest.mark.usefixtures("compiled_fast")

ROOT = Path(__file__).parents[2]
BYZFL = ROOT / ".venv-byzfl" / "bin" / "python"
"""Python with ByzFL 0.0.11, see CONTRIBUTING.md."""

SHAPES = [(3, 4, 1), (8, 10, 3), (12, 5, 1)]
"""Vectors, numbers in each, forged ones."""
SEEDS = range(17)

ATTACKS = {
    "sign_flip": tj.attacks.sign_flip(),
    "inner_product": tj.attacks.inner_product(0.7),
    "little_is_enough": tj.attacks.little_is_enough(1.3),
    "mimic": tj.attacks.mimic(1),
}


def given(seed: int, m: int, d: int) -> np.ndarray:
    """Vectors around a mean, some far away."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(m, d)) + random.normal(size=d)
    x[m - max(1, m // 4) :] *= 10
    return random.permutation(x)


def nearest(x: np.ndarray, count: int) -> np.ndarray:
    """The mean of so many vectors nearest to each, itself included."""
    return np.stack([x[np.argsort(((x - one) ** 2).sum(1))[:count]].mean(0) for one in x])


def scores(x: np.ndarray, f: int) -> np.ndarray:
    """Of Krum."""
    return np.array([np.sort(((x - one) ** 2).sum(1))[1 : len(x) - f].mean() for one in x])


def weiszfeld(x: np.ndarray, start: np.ndarray, steps: int, floor: float) -> np.ndarray:
    """The geometric median."""
    for _ in range(steps):
        near = 1 / np.maximum(np.linalg.norm(x - start, axis=1), floor)
        start = (near[:, None] * x).sum(0) / near.sum()
    return start


def clipped(x: np.ndarray, radius: float) -> np.ndarray:
    """Vectors no longer than a radius."""
    return x * np.minimum(1, radius / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300))


def definitions(x: np.ndarray, f: int) -> dict[str, tuple[tj.robust.Rule, np.ndarray]]:
    """Each rule and what it should make of x, row 0 the receiver's own."""
    m, rules = len(x), tj.robust
    order, centre = np.sort(x, axis=0), np.median(x, axis=0)
    closest = np.take_along_axis(x, np.argsort(abs(x - centre), axis=0), axis=0)[: m - f]
    moved = x[0]
    for _ in range(3):
        moved = moved + clipped(x - moved, 0.7).mean(0)
    return {
        "median": (rules.median(), centre),
        "trimmed_mean": (rules.trimmed_mean(f), order[f : m - f].mean(0)),
        "meamed": (rules.meamed(f), closest.mean(0)),
        "geometric_median": (rules.geometric_median(5, 1e-9, "zero"), weiszfeld(x, 0 * x[0], 5, 1e-9)),
        "krum": (rules.krum(f), x[np.argmin(scores(x, f))]),
        "multi_krum": (rules.multi_krum(f), x[np.argsort(scores(x, f))[: m - f]].mean(0)),
        "centered_clipping": (rules.centered_clipping(0.7, steps=3), moved),
        "clipped_gossip": (rules.clipped_gossip(0.7), x[0] + clipped(x - x[0], 0.7).mean(0)),
        "nearest_neighbour_averaging": (rules.nearest_neighbour_averaging(f), nearest(x, m - f)[0]),
        "own start": (rules.geometric_median(5, 1e-9), weiszfeld(x, x[0], 5, 1e-9)),
        "nnm, median": (rules.nearest_neighbour_mixing(f, rules.median()), np.median(nearest(x, m - f), axis=0)),
        "nnm, clipping": (
            rules.nearest_neighbour_mixing(f, rules.clipped_gossip(0.5)),
            (mixed := nearest(x, m - f))[0] + clipped(mixed - mixed[0], 0.5).mean(0),
        ),
    }


def answers(rule: tj.robust.Rule, arrays: list[np.ndarray]) -> np.ndarray:
    """What a rule makes of several arrays of one shape."""
    return np.asarray(jax.jit(jax.vmap(rule))(jnp.stack(arrays)))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("m", "d", "f"), SHAPES)
def test_rules_are_those_of_their_definitions(m, d, f):
    arrays = [given(seed, m, d) for seed in SEEDS]
    wanted = [definitions(x, f) for x in arrays]
    for name, (rule, _) in wanted[0].items():
        made = answers(rule, arrays)
        np.testing.assert_allclose(made, [one[name][1] for one in wanted], atol=1e-12, err_msg=name)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.skipif(not BYZFL.exists(), reason=f"needs ByzFL in {BYZFL.parents[1]}")
def test_rules_and_attacks_are_those_of_byzfl(tmp_path):
    arrays = {f"{seed}_{m}_{d}_{f}": given(seed, m, d) for m, d, f in SHAPES for seed in SEEDS}
    assert len(arrays) >= 50
    np.savez(tmp_path / "given.npz", **arrays)
    script = ROOT / "experiments" / "benchmarks" / "byzfl_answers.py"
    subprocess.run([BYZFL, script, tmp_path / "given.npz", tmp_path / "made.npz"], check=True, cwd=tmp_path)
    made = dict(np.load(tmp_path / "made.npz"))
    assert len(made) == 13 * len(arrays)
    for m, d, f in SHAPES:
        several = [arrays[f"{seed}_{m}_{d}_{f}"] for seed in SEEDS]
        ours = {
            name: answers(rule, several) for name, (rule, _) in definitions(several[0], f).items() if " " not in name
        }
        ours |= {name: answers(attack, several) for name, attack in ATTACKS.items()}
        ours["nearest_neighbour_mixing"] = answers(
            tj.robust.nearest_neighbour_mixing(f, tj.robust.median()).mixed, several
        )
        del ours["clipped_gossip"]  # which ByzFL has not
        for name, answer in ours.items():
            theirs = [made.pop(f"{seed}_{m}_{d}_{f}/{name}") for seed in SEEDS]
            np.testing.assert_allclose(answer, theirs, atol=1e-6, err_msg=name)
    assert not made


@pytest.mark.usefixtures("x64")
def test_the_order_of_others_does_not_matter_and_a_shift_of_all_shifts_the_answer():
    x = given(3, 8, 10)
    shuffled = np.concatenate([x[:1], np.random.default_rng(0).permutation(x[1:])])
    for name, (rule, wanted) in definitions(x, 3).items():
        same, shifted = answers(rule, [shuffled, x + 7.0])
        np.testing.assert_allclose(same, wanted, atol=1e-12, err_msg=name)
        if name != "geometric_median":  # which starts from zero
            np.testing.assert_allclose(shifted, wanted + 7.0, atol=1e-10, err_msg=name)


def kappa(name: str, m: int, f: int) -> float:
    """The resilience of Y. Allouah et al. 2023 (arXiv 2302.01772, table 1): the squared distance of the answer to the
    honest mean is at most kappa times the honest variance."""
    more = 1 + f / (m - 2 * f)
    plain = {
        "trimmed_mean": 6 * f / (m - 2 * f) * more,
        "krum": 6 * more,
        "geometric_median": 4 * more**2,
        "median": 4 * more**2,
    }
    return plain[name] if name in plain else 8 * f / (m - f) * (plain["median"] + 1)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("m", "f"), [(9, 2), (16, 7)])
def test_the_answer_stays_near_the_honest_mean_as_theory_says(m, f):
    rules = {
        "trimmed_mean": tj.robust.trimmed_mean(f),
        "krum": tj.robust.krum(f),
        "geometric_median": tj.robust.geometric_median(steps=200, floor=1e-12),
        "median": tj.robust.median(),
        "nnm": tj.robust.nearest_neighbour_mixing(f, tj.robust.median()),
    }
    attacks = {**ATTACKS, "gaussian": tj.attacks.gaussian(100.0), "zero": tj.attacks.zero()}
    honest = [np.random.default_rng(seed).normal(loc=1.0, size=(m - f, 7)) for seed in range(20)]
    means, variances = np.mean(honest, axis=1), np.var(honest, axis=1).sum(axis=1)
    for name, attack in attacks.items():
        lies = jax.jit(jax.vmap(lambda x, attack=attack: attack(x, jax.random.key(0))))(jnp.stack(honest))
        arrays = np.concatenate([honest, np.repeat(lies[:, None], f, axis=1)], axis=1)
        for rule_name, rule in rules.items():
            off = ((answers(rule, list(arrays)) - means) ** 2).sum(axis=1)
            assert (off <= kappa(rule_name, m, f) * variances * (1 + 1e-9)).all(), (rule_name, name)
        if name == "gaussian":
            assert (((arrays.mean(axis=1) - means) ** 2).sum(axis=1) > kappa("krum", m, f) * variances).all()


def test_clipping_bounds_what_a_forged_vector_can_do():
    x = jnp.asarray(given(0, 8, 5), jnp.float32)
    for rule, most in ((tj.robust.clipped_gossip(0.5), 0.5 / 8), (tj.robust.centered_clipping(0.5, 3), 3 * 0.5 / 8)):
        for lie in (1e6, -1e6, 0.0):
            moved = np.linalg.norm(rule(x.at[7].set(lie)) - rule(x))
            assert moved <= 2 * most * 1.001, rule


@pytest.mark.slow
def test_vectors_are_put_in_order():
    for count in (1, 2, 3, 5, 7, 16, 23, 65):
        x = np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)
        np.testing.assert_array_equal(np.stack(jax.jit(in_order)(jnp.asarray(x))), np.sort(x, axis=0))
    assert len(comparisons(16)) == 63


def matrices() -> dict[str, tj.Topology]:
    """Graphs whose mixing has each form."""
    return {
        "neighbours": tj.topology.ring(8),
        "irregular": tj.topology.star(6),
        "periodic": tj.topology.one_peer_exponential(8),
        "mean": tj.topology.complete(7),
        "dense": tj.topology.random_regular(40, degree=35, seed=0),
        "drawn": tj.topology.random_matching(8),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", matrices())
def test_every_form_aggregates_what_its_neighbour_lists_hold(name):
    mixing, random = matrices()[name].mixing(), np.random.default_rng(1)
    x = random.normal(size=(mixing.slots, 5)).astype(np.float32)
    sent = np.where(random.random((mixing.slots, 1)) < 0.3, 100 * x, x).astype(np.float32)
    parts = lambda x: {"a": x[:, :2], "b": x[:, 2:]}
    for rule in (tj.robust.median(), tj.robust.clipped_gossip(0.5)):
        made = jax.jit(lambda round, rule=rule: aggregate(rule, mixing, parts(x), round, parts(sent)))
        each = jax.jit(jax.vmap(rule.of, in_axes=(1, 0, 1)))
        for round in range(3):
            indices, weights = (np.asarray(one) for one in mixing.neighbours(jnp.int32(round)))
            heard = (indices != np.arange(mixing.slots)) & (weights != 0)
            rows = np.where(heard[..., None], sent[indices], x[None])
            if name == "mean" and not rule.needs_own:  # as if the receiver's own were forged like the others'
                rows = sent[indices]
            wanted, both = each(rows, x, weights), made(jnp.int32(round))
            np.testing.assert_allclose(np.concatenate([both["a"], both["b"]], 1), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_without_a_bound_clipped_gossip_is_gossip():
    mixing, x = tj.topology.exponential(16).mixing(), np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    made = aggregate(tj.robust.clipped_gossip(1e9), mixing, x, jnp.int32(0))
    np.testing.assert_allclose(made, tj.mix(mixing, x), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_counts_as_not_arrived(bad):
    for topology in (tj.topology.complete(5), tj.topology.exponential(5)):
        mixing, x = topology.mixing(), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        sent = x.copy()
        sent[2, 1] = bad
        for rule in (tj.robust.median(), tj.robust.trimmed_mean(1), tj.robust.krum(1), tj.robust.geometric_median(2)):
            assert np.isfinite(aggregate(rule, mixing, x, jnp.int32(0), sent)).all(), rule


def test_on_a_mean_a_rule_runs_once():
    mixing, x = tj.topology.complete(300).mixing(), jnp.zeros((300, 4))
    program = lambda rule: jax.jit(lambda x: aggregate(rule, mixing, x, jnp.int32(0))).lower(x).as_text()
    assert "300x300" not in program(tj.robust.trimmed_mean(2))
    assert "300x300" in program(tj.robust.krum(2))  # distances, of all to all
    assert "300x300x300" not in program(tj.robust.krum(2))
