"""``telejax sweep``: every combination of a file's values, resumed where it stopped."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Sweep:
    """Run every combination of the values in a TOML file; the same command again resumes.

    Writes one Parquet file a cell at once into --out and, when all are there, table.parquet and sweep.png.
    """

    spec: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SPEC.TOML")]
    """The file; see README."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/sweep"))
    """Where to write, and what to resume."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Run every N-th cell from the I-th on (from 0), for job arrays that share the folder."""
    metric: str = "loss"
    """The column in the summary and the picture."""
    progress: bool = True
    """Show the progress and the time left."""

    def run(self) -> int:
        import polars as pl
        from rich.console import Console

        from telejax.results.plots import figure_png
        from telejax.studies.sweep.sweep import sweep

        outcome = sweep(self.spec, self.out, shard=self.shard, progress=self.progress)
        console = Console()
        written = [f"{self.out}/table.parquet"]
        if outcome.missing:
            console.print(f"{outcome.missing} cells belong to other shards; run without --shard to join them")
            return 0
        with pl.Config(
            tbl_rows=60,
            tbl_cols=12,
            tbl_width_chars=console.width,
            float_precision=4,
            fmt_str_lengths=200,
            tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True,
        ):
            if self.metric in outcome.table.columns:
                console.print(str(outcome.summary(self.metric)))
                (self.out / "sweep.png").write_bytes(figure_png(outcome.plot(self.metric)))
                written.append("sweep.png")
            failures = outcome.failures()
            if failures.height:
                console.print(f"{failures.height} runs failed or diverged:\n{failures}")
        console.print(f"Written: {' and '.join(written)}", soft_wrap=True)
        return 0 if len(written) > 1 else 1
