"""Parameters of fewer than 32 bits: what is measured of them is float32, and everything made of a history works."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.simulation.metrics import distances_sq, wide

pytestmark = pytest.mark.usefixtures("compiled_fast")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Brain:
    """A quadratic in bfloat16, whose metrics are bfloat16 too."""

    nodes: int = field(metadata={"static": True}, default=8)

    def init(self, key):
        return jnp.zeros(3, jnp.bfloat16)

    def loss(self, params, node, key):
        return jnp.sum((params - node) ** 2)

    def evaluate(self, params):
        return {"loss": jnp.sum((params - 3) ** 2), "accuracy": jnp.mean(params) / 8}


@pytest.mark.slow
def test_bfloat16_is_measured_saved_plotted_and_compared_in_float32(tmp_path):
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    both = tj.compare([walk], Brain(), rounds=4, eval_every=2, tune=[0.05, 0.1], seeds=2, target=0.1)
    (result,) = both.runs.values()
    measured = result.history.select("loss", "loss_slots", "accuracy", "accuracy_worst", "consensus")
    assert set(measured.dtypes) == {pl.Float32}
    assert both.table()["reached"].to_list() == [2] and "bfloat16" not in str(both.table())
    assert result.summary()["consensus"].dtype.is_float() and result.tuned().plot("consensus")
    assert both.history().height == result.history.height
    kept = tj.load(result.save(tmp_path / "kept"))
    assert kept.history.equals(result.history) and kept.params.dtype == jnp.bfloat16


def test_distances_keep_the_digits_of_float32():
    models = jnp.full((2, 4096), 1.0078125, jnp.bfloat16)  # in bfloat16 the sum of 4096 squares stops growing early
    assert wide(models).dtype == jnp.float32 and wide(jnp.int32(1)).dtype == jnp.int32
    assert distances_sq(models, jnp.ones((2, 4096))).tolist() == pytest.approx([4096 * 0.0078125**2] * 2, rel=1e-6)


def test_the_cross_entropy_of_narrow_logits_is_float32():
    from telejax.tasks.classification import _cross_entropy

    logits = jnp.array([[2.0, 1.0, -3.0]], jnp.bfloat16)
    exact = np.log(np.exp([2.0, 1.0, -3.0]).sum()) - 2.0
    assert float(_cross_entropy(logits, jnp.array([0]))[0]) == pytest.approx(exact, rel=1e-6)
