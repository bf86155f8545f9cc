"""The contract of an algorithm, as checks with names."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import optax

from telejax.algorithms.base import Algorithm
from telejax.errors import check_integer, check_kind, check_list, check_name, is_kind, plain, short
from telejax.optimizers import optimizer
from telejax.tasks.base import Task
from telejax.tasks.quadratic import quadratic
from telejax.testing import accounting, runs, structure, transformations
from telejax.testing.transformations import tree_task
from telejax.testing.trial import Make, Trial

MOST_NODES = 1000  # every one is moved in turn
MAKE = "give a function of an optimizer that returns an algorithm"
GIVE = "give a list of tasks, such as [telejax.tasks.quadratic(nodes=12)]"

Check = Callable[[Trial], None]

ON_EVERY_TASK = (
    structure.structure,
    structure.holders,
    structure.memory,
    structure.counters,
    structure.gauges,
    structure.models,
    structure.judged,
    transformations.resumes,
    transformations.consensus,
)
ON_FIRST_TASK = (
    transformations.trees,
    transformations.jit,
    transformations.vmap,
    transformations.traces,
    accounting.messages,
    accounting.gradients,
    accounting.handoffs,
    runs.batch_axes,
    runs.mesh,
    runs.checkpoint,
    runs.warm_start,
    runs.network,
)
"""What says little more on another task and compiles much."""

CHECKS: Mapping[str, Check] = MappingProxyType(
    {check.__name__: check for check in (transformations.trees, *ON_EVERY_TASK, *ON_FIRST_TASK)}
)
"""Name of each check of :func:`check_algorithm` to its function, whose docstring is the property."""


def check_algorithm(
    make: Make,
    nodes: int = 12,
    tasks: Sequence[Task] | None = None,
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
) -> None:
    """Check that an algorithm keeps the contract: that it does what it says, wherever the engine runs it.

    The checks by name, each a function in ``CHECKS`` whose docstring is the property:

    - the state: ``structure``, ``holders``, ``memory``; what is reported: ``counters``, ``gauges``; what is judged:
      ``models``, ``judged``;
    - ``trees`` (parameters may be any pytree), ``jit``, ``vmap``, ``traces``, ``resumes``, ``consensus``;
    - what is declared against what happens: ``messages`` (a slot is moved far away, and the others in which it shows
      have heard of it; with a network also what the method gives to its verbs), ``gradients``, ``handoffs``;
    - what ``simulate`` may do: ``batch_axes``, ``mesh``, ``checkpoint``, ``warm_start``, ``network``.

    Args:
        make: builds the algorithm from an optimizer, for a task of ``nodes`` nodes.
        nodes: number of nodes of the tasks.
        tasks: to check it on, of ``nodes`` nodes; by default a quadratic and, with ``trees``, a task of nested
            parameters.
        only: names of the checks to run; by default all.
        without: names of checks to leave out, such as "consensus" for a method whose messages are noisy.

    Raises:
        AssertionError: the name of the check that failed, what was declared, what happened, and what to do.
        ValueError: an unknown name of a check, or tasks of another number of nodes.

    >>> import telejax as tj
    >>> make = lambda sgd: tj.teleportation(active=4, topology="ring", optimizer=sgd)
    >>> check_algorithm(make, only=("messages", "gradients"))
    """
    nodes = check_integer("nodes", nodes, minimum=2, maximum=MOST_NODES)
    if not callable(make):
        raise ValueError(f"make is {short(make)}; {MAKE}")
    chosen = _chosen(only, without)
    if tasks is None:
        nested = () if "trees" in set(without) else (tree_task(nodes),)
        tasks = (quadratic(nodes=nodes, dim=4, noise=1.0), *nested)
    tasks = [check_kind("tasks", task, Task, GIVE) for task in check_list("tasks", tasks, GIVE)]
    if not tasks or any(task.nodes != nodes for task in tasks):
        raise ValueError(
            f"tasks have {[task.nodes for task in tasks]} nodes and nodes is {nodes}; give tasks of {nodes}"
        )
    trials = [Trial(make, task) for task in tasks]
    try:
        made = make(optimizer(optax.sgd, learning_rate=0.05))
    except Exception as error:  # of the user's function
        raise ValueError(f"make fails when it is called with an optimizer: {error!r}; {MAKE}") from error
    check_kind("make(optimizer)", made, Algorithm, MAKE)
    for name in chosen:
        check = CHECKS[name]
        for trial in trials[: 1 if check in ON_FIRST_TASK else None]:
            try:
                check(trial)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error


def _chosen(only: Iterable[str] | None, without: Iterable[str]) -> list[str]:
    """The names of the checks to run, in their order."""
    for argument, names in (("only", only), ("without", without)):
        if names is not None or argument == "without":
            such = plain(names) if is_kind(names, str) and plain(names) in CHECKS else "mesh"
            check_list(argument, names, f"give a sequence of names, such as ({such!r},)")
    if only is not None and not list(only):
        raise ValueError(f"only is empty; give a sequence of names, such as {tuple(CHECKS)[:1]}")
    wanted = set(CHECKS) if only is None else {check_name("check", name, CHECKS) for name in only}
    left_out = {check_name("check", name, CHECKS) for name in without}
    if not wanted - left_out:
        raise ValueError(f"only is {only} and without {without}, which leaves none; leave at least one check")
    return [name for name in CHECKS if name in wanted - left_out]
