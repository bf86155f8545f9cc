"""The method ``report`` of what studies and simulations return."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telejax.errors import check_kind, short

if TYPE_CHECKING:
    from telejax.results.report.subject import Subject


class Reported:
    """What can be told in a report."""

    def report(
        self, path: str | os.PathLike[str] | None = None, language: str = "en", overwrite: bool = False
    ) -> str | Path:
        """The report as one HTML file that needs no network: the answer in plain words, charts, tables, doubts.

        Args:
            path: the file to write; None returns the HTML as a text.
            language: "en" or "ja".
            overwrite: replace a file that exists.

        Returns:
            The HTML or, where it was written, the path.

        Raises:
            ValueError: an unknown language, or a package is missing that comes with ``telejax[report]``.
            FileExistsError: the file exists and ``overwrite`` is False.
            OSError: the file cannot be written.
        """
        from telejax.results.report.page import report

        return report(self._subject(), path, language, overwrite)

    @abstractmethod
    def _subject(self) -> "Subject":
        """What the report is about."""


def check_fields(record: Any, kinds: Mapping[str, type[Any]], of: type[Any] = object) -> None:
    """Raise a ValueError where a field of a record, or a value of a dictionary of records, is of another kind."""
    for name, kind in kinds.items():
        value = getattr(record, name)
        check_kind(name, value, kind, f"give a {kind.__name__}, as telejax makes it")
        if kind is dict and name != "config":
            for key, one in value.items():
                check_kind(f"{name}[{short(key)}]", one, of, f"give a {of.__name__}, as telejax makes it")
