"""Numbers as people write them: Python also takes 1_0 for 10, and the digits of other scripts."""

import re

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)
"""Infinite ones too, which a bound refuses in its own words."""


def is_plain_number(text: str) -> bool:
    """Whether a text is a number in plain digits.

    >>> [is_plain_number(text) for text in ("1e-3", "1_0", "ten")]
    [True, False, False]
    """
    return NUMBER.fullmatch(text) is not None
