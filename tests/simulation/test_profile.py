"""A profile tells where the time of a round goes, and changes nothing; a precision is kept to products."""

import jax
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.backend import precision
from telejax.simulation import profile

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=20, dim=8, noise=1.0)
TELEPORT = tj.teleportation(active=4, topology="ring", optimizer=SGD)


def run(**options):
    return tj.simulate(TELEPORT, TASK, rounds=40, eval_every=10, progress=False, **options)


@pytest.mark.slow
def test_a_profile_names_the_parts_and_changes_nothing(tmp_path):
    profiled = run(profile=tmp_path / "trace")
    assert profiled.history.equals(run().history)
    table = profiled.profile
    assert table["part"].to_list() == [*profile.PARTS, "other", "host"]
    assert table["share"].sum() == pytest.approx(1)
    measured = dict(zip(table["part"], table["us_per_round"], strict=True))
    assert min(measured["gradient"], measured["mixing"], measured["sampling"], measured["host"]) > 0
    assert pl.read_csv(tmp_path / "trace" / profile.TABLE)["part"].equals(table["part"])
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


def test_time_inside_of_another_operation_counts_once():
    """A loop of 10 us on one thread: 6 us of mixing in it, of which 2 us in a copy that nobody named; then nothing."""
    spans = [("t", 0, 10_000, "while.1"), ("t", 1_000, 7_000, "fusion.2"), ("t", 2_000, 4_000, "copy.3")]
    known = {"while_1": None, "fusion_2": "mixing", "copy_3": None}
    rows = profile.parts(spans, known, seconds=20e-6, rounds=2)
    told = dict(zip(rows["part"], rows["us_per_round"], strict=True))
    assert told == pytest.approx({"gradient": 0, "mixing": 3, "sampling": 0, "evaluation": 0, "other": 2, "host": 5})


@pytest.mark.parametrize(
    ("rounds", "given", "told"),
    [
        (40, 3, "profile is 3; give the path of a folder"),
        (
            19,
            "new",
            "profile is 'new', and the run has 19 rounds, 10 an evaluation; what follows the second evaluation",
        ),
        (40, ".", "profile is '.', which exists; give a new folder"),
    ],
)
def test_profiles_that_cannot_be(rounds, given, told):
    with pytest.raises(ValueError, match=told):
        profile.check_profile(given, rounds, 10)


@pytest.mark.slow
def test_precisions(monkeypatch):
    with pytest.raises(ValueError, match="unknown precision 'half'; give one of: bfloat16, float32, tensorfloat32"):
        run(precision="half")
    product = lambda: jax.jit(lambda x: x @ x).lower(jax.numpy.ones((4, 4))).as_text()
    with precision.products_in("bfloat16"):
        assert "bf16" in product()
    assert "bf16" not in product()
    assert jax.config.jax_default_matmul_precision is None
    plain, exact = run(), run(precision="float32")
    assert exact.history.equals(plain.history)
    assert exact.config["precision"] == "float32" and "precision" not in plain.config


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["bfloat16", "tensorfloat32"])
def test_a_cpu_lacks_narrow_products(name):
    with pytest.raises(ValueError, match=f"precision is '{name}', which products of float32 do not have on cpu"):
        run(precision=name)
