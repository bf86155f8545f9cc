"""Folders of results: written whole or not at all, and never over another by accident."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class new_folder:
    """A context in which a folder is filled aside and put in place only when all of it is written."""

    def __init__(self, path: str | os.PathLike[str], overwrite: bool) -> None:
        self.path, self.overwrite = Path(path), overwrite
        check_free(self.path, overwrite)

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.aside = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        return self.aside

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            check_free(self.path, self.overwrite)
            if self.path.exists():
                shutil.rmtree(self.path)
            self.aside.chmod(0o755)
            self.aside.rename(self.path)
        else:
            shutil.rmtree(self.aside)


def write_whole(file: Path, write: Callable[[Path], Any]) -> None:
    """``write`` a file aside and put it in place when it is whole; a kill or a full disk leaves the one before."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        write(aside)
        aside.replace(file)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def check_free(path: Path, overwrite: bool) -> None:
    """Raise a FileExistsError if ``path`` exists and may not be replaced, an OSError if it cannot be written."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"the folder {str(path)!r} exists; choose another, or overwrite it (overwrite=True, --force)"
        )
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=parent)).rmdir()
    except OSError as error:
        raise OSError(f"the folder {str(path)!r} cannot be written: {error.strerror}; choose another") from error
