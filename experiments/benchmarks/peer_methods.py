"""The methods that telejax and decent-bench 0.3.0 both have, with the same numbers; read by peers.py and its test.

Full gradients on quadratics from zero, where both go through the same iterates. decent-bench's FedAdam, FedAdagrad and
FedYogi do not correct their moments as optax does, so that these three are compared in time alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optax

import telejax as tj

STEP, LOCAL, SERVER_STEP = 0.05, 5, 0.01


@dataclass(frozen=True)
class Peer:
    """A method in both libraries."""

    name: str
    """In telejax."""
    make: Callable[[int], tj.Algorithm]
    """From the number of nodes."""
    theirs: str
    """The class in decent-bench."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the class, beside the step size."""
    federated: bool = False
    same: bool = True
    """Whether the iterates are the same."""


SGD = tj.optimizer(optax.sgd, learning_rate=STEP)


def gossiping(factory: Callable[..., tj.Algorithm], **options: Any) -> Callable[[int], tj.Algorithm]:
    return lambda _: factory(topology="ring", optimizer=SGD, **options)


def sampling(factory: Callable[..., tj.Algorithm], **options: Any) -> Callable[[int], tj.Algorithm]:
    """All nodes are clients in every round."""
    return lambda nodes: factory(clients=nodes, optimizer=SGD, local_steps=LOCAL, **options)


def server(factory: Callable[..., optax.GradientTransformation], **options: Any) -> dict[str, Any]:
    return {"server_optimizer": tj.optimizer(factory, learning_rate=SERVER_STEP, **options)}


LOCALLY = {"num_local_steps": LOCAL}
SERVED = LOCALLY | {"server_step_size": SERVER_STEP}

PEERS = (
    Peer("DSGD, combine first", gossiping(tj.decentralized_sgd, order="combine_then_adapt"), "DGD"),
    Peer("DSGD", gossiping(tj.decentralized_sgd), "ATC"),
    Peer("gradient tracking, atc", gossiping(tj.gradient_tracking), "AugDGM"),
    Peer("gradient tracking, semi", gossiping(tj.gradient_tracking, variant="semi"), "ATC_Tracking"),
    Peer("exact diffusion", gossiping(tj.exact_diffusion), "ED"),
    Peer("EXTRA", gossiping(tj.extra), "EXTRA"),
    Peer("NIDS", gossiping(tj.nids), "NIDS"),
    Peer(
        "K-GT", gossiping(tj.k_gt, local_steps=LOCAL, communication_step=0.8), "KGT", LOCALLY | {"aux_step_size": 0.8}
    ),
    Peer(
        "LED",
        gossiping(tj.local_exact_diffusion, local_steps=LOCAL, dual_step=0.1),
        "LED",
        LOCALLY | {"aux_step_size": 0.1},
    ),
    Peer(
        "ProxSkip",
        gossiping(tj.prox_skip, probability=1.0, dual_step=0.5),
        "ProxSkip",
        {"comm_probability": 1.0, "aux_step_size": 0.5},
    ),
    Peer("FedAvg", sampling(tj.fedavg), "FedAvg", LOCALLY, federated=True),
    Peer("FedProx", sampling(tj.fedavg, proximal=0.1), "FedProx", LOCALLY | {"penalty": 0.1}, federated=True),
    Peer("SCAFFOLD", sampling(tj.scaffold), "Scaffold", LOCALLY, federated=True),
    Peer("FedAdam", sampling(tj.fedavg, **server(optax.adam)), "FedAdam", SERVED, federated=True, same=False),
    Peer("FedAdagrad", sampling(tj.fedavg, **server(optax.adagrad)), "FedAdagrad", SERVED, federated=True, same=False),
    Peer("FedYogi", sampling(tj.fedavg, **server(optax.yogi)), "FedYogi", SERVED, federated=True, same=False),
)
