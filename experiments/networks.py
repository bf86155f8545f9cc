"""What fashion_mnist.py and cifar10.py share: the methods of the paper on one data set, tuned, over several seeds.

First ``tj.search`` finds k on each graph of TELEPORTATION. Then every run is one call of ``tj.simulate``; runs of a
method differ in numbers alone, so each method compiles once. The step size of a method is the one of the grid with
the lowest held-out loss of the slots' own models in the last row of the first seed; the other seeds run with that one
only. Every run is kept when it ends, and the same command goes on after a kill.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import tyro
from kept_runs import KeptRuns, Progress
from network_tables import against, table, write
from rich.console import Console

import telejax as tj
from telejax.errors import check_integer, check_name
from telejax.results.files import check_free, new_folder
from telejax.simulation.fingerprint import fingerprint

METHODS = (
    "dsgd/ring",
    "dsgd/exponential",
    "dsgd/base:degree=1",
    "teleportation/ring",
    "teleportation/base:degree=1",
    "token",
    "all-reduce",
)
AT_ONCE = 2  # runs, one a core: a CPU computes the gradients of one run on about one core
SEARCH_ROWS = 4  # evaluations in a search: the last quarter of them judges


@dataclass(frozen=True)
class Settings:
    """What to run; the budget is in rounds of DSGD, and k-slot methods also run on to the same gradients."""

    nodes: tuple[int, ...] = (25, 100, 400)
    alphas: tuple[float, ...] = (0.1, 1.0, 10.0)
    methods: tuple[str, ...] = METHODS
    rounds: int = 1500
    longest: float = 12.5
    """Methods with few slots run on until they have computed as many gradients, at most so many times the rounds."""
    learning_rates: tuple[float, ...] = (0.1, 0.01, 0.001)
    seeds: int = 3
    rows: int = 10
    """Evaluations in ``rounds`` rounds."""
    evaluated: tuple[int, int, int] = (10_000, 10_000, 10_000)
    """Training, held-out and test samples that judge a model."""
    active: int | None = None
    """k of TELEPORTATION; searched for each of its graphs where it is not given."""
    candidates: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """Numbers of active nodes that the search tries, as far as there are so many nodes."""
    search_rounds: int = 500
    search_seeds: int = 3
    data_dir: Path | None = None
    out: Path = Path("runs/networks")
    """A folder for each setting is written here."""
    quick: bool = False
    """One setting, short: n = 100, alpha = 0.1, 80 rounds, few samples evaluated, k of 2 to 16."""

    def shortened(self) -> "Settings":
        """The settings of --quick, where it is given; the methods, the folders, the seeds and k stay."""
        if not self.quick:
            return self
        return replace(
            self,
            nodes=(100,),
            alphas=(0.1,),
            rounds=80,
            longest=100.0,
            rows=2,
            evaluated=(100, 200, 300),
            candidates=(2, 4, 8, 16),
            search_rounds=60,
            search_seeds=1,
        )

    def checked(self) -> "Settings":
        """The same, or a ValueError for what cannot be run; before any data are read."""
        for name in ("rounds", "seeds", "rows", "search_rounds", "search_seeds"):
            check_integer(f"--{name.replace('_', '-')}", getattr(self, name), minimum=1)
        for method in self.methods:
            check_name("method", method.partition("/")[0], ("dsgd", "teleportation", "token", "all-reduce"))
        return self


def run_all(settings: Settings, make_task: Callable[[int, float, tuple[int, int, int]], Any], optimizer: Any) -> None:
    """Run every setting, print a table of each and write its history and picture."""
    settings, console = settings.shortened(), Console(width=120)
    start = time.perf_counter()
    for nodes in settings.nodes:
        for alpha in settings.alphas:
            task = make_task(nodes, alpha, settings.evaluated)
            name = f"{task.name}-n{nodes}-alpha{alpha:g}"
            check_free(settings.out / name, overwrite=True)
            histories = run_setting(task, optimizer, settings, settings.out / f"{name}-runs")
            title = f"{task.name}, n = {nodes}, alpha = {alpha:g}, {settings.seeds} seeds"
            console.print(table(histories, title, settings.rounds))
            for sentence in against(histories, "dsgd/ring", settings.rounds):
                console.print(sentence, soft_wrap=True)
            with new_folder(settings.out / name, overwrite=True) as folder:
                write(histories, folder)
            print(f"{time.perf_counter() - start:.0f} seconds; written: {settings.out / name}", flush=True)


def run_setting(task: Any, optimizer: Any, settings: Settings, folder: Path) -> dict[str, pl.DataFrame]:
    """All methods on one task: label to history."""
    numbers = {name: getattr(settings, name) for name in ("rounds", "longest", "rows")}
    kept = KeptRuns(folder, fingerprint({**numbers, "task": task, "optimizer": optimizer}))
    actives = choose_actives(task, optimizer, settings, folder / "search")
    methods = {label(method, actives): build(method, optimizer, actives) for method in settings.methods}
    horizons = {name: rounds_of(algorithm, task, settings) for name, algorithm in methods.items()}
    costs = {name: horizons[name] * sum(a.bind(task).gradients(task.nodes)) for name, a in methods.items()}
    runs = len(settings.learning_rates) + settings.seeds - 1
    progress = Progress(runs * sum(costs.values()), runs * len(methods))

    def one(name: str, rate: float, seed: int) -> pl.DataFrame:
        algorithm = methods[name].with_learning_rate(rate)
        compute = lambda: simulate(algorithm, task, horizons[name], seed, settings)
        history, computed = kept.run(f"{name}-{rate:g}-{seed}", compute)
        what = f"{name}, step size {rate:g}, seed {seed}, slots' accuracy {history['accuracy_slots'][-1]:.3f}"
        progress.tell(what, costs[name], computed)
        return history

    def all_of(runs: list[tuple[str, float, int]]) -> dict[str, list[pl.DataFrame]]:
        """Neighbours in the list are of different methods, so that no program is compiled twice at once."""
        found: dict[str, list[pl.DataFrame]] = {name: [] for name in methods}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for (name, *_), history in zip(runs, pool.map(lambda run: one(*run), runs), strict=True):
                found[name].append(history)
        return found

    def best(runs: list[pl.DataFrame]) -> pl.DataFrame:
        return min(runs, key=lambda run: (run["diverged"][-1], run["validation_loss_slots"][-1]))

    tried = all_of([(name, rate, 0) for rate in settings.learning_rates for name in methods])
    first = {name: best(runs) for name, runs in tried.items()}
    others = [(name, first[name]["learning_rate"][0], seed) for seed in range(1, settings.seeds) for name in methods]
    rest = all_of(others)
    return {name: pl.concat([first[name], *rest[name]]) for name in methods}


def simulate(algorithm: Any, task: Any, rounds: int, seed: int, settings: Settings) -> pl.DataFrame:
    """The history of one run, also where it diverges; those that run on are evaluated less often."""
    every = max(1, settings.rounds // settings.rows) if rounds == settings.rounds else settings.rounds
    try:
        return tj.simulate(algorithm, task, rounds=rounds, eval_every=every, seed=seed, progress=False).history
    except tj.DivergenceError as error:
        return error.result.history


def choose_actives(task: Any, optimizer: Any, settings: Settings, folder: Path) -> dict[str, int]:
    """For each graph of TELEPORTATION its number of active nodes: the one given, or the one a search finds.

    The search judges the slots' own models after equal rounds (Algorithm 2 of the paper); its table, history and
    picture are kept.
    """
    parts = [method.partition("/") for method in settings.methods]
    topologies = [topology for name, _, topology in parts if name == "teleportation"]
    if settings.active is not None:
        return dict.fromkeys(topologies, min(settings.active, task.nodes))
    names = ("search_rounds", "search_seeds", "candidates", "learning_rates")
    numbers = {name: getattr(settings, name) for name in names}
    KeptRuns(folder, fingerprint({**numbers, "task": task, "optimizer": optimizer}))  # refuses those of others

    def place(topology: str) -> Path:
        return folder / topology.replace(":", "-")

    def search(topology: str) -> Any:
        return tj.search(
            task,
            topology,
            optimizer=optimizer,
            rounds=settings.search_rounds,
            candidates=[k for k in settings.candidates if k <= task.nodes],
            tune=settings.learning_rates,
            seeds=settings.search_seeds,
            eval_every=max(1, settings.search_rounds // SEARCH_ROWS),
            progress=False,
        )

    missing = [topology for topology in topologies if not place(topology).exists()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for topology, found in zip(missing, pool.map(search, missing), strict=True):
            found.save(place(topology))
            print(f"Search on {topology}: {found.sentence()}", flush=True)
    return {one: json.loads((place(one) / "config.json").read_text())["best"] for one in topologies}


def label(method: str, actives: dict[str, int]) -> str:
    """The method with its k, for tables: "teleportation/ring k=8"."""
    name, _, topology = method.partition("/")
    return f"{method} k={actives[topology]}" if name == "teleportation" else method


def build(method: str, optimizer: Any, actives: dict[str, int]) -> Any:
    """The algorithm that a name like "teleportation/ring" stands for."""
    name, _, topology = method.partition("/")
    match name:
        case "dsgd":
            return tj.decentralized_sgd(topology=topology, optimizer=optimizer)
        case "teleportation":
            return tj.teleportation(active=actives[topology], topology=topology, optimizer=optimizer)
        case "token":
            return tj.random_walk(optimizer=optimizer)
    return tj.all_reduce_sgd(optimizer=optimizer)


def command(main: Callable[[Settings], None], description: str | None) -> None:
    """Run an experiment with the options of the command line; what is wrong is told in a line, with exit code 2."""
    settings = tyro.cli(Settings, description=description)
    try:
        main(settings.checked())
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)


def rounds_of(algorithm: Any, task: Any, settings: Settings) -> int:
    """Rounds until the method has computed as many gradients as DSGD, at most ``longest`` times its rounds."""
    gradients = sum(algorithm.bind(task).gradients(task.nodes))
    return min(settings.rounds * task.nodes // gradients, int(settings.longest * settings.rounds))
