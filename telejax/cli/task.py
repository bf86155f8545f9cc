"""The task of a command: options that several subcommands share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from telejax.errors import check_integer, check_number

if TYPE_CHECKING:
    from telejax.tasks.base import Task


@dataclass(frozen=True)
class TaskOptions:
    """What the nodes compute."""

    dataset: Literal["digits", "quadratic"] = "digits"
    """The task: handwritten digits, or the quadratic whose heterogeneity is known exactly."""
    nodes: int = 100
    """Number of nodes."""
    seed: int = 0
    """The first seed, also that of the data split."""
    alpha: float = 0.1
    """digits: concentration of the Dirichlet split over labels; small for few classes a node."""
    model: Literal["mlp", "logistic"] = "mlp"
    """digits: the model."""
    batch: int = 8
    """digits: samples a gradient."""
    heterogeneity: float = 5.0
    """quadratic: norm of every node's gradient at the optimum."""
    noise: float = 1.0
    """quadratic: root of the expected squared norm of the gradient noise."""
    placement: Literal["sorted", "shuffled"] = "shuffled"
    """quadratic: whether neighbours in number are alike."""

    def check_task(self) -> None:
        """Refuse what can be refused before jax is imported."""
        for name in ("nodes", "batch"):
            check_integer(f"--{name}", getattr(self, name), minimum=1)
        check_integer("--seed", self.seed, minimum=0)
        check_number("--alpha", self.alpha, exclusive=True)

    def build_task(self) -> "Task":
        from telejax import tasks

        if self.dataset == "digits":
            return tasks.digits(nodes=self.nodes, alpha=self.alpha, model=self.model, batch=self.batch, seed=self.seed)
        return tasks.quadratic(
            nodes=self.nodes,
            heterogeneity=self.heterogeneity,
            noise=self.noise,
            placement=self.placement,
            seed=self.seed,
        )
