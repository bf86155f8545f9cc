"""Files and functions stay short enough to read at once, and the package's root stays a table of contents.

Which room may import which is in pyproject.toml, under tool.importlinter.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "telejax"
ROOT_MODULES = 6  # beside __init__
FILE_LINES = 400
FUNCTION_LINES = 60  # without the docstring


def sources() -> Iterator[tuple[str, str]]:
    """Name and text of every file of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE.parent)), path.read_text()


def function_lines(source: str) -> Iterator[tuple[str, int]]:
    """Name and lines of every function, nested ones too: signature and body, without decorators and docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_the_root_holds_few_modules() -> None:
    modules = sorted(path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py")
    assert 0 < len(modules) <= ROOT_MODULES, modules


def test_no_file_is_long() -> None:
    lines = {name: len(text.splitlines()) for name, text in sources()}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_no_function_is_long() -> None:
    functions = [(f"{name}: {function}", count) for name, text in sources() for function, count in function_lines(text)]
    assert [one for one in functions if one[1] > FUNCTION_LINES] == []


def test_a_docstring_costs_nothing() -> None:
    short = 'def f(\n    x,\n):\n    """One.\n\n    More.\n    """\n    return x\n'
    assert list(function_lines(short)) == [("f", 4)]
