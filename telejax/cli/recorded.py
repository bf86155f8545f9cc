"""What a command writes down of itself, so that its report can say how to run it again."""

import dataclasses
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from telejax.cli.interrupt import Command
from telejax.version import __version__

LEFT_OUT = ("out", "force", "progress", "cache")
"""Options that do not change what is computed."""
PACKAGES = ("jax", "jaxlib", "numpy", "optax", "flax", "polars")


def recorded(options: Command) -> dict[str, Any]:
    """The command line that gives these options, and the versions that ran it."""
    versions = {"telejax": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # vendored
            continue
    return {"command": command_line(options), "versions": versions}


def command_line(options: Command) -> str:
    """The shortest command that gives these options.

    >>> from telejax.cli.methods import Methods
    >>> command_line(Methods(nodes=32))
    'telejax methods --nodes 32'
    """
    words = ["telejax", type(options).__name__.lower()]
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if field.name in LEFT_OUT or value == field.default:
            continue
        name = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, tuple | list):
            words += [f"--{name}", *map(str, value)]
        else:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
