"""Several methods on one task: the step size tuned for each over the same grid, several seeds, one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from telejax.algorithms.base import Algorithm
from telejax.backend.threads import in_threads
from telejax.errors import DivergenceError, check_integer, check_list, check_target, is_kind
from telejax.network import IDEAL, Network
from telejax.results.result import Result
from telejax.simulation.arguments import check_algorithm, check_network
from telejax.simulation.fingerprint import described
from telejax.simulation.simulate import Study, simulate
from telejax.simulation.spending import privacy_of
from telejax.simulation.task_checks import check_task, check_task_members, metric_columns
from telejax.simulation.tuning import Tune, meant, numbers, plain_tune, resolve
from telejax.studies.compare.comparison import Comparison
from telejax.tasks.base import Task
from telejax.tasks.privacy import Privacy

LEARNING_RATES = (0.04, 0.1, 0.25, 0.6, 1.5, 4.0)
METHODS_AT_ONCE = 2


def compare(
    methods: Sequence[Algorithm],
    task: Task,
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
        tune_seeds: how many of them try the whole grid; all then run with what these choose. By default all try it.
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
    plan = planned(
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
    return plan.told(in_threads(plan.run, plan.methods, METHODS_AT_ONCE))


@dataclass(frozen=True)
class Plan:
    """A comparison that was checked, and of which nothing has run."""

    task: Task
    methods: dict[str, Algorithm]
    """By name."""
    tune: Tune
    seeds: int
    tune_seeds: int
    metric: str
    target: float | None
    arguments: Mapping[str, Any]
    """The others of :func:`telejax.simulate`."""

    def run(self, name: str) -> tuple[Result, Result | None]:
        """A method with all step sizes, and with the best one where fewer seeds than all tried them."""
        known = self.arguments["network"] or IDEAL, privacy_of(self.task)
        tried = self._simulate(name, self.tune_seeds, _of_method(self.tune, self.methods[name], *known))
        if self.tune_seeds == self.seeds:
            return tried, None
        tuned = tried.tuned()
        tune = tried.config["tune"] or ()
        best = {name: [value] for name, value in tuned.settings[0].items() if value is not None and name in tune}
        all_seeds = self._simulate(name, self.seeds, best or None).tuned()
        return tried, replace(all_seeds, config={**all_seeds.config, "tuned": tuned.config["tuned"]})

    def told(self, outcomes: Sequence[tuple[Result, Result | None]]) -> Comparison:
        """The comparison of what :meth:`run` returned for each method, in their order."""
        runs = {name: tried for name, (tried, _) in zip(self.methods, outcomes, strict=True)}
        chosen = {name: best for name, (_, best) in zip(self.methods, outcomes, strict=True) if best is not None}
        target = self.target
        if target is None:
            first = float(next(iter(runs.values())).history["loss"][0])
            if not isfinite(first):
                raise ValueError(
                    f"task.evaluate gives the first models a loss of {first}, so that methods cannot be compared; look "
                    "for nan and inf in the parameters of task.init or the data of task.evaluate"
                )
            target = 0.95 if self.metric == "accuracy" else 0.01 * first
        asked = self.arguments
        config = {
            **_compared(runs, self.task, asked["network"]),
            "rounds": _plain(asked["rounds"]),
            "gradients": _plain(asked["gradients"]),
            "seeds": self.seeds,
            "tune_seeds": self.tune_seeds,
            "seed": int(asked["seed"]),
            "target": {"metric": self.metric, "value": target},
        }
        return Comparison(runs, config, self.metric, target, chosen or None)

    def _simulate(self, name: str, seeds: int, tune: Tune | None) -> Result:
        try:
            return simulate(self.methods[name], self.task, seeds=seeds, tune=tune, **self.arguments)
        except DivergenceError as error:  # told by the table; the other methods go on
            return error.result


def planned(
    methods: Sequence[Algorithm],
    task: Task,
    *,
    tune: Tune,
    network: Network | None,
    seeds: int,
    tune_seeds: int | None,
    target: float | None,
    **arguments: Any,
) -> Plan:
    """Check what :func:`compare` is given."""
    check_task_members(check_task(task))
    remedy = "give a list of algorithms, such as [telejax.random_walk(optimizer=...)]"
    methods = check_list("methods", methods, remedy)
    for place, method in enumerate(methods):
        if not is_kind(method, Study) or is_kind(method, type):
            check_algorithm(method, f"methods[{place}]")
    seeds = check_integer("seeds", seeds, minimum=1)
    tune_seeds = None if tune_seeds is None else check_integer("tune_seeds", tune_seeds, minimum=1)
    if tune_seeds is not None and tune_seeds > seeds:
        raise ValueError(f"tune_seeds is {tune_seeds} and seeds is {seeds}; give at most as many")
    metric = "accuracy" if "accuracy" in metric_columns(task, (), IDEAL) else "loss"
    world = IDEAL if network is None else network
    target = None if target is None else _target(target, metric)
    names = [method.bind(task).name for method in methods]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"methods is {names}; give at least one method, and each only once")
    _check_network(world, methods, task)
    tune = plain_tune(tune)
    _check_numbers(tune, methods, world, privacy_of(task))
    by_name = dict(zip(names, methods, strict=True))
    return Plan(task, by_name, tune, seeds, tune_seeds or seeds, metric, target, {**arguments, "network": network})


def _target(given: Any, metric: str) -> float:
    """The value that a metric is to reach."""
    target = check_target("target", given)
    if metric == "accuracy" and not 0 < target <= 1:
        raise ValueError(f"target is {target}, and {metric} is the share of right answers; give one above 0, at most 1")
    return target


def _compared(runs: Mapping[str, Result], task: Task, network: Network | None) -> dict[str, Any]:
    """What was compared and tried, in plain values."""
    return {
        "title": title(task, [task.nodes]),
        "nodes": task.nodes,
        "tune": {name: values for run in runs.values() for name, values in (run.config["tune"] or {}).items()},
        "network": described(network),
        "methods": {name: run.config for name, run in runs.items()},
    }


def title(task: Task, sizes: Sequence[int]) -> str:
    """What was compared on: the task, and its numbers of nodes."""
    return f"{getattr(task, 'name', type(task).__name__)}, {', '.join(map(str, sizes))} nodes"


def _plain(count: int | None) -> int | None:
    """An integer of Python, which JSON takes: one of NumPy is none."""
    return None if count is None else int(count)


def _of_method(tune: Tune, method: Algorithm, network: Network, privacy: Privacy | None) -> Tune | None:
    """The numbers of a common grid that a method, the network or the task's privacy has."""
    if not is_kind(tune, Mapping) or not tune or not is_kind(method, Algorithm):
        return tune
    return {name: values for name, values in tune.items() if _has(method, name, network, privacy)} or None


def _check_numbers(tune: Tune, methods: Sequence[Algorithm], network: Network, privacy: Privacy | None) -> None:
    """Refuse a number that none of these has, in the words of the first method; before any of them runs."""
    algorithms = [method for method in methods if is_kind(method, Algorithm)]
    if not is_kind(tune, Mapping) or len(algorithms) < len(methods):
        return
    for name in tune:
        if not any(_has(method, name, network, privacy) for method in algorithms):
            resolve(name, algorithms[0], network, privacy)


def _has(method: Algorithm, name: str, network: Network, privacy: Privacy | None) -> bool:
    """Whether a method, the network or the task's privacy has a number of this name."""
    return is_kind(method, Algorithm) and bool(meant(name, numbers(method, network, privacy)))


def _check_network(network: Network, methods: Sequence[Algorithm], task: Task) -> None:
    """Refuse a network that one of the methods does not take, before any of them runs."""
    for method in methods:
        if is_kind(method, Algorithm):
            made = method.bind(task)
            try:
                check_network(network, made, task)
            except ValueError as error:
                raise ValueError(f"network of {made.name}: {error}") from error
