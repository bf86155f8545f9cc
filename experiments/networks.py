"""What fashion_mnist.py and cifar10.py share: the methods of the paper on one data set, tuned, over several seeds.

Every run is one call of ``tj.simulate``; runs of a method differ in numbers alone, so each method compiles once. The
step size of a method is the one of the grid with the lowest held-out loss of the slots' own models with the first
seed; the other seeds run with that one only.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import polars as pl
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.plotting import plot_histories
from telejax.results import mean_and_spread, new_folder

METHODS = (
    "dsgd/ring",
    "dsgd/exponential",
    "dsgd/base:degree=1",
    "teleportation/ring",
    "teleportation/base:degree=1",
    "token",
    "all-reduce",
)
AT_ONCE = 2  # methods, one a core: a CPU runs the gradients of one method on about one core
SCORES = ("accuracy", "accuracy_slots", "accuracy_worst")


@dataclass(frozen=True)
class Settings:
    """What to run; the budget is in rounds of DSGD, and k-slot methods also run on to the same gradients."""

    nodes: tuple[int, ...] = (25, 100, 400)
    alphas: tuple[float, ...] = (0.1, 1.0, 10.0)
    methods: tuple[str, ...] = METHODS
    rounds: int = 1500
    learning_rates: tuple[float, ...] = (0.1, 0.01, 0.001)
    seeds: int = 3
    rows: int = 10
    """Evaluations in ``rounds`` rounds."""
    evaluated: int = 10_000
    """Samples of each split that judge a model."""
    active: int = 8
    data_dir: Path | None = None
    out: Path = Path("runs/networks")
    """A folder for each setting is written here."""
    quick: bool = False
    """One setting, short: n = 100, alpha = 0.1, 100 rounds, two step sizes, 200 samples evaluated."""

    def shortened(self) -> "Settings":
        """The settings of --quick, where it is given; the methods, the folders and the seeds stay."""
        if not self.quick:
            return self
        chosen: dict[str, Any] = {"nodes": (100,), "alphas": (0.1,), "rounds": 100, "learning_rates": (0.1, 0.01)}
        kept = {name: getattr(self, name) for name in ("methods", "seeds", "active", "data_dir", "out", "quick")}
        return Settings(**kept, **chosen, rows=2, evaluated=200)


def choose_active(task: Any, topology: str, optimizer: Any, settings: Settings) -> int:
    """The number of active nodes of TELEPORTATION: the settings' own, at most all nodes.

    ``tj.search(task, topology=topology, optimizer=optimizer, rounds=settings.rounds, seed=0).best`` finds it instead.
    """
    return min(settings.active, task.nodes)


def run_all(settings: Settings, make_task: Callable[[int, float, int], Any], optimizer: Any) -> None:
    """Run every setting, print a table of each and write its history and picture."""
    settings, console = settings.shortened(), Console(width=100)
    start = time.perf_counter()
    for nodes in settings.nodes:
        for alpha in settings.alphas:
            task = make_task(nodes, alpha, settings.evaluated)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                runs = pool.map(
                    lambda method, task=task: run_method(method, task, optimizer, settings), settings.methods
                )
                histories = dict(zip(settings.methods, runs, strict=True))
            console.print(table(histories, f"{task.name}, n = {nodes}, alpha = {alpha:g}", settings))
            with new_folder(settings.out / f"{task.name}-n{nodes}-alpha{alpha:g}", overwrite=True) as folder:
                write(histories, folder)
    console.print(f"{time.perf_counter() - start:.0f} seconds; written: {settings.out}")


def run_method(method: str, task: Any, optimizer: Any, settings: Settings) -> pl.DataFrame:
    """The history of a method at its best step size: all seeds."""
    algorithm = build(method, task, optimizer, settings)
    rounds = rounds_of(algorithm, task, settings)

    def one(rate: float, seed: int) -> pl.DataFrame:
        numbered = algorithm.with_learning_rate(rate)
        try:
            every = max(1, settings.rounds // settings.rows)
            return tj.simulate(numbered, task, rounds=rounds, eval_every=every, seed=seed, progress=False).history
        except tj.DivergenceError as error:
            return error.result.history

    first = [one(rate, 0) for rate in settings.learning_rates]
    best = min(first, key=lambda run: (run["diverged"][-1], run["validation_loss_slots"][-1]))
    print(f"{method}: step size {best['learning_rate'][0]:g} of {settings.learning_rates}", flush=True)
    rest = [one(best["learning_rate"][0], seed) for seed in range(1, settings.seeds)]
    return pl.concat([best, *rest])


def build(method: str, task: Any, optimizer: Any, settings: Settings) -> Any:
    """The algorithm that a name like "teleportation/ring" stands for."""
    name, _, topology = method.partition("/")
    match name:
        case "dsgd":
            return tj.decentralized_sgd(topology=topology, optimizer=optimizer)
        case "teleportation":
            active = choose_active(task, topology, optimizer, settings)
            return tj.teleportation(active=active, topology=topology, optimizer=optimizer)
        case "token":
            return tj.random_walk(optimizer=optimizer)
        case "all-reduce":
            return tj.all_reduce_sgd(optimizer=optimizer)
    raise ValueError(f"--methods has {method!r}; give dsgd/TOPOLOGY, teleportation/TOPOLOGY, token or all-reduce")


def rounds_of(algorithm: Any, task: Any, settings: Settings) -> int:
    """Rounds until the method has computed as many gradients as DSGD, at most 12.5 times its rounds."""
    bound = algorithm.bind(task)
    return min(settings.rounds * task.nodes // sum(bound.gradients(task.nodes)), 25 * settings.rounds // 2)


def table(histories: dict[str, pl.DataFrame], title: str, settings: Settings) -> Table:
    """Each method at equal rounds and, where it runs on, at its last round: mean ± deviation over seeds."""
    shown = Table(title=f"{title}, {settings.seeds} seeds", title_justify="left", box=None, pad_edge=False)
    for name in ("method", "step size", "round", "mean model", "slots' mean", "worst slot", "gradients", "MB"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for method, history in histories.items():
        for at in sorted({settings.rounds, history["round"].max()}):
            rows = history.filter(round=at)
            shown.add_row(
                method + (" (diverged)" if history["diverged"].any() else ""),
                f"{history['learning_rate'][0]:g}",
                f"{at}",
                *(mean_and_spread(rows[name].mean(), rows[name].std(), digits=3) for name in SCORES),
                f"{rows['gradients'].mean() or 0:,.0f}",
                f"{(rows['bytes'].mean() or 0) / 1e6:,.0f}",
            )
    return shown


def write(histories: dict[str, pl.DataFrame], folder: Path) -> None:
    """history.parquet, and accuracy against rounds, gradients and bytes as accuracy.png."""
    named = [history.select(pl.lit(method).alias("method"), pl.all()) for method, history in histories.items()]
    pl.concat(named).write_parquet(folder / "history.parquet")
    figure, grid = plt.subplots(2, 3, figsize=(14, 7), layout="constrained", sharey="row")
    for row, metric in zip(grid, SCORES[:2], strict=True):
        for axes, x in zip(row, ("round", "gradients", "bytes"), strict=True):
            plot_histories(histories, metric, x, axes)
            axes.get_legend().remove()
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(folder / "accuracy.png", dpi=120)
    plt.close(figure)
