"""Counting the copies that mixing sends, exactly, also where the number differs from draw to draw."""

from collections.abc import Callable, Sequence

import numpy as np

Messages = tuple[int, ...] | Callable[[np.ndarray], np.ndarray]
"""Parameter copies sent in each round of a period; or, where they are drawn, a function from round numbers to them."""


def sent(messages: Messages, rounds: np.ndarray) -> np.ndarray:
    """Copies sent in each of the given rounds, int64, shaped like ``rounds``.

    >>> sent((10, 20), np.array([0, 1, 2])).tolist()
    [10, 20, 10]
    """
    if callable(messages):
        return np.asarray(messages(rounds), np.int64)
    return np.array(messages, np.int64)[rounds % len(messages)]


def total(messages: Messages, rounds: int) -> int:
    """Copies sent in the first ``rounds`` rounds, a Python integer of any size.

    >>> total((10, 20), 10**30 + 1) == 15 * 10**30 + 10
    True
    """
    if callable(messages):
        return int(sent(messages, np.arange(rounds)).sum())
    whole, rest = divmod(rounds, len(messages))
    return whole * sum(map(int, messages)) + sum(map(int, messages[:rest]))


def one_after_another(parts: Sequence[Messages]) -> Messages:
    """The copies of a period whose round t is that of ``parts[t]``, each of period one or drawn."""
    if all(isinstance(part, tuple) for part in parts):
        return tuple(part[0] for part in parts if isinstance(part, tuple))

    def at(rounds: np.ndarray) -> np.ndarray:
        table = np.stack([sent(part, rounds) for part in parts])
        return np.take_along_axis(table, rounds[None] % len(parts), axis=0)[0]

    return at


def side_by_side(parts: Sequence[Messages]) -> Messages:
    """The sum over independent groups, each with its own period."""
    tuples = [part for part in parts if isinstance(part, tuple)]
    if len(tuples) < len(parts):
        return lambda rounds: np.sum([sent(part, rounds) for part in parts], axis=0)
    period = int(np.lcm.reduce([len(part) for part in tuples]))
    return tuple(sum(part[t % len(part)] for part in tuples) for t in range(period))


def scaled(messages: Messages, factor: int) -> Messages:
    """So many copies for each.

    >>> scaled((10, 20), 2)
    (20, 40)
    """
    if callable(messages):
        return messages if factor == 1 else lambda rounds: factor * messages(rounds)
    return tuple(factor * count for count in messages)
