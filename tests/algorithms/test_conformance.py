"""Every algorithm keeps the contract."""

import pytest

import telejax as tj
from telejax.testing import check_algorithm

pytestmark = pytest.mark.usefixtures("compiled_fast")

ALGORITHMS = {
    "dsgd one-peer": lambda o: tj.decentralized_sgd(topology="one_peer_exponential", optimizer=o),
    "all-reduce": lambda o: tj.all_reduce_sgd(optimizer=o),
    "teleportation": lambda o: tj.teleportation(active=3, topology="ring", optimizer=o),
    "teleportation left behind": lambda o: tj.teleportation(
        active=4, topology="one_peer_exponential", optimizer=o, state_travels=False
    ),
    "fedavg": lambda o: tj.fedavg(clients=4, local_steps=2, optimizer=o),
    "fedavg travels": lambda o: tj.fedavg(clients=4, optimizer=o, state_travels=True),
    "one token": lambda o: tj.random_walk(optimizer=o),
    "tokens on a graph": lambda o: tj.random_walk(tokens=3, topology="torus", optimizer=o),
}


QUICK = ["teleportation"]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS]
)
def test_algorithm_keeps_the_contract(name: str) -> None:
    check_algorithm(ALGORITHMS[name], nodes=9)
