"""Section 5.3: accuracy against simulated time where some links are tau times slower than others.

    python experiments/paper/section_5_3.py --quick      # the digits, two step sizes
    python experiments/paper/section_5_3.py              # the digits, and LeNets on Fashion-MNIST; resumes

A message costs 1 over an edge of the ring of all n nodes and tau over any other link, hand-offs too; computing costs
nothing, and a round ends for all at once. All methods compute the same number of epochs, so those with k active nodes
run n / k times as many rounds, as in the paper's Figure 4. Each method takes the step size of one grid with the lowest
held-out loss of the slots' own models at its end, by the first seed; the other seeds run with that one. Iterates do not
depend on tau: the times of the rounds come from a run of the same draws on a tiny task.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import optax
import polars as pl
from tables import Options, Table, command, show, table_of

import telejax as tj
from telejax.errors import check_name

VERSION = 1
KEYS = ["data", "alpha", "method", "learning_rate", "seed"]
ACTIVE, NODES = 5, 25
TAUS = (1.0, 5.0, 25.0)
TARGETS = (0.95, 0.99)  # of the best method's accuracy


@dataclass(frozen=True)
class Problem:
    """A data set, and how long its methods run; ``rows`` evaluations in the ``rounds`` of DSGD."""

    model: str
    batch: int
    rounds: int
    rows: int
    learning_rates: tuple[float, ...]
    seeds: int
    evaluated: tuple[int, int, int]


PROBLEMS = {
    "digits": Problem("mlp", 8, 400, 40, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 3, (2000, 2000, 10_000)),
    "fashion_mnist": Problem("lenet", 32, 160, 10, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), 2, (500, 500, 2000)),
}
METHODS = (
    "DSGD ring",
    "DSGD exponential",
    "DSGD base:degree=1",
    "TELEPORTATION ring",
    "TELEPORTATION base:degree=1",
)


@dataclass(frozen=True)
class Settings(Options):
    """What to run."""

    data: tuple[str, ...] = ("digits", "fashion_mnist")
    alphas: tuple[float, ...] = (10.0, 0.1)
    """Concentration of the Dirichlet split over labels: nearly homogeneous, and heterogeneous."""
    learning_rates: tuple[float, ...] = ()
    """Step sizes instead of the usual grid of each data set."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"data": ("digits",), "alphas": (0.1,), "learning_rates": (0.03, 0.1)}


def main(settings: Settings) -> None:
    for name in settings.data:
        check_name("data", name, tuple(PROBLEMS))
    table = table_of(settings, __file__, VERSION, {"taus": TAUS, "active": ACTIVE, "nodes": NODES})
    for name in settings.data:
        for alpha in settings.alphas:
            run_all(table, name, alpha, settings)
    show(verdicts(table.rows))
    table.close(KEYS)


def run_all(table: Table, name: str, alpha: float, settings: Settings) -> None:
    """Every method with every step size and the first seed, then the other seeds with the best one."""
    problem, data = PROBLEMS[name], getattr(tj.data, name)()
    task = tj.tasks.classification(
        data,
        nodes=NODES,
        alpha=alpha,
        model=problem.model,
        batch=problem.batch,
        evaluated=problem.evaluated,
        seed=0,
    )
    rates = settings.learning_rates or problem.learning_rates

    def one(method: str, rate: float, seed: int, number: int) -> None:
        key = {"data": name, "alpha": alpha, "method": method, "learning_rate": rate, "seed": seed}
        last = table.cell(key, lambda: timed(build(method, rate), task, problem, seed)).row(-1, named=True)
        what = f"{name}, alpha = {alpha:g}, {method}, step size {rate:g}, seed {seed}: {last['accuracy_slots']:.3f}"
        table.tell(what, number, len(METHODS) * (len(rates) + problem.seeds - 1))

    tried = [(method, rate) for method in METHODS for rate in rates]
    for number, (method, rate) in enumerate(tried, 1):
        one(method, rate, 0, number)
    others = [(method, seed) for method in METHODS for seed in range(1, problem.seeds)]
    for number, (method, seed) in enumerate(others, 1 + len(tried)):
        rows = table.find({"data": name, "alpha": alpha, "method": method})
        one(method, best_rate(rows), seed, number)


def build(method: str, rate: float) -> tj.Algorithm:
    """The algorithm that a name of METHODS stands for."""
    kind, graph = method.split()
    optimizer = tj.optimizer(optax.sgd, learning_rate=rate, momentum=0.9)
    if kind == "DSGD":
        return tj.decentralized_sgd(topology=graph, optimizer=optimizer)
    return tj.teleportation(active=ACTIVE, topology=graph, optimizer=optimizer)


def timed(algorithm: tj.Algorithm, task: Any, problem: Problem, seed: int) -> pl.DataFrame:
    """The rows of a run, with the simulated seconds of each tau."""
    rounds = problem.rounds * NODES // algorithm.slots(NODES)
    every = problem.rounds // problem.rows
    try:
        history = tj.simulate(algorithm, task, rounds=rounds, eval_every=every, seed=seed, progress=False).history
    except tj.DivergenceError as error:
        history = error.result.history
    shown = history.select("round", "accuracy_slots", "validation_loss_slots", "diverged")
    return shown.join(times(algorithm, rounds, every, seed), on="round")


def times(algorithm: tj.Algorithm, rounds: int, every: int, seed: int) -> pl.DataFrame:
    """Simulated seconds at each evaluation, a column a tau: the same seed draws the same holders on any task."""
    tiny = tj.tasks.quadratic(nodes=NODES, dim=2)
    run = tj.simulate(
        algorithm.with_learning_rate(1e-3),
        tiny,
        rounds=rounds,
        eval_every=every,
        seed=seed,
        tune={"network.links.tau": list(TAUS)},
        network=tj.Network(links=tj.network.links.preferred("ring", cost=1.0, tau=1.0)),
        progress=False,
    )
    named = run.history.with_columns(pl.format("time_{}", pl.col("network.links.tau").cast(pl.Int64)).alias("name"))
    return named.pivot("name", index="round", values="time")


def best_rate(rows: pl.DataFrame) -> float:
    """The step size of the first seed that ends with the lowest held-out loss."""
    ends = rows.filter(seed=0).group_by("learning_rate", maintain_order=True).last()
    return float(ends.sort("diverged", "validation_loss_slots", nulls_last=True)["learning_rate"][0])


def chosen(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of each method's best step size."""
    parts = rows.partition_by("data", "alpha", "method", maintain_order=True)
    return pl.concat([part.filter(pl.col("learning_rate") == best_rate(part)) for part in parts])


def verdicts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a data set, alpha, tau, target and method: simulated seconds until it is there with all seeds."""
    found = []
    for (data, alpha), part in chosen(rows).group_by("data", "alpha", maintain_order=True):
        ends = part.filter(pl.col("round") == pl.col("round").max().over("method"))
        best = ends.group_by("method").agg(pl.col("accuracy_slots").mean())["accuracy_slots"].max()
        for tau in TAUS:
            for share in TARGETS:
                first = pl.col(f"time_{tau:.0f}").filter(pl.col("accuracy_slots") >= share * best).min()
                runs = part.group_by("method", "seed", maintain_order=True).agg(
                    first.alias("time"), pl.col("learning_rate").first(), pl.col("accuracy_slots").last().alias("end")
                )
                for (method,), of in runs.group_by("method", maintain_order=True):
                    there = of["time"].null_count() == 0
                    found.append(
                        {"data": data, "alpha": alpha, "tau": tau, "target": share * best, "method": method}
                        | {"time": of["time"].mean() if there else None, "seeds": of.height}
                        | {"time_se": of["time"].std() / of.height**0.5 if there else None}
                        | {"reached": of.height - of["time"].null_count(), "end": of["end"].mean()}
                        | {"end_se": of["end"].std() / of.height**0.5, "learning_rate": of["learning_rate"][0]}
                    )
    table = pl.DataFrame(found, infer_schema_length=None)
    least = pl.col("time").min().over("data", "alpha", "tau", "target")
    return table.with_columns((pl.col("time") == least).fill_null(False).alias("first"))


def draw(rows: pl.DataFrame) -> Any:
    """The slots' accuracy against simulated time, a row an alpha and a column a tau; the range over seeds is shaded."""
    alphas = rows["alpha"].unique().sort(descending=True).to_list()
    size = (4.2 * len(TAUS) + 3, 3.4 * len(alphas))
    figure, grid = plt.subplots(len(alphas), len(TAUS), figsize=size, layout="constrained", squeeze=False)
    for row, alpha in zip(grid, alphas, strict=True):
        for axes, tau in zip(row, TAUS, strict=True):
            for number, method in enumerate(METHODS):
                mine = chosen(rows).filter(pl.col("round") > 0, alpha=alpha, method=method)
                accuracy = pl.col("accuracy_slots")
                line = mine.group_by("round", maintain_order=True).agg(
                    pl.col(f"time_{tau:.0f}").mean().alias("time"),
                    accuracy.mean().alias("mean"),
                    accuracy.min().alias("low"),
                    accuracy.max().alias("high"),
                )
                axes.plot(line["time"], line["mean"], color=f"C{number}", label=method)
                axes.fill_between(line["time"], line["low"], line["high"], color=f"C{number}", alpha=0.2)
            axes.set(xscale="log", title=f"alpha = {alpha:g}, tau = {tau:g}")
            axes.set(xlabel="simulated seconds", ylabel="accuracy of the slots' own models")
            axes.grid(alpha=0.3)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return figure


if __name__ == "__main__":
    command(main, Settings, __doc__)
