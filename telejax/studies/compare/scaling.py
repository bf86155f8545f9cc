"""What happens as the number of nodes grows: several methods on one kind of task at several sizes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from telejax.algorithms.base import Algorithm
from telejax.backend.threads import in_threads
from telejax.errors import check_integer, check_list, short, takes
from telejax.network import Network
from telejax.results.printed import PrintedTable
from telejax.results.report.reported import check_fields
from telejax.results.result import Result
from telejax.results.spread import mean_and_spread
from telejax.simulation.tuning import Tune
from telejax.studies.compare.compare import LEARNING_RATES, METHODS_AT_ONCE, planned, title
from telejax.studies.compare.comparison import Compared, Comparison, megabytes
from telejax.tasks.base import Task

if TYPE_CHECKING:
    import matplotlib.figure

NODES = "give a list of different numbers of nodes, such as [25, 100, 350]"
ACCURACY = ("accuracy_slots", "accuracy_worst")
LOSS = ("loss_slots", "loss")


@dataclass(frozen=True, repr=False)
class Scaling(Compared):
    """The outcome of :func:`scaling`.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> walk, make = tj.random_walk(optimizer=sgd), lambda nodes: tj.tasks.quadratic(nodes=nodes)
    >>> found = tj.scaling([walk], make, nodes=[4, 8], rounds=10, seeds=1, progress=False)
    >>> found.table()["nodes"].to_list()
    [4, 8]
    """

    picture: ClassVar[str] = "scaling.png"

    comparisons: dict[int, Comparison]
    """Nodes to the comparison of all methods there, in ascending order."""
    config: dict[str, Any]
    """What was compared, in plain values."""

    def __post_init__(self) -> None:
        check_fields(self, {"comparisons": dict, "config": dict}, Comparison)

    @property
    def metrics(self) -> tuple[str, str]:
        """What is told of each method: of the slots' own models on average and at worst, or their loss and that of the
        mean model."""
        found = next(iter(self.comparisons.values()))
        return ACCURACY if found.target_metric == "accuracy" else LOSS

    def history(self) -> pl.DataFrame:
        """All rows of all comparisons, with the columns ``nodes``, ``method`` and ``tuned``."""
        return self._joined(Comparison.history)

    def table(self) -> pl.DataFrame:
        """The rows of all comparisons' tables, with the column ``nodes``."""
        return self._joined(Comparison.table)

    def _joined(self, of: Callable[[Comparison], pl.DataFrame]) -> pl.DataFrame:
        parts = [of(found).select(pl.lit(nodes).alias("nodes"), pl.all()) for nodes, found in self.comparisons.items()]
        return pl.concat(parts, how="diagonal_relaxed")

    def at_edge(self) -> list[str]:
        """Methods whose best step size is at the edge of the grid, and with how many nodes."""
        return [f"{name} at {nodes} nodes" for nodes, found in self.comparisons.items() for name in found.at_edge()]

    def diverged(self) -> dict[str, Result]:
        """Methods with how many nodes whose every run diverged."""
        return {
            f"{name} at {nodes} nodes": run
            for nodes, found in self.comparisons.items()
            for name, run in found.diverged().items()
        }

    def plot(self) -> "matplotlib.figure.Figure":
        """Both metrics against the number of nodes; below the first one against gradients and bytes, at most nodes."""
        import matplotlib.pyplot as plt

        from telejax.results.plots import LABELS, plot_histories

        figure, ((left, right), (work, traffic)) = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
        last = self.history().filter(
            pl.col("tuned") & (pl.col("round") == pl.col("round").max().over("nodes", "method"))
        )
        for metric, axes in zip(self.metrics, (left, right), strict=True):
            for method, rows in last.partition_by("method", as_dict=True, maintain_order=True).items():
                points = rows.group_by("nodes", maintain_order=True).agg(
                    pl.col(metric).mean(), pl.col(metric).min().alias("low"), pl.col(metric).max().alias("high")
                )
                (line,) = axes.plot(points["nodes"], points[metric], marker="o", label=method[0], linewidth=1.8)
                axes.fill_between(points["nodes"], points["low"], points["high"], color=line.get_color(), alpha=0.2)
            sizes = list(self.comparisons)
            axes.set(xlabel="number of nodes", ylabel=LABELS[metric], xscale="log", xticks=sizes, xticklabels=sizes)
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            if "accuracy" not in metric and (last[metric] > 0).all():
                axes.set_yscale("log")
        nodes, largest = list(self.comparisons.items())[-1]
        histories = {name: run.history for name, run in largest.tuned.items()}
        for x, axes in (("gradients", work), ("bytes", traffic)):
            plot_histories(histories, self.metrics[0], x, axes)
            axes.get_legend().remove()
            axes.set_title(f"{nodes} nodes", fontsize="medium")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize="small")
        return figure

    def __rich__(self) -> PrintedTable:
        told, other = ("own accuracy", "worst") if self.metrics == ACCURACY else ("own loss", "mean model")
        table = self._titled(f"the slots' {told}, mean ± deviation;\nbelow it the {other}")
        sizes = list(self.comparisons)
        for nodes in sizes:
            table.add_column(f"{nodes:,}\nnodes", justify="right", no_wrap=True)
        for what in ("gradients", "MB"):
            table.add_column(f"{what} at\n{sizes[-1]:,}", justify="right", no_wrap=True)
        rows = {
            nodes: found.table().rows_by_key("method", named=True, unique=True)
            for nodes, found in self.comparisons.items()
        }
        for names in zip(*(list(of) for of in rows.values()), strict=True):
            own = [of[name] for of, name in zip(rows.values(), names, strict=True)]
            table.add_row(
                names[-1],
                *map(self._cell, own),
                f"{own[-1]['gradients']:,.0f}",
                megabytes(own[-1]["bytes"]),
            )
        return table

    def _cell(self, row: dict[str, Any]) -> str:
        """Both metrics of a method at one size."""
        first, second = self.metrics
        return f"{mean_and_spread(row[first], row[f'{first}_std'], 3)}\n{mean_and_spread(row[second], digits=3)}"


def scaling(
    methods: Sequence[Algorithm],
    make_task: Callable[[int], Task],
    nodes: Iterable[int],
    *,
    rounds: int | None = None,
    gradients: int | None = None,
    tune: Tune = LEARNING_RATES,
    network: Network | None = None,
    seeds: int = 3,
    tune_seeds: int | None = None,
    seed: int = 0,
    eval_every: int | None = None,
    target: float | None = None,
    progress: bool = True,
) -> Scaling:
    """Compare methods at several numbers of nodes, each tuned anew at each of them; see :func:`telejax.compare`.

    Args:
        methods: algorithms, whose graphs are given by name or as functions of the number of nodes.
        make_task: the task of so many nodes.
        nodes: their numbers.
        rounds, gradients, tune, network, seeds, tune_seeds, seed, eval_every, target, progress: of each comparison.

    Raises:
        ValueError: as :func:`telejax.compare`; a number of nodes twice, or a task of another one.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> methods = [tj.decentralized_sgd(topology="ring", optimizer=sgd), tj.random_walk(optimizer=sgd)]
    >>> quadratic = lambda nodes: tj.tasks.quadratic(nodes=nodes)
    >>> both = tj.scaling(methods, quadratic, [8, 64], rounds=50, tune=[0.1], seeds=1)
    >>> both.table().select("nodes", "method").rows()[1:3]
    [(8, 'one token'), (64, 'DSGD ring')]
    """
    sizes = sorted(check_integer("nodes", one, minimum=1) for one in check_list("nodes", nodes, NODES))
    if not sizes or len(set(sizes)) < len(sizes):
        raise ValueError(f"nodes is {sizes}; {NODES}")
    if not callable(make_task) or not takes(make_task, 1):
        raise ValueError(
            f"make_task is {short(make_task)}; give a function of the number of nodes, such as "
            "lambda nodes: telejax.tasks.quadratic(nodes=nodes)"
        )
    plans = {}
    for size in sizes:
        task = make_task(size)
        if getattr(task, "nodes", size) != size:
            raise ValueError(
                f"make_task gives a task of {task.nodes} nodes for {size}; give one of as many as asked for"
            )
        plans[size] = planned(
            methods,
            task,
            rounds=rounds,
            gradients=gradients,
            tune=tune,
            network=network,
            seeds=seeds,
            tune_seeds=tune_seeds,
            seed=seed,
            eval_every=eval_every,
            target=target,
            progress=progress,
        )
    jobs = [(size, name) for size in reversed(sizes) for name in plans[size].methods]  # the longest begin first
    outcomes = dict(zip(jobs, in_threads(lambda job: plans[job[0]].run(job[1]), jobs, METHODS_AT_ONCE), strict=True))
    found = {size: plan.told([outcomes[size, name] for name in plan.methods]) for size, plan in plans.items()}
    configs = {str(size): one.config for size, one in found.items()}
    of_all = {"title": title(plans[sizes[-1]].task, sizes), "nodes": sizes, "sizes": configs}
    return Scaling(found, {**found[sizes[-1]].config, **of_all})
