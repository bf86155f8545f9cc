"""Progress in a file is lines without control codes, and few of them."""

import sys

import pytest

from telejax.backend.bars import progress_bar


def test_no_terminal_gets_lines_now_and_then(capsys) -> None:
    now = [0.0]
    with progress_bar(total=4, desc="one", unit="round", leave=False) as bar:
        bar._time = lambda: now[0]
        bar.start_t = bar.last_print_t = 0.0
        for second in (1.0, 11.0, 12.0, 30.0):
            now[0] = second
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["one: 2 of 4 rounds", "one: 4 of 4 rounds"]
    assert all(line.isprintable() for line in lines)


def test_a_terminal_gets_a_bar(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(total=2, desc="one", unit="round", leave=False) as bar:
        bar.update()
    assert "\r" in capsys.readouterr().err


def test_neither_where_none_is_wanted_or_none_can_be_seen(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_bar(total=2, desc="one", unit="round", show=False) as bar:
        bar.update()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar(total=2, desc="one", unit="round") as bar:
        bar.update()
    assert bar.disable
