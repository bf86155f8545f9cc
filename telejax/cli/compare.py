"""``telejax compare``: the methods of the field on one task."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from telejax.algorithms import registry
from telejax.cli.task import TaskOptions
from telejax.errors import check_integer

if TYPE_CHECKING:
    from telejax.algorithms.base import Algorithm
    from telejax.network import Network
    from telejax.studies.compare.comparison import Comparison
    from telejax.studies.compare.scaling import Scaling

ACTIVE = 8


@dataclass(frozen=True)
class Compare(TaskOptions):
    """Compare methods on one task: the step size tuned per method over one grid, several seeds, one table.

    Of several numbers of nodes, what happens as they grow. Writes history.parquet, config.json and comparison.png or
    scaling.png into --out.
    """

    nodes: tuple[int, ...] = (100,)
    """Number of nodes; or several of them, as in 25 100 350, each with all methods."""
    methods: tuple[str, ...] = ("dsgd/ring", "dsgd/exponential", "teleportation/ring", "token", "all-reduce")
    """Any of dsgd/TOPOLOGY, teleportation/TOPOLOGY, fedavg, token, tokens, all-reduce; with parameters, as in
    fedavg:local_steps=4; or your own, as package.module:name; all for every method, see telejax methods."""
    active: int | None = None
    """Active nodes of teleportation, clients of fedavg, number of tokens; by default 8."""
    network: Annotated[Path | None, tyro.conf.arg(metavar="FILE.TOML")] = None
    """The network of all methods, see telejax network; by default nothing is lost, late or away."""
    rounds: int = 500
    """Rounds of every method."""
    eval_every: int = 50
    """Rounds between two evaluations."""
    seeds: int = 3
    """Number of seeds."""
    tune_seeds: int | None = None
    """How many of the seeds try the whole grid; all then run with what these choose. By default all try it."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/compare"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists and holds only files of telejax."""
    progress: bool = True
    """Show progress bars."""

    @property
    def specs(self) -> tuple[str, ...]:
        """The methods, every one where all are asked for."""
        return tuple(one.spec for one in registry.METHODS) if self.methods == ("all",) else self.methods

    def run(self) -> int:
        from telejax.cli.out_folder import OutFolder
        from telejax.cli.output import Output
        from telejax.cli.recorded import recorded
        from telejax.studies.compare.compare import compare
        from telejax.studies.compare.scaling import scaling

        out = OutFolder(self.out, self.force)
        methods, (first, *more) = self.build_methods(), self.nodes
        asked: dict[str, Any] = {
            "rounds": self.rounds,
            "tune": {"learning_rate": self.grid, **registry.grid(self.specs)},
            "network": self.build_network(),
            "seeds": self.seeds,
            "tune_seeds": self.tune_seeds,
            "seed": self.seed,
            "eval_every": self.eval_every,
            "progress": self.progress,
        }
        outcome: Comparison | Scaling
        if more:
            outcome = scaling(methods, self.build_task, self.nodes, **asked)
        else:
            outcome = compare(methods, self.build_task(first), **asked)
        outcome.config.update(recorded(self))
        output = Output()
        output.print(outcome)
        output.write(lambda: out.fill(outcome.save), out.path)
        output.print_written(out.path, ["history.parquet", "config.json", "comparison.png", "scaling.png"])
        if at_edge := outcome.at_edge():
            output.say(f"Best step size at the edge of the grid: {', '.join(at_edge)}; widen --learning-rates")
        diverged = outcome.diverged()
        for name, run in diverged.items():
            if run.rounds == 0:
                output.say(f"{name} starts with values that are not finite; look for nan and inf in the task")
            else:
                output.say(
                    f"{name} diverged by round {run.rounds} with every step size of "
                    f"{run.learning_rates}; give smaller ones with --learning-rates"
                )
        return 1 if diverged or output.failed else 0

    def check(self) -> None:
        """Refuse what can be refused before jax is imported."""
        self.check_task()
        if self.active is not None:
            check_integer("--active", self.active, minimum=1)
        for name in ("rounds", "eval_every", "seeds"):
            check_integer(f"--{name.replace('_', '-')}", getattr(self, name), minimum=1)
        if self.tune_seeds is not None:
            check_integer("--tune-seeds", self.tune_seeds, minimum=1, maximum=self.seeds)
        for nodes in self.nodes:
            check_integer("--nodes", nodes, minimum=1)
        if not self.nodes or len(set(self.nodes)) < len(self.nodes):
            raise ValueError(f"--nodes is {' '.join(map(str, self.nodes)) or 'empty'}; give different numbers of nodes")
        if not self.methods:
            raise ValueError("--methods is empty; give at least one method, or leave it out")
        for spec in self.specs:
            registry.check_spec(spec)

    def build_network(self) -> "Network | None":
        from telejax.network import Network
        from telejax.network.from_file import from_toml

        return None if self.network is None else from_toml(Network, self.network, argument="--network")

    def build_methods(self) -> "list[Algorithm]":
        optimizer = self.build_optimizer()
        workers = ACTIVE if self.active is None else self.active
        asked = self.active is not None
        methods = [registry.build(spec, optimizer, workers=workers, asked=asked) for spec in self.specs]
        if self.active is not None and not any(map(registry.takes_workers, self.specs)):
            raise ValueError(f"--active is {self.active}, which none of {', '.join(self.methods)} takes; leave it out")
        return methods
