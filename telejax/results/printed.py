"""Tables on a terminal: what is written in them is printed as it is, and no number is cut."""

import copy
from dataclasses import replace
from typing import Any

import rich.box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

WIDEST = 10_000


class PrintedTable(Table):
    """A table whose texts are no markup; one that a console has no room for is as wide as its numbers are.

    Numbers are the columns on the right margin. Lines that are longer than those of a terminal are broken by it, or cut
    by a console that is told to crop them.

    >>> table = PrintedTable()
    >>> table.add_column("cost", justify="right", no_wrap=True)
    >>> table.add_row("3.75e+03 [EUR]")
    >>> table.columns[0].min_width
    14
    """

    def __init__(self, title: str | None = None, **options: Any) -> None:
        told = None if title is None else Text(title, style="table.title")
        super().__init__(title=told, title_justify="left", **options)

    def add_column(self, header: Any = "", *rest: Any, **options: Any) -> None:
        super().add_column(_plain(header), *rest, **options)
        self._make_room(len(self.columns) - 1, header)

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*map(_plain, cells), **options)
        for place, cell in enumerate(cells):
            self._make_room(place, cell)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrowed = copy.copy(self)
        folds = lambda column: column.overflow == "fold"
        narrowed.columns = [replace(one, max_width=one.min_width or 1) if folds(one) else one for one in self.columns]
        least = narrowed.__rich_measure__(console, options.update_width(WIDEST)).minimum
        yield from super().__rich_console__(console, options.update_width(max(least, options.max_width)))

    def _make_room(self, place: int, cell: Any) -> None:
        """For the longest line, or the longest word of what may be wrapped."""
        column = self.columns[place]
        if column.justify == "right" and isinstance(cell, str):
            pieces = cell.splitlines() if column.no_wrap else cell.split()
            column.min_width = max([column.min_width or 0, *map(cell_len, pieces)])


def tight_table(title: str) -> PrintedTable:
    """An empty table, one blank between its columns.

    >>> str(tight_table("25 nodes").title)
    '25 nodes'
    """
    return PrintedTable(title, box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))


def _plain(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell
