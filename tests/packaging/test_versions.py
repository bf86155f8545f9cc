"""The version of telejax and the versions it was tested with are said once, and what repeats them does not go stale."""

import subprocess
import sys
import tomllib
from pathlib import Path

import telejax as tj
from telejax.cli import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [line.removeprefix("Programming Language :: Python :: ") for line in PROJECT["classifiers"] if "3." in line]


def test_the_citation_has_the_version_of_the_package() -> None:
    assert f"\nversion: {tj.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_command_line_tells_the_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{tj.__version__}\n"


def test_the_version_is_told_without_jax() -> None:
    script = "import sys, telejax; print(telejax.__version__); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == tj.__version__


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    oldest = (ROOT / "constraints" / "oldest.txt").read_text().splitlines()
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["privacy"], *extras["report"]]
    assert oldest == [line.replace(">=", "==") for line in needed], "make constraints/oldest.txt"


def test_every_python_of_the_classifiers_has_its_constraints() -> None:
    names = {path.stem for path in (ROOT / "constraints").glob("*.txt")}
    assert names == {"oldest", *PYTHONS} and len(PYTHONS) > 1, "make constraints"
