"""``telejax doctor``: what this machine has and what the package makes of it, as a table."""

import importlib
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from telejax.cli.interrupt import Command
from telejax.version import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "polars", "matplotlib")
"""Whose versions are told."""
EXTRAS = {
    "report": "altair",
    "matcha": "rustworkx",
    "privacy": "dp_accounting",
    "fastest": "mixingmatrix",
    "notebook": "ipywidgets",
    "cuda13": "jax_cuda13_plugin",
}
"""The package's extras, and a module that each brings."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
GIGABYTE = 1e9


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    found: str
    stops: bool = False
    """Whether no run is possible like this."""


@dataclass(frozen=True)
class Doctor(Command):
    """Tell what this machine has and what telejax makes of it: versions, devices, memory, data sets, extras.

    Ends with code 1 where something stops a run, and says what to do; what is merely absent is a note.
    """

    def run(self) -> int:
        from telejax.cli.output import Output

        if "jax" not in sys.modules:  # else jax takes most of an accelerator's memory, and there may be a run on it
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        sections = {title: _examined(title) for title in SECTIONS}
        output = Output()
        output.print(_table(sections))
        stopping = [row for rows in sections.values() for row in rows if row.stops]
        output.say(
            f"What stops a run: {', '.join(row.what for row in stopping)}" if stopping else "Nothing here stops a run."
        )
        return 1 if stopping or output.failed else 0


def versions() -> Iterator[Row]:
    """Of this package, of Python and of what it stands on."""
    yield Row("telejax", __version__)
    yield Row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        try:
            yield Row(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Row(name, "not installed; pip install telejax brings it", stops=True)


def machine() -> Iterator[Row]:
    """Cores, memory and the working folder."""
    import psutil

    affinity = getattr(os, "sched_getaffinity", None)  # of Linux alone
    cores, usable = os.cpu_count() or 1, len(affinity(0)) if affinity else os.cpu_count() or 1
    yield Row("CPU cores", f"{cores}" if usable == cores else f"{usable} for this process, of {cores}")
    memory = psutil.virtual_memory()
    yield Row("memory", f"{memory.available / GIGABYTE:.1f} GB free of {memory.total / GIGABYTE:.1f} GB")
    try:
        here = Path.cwd()
    except OSError:
        yield Row("working folder", "is deleted; change to another folder", stops=True)
        return
    writable = os.access(here, os.W_OK)
    yield Row("working folder", f"{here}" if writable else f"{here} cannot be written; give commands --out elsewhere")


def devices() -> Iterator[Row]:
    """What jax computes on, tried with one small program."""
    try:
        import jax
    except Exception as error:  # of jaxlib or of a plugin, whatever they raise
        yield Row("jax", f"does not import ({_line(error)}); pip install --upgrade jax jaxlib", stops=True)
        return
    from telejax.backend.sharding import check_platform

    try:
        check_platform()
    except ValueError as error:
        yield Row("devices", str(error), stops=True)
        return
    kinds = [device.device_kind for device in jax.devices()]
    told = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in sorted(set(kinds)))
    yield Row("devices", f"{jax.default_backend()}: {told}")
    for device in jax.devices():
        with suppress(Exception):  # not every platform counts its memory
            if limit := (device.memory_stats() or {}).get("bytes_limit"):
                yield Row(f"memory of device {device.id}", f"{limit / GIGABYTE:.1f} GB")
    began = time.perf_counter()
    try:
        jax.jit(lambda x: x + 1)(1.0).block_until_ready()
    except Exception as error:
        remedy = "free it of other processes, or set JAX_PLATFORMS=cpu"
        yield Row("first program", f"fails ({_line(error)}); {remedy}", stops=True)
        return
    yield Row("first program", f"compiled and run in {1e3 * (time.perf_counter() - began):.0f} ms")
    yield from _choices()


def _choices() -> Iterator[Row]:
    """What depends on the device."""
    import jax
    import jax.numpy as jnp

    from telejax.backend import memory
    from telejax.backend.precision import PRECISIONS, check_precision

    numbers = jnp.result_type(float)
    yield Row("numbers", f"{numbers}; JAX_ENABLE_X64=1 takes float64" if numbers == jnp.float32 else f"{numbers}")
    offered = []
    for name in PRECISIONS:
        with suppress(ValueError):
            offered.append(check_precision(name) or "")
    yield Row("simulate(precision=)", ", ".join(offered) or "none of its own")
    room = memory.BYTES_AT_ONCE.get(jax.default_backend(), memory.BYTES_AT_ONCE_ACCELERATOR)
    yield Row("runs side by side", f"as many as work on {room / 2**20:.0f} MiB at once")
    if jax.default_backend() == "cpu":
        yield Row("nodes of lenet, vgg", f"divided over {os.cpu_count() or 1} devices, one a core")


def data_sets() -> Iterator[Row]:
    """Those that are built in, and those whose files are found."""
    from telejax.data.located import SETS, located

    has_digits = importlib.util.find_spec("sklearn") is not None
    yield Row("digits", "built in" if has_digits else "not found; pip install scikit-learn", stops=not has_digits)
    for name in SETS:
        yield Row(name, f"{located(name) or 'not found; set TELEJAX_DATA to the folder of its files'}")


def extras() -> Iterator[Row]:
    """Optional packages, and a browser, with which reports are tested."""
    for name, module in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        yield Row(name, f"installed ({module})" if found else f'not installed; pip install "telejax[{name}]"')
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Row("browser", browser or "not found; apt install chromium brings one, which only tests of reports want")


def programs() -> Iterator[Row]:
    """Where compiled programs are kept."""
    from telejax.backend.kept_programs import OFF, VARIABLE, folder, kept

    try:
        place = folder()
    except ValueError as error:
        yield Row("folder", str(error), stops=True)
        return
    if place is None:
        chosen = os.environ.get(VARIABLE, "").lower() == OFF
        yield Row("folder", f"none: {VARIABLE} is {OFF}" if chosen else f"none: no home; {VARIABLE} may name one")
        return
    yield Row("folder", str(place))
    parent = next(one for one in (place, *place.parents) if os.path.lexists(one))  # a link to nothing is no folder
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        told = f"{parent} cannot be written"
        given = bool(os.environ.get(VARIABLE))  # an error then, else it is off
        yield Row("kept", f"{told}; set {VARIABLE} to another folder, or {OFF}", stops=given)
        return
    number, size = kept(place)
    yield Row("kept", f"{number} programs, {size / 1e6:.1f} MB; {VARIABLE}={OFF} keeps none")


SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "versions": versions,
    "machine": machine,
    "devices": devices,
    "data sets": data_sets,
    "extras": extras,
    "compiled programs": programs,
}


def _examined(title: str) -> list[Row]:
    """The rows of a section; one that cannot be made, as where jax does not import, is a note."""
    try:
        return list(SECTIONS[title]())
    except Exception as error:
        return [Row(title, f"cannot be told ({_line(error)})")]


def _table(sections: dict[str, list[Row]]) -> Any:
    """The rows under the titles of their sections."""
    import rich.box
    from rich.text import Text

    from telejax.results.printed import PrintedTable

    table = PrintedTable(box=rich.box.SIMPLE_HEAD, show_edge=False, show_header=False, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for title, rows in sections.items():
        table.add_row(Text(title, style="bold"), "")
        for row in rows:
            table.add_row(f"  {row.what}", f"{'STOPS A RUN: ' if row.stops else ''}{row.found}")
    return table


def _line(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).splitlines() or [type(error).__name__])[0]
