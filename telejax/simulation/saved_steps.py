"""A folder of numbered checkpoints of one run, each whole or not there at all (orbax), and what they are of."""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from telejax.results.checksums import altered, write_checksums
from telejax.results.files import check_own_folder
from telejax.results.lock import HOLDER, LOCK, hold
from telejax.simulation.fingerprint import Plain, changed, difference, without

STAMP = 4
"""Words of 32 bits, drawn for every step and written into each of its parts, so that no part of another is read."""
PREFIX = "round"  # of a step's folder: one that is called 99 is the user's own
MOST = 200  # letters of an error of others
KEPT = 2  # checkpoints in the folder: the one before the last serves where the last cannot be read


class SavedSteps:
    """A context in which steps are written and read.

    Args:
        folder: where they are, made if it does not exist.
        identity: the fingerprint of what is run, saved with each.
        again: the same, computed anew: what the run itself has changed by the first step does not count.

    Raises:
        ValueError: the folder is a file, or holds a folder that is called as a step is and is none.
        OSError: the folder cannot be written, such as below a file.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Plain], again: Callable[[], Mapping[str, Plain]] | None = None
    ) -> None:
        check_own_folder("checkpoint", folder)
        self.folder, self.identity, self.again = folder.absolute(), dict(identity), again
        self.own: list[str] = []
        """What the run itself changes of what its code reads."""
        if self.folder.is_symlink() and not self.folder.exists():
            raise ValueError(f"checkpoint is {str(folder)!r}, a symbolic link to nothing; give the folder itself")
        try:
            is_file = self.folder.is_file()
        except OSError as error:  # such as a name that is too long
            raise self._unwritable(error) from error
        if is_file:
            raise ValueError(f"checkpoint is {str(folder)!r}, which is a file; give a folder")
        if any(parent.is_file() for parent in self.folder.parents):
            raise OSError(f"checkpoint is {str(folder)!r}, which cannot be written below a file; give another folder")
        if others := [step.name for step in steps_in(self.folder) if not _written(step)]:
            raise ValueError(
                f"checkpoint is {str(folder)!r}, whose folder {others[0]} is called as a checkpoint is and holds none; "
                "move it elsewhere, or give another folder"
            )
        self.last = 0
        """The step that was written or read last; 0 before."""

    def __enter__(self) -> Self:
        import orbax.checkpoint as ocp  # takes a second, which runs without checkpoints should not

        logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax tells every step, and what it raises too
        logging.getLogger("asyncio").addFilter(_is_news)
        options = ocp.CheckpointManagerOptions(step_prefix=PREFIX, max_to_keep=KEPT, enable_async_checkpointing=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = hold(self.folder)
        except BlockingIOError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            for step in _unfinished(self.folder):  # orbax itself would remove those of others, too
                shutil.rmtree(step, ignore_errors=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise
        return self

    def _unwritable(self, error: OSError) -> OSError:
        return OSError(f"checkpoint is {str(self.folder)!r}, which cannot be written: {error}; give another folder")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()
        self._lock.release()

    def newest(self) -> int | None:
        """The last whole step; None where there is none.

        Raises:
            ValueError: it is damaged, or of something else; the error says what differs.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        if wrong := altered(self._folder_of(step)):
            raise self._unreadable(step, f"{wrong[0]} in it is not what was written, its checksum differs")
        before = self.read(step)["identity"]
        self.own = list(before["own"])
        if differs := difference(*(without(one, self.own) for one in (before["run"], self.identity))):
            raise ValueError(
                f"checkpoint is {str(self.folder)!r}, which holds another run: {differs}; "
                "give the same arguments, or another folder"
            )
        self.last = step
        return int(step)

    def read(self, step: int, **items: Any) -> Mapping[str, Any]:
        """What these orbax arguments restore of a step, and its ``identity``.

        Raises:
            ValueError: it cannot be read, an older version wrote it, or a part of it is of another step.
        """
        import orbax.checkpoint as ocp

        stamp = np.zeros(STAMP, np.uint32)
        with_stamp = lambda one: one if one.item is None else replace(one, item={"stamp": stamp, "part": one.item})
        asked = {name: with_stamp(one) for name, one in items.items()}
        try:
            found = self._manager.restore(step, args=ocp.args.Composite(identity=ocp.args.JsonRestore(), **asked))
            if "stamp" not in found["identity"]:
                raise ValueError("an older version of telejax wrote it")
            stamps = {name: np.asarray(found[name]["stamp"]).tolist() for name in ("identity", *items)}
            if others := [name for name, one in stamps.items() if one != stamps["identity"]]:
                raise ValueError(f"{' and '.join(others)} of it is of another step")
            return {name: found[name]["part"] for name in stamps}
        except Exception as error:  # of many kinds, from JSON, orbax and tensorstore
            raise self._unreadable(step, _brief(error)) from error

    def _folder_of(self, step: int) -> Path:
        return self.folder / f"{PREFIX}_{step}"

    def _unreadable(self, step: int, why: object) -> ValueError:
        return ValueError(
            f"checkpoint is {str(self.folder)!r}, whose step {step} cannot be read: {why}; "
            f"remove its folder {self._folder_of(step).name} to go on from the one before"
        )

    def write(self, step: int, **items: Any) -> None:
        """Write what these orbax arguments hold, beside the identity.

        Raises:
            OSError: it cannot be written; the step before is kept.
        """
        import orbax.checkpoint as ocp

        words = [secrets.randbits(32) for _ in range(STAMP)]
        if self.again is not None:
            self.own = sorted({*self.own, *changed(self.identity, self.again())})
            self.again = None
        parts = {"identity": ocp.args.JsonSave({"run": self.identity, "own": self.own}), **items}
        stamp = lambda one: words if isinstance(one, ocp.args.JsonSave) else np.array(words, np.uint32)
        arguments = {name: replace(one, item={"stamp": stamp(one), "part": one.item}) for name, one in parts.items()}
        try:
            if (place := self._folder_of(step)).exists() and not _written(place):
                raise FileExistsError(f"{place.name} is there, which telejax did not write")
            self._manager.save(step, args=ocp.args.Composite(**arguments), force=True)
        except Exception as error:  # a full disk is an OSError, or one of several kinds that tensorstore raises
            kept = "nothing was saved before" if not self.last else f"round {self.last} is kept"
            raise OSError(
                f"checkpoint is {str(self.folder)!r}, which cannot be written: {_brief(error)}; {kept}, "
                "make room and run again to go on from there"
            ) from error
        self.last = step
        with suppress(OSError):  # a whole step is read without them, too
            write_checksums(place, [str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()])


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of asyncio is more than what the error of a step says already, of each of its parts anew."""
    told = record.getMessage()
    return "never retrieved" not in told or not any(name in told for name in ("orbax", "OCDBT", "tensorstore"))


def _brief(error: Exception) -> str:
    """An error of others: what the system says, where tensorstore wraps it in pages, or else the first line."""
    told = str(error).strip()
    if code := re.search(r"os_error_code='(\d+)'", told):
        return os.strerror(int(code[1]))
    return getattr(error, "strerror", None) or told.partition("\n")[0][:MOST]


def steps_in(folder: Path) -> list[Path]:
    """What is called as a step is, in a folder that need not exist."""
    return sorted(step for step in folder.glob(f"{PREFIX}_*") if re.fullmatch(rf"{PREFIX}_\d+", step.name))


def _written(step: Path) -> bool:
    """Whether telejax wrote it, and not the user."""
    return (step / "identity").is_dir()


def _unfinished(folder: Path) -> list[Path]:
    """Steps that were being written when a process ended."""
    return [one for one in folder.glob(f"{PREFIX}_*") if re.match(rf"{PREFIX}_\d+\.orbax-checkpoint-tmp", one.name)]


def remove_steps(folder: Path) -> None:
    """Remove what was written to a folder, unfinished steps too, and the folder where nothing else is in it."""
    for step in [*filter(_written, steps_in(folder)), *_unfinished(folder)]:
        shutil.rmtree(step, ignore_errors=True)
    for name in (LOCK, HOLDER):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
