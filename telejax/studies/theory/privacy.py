"""Epsilon before a run, the noise for an epsilon, and how often the node that works most will have worked."""

import bisect
from typing import Any, get_args

import scipy.stats

from telejax.errors import Bound, check_integer, check_name, short
from telejax.tasks import accountant
from telejax.tasks.accountant import Epsilon
from telejax.tasks.privacy import POSITIVE, Level, check_delta

MOST = 2**31 - 1
PROBABILITY = Bound(0.0, most=1.0, exclusive=True, below=True)
HIDDEN = "delta {:g}, all data of one node replaced, observer of the mean model alone who does not know who is active"


def epsilon(
    noise_multiplier: float,
    *,
    uses: int,
    batch: int | None = None,
    samples: int | None = None,
    level: Level = "sample",
    delta: float = 1e-5,
    active: int | None = None,
    nodes: int | None = None,
) -> Epsilon:
    """The epsilon of a node that computes so many private gradients, as the column ``epsilon`` of a run has it.

    Args:
        noise_multiplier: z of :func:`telejax.privacy`.
        uses: gradients that the node computes: rounds x local steps where all nodes work in every round, and see
            :func:`most_uses` where they are drawn.
        batch: samples of a gradient, drawn without replacement; at the level of samples.
        samples: of the node, likewise.
        level: "sample" or "node".
        delta: at which it is told.
        active: with ``nodes``, at the level of nodes: for an observer who sees nothing but the mean of the gradients of
            so many active nodes, drawn without replacement in each round, and not whose they are, as after each round
            of FedAvg with one local step and a server that keeps silent. ``uses`` are the rounds then.
        nodes: n, likewise.

    Returns:
        A float that prints adjacency and threat model.

    Raises:
        ValueError: an argument out of its range; the package dp-accounting is not installed.

    Source: RDP accounting of the package dp-accounting, adjacency REPLACE_ONE, noise over sensitivity z / 2.

    >>> epsilon(5.0, uses=100, batch=8, samples=500)
    0.545 (delta 1e-05, one sample of a node replaced, observer of all messages who knows who is active)
    """
    noise_multiplier = POSITIVE.check("noise_multiplier", noise_multiplier)
    given = _checked(uses, batch, samples, level, delta)
    if active is None and nodes is None:
        return accountant.spent(float(noise_multiplier), **given)
    active, nodes = _drawn(active, nodes, level)
    hidden = {**given, "level": "sample", "batch": active, "samples": nodes}
    return Epsilon(accountant.spent(float(noise_multiplier) * active**0.5, **hidden), HIDDEN.format(given["delta"]))


def noise_for(
    epsilon: float,
    *,
    uses: int,
    batch: int | None = None,
    samples: int | None = None,
    level: Level = "sample",
    delta: float = 1e-5,
) -> float:
    """The least noise multiplier (to 1e-4 of it) at which :func:`epsilon` is at most this; the same arguments.

    Raises:
        ValueError: an argument out of its range; the package dp-accounting is not installed.

    >>> import telejax as tj
    >>> z = tj.theory.noise_for(2.0, uses=100, level="node")
    >>> 1.99 < tj.theory.epsilon(z, uses=100, level="node") <= 2.0
    True
    """
    target = POSITIVE.check("epsilon", epsilon)
    given = _checked(uses, batch, samples, level, delta)
    if given["uses"] == 0:
        raise ValueError("uses is 0, which spends nothing at any noise; give an integer of at least 1")
    return accountant.noise(target, **given)


def most_uses(rounds: int, *, nodes: int, active: int, local_steps: int = 1, probability: float = 0.05) -> int:
    """Gradients that no node exceeds, but with so small a probability, where ``active`` nodes are drawn uniformly.

    A node works in Binomial(T, k / n) of T rounds; the smallest count is told beyond which all n nodes together lie
    with at most the probability (union bound).

    Args:
        rounds: T.
        nodes: n.
        active: k, at most n.
        local_steps: gradients of an active node in a round.
        probability: that some node works more often.

    Raises:
        ValueError: an argument out of its range.

    >>> most_uses(1000, nodes=100, active=10), most_uses(1000, nodes=100, active=100)
    (132, 1000)
    """
    rounds = check_integer("rounds", rounds, minimum=1, maximum=MOST)
    active, nodes = _drawn(active, nodes, "node")
    local_steps = check_integer("local_steps", local_steps, minimum=1, maximum=MOST)
    probability = PROBABILITY.check("probability", probability)
    if active == nodes:
        return rounds * local_steps
    law = scipy.stats.binom(rounds, active / nodes)  # whose own inverse fails below 1e-16
    least = bisect.bisect_left(range(rounds), -probability / nodes, key=lambda count: -law.sf(count))
    return least * local_steps


def _drawn(active: Any, nodes: Any, level: Level) -> tuple[int, int]:
    """How many nodes of how many are active."""
    if level != "node":
        given = {name: value for name, value in (("active", active), ("nodes", nodes)) if value is not None}
        told = " and ".join(f"{name} is {short(value)}" for name, value in given.items())
        raise ValueError(f"{told}, and level is {level!r}; give level='node', or leave it out")
    nodes = check_integer("nodes", nodes, minimum=1, maximum=MOST)
    remedy = f"give an integer from 1 to {nodes}, the nodes"
    return check_integer("active", active, minimum=1, maximum=nodes, remedy=remedy), nodes


def _checked(uses: Any, batch: Any, samples: Any, level: Any, delta: Any) -> dict[str, Any]:
    """The arguments of the accountant, or a ValueError."""
    uses = check_integer("uses", uses, minimum=0, maximum=MOST)
    check_name("level", level, get_args(Level))
    delta = check_delta(delta)
    accountant.package()
    if level == "node":
        for name, value in (("batch", batch), ("samples", samples)):
            if value is not None:
                raise ValueError(f"{name} is {short(value)} and level is 'node'; leave it out, or give level='sample'")
        return {"uses": uses, "level": level, "batch": None, "samples": None, "delta": delta}
    samples = check_integer("samples", samples, minimum=1, maximum=MOST, remedy="give the samples of the node")
    remedy = f"give an integer from 1 to {samples}, the samples of the node"
    batch = check_integer("batch", batch, minimum=1, maximum=samples, remedy=remedy)
    return {"uses": uses, "level": level, "batch": batch, "samples": samples, "delta": delta}
