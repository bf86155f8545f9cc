"""The parts of a round by the names under which a profile of a run finds them again."""

from contextlib import AbstractContextManager
from typing import Literal, get_args

import jax

Part = Literal["gradient", "mixing", "sampling", "evaluation"]
PARTS: tuple[Part, ...] = get_args(Part)
PREFIX = "telejax."


def scope(part: Part) -> AbstractContextManager[None]:
    """What is traced inside belongs to this part; the numbers are those without it.

    >>> with scope("gradient"):
    ...     pass
    """
    return jax.named_scope(PREFIX + part)
