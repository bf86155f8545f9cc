"""Tables of finished cells: what the scripts of this folder write, resume from, and tell.

A script computes cells, each a few rows, and adds them to one CSV as they come; the same command goes on after a kill.
A JSON file beside the CSV says which version of the script wrote it, with which settings: another one is refused.
"""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import tyro

from telejax.errors import check_integer
from telejax.results.files import atomic_write
from telejax.simulation.fingerprint import difference, fingerprint

COMMITTED = Path(__file__).parents[1] / "results" / "paper"
DIGITS = 6  # significant digits in a table


@dataclass(frozen=True)
class Options:
    """What every script of this folder can be told."""

    quick: bool = False
    """A few cells in under five minutes, in a table of their own."""
    out: Path | None = None
    """The table, a .csv file; by default experiments/results/paper/SCRIPT.csv, and runs/paper/SCRIPT.csv if quick."""

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        """What --quick changes."""
        return {}


@dataclass
class Table:
    """The cells of one script that are finished; safe in threads."""

    path: Path
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)
    started: float = field(default_factory=time.perf_counter)
    lock: Any = field(default_factory=threading.Lock)

    @staticmethod
    def open(path: Path, identity: Mapping[str, Any], room: int = 10**7) -> "Table":
        """The table at this path, new or to be gone on with.

        Args:
            path: of the CSV.
            identity: version and settings of the script.
            room: bytes that the results need at most.

        Raises:
            ValueError: the table is of another version or of other settings, or the disk has not enough room.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < room:
            raise ValueError(
                f"the results need up to {room / 1e6:.0f} MB, and {path.parent} has {free / 1e6:.0f} MB free; "
                "make room, or name another place with --out"
            )
        beside, now = path.with_suffix(".json"), fingerprint(dict(identity))
        if path.exists() != beside.exists():
            raise ValueError(
                f"{path if beside.exists() else beside} is missing beside {beside if beside.exists() else path}, and "
                "they belong together; bring it back, or move the other one away"
            )
        if path.exists() and (changed := difference(json.loads(beside.read_text()), now)):
            raise ValueError(f"{path} is of another version of this script: {changed}; move it away, or give --out")
        if not path.exists():
            atomic_write(path, lambda file: file.write_text(""))
            atomic_write(beside, lambda file: file.write_text(json.dumps(now, indent=2) + "\n"))
        return Table(path, read(path))

    def cell(self, key: Mapping[str, Any], compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """The rows of this key: those that are there, or newly computed ones, which are written at once."""
        if (found := self.find(key)).height:
            return found
        start = time.perf_counter()
        rows = compute().with_columns(pl.selectors.float().round_sig_figs(DIGITS))
        seconds = round(time.perf_counter() - start, 1)
        named = rows.select(*(pl.lit(value).alias(name) for name, value in key.items()), pl.all())
        with self.lock:
            parts = [self.rows, named.with_columns(pl.lit(seconds).alias("seconds"))]
            self.rows = pl.concat([part for part in parts if part.width], how="diagonal_relaxed")
            atomic_write(self.path, self.rows.write_csv)
        return self.find(key)

    def find(self, key: Mapping[str, Any]) -> pl.DataFrame:
        """The rows of this key that are there."""
        if not self.rows.width or not set(key) <= set(self.rows.columns):
            return pl.DataFrame()
        return self.rows.filter(*(pl.col(name) == value for name, value in key.items()))

    def tell(self, what: str, done: int, total: int) -> None:
        """One line on the way: how many cells are done, and how long it took."""
        print(f"[{done}/{total}] {time.perf_counter() - self.started:.0f} s: {what}", flush=True)

    def close(self, keys: list[str]) -> None:
        """The last line of a script: the hours of all cells, whose columns are ``keys``, and where they are."""
        print(f"{hours(self.rows, keys):.2f} hours in all; written: {self.path}")


def read(path: Path) -> pl.DataFrame:
    """The rows of a table; an empty one has no columns."""
    return pl.read_csv(path, infer_schema_length=None) if path.stat().st_size else pl.DataFrame()


def hours(rows: pl.DataFrame, keys: list[str]) -> float:
    """How long the cells took that a table holds."""
    return float(rows.unique(keys)["seconds"].sum()) / 3600


def show(table: pl.DataFrame) -> None:
    """Print a table whole, as it stands in a Markdown file."""
    with pl.Config(
        tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True, float_precision=3,
    ):  # fmt: skip
        print(table)


def command(main: Callable[[Any], None], kind: type[Options], description: str | None) -> None:
    """Run a script with the options of the command line; what is wrong is told in a line, with exit code 2."""
    first = tyro.cli(kind, description=description)
    quick = tyro.cli(kind, description=description, default=kind(quick=True, **kind.quickly()))
    options = quick if first.quick else first
    try:
        for name, value in asdict(options).items():
            if isinstance(value, int) and not isinstance(value, bool):
                check_integer(f"--{name.replace('_', '-')}", value, minimum=1)
        main(options)
    except (ValueError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the finished cells are kept, and the same command goes on", file=sys.stderr)
        sys.exit(130)


def table_of(options: Options, script: str, version: int, settings: Mapping[str, Any], room: int = 10**7) -> Table:
    """The table of a script: the committed one, or that of --out or of --quick.

    ``settings`` are what changes a cell and is not in its key.
    """
    name = Path(script).stem
    path = options.out or (Path("runs/paper") if options.quick else COMMITTED) / f"{name}.csv"
    return Table.open(path, {"script": name, "version": version, **settings}, room)
