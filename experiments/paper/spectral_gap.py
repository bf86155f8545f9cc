"""How the rounds of DSGD grow as gossip gets slower (Koloskova 2020, arXiv 2003.10422), by exact moments.

    python experiments/paper/spectral_gap.py --quick
    python experiments/paper/spectral_gap.py

A ring whose nodes keep more and more of their own model: W' = w I + (1 - w) W has any small consensus rate p. On the
synthetic problem of that paper, n = 25, the rounds of the exact curve to a share of the loss at the start, at the best
of a fine grid of step sizes. The bounds say: with heterogeneity alone rounds grow as 1 / p, with noise alone at most as
1 / sqrt(p) once the graph matters, and not at all where the noise of the mean dominates. Slopes are of log rounds
against log 1/p.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 1
KEYS = ["setting", "kept"]
NODES, LIMIT = 25, 20_000
KEPT = (0.0, 0.5, 0.75, 0.875, 0.9375, 0.96875)
SETTINGS = {"heterogeneity alone": (10.0, 0.0), "noise alone": (0.0, 10.0)}
RATES = tuple(0.1 * 0.8**power for power in range(31))  # 0.1 to 0.0001
CASES = tuple((metric, target) for metric in ("loss", "loss_slots") for target in (1e-1, 1e-2, 1e-3))


@dataclass(frozen=True)
class Settings(Options):
    """What to run."""

    kept: tuple[float, ...] = KEPT
    """w, the weight that a node gives to itself beside the ring's."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"kept": KEPT[:3]}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"rates": RATES, "nodes": NODES})
    cells = [(setting, kept) for kept in settings.kept for setting in SETTINGS]
    for number, (setting, kept) in enumerate(cells, 1):
        table.cell({"setting": setting, "kept": kept}, lambda: judge(setting, kept))  # noqa: B023
        table.tell(f"{setting}, {kept:g} kept", number, len(cells))
    show(table.rows.drop("seconds"))
    show(slopes(table.rows))
    table.close(KEYS)


def judge(setting: str, kept: float) -> pl.DataFrame:
    """One row a metric and target: the fewest rounds over the step sizes."""
    zeta, sigma = SETTINGS[setting]
    task = tj.tasks.koloskova_quadratic(nodes=NODES, heterogeneity=zeta, noise=sigma)
    ring = tj.topology.ring(NODES)
    topology = tj.topology.with_self_loops(ring, kept) if kept else ring
    fewest: dict[tuple[str, float], tuple[int, float]] = {}
    for rate in RATES:
        sgd = tj.optimizer(optax.sgd, learning_rate=rate)
        algorithm = tj.decentralized_sgd(topology=topology, optimizer=sgd)
        longest = max((rounds for rounds, _ in fewest.values()), default=LIMIT)
        limit = longest if len(fewest) == len(CASES) else LIMIT
        with np.errstate(over="ignore", invalid="ignore"):
            curve = tj.theory.moments(task, algorithm, limit)
        for metric, target in CASES:
            under = np.flatnonzero(curve[metric].to_numpy() <= target * curve["loss"][0])
            if len(under) and under[0] < fewest.get((metric, target), (LIMIT + 1, 0))[0]:
                fewest[metric, target] = (int(under[0]), rate)
    p = topology.consensus_rate()
    return pl.DataFrame(
        [
            {"metric": metric, "target": target, "p": p}
            | dict(zip(("rounds", "learning_rate"), fewest.get((metric, target), (None, None)), strict=True))
            for metric, target in CASES
        ]
    )


def slopes(rows: pl.DataFrame) -> pl.DataFrame:
    """Of log rounds against log 1/p, all points and the three with the slowest gossip."""
    found = []
    for (setting, metric, target), part in rows.group_by("setting", "metric", "target", maintain_order=True):
        part = part.drop_nulls("rounds").sort("p", descending=True)
        x, y = -np.log(part["p"].to_numpy()), np.log(part["rounds"].to_numpy())
        fit = lambda x, y: float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else None
        told = {"setting": setting, "metric": metric, "target": target, "points": len(x)}
        found.append(told | {"slope": fit(x, y), "slope_slowest": fit(x[-3:], y[-3:])})
    return pl.DataFrame(found)


if __name__ == "__main__":
    command(main, Settings, __doc__)
