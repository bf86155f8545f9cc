"""``telejax search``: how many nodes should be active."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from telejax.cli.task import TaskOptions
from telejax.errors import check_integer, check_number


@dataclass(frozen=True)
class Search(TaskOptions):
    """Find how many nodes should be active: all candidates at once, on disjoint nodes.

    Each candidate is judged at its best step size of the grid.
    Writes table.csv, history.parquet, config.json and search.png into --out.
    """

    nodes: int = 100
    """Number of nodes."""
    topology: str = "ring"
    """The graph over the active nodes."""
    rounds: int | None = None
    """Rounds of every candidate; 500 where no --gradients are given."""
    gradients: int | None = None
    """In place of rounds: stochastic gradients of every candidate, which buy fewer active nodes more rounds."""
    candidates: tuple[int, ...] | None = None
    """Numbers of active nodes; by default 1, 2, 4, ... up to all."""
    objective: Literal["slots", "mean"] = "slots"
    """The loss of the active nodes' own models, or of their mean."""
    tolerance: float = 0.05
    """The smallest candidate within this share of the lowest objective is recommended."""
    seeds: int = 4
    """Number of seeds to average over."""
    skip: bool = False
    """Leave out candidates for which the topology cannot be built."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/search"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists and holds only files of telejax."""
    progress: bool = True
    """Show progress bars."""

    def run(self) -> int:
        from telejax.cli.out_folder import OutFolder
        from telejax.cli.output import Output, tell
        from telejax.cli.recorded import recorded
        from telejax.errors import DivergenceError
        from telejax.studies.search.search import search

        out = OutFolder(self.out, self.force)
        try:
            found = search(
                self.build_task(self.nodes),
                self.topology,
                optimizer=self.build_optimizer(),
                rounds=500 if self.rounds is None and self.gradients is None else self.rounds,
                gradients=self.gradients,
                candidates=self.candidates,
                tune=self.grid,
                objective=self.objective,
                tolerance=self.tolerance,
                seed=self.seed,
                seeds=self.seeds,
                skip=self.skip,
                progress=self.progress,
            )
        except DivergenceError as error:
            tell(str(error))
            return 1
        found.config.update(recorded(self))
        output = Output()
        output.print(found)
        output.say(found.sentence())
        if found.at_edge():
            output.say("Its step size is at the edge of the grid; widen --learning-rates")
        output.write(lambda: out.fill(found.save), out.path)
        output.print_written(out.path, ["table.csv", "history.parquet", "config.json", "search.png"])
        return 1 if output.failed else 0

    def check(self) -> None:
        """Refuse what can be refused before jax is imported."""
        self.check_task()
        check_integer("--nodes", self.nodes, minimum=1)
        for name in ("rounds", "gradients"):
            if getattr(self, name) is not None:
                check_integer(f"--{name}", getattr(self, name), minimum=1)
        if self.rounds is not None and self.gradients is not None:
            raise ValueError(f"--rounds is {self.rounds} and --gradients is {self.gradients}; give one of the two")
        check_integer("--seeds", self.seeds, minimum=1)
        check_number("--tolerance", self.tolerance)
        for k in self.candidates or ():
            check_integer("--candidates", k, minimum=1)
