"""Beyond spectral gap (Vogels, Hendrikx, Jaggi 2022, arXiv 2206.03093): DSGD on random isotropic quadratics.

    python experiments/paper/isotropic_quadratics.py --quick
    python experiments/paper/isotropic_quadratics.py

Every node draws d from N(0, I) in every round and steps along the gradient of (d . x)^2 / 2. With z = dim + 2,

    E C  <-  W ((1 - eta)^2 C + (z - 1) eta^2 diag(C)) W^T,    C_ij = <x_i, x_j>,

is exact, and where all nodes look alike its rate r (the share of E |x|^2 that a round takes in the long run) solves

    1 - r = (1 - eta)^2 + (z - 1) eta^2 / n_W(g),   g = (1 - eta)^2 / (1 - r),

with n_W the effective number of neighbours. One row a graph and step size: r by the recursion, by n_W
(``Topology.effective_neighbours``), and n_W there; and the mean of |x|^2 over nodes and seeds after some rounds against
the recursion, in standard errors. The best step size of each graph is marked: the graph with the larger n_W can afford
the larger one, whatever its spectral gap.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import scipy.optimize
from jaxtyping import Array, Float, Key
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 1
KEYS = ["graph", "learning_rate"]
DIM, ROUNDS, LONG = 10, 20, 4000
GRAPHS = ("ring", "torus", "hypercube", "exponential", "complete")
RATES = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Settings(Options):
    """How many nodes, and runs that judge the recursion."""

    nodes: int = 64
    runs: int = 4000

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"runs": 200}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class IsotropicQuadratic:
    """The task, as a user would write one: the optimum is at 0."""

    nodes: int = field(metadata={"static": True})

    def init(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        return jnp.ones(DIM)

    def loss(self, params: Float[Array, " dim"], node: Any, key: Key[Array, ""]) -> Float[Array, ""]:
        return 0.5 * (jax.random.normal(key, (DIM,)) @ params) ** 2

    def evaluate(self, params: Float[Array, " dim"]) -> dict[str, Float[Array, ""]]:
        return {"loss": 0.5 * params @ params}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"nodes": settings.nodes, "runs": settings.runs, "dim": DIM})
    for number, graph in enumerate(GRAPHS, 1):
        matrix = tj.topology.from_spec(graph, settings.nodes)
        for rate in RATES:
            key = {"graph": graph, "learning_rate": rate}
            table.cell(key, lambda: pl.DataFrame([judge(matrix, rate, settings)]))  # noqa: B023
        table.tell(graph, number, len(GRAPHS))
    show(marked(table.rows))
    table.close(KEYS)


def judge(topology: tj.topology.Topology, rate: float, settings: Settings) -> dict[str, Any]:
    """One row."""
    matrix = topology.matrix(0)
    exact = recursion(matrix, rate, ROUNDS)
    long = recursion(matrix, rate, LONG, scaled=True)
    by_neighbours = rate_of_neighbours(topology, rate)
    g = (1 - rate) ** 2 / (1 - by_neighbours)
    run = tj.simulate(
        tj.decentralized_sgd(topology=topology, optimizer=tj.optimizer(optax.sgd, learning_rate=rate)),
        IsotropicQuadratic(settings.nodes),
        rounds=ROUNDS,
        eval_every=ROUNDS,
        seeds=settings.runs,
        progress=False,
    ).history
    own = run.filter(pl.col("round") == ROUNDS)["loss_slots"]
    error = own.std() / len(own) ** 0.5
    return {
        "rate": 1 - long,
        "rate_by_neighbours": by_neighbours,
        "neighbours": topology.effective_neighbours(g) if g < 1 else None,
        "consensus_rate": topology.consensus_rate(),
        "loss_exact": exact,
        "loss_mean": own.mean(),
        "off": (own.mean() - exact) / error,
    }


def recursion(matrix: np.ndarray, rate: float, rounds: int, scaled: bool = False) -> float:
    """The mean of |x|^2 / 2 after so many rounds; ``scaled``: what the last round leaves of it."""
    moment, before = np.full(matrix.shape, float(DIM)), 1.0
    for _ in range(rounds):
        if scaled:
            moment, before = moment / np.trace(moment), 1.0
        moment = (1 - rate) ** 2 * moment + np.diag((DIM + 1) * rate**2 * np.diag(moment))
        moment = matrix @ moment @ matrix.T
    return float(np.trace(moment) / before if scaled else np.trace(moment) / len(matrix) / 2)


def rate_of_neighbours(topology: tj.topology.Topology, rate: float) -> float:
    """The root of the equation of the docstring; above its fixed point all is forgotten too fast to be heard."""
    alone = (1 - rate) ** 2

    def over(left: float) -> float:
        return left - alone - (DIM + 1) * rate**2 / topology.effective_neighbours(alone / left)

    most = alone + (DIM + 1) * rate**2 + 1e-9  # with no neighbour at all
    return 1 - scipy.optimize.brentq(over, alone * (1 + 1e-6), most)


def marked(rows: pl.DataFrame) -> pl.DataFrame:
    """Where the rate of a graph is largest."""
    best = (pl.col("rate") == pl.col("rate").max().over("graph")).alias("best")
    return rows.select(*KEYS, "rate", "rate_by_neighbours", "neighbours", "consensus_rate", "off", best)


if __name__ == "__main__":
    command(main, Settings, __doc__)
