"""What the paper says of rates, by exact moments: no seeds, no sampling noise, except for tokens, which are simulated.

    python experiments/paper/rates.py --quick
    python experiments/paper/rates.py

Quadratics with heterogeneity 5 and noise 5, shuffled nodes. Each row is the best of one grid of step sizes, chosen for
each column on its own: ``theorem`` is what the bounds speak of, the mean over rounds of E ||grad f(mean x_t)||^2, and
``loss`` and ``loss_slots`` are those after the last round, of the mean model and of the slots' own. The parts:

- ``nodes``: does the rate degrade with n? TELEPORTATION with k = 16 on a ring to n = 2^18, and DSGD on a ring;
- ``sorted``: the same where neighbours of DSGD have alike data;
- ``active``: does it improve with k, as 1 / k (n = 4096)?
- ``help``: do more nodes help? For each n the best k of all powers of two up to n and 256;
- ``gossip``: does one more gossip step a round change much?
- ``tokens``: m tokens that never gossip (32 seeds);
- ``rounds``: the rate in the number of rounds (n = 4096, k = 16).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj
from telejax.topology import Topology

VERSION = 1
KEYS = ["part", "method", "nodes", "active", "steps", "rounds"]
RATES = tuple(round(0.5 * 0.7**power, 6) for power in range(20))  # 0.5 to 0.0006
ROUNDS, DIM, SEEDS = 400, 10, 32
COLUMNS = ("theorem", "loss", "loss_slots")
SGD = tj.optimizer(optax.sgd, learning_rate=0.1)


@dataclass(frozen=True)
class Settings(Options):
    """What to run."""

    parts: tuple[str, ...] = ("nodes", "sorted", "active", "help", "gossip", "tokens", "rounds")
    largest: int = 19
    """log2 of the most nodes of TELEPORTATION."""
    dsgd: int = 8
    """log2 of the most nodes of DSGD, whose covariance has n^2 numbers."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"largest": 8, "dsgd": 5}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"rates": RATES, "dim": DIM, "seeds": SEEDS})
    cells = [(key, make) for key, make in points(settings) if key["part"] in settings.parts]
    for number, (key, make) in enumerate(cells, 1):
        table.cell(key, make)
        table.tell(", ".join(str(value) for value in key.values()), number, len(cells))
    show(table.rows.drop("seconds"))
    table.close(KEYS)


def points(settings: Settings) -> Iterator[tuple[dict[str, Any], Callable[[], pl.DataFrame]]]:
    """All cells: their keys, and what computes them."""
    sizes = [2**e for e in range(4, settings.largest + 1, 2)]
    for part, placement in (("nodes", "shuffled"), ("sorted", "sorted")):
        for nodes in [2**e for e in range(4, settings.dsgd + 1)]:
            for graph in ("ring", "exponential"):
                yield cell(part, f"DSGD {graph}", nodes, nodes, placement=placement, graph=graph)
        for nodes in sizes:
            yield cell(part, "TELEPORTATION ring", nodes, 16, placement=placement)
    middle = 2 ** min(12, settings.largest)
    for active in [2**e for e in range(9)]:
        yield cell("active", "TELEPORTATION ring", middle, active)
    for nodes in [2**e for e in range(1, settings.largest + 1)]:
        for active in [2**e for e in range(9) if 2**e <= nodes]:
            yield cell("help", "TELEPORTATION ring", nodes, active)
    for steps in (1, 2, 4):
        yield cell("gossip", "TELEPORTATION ring", middle, 16, steps=steps)
        yield cell("gossip", "TELEPORTATION exponential", middle, 16, graph="exponential", steps=steps)
        yield cell("gossip", "DSGD ring", 64, 64, steps=steps)
        yield cell("gossip", "DSGD exponential", 64, 64, graph="exponential", steps=steps)
    for rounds in (100, 200, 400, 800, 1600):
        yield cell("rounds", "TELEPORTATION ring", middle, 16, rounds=rounds)
    for tokens in [2**e for e in range(7)]:
        key = {"part": "tokens", "method": "tokens", "nodes": middle, "active": tokens, "steps": 0, "rounds": ROUNDS}
        yield key, lambda tokens=tokens: simulated(task_of(middle, "shuffled"), tokens)


def cell(
    part: str,
    method: str,
    nodes: int,
    active: int,
    *,
    graph: str = "ring",
    placement: str = "shuffled",
    steps: int = 1,
    rounds: int = ROUNDS,
) -> tuple[dict[str, Any], Callable[[], pl.DataFrame]]:
    """A cell of exact moments."""
    key = {"part": part, "method": method, "nodes": nodes, "active": active, "steps": steps, "rounds": rounds}

    def make() -> pl.DataFrame:
        topology = several(tj.topology.from_spec(graph, active), steps)
        if method.startswith("DSGD"):
            algorithm: Any = tj.decentralized_sgd(topology=topology, optimizer=SGD)
        else:
            algorithm = tj.teleportation(active=active, topology=topology, optimizer=SGD)
        return exact(task_of(nodes, placement), algorithm, rounds)

    return key, make


def task_of(nodes: int, placement: str) -> Any:
    """The quadratic; one or two nodes cannot differ as many do, and have no heterogeneity."""
    zeta = 5.0 if nodes > 2 else 0.0
    return tj.tasks.quadratic(nodes=nodes, dim=DIM, heterogeneity=zeta, noise=5.0, placement=placement)


def several(topology: Topology, steps: int) -> Topology:
    """The graph whose round is so many of this one's."""
    matrix = np.linalg.matrix_power(topology.matrix(0), steps)
    return topology if steps == 1 else tj.topology.from_matrix(matrix)


def exact(task: Any, algorithm: Any, rounds: int) -> pl.DataFrame:
    """One row: the least of each column over the step sizes, and that step size."""
    found = []
    with np.errstate(over="ignore", invalid="ignore"):  # of step sizes that are too large
        for rate in RATES:
            curve = tj.theory.moments(task, algorithm.with_learning_rate(rate), rounds)
            told = {"theorem": 2 * curve["loss"][:-1].mean(), "loss": curve["loss"][-1]}
            found.append({"rate": rate, **told, "loss_slots": curve["loss_slots"][-1]})
    return least(pl.DataFrame(found))


def simulated(task: Any, tokens: int) -> pl.DataFrame:
    """The same of tokens that wander on their own, means over seeds."""
    run = tj.simulate(
        tj.random_walk(tokens=tokens, optimizer=SGD),
        task,
        rounds=ROUNDS,
        eval_every=1,
        seeds=SEEDS,
        tune=list(RATES),
        progress=False,
    ).history
    ends = run.group_by(pl.col("learning_rate").alias("rate")).agg(
        (2 * pl.col("loss").filter(pl.col("round") < ROUNDS)).mean().alias("theorem"),
        *(pl.col(name).filter(pl.col("round") == ROUNDS).mean() for name in ("loss", "loss_slots")),
    )
    return least(ends)


def least(table: pl.DataFrame) -> pl.DataFrame:
    """The least finite value of each column with its step size."""
    row: dict[str, float | None] = {}
    for column in COLUMNS:
        best = table.filter(pl.col(column).is_finite()).sort(column).row(0, named=True)
        row |= {column: best[column], f"{column}_rate": best["rate"]}
    return pl.DataFrame([row])


def slope(table: pl.DataFrame, x: str, column: str) -> float:
    """Of log column against log x, by least squares."""
    return float(np.polyfit(np.log(table[x].to_numpy()), np.log(table[column].to_numpy()), 1)[0])


if __name__ == "__main__":
    command(main, Settings, __doc__)
