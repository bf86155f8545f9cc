"""What tests of refusals share: how far an accepted call runs, and what an answer must say."""

from collections.abc import Callable
from typing import Any

import pytest


class ReachedCompilation(Exception):
    """What is accepted runs no further."""


def task_of(nodes):  # type: ignore[no-untyped-def]
    """What a command cannot give its nodes."""
    raise ReachedCompilation(nodes)


def check(call: Callable[[], Any], words: str | tuple[str, ...], kind: type[Exception] = ValueError) -> None:
    """The call raises an error of this kind whose message holds all the words."""
    with pytest.raises(kind) as caught:
        call()
    for word in (words,) if isinstance(words, str) else words:
        assert word in str(caught.value)
