"""Write what every case gives: ``python tests/golden/record.py``, only where a change is meant to change results.

``histories.npz`` holds the arrays by case/width/array, ``record.json`` where they were recorded.
"""

import json
import time
from pathlib import Path

import cases
import numpy as np
import tyro
from rich.progress import track

import telejax

HERE = Path(__file__).parent


def record(folder: Path = HERE) -> None:
    """Run all cases and write ``histories.npz``, ``record.json`` and, in another folder, ``run.json``."""
    arrays, seconds = {}, {}
    for name, width in track(cases.RUNS, transient=True):
        start = time.process_time()
        arrays |= cases.arrays_of(name, width)
        seconds[f"{name}/{width}"] = round(time.process_time() - start, 2)
    np.savez_compressed(folder / "histories.npz", **arrays)
    (folder / "record.json").write_text(json.dumps(cases.machine(), indent=2) + "\n")
    if folder != HERE:
        told = {"telejax": telejax.__path__[0], "seconds": seconds}
        (folder / "run.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(record)
