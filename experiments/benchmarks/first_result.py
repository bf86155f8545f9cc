"""How long a fresh process takes to its first result, against one that imports the same libraries and compiles once.

    python experiments/benchmarks/first_result.py

Whole processes, in turn, the shortest of each, their bytecode written before as of an installed package. A first run
traces and compiles its program; with programs kept from an earlier process (``JAX_COMPILATION_CACHE_DIR``, as the
command line does) it reads them.
"""

import os
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

REPEATS = 10
BARE = """
import jax, optax, polars
jax.jit(lambda x: x + 1)(1.0).block_until_ready()
"""
RUN = """
import optax, telejax as tj
optimizer = tj.optimizer(optax.sgd, learning_rate=0.1)
task = tj.tasks.quadratic(nodes=64, dim=50, noise=1.0)
tj.simulate({method}, task, rounds=200, eval_every=20, progress=False)
"""
METHODS = {
    "DSGD, n = 64": 'tj.decentralized_sgd(topology="ring", optimizer=optimizer)',
    "TELEPORTATION, 8 of 64": 'tj.teleportation(active=8, topology="ring", optimizer=optimizer)',
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
        kept = {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        processes: dict[str, tuple[str, dict[str, str]]] = {"jax, optax, polars and one jit": (BARE, bytecode)}
        for name, method in METHODS.items():
            processes[name] = RUN.format(method=method), bytecode
        for name, method in METHODS.items():
            processes[f"{name}, programs kept"] = RUN.format(method=method), bytecode | kept
        for script, variables in processes.values():
            seconds(script, variables)  # files into memory, programs into the folder
        times = {name: [] for name in processes}
        for _ in range(REPEATS):
            for name, process in processes.items():
                times[name].append(seconds(*process))
    bare = min(next(iter(times.values())))
    table = Table("process", "seconds", "times bare", title="From nothing to the first result")
    for name, taken in times.items():
        table.add_row(name, f"{min(taken):.2f}", f"{min(taken) / bare:.1f}")
    Console().print(table)


def seconds(script: str, variables: dict[str, str]) -> float:
    """How long a process of this script takes, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | variables)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
