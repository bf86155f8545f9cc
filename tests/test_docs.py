"""The Python of README and of the site's pages runs as it is printed, and their links lead somewhere."""

import inspect
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import telejax as tj
from telejax.algorithms.registry import METHODS

pytestmark = pytest.mark.usefixtures("compiled_fast")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted({ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("how_to/*.md"), *DOCS.glob("adoption/*.md")})
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
CELLS = re.compile(r"```\{code-cell\} python3\n(?:(?::[^\n]*\n)*\n)?(.*?)```", flags=re.DOTALL)
LONG = ("attackers", "method", "privacy")  # which compile for long; like all pages they are run when the site is built
RUN = [page for page in PAGES if CELLS.search(page.read_text()) and page.stem not in LONG]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_the_readme_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = type(sys)("a_page")
    monkeypatch.setitem(sys.modules, "a_page", module)
    vars(module)["__name__"] = "a_page"
    for cell in CELLS.findall(page.read_text()):
        exec(compile(cell, name(page), "exec"), vars(module))
    plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    made = re.compile(r"(docs/)?(methods|reference)/")  # by docs/pages.py
    missing = [one for one in targets if not (page.parent / one).exists() and not made.search(one)]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_own_algorithm_takes_thirty_lines():
    own = next(cell for cell in CELLS.findall((DOCS / "how_to" / "method.md").read_text()) if "(tj.Algorithm)" in cell)
    assert len([line for line in own.splitlines() if line.strip()]) <= 30


def test_every_public_name_has_a_place_in_the_reference(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import pages

    listed = {one for names in pages.ROOT_NAMES.values() for one in names} | {method.name for method in METHODS}
    modules = {module.removeprefix("telejax.") for module in pages.MODULES} | {"algorithms", "optimizers"}
    assert {one for one in tj.__all__ if one[0] != "_"} == listed | modules
    for module in pages.MODULES:
        assert pages.entries(module), module


def test_every_public_function_has_a_runnable_example(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import pages

    modules = [*pages.MODULES, *(one for inside in pages.MODULES.values() for one in inside)]
    found = [one for module in modules for one in pages.entries(module)]
    found += [pages.Entry(f"telejax.{one}", getattr(tj, one)) for names in pages.ROOT_NAMES.values() for one in names]
    found += [pages.Entry(f"telejax.{method.name}", method.factory) for method in METHODS]
    functions = [one for one in found if inspect.isfunction(inspect.unwrap(one.value)) and "check_" not in one.name]
    assert len(functions) > 120
    assert [one.name for one in functions if ">>>" not in (one.value.__doc__ or "")] == []


@pytest.mark.slow
def test_the_pictures_of_methods_are_drawn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import method_pictures

    few = [method for method in METHODS if method.name in ("decentralized_sgd", "all_reduce_sgd", "choco_sgd")]
    monkeypatch.setattr(method_pictures, "METHODS", few)
    monkeypatch.setattr(method_pictures, "ROUNDS", 8)
    method_pictures.draw(tmp_path)
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(method.name for method in few)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    method_pictures.draw(tmp_path)  # nothing has changed
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}


def test_every_method_says_when_to_use_it_and_where_it_is_from(monkeypatch):
    for method in METHODS:
        text = sys.modules[method.factory.__module__].__doc__
        assert "**When to use it**: " in text
        assert re.search(r"arXiv \d{4}\.\d{4,5}|Takezawa|mini-batch SGD", text), method.name
