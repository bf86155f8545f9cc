"""Accuracy of DSGD on Base-(k+1) graphs (Takezawa 2023) and on EquiTopo (Song 2022), on digits of uneven labels.

    python experiments/paper/graphs_accuracy.py --quick
    python experiments/paper/graphs_accuracy.py

An MLP with momentum 0.9, batch 8, labels split by Dirichlet(0.1). Each graph takes the step size of one grid with the
lowest held-out loss of the nodes' own models, means over three seeds. One row a graph: the accuracy of the nodes' own
models and of the mean model with standard errors over seeds, and the messages that a node sends in a round.
"""

from dataclasses import dataclass
from typing import Any

import jax
import optax
import polars as pl
from graphs_consensus import GRAPHS
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 1
KEYS = ["graph", "nodes"]
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
SCORES = ("accuracy_slots", "accuracy", "accuracy_worst")


@dataclass(frozen=True)
class Settings(Options):
    """What to run."""

    nodes: tuple[int, ...] = (25, 100)
    graphs: tuple[str, ...] = tuple(graph for graph in GRAPHS if not graph.startswith("simple"))
    rounds: int = 200
    seeds: int = 3

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"nodes": (25,), "graphs": ("ring", "exponential", "base:degree=1"), "rounds": 100}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"rounds": settings.rounds, "seeds": settings.seeds})
    cells = [(graph, nodes) for nodes in settings.nodes for graph in settings.graphs]
    for number, (graph, nodes) in enumerate(cells, 1):
        key = {"graph": graph, "nodes": nodes}
        rows = table.cell(key, lambda: judge(graph, nodes, settings))  # noqa: B023
        table.tell(f"{graph}, n = {nodes}: {rows['accuracy_slots'][0]:.3f}", number, len(cells))
        jax.clear_caches()
    show(table.rows.drop("seconds"))
    table.close(KEYS)


def judge(graph: str, nodes: int, settings: Settings) -> pl.DataFrame:
    """The last row of the best step size."""
    optimizer = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    run = tj.simulate(
        tj.decentralized_sgd(topology=graph, optimizer=optimizer),
        tj.tasks.digits(nodes=nodes, alpha=0.1, batch=8),
        rounds=settings.rounds,
        eval_every=settings.rounds,
        tune=list(RATES),
        seeds=settings.seeds,
        progress=False,
    )
    ends = run.history.filter(pl.col("round") == settings.rounds)
    error = lambda name: (pl.col(name).std() / pl.len().sqrt()).alias(f"{name}_se")
    rates = ends.group_by("learning_rate").agg(
        *(pl.col(name).mean() for name in SCORES),
        *(error(name) for name in SCORES),
        pl.col("validation_loss_slots").mean().alias("held_out"),
        pl.col("diverged").any(),
        (pl.col("messages").mean() / settings.rounds / nodes).alias("messages"),
    )
    best = rates.sort("diverged", "held_out").head(1)
    order = ("learning_rate", *(f"{name}{end}" for name in SCORES for end in ("", "_se")), "messages")
    return best.select(*order, pl.col("learning_rate").is_in([min(RATES), max(RATES)]).alias("at_edge"))


if __name__ == "__main__":
    command(main, Settings, __doc__)
