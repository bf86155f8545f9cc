"""The page of a report: everything that it says, put into one HTML file that asks no network for anything."""

import json
import os
import platform
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from telejax.errors import check_flag
from telejax.results.files import check_new_file, write_file
from telejax.results.report import advised
from telejax.results.report.answer import answer, headline, title
from telejax.results.report.charts import FIRST_SHOWN, panels, specification, style
from telejax.results.report.doubts import doubts
from telejax.results.report.numbers import MOST_LINES, Row, best_first, finals
from telejax.results.report.subject import Subject, in_words
from telejax.results.report.tables import config_text, cost_table, facts, result_table
from telejax.results.report.words import Words

SCRIPT_TEXTS = (
    "data_line",
    "data_mean",
    "data_low",
    "data_high",
    "data_nodes",
    "data_caption",
    "chart_alt",
    "chart_empty",
)
PACKAGES = ("telejax", "jax", "numpy", "polars", "altair")
EXTRA = "install telejax[report]"


def report(
    subject: Subject, path: str | os.PathLike[str] | None, language: str, overwrite: bool = False
) -> "str | Path":
    """The HTML of a report as a text, or the path of the file that it was written to.

    Args:
        subject: what it is about.
        path: the file; None returns the text.
        language: "en" or "ja".
        overwrite: replace a file that exists.

    Raises:
        ValueError: an unknown language, a path that is none, or no altair, vl-convert-python or jinja2, which come
            with ``telejax[report]``.
        FileExistsError: the file exists and ``overwrite`` is False, or it is no file.
        OSError: the file cannot be written.
    """
    words, overwrite = Words(language), check_flag("overwrite", overwrite)
    file = None if path is None else check_file(path, overwrite)
    text = render(subject, words)
    if file is None:
        return text
    write_file(file, text.encode())
    return file


def check_file(path: str | os.PathLike[str], overwrite: bool, argument: str = "path") -> Path:
    """Refuse a page that cannot be written or may not be replaced, before anything is computed."""
    return check_new_file(path, overwrite, "report.html", (".html", ".htm"), argument)


def check_installed() -> None:
    """Raise a ValueError that names the extra where a package is missing that a report needs."""
    try:
        import altair  # noqa: F401
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ValueError(f"a report needs the package {error.name}, which is not installed; {EXTRA}") from error


def render(subject: Subject, words: Words) -> str:
    """The HTML of a report."""
    check_installed()
    import jinja2

    texts = {
        name: (files(__package__) / f"report.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")
    }
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(texts["html"])
    return (
        page.render(style=texts["css"], script=texts["js"], bundle=bundle(), t=words, **content(subject, words)) + "\n"
    )


def content(subject: Subject, words: Words) -> dict[str, Any]:
    """Everything that a report says, before it is laid out."""
    subject = in_words(subject, words.column)
    rows = finals(subject)
    ordered = [row["line"] for row in best_first(subject, rows)]
    shown = set(list(dict.fromkeys(ordered))[:MOST_LINES])
    lines = [name for name in subject.lines if name in shown]
    at_first = set(list(dict.fromkeys(ordered))[:FIRST_SHOWN])
    made = panels(subject, rows, lines, words)
    data = {
        "language": words.language,
        "lines": lines,
        "panels": [panel.data(words) for panel in made],
        "specs": {"along": specification(len(lines), False), "whiskers": specification(len(lines), True)},
        "texts": {key: words.raw(key) for key in SCRIPT_TEXTS},
    }
    said = _advised(subject, words) if subject.kind == "advice" else _compared(subject, rows, words)
    return {
        **said,
        "subject": subject,
        "panels": made,
        "legend": [{"name": name, "shown": name in at_first, **style(at)} for at, name in enumerate(lines)],
        "config": config_text(subject.config),
        "versions": versions(subject.config),
        "data": embedded(data),
    }


def _compared(subject: Subject, rows: Sequence[Row], words: Words) -> dict[str, Any]:
    """What a report says of runs side by side."""
    answers = answer(subject, rows, words)
    return {
        "title": title(subject, words),
        "decision": [],
        "answers": answers,
        "headline": headline(subject, answers),
        "facts": facts(subject, words),
        "results": result_table(subject, rows, words),
        "results_lead": words("results_lead"),
        "costs": cost_table(subject, rows, words),
        "costs_lead": words("costs_lead"),
        "doubts": doubts(subject, rows, words),
    }


def _advised(subject: Subject, words: Words) -> dict[str, Any]:
    """What a report says of an advice."""
    advice, nodes = subject.config["advice"], subject.config["nodes"]
    return {
        "title": advised.title(nodes, words),
        "decision": advised.decision(advice, nodes, words),
        "answers": advised.sentences(advice, nodes, words),
        "headline": 1,
        "facts": advised.facts(advice, nodes, subject.config.get("seeds"), words),
        "results": advised.result_table(advice, words),
        "results_lead": words("advice_results_lead"),
        "costs": advised.cost_table(advice, words),
        "costs_lead": words("advice_costs_lead"),
        "doubts": advised.doubts(advice, words),
    }


def embedded(data: Any) -> str:
    """JSON that can stand within a script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def versions(config: dict[str, Any]) -> dict[str, str]:
    """The versions of the run where it says them, otherwise those that made the report."""
    if isinstance(config.get("versions"), dict):
        return {str(name): str(one) for name, one in config["versions"].items()}
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            from telejax.version import __version__

            found[name] = __version__ if name == "telejax" else "?"
    return found


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed in one script, which takes seconds to make."""
    import altair
    import vl_convert

    own = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script = str(vl_convert.javascript_bundle(vl_version=own))  # type: ignore[call-arg]
    return script.replace("</script", "<\\/script")
