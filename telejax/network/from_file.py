"""A network from a TOML file: a table for each part, with the arguments of the function that makes it.

Whatever is wrong is a ValueError that names the file, the line and the key.
"""

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from telejax.backend.factories import Factory, required
from telejax.backend.toml_file import Where, read_toml
from telejax.errors import check_name, check_path, short
from telejax.network import activation, faults, links, machines, presence
from telejax.network.adversary import KINDS as ADVERSARIES
from telejax.network.link_kinds import Links, Uniform

FACTORIES: dict[str, dict[str, Factory]] = {
    "links": {
        "uniform": links.uniform,
        "preferred": links.preferred,
        "sites": links.sites,
        "plane": links.plane,
        "server": links.server,
        "csv": links.from_csv,
    },
    "machines": {
        "constant": machines.constant,
        "lognormal": machines.lognormal,
        "stragglers": machines.stragglers,
        "csv": machines.from_csv,
    },
    "presence": {"epochs": presence.epochs, "markov": presence.markov, "trace": presence.trace},
    "activation": {
        "uniform": activation.uniform,
        "weighted": activation.weighted,
        "shuffled_epochs": activation.shuffled_epochs,
        "duty": activation.duty,
        "adaptive": activation.adaptive,
    },
    "faults": {"independent": faults.independent},
    "adversary": ADVERSARIES,
}
"""Of each table the kinds, and what makes them; their parameters are the keys."""

OF_A_RUN = ("load", "record", "nodes")
"""Of a network what no file says: a run asks for it, or its task knows it."""


def from_toml(kind: type[Any], path: str | os.PathLike[str], argument: str = "path") -> Any:
    """The network that a file describes; see :meth:`telejax.Network.from_toml`.

    Args:
        kind: the class of networks.
        path: of the file.
        argument: what the path was given as, for errors.
    """
    tables, where = read_toml(argument, path)
    check_tables(tables, where, ["network", *FACTORIES], "a network")
    return from_tables(kind, tables, where, Path(path).parent)


def check_tables(tables: Mapping[str, Any], where: Where, known: Sequence[str], of: str) -> None:
    """Raise a ValueError where a file has a table that is none of those that are known."""
    for key, given in tables.items():
        table, key_of = (key, "") if isinstance(given, Mapping | list) else ("", key)
        with located(where, table, [], key_of):
            check_name(f"table of {of}", key, known)


def from_tables(
    kind: type[Any],
    tables: Mapping[str, Any],
    where: Where,
    folder: Path,
    parts: Sequence[str] = tuple(FACTORIES),
    **given: Any,
) -> Any:
    """The network of the tables of a file.

    Args:
        kind: the class of networks.
        tables: of the file, those of other things among them.
        where: they stand.
        folder: to which the paths in it are relative.
        parts: the tables that are read, beside that of the network.
        given: parts that are not in the file.
    """
    own = table_of(where, "network", tables.get("network", {}))
    known = [one.name for one in fields(kind) if one.name not in FACTORIES and one.name not in OF_A_RUN]
    for key in own:
        with located(where, "network", [], key):
            check_name("key of [network]", key, known)
    file = _File(where, folder)
    made_of = {name: file.part(name, tables[name], FACTORIES[name]) for name in parts if name in tables}
    with located(where, "network", own, tables=made_of):
        made = kind(**given, **own, **made_of)
        made.check()
    return made


@dataclass(frozen=True)
class _File:
    where: Where
    folder: Path
    """To which the paths in it are relative."""

    def part(self, name: str, given: Any, kinds: Mapping[str, Factory], usual: str | None = None) -> Any:
        """What a table describes.

        Args:
            name: of the table, with dots.
            given: its keys and values.
            kinds: that it may be of.
            usual: the kind where it has none.
        """
        table = dict(table_of(self.where, name, given, kinds))
        if usual is None and "kind" not in table:
            raise ValueError(f"{self.where(name, 0, '')} has no kind; give kind = one of {', '.join(kinds)}")
        kind = table.pop("kind", usual)
        with located(self.where, name, [], "kind"):
            factory = kinds[check_name(f"kind of {name}", kind, kinds)]
        parameters = inspect.signature(factory).parameters
        for key in table:
            with located(self.where, name, [], key):
                check_name(f"key of {name} of kind {kind!r}", key, ["kind", *parameters])
        if missing := [key for key in required(factory) if key not in table]:
            raise ValueError(f"{self.where(name, 0, '')} of kind {kind!r} needs {' and '.join(missing)}; give it")
        values = {key: self._value(f"{name}.{key}", value, parameters[key]) for key, value in table.items()}
        with located(self.where, name, values):
            if "path" in values:
                values["path"] = self.folder / check_path("path", values["path"], "give the path of a CSV file")
            return factory(**values)

    def _value(self, name: str, given: Any, parameter: inspect.Parameter) -> Any:
        """What a parameter is given: links where it takes links, else the value as it is."""
        takes = get_args(parameter.annotation)
        if Links in takes:
            return self.part(name, given, FACTORIES["links"])
        if Uniform in takes:
            return self.part(name, given, {"uniform": links.uniform}, usual="uniform")
        return given


def table_of(where: Where, name: str, given: Any, kinds: Iterable[str] = ()) -> Mapping[str, Any]:
    """A table of a file, or a ValueError where something else stands in its place."""
    if not isinstance(given, Mapping):
        example = "".join(f" with kind = {kind!r}" for kind in list(kinds)[:1]).replace("'", '"')
        place = where(name, 0, "")
        raise ValueError(f"{place} is {short(given)}; give one table [{name}]{example}")
    return given


@contextmanager
def located(
    where: Where, table: str, keys: Iterable[str], key: str = "", tables: Iterable[str] = (), number: int = 0
) -> Iterator[None]:
    """Say of an error where in the file its cause is: at a key, or at that which its first words name.

    Args:
        where: keys stand.
        table: of the keys,
        keys: that the error may be about;
        key: or the one that it is about.
        tables: other tables that it may be about.
        number: of the table, among those of its name.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        keys, words = list(keys), re.findall(r"\w+", str(error))[:2]
        other = next((word for word in words if word in tables), None)
        about = key or next((word for word in words if word in keys), "path" if "path" in keys else "")
        place = where(table, number, about) if other is None else where(other, 0, "")
        raise ValueError(f"{place}: {_unread(error) if isinstance(error, OSError) else error}") from error


def _unread(error: OSError) -> str:
    """Why a file could not be read, and the remedy, which errors of telejax's own readers have already."""
    told = f"{error.filename!r}: {error.strerror}" if error.filename and error.strerror else str(error)
    return f"{told}; give a file that can be read" if error.errno else told
