"""The texts of a report in one language, and how it writes numbers."""

import math
from collections.abc import Sequence

from telejax.errors import check_name
from telejax.results.report.english import ENGLISH
from telejax.results.report.japanese import JAPANESE

TEXTS = {"en": ENGLISH, "ja": JAPANESE}
DASH = "–"
BYTES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


class Words:
    """A language: its texts by key, and its numbers.

    >>> Words("en").value("bytes", 6.73e9)
    '6.73 GB'
    """

    def __init__(self, language: str) -> None:
        self.language = check_name("language", language, TEXTS)

    def __call__(self, key: str, **values: object) -> str:
        text = TEXTS[self.language][key].format(**values)
        return text.replace("） ", "）") if self.language == "ja" else text  # a wide bracket has its own space

    def raw(self, key: str) -> str:
        """A text whose names in braces the script of the page fills in."""
        return TEXTS[self.language][key]

    def column(self, name: str) -> str:
        """What a column is called."""
        texts = TEXTS[self.language]
        return texts.get(f"column.{name}", name.replace("_", " "))

    def join(self, names: Sequence[str]) -> str:
        """Names in a row, as the language lists them."""
        names = list(names)
        if len(names) < 2:
            return "".join(names)
        return self("list_comma").join(names[:-1]) + self("list_and") + names[-1]

    def value(self, column: str, number: float | None) -> str:
        """A number as a reader wants it in a column of this name."""
        if number is None or not math.isfinite(number):
            return DASH
        kind = kind_of(column)
        if kind == "percent":
            return f"{100 * number:.1f}%"
        if kind == "bytes":
            return in_bytes(number)
        return in_count(number) if kind == "count" else in_digits(number)

    def spread(self, column: str, mean: float | None, std: float | None) -> str:
        """Mean and standard deviation."""
        if std is None or mean is None or not math.isfinite(std):
            return self.value(column, mean)
        if kind_of(column) == "percent":
            return f"{self.value(column, mean)} ±\u00a0{100 * std:.1f}"
        return f"{self.value(column, mean)} ±\u00a0{self.value(column, float(f'{std:.1g}'))}"


def kind_of(column: str) -> str:
    """How the numbers of a column are written: percent, bytes, count, or number."""
    if column.removeprefix("validation_").startswith("accuracy") or column in ("busy", "waiting"):
        return "percent"
    if column.startswith("bytes"):
        return "bytes"
    counts = ("round", "gradients", "messages", "nodes", "active", "lost", "failed", "recovered", "retries", "stalled")
    return "count" if column.removesuffix("_to_target") in counts else "number"


def in_bytes(number: float) -> str:
    """Bytes in the unit that leaves few digits."""
    place = 0 if abs(number) < 1000 else min(len(BYTES) - 1, int(math.log10(abs(number)) // 3))
    return f"{in_digits(number / 1000**place)} {BYTES[place]}"


def in_count(number: float) -> str:
    """A count, with commas; a mean of counts has one digit where it is small."""
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:,.1f}"


def in_digits(number: float) -> str:
    """Three significant digits, without an exponent where it can be read without."""
    size = abs(number)
    if size and not 1e-4 <= size < 1e6:
        return f"{number:.3g}"
    return f"{number:,.0f}" if size >= 1000 else f"{number:.3g}"
