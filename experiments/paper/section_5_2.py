"""Section 5.2: networks on Fashion-MNIST (or CIFAR-10), labels split by Dirichlet(alpha), each method tuned.

    python experiments/paper/section_5_2.py --quick              # n = 25, alpha = 0.1, some rounds
    python experiments/paper/section_5_2.py                      # n = 25 and 100, alpha = 0.1, 1 and 10: hours; resumes
    python experiments/paper/section_5_2.py --data cifar10 --data-dir FOLDER --out runs/paper/cifar10.csv
    python experiments/paper/section_5_2.py --data digits --out runs/paper/digits.csv    # an MLP: minutes

LeNet, momentum 0.9, batch 32, step sizes 0.1, 0.01 and 0.001. Two budgets: equal rounds (those in which a method of n
slots sees its data ``epochs`` times), and equal epochs, for which k slots take n / k times as many rounds. For each
budget a method takes the step size with the lowest held-out loss of the slots' own models in the first seed's last row;
the other seeds run with that one. First a search finds k on each graph of TELEPORTATION.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optax
import polars as pl
from tables import Options, Table, command, show, table_of

import telejax as tj
from telejax.errors import check_name
from telejax.optimizers import decayed_sgd

VERSION = 1
METHODS = (
    "dsgd/ring",
    "dsgd/exponential",
    "dsgd/base:degree=1",
    "teleportation/ring",
    "teleportation/base:degree=1",
    "token",
    "all-reduce",
    "gradient-tracking/ring",
    "qg-momentum/ring",
)
AT_ONCE = 2  # runs, one a core: a CPU computes the gradients of one run on about one core
ROWS = 5  # evaluations in a budget
CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
SHOWN = ("loss", "validation_loss_slots", "accuracy", "accuracy_slots", "accuracy_worst", "consensus")
COSTS = ("gradients", "bytes", "diverged")
KEYS = ["nodes", "alpha", "method", "learning_rate", "seed", "horizon"]
MODELS: dict[str, dict[str, str]] = {
    "fashion_mnist": {"model": "lenet"},
    "cifar10": {"model": "vgg", "augment": "crop+flip"},
    "digits": {"model": "mlp"},
}
Key = dict[str, Any]


@dataclass(frozen=True)
class Settings(Options):
    """What to run; nodes, alphas, methods and seeds choose cells, the others are of the whole table."""

    data: str = "fashion_mnist"
    """fashion_mnist (LeNet), cifar10 (a small VGG) or digits (an MLP)."""
    data_dir: Path | None = None
    nodes: tuple[int, ...] = (25, 100)
    alphas: tuple[float, ...] = (0.1, 1.0, 10.0)
    methods: tuple[str, ...] = METHODS
    seeds: int = 3
    epochs: int = 10
    learning_rates: tuple[float, ...] = (0.1, 0.01, 0.001)
    batch: int = 32
    evaluated: tuple[int, int, int] = (500, 1000, 5000)
    """Training, held-out and test samples that judge a model."""
    search_rounds: int = 300
    search_seeds: int = 2

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        small = {"nodes": (25,), "alphas": (0.1,), "epochs": 1, "evaluated": (100, 200, 300), "seeds": 2}
        few = ("dsgd/ring", "teleportation/ring", "all-reduce")
        return small | {"methods": few, "search_rounds": 30, "search_seeds": 1, "learning_rates": (0.1, 0.01)}


def main(settings: Settings) -> None:
    check_name("data", settings.data, tuple(MODELS))
    for method in settings.methods:
        check_name("method", method, METHODS)
    whole = ("data", "epochs", "learning_rates", "batch", "evaluated", "search_rounds", "search_seeds")
    table = table_of(settings, __file__, VERSION, {name: getattr(settings, name) for name in whole})
    data = getattr(tj.data, settings.data)(*[settings.data_dir] * (settings.data != "digits"))
    for nodes in settings.nodes:
        rounds = max(ROWS, -(-settings.epochs * len(data.train) // (nodes * settings.batch)))
        for alpha in settings.alphas:
            key = {"nodes": nodes, "alpha": alpha, "rounds": rounds}
            Setting(table, settings, task_of(data, nodes, alpha, settings), key).run()
    show(summary(table.rows))
    table.close(KEYS)


def task_of(data: Any, nodes: int, alpha: float, settings: Settings) -> tj.tasks.Classification:
    return tj.tasks.classification(
        data,
        nodes=nodes,
        alpha=alpha,
        batch=settings.batch,
        evaluated=settings.evaluated,
        seed=0,
        **MODELS[settings.data],
    )


@dataclass(frozen=True)
class Setting:
    """All methods on one task."""

    table: Table
    settings: Settings
    task: Any
    key: Key
    """Nodes, alpha, and the rounds of a method of n slots."""

    def run(self) -> None:
        """Tune each method with the first seed, then run the others at what is best in either budget."""
        methods = self.settings.methods
        horizons = {method: self.horizon(method) for method in methods}
        rates = self.settings.learning_rates
        self.all_of([(method, rate, 0, horizons[method]) for rate in rates for method in methods])
        for budget in (horizons, dict.fromkeys(methods, self.key["rounds"])):
            best = {
                method: best_rate(self.table.find(self.key | {"method": method}), budget[method]) for method in methods
            }
            seeds = range(1, self.settings.seeds)
            self.all_of([(method, best[method], seed, budget[method]) for seed in seeds for method in methods])

    def horizon(self, method: str) -> int:
        """Rounds until a method has seen as many samples as those of n slots."""
        return self.key["rounds"] * self.task.nodes // (self.active(method) or self.task.nodes)

    def active(self, method: str) -> int | None:
        """The k of the methods that have one."""
        return 1 if method == "token" else self.searched(method) if "teleportation" in method else None

    def all_of(self, runs: list[tuple[str, float, int, int]]) -> None:
        """Neighbours in the list are of different methods, so that no program is compiled twice at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number, rows in enumerate(pool.map(lambda one: self.one(*one), runs), 1):
                last = rows.row(-1, named=True)
                what = "{method}, step size {learning_rate:g}, seed {seed}: {accuracy_slots:.3f}".format(**last)
                self.table.tell(f"n = {self.task.nodes}, alpha = {self.key['alpha']:g}, {what}", number, len(runs))

    def one(self, method: str, rate: float, seed: int, horizon: int) -> pl.DataFrame:
        """The rows of one run; a longer one that is there holds those of a shorter one."""
        key = self.key | {"method": method, "learning_rate": rate, "seed": seed}
        there = self.table.find(key)
        if there.height and there["horizon"].max() >= horizon:
            return there.filter(pl.col("horizon") == pl.col("horizon").max())
        algorithm = build(method, self.active(method), optimizer_of(self.settings, method)).with_learning_rate(rate)
        compute = lambda: simulate(algorithm, self.task, self.key["rounds"], horizon, seed)
        slots = algorithm.bind(self.task).slots(self.task.nodes)
        return self.table.cell(key | {"horizon": horizon, "active": slots}, compute)

    def searched(self, method: str) -> int:
        """The k of a graph, found by a search that judges the slots' own models after equal rounds."""
        key = self.key | {"method": f"search {method}"}
        topology = method.partition("/")[2]

        def compute() -> pl.DataFrame:
            found = tj.search(
                self.task,
                topology,
                optimizer=optimizer_of(self.settings, method),
                rounds=self.settings.search_rounds,
                candidates=[k for k in CANDIDATES if k <= self.task.nodes],
                tune=self.settings.learning_rates,
                seeds=self.settings.search_seeds,
                eval_every=max(1, self.settings.search_rounds // 4),
                progress=False,
            )
            print(f"{key}: {found.sentence()}", flush=True)
            return pl.DataFrame({"active": [found.best], "horizon": [self.settings.search_rounds]})

        return int(self.table.cell(key, compute)["active"][0])


def simulate(algorithm: Any, task: Any, rounds: int, horizon: int, seed: int) -> pl.DataFrame:
    """A run with ROWS evaluations in ``rounds`` and as many in what follows; one that diverges ends with that row."""
    run, ends = None, [rounds] + [horizon - rounds] * (horizon > rounds)
    histories = []
    for stretch in ends:
        every = -(-stretch // ROWS)
        try:
            run = tj.simulate(algorithm, task, rounds=stretch, eval_every=every, seed=seed, state=run, progress=False)
        except tj.DivergenceError as error:
            histories.append(error.result.history)
            break
        histories.append(run.history)
    history = pl.concat(histories, how="diagonal_relaxed").unique("round", keep="first", maintain_order=True)
    return history.select("round", *SHOWN, *COSTS)


def optimizer_of(settings: Settings, method: str) -> Any:
    """SGD with momentum; quasi-global momentum has its own."""
    momentum = 0.0 if method.startswith("qg") else 0.9
    if settings.data == "cifar10":
        return tj.optimizer(decayed_sgd, learning_rate=0.1, momentum=momentum, weight_decay=5e-4)
    return tj.optimizer(optax.sgd, learning_rate=0.1, momentum=momentum)


def build(method: str, active: int | None, optimizer: Any) -> Any:
    """The algorithm that a name of METHODS stands for."""
    name, _, topology = method.partition("/")
    with_graph: dict[str, Callable[..., Any]] = {
        "dsgd": tj.decentralized_sgd,
        "gradient-tracking": tj.gradient_tracking,
        "qg-momentum": tj.quasi_global_momentum,
    }
    if name in with_graph:
        return with_graph[name](topology=topology, optimizer=optimizer)
    if name == "teleportation":
        return tj.teleportation(active=active, topology=topology, optimizer=optimizer)
    return {"token": tj.random_walk, "all-reduce": tj.all_reduce_sgd}[name](optimizer=optimizer)


def best_rate(rows: pl.DataFrame, rounds: int) -> float:
    """The step size of the first seed with the lowest held-out loss in the row of this round."""
    first = rows.filter(pl.col("seed") == 0)
    ends = first.group_by("learning_rate", maintain_order=True).agg(
        pl.col("validation_loss_slots").filter(pl.col("round") == rounds).first(),
        pl.col("diverged").any(),
    )
    return float(ends.sort("diverged", "validation_loss_slots", nulls_last=True)["learning_rate"][0])


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a setting, method and budget: accuracy at the tuned step size, mean and standard error over seeds."""
    found = []
    runs = rows.filter(~pl.col("method").str.starts_with("search"))
    for (nodes, alpha, method), part in runs.group_by("nodes", "alpha", "method", maintain_order=True):
        for budget, round in (("rounds", part["rounds"][0]), ("epochs", part["horizon"].max())):
            if budget == "epochs" and round == part["rounds"][0]:
                continue
            rate = best_rate(part, round)
            last = part.filter(pl.col("round") == round, pl.col("learning_rate") == rate).unique("seed")
            told = {"nodes": nodes, "alpha": alpha, "method": method, "budget": budget, "round": round}
            told |= {"active": last["active"][0], "learning_rate": rate, "seeds": last.height}
            for name in ("accuracy", "accuracy_slots", "accuracy_worst"):
                told |= {name: last[name].mean(), f"{name}_se": (last[name].std() or 0.0) / last.height**0.5}
            found.append(told | {name: last[name].mean() for name in ("gradients", "bytes")})
    return pl.DataFrame(found)


if __name__ == "__main__":
    command(main, Settings, __doc__)
