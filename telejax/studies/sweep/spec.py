"""What a sweep runs: tables of values, each one value or a list of them, checked before anything is run."""

import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import optax

from telejax import algorithms, tasks
from telejax.errors import check_name

METHODS: dict[str, Callable[..., Any]] = {
    "all_reduce_sgd": algorithms.all_reduce_sgd,
    "decentralized_sgd": algorithms.decentralized_sgd,
    "fedavg": algorithms.fedavg,
    "random_walk": algorithms.random_walk,
    "teleportation": algorithms.teleportation,
}
TASKS: dict[str, Callable[..., Any]] = {
    "digits": tasks.digits,
    "koloskova_quadratic": tasks.koloskova_quadratic,
    "quadratic": tasks.quadratic,
}
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    name: getattr(optax, name) for name in ("adagrad", "adam", "adamw", "lion", "rmsprop", "sgd")
}
KINDS = (bool, int, float, str)
WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}

Table = dict[str, tuple[Any, ...]]
Where = Callable[[str, int, str], str]
"""Section, number of the section among those of its name, key -> where it stands in the file."""


@dataclass(frozen=True)
class Part:
    """A task, method or optimizer by name, with a tuple of values for each parameter that is given."""

    name: str
    values: Table
    numbers: tuple[str, ...]
    """The parameters that are numbers: all their values run in one program. The others are structure."""

    def structures(self) -> list[dict[str, Any]]:
        """Every combination of the values that are structure."""
        return _combinations({key: values for key, values in self.values.items() if key not in self.numbers})

    def number_axes(self) -> Table:
        """The values that are numbers."""
        return {key: self.values[key] for key in self.numbers}


@dataclass(frozen=True)
class SweepSpec:
    """The axes of a sweep.

    >>> spec = SweepSpec.from_dict({
    ...     "rounds": 100,
    ...     "seeds": [0, 1],
    ...     "task": {"name": "quadratic", "nodes": [64, 256], "noise": [0.0, 1.0]},
    ...     "method": {"name": "teleportation", "topology": "ring", "active": 8},
    ...     "optimizer": {"name": "sgd", "learning_rate": [0.03, 0.1]},
    ... })
    >>> spec.task.numbers, spec.task.structures()
    (('noise',), [{'nodes': 64}, {'nodes': 256}])
    """

    task: Part
    methods: tuple[Part, ...]
    optimizer: Part
    rounds: int
    eval_every: int | None
    seeds: tuple[int, ...]

    @staticmethod
    def from_toml(path: str | Path) -> "SweepSpec":
        """Read a TOML file; errors name its line and key.

        Raises:
            ValueError: an unknown or missing key, an empty list, a value of the wrong type, or no TOML.
        """
        text = Path(path).read_text()
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
        return SweepSpec.from_dict(tables, _lines(text, str(path)))

    @staticmethod
    def from_dict(tables: Mapping[str, Any], where: Where | None = None) -> "SweepSpec":
        """As :meth:`from_toml`, from the tables of the file."""
        where = where or (lambda section, number, key: f"[{section}] {key}" if section else key)
        known = ["rounds", "eval_every", "seeds", "task", "method", "optimizer"]
        for key in tables:
            _located(where("", 0, key), check_name, "key", key, known)
        for key in ("rounds", "task", "method", "optimizer"):
            if key not in tables:
                raise ValueError(f"the spec has no {key}; give one")
        rounds = _values(tables["rounds"], (int,), where("", 0, "rounds"), single=True)[0]
        every = tables.get("eval_every")
        eval_every = None if every is None else _values(every, (int,), where("", 0, "eval_every"), single=True)[0]
        seeds = _values(tables.get("seeds", [0]), (int,), where("", 0, "seeds"))
        for key, least, values in (("rounds", 1, [rounds]), ("eval_every", 1, [eval_every or 1]), ("seeds", 0, seeds)):
            if min(values) < least:
                raise ValueError(f"{where('', 0, key)} is {min(values)}; give at least {least}")
        methods = tables["method"] if isinstance(tables["method"], list) else [tables["method"]]
        return SweepSpec(
            task=_part("task", 0, tables["task"], TASKS, where),
            methods=tuple(_part("method", index, one, METHODS, where) for index, one in enumerate(methods)),
            optimizer=_part("optimizer", 0, tables["optimizer"], OPTIMIZERS, where),
            rounds=rounds,
            eval_every=eval_every,
            seeds=seeds,
        )

    def cells(self) -> "list[Cell]":
        """One cell for each combination of structure, in a fixed order."""
        structures = [
            (task, method, own, optimizer)
            for method in self.methods
            for task, own, optimizer in product(
                self.task.structures(), method.structures(), self.optimizer.structures()
            )
        ]
        return [Cell(index, self, *one) for index, one in enumerate(structures)]


@dataclass(frozen=True)
class Cell:
    """One combination of structure, with all its numbers and seeds: the unit that is run, written and resumed."""

    index: int
    spec: SweepSpec
    task: dict[str, Any]
    method: Part
    method_structure: dict[str, Any]
    optimizer: dict[str, Any]

    @property
    def file(self) -> str:
        """Name of its part file."""
        return f"cell-{self.index:05d}.parquet"


def parameters(factory: Callable[..., Any]) -> dict[str, tuple[type, ...]]:
    """The parameters of a factory that a spec can give, with the plain types each takes.

    >>> parameters(tasks.koloskova_quadratic)["noise"]
    (<class 'float'>,)
    """
    found = {}
    for name, parameter in inspect.signature(factory, eval_str=True).parameters.items():
        kinds = _plain_kinds(parameter.annotation)
        if kinds:
            found[name] = (float,) if float in kinds else kinds
    return found


def _plain_kinds(annotation: Any) -> tuple[type, ...]:
    parts = typing.get_args(annotation) if typing.get_origin(annotation) is not None else ()
    nested = [kind for part in parts for kind in _plain_kinds(part)] if parts else [annotation]
    return tuple(kind for kind in KINDS if kind in nested)


def _part(section: str, number: int, given: Any, known: dict[str, Callable[..., Any]], where: Where) -> Part:
    if not isinstance(given, Mapping) or "name" not in given:
        raise ValueError(f"[{section}] has no name; give one of {', '.join(known)}")
    place = where(section, number, "name")
    name = _values(given["name"], (str,), place, single=True)[0]
    factory = known[_located(place, check_name, section, name, known)]
    kinds = parameters(factory)
    needed = [key for key in kinds if inspect.signature(factory).parameters[key].default is inspect.Parameter.empty]
    if missing := [key for key in needed if key not in given]:
        raise ValueError(f"{place}: {name} needs {' and '.join(missing)}; give a value, or a list of them")
    values: Table = {}
    for key, value in given.items():
        if key != "name":
            place = where(section, number, key)
            _located(place, check_name, f"key of {name}", key, kinds)
            values[key] = _values(value, kinds[key], place)
    return Part(name, values, tuple(key for key in values if kinds[key] == (float,)))


def _values(given: Any, kinds: tuple[type, ...], place: str, single: bool = False) -> tuple[Any, ...]:
    listed = given if isinstance(given, list | tuple) and not single else [given]
    if not listed:
        raise ValueError(f"{place} is an empty list; give at least one value")
    values = []
    for value in listed:
        whole_number = type(value) is int and kinds == (float,)
        if type(value) not in kinds and not whole_number:
            more = "" if single else ", or a list of them"
            raise ValueError(f"{place} is {value!r}; give {' or '.join(WORDS[kind] for kind in kinds)}{more}")
        values.append(float(value) if whole_number else value)
    if len(set(values)) < len(values):
        raise ValueError(f"{place} is {listed}; give each value only once")
    return tuple(values)


def _located(place: str, check: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _lines(text: str, path: str) -> Where:
    """Where keys stand in a TOML file; its parser does not tell."""
    found: dict[tuple[str, int, str], int] = {}
    section, counts = "", {"": 0}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]", line):
            section = header[1]
            counts[section] = counts.get(section, -1) + 1
        elif key := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line):
            found.setdefault((section, counts[section], key[1]), number)

    def where(section: str, number: int, key: str) -> str:
        line = found.get((section, number, key))
        name = f"[{section}] {key}" if section else key
        return f"{path}, {name}" if line is None else f"{path}, line {line}, {name}"

    return where


def _combinations(axes: Table) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def canonical(spec: SweepSpec) -> dict[str, Any]:
    """The spec in JSON's types, to be stored and compared."""
    from telejax.simulation.fingerprint import fingerprint

    return dict(json.loads(json.dumps(fingerprint(spec))))
