"""The checks of tasks pass tasks that keep the contract, and catch tasks that do not."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax.testing import TreeTask, check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.mark.slow
def test_task_of_nested_parameters_keeps_the_contract() -> None:
    check_task(TreeTask(6, jnp.arange(6.0)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BrokenTask(TreeTask):
    """The nested task with one property broken."""

    fault: str = field(metadata={"static": True})

    def init(self, key):
        params = super().init(key)
        match self.fault:
            case "integers":
                return params | {"count": jnp.int32(1)}
            case "nothing":
                return {}
            case "random start":
                return params | {"matrix": jnp.asarray(np.random.default_rng().normal(size=(2, 3)), jnp.float32)}
        return params

    def loss(self, params, node, key):
        loss = super().loss(params, node, key)
        match self.fault:
            case "vector":
                return loss[None]
            case "not finite":
                return loss * jnp.where(node == self.nodes - 1, jnp.nan, 1.0)
            case "biased":
                return loss + 0.05 * jnp.sum(params["matrix"])
            case "one node too many":
                return loss * jnp.where(node == 0, 0.0, 1.0)
            case "jit":
                return loss * (1.0 if not isinstance(node, jax.core.Tracer) else 2.0)
        return loss

    def evaluate(self, params):
        measured = super().evaluate(params)
        match self.fault:
            case "no loss":
                return {"error": measured["loss"]}
            case "whole loss":
                return measured | {"loss": 1}
            case "loss of integers":
                return measured | {"loss": measured["loss"].astype(int)}
            case "two losses":
                return measured | {"accuracy": jnp.ones(2)}
            case "unknown accuracy":
                return measured | {"accuracy": jnp.nan}
        return measured


TASK_FAULTS = {
    "integers": "parameters are arrays of floats",
    "nothing": "no arrays; return a pytree",
    "random start": "with the same key differ",
    "vector": "return a scalar float",
    "not finite": "task.loss is nan at node 5",
    "biased": "mean stochastic gradient",
    "one node too many": "mean stochastic gradient",
    "jit": "vmap over nodes and a loop differ",
    "no loss": "it needs a 'loss'",
    "whole loss": r"gave loss as int32\[\]; it must be a float",
    "loss of integers": r"gave loss as int32\[\]; it must be a float",
    "two losses": "returned accuracy of shape",
    "unknown accuracy": "gave accuracy = nan",
}


@pytest.mark.fast_cases("integers", "nothing", "random start", "vector", "not finite", "jit", "no loss", "two losses")
@pytest.mark.parametrize("fault", TASK_FAULTS)
def test_broken_tasks_are_caught(fault: str) -> None:
    with pytest.raises(AssertionError, match=TASK_FAULTS[fault]):
        check_task(BrokenTask(6, jnp.arange(6.0), fault))


@dataclass(frozen=True)
class Labelled(TreeTask):
    """Its static field is a new object in every copy, so that every copy compiles anew."""

    label: object = field(default_factory=object, metadata={"static": True})


jax.tree_util.register_pytree_node(
    Labelled, lambda t: ((t.targets,), (t.nodes, object())), lambda aux, leaves: Labelled(aux[0], leaves[0])
)


def test_a_task_that_traces_anew_is_caught() -> None:
    with pytest.raises(AssertionError, match="traced anew"):
        check_task(Labelled(6, jnp.arange(6.0)))


def test_parameters_that_do_not_fit_the_memory_are_refused() -> None:
    class Huge(TreeTask):
        def init(self, key):
            return super().init(key) | {"w": jnp.zeros(2**40)}

    huge = jax.tree_util.register_dataclass(dataclass(frozen=True)(Huge))(6, jnp.arange(6.0))
    with pytest.raises(ValueError, match=r"what task.init returned needs .* GB are free; let"):
        check_task(huge)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unchecked(TreeTask):
    """Of any number of nodes."""

    def __post_init__(self) -> None:
        """Take it as it is."""


def test_a_number_of_nodes_that_is_a_leaf_is_caught() -> None:
    with pytest.raises(AssertionError, match="make it a static field"):
        check_task(Unchecked(jnp.int32(6), jnp.arange(6.0)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shifted(TreeTask):
    """A leaf of it is a number of Python."""

    shift: float

    def loss(self, params, node, key):
        return super().loss(params, node, key) + self.shift


@pytest.mark.slow
def test_a_task_may_have_numbers_of_python() -> None:
    check_task(Shifted(6, jnp.arange(6.0), 1.0))
