"""One round of Decentralized SGD on the same problem in telejax, NumPy and decent-bench.

    python experiments/benchmarks/peers.py

Every node has a quadratic with a dense d x d Hessian, f_i(x) = x^T A_i x / 2 + b_i^T x, d = 50, float32, on a ring
with weights 1/3, full gradients, step size 0.05: x_i <- sum_j W_ij (x_j - eta grad f_j(x_j)). All three run the
same rounds from zero and their final models are compared. Set-up, compilation and evaluation are not timed.
NumPy steps all nodes at once (batched matrix products, neighbours gathered). decent-bench is a framework for
comparing algorithms under realistic constraints, with an object a node; it runs its own ATC algorithm with its
NumPy backend, and records states only at the end, which is faster than its default of every round.

decent-bench 0.3.0 needs Python 3.13; where --decent-bench-python has none, its rows are left out:

    python3.13 -m venv .venv-peers && .venv-peers/bin/pip install decent-bench==0.3.0
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj

DIM, STEP = 50, 0.05
ROUNDS = {10: 2000, 100: 400, 1000: 40}


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


def with_decent_bench(python: Path, hessians: np.ndarray, linear: np.ndarray, rounds: int) -> tuple[float, np.ndarray]:
    """Seconds and final models, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "problem.npz", hessians=hessians, linear=linear)
        worker = Path(__file__).with_name("decent_bench_worker.py")
        command = [str(python), str(worker), folder, str(rounds), str(STEP)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["seconds"]), np.load(Path(folder) / "models.npy")


def main(decent_bench_python: Path = Path(".venv-peers/bin/python")) -> None:
    """Compare the systems.

    Args:
        decent_bench_python: the interpreter of an environment with decent-bench 0.3.0.
    """
    has_peer = decent_bench_python.exists()
    table = Table("n", "system", "ms a round", "times telejax", "difference", title=f"DSGD on a ring, d = {DIM}")
    for nodes, rounds in ROUNDS.items():
        hessians, linear = problem(nodes)
        task = DenseQuadratic(nodes, jnp.asarray(hessians), jnp.asarray(linear))
        algorithm = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=STEP))

        def with_telejax(algorithm=algorithm, task=task, rounds=rounds) -> jax.Array:
            return tj.simulate(algorithm, task, rounds=rounds, eval_every=rounds, progress=False).state.params

        runs = {"telejax": with_telejax, "NumPy": lambda h=hessians, b=linear, r=rounds: with_numpy(h, b, r)}
        times = interleaved(runs)
        models = {name: np.asarray(run()) for name, run in runs.items()}
        if has_peer:
            times["decent-bench"], models["decent-bench"] = with_decent_bench(
                decent_bench_python, hessians, linear, rounds
            )
        for name, time in times.items():
            table.add_row(
                str(nodes),
                name,
                f"{time / rounds * 1e3:.3f}",
                f"{time / times['telejax']:.1f}",
                f"{np.abs(models[name] - models['telejax']).max():.0e}",
            )
    console = Console()
    console.print(table)
    if not has_peer:
        console.print(f"decent-bench skipped: no interpreter at {decent_bench_python}; see --help", soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main)
