"""Consensus on Base-(k+1) graphs (Takezawa 2023, arXiv 2305.11420) and EquiTopo (Song 2022, arXiv 2210.07881).

    python experiments/paper/graphs_consensus.py --quick
    python experiments/paper/graphs_consensus.py

Nodes hold normal numbers and gossip alone. One row a graph and number of nodes: its largest degree, the round after
which the consensus distance is rounding alone (``exact``, under 1e-24 of the start, of graphs whose period promises
it), and the share of it that a round leaves: measured (``left``, a geometric mean over the rounds until it is under
1e-12, and over ten draws where the graph or its rounds are drawn, with its standard error) and as
``Topology.consensus_rate`` says (``promised``, the largest share that any start can keep). Base graphs promise exact
consensus in finitely many rounds at any n, EquiTopo a share that does not grow with n at a degree of one (equidyn) or
of about log n (equistatic).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 2
KEYS = ["graph", "nodes"]
ROUNDS, DIM, DRAWS = 60, 64, 10
EXACT, FLOOR = 1e-24, 1e-12
GRAPHS = (
    "ring",
    "torus",
    "exponential",
    "one_peer_exponential",
    *(f"base:degree={k}" for k in (1, 2, 3, 4)),
    *(f"simple_base:degree={k}" for k in (1, 2, 3, 4)),
    "d_equistatic",
    "u_equistatic",
    "od_equidyn",
    "ou_equidyn",
)
DRAWN = ("equistatic", "equidyn")


@dataclass(frozen=True)
class Settings(Options):
    """What to run."""

    nodes: tuple[int, ...] = (21, 22, 23, 24, 25, 32, 64, 100, 128, 300, 512, 1024)
    graphs: tuple[str, ...] = GRAPHS

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"nodes": (24, 25, 128)}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"rounds": ROUNDS, "draws": DRAWS})
    cells = [(graph, nodes) for nodes in settings.nodes for graph in settings.graphs]
    for number, (graph, nodes) in enumerate(cells, 1):
        table.cell({"graph": graph, "nodes": nodes}, lambda: pl.DataFrame([judge(graph, nodes)]))  # noqa: B023
        table.tell(f"{graph}, n = {nodes}", number, len(cells))
    show(table.rows.select("graph", "nodes", "degree", "exact", "left", "left_se", "promised"))
    table.close(KEYS)


def judge(graph: str, nodes: int) -> dict[str, Any]:
    """One row."""
    drawn = any(word in graph for word in DRAWN)
    runs = []
    for seed in range(DRAWS if drawn else 1):
        topology = tj.topology.from_spec(graph, nodes, seed=seed) if drawn else tj.topology.from_spec(graph, nodes)
        runs.append((topology, decay(topology, seed)))
    shares = [left(curve) for _, curve in runs]
    topology, curve = runs[0]
    under = np.flatnonzero(curve < EXACT)
    spread = np.std(shares, ddof=1) / math.sqrt(len(shares)) if drawn else None
    promised = (1 - topology.consensus_rate()) ** (1 / topology.period)
    return {
        "degree": topology.max_degree,
        "exact": int(under[0]) if len(under) and promised < FLOOR else None,
        "left": float(np.mean(shares)),
        "left_se": spread,
        "promised": promised,
    }


def decay(topology: tj.topology.Topology, seed: int) -> np.ndarray:
    """The consensus distance after each round, as a share of the first."""
    x = np.random.default_rng(seed).normal(size=(topology.nodes, DIM))
    x -= x.mean(axis=0)
    distances = [np.sum(x**2)]
    for round in range(ROUNDS):
        x = topology.average(x, round)
        distances.append(np.sum((x - x.mean(axis=0)) ** 2))
    return np.array(distances) / distances[0]


def left(curve: np.ndarray) -> float:
    """The geometric mean of the share that a round leaves, until little more than rounding is left."""
    above = np.flatnonzero(curve > FLOOR)[-1]
    return float(curve[above] ** (1 / above)) if above else 0.0


if __name__ == "__main__":
    command(main, Settings, __doc__)
