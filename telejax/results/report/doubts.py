"""What speaks against the answer of a report: what the numbers cannot tell, and what went wrong."""

from collections.abc import Iterator, Sequence

import polars as pl

from telejax.results.report.numbers import MOST_LINES, Row, best_first, last_of_runs, overlap
from telejax.results.report.subject import Subject
from telejax.results.report.words import Words

ENOUGH = 5
"""Seeds from which the range of a line is not called narrow by chance."""
MOST_NAMES = 9
"""Of a sentence."""


def doubts(subject: Subject, rows: Sequence[Row], words: Words) -> list[str]:
    """Sentences, those that matter most first; never none, as one task is one task."""
    return [
        *_failures(subject, rows, words),
        *_unreached(subject, rows, words),
        *_alike(subject, rows, words),
        *_seeds(subject, words),
        *_edges(subject, rows, words),
        *_measured(subject, words),
        words("doubt_one_task"),
    ]


def _listed(names: Sequence[str], words: Words) -> str:
    """Names in a row; of many, the first and how many others."""
    if len(names) <= MOST_NAMES:
        return words.join(names)
    return words.join([*names[: MOST_NAMES - 1], words("and_more", count=len(names) - MOST_NAMES + 1)])


def _named(subject: Subject, row: Row, words: Words) -> str:
    """A line, with its number of nodes where there are several."""
    return words("with_nodes", name=row["line"], nodes=row["nodes"]) if "nodes" in subject.naming else row["line"]


def _failures(subject: Subject, rows: Sequence[Row], words: Words) -> Iterator[str]:
    lost = [_named(subject, row, words) for row in rows if row["diverged"] == row["runs"]]
    some = [_named(subject, row, words) for row in rows if 0 < row["diverged"] < row["runs"]]
    if lost:
        yield words("doubt_all_diverged", names=_listed(lost, words))
    if some:
        yield words("doubt_some_diverged", names=_listed(some, words))
    last = last_of_runs(subject, chosen=False)
    if subject.kind != "sweep":
        gone = int(last["diverged"].sum()) - sum(int(row["diverged"]) for row in rows)
        if gone > 0:
            yield words("doubt_diverged", count=gone, of=last.height)
    elif "status" in last.columns:
        failed = last.filter(pl.col("status") == "failed")
        if failed.height:
            yield words("doubt_failed", count=failed.height, of=last.height, reason=str(failed["reason"][0]))


def _unreached(subject: Subject, rows: Sequence[Row], words: Words) -> Iterator[str]:
    if subject.target is None:
        return
    metric, value = subject.target
    short = [
        words("reached_of", name=_named(subject, row, words), reached=row["reached"], runs=row["runs"])
        for row in rows
        if row["reached"] < row["runs"]
    ]
    if short:
        goal = words("goal", metric=words.column(metric), value=words.value(metric, value))
        yield words("doubt_unreached", goal=goal, names=_listed(short, words))


def _alike(subject: Subject, rows: Sequence[Row], words: Words) -> Iterator[str]:
    """Lines whose seeds spread so far that they meet those of the best, at every number of nodes."""
    sizes = sorted({row["nodes"] for row in rows}) if "nodes" in subject.naming else [None]
    for size in sizes:
        here = best_first(subject, [row for row in rows if size is None or row["nodes"] == size])
        if not here or here[0].get(subject.metric) is None:
            continue
        alike = [row["line"] for row in here[1:] if row["runs"] > 1 and overlap(row, here[0], subject.metric)]
        if alike:
            yield words("doubt_alike", best=_named(subject, here[0], words), names=_listed(alike, words))


def _seeds(subject: Subject, words: Words) -> Iterator[str]:
    seeds = subject.runs["seed"].drop_nulls().n_unique()
    if seeds == 1:
        yield words("doubt_one_seed")
    elif seeds < ENOUGH:
        yield words("doubt_few_seeds", seeds=seeds)


def _edges(subject: Subject, rows: Sequence[Row], words: Words) -> Iterator[str]:
    """Lines whose best step size is the smallest or the largest of those that were tried."""
    if subject.kind == "sweep" or "learning_rate" not in subject.settings:
        return
    rates = subject.runs["learning_rate"].drop_nulls().unique()
    if len(rates) < 2:
        return
    ends = (rates.min(), rates.max())
    at_edge = [row for row in rows if row["learning_rate"] in ends and not row["diverged"]]
    if subject.kind == "search":
        at_edge = [row for row in at_edge if row["active"] == subject.config.get("best")]
    if subject.kind == "result":
        at_edge = [row for row in best_first(subject, rows)[:1] if row in at_edge]
    if at_edge:
        rate = lambda row: "" if subject.kind == "result" else f" ({row['learning_rate']:g})"  # a line named by it
        told = [_named(subject, row, words) + rate(row) for row in at_edge]
        yield words("doubt_edge", names=_listed(told, words))


def _measured(subject: Subject, words: Words) -> Iterator[str]:
    rounds = subject.runs["round"].drop_nulls().unique().sort()
    every = int(rounds[1] - rounds[0]) if len(rounds) > 1 else 1
    if subject.target is not None and every > 1:
        yield words("doubt_every", every=every)
    if "time" in subject.runs.columns:
        yield words("doubt_time")
    if subject.kind == "comparison" and "validation_loss_slots" not in subject.runs.columns:
        yield words("doubt_no_validation")
    if len(subject.lines) > MOST_LINES:
        yield words("doubt_many", count=len(subject.lines), shown=MOST_LINES)
