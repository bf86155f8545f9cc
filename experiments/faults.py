"""Final accuracy and time to a target against faults: lost messages, absent nodes, stragglers.

    python experiments/faults.py                # n = 100, the digits: an hour on two cores; resumes
    python experiments/faults.py --quick        # minutes

DSGD, TELEPORTATION, FedAvg, one token and gradient tracking on the digits, dealt over n nodes by Dirichlet(alpha).
Links take 10 ms and a megabyte a second, also to the server; a gradient takes 10 ms, at stragglers ten times as long.
Each method takes, at each fault, the step size of one grid with the lowest held-out loss of the slots' own models over
all seeds. The numbers of a fault are one program. Then TELEPORTATION on the quadratic with a million nodes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optax
import polars as pl
import tyro
from kept_runs import KeptRuns
from pictures import add_line, legend_beside
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder
from telejax.simulation.fingerprint import fingerprint

links, machines, presence = tj.network.links, tj.network.machines, tj.network.presence
MILLION = 10**6
EPOCH = 10  # rounds for which a node is away


@dataclass(frozen=True)
class Options:
    """Faults on the digits, and at a million nodes."""

    nodes: int = 100
    active: int = 8
    """Active nodes of TELEPORTATION, clients of FedAvg."""
    alpha: float = 1.0
    rounds: int = 600
    seeds: int = 3
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    shares: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5)
    """Of messages lost and of nodes away."""
    slow: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    """Shares of stragglers."""
    target: float = 0.9
    """Accuracy of the slots' own models whose time is told."""
    million_rounds: int = 1000
    out: Path = Path("runs/faults")
    force: bool = False
    """Replace the tables and the picture; finished runs are kept."""
    quick: bool = False
    """100 rounds, one seed, three step sizes."""


def methods(active: int) -> dict[str, tj.Algorithm]:
    sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    return {
        "DSGD ring": tj.decentralized_sgd(topology="ring", optimizer=sgd),
        "DSGD exponential": tj.decentralized_sgd(topology="exponential", optimizer=sgd),
        "gradient tracking ring": tj.gradient_tracking(topology="ring", optimizer=sgd),
        f"TELEPORTATION ring k={active}": tj.teleportation(active=active, topology="ring", optimizer=sgd),
        f"FedAvg k={active}": tj.fedavg(clients=active, optimizer=sgd),
        "one token": tj.random_walk(optimizer=sgd),
    }


def world(**parts: Any) -> tj.Network:
    """A network with clocks."""
    peers = links.uniform(latency=0.01, bandwidth=1e6)
    usual = {"links": links.server(0.01, 1e6, peers=peers), "machines": machines.constant(0.01)}
    return tj.Network(**{**usual, **parts})


@dataclass(frozen=True)
class Fault:
    """One kind of fault: the network that has it, and the number that says how much of it."""

    column: str
    network: tj.Network
    values: tuple[float, ...]


def faults(options: Options) -> dict[str, Fault]:
    away = presence.epochs(away=0.0, length=EPOCH, limit=10**6)
    slow = world(machines=machines.stragglers(0.01, share=0.0, slowdown=10.0))
    return {
        "messages lost": Fault("network.loss", world(loss=0.0), options.shares),
        "nodes away": Fault("network.presence.away", world(presence=away), options.shares),
        "messages lost, a tenth of the nodes away": Fault(
            "network.loss", world(loss=0.0, presence=replace(away, away=0.1)), options.shares
        ),
        "stragglers": Fault("network.machines.share", slow, options.slow),
    }


def run_all(task: Any, options: Options, kept: KeptRuns) -> dict[str, dict[str, pl.DataFrame]]:
    """For each fault and method the histories of all its numbers, step sizes and seeds."""
    found: dict[str, dict[str, pl.DataFrame]] = {}
    all_methods = methods(options.active)
    total, done, start = len(all_methods) * len(faults(options)), 0, time.perf_counter()
    for kind, fault in faults(options).items():
        for name, algorithm in all_methods.items():
            compute: Callable[[], pl.DataFrame] = lambda algorithm=algorithm, fault=fault: tj.simulate(
                algorithm,
                task,
                rounds=options.rounds,
                eval_every=max(1, options.rounds // 20),
                seeds=options.seeds,
                tune={"learning_rate": list(options.learning_rates), fault.column: list(fault.values)},
                network=fault.network,
                progress=False,
            ).history.rename({fault.column: "share"})
            history, _ = kept.run(f"{kind}-{name}", compute)
            found.setdefault(kind, {})[name] = history
            done += 1
            print(f"[{done}/{total}] {time.perf_counter() - start:.0f} s: {kind}, {name}", flush=True)
    return found


def best_of(history: pl.DataFrame) -> pl.DataFrame:
    """For each share the runs of its best step size: no seed diverged, the lowest mean held-out loss at the end."""
    last = history.filter(pl.col("round") == pl.col("round").max())
    scores = last.group_by("share", "learning_rate").agg(
        pl.col("diverged").any(), pl.col("validation_loss_slots").fill_nan(None).mean().alias("score")
    )
    chosen = scores.sort("diverged", "score", nulls_last=True).group_by("share").first()
    return history.join(chosen.select("share", "learning_rate"), on=["share", "learning_rate"], nulls_equal=True)


def tell(kind: str, histories: dict[str, pl.DataFrame], options: Options) -> Table:
    """Accuracy at the end and seconds to the target, a column a share."""
    title = f"{kind}: slots' accuracy at the end (mean ± deviation); seconds to {options.target:g}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("method")
    shares = sorted(next(iter(histories.values()))["share"].unique().to_list())
    for share in shares:
        table.add_column(f"{share:.0%}", justify="right")
    for name, history in histories.items():
        best, cells = best_of(history), []
        for share in shares:
            rows = best.filter(share=share)
            ends = rows.filter(pl.col("round") == pl.col("round").max())["accuracy_slots"]
            there = rows.group_by("seed").agg(
                pl.col("time").filter(pl.col("accuracy_slots") >= options.target).min().alias("when")
            )["when"]
            when = f"{there.mean():.0f} s" if there.null_count() == 0 else f"{len(there) - there.null_count()} there"
            cells.append(f"{ends.mean():.3f} ± {ends.std() or 0:.3f}\n{when}")
        table.add_row(name, *cells)
    return table


def at_a_million(options: Options) -> Table:
    """The loss of TELEPORTATION after so many rounds, with each fault, at its best step size."""
    task = tj.tasks.quadratic(nodes=MILLION, dim=50, heterogeneity=1.0, noise=1.0)
    title = (
        f"TELEPORTATION ring k={options.active}, n = 10^6: loss after {options.million_rounds} rounds, best step size"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("fault")
    for share in options.shares:
        table.add_column(f"{share:.0%}", justify="right")
    few = {name: fault for name, fault in faults(options).items() if name in ("messages lost", "nodes away")}
    algorithm = methods(options.active)[f"TELEPORTATION ring k={options.active}"]
    for name, fault in few.items():
        history = tj.simulate(
            algorithm,
            task,
            rounds=options.million_rounds,
            seeds=options.seeds,
            tune={"learning_rate": [0.003, 0.01, 0.03, 0.1], fault.column: list(fault.values)},
            network=fault.network,
            progress=False,
        ).history
        last = history.filter(pl.col("round") == pl.col("round").max())
        means = last.group_by(fault.column, "learning_rate").agg(pl.col("loss").mean(), pl.col("loss").std().alias("±"))
        rows = [means.filter(pl.col(fault.column) == share).sort("loss").row(0, named=True) for share in fault.values]
        table.add_row(name, *(f"{row['loss']:.4f} ± {row['±'] or 0:.4f}" for row in rows))
    return table


def draw(found: dict[str, dict[str, pl.DataFrame]]) -> Any:
    """Accuracy at the end against each fault."""
    rows = -(-len(found) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(12, 3.5 * rows), layout="constrained", sharey=True, squeeze=False)
    for axes, (kind, histories) in zip(grid.flat, found.items(), strict=False):
        for number, (name, history) in enumerate(histories.items()):
            best = best_of(history)
            last = best.filter(pl.col("round") == pl.col("round").max()).sort("share")
            shown = last.with_columns(pl.col("share").alias("round")).drop("share", "learning_rate")
            add_line(axes, 2 * number, name, shown, "accuracy_slots")
        axes.set(xlabel=f"share: {kind}")
    legend_beside(figure, grid[0, 0])
    return figure


def main(options: Options) -> None:
    if options.quick:
        options = replace(options, rounds=100, seeds=1, learning_rates=(0.03, 0.1, 0.3), million_rounds=200)
    for name in ("nodes", "active", "rounds", "seeds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out / "tables", options.force)
    start, console = time.perf_counter(), Console()
    task = tj.tasks.classification(tj.data.digits(), nodes=options.nodes, alpha=options.alpha, batch=8)
    numbers = {
        name: getattr(options, name) for name in ("rounds", "seeds", "learning_rates", "shares", "slow", "active")
    }
    found = run_all(task, options, KeptRuns(options.out / "runs", fingerprint({**numbers, "task": task})))
    for kind, histories in found.items():
        console.print(tell(kind, histories, options))
    console.print(at_a_million(options))
    with new_folder(options.out / "tables", options.force) as folder:
        for kind, histories in found.items():
            named = [history.select(pl.lit(name).alias("method"), pl.all()) for name, history in histories.items()]
            pl.concat(named).write_parquet(folder / f"{kind.replace(', ', '-').replace(' ', '_')}.parquet")
        draw(found).savefig(folder / "faults.png", dpi=110)
    print(f"{time.perf_counter() - start:.0f} seconds; written: {options.out / 'tables'}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
