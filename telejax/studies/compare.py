"""Several methods on one task: the step size tuned for each over the same grid, several seeds, one table."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import rich.box
from rich.table import Table

from telejax.algorithms.base import Algorithm
from telejax.backend.threads import in_threads
from telejax.errors import DivergenceError, check_integer, check_list, check_name, check_target
from telejax.network import IDEAL, Network
from telejax.results.files import new_folder, write_picture
from telejax.results.report.reported import Reported
from telejax.results.result import Result, mean_and_spread
from telejax.simulation.arguments import check_algorithm, check_network
from telejax.simulation.fingerprint import fingerprint
from telejax.simulation.simulate import Study, simulate
from telejax.simulation.task_checks import check_task, check_task_members, metric_columns
from telejax.simulation.tuning import Tune, meant, numbers, resolve
from telejax.tasks.base import Task

if TYPE_CHECKING:
    import matplotlib.figure

    from telejax.results.report.subject import Subject

LEARNING_RATES = (0.1, 0.25, 0.6, 1.5, 4.0)
METHODS_AT_ONCE = 2
COLUMNS = "give a list of columns, such as ['loss']"


@dataclass(frozen=True)
class Comparison(Reported):
    """The outcome of :func:`compare`."""

    runs: dict[str, Result]
    """Method to the result with all its step sizes."""
    config: dict[str, Any]
    """What was compared, in plain values."""
    target_metric: str
    target: float

    @property
    def tuned(self) -> dict[str, Result]:
        """Method to the result with its best step size alone."""
        return {name: run.tuned() for name, run in self.runs.items()}

    def history(self) -> pl.DataFrame:
        """All rows of all methods, with the columns ``method`` and ``tuned`` (whether its step size was chosen)."""
        frames = []
        for name, run in self.runs.items():
            best = run.tuned().settings[0]
            chosen = pl.all_horizontal(pl.col(one).eq_missing(value) for one, value in best.items()).alias("tuned")
            frames.append(run.history.select(pl.lit(name).alias("method"), pl.all(), chosen))
        return pl.concat(frames, how="diagonal_relaxed")

    def table(self) -> pl.DataFrame:
        """One row a method at its tuned step size: mean and standard deviation over seeds of the last row.

        ``rounds_to_target`` averages the seeds that reached the target, as does ``time_to_target`` (simulated seconds)
        on a network with clocks; ``reached`` counts them.
        """
        rows = []
        for name, run in self.tuned.items():
            rounds = run.rounds_to(self.target, self.target_metric)["rounds"]
            summary = run.summary().drop("active", "group").row(0, named=True)
            reached = {"rounds_to_target": rounds.mean(), "rounds_to_target_std": rounds.std()}
            if "time" in run.history.columns:
                seconds = run.first(self.target_metric, self.target, x="time")["time"]
                reached |= {"time_to_target": seconds.mean(), "time_to_target_std": seconds.std()}
            rows.append({"method": name, **summary, **reached, "reached": rounds.count()})
        return pl.DataFrame(rows, infer_schema_length=None)

    def plot(self, metrics: Sequence[str] | None = None) -> "matplotlib.figure.Figure":
        """The tuned runs, one row a metric: against rounds, gradients and, where the network has clocks, seconds."""
        import matplotlib.pyplot as plt

        from telejax.results.plots import plot_histories

        histories = {name: run.history for name, run in self.tuned.items()}
        columns = set.intersection(*(set(table.columns) for table in histories.values()))
        if metrics is None:
            metrics = ["accuracy", "accuracy_slots"] if "accuracy" in columns else ["loss", "loss_slots"]
        metrics = [check_name("column", name, columns) for name in check_list("metrics", metrics, COLUMNS)]
        if not metrics:
            raise ValueError(f"metrics is empty; {COLUMNS}")
        along = [x for x in ("round", "gradients", "time") if x in columns]
        figure, grid = plt.subplots(
            len(metrics),
            len(along),
            figsize=(5.5 * len(along), 3.6 * len(metrics)),
            layout="constrained",
            sharey="row",
            squeeze=False,
        )
        for metric, row in zip(metrics, grid, strict=True):
            for x, axes in zip(along, row, strict=True):
                plot_histories(histories, metric, x, axes)
                axes.get_legend().remove()
            for axes in row[1:]:
                axes.set_ylabel("")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), fontsize="small")
        return figure

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write history.parquet and config.json into a new folder, all or nothing, then comparison.png.

        A picture that cannot be drawn or written is a warning; the data are kept.

        Raises:
            ValueError: a path that is never replaced: empty, the working or home directory, a parent of these.
            FileExistsError: the folder exists and ``overwrite`` is False or it holds what telejax did not write; or
                the path is a file or a symbolic link.
            OSError: the folder cannot be written; what was there before is kept.
        """
        with new_folder(path, overwrite, later=["comparison.png"]) as folder:
            self.history().write_parquet(folder / "history.parquet")
            (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")
        write_picture(Path(path) / "comparison.png", self._picture, kept=["history.parquet", "config.json"])
        return Path(path)

    def _subject(self) -> "Subject":
        from telejax.results.report.subject import of_comparison

        return of_comparison(self.history(), self.config)

    def _picture(self) -> bytes:
        from telejax.results.plots import figure_png

        return figure_png(self.plot().axes[0], dpi=150)

    def __rich__(self) -> Table:
        accuracy = self.target_metric == "accuracy"
        shown = ["accuracy", "accuracy_slots", "accuracy_worst"] if accuracy else ["loss", "loss_slots", "consensus"]
        titles = (
            ["mean\nmodel", "slots'\nmean", "worst\nslot"] if accuracy else ["loss", "slots'\nloss", "consen-\nsus"]
        )
        goal = f"{self.target:.0%}" if accuracy else f"{self.target:.2g}"
        seeds = "1 seed" if self.config["seeds"] == 1 else f"{self.config['seeds']} seeds"
        table = Table(
            title=f"{self.config['title']}, {seeds}: mean ± standard deviation",
            title_justify="left",
            box=rich.box.SIMPLE_HEAD,
            pad_edge=False,
            show_edge=False,
            padding=(0, 1, 0, 0),
        )
        table.add_column("method", min_width=9, overflow="fold")
        table_of_runs = self.table()
        timed = "time" in table_of_runs.columns  # in the place of messages, of which MB tell
        counted, called = ("time", "sec-\nonds") if timed else ("messages", "mes-\nsages")
        for title in ("step\nsize", *titles, f"rounds\nto {goal}", "gra-\ndients", called, "MB"):
            table.add_column(title, justify="right", no_wrap=True)
        others = [name for name in self.config["tune"] or {} if name != "learning_rate"]
        for row in table_of_runs.iter_rows(named=True):
            own = [name for name in others if row[name] is not None]
            table.add_row(
                row["method"] + (" (diverged)" if row["diverged"] else ""),
                "\n".join([mean_and_spread(row["learning_rate"]), *(f"{name} {row[name]:g}" for name in own)]),
                *(mean_and_spread(row[name], row[f"{name}_std"], digits=3, join="\n") for name in shown),
                self._rounds_to_target(row),
                f"{row['gradients']:,.0f}",
                f"{row[counted]:,.{0 if row[counted] >= 10 or not timed else 2}f}",
                _megabytes(row["bytes"]),
            )
        return table

    def _rounds_to_target(self, row: dict[str, Any]) -> str:
        if not row["reached"]:
            return "never"
        rounds = mean_and_spread(row["rounds_to_target"], row["rounds_to_target_std"], digits=4, join="\n")
        return rounds if row["reached"] == row["runs"] else f"{rounds}\n{row['reached']} of {row['runs']}"

    def at_edge(self) -> list[str]:
        """Methods whose best step size is the smallest or the largest of several, so that a wider grid may help."""
        rates = self.config["tune"].get("learning_rate", [])
        if len(rates) < 2:
            return []
        return [
            name
            for name, run in self.tuned.items()
            if run.learning_rates[0] in (min(rates), max(rates)) and not run.final()["diverged"].any()
        ]

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _target(given: Any, metric: str) -> float:
    """The value that a metric is to reach."""
    target = check_target("target", given)
    if metric == "accuracy" and not 0 < target <= 1:
        raise ValueError(f"target is {target}, and {metric} is the share of right answers; give one above 0, at most 1")
    return target


def _compared(runs: Mapping[str, Result], task: Task, network: Network | None) -> dict[str, Any]:
    """What was compared and tried, in plain values."""
    world = None if network is None else {name: one for name, one in fingerprint(network).items() if one is not None}
    return {
        "title": f"{getattr(task, 'name', type(task).__name__)}, {task.nodes} nodes",
        "nodes": task.nodes,
        "tune": {name: values for run in runs.values() for name, values in (run.config["tune"] or {}).items()},
        "network": world,
        "methods": {name: run.config for name, run in runs.items()},
    }


def _plain(count: int | None) -> int | None:
    """An integer of Python, which JSON takes: one of NumPy is none."""
    return None if count is None else int(count)


def _megabytes(count: float) -> str:
    """Whole megabytes, or one digit where there are few."""
    return f"{count / 1e6:,.0f}" if count >= 1e7 else f"{count / 1e6:.1f}"


def _of_method(tune: Tune, method: Algorithm, network: Network) -> Tune | None:
    """The numbers of a common grid that a method or the network has."""
    if not isinstance(tune, Mapping) or not tune or not isinstance(method, Algorithm):
        return tune
    return {name: values for name, values in tune.items() if _has(method, name, network)} or None


def _check_numbers(tune: Tune, methods: Sequence[Algorithm], network: Network) -> None:
    """Refuse a number that no method has, nor the network, in the words of the first; before any of them runs."""
    algorithms = [method for method in methods if isinstance(method, Algorithm)]
    if not isinstance(tune, Mapping) or len(algorithms) < len(methods):
        return
    for name in tune:
        if not any(_has(method, name, network) for method in algorithms):
            resolve(name, algorithms[0], network)


def _has(method: Algorithm, name: str, network: Network) -> bool:
    """Whether a method or the network has a number of this name."""
    return isinstance(method, Algorithm) and bool(meant(name, numbers(method, network)))


def _check_network(network: Network, methods: Sequence[Algorithm], task: Task) -> None:
    """Refuse a network that one of the methods does not take, before any of them runs."""
    for method in methods:
        if isinstance(method, Algorithm):
            made = method.bind(task)
            try:
                check_network(network, made, task)
            except ValueError as error:
                raise ValueError(f"network of {made.name}: {error}") from error


def compare(
    methods: Sequence[Algorithm],
    task: Task,
    *,
    rounds: int | None = None,
    gradients: int | None = None,
    tune: Tune = LEARNING_RATES,
    network: Network | None = None,
    seeds: int = 3,
    seed: int = 0,
    eval_every: int | None = None,
    target: float | None = None,
    progress: bool = True,
) -> Comparison:
    """Run several methods on one task, each with every step size of the same grid and the same seeds.

    The step size of each method is then chosen by the held-out loss of its slots' own models, or by their
    training loss where the task holds nothing out; see :meth:`telejax.Result.tuned`.

    Args:
        methods: algorithms, with any step size in their optimizers.
        task: what the nodes compute.
        rounds: rounds for every method; or
        gradients: a budget of stochastic gradients for every method.
        tune: the grid of step sizes, or a mapping of names to lists as in :func:`telejax.simulate`; each method takes
            of it the numbers that it has.
        network: of all methods, see :class:`telejax.Network`; by default the ideal one. With clocks, ``time``
            (simulated seconds) is in the table and an axis of the picture.
        seeds: how many seeds, from ``seed`` on.
        seed: the first seed.
        eval_every: rounds between two rows of the history.
        target: accuracy of the mean model (default 0.95) or, for tasks without one, its loss (default 1 % of
            the loss at the start), to which rounds are counted.
        progress: show progress bars.

    Raises:
        ValueError: an argument out of its range; no methods, or two of the same name; a network that one of them does
            not take.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> methods = [tj.random_walk(optimizer=sgd), tj.teleportation(active=4, topology="ring", optimizer=sgd)]
    >>> both = tj.compare(methods, tj.tasks.quadratic(nodes=64), rounds=50, tune=[0.05, 0.1], seeds=2)
    >>> both.table()["method"].to_list()
    ['one token', 'TELEPORTATION ring k=4']
    """
    check_task_members(check_task(task))
    remedy = "give a list of algorithms, such as [telejax.random_walk(optimizer=...)]"
    methods = check_list("methods", methods, remedy)
    for place, method in enumerate(methods):
        if not isinstance(method, Study) or isinstance(method, type):
            check_algorithm(method, f"methods[{place}]")
    seeds = check_integer("seeds", seeds, minimum=1)
    metric = "accuracy" if "accuracy" in metric_columns(task, (), IDEAL) else "loss"
    world = IDEAL if network is None else network
    target = None if target is None else _target(target, metric)
    names = [method.bind(task).name for method in methods]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"methods is {names}; give at least one method, and each only once")
    _check_network(world, methods, task)
    _check_numbers(tune, methods, world)

    def run(method: Algorithm) -> Result:
        try:
            return simulate(
                method,
                task,
                rounds=rounds,
                gradients=gradients,
                eval_every=eval_every,
                seed=seed,
                seeds=seeds,
                tune=_of_method(tune, method, world),
                network=network,
                progress=progress,
            )
        except DivergenceError as error:  # told by the table; the other methods go on
            return error.result

    runs = dict(zip(names, in_threads(run, methods, METHODS_AT_ONCE), strict=True))
    first = next(iter(runs.values())).history
    if target is None:
        target = 0.95 if metric == "accuracy" else 0.01 * float(first["loss"][0])
    budget = {"rounds": _plain(rounds), "gradients": _plain(gradients)}
    asked = {"seeds": seeds, "seed": int(seed), "target": {"metric": metric, "value": target}}
    config = {**_compared(runs, task, network), **budget, **asked}
    return Comparison(runs, config, metric, target)
