"""``telejax sweep``: every combination of a file's values, resumed where it stopped."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from telejax.cli.compiling import Compiling


@dataclass(frozen=True)
class Sweep(Compiling):
    """Run every combination of the values in a TOML file; the same command again resumes.

    Writes one Parquet file a cell at once into --out and, when all are there, table.parquet and sweep.png.
    """

    spec: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SPEC.TOML")]
    """The file; see docs/how_to/sweeps.md."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/sweep"))
    """Where to write, and what to resume."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Run every N-th cell from the I-th on (from 0), for job arrays that share the folder."""
    metric: str = "loss"
    """The column in the summary and the picture."""
    progress: bool = True
    """Show the progress and the time left."""

    def kept(self) -> str:
        """What is left of a command that is interrupted."""
        cells = len([*self.out.glob("cell-*.parquet")])
        if not cells:
            return f"no cell was finished; {self.out} holds none"
        return (
            f"{cells} finished {'cell is' if cells == 1 else 'cells are'} kept in {self.out}; the same command goes on"
        )

    def run(self) -> int:
        import polars as pl

        from telejax.cli.output import Output, tell, told_warnings
        from telejax.results.checksums import write_beside
        from telejax.results.files import write_picture
        from telejax.studies.sweep.sweep import run_cells

        if self.out.resolve() == Path.cwd():
            raise ValueError(f"--out is {str(self.out)!r}, the working directory; give a folder in it")
        self.check_metric()
        try:
            outcome = run_cells(self.spec, self.out, None, self.shard, self.progress)
        except OSError as error:
            tell(str(error))
            return 1
        output = Output()
        if outcome.missing:
            output.say(f"{outcome.missing} cells belong to other shards; run without --shard to join them")
            return 1 if output.failed else 0
        measured = self.metric in outcome.table.columns
        with pl.Config(
            tbl_rows=60,
            tbl_cols=12,
            tbl_width_chars=output.console.width,
            float_precision=4,
            fmt_str_lengths=200,
            tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True,
        ):
            if measured:
                output.print(str(outcome.summary(self.metric)))
            failures = outcome.failures()
            if failures.height:
                output.print(f"{failures.height} runs failed or diverged:\n{failures}")

        def draw() -> bytes:
            from telejax.results.plots import figure_png

            return figure_png(outcome.plot(self.metric))

        try:
            with told_warnings():
                outcome.write_into(self.out)
                drawn = measured and write_picture(self.out / "sweep.png", draw, ["table.parquet"], write_beside)
        except OSError as error:
            tell(str(error))
            return 1
        output.print_written(self.out, ["table.parquet", *(["sweep.png"] if drawn else [])])
        return 1 if output.failed or not measured else 0

    def check_metric(self) -> None:
        """Refuse a metric that no run of the sweep will have, before the first one."""
        from telejax.backend.sharding import check_platform
        from telejax.errors import check_name
        from telejax.studies.sweep.cells import columns
        from telejax.studies.sweep.spec import SweepSpec

        check_platform()
        if (known := columns(SweepSpec.from_toml(self.spec))) is not None:
            check_name("column of --metric", self.metric, known)
