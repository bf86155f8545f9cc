"""What is printed: no blanks at the end of a line, and lines that end between words."""

import re
import sys
from pathlib import Path

import pytest

from telejax.cli.output import Output, tell
from telejax.results.printed import tight_table

WORDS = "so many words that one line of a narrow terminal does not hold them, nor do two such lines"


def test_lines_have_no_blanks_at_their_end(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    def table() -> Table:
        made = Table("name", "number", show_edge=False, style="bold")
        made.add_row("a", "1")
        return made

    Output().print(table())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines == [line.rstrip() for line in lines] and "1" in lines[2]
    monkeypatch.setenv("FORCE_COLOR", "1")
    Output().print(table())
    coloured = capsys.readouterr().out
    assert "\x1b[" in coloured and not re.search(r" (\x1b\[[0-9;]*m)*\n", coloured)


def test_a_sentence_breaks_between_words_where_the_terminal_ends(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    Output().say(WORDS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(len(line) <= 40 for line in lines) and " ".join(lines) == WORDS


def test_an_error_breaks_between_words_on_a_terminal_alone(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    tell(WORDS)
    assert capsys.readouterr().err == f"telejax: {WORDS}\n"  # one line in a log
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tell(WORDS)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(len(line) <= 40 for line in lines) and " ".join(lines) == f"telejax: {WORDS}"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_has_its_texts_and_numbers_whole(capsys, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = tight_table("a title of [red]texts[/red]")
    table.add_column("method [bold]", min_width=9, overflow="fold")
    numbers = [f"{10**place:,} ±{place}e+{place}" for place in range(9)]
    for place in range(9):
        table.add_column(f"[/{place}]", justify="right", no_wrap=True)
    table.add_row("teleportation [dim]:smile:", *numbers)
    Output().print(table)
    printed = capsys.readouterr().out
    assert all(number in printed for number in numbers) and all(f"[/{place}]" in printed for place in range(9))
    assert "[red]texts[/red]" in printed
    method = "".join(line[:9].strip() for line in printed.splitlines() if line[:1] not in "a─")
    assert columns == 200 or method == "method[bold]teleportation[dim]:smile:"


def test_a_folder_is_named_as_it_is(capsys, tmp_path: Path) -> None:
    folder = tmp_path / "a[dim]b[" / "red]"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    Output().print_written(folder, ["config.json"])
    assert capsys.readouterr().out == f"Written: {folder}/config.json\n"
