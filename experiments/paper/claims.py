"""Writes experiments/CLAIMS.md and its pictures: every claim of the paper and its neighbours, by committed tables.

python experiments/paper/claims.py              # seconds: reads experiments/results/paper/*.csv
python experiments/paper/claims.py --check      # says whether the file is that of the tables
"""

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import draw
import polars as pl
import tyro
from tables import COMMITTED, hours, read

from telejax.results.files import atomic_write

Standing = Literal["not held", "held only in part", "held"]
ORDER: tuple[Standing, ...] = ("not held", "held only in part", "held")
FILE = COMMITTED.parents[1] / "CLAIMS.md"
HEAD = """# Claims

Every claim of the TELEPORTATION paper (Takezawa & Stich 2025, arXiv 2501.15259) and of papers whose figures fall out of
the same engine: where it stands here, what was run, and the numbers, ± their standard errors. What does not hold comes
first. `python experiments/paper/claims.py` writes this file from the tables in `experiments/results/paper`; each table
is that of the script named beside it, whose docstring says what was run, and which goes on where it was stopped.

"Equal epochs" means the same number of gradients for every method, "equal rounds" the same number of rounds. "Slots"
are the active nodes' own models, "mean" is their mean, which a deployment gets with one more all-reduce. Minutes are of
two shared cores, beside other work. "So far" stands where some cells of a script are still to be computed.
"""


@dataclass(frozen=True)
class Claim:
    """One claim and what was found."""

    text: str
    source: str
    standing: Standing
    found: tuple[str, ...]
    """Sentences with the numbers."""
    script: str
    complete: bool = True
    """Whether all of the script's cells are computed."""

    @property
    def stands(self) -> str:
        """The standing, for the file."""
        return self.standing if self.complete else f"{self.standing}, so far"


def committed(script: str) -> pl.DataFrame:
    """The committed table of a script.

    Raises:
        ValueError: it is missing, or of another version of the script.
    """
    path, version = COMMITTED / f"{script}.csv", importlib.import_module(script).VERSION
    if not path.exists():
        raise ValueError(f"{path} is missing; run python experiments/paper/{script}.py")
    written = json.loads(path.with_suffix(".json").read_text())["version"]
    if written != version:
        raise ValueError(
            f"{path} is of another version of {script}.py: version was {written} and is {version}; move it away and "
            f"run python experiments/paper/{script}.py"
        )
    return read(path)


def minutes(script: str) -> str:
    """How long the cells of a script's table took."""
    spent = 60 * hours(committed(script), importlib.import_module(script).KEYS)
    return f"{spent:.0f} minutes" if spent >= 1.5 else "a minute" if spent >= 0.75 else "seconds"


def pm(mean: float, error: float, digits: int = 3) -> str:
    """A mean with its standard error.

    >>> pm(0.98765, 0.0012)
    '0.988 ± 0.001'
    """
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def error_between(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """The standard error of the difference of two accuracies of slots, each with its own.

    >>> error_between({"accuracy_slots_se": 0.03}, {"accuracy_slots_se": 0.04})
    0.05
    """
    return float((a["accuracy_slots_se"] ** 2 + b["accuracy_slots_se"] ** 2) ** 0.5)


def written(claims: list[Claim]) -> str:
    """The file: what does not hold first."""
    ordered = sorted(claims, key=lambda one: ORDER.index(one.standing))
    lines = [HEAD, "| claim | source | stands |", "|---|---|---|"]
    lines += [f"| {one.text} | {one.source} | {one.stands} |" for one in ordered]
    lines += ["", *(f"![{words}](figures/{file}.png)" for file, (words, *_) in draw.PICTURES.items())]
    for one in ordered:
        lines += ["", f"## {one.stands.capitalize()}: {one.text}", ""]
        lines += [f"- {sentence}" for sentence in one.found]
        lines += [f"- {one.source}. `python experiments/paper/{one.script}.py` ({minutes(one.script)})."]
    return "\n".join(lines) + "\n"


def all_claims() -> list[Claim]:
    """Those of the paper, then those of others."""
    import claims_of_others
    import claims_of_the_paper

    makers: list[Callable[[], Claim]] = [*claims_of_the_paper.CLAIMS, *claims_of_others.CLAIMS]
    return [make() for make in makers]


def main(check: bool = False, out: Path = FILE) -> None:
    """Write the file, or say whether it is up to date."""
    text = written(all_claims())
    if check and (not out.exists() or out.read_text() != text):
        raise ValueError(f"{out} is not that of the tables; run python experiments/paper/claims.py")
    if not check:
        atomic_write(out, lambda path: path.write_text(text))
        draw.draw_all(committed, out.parent / "figures")
        print(f"written: {out}")


if __name__ == "__main__":
    sys.modules["claims"] = sys.modules["__main__"]  # the same Claim as those import
    try:
        tyro.cli(main, description=__doc__)
    except ValueError as error:
        print(f"claims.py: {error}", file=sys.stderr)
        sys.exit(2)
