"""The task of a command and how its nodes learn: options that several subcommands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from telejax.backend import factories
from telejax.cli.compiling import Compiling
from telejax.errors import check_integer, check_name, check_number

if TYPE_CHECKING:
    from telejax.data import Dataset
    from telejax.optimizers import Optimizer
    from telejax.tasks.base import Task

FILES = ("fashion-mnist", "mnist", "cifar-10")
"""Data sets that are read from files."""
CONVOLUTIONAL = ("lenet", "vgg")
"""Models whose gradients run node after node on a CPU."""

GRIDS = {
    "digits": (0.04, 0.1, 0.25, 0.6, 1.5, 4.0),
    "quadratic": (0.003, 0.01, 0.03, 0.1, 0.3),
    **dict.fromkeys(FILES, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)),
}
"""Step sizes of SGD to try by default."""

WIDE_GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""The same for other optimizers and for tasks that are not known here."""

PICTURES: dict[str, Any] = {
    "alpha": 0.1,
    "model": "mlp",
    "batch": 8,
    "augment": None,
    "evaluated": 10_000,
    "node_batch": None,
}
"""Options of pictures, with what they are where they are left out."""
QUADRATIC: dict[str, Any] = {"heterogeneity": 5.0, "noise": 1.0}
"""The same of the quadratic."""

OPTIONS_OF_TASKS = ("nodes", "seed", "alpha", "batch", "heterogeneity", "noise", "placement")
"""Options that a task of one's own is given where it has a parameter of this name."""
WHERE_ASKED = ("model", "augment", "evaluated", "node_batch", "data_dir")
"""The same of those that are left to the task unless they are given."""


@dataclass(frozen=True)
class TaskOptions(Compiling):
    """What the nodes compute, and with which step sizes."""

    dataset: Literal["digits", "fashion-mnist", "mnist", "cifar-10", "quadratic"] | None = None
    """The task: pictures to classify (small digits are built in, and the default), or the quadratic of known
    heterogeneity."""
    task: Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME")] = None
    """In place of a dataset, your own task: package.module:name of a function that makes it, which is given --nodes and
    those of the other options here that it has parameters for; more as in package.module:name:parameter=value."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where the files of fashion-mnist, mnist or cifar-10 are; by default $TELEJAX_DATA, then Debian's packages."""
    seed: int = 0
    """The first seed, also that of the data split."""
    alpha: float | None = None
    """Pictures: concentration of the Dirichlet split over labels, small for few classes a node; by default 0.1."""
    model: Literal["mlp", "logistic", "lenet", "vgg"] | None = None
    """Pictures: the model; by default mlp."""
    batch: int | None = None
    """Pictures: samples a gradient; by default 8."""
    augment: Literal["crop", "flip", "crop+flip"] | None = None
    """Pictures: random changes to each batch."""
    evaluated: int | None = None
    """Pictures: at most so many samples of each split judge a model, by default 10 000; fewer are faster."""
    node_batch: int | None = None
    """Pictures: nodes whose gradients are computed side by side; by default the backend's choice."""
    heterogeneity: float | None = None
    """quadratic: norm of every node's gradient at the optimum; by default 5."""
    noise: float | None = None
    """quadratic: root of the expected squared norm of the gradient noise; by default 1."""
    placement: Literal["sorted", "shuffled"] | None = None
    """Whether neighbours in number are alike; by default shuffled, so that they are not."""
    learning_rates: tuple[float, ...] | None = None
    """The grid of step sizes; by default 0.04 0.1 0.25 0.6 1.5 4 for digits, 0.003 0.01 0.03 0.1 0.3 for quadratic, and
    also 0.001 for the others."""
    optimizer: str = "sgd"
    """sgd, adam, adamw, adagrad, rmsprop, lion, or your own, as package.module:name; with parameters, as in
    adam:b1=0.8."""
    momentum: float = 0.0
    """Momentum of SGD."""

    @property
    def chosen(self) -> str:
        """The dataset, which is digits where none is named."""
        return self.dataset or "digits"

    def value(self, name: str) -> Any:
        """An option of the task, as given or by default."""
        given = getattr(self, name)
        return {**PICTURES, **QUADRATIC, "placement": "shuffled"}.get(name) if given is None else given

    @property
    def grid(self) -> tuple[float, ...]:
        """The step sizes to try."""
        if self.learning_rates is not None:
            return self.learning_rates
        return GRIDS[self.chosen] if self.task is None and self.optimizer == "sgd" else WIDE_GRID

    def check_task(self) -> None:
        """Refuse what can be refused before jax is imported."""
        self._check_numbers()
        self._check_heard()
        if not self.grid:
            raise ValueError("--learning-rates is empty; give at least one step size, or leave it out")
        for rate in self.grid:
            check_number("--learning-rates", rate, exclusive=True)
        name, _ = factories.split(self.optimizer, factories.OPTIMIZERS)
        if not factories.is_path(name):
            check_name("optimizer", name, factories.OPTIMIZERS)
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"--momentum is {self.momentum} and --optimizer {self.optimizer}; leave it out, or write the "
                "parameters of an optimizer after its name, as in adam:b1=0.8"
            )
        if self.task is not None and not factories.is_path(factories.split(self.task, ())[0]):
            raise ValueError(f"--task is {self.task!r}; give package.module:name of a function that makes your task")
        if self.data_dir is not None and self.task is None and self.chosen not in FILES:
            raise ValueError(
                f"--data-dir is {str(self.data_dir)!r} and --dataset {self.chosen} reads no files; leave it out, or "
                f"give --dataset {', '.join(FILES[:-1])} or {FILES[-1]}"
            )

    def _check_numbers(self) -> None:
        """Refuse numbers out of their range."""
        for name in ("batch", "evaluated", "node_batch"):
            if getattr(self, name) is not None:
                check_integer(f"--{name.replace('_', '-')}", getattr(self, name), minimum=1)
        check_integer("--seed", self.seed, minimum=0)
        for name, exclusive in (("alpha", True), ("heterogeneity", False), ("noise", False)):
            if getattr(self, name) is not None:
                check_number(f"--{name}", getattr(self, name), exclusive=exclusive)
        if check_number("--momentum", self.momentum) >= 1:
            raise ValueError(f"--momentum is {self.momentum}; give a number from 0 to below 1")

    def _check_heard(self) -> None:
        """Refuse options that the task would not hear of."""
        if self.task is not None:
            if self.dataset is not None:
                raise ValueError(f"--dataset is {self.dataset} and --task {self.task}; give one of the two")
            return  # it says itself what it takes
        if self.chosen == "quadratic":
            deaf, of, remedy = {*PICTURES}, "--dataset quadratic", "--dataset digits"
        else:
            deaf, of, remedy = {*QUADRATIC}, f"--dataset {self.chosen}", "--dataset quadratic"
        for name in sorted(deaf):
            if (given := getattr(self, name)) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} is {given}, which {of} does not take; leave it out, or give {remedy}")

    def build_optimizer(self) -> "Optimizer":
        from telejax.optimizers import BY_NAME, optimizer

        name, texts = factories.split(self.optimizer, factories.OPTIMIZERS)
        factory = factories.find("optimizer", name, BY_NAME)
        values = factories.read("optimizer", name, texts, factory)
        if "learning_rate" in values:
            raise ValueError(
                f"--optimizer is {self.optimizer!r}, whose step size is tuned; give it with --learning-rates"
            )
        numbers = {"momentum": self.momentum} if self.momentum else {}
        return optimizer(factory, **{"learning_rate": self.grid[0], **numbers, **values})

    def build_task(self, nodes: int) -> "Task":
        from telejax import tasks
        from telejax.backend.sharding import check_platform, one_device_a_core

        if self.model in CONVOLUTIONAL:
            one_device_a_core()
        check_platform()
        if self.task is not None:
            return self.build_own_task(nodes)
        common: dict[str, Any] = {"nodes": nodes, "placement": self.value("placement"), "seed": self.seed}
        if self.chosen == "quadratic":
            return tasks.quadratic(**common, **{name: self.value(name) for name in QUADRATIC})
        return tasks.classification(self.read_data(), **common, **{name: self.value(name) for name in PICTURES})

    def build_own_task(self, nodes: int) -> "Task":
        """The task that ``--task`` names."""
        from telejax.simulation.task_checks import check_task

        assert self.task is not None
        name, texts = factories.split(self.task, ())
        factory = factories.imported("task", name)
        takes = factories.parameters(factory)
        given = self._given()
        if "nodes" in texts and getattr(self, "nodes", nodes) != type(self).__dataclass_fields__["nodes"].default:
            raise ValueError(f"--nodes is {nodes}, and --task gives nodes={texts['nodes']}; leave one of them out")
        for key, value in given.items():
            option = f"--{key.replace('_', '-')}"
            if key not in takes:
                raise ValueError(f"{option} is {value}, and {name} has no parameter {key}; leave it out")
            if key in texts:
                raise ValueError(f"{option} is {value}, and --task gives {key}={texts[key]}; leave one of them out")
        known = {"nodes": nodes, **{key: self.value(key) for key in OPTIONS_OF_TASKS if key != "nodes"}, **given}
        options = {key: known[key] for key in takes if key in known}
        values = {**options, **factories.read("task", name, texts, factory)}
        if missing := [key for key in factories.required(factory) if key not in values]:
            key = missing[0]
            own = key not in OPTIONS_OF_TASKS
            kind = "" if key in takes else f"annotate it, as in {key}: {'float' if own else type(known[key]).__name__}"
            write = " and ".join(filter(None, [f"write {name}:{key}=..." if own or not kind else "", kind]))
            raise ValueError(f"--task is {self.task!r}, which needs {key}; {write}")
        made: Task = factory(**values)
        return check_task(made)

    def _given(self) -> dict[str, Any]:
        """The options for tasks that differ from their defaults; the seed is that of the runs, too."""
        names = {*OPTIONS_OF_TASKS, *WHERE_ASKED} - {"seed", "nodes"}
        found = {name: value for name in sorted(names) if (value := getattr(self, name)) is not None}
        return {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}

    def read_data(self) -> "Dataset":
        from telejax import data

        match self.chosen:
            case "fashion-mnist":
                return data.fashion_mnist(self.data_dir)
            case "mnist":
                return data.mnist(self.data_dir)
            case "cifar-10":
                return data.cifar10(self.data_dir)
        return data.digits()
