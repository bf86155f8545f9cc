"""Histories of finished runs, kept in a folder so that a killed experiment goes on, and the time that is left."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from telejax.results.files import atomic_write
from telejax.simulation.fingerprint import difference


class KeptRuns:
    """A folder of runs of one kind: ``identity`` tells what they are, and runs of another kind are refused."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, told = folder, folder / "settings.json"
        folder.mkdir(parents=True, exist_ok=True)
        if told.exists() and (changed := difference(json.loads(told.read_text()), identity)):
            raise ValueError(f"{folder} holds runs of other settings: {changed}; choose another --out, or delete it")
        atomic_write(told, lambda path: path.write_text(json.dumps(identity, indent=2) + "\n"))

    def has(self, name: str) -> bool:
        """Whether the run of this name is finished."""
        return self._path(name).exists()

    def run(self, name: str, compute: Callable[[], pl.DataFrame]) -> tuple[pl.DataFrame, bool]:
        """The history of this name, and whether it had to be computed."""
        path = self._path(name)
        if path.exists():
            return pl.read_parquet(path), False
        history = compute()
        atomic_write(path, history.write_parquet)
        return history, True

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '-').replace(':', '-')}.parquet"


class Progress:
    """Tells after each run how many are done and about how long the rest takes, in proportion to gradients."""

    def __init__(self, gradients: int, runs: int) -> None:
        self.gradients, self.runs = gradients, runs
        self.done = self.computed = self.left = 0
        self.left = gradients
        self.start, self.lock = time.perf_counter(), threading.Lock()

    def tell(self, what: str, gradients: int, computed: bool) -> None:
        """One run is done; runs that were found kept took no time."""
        with self.lock:
            self.done += 1
            self.left -= gradients
            self.computed += gradients * computed
            elapsed = time.perf_counter() - self.start
            left = f", about {elapsed * self.left / self.computed:.0f} s left" if self.computed else ""
            kept = "" if computed else " (kept from before)"
            print(f"[{self.done}/{self.runs}] {elapsed:.0f} s{left}: {what}{kept}", flush=True)
