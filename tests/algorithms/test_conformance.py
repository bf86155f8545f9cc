"""Every method of the registry keeps the contract."""

import pytest

import telejax
from telejax import Algorithm
from telejax.algorithms import registry
from telejax.optimizers import Optimizer
from telejax.tasks import quadratic
from telejax.testing import CHECKS, check_algorithm
from telejax.testing.transformations import tree_task

pytestmark = pytest.mark.usefixtures("compiled_fast")

METHODS = {method.name: method for method in registry.METHODS}
SETTINGS = (
    "teleportation:active=4,state_travels=false/one_peer_exponential",
    "fedavg:clients=4,local_steps=2",
    "fedavg:clients=4,state_travels=true",
    "random_walk:tokens=3/torus",
)
"""Other settings of some of them, which simulate runs alike."""
RUNS = ("jit", "vmap", "traces", "resumes", "batch_axes", "mesh", "checkpoint", "warm_start", "network")


LIGHT = (
    *("all_reduce_sgd", "choco_sgd", "exact_diffusion", "extra", "gossip_pairs", "gradient_tracking", "k_gt"),
    *("local_exact_diffusion", "local_training", "nids", "push_sum", "quasi_global_momentum", "relay_sgd"),
)
"""Methods whose rounds are those of others in another order: what the engine does with them is tried on those."""
ON_NESTED = ("structure", "models", "consensus")
"""What the parameters' structure may change."""
OF_ENGINE = ("jit", "vmap", "traces", "resumes", "batch_axes", "mesh", "checkpoint", "warm_start")


def graph(method: registry.Method) -> str:
    """The hardest graph that a method takes."""
    if method.graphs in (None, "walk"):
        return ""
    if method.stochastic != "both":
        return "/directed_exponential"
    if method.tree:
        return "/tree"
    return "/ring" if method.fixed or method.graphs == "slots" else "/one_peer_exponential"


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_contract(name: str) -> None:
    spec = name + graph(METHODS[name])
    left_out = OF_ENGINE if name in LIGHT else ()
    make = lambda optimizer: registry.build(spec, optimizer, workers=3)
    check_algorithm(make, nodes=9, tasks=[quadratic(nodes=9, dim=4, noise=1.0)], without=left_out)
    check_algorithm(make, nodes=9, tasks=[tree_task(9)], only=ON_NESTED)


def robust(optimizer: Optimizer) -> Algorithm:
    """TELEPORTATION in which nobody trusts anybody alone."""
    guarded = {"hand_off": "median:sources=3", "aggregation": telejax.robust.trimmed_mean(1)}
    return telejax.teleportation(active=5, topology="exponential", optimizer=optimizer, **guarded)


@pytest.mark.slow
def test_robust_aggregation_keeps_the_contract() -> None:
    ignores = ("messages", "resumes", "checkpoint", "warm_start")  # whom the rule leaves out changes nothing
    check_algorithm(robust, nodes=9, tasks=[quadratic(nodes=9, dim=4, noise=1.0)], without=ignores)
    check_algorithm(robust, nodes=9, tasks=[tree_task(9)], only=ON_NESTED)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SETTINGS)
def test_another_setting_does_what_it_says(spec: str) -> None:
    check_algorithm(lambda optimizer: registry.build(spec, optimizer, workers=3), nodes=9, without=RUNS)


def test_what_is_left_out_there_are_checks() -> None:
    assert {*RUNS, *OF_ENGINE, *ON_NESTED} < {*CHECKS}
    assert {*LIGHT} < {*METHODS}
