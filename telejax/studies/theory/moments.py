"""Exact moments on quadratics: the expected curves of DSGD and of TELEPORTATION, without sampling noise.

In ``e = x - x*`` node i steps ``e <- (1 - eta a_i) e - eta g_i - eta noise``, with curvature a_i, gradient g_i at the
optimum and noise of total variance sigma^2. The holders of a round of TELEPORTATION are drawn without replacement,
independent of the past, so that ``m = E e_a`` (the same for all slots) and ``C_ab = E <e_a, e_b>`` follow a closed
recursion; in DSGD the nodes' means follow the deterministic iteration, and the noise is one covariance over the nodes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from jaxtyping import Float

from telejax.algorithms.decentralized_sgd import DecentralizedSGD, Order
from telejax.algorithms.teleportation import Teleportation, teleportation
from telejax.errors import POSITIVE, check_integer, check_list, check_number, is_kind, short
from telejax.mixing.drawn import Drawn
from telejax.mixing.forms import MAX_NEIGHBOURS, Mixing
from telejax.mixing.mix import neighbours
from telejax.optimizers import Optimizer, optimizer
from telejax.studies.search.candidates import check_candidates
from telejax.tasks.koloskova import KoloskovaQuadratic
from telejax.tasks.quadratic import Quadratic
from telejax.topology import TopologyLike

MOST_SLOTS, MOST_NODES, MOST_ROUNDS = 4096, 10**6, 10**6
"""A covariance of so many slots is kept; the quadratics of so many nodes are averaged."""
MOST_BY_DEFAULT = 256
"""Of the active nodes that are tried where none are named."""

Matrix = Float[np.ndarray, "slots slots"]


@dataclass(frozen=True)
class Locals:
    """The quadratics of all nodes around their common optimum, in float64."""

    start: Float[np.ndarray, " dim"]
    """x_0 - x*."""
    curvatures: Float[np.ndarray, " nodes"]
    gradients: Float[np.ndarray, "nodes dim"]
    """Of each node at the optimum."""
    noise_sq: float

    @staticmethod
    def of(task: Any) -> "Locals":
        """Those of a task of :func:`telejax.tasks.quadratic` or of :func:`telejax.tasks.koloskova_quadratic`."""
        nodes = jnp.arange(task.nodes, dtype=jnp.int32)
        curvatures, gradients = (np.asarray(part, np.float64) for part in jax.vmap(task.local)(nodes))
        start = np.asarray(task.init(jax.random.key(0)), np.float64) - np.asarray(task.optimum, np.float64)
        return Locals(start, curvatures, gradients, 0.0 if task.noise is None else float(task.noise) ** 2)


class Gossip:
    """A mixing applied on the host in float64; its neighbour lists are read once a period, or drawn in each round."""

    def __init__(self, mixing: Mixing) -> None:
        self.mixing, self.known = mixing, cache(self._read)
        parts = jax.tree.leaves(mixing, is_leaf=lambda part: isinstance(part, Drawn))
        self.period = 0 if any(isinstance(part, Drawn) for part in parts) else len(mixing.messages)  # type: ignore[arg-type]

    def __call__(self, round: int, x: Float[np.ndarray, "slots d"]) -> Float[np.ndarray, "slots d"]:
        """``W x``, W that of the round."""
        indices, weights = self.known(round % self.period) if self.period else self._read(round)
        if len(indices) > MAX_NEIGHBOURS:
            matrix = np.zeros((self.mixing.slots,) * 2)
            np.add.at(matrix, (np.arange(self.mixing.slots)[None], indices), weights)
            return matrix @ x
        mixed: np.ndarray = sum(weight[:, None] * x[index] for index, weight in zip(indices, weights, strict=True))
        return mixed

    def both_sides(self, round: int, x: Matrix) -> Matrix:
        """``W x W^T`` for a symmetric x."""
        return self(round, self(round, x).T)

    def _read(self, round: int) -> tuple[np.ndarray, np.ndarray]:
        indices, weights = neighbours(self.mixing, round)
        return np.asarray(indices), np.asarray(weights, np.float64)


def moments(task: Any, algorithm: DecentralizedSGD | Teleportation, rounds: int) -> pl.DataFrame:
    """The expected loss of the mean model and of the slots' own, and the expected consensus distance, round by round.

    Args:
        task: a quadratic, of :func:`telejax.tasks.quadratic` or :func:`telejax.tasks.koloskova_quadratic`.
        algorithm: :func:`telejax.decentralized_sgd` or :func:`telejax.teleportation` with plain SGD of a constant step
            size, and one local step. A round costs O(k^2 degree) for k slots.
        rounds: how many.

    Returns:
        A table with ``round`` from 0, ``loss``, ``loss_slots`` and ``consensus``, as in a history.

    Raises:
        ValueError: another task, method or optimizer; more slots or nodes than fit.

    >>> import optax, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=40, heterogeneity=2.0, noise=1.0)
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> curve = moments(task, tj.teleportation(active=7, topology="ring", optimizer=sgd), rounds=100)
    >>> curve.columns, round(curve["loss"][0], 4)
    (['round', 'loss', 'loss_slots', 'consensus'], 5.0)
    """
    check_quadratic("task", task)
    rounds = check_integer("rounds", rounds, minimum=1, maximum=MOST_ROUNDS)
    _check_method(algorithm)
    algorithm = algorithm.bind(task)
    eta, slots = _step_size(algorithm), algorithm.slots(task.nodes)
    for name, count, most in (("slots", slots, MOST_SLOTS), ("nodes", task.nodes, MOST_NODES)):
        if count > most:
            raise ValueError(f"{algorithm.name} on {task.nodes} nodes has {count} {name}; give at most {most}")
    problem = Locals.of(task)
    gossip = Gossip(algorithm.mixing)  # type: ignore[arg-type]  # bound
    if isinstance(algorithm, Teleportation):
        second = _of_teleportation(problem, gossip, eta, rounds)
    else:
        second = _of_dsgd(problem, gossip, eta, rounds, algorithm.order)
    scale = problem.curvatures.mean() / 2
    rows = [(np.mean(moment), np.trace(moment) / slots) for moment in second]
    mean, own = np.array(rows).T
    table = {"round": np.arange(rounds + 1), "loss": scale * mean, "loss_slots": scale * own, "consensus": own - mean}
    return pl.DataFrame(table)


def exact_optimum(
    task: Any,
    topology: TopologyLike,
    rounds: int | None,
    gradients: int | None,
    candidates: Sequence[int] | None,
    objective: Literal["slots", "mean"],
    learning_rates: Sequence[float],
    tolerance: float,
) -> int:
    """The smallest number of active nodes whose expected loss is near the least; see ``theory.optimal_active``."""
    check_quadratic("problem", task)
    tolerance, column = check_number("tolerance", tolerance), {"slots": "loss_slots", "mean": "loss"}[objective]
    given = check_list("learning_rates", learning_rates, "give a list of step sizes")
    rates = [POSITIVE.check("learning_rates", one) for one in given]
    if not rates:
        raise ValueError("learning_rates is empty; give at least one step size")
    chosen = check_candidates(candidates, task.nodes if candidates is not None else min(task.nodes, MOST_BY_DEFAULT))
    if gradients is not None:
        remedy = f"give at least {chosen[-1]}, the gradients of one round of the largest candidate"
        check_integer("gradients", gradients, minimum=chosen[-1], remedy=remedy)
    losses = []
    for k in chosen:
        horizon = rounds if gradients is None else gradients // k
        methods = [
            teleportation(active=k, topology=topology, optimizer=optimizer(optax.sgd, learning_rate=rate))
            for rate in rates
        ]
        with np.errstate(over="ignore", invalid="ignore"):  # of step sizes that are too large
            ends = [moments(task, method, horizon)[column][-1] for method in methods]  # type: ignore[arg-type]
        losses.append(min([end for end in ends if np.isfinite(end)], default=np.inf))
    if not np.isfinite(min(losses)):
        tried = ", ".join(f"{rate:g}" for rate in rates)
        raise ValueError(
            f"learning_rates is {tried}, with which the loss of every candidate diverges; give smaller ones"
        )
    return next(k for k, loss in zip(chosen, losses, strict=True) if loss <= (1 + tolerance) * min(losses))


def check_quadratic(name: str, task: Any) -> None:
    """Raise a ValueError unless all moments of the task are known."""
    if not is_kind(task, Quadratic | KoloskovaQuadratic):
        raise ValueError(f"{name} is {short(task)}; give a quadratic, such as telejax.tasks.quadratic(nodes=100)")


def _of_teleportation(problem: Locals, gossip: Gossip, eta: float, rounds: int) -> Iterator[Matrix]:
    """``C_ab = E <e_a, e_b>`` after each round: the holders of two slots are two different nodes."""
    a, g, n = problem.curvatures, problem.gradients, len(problem.curvatures)
    mean_a, mean_a2, mean_g = a.mean(), (a**2).mean(), g.mean(axis=0)
    mean_ag, mean_gg = (a[:, None] * g).mean(axis=0), (g**2).sum(axis=1).mean()
    pair = lambda product, square: (n * product - square) / max(1, n - 1)  # the mean over i != j
    pair_a2, pair_ag, pair_gg = pair(mean_a**2, mean_a2), pair(mean_a * mean_g, mean_ag), pair(mean_g @ mean_g, mean_gg)
    m, moment = problem.start, np.full((gossip.mixing.slots,) * 2, problem.start @ problem.start)
    yield moment
    for now in range(rounds):
        diagonal = np.diagonal(moment) * (1 - 2 * eta * mean_a + eta**2 * mean_a2)
        diagonal = diagonal + 2 * (eta**2 * mean_ag - eta * mean_g) @ m + eta**2 * (mean_gg + problem.noise_sq)
        moment = moment * (1 - 2 * eta * mean_a + eta**2 * pair_a2)
        moment += 2 * (eta**2 * pair_ag - eta * mean_g) @ m + eta**2 * pair_gg
        np.fill_diagonal(moment, diagonal)
        moment, m = gossip.both_sides(now, moment), (1 - eta * mean_a) * m - eta * mean_g
        yield moment


def _of_dsgd(problem: Locals, gossip: Gossip, eta: float, rounds: int, order: Order) -> Iterator[Matrix]:
    """``E <e_i, e_j>`` of the nodes after each round: that of their means, and the covariance of the noise."""
    a, g, n = problem.curvatures, problem.gradients, len(problem.curvatures)
    e, covariance = np.tile(problem.start, (n, 1)), np.zeros((n, n))
    yield e @ e.T
    for now in range(rounds):
        if order == "combine_then_adapt":
            apply = lambda x, now=now: gossip(now, x) - eta * a[:, None] * x
            e, covariance = apply(e) - eta * g, apply(apply(covariance).T).T
            covariance[np.diag_indices(n)] += eta**2 * problem.noise_sq
        else:
            shrunk = 1 - eta * a
            e = gossip(now, shrunk[:, None] * e - eta * g)
            covariance = shrunk[:, None] * covariance * shrunk[None]
            covariance[np.diag_indices(n)] += eta**2 * problem.noise_sq
            covariance = gossip.both_sides(now, covariance)
        yield e @ e.T + covariance


def _check_method(algorithm: Any) -> None:
    """Raise a ValueError unless the recursion is that of the method."""
    if not is_kind(algorithm, DecentralizedSGD | Teleportation):
        raise ValueError(
            f"algorithm is {short(algorithm)}; give telejax.decentralized_sgd(...) or telejax.teleportation(...)"
        )
    more = {"local_steps": 1, "aggregation": None, "hand_off_compressor": None, "sources": None}
    for name, usual in more.items():
        if (value := getattr(algorithm, name, usual)) != usual:
            raise ValueError(f"algorithm has {name} = {value}, and moments are those without; leave it out")


def _step_size(algorithm: DecentralizedSGD | Teleportation) -> float:
    """The constant step size of plain SGD."""
    made = algorithm.optimizer
    if is_kind(made, Optimizer) and made.factory is optax.sgd and "learning_rate" in made.numbers:
        more = {**made.numbers, **dict(made.options)}
        if not any(value for name, value in more.items() if name != "learning_rate"):
            return float(made.numbers["learning_rate"])
    raise ValueError(
        f"optimizer is {made.describe()}, and moments are those of plain SGD; give "
        "telejax.optimizer(optax.sgd, learning_rate=0.1)"
    )
