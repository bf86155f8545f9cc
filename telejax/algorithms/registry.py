"""Every method once: its names, where it is, on which graphs it runs, which numbers of its own are tuned.

From here the root package, the command line, sweeps, comparisons and the tests that all methods pass take them. Nothing
here imports jax, so that a command line with a mistyped method is answered at once.

To add a method, add its file and a line to ``METHODS``, then run ``python -m telejax.algorithms.registry``, which
writes its name into the stub from which editors, type checkers and the lazy imports of the root package read it.
"""

import importlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from telejax.backend import factories
from telejax.errors import check_name, short

if TYPE_CHECKING:
    from telejax.algorithms.base import Algorithm
    from telejax.optimizers import Optimizer

WORKERS = ("active", "clients", "tokens")
"""Parameters that say how many nodes work in a round."""

Graphs = Literal["nodes", "slots", "walk"]
"""Over what the topology of a method is: all nodes, its slots, or nodes whose neighbours it visits."""


@dataclass(frozen=True)
class Method:
    """A line of the registry."""

    name: str
    """That of its factory."""
    file: str
    """That of its module in ``telejax.algorithms``."""
    aliases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Other names, with the parameters that they fix."""
    graphs: Graphs | None = None
    """None for a method that takes no topology."""
    stochastic: Literal["both", "column", "row"] = "both"
    """Which sums of its weights are one: both for undirected graphs, column or row for directed ones."""
    fixed: bool = False
    """Whether its graph must be the same in every round."""
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Numbers of its own that the command line tunes beside the step size, with the values to try."""

    tree: bool = False
    """Whether its graph must be a tree."""
    exact: bool = False
    """Whether its fixed point is the optimum on heterogeneous nodes, at any step size."""
    source: str = ""
    """The paper, by author and year."""

    @property
    def graph(self) -> str:
        """What it gossips over where nothing is said."""
        return "directed_exponential" if self.stochastic == "column" else "tree" if self.tree else "ring"

    @property
    def spec(self) -> str:
        """The method on the graph that it takes by default, as :func:`build` reads it."""
        return f"{self.name}/{self.graph}" if self.graphs in ("nodes", "slots") else self.name

    @property
    def factory(self) -> Callable[..., Any]:
        """The function that makes it."""
        made: Callable[..., Any] = getattr(importlib.import_module(f"telejax.algorithms.{self.file}"), self.name)
        return made


METHODS = (
    Method("all_reduce_sgd", "all_reduce", aliases={"all-reduce": {}}, exact=True, source="mini-batch SGD"),
    Method(*("choco_sgd", "choco_sgd"), aliases={"choco": {}}, graphs="nodes", fixed=True, source="Koloskova 2019"),
    Method(*("decentralized_sgd", "decentralized_sgd"), aliases={"dsgd": {}}, graphs="nodes", source="Lian 2017"),
    Method(
        *("exact_diffusion", "exact_diffusion"),
        aliases={"d2": {}},
        graphs="nodes",
        fixed=True,
        exact=True,
        source="Yuan 2019",
    ),
    Method("extra", "extra", graphs="nodes", fixed=True, exact=True, source="Shi 2015"),
    Method("fedavg", "fedavg", source="McMahan 2017"),
    Method("gossip_pairs", "gossip_pairs", graphs="nodes", fixed=True, source="Lian 2018"),
    Method("gradient_tracking", "gradient_tracking", graphs="nodes", exact=True, source="Xu 2015"),
    Method("k_gt", "k_gt", graphs="nodes", fixed=True, exact=True, source="Liu 2024"),
    Method(
        *("local_exact_diffusion", "local_exact_diffusion"),
        aliases={"led": {}},
        graphs="nodes",
        fixed=True,
        exact=True,
        source="Alghunaim 2024",
    ),
    Method("local_training", "local_training", aliases={"alone": {}}, source="Mohri 2019"),
    Method("nids", "nids", graphs="nodes", fixed=True, exact=True, source="Li 2019"),
    Method("prox_skip", "prox_skip", graphs="nodes", fixed=True, exact=True, source="Mishchenko 2022"),
    Method("push_sum", "push_sum", graphs="nodes", stochastic="column", source="Assran 2019"),
    Method("quasi_global_momentum", "quasi_global_momentum", graphs="nodes", source="Lin 2021"),
    Method(
        *("random_walk", "random_walk"),
        aliases={"token": {"tokens": 1}, "tokens": {}},
        graphs="walk",
        source="Takezawa 2025",
    ),
    Method("relay_sgd", "relay_sgd", graphs="nodes", fixed=True, tree=True, exact=True, source="Vogels 2021"),
    Method("scaffold", "scaffold", exact=True, source="Karimireddy 2020"),
    Method("teleportation", "teleportation", graphs="slots", source="Takezawa 2025"),
)

_BY_NAME: dict[str, tuple[Method, Mapping[str, int]]] = {
    name: (method, fixes) for method in METHODS for name, fixes in {method.name: {}, **method.aliases}.items()
}
NAMES = tuple(_BY_NAME)
"""All names and aliases."""


def find(name: str) -> tuple[str, Callable[..., Any], dict[str, Any]]:
    """The full name of a method, its factory, and the parameters that its name fixes.

    Args:
        name: a name or an alias, or the "package.module:name" of a factory of one's own.

    Raises:
        ValueError: there is none of this name.

    >>> name, factory, fixes = find("token")
    >>> name, fixes
    ('random_walk', {'tokens': 1})
    """
    if factories.is_path(name):
        return name, factories.imported("method", name), {}
    method, fixes = _BY_NAME[check_name("method", name, NAMES)]
    return method.name, method.factory, dict(fixes)


def check_spec(spec: str) -> None:
    """Raise a ValueError where the method of a spec of :func:`build` has no known name; imports nothing."""
    name, _ = factories.split(spec.partition("/")[0], NAMES)
    if not factories.is_path(name):
        check_name("method", name, NAMES)


def grid(specs: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The numbers that the methods of these specs have tuned beside the step size, with the values to try."""
    found: dict[str, tuple[float, ...]] = {}
    for spec in specs:
        name, _ = factories.split(spec.partition("/")[0], NAMES)
        if name in _BY_NAME:
            found |= _BY_NAME[name][0].grid
    return found


def takes_workers(spec: str) -> bool:
    """Whether a spec of :func:`build` leaves open how many nodes work in a round."""
    name, texts = factories.split(spec.partition("/")[0], NAMES)
    _, factory, fixes = find(name)
    return any(one in WORKERS and one not in {**texts, **fixes} for one in factories.parameters(factory))


def build(spec: str, optimizer: "Optimizer", workers: int, *, asked: bool = False) -> "Algorithm":
    """The method that a text names, as on the command line.

    Args:
        spec: ``NAME``, ``NAME/TOPOLOGY`` or ``NAME:parameter=value,.../TOPOLOGY``, where NAME is a name, an alias, or
            the "package.module:name" of a factory of one's own.
        optimizer: of the method.
        workers: how many nodes work in a round, where the method asks for it and the spec does not say.
        asked: whether somebody asked for so many; else a method of one's own keeps its own default.

    Raises:
        ValueError: an unknown name, parameter or topology, a value of another type, or a parameter that is missing.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> build("teleportation/ring", sgd, workers=8).name, build("fedavg:local_steps=2", sgd, workers=4).name
    ('TELEPORTATION ring k=8', 'FedAvg k=4, 2 local')
    """
    method, slash, topology = spec.partition("/")
    name, texts = factories.split(method, NAMES)
    full, factory, values = find(name)
    if fixed := sorted(set(values).intersection(texts)):
        raise ValueError(
            f"method is {spec!r}, which gives {fixed[0]}, and {name} fixes it; leave it out, or give {full}"
        )
    values |= factories.read("method", name, texts, factory)
    takes, needs = factories.parameters(factory), factories.required(factory)
    open_ = [one for one in WORKERS if one in takes and one not in values]
    working = {one: workers for one in open_ if asked or one in needs or name in NAMES}
    if slash:
        _check_graph(spec, name, takes, texts)
        values["topology"] = topology
    elif "topology" in needs:
        values.setdefault("topology", _BY_NAME[name][0].graph if name in _BY_NAME else "ring")
    values = {**working, **values, "optimizer": optimizer}
    if missing := [one for one in needs if one not in values]:
        raise ValueError(f"method is {spec!r}, which needs {' and '.join(missing)}; write {name}:{missing[0]}=...")
    try:
        made: Algorithm = factory(**values)
    except TypeError as error:
        raise ValueError(f"method is {spec!r}, which cannot be made: {error}; give a function of optimizer") from error
    if not hasattr(made, "bind"):
        raise ValueError(f"method is {spec!r}, which made {short(made)}; let it return an algorithm")
    return made


def _check_graph(spec: str, name: str, takes: Collection[str], texts: Mapping[str, str]) -> None:
    """Raise a ValueError where a spec of :func:`build` has after its slash what its method cannot take there."""
    from telejax.topology.registry import parse

    method, _, topology = spec.partition("/")
    if "topology" not in takes:
        raise ValueError(f"method is {spec!r}, and {name} takes no topology; leave /{topology} out")
    if not topology.strip():
        raise ValueError(f"method is {spec!r}, with nothing after the slash; give a topology, such as {method}/ring")
    if "topology" in texts:
        told = f"method is {spec!r}, which gives the topologies {texts['topology']!r} and {topology!r}"
        raise ValueError(f"{told}; leave one of them out")
    try:
        parse(topology)
    except ValueError:  # which the method itself says, unless it is this
        graph, _, behind = topology.partition(":")
        if behind.partition("=")[0].strip() in takes:
            told = f"method is {spec!r}, where {behind} is a parameter of {name}, but stands after the topology"
            raise ValueError(f"{told}; write {method}{',' if texts else ':'}{behind}/{graph}") from None


def stub(text: str) -> str:
    """The stub of the root package with the line of every method."""
    helpers = ("base", "graphs", "joint", "local", "parts")
    others = [
        line for line in text.splitlines() if not re.match(rf"from \.algorithms\.(?!(?:{'|'.join(helpers)}) )", line)
    ]
    lines = [f"from .algorithms.{one.file} import {one.name} as {one.name}" for one in METHODS]
    return "\n".join(sorted([*others, *lines])) + "\n"


if __name__ == "__main__":
    path = Path(__file__).parent.parent / "__init__.pyi"
    path.write_text(stub(path.read_text()))
