"""No tracer outlives the program that made it, in a run of any method."""

import jax
import optax
import pytest
from test_conformance import METHODS as REGISTERED
from test_conformance import SETTINGS, graph

import telejax as tj
from telejax.algorithms import registry

pytestmark = pytest.mark.usefixtures("compiled_fast")

SPECS = [*SETTINGS, *(name + graph(method) for name, method in REGISTERED.items())]

METHODS = {spec: lambda o, spec=spec: registry.build(spec, o, workers=3) for spec in SPECS} | {
    "joint": lambda o: tj.joint_teleportation(active=(1, 2), topology="ring", optimizer=o),
    "over a network": lambda o: tj.decentralized_sgd(topology="ring", optimizer=o),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.fast_cases(SETTINGS[0])
def test_no_method_leaks_a_tracer(name: str) -> None:
    momentum = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    network = tj.Network(loss=0.1, outage=0.1) if name == "over a network" else None
    task = tj.tasks.quadratic(nodes=9, dim=3, noise=1.0)
    with jax.checking_leaks():
        tj.simulate(METHODS[name](momentum), task, rounds=3, eval_every=2, network=network, progress=False)


@pytest.mark.slow
def test_a_leak_is_seen() -> None:
    kept = []
    with jax.checking_leaks(), pytest.raises(Exception, match="Leaked"):
        jax.jit(kept.append)(1.0)
