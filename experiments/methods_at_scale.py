"""All methods against TELEPORTATION as the number of nodes grows, under equal rounds, gradients and bytes.

    python experiments/methods_at_scale.py

telejax's quadratic, shuffled, on a ring where a method takes a graph (a tree for RelaySGD, the directed exponential
graph for push-sum). The budgets are those of Decentralized SGD over ``--rounds`` rounds: as many rounds, n times as
many gradients, and the bytes that it sends. Every method takes its best step size (and consensus step, where it has
one) of one grid for each budget, by the mean over seeds of the loss of the nodes' own models; * marks a best at the end
of the grid. A method that would take more than ``--work`` slots times rounds is left out there. Finished runs are kept
in ``--out``, and the same command goes on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
import rich.box
import tyro
from budgets import Best, best
from kept_runs import KeptRuns
from pictures import COLOURS, legend_beside
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import telejax as tj
from telejax.algorithms import registry

RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
OWN = {
    "consensus_step": [0.03, 0.1, 0.3, 0.6],
    "communication_step": [0.3, 0.6, 1.0],
}
"""Numbers that some methods have besides."""
BUDGETS = ("rounds", "gradients", "bytes")
ALSO = ("decentralized_sgd/exponential",)


@dataclass(frozen=True)
class Options:
    nodes: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    """Numbers of nodes."""
    active: int = 16
    """Active nodes of TELEPORTATION, clients of FedAvg and SCAFFOLD."""
    rounds: int = 200
    """Rounds of Decentralized SGD, whose gradients and bytes are the budgets."""
    heterogeneity: float = 5.0
    """zeta."""
    noise: float = 1.0
    """sigma."""
    dim: int = 20
    """Parameters."""
    seeds: int = 3
    """Number of seeds."""
    work: float = 4e6
    """At most so many slots times rounds."""
    out: Path = Path("runs/methods_at_scale")
    """Folder of the finished runs."""
    figure: Path = Path("experiments/figures/methods_at_scale.png")
    """Where the picture goes."""


def specs() -> list[str]:
    """Every method of the registry on its graph, a token in place of several, and DSGD on a better graph."""
    others = [one.spec for one in registry.METHODS if one.name != "random_walk"]
    return sorted([*others, "token", *ALSO])


def tuned(method: tj.Algorithm) -> dict[str, list[float]]:
    """The grid of a method."""
    return {"learning_rate": RATES} | {name: grid for name, grid in OWN.items() if hasattr(method, name)}


def run(options: Options, method: tj.Algorithm, nodes: int, rounds: int) -> pl.DataFrame:
    """The last rows of all settings and seeds."""
    task = tj.tasks.quadratic(
        nodes=nodes, dim=options.dim, heterogeneity=options.heterogeneity, noise=options.noise, placement="shuffled"
    )
    grid, seeds = tuned(method), options.seeds
    try:
        result = tj.simulate(method, task, rounds=rounds, eval_every=rounds, tune=grid, seeds=seeds, progress=False)
    except tj.DivergenceError as error:
        result = error.result
    columns = [*grid, "seed", "round", "loss", "loss_slots", "gradients", "bytes"]
    return result.history.filter(pl.col("round") == rounds).select(columns)


def outcomes(options: Options, spec: str, nodes: int, kept: KeptRuns) -> Iterator[tuple[str, Best | None]]:
    """The best of a method within each budget; None where it is too much to run."""
    active = min(options.active, nodes)
    method = registry.build(spec, tj.optimizer(optax.sgd, learning_rate=0.1), workers=active)
    names = list(tuned(method))

    def finished(rounds: int) -> pl.DataFrame:
        return kept.run(f"{spec}-{nodes}-{rounds}", lambda: run(options, method, nodes, rounds))[0]

    equal = finished(options.rounds)
    yield "rounds", best(equal, names, "loss_slots")
    ring = 2 * nodes * 4 * options.dim
    spent = {"gradients": float(equal["gradients"].mean() or 0), "bytes": float(equal["bytes"].mean() or 0)}
    limits = {"gradients": nodes * options.rounds, "bytes": ring * options.rounds}
    for budget in ("gradients", "bytes"):
        rounds = max(1, round(options.rounds * limits[budget] / spent[budget]))
        if rounds * method.slots(nodes) > options.work:
            yield budget, None
        else:
            yield budget, best(finished(rounds), names, "loss_slots")


def main(options: Options) -> None:
    identity = {k: str(v) for k, v in vars(options).items() if k not in ("out", "figure", "nodes", "work")}
    kept = KeptRuns(options.out, {**identity, "grid": json.dumps([RATES, OWN])})
    console = Console(width=80)
    found: dict[tuple[str, int, str], Best | None] = {}
    cells = [(nodes, spec) for nodes in options.nodes for spec in specs()]
    for nodes, spec in tqdm(cells, desc="methods at scale"):
        found |= {(spec, nodes, budget): one for budget, one in outcomes(options, spec, nodes, kept)}
    for budget in BUDGETS:
        table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title=f"equal {budget}")
        table.add_column("method", min_width=21)
        for nodes in options.nodes:
            table.add_column(f"n = {nodes}", justify="right")
        for spec in specs():
            row = (str(found[spec, nodes, budget] or "-") for nodes in options.nodes)
            table.add_row(spec.replace("/", "\n  ") if len(spec) > 21 else spec, *row)
        console.print(table)
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.5), sharey=True, layout="constrained")
    for one, budget in zip(axes, BUDGETS, strict=True):
        for number, spec in enumerate(specs()):
            means = [found[spec, nodes, budget] for nodes in options.nodes]
            bold = 3 if spec.startswith("teleportation") else 1
            values = [np.nan if x is None or not np.isfinite(x.mean) else x.mean for x in means]
            one.plot(
                options.nodes, values, "o-", label=spec, color=COLOURS(number % COLOURS.N), linewidth=bold, markersize=3
            )
        one.set(xscale="log", yscale="log", xlabel="nodes n", title=f"equal {budget}")
    axes[0].set_ylabel("mean over nodes of f(own model) - f*")
    legend_beside(figure, axes[0])
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=120)
    print(f"Written: {options.figure}; finished runs are in {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
