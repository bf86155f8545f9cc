"""Error against bytes: CHOCO-SGD with each compressor, compressed hand-offs, and the same methods uncompressed.

    python experiments/compressed.py

telejax's quadratic with 16 nodes and gradient noise. For each method and target, the bytes that a run needs until the
loss of the nodes' own models is below the target, at the step size and consensus step of the grid that need the fewest
and end below twice the target; mean over seeds, "never" where none of them brings all seeds there.
"""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
import polars as pl
import rich.box
import tyro
from pictures import add_line, legend_beside
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import telejax as tj
from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder

RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 0.6]
CONSENSUS_STEPS = [0.01, 0.03, 0.1, 0.3, 0.6, 1.0]
TARGETS = (0.1, 0.03, 0.01)
"""As shares of the loss at the start."""


@dataclass(frozen=True)
class Options:
    """Compressed methods on a quadratic."""

    nodes: int = 16
    """Number of nodes, on a ring."""
    active: int = 4
    """Active nodes of TELEPORTATION."""
    dim: int = 200
    """Parameters."""
    heterogeneity: float = 1.0
    """zeta."""
    noise: float = 1.0
    """sigma."""
    rounds: int = 2000
    """Rounds of every method."""
    seeds: int = 3
    """Number of seeds."""
    out: Path = Path("runs/compressed")
    """Where to write."""
    force: bool = False
    """Replace --out if it exists."""


def methods(active: int) -> dict[str, tj.Algorithm]:
    """By name, with any step size."""
    sgd, c = tj.optimizer(optax.sgd, learning_rate=0.1), tj.compression
    compressors = {
        "top 1 %": c.top_k(0.01),
        "top 5 %": c.top_k(0.05),
        "top 20 %": c.top_k(0.2),
        "random 5 %": c.random_k(0.05),
        "QSGD, 16 levels": c.qsgd(16),
        "scaled sign": c.scaled_sign(),
        "bfloat16": c.cast(jnp.bfloat16),
    }
    choco = lambda one: tj.choco_sgd(topology="ring", compressor=one, optimizer=sgd)
    teleport = lambda one: tj.teleportation(active=active, topology="ring", hand_off_compressor=one, optimizer=sgd)
    return {
        "DSGD": tj.decentralized_sgd(topology="ring", optimizer=sgd),
        **{f"CHOCO, {name}": choco(one) for name, one in compressors.items()},
        f"TELEPORTATION k={active}": teleport(None),
        f"TELEPORTATION k={active}, hand-off bfloat16": teleport(c.cast(jnp.bfloat16)),
        f"TELEPORTATION k={active}, hand-off QSGD": teleport(c.qsgd(16)),
    }


def run(options: Options, method: tj.Algorithm) -> tj.Result:
    """Every setting and seed."""
    task = tj.tasks.quadratic(
        nodes=options.nodes, dim=options.dim, heterogeneity=options.heterogeneity, noise=options.noise
    )
    steps = {"consensus_step": CONSENSUS_STEPS} if hasattr(method, "consensus_step") else {}
    arguments = {"rounds": options.rounds, "eval_every": max(1, options.rounds // 1000), "seeds": options.seeds}
    try:
        return tj.simulate(method, task, tune={"learning_rate": RATES, **steps}, progress=False, **arguments)
    except tj.DivergenceError as error:
        return error.result


def cheapest(result: tj.Result, target: float) -> dict[str, float] | None:
    """The setting whose seeds reach the target for the fewest bytes, and stay near it, with these bytes, or None."""
    names = result.tuned_columns
    first = result.first("loss_slots", target, x="bytes")
    needs = first.group_by(names).agg(pl.col("bytes").mean(), pl.col("bytes").is_null().any().alias("never"))
    last = result.history.filter(pl.col("round") == result.rounds)
    stays = last.group_by(names).agg((pl.col("loss_slots") < 2 * target).fill_null(False).all().alias("stays"))
    needs = needs.join(stays, on=names).filter(~pl.col("never"), "stays").sort("bytes")
    return None if needs.is_empty() else needs.select(*names, "bytes").row(0, named=True)


def main(options: Options) -> None:
    for name in ("nodes", "active", "dim", "seeds", "rounds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out, options.force)
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("method", min_width=22)
    for column in (*(f"MB to\n{target:g}" for target in TARGETS), "step\nsize", "consensus\nstep"):
        table.add_column(column, justify="right")
    frames, shown = [], {}
    for name, method in tqdm(methods(options.active).items(), desc="compressed"):
        result = run(options, method)
        start = result.history["loss_slots"][0]
        found = [cheapest(result, target * start) for target in TARGETS]
        cells = ["never" if one is None else f"{one['bytes'] / 1e6:.3g}" for one in found]
        last = next((one for one in reversed(found) if one), {})
        table.add_row(name, *cells, f"{last.get('learning_rate', '')}", f"{last.get('consensus_step', '')}")
        frames.append(result.history.with_columns(pl.lit(name).alias("method")))
        setting = {key: value for key, value in last.items() if key != "bytes"}
        if setting:
            shown[name] = result.history.filter(*(pl.col(key) == value for key, value in setting.items()))
    Console(width=80).print(table)
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for number, (name, history) in enumerate(shown.items()):
        style = "-" if name.startswith("CHOCO") else "--"
        add_line(axes, number, name, history, "loss_slots", "bytes", linestyle=style)
    axes.set(xscale="log", ylabel="mean over nodes of f(own model) - f*")
    legend_beside(figure, axes)
    with new_folder(options.out, options.force) as folder:
        pl.concat(frames, how="diagonal_relaxed").write_parquet(folder / "compressed.parquet")
        figure.savefig(folder / "compressed.png", dpi=120)
    print(f"Written: {options.out}/compressed.parquet and compressed.png")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
