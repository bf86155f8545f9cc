"""No column is lost or overwritten by another of the same name: reserved names are refused, with the list."""

from dataclasses import dataclass, field, make_dataclass

import jax
import jax.numpy as jnp
import optax
import polars as pl
import pytest

import telejax as tj
from telejax.simulation.recorder import RESERVED
from telejax.simulation.task_checks import OF_NETWORK, OF_TABLES, check_task_members

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TAKEN = sorted(
    {*RESERVED, *OF_NETWORK, *OF_TABLES, "loss_slots", "loss_std", "consensus_std", "bytes_std", "own_worst"}
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Measures:
    """A task that also measures something of this name."""

    name_: str = field(metadata={"static": True})
    nodes: int = field(metadata={"static": True}, default=4)

    def init(self, key):
        return jnp.zeros(2)

    def loss(self, params, node, key):
        return jnp.sum(params)

    def evaluate(self, params):
        return {"loss": jnp.sum(params), "own": params[0], self.name_: params[0]}


@pytest.mark.parametrize("name", TAKEN)
def test_a_task_may_not_measure_what_the_engine_names(name):
    told = rf"task.evaluate returned \['{name}'\], names of columns already there; give others. Taken: active, busy,"
    with pytest.raises(ValueError, match=told):
        check_task_members(Measures(name))


def test_the_names_of_the_issue_are_all_on_the_list():
    for name in ("round", "seed", "active", "learning_rate", "gradients", "consensus", "diverged", "group", "lost"):
        assert name in TAKEN
    check_task_members(Measures("variant"))  # no column is called so


@pytest.mark.parametrize("name", TAKEN)
def test_nor_may_a_metric(name):
    metric = tj.Metric(name, lambda *given: jnp.zeros(1))
    walk = tj.random_walk(optimizer=SGD)
    with pytest.raises(ValueError, match=f"metrics holds one named '{name}', a column already there"):
        tj.simulate(walk, Measures("x"), rounds=1, metrics=[metric])


@pytest.mark.parametrize("name", ["bytes", "seed", "runs", "method", "x"])
def test_nor_may_a_tuned_number_of_the_method(name):
    walk = tj.random_walk(optimizer=SGD)
    fields = [(name, float, field(default=0.5))]
    number = jax.tree_util.register_dataclass(make_dataclass("Tuned", fields, bases=(type(walk),), frozen=True))
    method = number(*(getattr(walk, one) for one in walk.__dataclass_fields__))
    with pytest.raises(ValueError, match=rf"\['{name}'\] would be several columns each"):
        tj.simulate(method, Measures("x"), rounds=1, tune={name: [0.1, 0.2]})


def test_nor_may_a_key_of_a_sweep():
    from telejax.studies.sweep import cells

    history = pl.DataFrame({"seed": [0], "noise": [1.0], "round": [0], "group": [0], "diverged": [False]})
    spec = {
        "rounds": 1,
        "task": {"name": "quadratic", "nodes": 4, "noise": [0.5]},
        "method": {"name": "random_walk"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }
    from telejax.studies.sweep.spec import SweepSpec

    (cell,) = SweepSpec.from_dict(spec).cells()
    numbers = {"task": {"noise": 0.5}, "method": {}, "optimizer": {"learning_rate": 0.1}}
    with pytest.raises(ValueError, match=r"\['noise'\] are keys of the spec and columns of the history; rename"):
        cells._labelled(cell, numbers, history)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Flags:
    """A task whose loss is an integer, and which says yes and no."""

    nodes: int = 4

    def init(self, key):
        return jnp.zeros(2)

    def loss(self, params, node, key):
        return jnp.sum((params - node) ** 2)

    def evaluate(self, params):
        return {"loss": jnp.int32(3), "small": jnp.all(params < 1), "always": True}


@pytest.mark.slow
def test_flags_and_integers_are_measured_as_floats(tmp_path):
    near = lambda models, judged, state, task, groups: (jnp.max(jnp.abs(models)) < 5)[None]
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    result = tj.simulate(walk, Flags(), rounds=4, metrics=[tj.Metric("near", near)], progress=False)
    assert result.history["loss"].to_list() == [3.0] * 5
    assert result.history["near"].to_list() == result.history["always_slots"].to_list() == [1.0] * 5
    assert tj.load(result.save(tmp_path / "saved")).history.equals(result.history)
