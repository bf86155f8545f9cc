"""What a sweep runs: tables of values, each one value or a list of them, checked before anything is run."""

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from telejax import tasks
from telejax.algorithms import registry
from telejax.backend import factories
from telejax.backend.factories import WORDS, Factory, required
from telejax.backend.toml_file import Where, named, read_toml
from telejax.errors import (
    LARGEST,
    check_integer,
    check_list,
    check_mapping,
    check_name,
    check_number,
    check_path,
    is_kind,
    short,
)
from telejax.network import Network
from telejax.network.from_file import from_toml
from telejax.optimizers import BY_NAME, check_hyperparameter, numbers_in
from telejax.simulation.arguments import MAX_COUNT, MAX_SEED
from telejax.simulation.tuning import COLUMNS, meant, replaced
from telejax.topology import check_topology

TASKS: dict[str, Factory] = {
    "digits": tasks.digits,
    "koloskova_quadratic": tasks.koloskova_quadratic,
    "quadratic": tasks.quadratic,
}

Table = dict[str, tuple[Any, ...]]

NAMING = ("cell", "task", "method", "network", "status", "reason", "task_seed")
"""Columns of a sweep beside the parameters."""


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
class Networks:
    """Files of networks, which are structure, and a tuple of values for each of their numbers that is given."""

    files: dict[str, Network]
    """By the path that the spec has."""
    values: Table
    """By column."""
    numbers: dict[str, str]
    """Column to what the spec calls the number."""

    def at(self, file: str, point: Mapping[str, float], network: Network | None = None) -> Network:
        """The network of a file, or that which it became, with these values of its numbers."""
        made = self.files[file] if network is None else network
        for column, value in point.items():
            made = replaced(made, _full_name(self.numbers[column], made).split(".")[1:], value)
        return made


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
    network: Networks | None = None

    @staticmethod
    def from_toml(path: str | Path) -> "SweepSpec":
        """Read a TOML file; errors name its line and key.

        Raises:
            ValueError: an unknown or missing key, an empty list, a value of the wrong type, or no TOML.
        """
        tables, where = read_toml("spec", path, ", its tables as a dict, or a SweepSpec")
        return SweepSpec.from_dict(tables, where, Path(path).parent)

    @staticmethod
    def from_dict(tables: Mapping[str, Any], where: Where | None = None, folder: Path = Path()) -> "SweepSpec":
        """As :meth:`from_toml`, from the tables of the file; paths in it are relative to ``folder``."""
        tables = check_mapping("spec", tables, "give the tables of a TOML file as a dict")
        if where is not None and not callable(where):
            raise ValueError(f"where is {short(where)}; give a function of a section, a number and a key, or None")
        folder = Path(check_path("folder", folder))
        where = where or (lambda section, number, key: named(section, key))
        known = ["rounds", "eval_every", "seeds", "task", "method", "optimizer", "network"]
        for key in tables:
            _located(where("", 0, key), check_name, "key", key, known)
        for key in ("rounds", "task", "method", "optimizer"):
            if key not in tables:
                raise ValueError(f"{where('', 0, '') or 'the spec'} has no {key}; give one")
        rounds = _values(tables["rounds"], (int,), where("", 0, "rounds"), single=True)[0]
        every = tables.get("eval_every")
        eval_every = None if every is None else _values(every, (int,), where("", 0, "eval_every"), single=True)[0]
        seeds = _values(tables.get("seeds", [0]), (int,), where("", 0, "seeds"))
        if is_kind(tables.get("seeds"), int):  # elsewhere a number of seeds
            raise ValueError(f"{where('', 0, 'seeds')} is {seeds[0]}; give a list, such as [0, 1, 2] for three seeds")
        every_values = () if eval_every is None else (eval_every,)
        for key, least, most, values in (
            ("rounds", 1, MAX_COUNT, (rounds,)),
            ("eval_every", 1, MAX_COUNT, every_values),
            ("seeds", 0, MAX_SEED, seeds),
        ):
            for value in values:
                check_integer(where("", 0, key), value, least, maximum=most)
        given = tables["method"] if is_kind(tables["method"], list) else [tables["method"]]
        if not given:
            raise ValueError(f"{where('', 0, 'method')} is an empty list; give at least one [[method]]")
        methods = tuple(_part("method", index, one, where) for index, one in enumerate(given))
        for index, one in enumerate(methods):
            _check_apart(one, methods[:index], where("method", index, "name"))
        task, optimizer = (_part(one, 0, tables[one], where) for one in ("task", "optimizer"))
        taken = {key for part in (task, optimizer, *methods) for key in part.values} | {*NAMING, *COLUMNS}
        return SweepSpec(
            task=task,
            methods=methods,
            optimizer=optimizer,
            rounds=rounds,
            eval_every=eval_every,
            seeds=seeds,
            network=_networks(tables["network"], where, folder, taken) if "network" in tables else None,
        )

    def cells(self) -> "list[Cell]":
        """One cell for each combination of structure, in a fixed order."""
        networks = (None,) if self.network is None else (*self.network.files,)
        structures = [
            (task, method, own, optimizer, network)
            for method in self.methods
            for task, own, optimizer, network in product(
                self.task.structures(), method.structures(), self.optimizer.structures(), networks
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
    network: str | None = None
    """Its file, of those of the spec."""

    @property
    def file(self) -> str:
        """Name of its part file."""
        return f"cell-{self.index:05d}.parquet"


def _part(section: str, number: int, given: Any, where: Where) -> Part:
    place, remedy = where(section, number, ""), f"give a table with name = one of {', '.join(_names(section))}"
    if not is_kind(given, Mapping):
        raise ValueError(f"{place} is {short(given)}; {remedy}")
    given = check_mapping(place, given, "give a table")
    if "name" not in given:
        nearest = difflib.get_close_matches("name", map(str, given), n=1)
        raise ValueError(f"{place} has no name{f', but {nearest[0]!r}' if nearest else ''}; {remedy}")
    place = where(section, number, "name")
    asked = _values(given["name"], (str,), place, single=True)[0]
    name, factory, fixed = _located(place, find, section, asked)
    missing = [key for key in required(factory) if key not in {*given, *fixed, "optimizer"}]
    if missing:
        raise ValueError(f"{place}: {asked} needs {' and '.join(missing)}; give a value, or a list of them")
    values: Table = {key: (value,) for key, value in fixed.items()}
    numbers = []
    for key, value in given.items():
        if key != "name":
            place = where(section, number, key)
            if key in fixed:
                raise ValueError(f"{place} is {short(value)}, which {asked} fixes; leave it out, or give {name}")
            kinds = _located(place, factories.kinds_of, f"{section} {asked}", key, factory)
            values[key] = _values(value, kinds, place)
            for one in values[key]:
                _check_value(section, factory, key, one, place)
            numbers += [key] if kinds == (float,) else []
    return Part(name, values, tuple(numbers))


def _networks(given: Any, where: Where, folder: Path, taken: set[str]) -> Networks:
    """The networks of a spec: a file, a list of files, or a table of both ``file`` and numbers of the network.

    Args:
        given: in the spec.
        where: keys stand.
        folder: to which paths are relative.
        taken: names of columns, in place of which a number of the network goes by its full name.
    """
    table = check_mapping("network", given, "give a table") if is_kind(given, Mapping) else {"file": given}
    place = where("network", 0, "file") if is_kind(given, Mapping) else where("", 0, "network")
    if "file" not in table:
        raise ValueError(f"{where('network', 0, '')} has no file; give file = the path of the TOML file of a network")
    paths = _values(table.pop("file"), (str,), place)
    files = {path: _located(place, from_toml, Network, folder / path, "network") for path in paths}
    values: Table = {}
    called: dict[str, str] = {}
    for path, listed in _flat(table):
        key, place = ".".join(path), where(".".join(("network", *path[:-1])), 0, path[-1])
        full_names = [_located(place, _full_name, key, network) for network in files.values()]
        column = full_names[0] if key in taken else key
        if column in values or full_names[0] in [_full_name(one, files[paths[0]]) for one in called.values()]:
            raise ValueError(f"{place} is a number that the table has under another name too; give it once")
        values[column], called[column] = _values(listed, (float,), place), key
        for network, full in zip(files.values(), full_names, strict=True):
            for value in values[column]:
                _located(place, replaced, network, full.split(".")[1:], check_number(place, value))
    return Networks(files, values, called)


def _full_name(name: str, network: Network) -> str:
    """The full name of a number of the network, which is given by this or by its last names."""
    known = numbers_in(network, "network.")
    matching = [name] if name in known else meant(name, known)
    if len(matching) > 1:
        raise ValueError(f"{name!r} may be {' or '.join(matching)}; give one of these names")
    if not matching:
        last_names = [full.split(".")[-1] for full in known]
        unique = {one for one in last_names if last_names.count(one) == 1}
        if not known:
            raise ValueError(f"{name!r} is no number of the network, which has none; write it into the network's file")
        check_name("number of the network", name, {*known, *unique})
    return matching[0]


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of tables in tables, by the keys that lead to them."""
    for key, value in table.items():
        if is_kind(value, Mapping) and not value:
            raise ValueError(f"{key} of the network is an empty table; give a number, or a list of them")
        inner = _flat(check_mapping(key, value, "give a table")) if is_kind(value, Mapping) else [((), value)]
        yield from (((key, *path), one) for path, one in inner)


def _check_apart(method: Part, others: Sequence[Part], place: str) -> None:
    """Refuse a combination that an earlier block has too: its runs would count twice."""
    for other in others:
        if other.name == method.name and other.values.keys() == method.values.keys():
            shared = {key: [one for one in values if one in other.values[key]] for key, values in method.values.items()}
            if all(shared.values()):
                told = ", ".join(f"{key} = {values[0]}" for key, values in shared.items())
                raise ValueError(f"{place}: {method.name} with {told} is in an earlier block too; give it only once")


def _check_value(section: str, factory: Factory, key: str, value: Any, place: str) -> None:
    """Refuse at once what no run takes: numbers that are not finite, hyperparameters out of range, unknown graphs."""
    if is_kind(value, float):
        check_number(place, value, minimum=-math.inf)
    if section == "optimizer" and key == "learning_rate":
        check_number(place, value, exclusive=True)
    elif section == "optimizer":
        _located(place, check_hyperparameter, factory, key, value)
    elif key == "topology":
        _located(place, check_topology, key, value)


def find(section: str, name: str) -> tuple[str, Factory, dict[str, Any]]:
    """The full name of a task, method or optimizer, its factory, and the parameters that its name fixes.

    Args:
        section: which of the three.
        name: one of telejax, or "package.module:name".

    Raises:
        ValueError: there is none.
    """
    if section == "method":
        return registry.find(name)
    return name, factories.find(section, name, TASKS if section == "task" else BY_NAME), {}


def _names(section: str) -> Sequence[str]:
    return {"method": registry.NAMES, "task": tuple(TASKS), "optimizer": tuple(BY_NAME)}[section]


def _values(given: Any, kinds: tuple[type, ...], place: str, single: bool = False) -> tuple[Any, ...]:
    several = is_kind(given, list | tuple) and not single
    listed = check_list(place, given, "give a list of values") if several else [given]
    if not listed:
        raise ValueError(f"{place} is an empty list; give at least one value")
    values = []
    for value in listed:
        whole_number = type(value) is int and kinds == (float,)
        if type(value) not in kinds and not whole_number:
            more = "" if single else ", or a list of them"
            raise ValueError(f"{place} is {short(value)}; give {' or '.join(WORDS[kind] for kind in kinds)}{more}")
        if type(value) is int and kinds != (float,) and abs(value) >= 2**63:
            raise ValueError(f"{place} is {short(value)}; give an integer below 2^63")
        if whole_number and abs(value) > LARGEST:
            raise ValueError(f"{place} is {short(value)}; give a number of at most {LARGEST:.2g}, the largest float32")
        values.append(float(value) if whole_number else value)
    with np.errstate(over="ignore"):  # infinity is refused where it is used
        rounded = [np.asarray(one, jnp.result_type(float)).item() for one in values] if kinds == (float,) else values
    if len(set(rounded)) < len(values):
        told = "" if len(set(values)) < len(values) else f", of which some are the same in {jnp.result_type(float)}"
        raise ValueError(f"{place} is {listed}{told}; give each value only once")
    return tuple(values)


def _located(place: str, check: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _combinations(axes: Table) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def canonical(spec: SweepSpec, code: bool = True) -> dict[str, Any]:
    """The spec in JSON's types, to be stored and compared; with the code of the user's that it names, or without."""
    from telejax.simulation.fingerprint import fingerprint

    found = dict(json.loads(json.dumps(fingerprint(spec))))
    if jnp.result_type(float) == np.float64:
        found["precision"] = "float64"
    for path in [value for value in found.values() if code and isinstance(value, str) and factories.is_path(value)]:
        with suppress(ValueError):  # of a text that is no path, or of a module that cells will ask for
            found |= fingerprint(factories.imported("name", path), path, strict=False)
    return found if spec.network is not None else {name: value for name, value in found.items() if name != "network"}
