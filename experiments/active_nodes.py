"""The final objective against the number of active nodes, with the searched, the predicted and the true best.

Run ``python experiments/active_nodes.py --out runs/active_nodes``. Every panel is one problem. The curve is an
exhaustive grid (each k run alone, its own seeds); the search sees it only through its joint program. Step sizes are
tuned for every k over one grid. ``--gradients`` asks the same under equal gradients, where fewer active nodes run more
rounds.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import optax
import polars as pl
import tyro

import telejax as tj
from telejax.results.files import check_free, new_folder
from telejax.studies.search.result import aggregate, choose

ROUNDS = 400
PROBLEMS = (
    {"nodes": 64, "rounds": ROUNDS, "zeta": 5.0, "sigma": 5.0, "topology": "ring"},
    {"nodes": 512, "rounds": ROUNDS, "zeta": 5.0, "sigma": 5.0, "topology": "ring"},
    {"nodes": 512, "rounds": 100, "zeta": 5.0, "sigma": 5.0, "topology": "ring"},
    {"nodes": 512, "rounds": ROUNDS, "zeta": 1.0, "sigma": 5.0, "topology": "ring"},
    {"nodes": 512, "rounds": ROUNDS, "zeta": 5.0, "sigma": 5.0, "topology": "exponential"},
    {"nodes": 512, "rounds": ROUNDS, "zeta": 5.0, "sigma": 5.0, "topology": "one_peer_exponential"},
)


@dataclass(frozen=True)
class Options:
    out: Path = Path("runs/active_nodes")
    learning_rates: tuple[float, ...] = (0.0004, 0.00125, 0.003, 0.00625, 0.0125, 0.025, 0.05, 0.1)
    seeds: int = 4
    grid_seeds: int = 8
    dim: int = 10
    gradients: int | None = None
    """In place of the rounds of each problem; one that differs in rounds alone is then left out."""
    problems: int = len(PROBLEMS)
    """How many of the problems."""
    force: bool = False


def main(options: Options) -> None:
    check_free(options.out, options.force)
    tables = []
    chosen = [one for one in PROBLEMS if options.gradients is None or one["rounds"] == ROUNDS][: options.problems]
    figure, grid = plt.subplots(
        -(-len(chosen) // 3),
        min(3, len(chosen)),
        figsize=(15, 4 * -(-len(chosen) // 3)),
        layout="constrained",
        squeeze=False,
    )
    for problem, axes in zip(chosen, grid.ravel(), strict=False):
        tables.append(panel(problem, axes, options))
        print(tables[-1], flush=True)
    with new_folder(options.out, options.force) as folder:
        pl.concat(tables).write_csv(folder / "active_nodes.csv", float_precision=5)
        for empty in grid.ravel()[len(chosen) :]:
            empty.axis("off")
        figure.savefig(folder / "active_nodes.png", dpi=120)


def panel(problem: dict, axes: plt.Axes, options: Options) -> pl.DataFrame:
    """Run one problem both ways and draw it."""
    task = tj.tasks.quadratic(
        nodes=problem["nodes"], dim=options.dim, heterogeneity=problem["zeta"], noise=problem["sigma"]
    )
    sgd = tj.optimizer(optax.sgd, learning_rate=options.learning_rates[0])
    budget = {"gradients": options.gradients} if options.gradients else {"rounds": problem["rounds"]}
    found = tj.search(
        task,
        problem["topology"],
        optimizer=sgd,
        tune=options.learning_rates,
        seeds=options.seeds,
        progress=False,
        **budget,
    )
    alone = [
        tj.simulate(
            tj.teleportation(active=k, topology=problem["topology"], optimizer=sgd),
            task,
            tune=options.learning_rates,
            seed=1000,  # not those of the search
            seeds=options.grid_seeds,
            progress=False,
            **budget,
        ).history.drop("group")
        for k in found.table["active"]
    ]
    curve = aggregate(pl.concat(alone)).sort("diverged", "slots").group_by("active").first().sort("active")
    true = choose(curve, "slots", found.config["tolerance"])
    constants = tj.theory.measure(task, task.optimum)
    predicted = tj.theory.optimal_active(constants, nodes=task.nodes, topology=problem["topology"], **budget)
    for name, label in (("slots", "slots' own models"), ("mean", "mean model")):
        axes.errorbar(curve["active"], curve[name], yerr=curve[f"{name}_se"], fmt="-o", markersize=3, label=label)
    for k, label, style in ((found.best, "searched", "-"), (true, "true", "--"), (predicted, "predicted", ":")):
        axes.axvline(k, label=f"{label}: {k}", linestyle=style, color="black", alpha=0.7)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="active nodes k", ylabel="final loss")
    spent = f"{options.gradients} gradients" if options.gradients else f"T={problem['rounds']}"
    axes.set_title(
        f"n={task.nodes}, {spent}, zeta={problem['zeta']:g}, sigma={problem['sigma']:g}, {problem['topology']}",
        fontsize="small",
    )
    axes.legend(fontsize="x-small")
    marks = {"searched": found.best, "predicted": predicted, "true": true}
    return curve.select("active", "learning_rate", "slots", "slots_se", "mean", "mean_se").with_columns(
        **{name: pl.lit(value) for name, value in (problem | marks).items()}
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
