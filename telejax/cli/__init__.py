"""The command ``telejax``; each subcommand is a dataclass of options with a method ``run``.

Nothing here imports jax before a subcommand runs, so that ``--help`` and mistyped options answer at once.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

import tyro

from telejax.backend.plain_numbers import is_plain_number
from telejax.cli.advise import Advise
from telejax.cli.compare import Compare
from telejax.cli.doctor import Doctor
from telejax.cli.interrupt import INTERRUPTED, Command, end, interruptible
from telejax.cli.methods import Methods
from telejax.cli.network import Network
from telejax.cli.output import discard, flush, tell
from telejax.cli.report import Report
from telejax.cli.search import Search
from telejax.cli.sweep import Sweep
from telejax.cli.topologies import Topologies
from telejax.version import __version__

SUBCOMMANDS: dict[str, Callable[..., Command]] = {
    "compare": Compare,
    "search": Search,
    "advise": Advise,
    "sweep": Sweep,
    "report": Report,
    "topologies": Topologies,
    "methods": Methods,
    "network": Network,
    "doctor": Doctor,
}


NARROWEST_HELP = 20  # columns
PATHS = ("--out", "--data-dir")
"""Options whose values may be any letters."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 2 for wrong input, 1 for a run that failed or could not be written.

    A closed pipe, as after ``| head``, is no error.
    """
    if 0 < shutil.get_terminal_size().columns < NARROWEST_HELP:  # in which help would break lines without end
        os.environ["COLUMNS"] = str(NARROWEST_HELP)
    with suppress(AttributeError, ValueError):  # no stream, or none of Python's
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # what an encoding lacks is no error
    try:
        return _run(arguments)
    finally:
        flush()


def command() -> None:
    """The program ``telejax``: :func:`main`, then the end of the process."""
    code = main()
    if code == INTERRUPTED:
        end()
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    if given == ["--version"]:
        return _said(__version__)
    if (loose := _loose_number(given)) is not None:
        tell(f"{loose[0]} is {loose[1]!r}; write numbers in plain digits, such as {float(loose[1]):g}")
        return 2
    if (twice := _given_twice(given)) is not None:
        tell(f"{twice} is given more than once; give it once, with all its values one after another")
        return 2
    try:
        options = tyro.extras.subcommand_cli_from_dict(
            SUBCOMMANDS,
            prog="telejax",
            description="Simulate decentralized learning with thousands to millions of nodes.\n\n"
            "telejax --version prints the version.",
            args=arguments,
        )
    except BrokenPipeError:  # enough of --help was read
        discard(sys.stdout)
        return 0
    except OSError as error:
        return _unwritable(error)
    except SystemExit as stop:
        if not stop.code:
            return _said("")  # the help is on its way
        named = [one for one in given[:1] if one in SUBCOMMANDS]
        tell(f"run {' '.join(['telejax', *named])} --help, which lists what may be given")
        raise
    try:
        with interruptible(options.kept):
            options.check()
            with options.surroundings():
                return int(options.run() or 0)
    except (ValueError, OSError) as error:
        tell(str(error))
        return 2
    except SystemExit as stop:  # of a function of the user's, for none of ours ends a command so
        named = [one for one in given if ":" in one]
        told = f"a function that was called ended the program with {stop!r}"
        tell(f"{told}, of {' or '.join(named) or 'those that the files name'}; let it return, or raise an error")
        return 2
    except MemoryError as error:
        tell(f"there is not enough memory: {error}; make the problem smaller, as with fewer nodes")
        return 2
    except KeyboardInterrupt:
        tell(f"interrupted; {options.kept()}")
        return INTERRUPTED


def _given_twice(given: Sequence[str]) -> str | None:
    """An option for several values that is there more than once, of which the last alone would count.

    Of one for a single value the last counts, as everywhere.

    >>> _given_twice(["compare", "--nodes", "8", "--nodes", "16"]), _given_twice(["compare", "--seed=1", "--seed=2"])
    ('--nodes', None)
    """
    command: Any = SUBCOMMANDS.get(given[0]) if given else None
    of = fields(command) if command else ()
    several = {f"--{one.name}".replace("_", "-") for one in of if "tuple" in str(one.type)}
    options = [text.partition("=")[0].replace("_", "-") for text in given if text.startswith("--")]
    return next((one for one in options if one in several and options.count(one) > 1), None)


def _said(text: str) -> int:
    """The exit code of a text that is printed."""
    try:
        print(text, end="\n" if text else "", flush=True)
    except BrokenPipeError:
        discard(sys.stdout)
    except OSError as error:
        return _unwritable(error)
    return 0


def _unwritable(error: OSError) -> int:
    """The exit code where standard output cannot be written, which is told."""
    discard(sys.stdout)
    tell(f"standard output cannot be written: {error}")
    return 1


def _loose_number(given: Sequence[str]) -> tuple[str, str] | None:
    """An option, and a value of it that Python alone reads as a number: 1_0, or digits of another script.

    >>> _loose_number(["compare", "--nodes", "25", "1_0"]), _loose_number(["report", "1_0"])
    (('--nodes', '1_0'), None)
    """
    option = ""
    for text in given:
        if text.startswith("--"):
            option = text
        elif option and option not in PATHS and _is_number(text) and not is_plain_number(text):
            return option, text
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
