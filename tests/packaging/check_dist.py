"""What ``make dist`` proves of dist/: what the wheel holds, that the changelog knows it, that it works alone."""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ["compare", "--nodes", "16", "--rounds", "20", "--eval-every", "10", "--seeds", "1", "--no-progress"]


def check_contents(wheel: Path) -> None:
    """Types and stubs are in the wheel, and nothing but the package."""
    names = zipfile.ZipFile(wheel).namelist()
    page = "telejax/results/report/report"
    for needed in ("telejax/py.typed", "telejax/__init__.pyi", f"{page}.html", f"{page}.css", f"{page}.js"):
        assert needed in names, f"{wheel.name} lacks {needed}; see tool.setuptools.package-data in pyproject.toml"
    stubs = {str(path.relative_to(ROOT)) for path in (ROOT / "telejax").rglob("*.pyi")}
    assert stubs <= set(names), f"{wheel.name} lacks {sorted(stubs - set(names))}"
    others = [name for name in names if not re.match(r"telejax(-[^/]*\.dist-info)?/", name)]
    assert not others, f"{wheel.name} holds {others}; see tool.setuptools.packages.find in pyproject.toml"


def check_changelog(version: str) -> None:
    """The newest heading of the changelog is this version, or what is not released yet."""
    newest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[0]
    assert newest in (version, "Unreleased"), f"the newest heading of CHANGELOG.md is {newest}, the wheel is {version}"


def check_alone(wheel: Path, version: str) -> None:
    """The wheel in an environment of its own, away from the checkout, runs a small comparison."""
    with tempfile.TemporaryDirectory() as folder:
        python, command = (str(Path(folder, "environment", "bin", name)) for name in ("python", "telejax"))
        subprocess.run([sys.executable, "-m", "venv", str(Path(folder, "environment"))], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
        told = subprocess.run([command, "--version"], cwd=folder, check=True, capture_output=True, text=True).stdout
        assert told.strip() == version, f"telejax --version of {wheel.name} prints {told!r}"
        subprocess.run([command, *DEMO, "--out", "demo"], cwd=folder, check=True)
        assert Path(folder, "demo", "history.parquet").is_file()


def main() -> None:
    """Check the one wheel in dist/, beside its sdist."""
    (wheel,), (sdist,) = (list((ROOT / "dist").glob(ending)) for ending in ("*.whl", "*.tar.gz"))
    version = wheel.name.split("-")[1]
    assert sdist.name == f"telejax-{version}.tar.gz", f"dist/ holds {sdist.name} beside {wheel.name}"
    check_contents(wheel)
    check_changelog(version)
    check_alone(wheel, version)
    print(f"{wheel.name} works alone")


if __name__ == "__main__":
    main()
