"""The answer of a report: a few sentences for somebody who has never heard of gossip."""

from collections.abc import Sequence

from telejax.results.report.numbers import Row, best_first, is_close, overlap
from telejax.results.report.subject import Subject
from telejax.results.report.words import Words

FEW = 1.15
"""A ratio that is told: less is about the same."""


def answer(subject: Subject, rows: Sequence[Row], words: Words) -> list[str]:
    """Sentences, the first of which can stand alone."""
    alive = [row for row in rows if row["diverged"] < row["runs"] and row.get(subject.metric) is not None]
    ordered = best_first(subject, alive)
    if not ordered:
        return [words("answer_none")]
    if subject.kind == "search":
        return _of_search(subject, alive, words)
    if subject.kind == "comparison" and subject.axes:
        return _of_growth(subject, alive, words)
    best = ordered[0]
    if subject.kind == "comparison":
        return _of_comparison(subject, ordered, len(rows), words)
    if subject.kind == "sweep" and len(ordered) > 1:
        return [words("answer_sweep", count=len(rows), name=best["line"], value=_quality(subject, best, words))]
    start = [words("answer_result", title=title(subject, words), rounds=words.value("round", best["round"]))]
    if len(ordered) > 1:
        start.append(words("answer_setting", name=best["line"], value=_quality(subject, best, words)))
    else:
        start.append(words("answer_value", value=_quality(subject, best, words)))
    return [*start, _cost(best, words)]


def title(subject: Subject, words: Words) -> str:
    """The task and its number of nodes, or numbers."""
    nodes = subject.config.get("nodes")
    if "nodes" in subject.naming:
        nodes = sorted(subject.runs["nodes"].unique())
    given = nodes if isinstance(nodes, list) else [nodes]
    if None in given:
        return subject.title
    return words("title", task=subject.title, nodes=words.join([words.value("nodes", one) for one in given]))


def headline(subject: Subject, sentences: Sequence[str]) -> int:
    """Which of the sentences is the answer itself."""
    return 1 if subject.kind in ("comparison", "result") and len(sentences) > 1 else 0


def _of_comparison(subject: Subject, ordered: Sequence[Row], count: int, words: Words) -> list[str]:
    best = ordered[0]
    nodes = words.value("nodes", subject.config.get("nodes"))
    told = [words("answer_setup", nodes=nodes, count=count)]
    told.append(words("answer_best", name=best["line"], value=_quality(subject, best, words)))
    close = [row for row in ordered if row is not best and is_close(subject, row, best)]
    cheapest = min([best, *close], key=lambda row: row.get("bytes") or 0.0)
    ratio = _ratio(best.get("bytes"), cheapest.get("bytes"))
    if cheapest is not best and ratio >= FEW:
        told.append(
            words(
                "answer_thrifty",
                name=cheapest["line"],
                value=_quality(subject, cheapest, words),
                ratio=_times(ratio),
                less=words.value("bytes", cheapest["bytes"]),
                more=words.value("bytes", best["bytes"]),
            )
        )
    elif len(ordered) > 1:
        told.append(words("answer_best_is_thrifty", bytes=words.value("bytes", best.get("bytes"))))
    told += _to_target(subject, ordered, words)
    alike = [row["line"] for row in ordered[1:] if overlap(row, best, subject.metric)]
    if alike:
        told.append(words("answer_alike", name=best["line"], names=words.join(alike)))
    return told


def _to_target(subject: Subject, rows: Sequence[Row], words: Words) -> list[str]:
    """Who reaches the target with the least traffic and, on a network with clocks, the soonest."""
    there = [row for row in rows if row.get("reached") == row["runs"]]
    if subject.target is None or len(rows) < 2 or not there:
        return []
    metric, value = subject.target
    goal = words("goal", metric=words.column(metric), value=words.value(metric, value))
    told = []
    for name, key in (("bytes_to_target", "answer_target_bytes"), ("time_to_target", "answer_target_time")):
        known = [row for row in there if row.get(name) is not None]
        if known:
            first = min(known, key=lambda row: row[name])
            told.append(words(key, goal=goal, name=first["line"], value=words.value(name, first[name])))
    return told


def _of_growth(subject: Subject, rows: Sequence[Row], words: Words) -> list[str]:
    """What happens to every method as the number of nodes grows, and what it costs."""
    sizes = sorted({row["nodes"] for row in rows})
    ends: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row["nodes"] in (sizes[0], sizes[-1]):
            ends.setdefault(row["line"], {})[row["nodes"]] = row
    pairs = {name: (one[sizes[0]], one[sizes[-1]]) for name, one in ends.items() if len(one) == 2}
    pairs = {
        name: pair for name, pair in pairs.items() if None not in (pair[0][subject.metric], pair[1][subject.metric])
    }
    if not pairs:
        return [words("answer_none")]
    few, many = words.value("nodes", sizes[0]), words.value("nodes", sizes[-1])
    ordered = [row["line"] for row in best_first(subject, [pair[1] for pair in pairs.values()])]
    told = [words("answer_growth", few=few, many=many)]
    told.append(words("answer_growth_best", **_ends(subject, *pairs[ordered[0]], words)))
    close = [name for name in ordered[1:] if is_close(subject, pairs[name][1], pairs[ordered[0]][1])]
    cheapest = min([ordered[0], *close], key=lambda name: pairs[name][1].get("bytes") or 0.0)
    if cheapest != ordered[0]:
        told.append(words("answer_growth_thrifty", **_ends(subject, *pairs[cheapest], words)))
    sign = 1.0 if subject.higher(subject.metric) else -1.0
    lost = lambda name: sign * (pairs[name][0][subject.metric] - pairs[name][1][subject.metric])
    worst = max(pairs, key=lost)
    if worst not in (ordered[0], cheapest) and lost(worst) > 0:
        told.append(words("answer_growth_worst", **_ends(subject, *pairs[worst], words)))
    return told


def _ends(subject: Subject, few: Row, many: Row, words: Words) -> dict[str, str]:
    """What happens to a method between both ends of the numbers of nodes."""
    first, last = (words.value(subject.metric, row[subject.metric]) for row in (few, many))
    worst = ""
    if subject.worst is not None and many.get(subject.worst) is not None:
        worst = words("value_worst_aside", value=words.value(subject.worst, many[subject.worst]))
    quality = words(f"measure.{_known(subject.metric)}")
    change = words("change_none" if first == last else "change", quality=quality, first=first, last=last, worst=worst)
    less, more = (words.value("bytes", row.get("bytes")) for row in (few, many))
    ratio = _ratio(many.get("bytes"), few.get("bytes"))
    same = 1 / FEW < ratio < FEW
    growth = words("growth_none" if same else "growth", less=less, more=more, ratio=_times(ratio))
    return {"name": many["line"], "change": change, "growth": growth}


def _of_search(subject: Subject, rows: Sequence[Row], words: Words) -> list[str]:
    by_active = {row["active"]: row for row in rows}
    best = by_active.get(subject.config.get("best"))
    if best is None or best[subject.metric] is None:
        return [words("answer_none")]
    lowest = best_first(subject, rows)[0]
    told = [
        words(
            "answer_search",
            active=words.value("active", best["active"]),
            nodes=words.value("nodes", subject.config.get("nodes")),
            value=_quality(subject, best, words),
        )
    ]
    if lowest["active"] != best["active"]:
        tolerance = f"{subject.config.get('tolerance', 0.05):.0%}"
        value = words.value(subject.metric, lowest[subject.metric])
        told.append(words("answer_search_near", active=lowest["active"], value=value, tolerance=tolerance))
    below = [active for active in by_active if active < best["active"]]
    if below and by_active[max(below)][subject.metric] is not None:
        value = words.value(subject.metric, by_active[max(below)][subject.metric])
        told.append(words("answer_search_below", active=max(below), value=value))
    above = max(by_active)
    ratio = _ratio(by_active[above].get("bytes"), best.get("bytes"))
    if above > best["active"] and ratio >= FEW:
        told.append(words("answer_search_above", active=above, ratio=_times(ratio)))
    return told


def _known(metric: str) -> str:
    """The kind of a metric that sentences know."""
    return metric if metric in ("accuracy_slots", "accuracy", "loss_slots", "loss") else "other"


def _quality(subject: Subject, row: Row, words: Words) -> str:
    """How good the models of a line are, with the worst node where it was measured."""
    told = words(f"quality.{_known(subject.metric)}", value=words.value(subject.metric, row.get(subject.metric)))
    if subject.worst is not None and row.get(subject.worst) is not None:
        told += words("value_worst", value=words.value(subject.worst, row[subject.worst]))
    return told


def _cost(row: Row, words: Words) -> str:
    costs = {name: words.value(name, row.get(name)) for name in ("gradients", "messages", "bytes")}
    return words("answer_cost", **costs)


def _ratio(more: float | None, less: float | None) -> float:
    return more / less if more and less else 1.0


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}".removesuffix(".0")
