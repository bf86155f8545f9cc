"""Whether two checkouts give the same bits: ``python tests/golden/two_checkouts.py OLD NEW``.

Both run the cases of this folder, on this machine, one after the other; so whatever differs is the code's doing.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import cases
import numpy as np
import rich
import rich.box
import tyro
from rich.table import Table

RECORD = Path(__file__).with_name("record.py")
SHOWN = 4  # names of arrays in a cell of the table


def histories(checkout: Path, folder: Path) -> cases.Arrays:
    """What all cases give with the ``telejax`` of a checkout, run in a process of its own."""
    folder.mkdir()
    paths = [str(checkout.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run([sys.executable, RECORD, "--folder", folder], env=environment, cwd=folder, check=True)
    used = Path(json.loads((folder / "run.json").read_text())["telejax"])
    if used.resolve().parent != checkout.resolve():
        raise ValueError(f"checkout is {str(checkout)!r}, but {used} was imported; give the root of a checkout")
    with np.load(folder / "histories.npz") as file:
        return dict(file)


def compared(old: cases.Arrays, new: cases.Arrays) -> tuple[Table, bool]:
    """A row for each case and width, and whether all arrays of ``old`` are in ``new`` with the same bits."""
    table = Table("case", "arrays", "equal bits", "largest relative difference", "which", box=rich.box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    same = True
    for case, width in cases.RUNS:
        prefix = f"{case}/{width}/"
        before, after = (sorted(key for key in arrays if key.startswith(prefix)) for arrays in (old, new))
        missing, extra = sorted({*before} - {*after}), sorted({*after} - {*before})
        differ = [key for key in before if key in new and not cases.same_bits(old[key], new[key])]
        worst = max((cases.relative_difference(old[key], new[key]) for key in differ), default=0.0)
        told = [
            f"{verb}: {_few([key.removeprefix(prefix) for key in keys])}"
            for verb, keys in (("missing", missing), ("differ", differ), ("new", extra))
            if keys
        ]
        equal = len(before) - len(missing) - len(differ)
        table.add_row(prefix[:-1], str(len(before)), str(equal), f"{worst:.1e}" if differ else "", "; ".join(told))
        same &= not missing and not differ
    return table, same


def _few(names: list[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def two_checkouts(old: Annotated[Path, tyro.conf.Positional], new: Annotated[Path, tyro.conf.Positional]) -> None:
    """Compare the histories of two checkouts; exit with 1 if anything differs or is missing in the new one.

    Args:
        old: the root of a checkout.
        new: the root of another; arrays that only it gives are noted.
    """
    with tempfile.TemporaryDirectory() as folder:
        before, after = (histories(one, Path(folder) / name) for one, name in ((old, "old"), (new, "new")))
    table, same = compared(before, after)
    rich.print(table)
    rich.print("all bits are equal" if same else "[red]the checkouts differ")
    sys.exit(not same)


if __name__ == "__main__":
    tyro.cli(two_checkouts)
