"""What studies of several runs share: how they are saved, and how their tables are printed."""

import json
import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from telejax.results.checksums import write_checksums
from telejax.results.files import new_folder, write_picture, write_table
from telejax.results.report.reported import Reported


class Kept(Reported):
    """A study that is saved as tables, a config and a picture."""

    picture: ClassVar[str]
    """The file of the picture."""

    @abstractmethod
    def _tables(self) -> Mapping[str, pl.DataFrame]:
        """File, which ends with .csv or .parquet, to what it holds."""

    @abstractmethod
    def _saved_config(self) -> dict[str, Any]:
        """The config as files and reports have it."""

    @abstractmethod
    def _picture(self) -> bytes:
        """The picture as PNG."""

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write the tables and config.json into a new folder, all or nothing, then the picture.

        A picture that cannot be drawn or written is a warning; the data are kept.

        Raises:
            ValueError: a path that is never replaced: empty, the working or home directory, a parent of these.
            FileExistsError: the folder exists and ``overwrite`` is False or it holds what telejax did not write; or
                the path is a file or a symbolic link.
            OSError: the folder cannot be written; what was there before is kept.
        """
        with new_folder(path, overwrite, later=[self.picture]) as folder:
            tables = self._tables()
            for name, table in tables.items():
                write_table(table, folder / name)
            (folder / "config.json").write_text(json.dumps(self._saved_config(), indent=2) + "\n")
            write_checksums(folder, [*tables, "config.json"])
        write_picture(Path(path) / self.picture, self._picture, kept=[*tables, "config.json"])
        return Path(path)
