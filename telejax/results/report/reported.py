"""The method ``report`` of what studies and simulations return."""

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

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
