"""Section 5.3 of the paper: accuracy against simulated time where some links are tau times slower than others.

    python experiments/heterogeneous_network.py                            # the digits: minutes on two cores
    python experiments/heterogeneous_network.py --data fashion_mnist       # LeNet: hours; resumes

A message costs 1 over an edge of the ring of all n nodes and tau over any other link, hand-offs too; computing costs
nothing, and a round ends for all at once. All methods compute the same number of epochs, so those with k active nodes
run n / k times as many rounds, as in the paper's Figure 4. Each method takes the step size of one grid with the lowest
held-out loss of the slots' own models at its end, by the first seed; the other seeds run with that one. Iterates do not
depend on tau: the times of the rounds come from a run of the same draws on a tiny task.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optax
import polars as pl
import tyro
from kept_runs import KeptRuns, Progress
from pictures import add_line, legend_beside
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.errors import check_integer, check_name
from telejax.results.files import check_free, new_folder
from telejax.simulation.fingerprint import fingerprint

TARGETS = (0.95, 0.99)  # of the best method's accuracy


@dataclass(frozen=True)
class Options:
    """Section 5.3 of the paper."""

    data: str = "digits"
    """Data: digits (an MLP) or fashion_mnist (LeNet)."""
    nodes: int = 25
    active: int = 5
    """Active nodes of TELEPORTATION."""
    alphas: tuple[float, ...] = (10.0, 0.1)
    """Concentration of the Dirichlet split over labels: nearly homogeneous, and heterogeneous."""
    taus: tuple[float, ...] = (1.0, 5.0, 25.0)
    rounds: int = 400
    """Rounds of the methods in which all nodes work."""
    learning_rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    seeds: int = 3
    rows: int = 40
    """Evaluations in ``rounds`` rounds."""
    evaluated: tuple[int, int, int] = (2000, 2000, 10_000)
    """Training, held-out and test samples that judge a model."""
    out: Path = Path("runs/heterogeneous_network")
    force: bool = False
    """Replace the tables and the picture; finished runs are kept."""


def methods(optimizer: Any, active: int) -> dict[str, tj.Algorithm]:
    graphs = ("ring", "exponential", "base:degree=1")
    dsgd = {f"DSGD {graph}": tj.decentralized_sgd(topology=graph, optimizer=optimizer) for graph in graphs}
    few = {
        f"TELEPORTATION {graph} k={active}": tj.teleportation(active=active, topology=graph, optimizer=optimizer)
        for graph in ("ring", "base:degree=1")
    }
    return dsgd | few


def rounds_of(algorithm: tj.Algorithm, options: Options) -> int:
    """As many as compute the epochs of all."""
    slots = algorithm.slots(options.nodes)
    return options.rounds * options.nodes // slots


def times(algorithm: tj.Algorithm, rounds: int, seed: int, options: Options) -> pl.DataFrame:
    """Simulated seconds at each evaluation, one row a tau: the same seed draws the same holders on any task."""
    tiny = tj.tasks.quadratic(nodes=options.nodes, dim=2)
    network = tj.Network(links=tj.network.links.preferred("ring", cost=1.0, tau=1.0))
    tau = {"network.links.tau": list(options.taus)}
    run = tj.simulate(
        algorithm.with_learning_rate(1e-3),
        tiny,
        rounds=rounds,
        eval_every=max(1, options.rounds // options.rows),
        seed=seed,
        tune=tau,
        network=network,
        progress=False,
    )
    return run.history.select("round", pl.col("network.links.tau").alias("tau"), "time")


def run_all(task: Any, optimizer: Any, options: Options, kept: KeptRuns) -> dict[str, pl.DataFrame]:
    """The history of each method at its best step size, a row an evaluation, seed and tau."""
    all_methods = methods(optimizer, options.active)
    runs = len(options.learning_rates) + options.seeds - 1
    cost = options.rounds * options.nodes
    progress = Progress(runs * len(all_methods) * cost, runs * len(all_methods))

    def one(name: str, rate: float, seed: int) -> pl.DataFrame:
        algorithm, rounds = all_methods[name], rounds_of(all_methods[name], options)

        def compute() -> pl.DataFrame:
            every = max(1, options.rounds // options.rows)
            try:
                return tj.simulate(
                    algorithm.with_learning_rate(rate), task, rounds=rounds, eval_every=every, seed=seed, progress=False
                ).history
            except tj.DivergenceError as error:
                return error.result.history

        history, computed = kept.run(f"{name}-{rate:g}-{seed}", compute)
        told = f"{name}, step size {rate:g}, seed {seed}: {history['accuracy_slots'][-1]:.3f}"
        progress.tell(told, cost, computed)
        return history

    found = {}
    for name, algorithm in all_methods.items():
        tried = [one(name, rate, 0) for rate in options.learning_rates]
        best = min(tried, key=lambda run: (run["diverged"][-1], run["validation_loss_slots"][-1]))
        rate = best["learning_rate"][0]
        if rate in (min(options.learning_rates), max(options.learning_rates)):
            print(f"{name}: the best step size {rate:g} is at the edge of the grid; widen it", flush=True)
        seeds = [best, *(one(name, rate, seed) for seed in range(1, options.seeds))]
        rounds = rounds_of(algorithm, options)
        timed = [run.join(times(algorithm, rounds, seed, options), on="round") for seed, run in enumerate(seeds)]
        found[name] = pl.concat(timed)
    return found


def reached(history: pl.DataFrame, target: float) -> pl.DataFrame:
    """For each seed the first time at which the slots' mean accuracy is there; null where it never is."""
    return history.group_by("seed", maintain_order=True).agg(
        pl.col("time").filter(pl.col("accuracy_slots") >= target).min()
    )


def tell(histories: dict[str, pl.DataFrame], alpha: float, options: Options) -> tuple[list[Table], list[str]]:
    """A table for each tau, and who is fastest."""
    last = {
        name: history.filter(pl.col("round") == pl.col("round").max(), tau=options.taus[0])
        for name, history in histories.items()
    }
    best = max(float(rows["accuracy_slots"].mean()) for rows in last.values())
    targets = [share * best for share in TARGETS]
    tables, verdicts = [], []
    for tau in options.taus:
        title = f"alpha = {alpha:g}, tau = {tau:g}: seconds to a slots' accuracy, where all seeds reach it"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("method", "step size", *(f"to {one:.3f}" for one in targets), "at the end", "seconds in all"):
            table.add_column(column, justify="left" if column == "method" else "right")
        when: dict[float, dict[str, float]] = {target: {} for target in targets}
        for name, history in histories.items():
            of_tau, cells = history.filter(tau=tau), []
            for target in targets:
                there = reached(of_tau, target)["time"]
                missing = there.null_count()
                when[target][name] = float("inf") if missing else float(there.mean())
                spread = f" ± {there.std():.0f}" if len(there) > 1 and not missing else ""
                cells.append(f"{len(there) - missing} of {len(there)}" if missing else f"{there.mean():.0f}{spread}")
            ends = last[name]["accuracy_slots"]
            accuracy = f"{ends.mean():.3f} ± {ends.std() or 0:.3f}"
            rate = f"{history['learning_rate'][0]:g}"
            table.add_row(name, rate, *cells, accuracy, f"{of_tau['time'].max():.0f}")
        tables.append(table)
        for target, of in when.items():
            fastest = min(of, key=lambda name: of[name])
            told = f"{fastest} ({of[fastest]:.0f} s)" if of[fastest] < float("inf") else "none"
            verdicts.append(f"alpha = {alpha:g}, tau = {tau:g}, accuracy {target:.3f}: first is {told}")
    return tables, verdicts


def draw(found: dict[float, dict[str, pl.DataFrame]], options: Options) -> Any:
    """The slots' accuracy against simulated time, a row an alpha and a column a tau."""
    size = (4.2 * len(options.taus) + 3, 3.4 * len(found))
    figure, grid = plt.subplots(len(found), len(options.taus), figsize=size, layout="constrained", squeeze=False)
    for row, (alpha, histories) in zip(grid, found.items(), strict=True):
        for axes, tau in zip(row, options.taus, strict=True):
            for number, (name, history) in enumerate(histories.items()):
                later = history.filter(pl.col("round") > 0, tau=tau)
                mean = later.group_by("round", maintain_order=True).agg(pl.col("time").mean().alias("when"))
                shown = later.join(mean, on="round").with_columns(pl.col("when").alias("time"))
                add_line(axes, 2 * number, name, shown, "accuracy_slots", "time")
            axes.set(xscale="log", title=f"alpha = {alpha:g}, tau = {tau:g}")
    legend_beside(figure, grid[0, 0])
    return figure


def main(options: Options) -> None:
    check_name("data", options.data, ("digits", "fashion_mnist"))
    for name in ("nodes", "active", "rounds", "seeds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out / options.data, options.force)
    start, console, found = time.perf_counter(), Console(), {}
    data = getattr(tj.data, options.data)()
    model = {"digits": {"model": "mlp", "batch": 8}, "fashion_mnist": {"model": "lenet", "batch": 32}}[options.data]
    optimizer = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    for alpha in options.alphas:
        task = tj.tasks.classification(
            data, nodes=options.nodes, alpha=alpha, evaluated=options.evaluated, **model, seed=0
        )
        numbers = {name: getattr(options, name) for name in ("rounds", "active")}
        identity = fingerprint({**numbers, "task": task, "optimizer": optimizer})
        kept = KeptRuns(options.out / f"{options.data}-alpha{alpha:g}-runs", identity)
        found[alpha] = run_all(task, optimizer, options, kept)
        tables, verdicts = tell(found[alpha], alpha, options)
        for table in tables:
            console.print(table)
        for sentence in verdicts:
            console.print(sentence, soft_wrap=True)
    named = [
        history.select(pl.lit(alpha).alias("alpha"), pl.lit(name).alias("method"), pl.all())
        for alpha, histories in found.items()
        for name, history in histories.items()
    ]
    with new_folder(options.out / options.data, options.force) as folder:
        pl.concat(named).write_parquet(folder / "history.parquet")
        draw(found, options).savefig(folder / "accuracy.png", dpi=110)
    print(f"{time.perf_counter() - start:.0f} seconds; written: {options.out / options.data}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
