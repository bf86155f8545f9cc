"""A site file: TOML with a table for each group of sites, and one each for data, model, aim, prices, server, network.

Whatever is wrong is a ValueError that names the file, the line and the key.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from telejax.backend.toml_file import Where, read_toml
from telejax.errors import check_name, check_path, short
from telejax.network import Network, links
from telejax.network.from_file import check_tables, from_tables, located, table_of
from telejax.network.link_kinds import Uniform
from telejax.studies.advice.site_data import check_files, files_of
from telejax.studies.advice.sites import Aim, Data, Group, Learner, Prices, Sites

REACHED_BY = {
    "latency": "a site is reached over its line",
    "bandwidth": "a site is reached over its line",
    "seconds": "a gradient takes a site some seconds",
}
"""Keys of a site without which no time is known, and why."""
PARTS = ("faults", "activation")
"""Tables of a network that a site file may have too; its links, machines and presence are the sites'."""
TABLES = ("site", "data", "model", "aim", "prices", "server", "network", *PARTS)


def read_sites(path: str | os.PathLike[str], argument: str = "path") -> Sites:
    """The sites that a file describes, with their data files looked for.

    Args:
        path: of the file.
        argument: what the path was given as, for errors.

    Raises:
        ValueError: no file, no TOML, an unknown table or key, a value out of its range, a site without a line, without
            samples, or whose data file is absent; with file, line and key.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "sites.toml")
    >>> site = "[[site]]\\ncount = 3\\nsamples = 40\\nlatency = 0.02\\nbandwidth = 1e6\\nseconds = 0.5\\n"
    >>> written = file.write_text(site + "[aim]\\naccuracy = 0.9")
    >>> read_sites(file).nodes
    3
    """
    tables, where = read_toml(argument, path)
    folder = Path(path).parent
    check_tables(tables, where, TABLES, "a site file")
    given = tables.get("site", [])
    groups = [given] if isinstance(given, Mapping) else given
    if not isinstance(groups, list) or not groups or not all(isinstance(one, Mapping) for one in groups):
        raise ValueError(
            f"{where('site', 0, '')} is {short(given)}; give one [[site]] with count, samples, latency, bandwidth, "
            "seconds for each group of sites that are alike"
        )
    made = [_group(where, number, table, folder) for number, table in enumerate(groups)]
    if made[0].data is not None:
        with located(where, "site", [], "data", number=len(made) - 1):
            check_files([one for one in made if one.data is not None])
    if "aim" not in tables:
        raise ValueError(f"{path} has no [aim]; give one, with the accuracy that is to be reached")
    kinds: dict[str, Callable[..., Any]] = {"data": Data, "model": Learner, "aim": Aim, "prices": Prices}
    parts = {name: _made(where, name, 0, tables[name], kind) for name, kind in kinds.items() if name in tables}
    if "server" in tables:
        parts["server"] = _made(where, "server", 0, tables["server"], links.uniform, Uniform)
    table_of(where, "network", tables.get("network", {}))
    usual = {"network": {"contention": True, **tables.get("network", {})}}
    parts["world"] = from_tables(Network, {**tables, **usual}, where, folder, PARTS, links=links.uniform())
    with located(where, "", [], tables=tables):
        return Sites(made, **parts)


def _group(where: Where, number: int, table: Mapping[str, Any], folder: Path) -> Group:
    """One group of sites, with the paths of its files."""
    table = dict(table)
    _check_keys(where, "site", number, table, Group)
    for key, why in REACHED_BY.items():
        if key not in table:
            raise ValueError(f"{where('site', number, '')} has no {key}; give it, for {why}")
    if "data" in table:
        with located(where, "site", [], "data", number=number):
            table["data"] = str(folder / check_path("data", table["data"], "give the path of a CSV file"))
    group = _made(where, "site", number, table, Group)
    if group.data is not None:
        with located(where, "site", [], "data", number=number):
            if absent := [file for file in files_of(group) if not file.is_file()]:
                more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
                raise ValueError(
                    f"there is no file {str(absent[0])!r}{more}; give the files of all {group.count} sites"
                )
    return group


def _made(
    where: Where, name: str, number: int, table: Any, make: Callable[..., Any], kind: type[Any] | None = None
) -> Any:
    """What a table describes, made of its keys."""
    table = table_of(where, name, table)
    of = _check_keys(where, name, number, table, kind or make)  # type: ignore[arg-type]
    needed = [one.name for one in of if one.default is MISSING and one.default_factory is MISSING]
    if missing := [one for one in needed if one not in table]:
        raise ValueError(f"{where(name, number, '')} has no {' and no '.join(missing)}; give it")
    with located(where, name, table, number=number):
        return make(**table)


def _check_keys(
    where: Where, name: str, number: int, table: Mapping[str, Any], kind: type[Any]
) -> Sequence[Field[Any]]:
    """The fields of a kind, or a ValueError where a table has a key that is none of them."""
    of = fields(kind)
    for key in table:
        with located(where, name, [], key, number=number):
            check_name(f"key of [{name}]", key, [one.name for one in of])
    return of
