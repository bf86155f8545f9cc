"""``telejax advise``: should these sites train together, how, and at what cost."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from telejax.cli.compiling import Compiling
from telejax.errors import check_integer


@dataclass(frozen=True)
class Advise(Compiling):
    """From a file that describes sites to a recommendation: train alone, with a server, or together, and how.

    Simulates what the sites might do on the lines and computers that they have, and a pilot with a tenth of them.
    Writes table.csv, history.parquet, config.json, advice.png and, with telejax[report], report.html into --out.
    """

    sites: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SITES.TOML")]
    """The file; see docs/adoption, and experiments/sites for examples."""
    methods: tuple[str, ...] = ()
    """What to consider beside training alone, as telejax compare names it; by default what suits the sites."""
    seeds: int = 8
    """Number of seeds with which the best candidates run."""
    seed: int = 0
    """The first of them."""
    language: Literal["en", "ja"] = "en"
    """Of the report: English or Japanese."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/advice"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists and holds only files of telejax."""
    progress: bool = True
    """Show the progress and the time left."""

    def check(self) -> None:
        """Refuse what can be refused before jax is imported."""
        from telejax.algorithms import registry

        check_integer("--seeds", self.seeds, minimum=2, maximum=64)
        check_integer("--seed", self.seed, minimum=0, maximum=2**31)
        for one in self.methods:
            registry.check_spec(one)

    def run(self) -> int:
        from telejax.backend.sharding import check_platform
        from telejax.cli.out_folder import OutFolder
        from telejax.cli.output import Output, tell
        from telejax.cli.recorded import recorded
        from telejax.studies.advice.advise import advise
        from telejax.studies.advice.site_file import read_sites

        check_platform()
        sites = read_sites(self.sites, argument="SITES.TOML")
        out = OutFolder(self.out, self.force)
        found = advise(sites, methods=self.methods or None, seeds=self.seeds, seed=self.seed, progress=self.progress)
        found.command.update(recorded(self))
        output = Output()
        output.print(found)
        output.say(found.sentence())
        if unseen := found.unseen():
            output.say(unseen)
        output.write(lambda: out.fill(found.save), out.path)
        report = out.path / "report.html"
        if not output.lost:
            try:
                found.report(report, language=self.language)
            except ValueError as error:  # a package is missing
                tell(f"no report was written: {error}")
            except OSError as error:
                output.failed = True
                tell(f"no report was written: {error}; telejax report {out.path} writes it from the tables there")
        names = ["table.csv", "history.parquet", "config.json", "advice.png", report.name]
        output.print_written(out.path, names)
        if found.recommended is None:
            tell(f"{self.sites}: no candidate reaches the aim, {found.shortfall()}")
            return 2
        return 1 if output.failed else 0
