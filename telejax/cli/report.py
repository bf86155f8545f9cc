"""``telejax report``: a folder of results as one page for people who did not run it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from telejax.cli.interrupt import Command


@dataclass(frozen=True)
class Report(Command):
    """Write a report of a folder of compare, search or sweep, or of a saved result.

    One HTML file that needs no network: the answer in plain words, interactive charts, tables, costs, and what speaks
    against. Needs pip install 'telejax[report]'.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """What telejax wrote."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.HTML")] = None
    """Where to write; by default report.html in the folder."""
    language: Literal["en", "ja"] = "en"
    """English or Japanese."""
    force: bool = False
    """Replace --out if it exists."""

    def kept(self) -> str:
        """What is left of a command that is interrupted."""
        return "nothing was written"

    def run(self) -> int:
        from telejax.cli.out_folder import one_at_a_time, seen
        from telejax.cli.output import Output, tell
        from telejax.results.files import write_file
        from telejax.results.report.folder import read_folder
        from telejax.results.report.page import check_file, check_installed, render
        from telejax.results.report.words import Words

        check_installed()
        before = seen(self.folder)
        subject = read_folder(str(self.folder), argument="FOLDER")
        file = check_file(self.folder / "report.html" if self.out is None else self.out, self.force, argument="--out")
        try:
            text = render(subject, Words(self.language))
        except Exception as error:  # of many kinds: every number of the folder is read
            raise ValueError(
                f"FOLDER is {str(self.folder)!r}, of which no report can be made ({error!r}); run the command that "
                "wrote it again"
            ) from error
        with one_at_a_time(self.folder):
            if seen(self.folder) != before:
                raise ValueError(f"FOLDER is {str(self.folder)!r}, which changed while it was read; run this again")
            try:
                write_file(file, text.encode())
            except OSError as error:
                tell(str(error))
                return 1
        output = Output()
        output.print(f"Written: {file}", soft_wrap=True)
        return 1 if output.failed else 0
