"""Do more nodes always help? Rounds to a target against k and against n, with fitted slopes.

Run ``python experiments/linear_speedup.py``. Rounds until the mean model's loss, averaged over seeds, is under the
target; the step size is tuned for every point over one grid. A slope of -1 in log-log scale is a linear speed-up.

- against k: TELEPORTATION on a ring of k slots, n fixed;
- against n: all nodes active (k = n) and k = 16 active of n, and decentralized SGD on a ring of all n nodes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optax
import polars as pl
import tyro

import telejax as tj


@dataclass(frozen=True)
class Options:
    out: Path = Path("experiments/results/linear_speedup.csv")
    target: float = 0.01
    """Loss f - f* of the mean model; the start is at 5."""
    rounds: int = 3000
    learning_rates: tuple[float, ...] = (
        0.3,
        0.2,
        0.14,
        0.1,
        0.07,
        0.05,
        0.03,
        0.02,
        0.01,
        0.007,
        0.005,
        0.003,
        0.002,
        0.001,
    )
    seeds: int = 8
    dim: int = 10
    zeta: float = 3.0
    sigma: float = 3.0
    nodes: int = 256
    """n of the sweep over k."""


def main(options: Options) -> None:
    sgd = tj.optimizer(optax.sgd, learning_rate=options.learning_rates[0])
    teleportation = lambda k: tj.teleportation(active=k, topology="ring", optimizer=sgd)
    rows = []
    for k in (1, 2, 4, 8, 16, 32, 64):
        rows.append({"sweep": "TELEPORTATION against k", "x": k} | point(teleportation(k), options.nodes, options))
        print(rows[-1], flush=True)
    for n in (4, 16, 64, 256):
        methods = {
            "TELEPORTATION, k = n, against n": teleportation(n),
            "TELEPORTATION, k = min(16, n), against n": teleportation(min(16, n)),
            "DSGD ring against n": tj.decentralized_sgd(topology="ring", optimizer=sgd),
        }
        for name, method in methods.items():
            rows.append({"sweep": name, "x": n} | point(method, n, options))
            print(rows[-1], flush=True)
    table = pl.DataFrame(rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table.write_csv(options.out, float_precision=4)
    for (name,), part in table.drop_nulls("rounds").group_by("sweep", maintain_order=True):
        slope, _ = np.polyfit(np.log(part["x"]), np.log(part["rounds"]), 1)
        print(f"{name}: rounds ~ {'k' if name.endswith('k') else 'n'}^{slope:.2f} over {part['x'].to_list()}")


def point(method: tj.Algorithm, nodes: int, options: Options) -> dict:
    """Rounds to the target at the best step size; null where no step size gets there."""
    task = tj.tasks.quadratic(nodes=nodes, dim=options.dim, heterogeneity=options.zeta, noise=options.sigma)
    run = tj.simulate(
        method,
        task,
        rounds=options.rounds,
        eval_every=5,
        tune=options.learning_rates,
        seeds=options.seeds,
        progress=False,
    )
    # of the mean over seeds, so that a lucky dip of one noisy run does not count
    curve = run.history.group_by("learning_rate", "round").agg(pl.col("loss").mean())
    reached = curve.filter(pl.col("loss") <= options.target)
    means = reached.group_by("learning_rate").agg(rounds=pl.col("round").min())
    best = means.sort("rounds").head(1)
    return {
        "rounds": best["rounds"].item() if best.height else None,
        "learning_rate": best["learning_rate"].item() if best.height else None,
        "target": options.target,
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
