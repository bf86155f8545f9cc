"""Who is active: TELEPORTATION under each rule of activation, on the digits dealt unevenly over n nodes.

    python experiments/activation.py        # five minutes on one core

A fifth of the machines computes ten times as long as the others. Each rule takes the step size of one grid with the
lowest held-out loss of the slots' own models at the end. Told are accuracies at the end, the seconds to a target, how
unevenly the work is shared, and what a round of the simulation costs against that of the uniform rule.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optax
import polars as pl
import tyro
from pictures import add_line, legend_beside
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder

rules, machines, links = tj.network.activation, tj.network.machines, tj.network.links


@dataclass(frozen=True)
class Options:
    """The rules of activation on the digits."""

    nodes: int = 100
    active: int = 8
    alpha: float = 0.1
    rounds: int = 600
    seeds: int = 3
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    target: float = 0.9
    out: Path = Path("runs/activation")
    force: bool = False
    """Replace --out if it exists."""


def networks() -> dict[str, tj.Network]:
    world = {"machines": machines.stragglers(0.01, share=0.2, slowdown=10.0), "links": links.uniform(0.01, 1e6)}
    all_rules = {
        "uniform": None,
        "shuffled epochs": rules.shuffled_epochs(),
        "at most in a tenth of the rounds": rules.duty(0.1),
        "by speed": rules.weighted("speed"),
        "by speed, corrected": rules.weighted("speed", correct=True),
        "adaptive": rules.adaptive(),
    }
    return {name: tj.Network(**world, activation=rule) for name, rule in all_rules.items()}


def main(options: Options) -> None:
    for name in ("nodes", "active", "rounds", "seeds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out, options.force)
    task = tj.tasks.classification(tj.data.digits(), nodes=options.nodes, alpha=options.alpha, batch=8)
    algorithm = tj.teleportation(
        active=options.active, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)
    )
    title = f"TELEPORTATION ring k={options.active}, n = {options.nodes}, alpha = {options.alpha:g}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    columns = ("step size", "slots' accuracy", "worst slot", f"seconds to {options.target:g}", "Gini of work", "cost")
    table.add_column("rule")
    for column in columns:
        table.add_column(column, justify="right")
    best, first = {}, 0.0
    for name, network in networks().items():
        found = tj.simulate(
            algorithm,
            task,
            rounds=options.rounds,
            eval_every=max(1, options.rounds // 40),
            seeds=options.seeds,
            tune=list(options.learning_rates),
            network=network,
            load=True,
            progress=False,
        )
        cost = seconds_a_round(algorithm, task, network)
        first = first or cost
        unevenness = found.load(summary=True).filter(load="active")["gini"].mean()
        best[name] = found.tuned()
        row = told(best[name], options.target)
        table.add_row(name, *row, f"{unevenness:.2f}", f"{cost / first:.2f}")
        print(f"{name}: {found.tuned().config['tuned']}", flush=True)
    Console().print(table)
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for number, (name, run) in enumerate(best.items()):
        add_line(axes, 2 * number, name, run.history, "accuracy_slots")
    legend_beside(figure, axes)
    with new_folder(options.out, options.force) as folder:
        named = [run.history.select(pl.lit(name).alias("rule"), pl.all()) for name, run in best.items()]
        pl.concat(named, how="diagonal_relaxed").write_parquet(folder / "activation.parquet")
        figure.savefig(folder / "activation.png", dpi=110)
    print(f"Written: {options.out}")


def told(run: tj.Result, target: float) -> list[str]:
    """Step size, accuracies and time to the target: mean ± deviation over seeds."""
    last = run.final()
    there = run.first("accuracy_slots", target, x="time")["time"]
    spread = f"{there.mean():.0f} ± {there.std() or 0:.0f}" if not there.null_count() else "-"
    shown = [f"{last[name].mean():.3f} ± {last[name].std() or 0:.3f}" for name in ("accuracy_slots", "accuracy_worst")]
    return [f"{last['learning_rate'][0]:g}", *shown, spread]


def seconds_a_round(algorithm: Any, task: Any, network: tj.Network, rounds: int = 400) -> float:
    """Of the simulation itself, without compiling and evaluating."""

    def once(length: int) -> float:
        run = lambda: tj.simulate(algorithm, task, rounds=length, eval_every=length, network=network, progress=False)
        run()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    return (once(2 * rounds) - once(rounds)) / rounds


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
