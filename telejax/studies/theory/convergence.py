"""What the analysis predicts: convergence bounds, the number of active nodes that minimises them, and their constants.

All bounds are for ``(1/T) sum_t E ||grad f(mean x_t)||^2`` after T rounds at the best step size, up to constants.
The graph enters as ``q = p / tau``, with p the consensus rate of a period of tau rounds (``Topology.consensus_rate``):
for tau = 1 it is p, and for a period it is what Theorem 2 of A. Koloskova et al. 2020 (arXiv 2003.10422) has.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from telejax.errors import check_integer, check_kind, check_name, check_number, short
from telejax.simulation.arguments import check_one_budget
from telejax.studies.search.candidates import check_candidates
from telejax.studies.search.result import SearchResult
from telejax.studies.theory.constants import ProblemConstants
from telejax.studies.theory.moments import exact_optimum
from telejax.topology import TopologyLike, check_topology, resolve

if TYPE_CHECKING:
    import matplotlib.axes

LARGEST_COUNT = 2**63 - 1
"""Of nodes, rounds and gradients in a bound, which is computed in floats."""

SLOWEST = 1e-100
"""The least consensus rate: bounds of a slower one overflow."""


def decentralized_sgd(problem: ProblemConstants, *, nodes: int, rounds: int, p: float, tau: int = 1) -> float:
    """The bound for decentralized SGD::

        sqrt(L r0 sigma^2 / (n T)) + (L^2 r0^2 (q sigma^2 + zeta^2) (1 - q) / (q^2 T^2))^(1/3) + L r0 / (q T)

    Args:
        problem: the constants.
        nodes: n.
        rounds: T.
        p: consensus rate of a period of the graph, above 0 and at most 1.
        tau: rounds of the period.

    Raises:
        ValueError: an argument out of its range.

    Source: A. Koloskova et al. 2020, arXiv 2003.10422.

    >>> problem = ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
    >>> round(decentralized_sgd(problem, nodes=4, rounds=100, p=1.0), 3)
    0.06
    """
    nodes, rounds = _count("nodes", nodes), _count("rounds", rounds)
    _check_problem(problem)
    q = _rate(p, tau)
    drift = q * problem.noise_sq + problem.heterogeneity_sq
    return problem.averaging(problem.noise_sq, nodes, rounds) + problem.graph(drift / q, q, rounds)


def teleportation(problem: ProblemConstants, *, nodes: int, active: int, rounds: int, p: float, tau: int = 1) -> float:
    """The bound for TELEPORTATION with k active nodes, in whose graph terms n is gone::

        sqrt(L r0 (sigma^2 + (1 - (k - 1) / (n - 1)) zeta^2) / (k T))
            + (L^2 r0^2 (sigma^2 + zeta^2) (1 - q) / (q T^2))^(1/3) + L r0 / (q T)

    Args:
        problem: the constants.
        nodes: n.
        active: k, at most n.
        rounds: T.
        p: consensus rate of a period of the graph over k slots.
        tau: rounds of the period.

    Raises:
        ValueError: an argument out of its range.

    Source: derived from the claims of Y. Takezawa, S. U. Stich, ICLR 2025, arXiv 2501.15259.

    >>> problem = ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
    >>> round(teleportation(problem, nodes=100, active=1, rounds=100, p=1.0), 3)
    0.151
    """
    nodes, rounds = _count("nodes", nodes), _count("rounds", rounds)
    active = check_integer("active", active, minimum=1)
    if active > nodes:
        raise ValueError(f"active is {active} of {nodes} nodes; activate at most {nodes}")
    _check_problem(problem)
    q = _rate(p, tau)
    sampling = 1 - (active - 1) / max(1, nodes - 1)
    noise = problem.noise_sq + sampling * problem.heterogeneity_sq
    drift = problem.noise_sq + problem.heterogeneity_sq
    return problem.averaging(noise, active, rounds) + problem.graph(drift, q, rounds)


def all_reduce(problem: ProblemConstants, *, nodes: int, rounds: int) -> float:
    """The bound for all-reduce SGD: ``sqrt(L r0 sigma^2 / (n T)) + L r0 / T``.

    >>> problem = ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
    >>> round(all_reduce(problem, nodes=4, rounds=100), 3)
    0.06
    """
    return decentralized_sgd(problem, nodes=nodes, rounds=rounds, p=1.0)


def bounds(
    problem: ProblemConstants,
    *,
    nodes: int,
    topology: TopologyLike = "ring",
    rounds: int | None = None,
    gradients: int | None = None,
    candidates: Sequence[int] | None = None,
) -> pl.DataFrame:
    """The bound for TELEPORTATION against k, with the measured p of each k-slot graph.

    Args:
        problem: the constants.
        nodes: n.
        topology: the graph over k slots: a name, or a function of k.
        rounds: T for every k; or
        gradients: a budget of stochastic gradients, which buys k ``gradients // k`` rounds.
        candidates: numbers of active nodes; by default 1, 2, 4, ... up to n.

    Returns:
        A table with ``active``, ``rounds``, ``p``, ``tau`` and ``bound``.

    >>> problem = ProblemConstants(smoothness=1.0, noise_sq=1.0, heterogeneity_sq=1.0, suboptimality=1.0)
    >>> bounds(problem, nodes=8, rounds=100)["active"].to_list()
    [1, 2, 4, 8]
    """
    _check_problem(problem)
    check_topology("topology", topology)
    check_one_budget(rounds, gradients)
    rows = []
    chosen = check_candidates(candidates, _count("nodes", nodes))
    if gradients is not None:
        remedy = f"give at least {chosen[-1]}, the gradients of one round of the largest candidate"
        gradients = _count("gradients", check_integer("gradients", gradients, minimum=chosen[-1], remedy=remedy))
    for k in reversed(chosen):  # the largest first, which is refused at once where it does not fit the memory
        graph = resolve(topology, k)
        p, tau = graph.consensus_rate(), graph.period
        horizon = rounds if gradients is None else gradients // k
        value = teleportation(problem, nodes=nodes, active=k, rounds=horizon, p=p, tau=tau)  # type: ignore[arg-type]
        rows.append({"active": k, "rounds": horizon, "p": p, "tau": tau, "bound": value})
    return pl.DataFrame(rows[::-1])


LEARNING_RATES, TOLERANCE = (0.003, 0.01, 0.03, 0.1, 0.3), 0.05


def optimal_active(
    problem: ProblemConstants | Any,
    *,
    nodes: int | None = None,
    topology: TopologyLike = "ring",
    rounds: int | None = None,
    gradients: int | None = None,
    candidates: Sequence[int] | None = None,
    objective: Literal["bound", "slots", "mean"] = "bound",
    learning_rates: Sequence[float] | None = None,
    tolerance: float | None = None,
) -> int:
    """The number of active nodes that minimises the bound, or the exact expected loss on a quadratic.

    For a ring and T rounds the minimum of the bound grows as ``((sigma^2 + zeta^2) T / (L r0))^(1/7)``. Under equal
    gradients k T is fixed, and with it the first term but for zeta's share: the bound then asks for few nodes.

    Args:
        problem: the constants; or, for another objective than the bound, a quadratic task.
        nodes: n; left out for a task, which knows it.
        topology: as for :func:`bounds`, likewise ``rounds``, ``gradients`` and ``candidates``.
        objective: "bound"; "slots" or "mean": the expected loss at the end of the slots' own models, or of their mean,
            of :func:`moments`, at the best of the step sizes. Then candidates end at 256 where none are given.
        learning_rates: of these two objectives: step sizes to try, by default 0.003, 0.01, 0.03, 0.1 and 0.3.
        tolerance: likewise: the smallest number whose loss is within this share of the least, by default 0.05, as
            :func:`telejax.search` recommends.

    Raises:
        ValueError: an argument out of its range, a task where constants are due or the reverse.

    >>> problem = ProblemConstants(smoothness=1.0, noise_sq=100.0, heterogeneity_sq=0.0, suboptimality=1.0)
    >>> optimal_active(problem, nodes=512, rounds=10**6), optimal_active(problem, nodes=512, gradients=10**6)
    (32, 1)
    >>> import telejax as tj
    >>> task = tj.tasks.quadratic(nodes=512, heterogeneity=5.0, noise=5.0)
    >>> optimal_active(task, rounds=400, objective="slots", learning_rates=[0.03])
    16
    """
    check_name("objective", objective, ("bound", "slots", "mean"))
    if objective == "bound":
        _check_problem(problem)
        for name, given in (("learning_rates", learning_rates), ("tolerance", tolerance)):
            if given is not None:
                told = f"{name} is {short(given)} and objective 'bound', which has none"
                raise ValueError(f"{told}; leave it out, or give objective='slots' or 'mean'")
        n = check_integer("nodes", nodes, minimum=1)
        table = bounds(problem, nodes=n, topology=topology, rounds=rounds, gradients=gradients, candidates=candidates)
        return int(table["active"][int(np.argmin(table["bound"].to_numpy()))])
    if nodes is not None:
        raise ValueError(f"nodes is {short(nodes)} and objective {objective!r}; leave nodes out, the task knows them")
    check_topology("topology", topology)
    check_one_budget(rounds, gradients)
    rates = LEARNING_RATES if learning_rates is None else learning_rates
    share = TOLERANCE if tolerance is None else tolerance
    return exact_optimum(problem, topology, rounds, gradients, candidates, objective, rates, share)


def plot(
    problem: ProblemConstants,
    found: SearchResult,
    topology: TopologyLike = "ring",
    axes: "matplotlib.axes.Axes | None" = None,
) -> "matplotlib.axes.Axes":
    """The objectives that a search measured and the bound at the same budget, with the optimum of each marked.

    The bound is scaled to the measured objective at its own minimum, as it holds up to constants only.

    >>> import optax, telejax as tj
    >>> task, sgd = tj.tasks.quadratic(nodes=30, noise=1.0), tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> found = tj.search(task, "ring", optimizer=sgd, rounds=40, seeds=1, progress=False)
    >>> tj.theory.plot(tj.theory.measure(task, task.optimum), found).get_xlabel()
    'active nodes k'
    """
    _check_problem(problem)
    check_kind("found", found, SearchResult, "give what telejax.search returned")
    axes = found.plot(axes)
    budget, table = found.config["budget"], found.table
    predicted = bounds(
        problem,
        nodes=found.config["nodes"],
        topology=topology,
        rounds=budget.get("rounds"),
        gradients=budget.get("gradients"),
        candidates=table["active"].to_list(),
    )
    least = int(np.argmin(predicted["bound"].to_numpy()))
    scale = table[found.column][least] / predicted["bound"][least]
    axes.plot(predicted["active"], scale * predicted["bound"], ":s", color="gray", markersize=4, label="bound, scaled")
    axes.axvline(
        predicted["active"][least], color="gray", linestyle="--", label=f"predicted: {predicted['active'][least]}"
    )
    axes.legend(fontsize="small")
    return axes


def _check_problem(problem: object) -> None:
    """Raise a ValueError unless these are the constants of a problem."""
    remedy = "give telejax.theory.measure(task), or telejax.theory.ProblemConstants(...)"
    check_kind("problem", problem, ProblemConstants, remedy)


def _count(name: str, value: int) -> int:
    return check_integer(name, value, minimum=1, maximum=LARGEST_COUNT)


def _rate(p: float, tau: int) -> float:
    """q = p / tau."""
    remedy = f"give a consensus rate of at least {SLOWEST:g} and at most 1"
    p = check_number("p", p, exclusive=True, remedy=remedy)
    if not SLOWEST <= p <= 1 + 1e-9:
        raise ValueError(f"p is {short(p)}; {remedy}")
    return min(p, 1.0) / _count("tau", tau)
