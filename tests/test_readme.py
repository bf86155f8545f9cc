"""The Python of the README runs as it is printed."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("compiled_fast")

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, marks=pytest.mark.slow if "check_algorithm" in block else ()) for block in BLOCKS],
    ids=[block.splitlines()[0] for block in BLOCKS],
)
def test_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_own_algorithm_and_task_take_thirty_lines():
    own = next(block for block in BLOCKS if "check_algorithm" in block)
    code = [line for line in own.splitlines() if line.strip()]
    assert len(code) <= 30


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if not (Path(__file__).parents[1] / target).exists()]
    assert not missing
