"""Compiled programs are kept for later commands; whatever is wrong with the folder, no command fails or says so."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

from telejax.backend import kept_programs
from telejax.backend.kept_programs import keep_programs, kept
from telejax.cli import main

pytestmark = pytest.mark.usefixtures("compiled_fast")

TINY = ["compare", "--dataset", "quadratic", "--nodes", "8", "--rounds", "4", "--eval-every", "2", "--seeds", "1"]
TINY += ["--methods", "token", "--learning-rates", "0.02", "0.05", "--no-progress", "--force", "--out"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command line uses."""
    monkeypatch.setenv("TELEJAX_CACHE", str(tmp_path / "programs"))
    found = kept_programs.folder()
    assert found is not None and found.parent == tmp_path / "programs"
    return found


@pytest.fixture
def hits() -> Iterator[Callable[[], int]]:
    """How many programs jax has taken from the folder."""
    seen: list[str] = []
    listen = lambda event, **_: seen.append(event)
    jax.monitoring.register_event_listener(listen)
    yield lambda: seen.count("/jax/compilation_cache/cache_hits")
    jax.monitoring.unregister_event_listener(listen)


def compiled(shift: int = 1) -> None:
    """Compile one small program, as a new process would."""
    jax.clear_caches()
    jax.jit(lambda x: x * x + shift).lower(jax.ShapeDtypeStruct((3,), "float32")).compile()


def settings() -> dict[str, object]:
    return {name: value for name, value in jax.config.values.items() if "cache" in name}


def sizes(place: Path) -> dict[str, int]:
    return {entry.name: entry.stat().st_size for entry in place.glob("*-cache")}


@pytest.mark.slow
def test_a_later_command_takes_what_an_earlier_one_compiled(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from telejax.cli import command; command()", *TINY, str(tmp_path / "out")]
    run = lambda: subprocess.run(command, capture_output=True, text=True, check=True)
    first, many = run(), sizes(place)
    assert first.stderr == "" and many and kept(place) == (len(many), sum(many.values()))
    for entry in place.glob("*-cache"):
        entry.write_bytes(entry.read_bytes()[: many[entry.name] // 2])  # cut short
    second, again = run(), sizes(place)
    assert second.stdout == first.stdout and second.stderr == ""
    assert again.keys() == many.keys()
    assert all(again[name] > 0.8 * many[name] for name in many)  # compiled again and replaced
    times = {file.name: file.read_bytes() for file in place.glob("*-atime")}
    third = run()
    assert third.stdout == first.stdout and third.stderr == "" and sizes(place) == again
    assert all((place / name).read_bytes() != time for name, time in times.items())  # every one was used


def test_the_settings_of_jax_come_back(place: Path, hits) -> None:
    before = settings()
    for _ in range(2):
        with keep_programs(place):
            compiled()
            assert settings() != before
        assert settings() == before
    assert hits() == 1
    jax.clear_caches()
    compiled(5)
    assert kept(place)[0] == 1  # the library keeps nothing unless asked


@pytest.mark.slow
def test_off_by_an_option_or_by_the_variable(place: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert main([*TINY, str(tmp_path / "out"), "--no-cache"]) == 0
    assert not place.exists() and capsys.readouterr().err == ""
    monkeypatch.setenv("TELEJAX_CACHE", "off")
    assert kept_programs.folder() is None
    with keep_programs(None):
        compiled()
    assert not place.exists()


def test_programs_used_longest_ago_go_first(place: Path, hits, monkeypatch) -> None:
    with keep_programs(place):
        compiled(1)
    one = kept(place)[1]
    monkeypatch.setattr(kept_programs, "MOST_BYTES", int(2.5 * one))
    with keep_programs(place):
        for shift in (2, 1, 3):  # 2 is the oldest when 3 comes
            compiled(shift)
        assert kept(place)[0] == 2 and hits() == 1
        compiled(1)
        assert hits() == 2


def test_what_an_ended_process_left_is_deleted(place: Path, hits) -> None:
    with keep_programs(place):
        compiled(1)
    (entry,) = place.glob("*-cache")
    entry.write_bytes(b"")
    entry.with_name(entry.name.replace("-cache", "-atime")).unlink()
    with warnings.catch_warnings(), keep_programs(place):
        warnings.simplefilter("error")
        compiled(1)
        compiled(1)
    assert hits() == 1 and entry.stat().st_size > 0


def test_other_warnings_are_shown(place: Path) -> None:
    with pytest.warns(UserWarning, match="of a user"), keep_programs(place):
        warnings.warn("of a user", stacklevel=1)


@pytest.mark.slow
def test_two_processes_at_once(place: Path) -> None:
    code = (
        "import jax; from telejax.backend.kept_programs import folder, keep_programs\n"
        "with keep_programs(folder()):\n"
        "    for i in range(20): jax.jit(lambda x: x + i).lower(1.0).compile()"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert kept(place)[0] == 20 and len([*place.glob("*-atime")]) == 20


def test_a_folder_that_cannot_be_used_turns_it_off(tmp_path: Path, monkeypatch, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("TELEJAX_CACHE", str(file))  # on purpose: told
    assert main(["methods"]) == 2
    assert f"TELEJAX_CACHE is {str(file)!r}, where no programs can be kept" in capsys.readouterr().err
    monkeypatch.setenv("TELEJAX_CACHE", "~nobody-here/cache")
    assert main(["methods"]) == 2
    assert "the home of nobody here; give a folder, or off" in capsys.readouterr().err
    monkeypatch.delenv("TELEJAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))  # by itself: silent
    with keep_programs(kept_programs.folder()):
        compiled()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert kept_programs.folder() is None
    monkeypatch.setenv("HOME", str(tmp_path))
    found = kept_programs.folder()
    assert found is not None and tmp_path in found.parents


def test_a_folder_of_jax_itself_stays(place: Path, tmp_path: Path, monkeypatch) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    try:
        with keep_programs(place):
            assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "own")
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
    assert not place.exists() and os.environ["TELEJAX_CACHE"]
