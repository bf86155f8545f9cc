"""Pages that follow from the code: one a method, and the reference of every public name.

    python docs/pages.py        # writes them, and the pictures of the methods, into docs/methods and docs/reference

Sphinx calls :func:`write` before it reads the pages. Nothing that is written here is committed.
"""

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

import telejax
from telejax.algorithms.registry import METHODS, Method

DOCS = Path(__file__).parent
ROOT_NAMES = {
    "Simulate and compare": ["simulate", "compare", "scaling", "search", "auto", "sweep", "advise", "load", "live"],
    "Results": ["Result", "Comparison", "Scaling", "SearchResult", "Sweep", "SweepSpec", "DivergenceError"],
    "Optimizers": ["optimizer", "as_optimizer"],
    "The world": ["Topology", "Network", "adversary", "privacy"],
    "To write a method": [
        *("Algorithm", "State", "Memory", "Info", "Metric", "Bound"),
        *("local_update", "gradients", "apply_gradients", "mix", "neighbours", "node_mixing", "bind_mixing"),
        *("block_diagonal", "sample_distinct", "joint_teleportation"),
    ],
}
"""Names of the root package beside methods and modules, by what one wants."""

MODULES = {
    "telejax.tasks": [],
    "telejax.data": [],
    "telejax.models": [],
    "telejax.topology": [],
    "telejax.network": [
        f"telejax.network.{name}" for name in ("links", "machines", "presence", "activation", "faults")
    ],
    "telejax.attacks": [],
    "telejax.robust": [],
    "telejax.compression": [],
    "telejax.plots": [],
    "telejax.theory": [],
    "telejax.advice": [],
    "telejax.testing": [],
}
"""Modules that users call, and the modules in them."""

PAGE = jinja2.Template(
    """# {{ title }}

```{eval-rst}
.. automodule:: telejax.algorithms.{{ method.file }}
   :no-members:
```

| | |
|---|---|
{% for name, value in facts.items() -%}
| {{ name }} | {{ value }} |
{% endfor %}
![{{ title }} beside DSGD and an all-reduce on heterogeneous nodes](pictures/{{ method.name }}.png)

Loss of the nodes' own models on heterogeneous nodes, by `python docs/method_pictures.py`; the step size of each method
is the best of the same grid, the band is the range over three seeds.

```{eval-rst}
.. currentmodule:: telejax
.. autofunction:: telejax.{{ method.name }}
```
"""
)
INDEX = jinja2.Template(
    """# {{ title }}

{{ text }}

{% for row in rows -%}
{{ row }}
{% endfor %}
```{toctree}
:hidden:
{% for name in names %}
{{ name }}
{%- endfor %}
```
"""
)


def write(app: Any = None) -> None:
    """Write all pages, and the pictures of the methods unless they are newer than the code."""
    import method_pictures

    method_pictures.draw(DOCS / "methods" / "pictures")
    _methods(DOCS / "methods")
    _reference(DOCS / "reference")


def _methods(folder: Path) -> None:
    for method in METHODS:
        _put(folder / f"{method.name}.md", PAGE.render(method=method, title=title(method), facts=facts(method)))
    head = ["| method | graph | on heterogeneous nodes | source |", "|---|---|---|---|"]
    rows = [
        f"| [{title(one)}]({one.name}.md) | {facts(one)['graph']} | {facts(one)['fixed point']} | {one.source} |"
        for one in METHODS
    ]
    text = (
        "A page for each method: its equation, when to use it, a picture, its source. `telejax methods` prints what a "
        "round of each costs."
    )
    _put(
        folder / "index.md",
        INDEX.render(title="Methods", text=text, rows=[*head, *rows], names=[one.name for one in METHODS]),
    )


def title(method: Method) -> str:
    """The name of a method as its docstring has it."""
    text = (importlib.import_module(f"telejax.algorithms.{method.file}").__doc__ or "").splitlines()[0]
    return text.partition(":")[0].removeprefix("The ")


def facts(method: Method) -> dict[str, str]:
    """What its line of the registry says."""
    graph = {"nodes": "of all nodes", "slots": "of the slots", "walk": "to walk on, or none", None: "none"}[
        method.graphs
    ]
    kinds = {"fixed": method.fixed and method.graphs, "directed": method.stochastic == "column", "a tree": method.tree}
    graph += "".join(f", {kind}" for kind, there in kinds.items() if there)
    return {
        "on the command line": ", ".join(f"`{name}`" for name in (method.name, *method.aliases)),
        "graph": graph,
        "fixed point": "exact" if method.exact else "biased by the step size",
        "source": method.source,
    }


@dataclass(frozen=True)
class Entry:
    """A public name, and the directive that documents it."""

    name: str
    value: Any

    @property
    def directive(self) -> str:
        """As Sphinx reads it."""
        if inspect.isclass(self.value):
            return f".. autoclass:: {self.name}\n   :members:\n   :inherited-members: tuple, object, Protocol, Module\n"
        if callable(self.value):
            return f".. autofunction:: {self.name}\n"
        among = list(self.value) if isinstance(self.value, tuple | dict) else []
        told = ", ".join(f"``{one}``" for one in among if isinstance(one, str)) or f"``{type(self.value).__name__}``"
        return f".. py:data:: {self.name.rpartition('.')[2]}\n\n   {told}\n"


def _reference(folder: Path) -> None:
    rows = ["| module | what is in it |", "|---|---|"]
    parts = {
        heading: [Entry(f"telejax.{name}", getattr(telejax, name)) for name in names]
        for heading, names in ROOT_NAMES.items()
    }
    _put(folder / "telejax.md", _page("telejax", parts))
    rows.append("| [telejax](telejax.md) | simulate, compare, search, sweep; results; what a method is made of |")
    for module, inside in MODULES.items():
        sections = {one: entries(one) for one in inside} if inside else {}
        _put(folder / f"{module}.md", _page(module, {"": entries(module), **sections}))
        told = (_module(module).__doc__ or "").splitlines()[0].rstrip(".:")
        rows.append(f"| [{module}]({module}.md) | {told} |")
    rows.append("| [methods](../methods/index.md) | a page for each method |")
    text = "Every public name, with shapes, units, errors and a runnable example."
    _put(folder / "index.md", INDEX.render(title="Reference", text=text, rows=rows, names=["telejax", *MODULES]))


def _page(module: str, sections: dict[str, list[Entry]]) -> str:
    lines = [f"# {module}", ""]
    if module != "telejax":
        lines += ["```{eval-rst}", f".. automodule:: {_module(module).__name__}", "   :no-members:", "```", ""]
    for heading, found in sections.items():
        if heading:
            lines += [f"## {heading}", ""]
        lines += ["```{eval-rst}", f".. currentmodule:: {module}", "", *(one.directive for one in found), "```", ""]
    return "\n".join(lines)


def entries(module: str) -> list[Entry]:
    """The public names of a module that are not modules themselves."""
    made = _module(module)
    names = getattr(made, "__all__", None) or [
        name
        for name, one in vars(made).items()
        if getattr(one, "__module__", "") == made.__name__ and not name.startswith(("_", "check_"))
    ]
    found = [Entry(f"{module}.{name}", getattr(made, name)) for name in names]
    root = {id(getattr(telejax, name)) for names in ROOT_NAMES.values() for name in names}
    return [one for one in found if not inspect.ismodule(one.value) and id(one.value) not in root]


def _module(name: str) -> Any:
    """A module, also one that the root package has under a shorter name, such as ``telejax.robust``."""
    made: Any = telejax
    for part in name.split(".")[1:]:
        made = getattr(made, part)
    return made


def _put(file: Path, text: str) -> None:
    """Write a page unless it says this already, so that Sphinx does not read it again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


if __name__ == "__main__":
    write()
