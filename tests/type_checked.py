"""Which modules are type-checked while tests run: all but those named here, with the reason."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any, ForwardRef, get_args

from beartype import BeartypeConf, beartype
from beartype.door import is_bearable
from beartype.roar import BeartypeDecorHintException
from jaxtyping import install_import_hook

PACKAGE = Path(__file__).parents[1] / "telejax"

PYTREES = {
    "telejax.algorithms.all_reduce",
    "telejax.algorithms.choco_sgd",
    "telejax.algorithms.decentralized_sgd",
    "telejax.algorithms.exact_diffusion",
    "telejax.algorithms.extra",
    "telejax.algorithms.fedavg",
    "telejax.algorithms.gossip_pairs",
    "telejax.algorithms.gradient_tracking",
    "telejax.algorithms.joint",
    "telejax.algorithms.k_gt",
    "telejax.algorithms.local_exact_diffusion",
    "telejax.algorithms.local_training",
    "telejax.algorithms.nids",
    "telejax.algorithms.prox_skip",
    "telejax.algorithms.push_sum",
    "telejax.algorithms.quasi_global_momentum",
    "telejax.algorithms.random_walk",
    "telejax.algorithms.relay_sgd",
    "telejax.algorithms.scaffold",
    "telejax.algorithms.teleportation",
    "telejax.backend.packing",
    "telejax.mixing.compose",
    "telejax.mixing.compression",
    "telejax.mixing.forms",
    "telejax.mixing.means",
    "telejax.mixing.drawn",
    "telejax.mixing.rules",
    "telejax.mixing.sharded",
    "telejax.network.activation",
    "telejax.network.adversary",
    "telejax.network.attacks",
    "telejax.network.clocks",
    "telejax.network.faults",
    "telejax.network.link_kinds",
    "telejax.network.load",
    "telejax.network.machines",
    "telejax.network.network",
    "telejax.network.parts",
    "telejax.network.presence",
    "telejax.network.record",
    "telejax.network.sources",
    "telejax.network.world",
    "telejax.optimizers",
    "telejax.random.permutation",
    "telejax.results.progress",
    "telejax.simulation.batching",
    "telejax.simulation.spending",
    "telejax.state",
    "telejax.tasks.base",
    "telejax.tasks.classification",
    "telejax.tasks.evaluation_subset",
    "telejax.tasks.koloskova",
    "telejax.tasks.privacy",
    "telejax.tasks.quadratic",
    "telejax.testing.observe",
    "telejax.testing.tasks",
}
"""They define pytree dataclasses, whose leaves may be batch tracers, placeholders or shapes in place of arrays."""


INTEGERS_ARE_FLOATS = BeartypeConf(is_pep484_tower=True)


def modules() -> dict[str, Path]:
    """Every module of the package that holds code, and its file; a room's ``__init__`` without any is left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if path.name != "__init__.py":
            found[".".join(parts)] = path
        elif defines(path, ast.FunctionDef | ast.ClassDef):
            found[".".join(parts[:-1])] = path
    return found


def defines(path: Path, kind: type) -> bool:
    """Whether a file has a node of this kind."""
    return any(isinstance(node, kind) for node in ast.walk(ast.parse(path.read_text())))


def install() -> None:
    """Check arguments, results and dataclass fields of all other modules; before any of them is imported."""
    install_import_hook(sorted(modules().keys() - PYTREES), f"{__name__}.checked")


def checked(function: Callable) -> Callable:
    """The function with checks, but for one inside another, which would be decorated anew in every call."""
    if "<locals>" in function.__qualname__:
        return function
    hints = function.__annotations__
    function.__annotations__ = {name: hint if _checkable(hint) else Any for name, hint in hints.items()}
    return beartype(function, conf=INTEGERS_ARE_FLOATS)


def _checkable(hint: object) -> bool:
    """Not ``Self`` outside of a class, nor a protocol whose properties a check would compute, nor a recursive type."""
    if _is_recursive(hint):
        return False
    try:
        is_bearable(None, hint, conf=INTEGERS_ARE_FLOATS)
    except BeartypeDecorHintException:
        return False
    return True


def _is_recursive(hint: object) -> bool:
    """Whether a type names itself, as trees of the oldest optax do."""
    return isinstance(hint, ForwardRef) or any(map(_is_recursive, get_args(hint)))
