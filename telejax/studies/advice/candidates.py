"""What sites might do: train alone, with a server, all with all, or by a few representatives at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import optax

from telejax.algorithms import registry
from telejax.algorithms.base import Algorithm
from telejax.algorithms.fedavg import FedAvg
from telejax.algorithms.local_training import LocalTraining
from telejax.algorithms.scaffold import Scaffold
from telejax.errors import check_list, is_kind, is_text, short
from telejax.optimizers import optimizer

Kind = Literal["alone", "server", "together", "representatives"]

ACTIVE = (4, 16, 64)
"""Sites at work at a time, of methods that have a few."""
LOCAL_STEPS = 8
"""Steps between two exchanges, of methods that exchange seldom."""
MOST_TOGETHER = 1000
"""Sites up to which methods are simulated in which all work all the time."""
RATES = (0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Candidate:
    """One thing that sites might do."""

    kind: Kind
    method: Algorithm

    @property
    def name(self) -> str:
        """Of its method."""
        return self.method.name


def kind_of(method: Algorithm, nodes: int) -> Kind:
    """What a method asks of the sites."""
    if isinstance(method, LocalTraining):
        return "alone"
    if isinstance(method, FedAvg | Scaffold):
        return "server"
    return "together" if method.slots(nodes) == nodes else "representatives"


def candidates(
    nodes: int, server: bool, methods: Sequence[str] | None = None
) -> tuple[list[Candidate], dict[str, str]]:
    """What is simulated, and what is left out and why.

    Args:
        nodes: how many sites there are.
        server: whether there is one.
        methods: as ``telejax compare`` names them; by default those that suit the sites.
    """
    sgd = optimizer(optax.sgd, learning_rate=RATES[0])
    if methods is not None:
        remedy = "give texts, such as ['teleportation:active=4/ring']"
        texts: list[str] = check_list("methods", methods, remedy) if is_kind(methods, list | tuple) else [""]
        if not all(is_text(text) and text for text in texts):
            raise ValueError(f"methods is {short(methods)}; {remedy}")
        if len(set(texts)) < len(texts):
            raise ValueError(f"methods is {short(methods)}; give each only once")
        asked = ["local_training", *(text for text in texts if text != "local_training")]
    else:
        asked = _usual(nodes, server)
    for text in asked:
        registry.check_spec(text)
    made = [registry.build(text, sgd, workers=min(ACTIVE[0], nodes)) for text in asked]
    found, left_out = [], {}
    for method in {one.name: one for one in made}.values():
        kind = kind_of(method, nodes)
        if kind == "server" and not server:
            left_out[method.name] = "no_server"
        elif kind == "together" and nodes > MOST_TOGETHER:
            left_out[method.name] = "too_many"
        else:
            found.append(Candidate(kind, method))
    return found, left_out


def _usual(nodes: int, server: bool) -> list[str]:
    """Methods by their specs; those that cannot be simulated are among them, so that they are told."""
    few = [k for k in ACTIVE if 2 * k <= nodes] or [max(1, nodes // 2)]
    slow = f"local_steps={LOCAL_STEPS}"
    found = ["local_training", "dsgd/ring", "dsgd/exponential", f"dsgd:{slow}/exponential", "all_reduce_sgd"]
    found += [f"teleportation:active={k}/exponential" for k in few]
    found += [f"teleportation:active={few[-1]},{slow}/exponential"]
    return found + [f"fedavg:clients={k},{slow}" for k in {few[0], few[-1]}]


def evenly(nodes: int, count: int) -> np.ndarray:
    """So many sites at equal distances, of all groups in proportion."""
    return np.unique(np.linspace(0, nodes - 1, min(nodes, count)).round().astype(np.int64))
