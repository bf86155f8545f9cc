"""One round of every method that telejax shares with decent-bench, on the same problem; DSGD against NumPy too.

    python experiments/benchmarks/peers.py

Every node has a quadratic with a dense d x d Hessian, f_i(x) = x^T A_i x / 2 + b_i^T x, d = 50, on a ring with weights
1/3, or with all nodes as clients of a server; full gradients, step size 0.05, from zero. All run the same rounds, and
their final models are compared. Set-up, compilation and evaluation are not timed. telejax and NumPy (DSGD, with batched
matrix products) compute in float32, decent-bench in float64, which takes it hardly longer: its time is that of Python.
decent-bench is a framework for comparing algorithms under realistic constraints, with an object a node; it runs its own
algorithms with its NumPy backend, and records states only at the end, which is faster than its default of every round.

decent-bench 0.3.0 needs Python 3.13; where --decent-bench-python has none, its rows are left out:

    python3.13 -m venv .venv-peers && .venv-peers/bin/pip install decent-bench==0.3.0
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from peer_methods import PEERS, STEP, Peer
from rich.console import Console
from rich.table import Table
from timing import interleaved, seconds

import telejax as tj

DIM = 50
ROUNDS = {10: 10_000, 100: 2000, 1000: 200}
FEW = 20
"""Rounds of decent-bench, and of the models that are compared with its."""


@jax.custom_vjp
def quadratic_form(hessian: jax.Array, x: jax.Array) -> jax.Array:
    """x^T A x / 2 for a symmetric A that is not trained: its gradient is one product A x, as in the other systems."""
    return 0.5 * x @ hessian @ x


quadratic_form.defvjp(
    lambda hessian, x: (0.5 * x @ (product := hessian @ x), product),
    lambda product, cotangent: (None, cotangent * product),
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DenseQuadratic:
    """f_i(x) = x^T A_i x / 2 + b_i^T x."""

    nodes: int = field(metadata={"static": True})
    hessians: jax.Array
    linear: jax.Array

    def init(self, key: Any) -> jax.Array:
        return jnp.zeros(self.linear.shape[1])

    def loss(self, params: jax.Array, node: Any, key: Any) -> jax.Array:
        return quadratic_form(self.hessians[node], params) + self.linear[node] @ params

    def evaluate(self, params: jax.Array) -> dict[str, jax.Array]:
        mean = jnp.mean(self.hessians, axis=0)
        return {"loss": 0.5 * params @ mean @ params + jnp.mean(self.linear, axis=0) @ params}


def problem(nodes: int, dim: int = DIM) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric positive definite Hessians (nodes, d, d) with eigenvalues around 1, and linear terms (nodes, d)."""
    random = np.random.default_rng(nodes)
    factors = random.normal(size=(nodes, dim, dim)) / np.sqrt(dim)
    hessians = factors @ factors.transpose(0, 2, 1)
    return hessians.astype(np.float32), random.normal(size=(nodes, dim)).astype(np.float32)


def with_numpy(hessians: np.ndarray, linear: np.ndarray, rounds: int) -> np.ndarray:
    nodes = len(linear)
    left, right = np.roll(np.arange(nodes), 1), np.roll(np.arange(nodes), -1)
    step, third = np.float32(STEP), np.float32(1 / 3)
    x = np.zeros_like(linear)
    for _ in range(rounds):
        x = x - step * ((hessians @ x[:, :, None])[:, :, 0] + linear)
        x = third * (x + x[left] + x[right])
    return x


def with_decent_bench(
    python: Path, peers: Sequence[Peer], hessians: np.ndarray, linear: np.ndarray, rounds: int
) -> tuple[list[float], np.ndarray]:
    """Seconds of each method, and final models (methods, nodes, dim), from a process of its own."""
    methods = [
        {
            "theirs": peer.theirs,
            "arguments": {"step_size": STEP, **peer.arguments},
            "federated": peer.federated,
            "rounds": rounds,
        }
        for peer in peers
    ]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "problem.npz", hessians=hessians, linear=linear)
        (Path(folder) / "methods.json").write_text(json.dumps(methods))
        worker = Path(__file__).with_name("decent_bench_worker.py")
        command = [str(python), str(worker), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout), np.load(Path(folder) / "models.npy")


def with_telejax(peer: Peer, task: DenseQuadratic, rounds: int) -> jax.Array:
    """The final models, (nodes, dim)."""
    algorithm = peer.make(task.nodes)
    return tj.simulate(algorithm, task, rounds=rounds, eval_every=rounds, progress=False).state.params


def seconds_a_round(peer: Peer, task: DenseQuadratic, rounds: int) -> float:
    """Without what a run costs whatever its length: two lengths are compared."""
    times = interleaved({str(r): partial(with_telejax, peer, task, r) for r in (rounds, 2 * rounds)})
    short, long = times.values()
    return (long - short) / rounds


def main(decent_bench_python: Path = Path(".venv-peers/bin/python"), nodes: tuple[int, ...] = (10, 100, 1000)) -> None:
    """Compare the systems.

    Args:
        decent_bench_python: the interpreter of an environment with decent-bench 0.3.0.
        nodes: how many.
    """
    has_peer = decent_bench_python.exists()
    console = Console()
    for count in nodes:
        hessians, linear = problem(count)
        task = DenseQuadratic(count, jnp.asarray(hessians), jnp.asarray(linear))
        theirs, models = [float("nan")] * len(PEERS), None
        if has_peer:
            theirs, models = with_decent_bench(decent_bench_python, PEERS, hessians, linear, FEW)
        table = Table(title=f"n = {count}, d = {DIM}, ms a round")
        for column in ("method", "telejax", "NumPy", "decent-bench", "times", "difference"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for place, peer in enumerate(PEERS):
            ours = seconds_a_round(peer, task, ROUNDS[count])
            numpy, difference = "", ""
            if peer.theirs == "ATC":
                numpy = f"{seconds(with_numpy, hessians, linear, ROUNDS[count]) / ROUNDS[count] * 1e3:.3f}"
            if models is not None and peer.same:
                difference = f"{np.abs(models[place] - np.asarray(with_telejax(peer, task, FEW))).max():.0e}"
            told = theirs[place] / FEW
            table.add_row(
                peer.name,
                f"{ours * 1e3:.4f}",
                numpy,
                f"{told * 1e3:.2f}" if has_peer else "",
                f"{told / ours:.0f}" if has_peer else "",
                difference,
            )
        console.print(table)
    if not has_peer:
        console.print(f"decent-bench skipped: no interpreter at {decent_bench_python}; see --help", soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main)
