"""``telejax compare``: the methods of the field on one task."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from telejax.errors import check_integer, check_name, check_number

if TYPE_CHECKING:
    from telejax.algorithms.base import Algorithm

METHODS = ("dsgd", "teleportation", "fedavg", "token", "tokens", "all-reduce")

IMAGE_SETS = ("fashion-mnist", "mnist", "cifar-10")

GRIDS = {
    "digits": (0.1, 0.25, 0.6, 1.5, 4.0),
    "quadratic": (0.003, 0.01, 0.03, 0.1, 0.3),
    **dict.fromkeys(IMAGE_SETS, (0.003, 0.01, 0.03, 0.1, 0.3)),
}


@dataclass(frozen=True)
class Compare:
    """Compare methods on one task: the step size tuned per method over one grid, several seeds, one table.

    Writes history.parquet, config.json and comparison.png into --out.
    """

    dataset: Literal["digits", "fashion-mnist", "mnist", "cifar-10", "quadratic"] = "digits"
    """The task: pictures to classify (small digits are built in), or the quadratic of known heterogeneity."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where the files of fashion-mnist, mnist or cifar-10 are; by default $TELEJAX_DATA, then Debian's packages."""
    nodes: int = 100
    """Number of nodes."""
    methods: tuple[str, ...] = ("dsgd/ring", "dsgd/exponential", "teleportation/ring", "token", "all-reduce")
    """Any of dsgd/TOPOLOGY, teleportation/TOPOLOGY, fedavg, token, tokens, all-reduce."""
    active: int = 8
    """Active nodes of teleportation, clients of fedavg, number of tokens."""
    rounds: int = 500
    """Rounds of every method."""
    eval_every: int = 50
    """Rounds between two evaluations."""
    learning_rates: tuple[float, ...] | None = None
    """The grid of step sizes; by default 0.1 0.25 0.6 1.5 4 for digits, 0.003 0.01 0.03 0.1 0.3 for others."""
    momentum: float = 0.0
    """Momentum of SGD."""
    seeds: int = 3
    """Number of seeds."""
    seed: int = 0
    """The first seed, also that of the data split."""
    alpha: float = 0.1
    """Pictures: concentration of the Dirichlet split over labels; small for few classes a node."""
    model: Literal["mlp", "logistic", "lenet", "vgg"] = "mlp"
    """Pictures: the model."""
    batch: int = 8
    """Pictures: samples a gradient."""
    augment: Literal["crop", "flip", "crop+flip"] | None = None
    """Pictures: random changes to each batch."""
    evaluated: int = 10000
    """Pictures: at most so many samples of each split judge a model; fewer are faster."""
    node_batch: int | None = None
    """Pictures: nodes whose gradients are computed side by side; by default the backend's choice."""
    heterogeneity: float = 5.0
    """quadratic: norm of every node's gradient at the optimum."""
    noise: float = 1.0
    """quadratic: root of the expected squared norm of the gradient noise."""
    placement: Literal["sorted", "shuffled"] = "shuffled"
    """Whether neighbours in number are alike."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/compare"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists."""
    progress: bool = True
    """Show progress bars."""

    def run(self) -> int:
        self.check()
        from rich.console import Console

        from telejax.comparison import compare
        from telejax.results import check_free

        check_free(self.out, self.force)
        outcome = compare(
            self.build_methods(),
            self.build_task(),
            rounds=self.rounds,
            learning_rates=self.grid,
            seeds=self.seeds,
            seed=self.seed,
            eval_every=self.eval_every,
            progress=self.progress,
        )
        outcome.save(self.out, overwrite=self.force)
        console = Console()
        console.print(outcome)
        console.print(f"Written: {self.out}/history.parquet, config.json and comparison.png", soft_wrap=True)
        if at_edge := outcome.at_edge():
            console.print(f"Best step size at the edge of the grid: {', '.join(at_edge)}; widen --learning-rates")
        diverged = [name for name, run in outcome.runs.items() if bool(run.final()["diverged"].all())]
        for name in diverged:
            run = outcome.runs[name]
            console.print(
                f"{name} diverged by round {run.rounds} with every step size of "
                f"{run.learning_rates}; give smaller ones with --learning-rates"
            )
        return 1 if diverged else 0

    @property
    def grid(self) -> tuple[float, ...]:
        """The step sizes to try."""
        return GRIDS[self.dataset] if self.learning_rates is None else self.learning_rates

    def check(self) -> None:
        """Refuse what can be refused before jax is imported."""
        for name in ("nodes", "active", "rounds", "eval_every", "seeds", "batch", "evaluated"):
            check_integer(f"--{name.replace('_', '-')}", getattr(self, name), minimum=1)
        check_integer("--seed", self.seed, minimum=0)
        check_number("--alpha", self.alpha, exclusive=True)
        if self.node_batch is not None:
            check_integer("--node-batch", self.node_batch, minimum=1)
        if self.data_dir is not None and self.dataset not in IMAGE_SETS:
            raise ValueError(f"--data-dir is {str(self.data_dir)!r}, and {self.dataset} reads no files; leave it out")
        for rate in self.grid:
            check_number("--learning-rates", rate, exclusive=True)
        if check_number("--momentum", self.momentum) >= 1:
            raise ValueError(f"--momentum is {self.momentum}; give a number from 0 to below 1")
        if not self.methods or not self.grid:
            raise ValueError("--methods or --learning-rates is empty; give at least one of each, or leave it out")
        for spec in self.methods:
            check_name("method", spec.partition("/")[0], METHODS)

    def build_task(self) -> Any:
        from telejax import data, tasks

        match self.dataset:
            case "quadratic":
                return tasks.quadratic(
                    nodes=self.nodes,
                    heterogeneity=self.heterogeneity,
                    noise=self.noise,
                    placement=self.placement,
                    seed=self.seed,
                )
            case "digits":
                pictures = data.digits()
            case "fashion-mnist":
                pictures = data.fashion_mnist(self.data_dir)
            case "mnist":
                pictures = data.mnist(self.data_dir)
            case "cifar-10":
                pictures = data.cifar10(self.data_dir)
        return tasks.classification(
            pictures,
            nodes=self.nodes,
            alpha=self.alpha,
            placement=self.placement,
            model=self.model,
            batch=self.batch,
            augment=self.augment,
            evaluated=self.evaluated,
            node_batch=self.node_batch,
            seed=self.seed,
        )

    def build_methods(self) -> "list[Algorithm]":
        import optax

        from telejax import algorithms
        from telejax.optimizers import optimizer

        numbers = {"momentum": self.momentum} if self.momentum else {}
        sgd = optimizer(optax.sgd, learning_rate=self.grid[0], **numbers)
        built: list[Algorithm] = []
        for spec in self.methods:
            name, _, topology = spec.partition("/")
            topology = topology or "ring"
            match name:
                case "dsgd":
                    built.append(algorithms.decentralized_sgd(topology=topology, optimizer=sgd))
                case "teleportation":
                    built.append(algorithms.teleportation(active=self.active, topology=topology, optimizer=sgd))
                case "fedavg":
                    built.append(algorithms.fedavg(clients=self.active, optimizer=sgd))
                case "token":
                    built.append(algorithms.random_walk(optimizer=sgd))
                case "tokens":
                    built.append(algorithms.random_walk(tokens=self.active, optimizer=sgd))
                case "all-reduce":
                    built.append(algorithms.all_reduce_sgd(optimizer=sgd))
        return built
