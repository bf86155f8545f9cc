"""``telejax doctor``: notes for what is absent, code 1 for what stops a run, within 80 columns."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from telejax.cli import doctor, main
from telejax.data.located import located


def test_what_there_is_fits_80_columns(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELEJAX_CACHE", str(tmp_path / "programs"))
    monkeypatch.setenv("TELEJAX_DATA", str(tmp_path))
    began = time.process_time()
    assert main(["doctor"]) == 0
    assert time.process_time() - began < 3
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == "" and all(len(line) <= 80 and line == line.rstrip() for line in lines)
    rows = {line[:24].strip(): line[24:].strip() for line in lines}
    for name in ("telejax", "Python", "jaxlib", "memory", "numbers", "fashion-mnist", "matcha", "browser", "kept"):
        assert rows[name], name
    assert rows["mnist"].startswith("not found; set TELEJAX_DATA")
    assert rows["kept"].startswith("0 programs, 0.0 MB")
    assert lines[-1] == "Nothing here stops a run." and not (tmp_path / "programs").exists()


def test_what_is_absent_is_a_note(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"some": "no_such_module"})
    monkeypatch.setattr(doctor, "BROWSERS", ("no-such-browser",))
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)  # as in a folder that cannot be written
    assert main(["doctor"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # however long the path of the folder is
    for words in (
        'not installed; pip install "telejax[some]"',
        "apt install chromium brings one, which only tests of reports want",
        "give commands --out",
    ):
        assert words in printed


@pytest.mark.slow
def test_a_platform_that_is_not_there_ends_with_1() -> None:
    code = "import os; os.environ['JAX_PLATFORMS'] = 'rocm'; from telejax.cli import command; command()"
    done = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True)
    words = " ".join(done.stdout.split())
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "STOPS A RUN: JAX_PLATFORMS is 'rocm'" in words and "such as cpu" in words
    assert words.endswith("What stops a run: devices")


def test_a_jax_that_does_not_import_ends_with_1(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    assert main(["doctor"]) == 1
    assert "does not import" in capsys.readouterr().out


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_for_programs_that_is_none_ends_with_1(link: bool, capsys, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.symlink_to("nowhere") if link else file.write_text("")
    monkeypatch.setenv("TELEJAX_CACHE", str(file))
    assert main(["doctor"]) == 1
    assert "set TELEJAX_CACHE to another folder, or off" in " ".join(capsys.readouterr().out.split())


def test_data_sets_are_found_by_all_of_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELEJAX_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for name in names:
        assert located("mnist") is None
        (folder / name).write_bytes(b"")
    assert located("mnist") == folder
