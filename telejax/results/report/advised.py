"""What a report says of an advice: the four answers of its first screen, tables at the aim, and what speaks against."""

from collections.abc import Mapping, Sequence
from typing import Any

from telejax.errors import short
from telejax.results.report.words import DASH, Words

ACCURACIES = ("accuracy", "worst")
NUMBERS = (
    *("rounds", "active", "learning_rate", "hours", "gigabytes", "load"),
    *(f"{name}{end}" for name in ACCURACIES for end in ("", "_std", "_low", "_high")),
)
"""Of a row of the table of candidates, what must be numbers."""
TOLD = {"name": str, "kind": str, "misses": list, "meets": bool, "diverged": bool}
KINDS = ("alone", "server", "together", "representatives")
PARTS = {
    "table": list,
    "stress": dict,
    "left_out": dict,
    "aim": dict,
    "nearest": str,
    "least": str,
    "others": list,
    "data": dict,
}
LIGHT = 0.02
"""A loss of accuracy below it is told as hardly any."""

Row = Mapping[str, Any]


def check_advice(given: Any, told: str) -> None:
    """Raise a ValueError where a config holds another advice than telejax writes."""
    remedy = "run telejax advise again"
    if not isinstance(given, dict) or any(not isinstance(given.get(name), kind) for name, kind in PARTS.items()):
        raise ValueError(f"{told} has the advice {short(given)}; {remedy}")
    rows = given["table"]
    is_number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    of_kind = lambda row: all(isinstance(row.get(name), kind) for name, kind in TOLD.items()) and row["kind"] in KINDS
    whole = lambda row: isinstance(row, dict) and of_kind(row) and all(is_number(row.get(name)) for name in NUMBERS)
    if not rows or not all(map(whole, rows)):
        raise ValueError(f"{told} has a table of candidates without their numbers; {remedy}")


def decision(advice: Row, nodes: int, words: Words) -> list[dict[str, Any]]:
    """The answers of the first screen: should we, with how many, at what cost, what could go wrong."""
    row = advice["table"][0]
    kind = row["kind"] if advice.get("recommended") else "none"
    return [
        {"question": words("ask_should"), "answer": words(f"should_{kind}"), "more": _should(advice, row, words)},
        {"question": words("ask_many"), "answer": _many(kind, row, nodes, words), "more": _pilot(advice, nodes, words)},
        {"question": words("ask_cost"), "answer": _cost(advice, row, words), "more": _other_costs(advice, row, words)},
        {"question": words("ask_wrong"), **_wrong(advice, row, words)},
    ]


def sentences(advice: Row, nodes: int, words: Words) -> list[str]:
    """The reasons, for somebody who has never heard of gossip."""
    row = advice["table"][0]
    rows = advice["table"]
    told = [words("advice_setup", nodes=words.value("nodes", nodes), count=len(rows) + len(advice["others"]))]
    there = [one for one in rows if one["meets"]]
    if not there:
        told.append(words("advice_none", name=row["name"], misses=_misses(row, words)))
    else:
        told.append(words("advice_there", names=words.join([one["name"] for one in there])))
        told.append(words(f"advice_least_{advice['least']}", name=there[0]["name"]))
        if there[0]["kind"] == "alone":
            told[-1] = words("advice_alone")
    alone = next((one for one in rows if one["kind"] == "alone"), None)
    if alone is not None and alone is not row:
        points = {name: f"{100 * (row[name] - alone[name]):.1f}" for name in ACCURACIES}
        told.append(words("advice_gain", gain=points["accuracy"], worst=points["worst"]))
    return told


def data_told(advice: Row, words: Words) -> str:
    """What the sites hold."""
    data = advice["data"]
    if data["kind"] == "own":
        return words("data_own")
    low, high = (words.value("round", data[name]) for name in ("low", "high"))
    held = low if low == high else words("data_range", low=low, high=high)
    return words("data_held", held=held, kind=data["kind"])


def title(nodes: int, words: Words) -> str:
    """Of the page."""
    return words("advice_title", nodes=words.value("nodes", nodes))


def facts(advice: Row, nodes: int, seeds: Any, words: Words) -> list[tuple[str, str]]:
    """What was asked."""
    aim, prices = advice["aim"], advice.get("prices") or {}
    goals = [words(f"aim_{name}", value=_aimed(name, aim, prices, words)) for name in aim if name != "least"]
    told = {
        "fact_kind": words("kind_advice"),
        "fact_sites": words.value("nodes", nodes),
        "fact_data": data_told(advice, words),
        "fact_aim": words("list_comma").join(goals),
        "fact_least": words(f"least_{advice['least']}"),
        "fact_seeds": words.value("round", seeds),
        "fact_server": words("yes" if advice.get("server") else "no"),
    }
    prices = {name: value for name, value in prices.items() if name != "currency"}
    if prices:
        currency = (advice.get("prices") or {}).get("currency", "")
        told["fact_prices"] = words("list_comma").join(
            words(f"price_{name}", value=f"{value:g} {currency}") for name, value in prices.items()
        )
    return [(words(key), value) for key, value in told.items()]


def result_table(advice: Row, words: Words) -> dict[str, Any]:
    """Header and rows of what every candidate reaches."""
    titles = ("advice_active", "advice_rounds", "advice_rate", "advice_accuracy", "advice_worst", "advice_misses")
    body = []
    for row in advice["table"]:
        cells = [words.value("active", row["active"]), words.value("round", row["rounds"]), f"{row['learning_rate']:g}"]
        cells += [words.spread("accuracy", row[name], row[f"{name}_std"]) for name in ACCURACIES]
        cells.append(words("advice_meets") if row["meets"] else words("advice_missed", misses=_misses(row, words)))
        body.append(_named(advice, row, cells))
    return {"header": [words("line_advice"), *map(words, titles)], "rows": body, "bar": None}


def cost_table(advice: Row, words: Words) -> dict[str, Any]:
    """Header and rows of what that takes; the share of the bytes of the greediest as a bar."""
    currency = (advice.get("prices") or {}).get("currency")
    header = [words("line_advice"), *map(words, ("advice_hours", "advice_gigabytes", "advice_load"))]
    header += [words("advice_cost", currency=currency)] if currency else []
    header.append(words("advice_pareto"))
    most = max(row["gigabytes"] for row in advice["table"])
    body = []
    for row in advice["table"]:
        cells = [words.value("time", row["hours"]), *(_bytes(row[name], words) for name in ("gigabytes", "load"))]
        cells += [words.value("cost", row.get("cost"))] if currency else []
        cells.append(words("yes") if row.get("pareto") else DASH)
        share = row["gigabytes"] / most if most else 0.0
        body.append({**_named(advice, row, cells), "best": False, "share": f"{100 * share:.1f}"})
    return {"header": header, "rows": body, "bar": 2}


def doubts(advice: Row, words: Words) -> list[str]:
    """What the advice cannot tell."""
    told = [words("doubt_stand_in")] if advice["data"]["kind"] != "own" else []
    told += [words("doubt_sites_file"), words("doubt_time")]
    for why in dict.fromkeys(advice["left_out"].values()):
        names = [name for name, other in advice["left_out"].items() if other == why]
        told.append(words(f"doubt_{why}", names=words.join(names)))
    if advice["others"]:
        told.append(words("doubt_others", names=words.join(advice["others"])))
    unsafe = [row["name"] for row in advice["table"] if row["misses"] == ["safely"]]
    if unsafe:
        told.append(words("doubt_unsafe", names=words.join(unsafe)))
    return told


def _named(advice: Row, row: Row, cells: Sequence[str]) -> dict[str, Any]:
    return {"name": row["name"], "cells": list(cells), "best": row["name"] == advice.get("recommended")}


def _quality(row: Row, words: Words) -> str:
    """The accuracies of a row."""
    accuracy, worst = (words.value("accuracy", row[name]) for name in ACCURACIES)
    return words("advice_quality", accuracy=accuracy, worst=worst)


def _should(advice: Row, row: Row, words: Words) -> list[str]:
    told = [words("should_reaches", name=row["name"], quality=_quality(row, words))]
    alone = next((one for one in advice["table"] if one["kind"] == "alone"), None)
    if alone is not None and alone["name"] != row["name"]:
        told.append(words("should_alone_more", quality=_quality(alone, words)))
    if not advice.get("recommended"):
        told.append(words("should_misses", misses=_misses(row, words)))
    return told


def _many(kind: str, row: Row, nodes: int, words: Words) -> str:
    count = words.value("nodes", nodes)
    if kind == "none":
        return DASH
    if kind in ("alone", "together"):
        return words(f"many_{kind}", nodes=count)
    return words("many_few", active=words.value("active", row["active"]), nodes=count)


def _pilot(advice: Row, nodes: int, words: Words) -> list[str]:
    pilot = advice.get("pilot")
    if not pilot:
        return []
    low, high = (words.value("accuracy", pilot[f"accuracy_{end}"]) for end in ("low", "high"))
    count = words.value("nodes", pilot["sites"])
    return [words("pilot", nodes=count, low=low, high=high, hours=words.value("time", pilot["hours"]))]


def _cost(advice: Row, row: Row, words: Words) -> str:
    currency = (advice.get("prices") or {}).get("currency")
    told = [words("cost_hours", value=words.value("time", row["hours"])), _bytes(row["gigabytes"], words)]
    if currency and row.get("cost") is not None:
        told.insert(0, f"{words.value('cost', row['cost'])} {currency}")
    return words("list_comma").join(told)


def _other_costs(advice: Row, row: Row, words: Words) -> list[str]:
    """The load of the busiest site, and the best of the other kinds that reach the aim."""
    told = [words("cost_load", value=_bytes(row["load"], words))]
    for one in advice["table"]:
        if one["meets"] and one["kind"] != row["kind"]:
            told.append(words("cost_other", name=one["name"], value=_cost(advice, one, words)))
            break
    return told


def _wrong(advice: Row, row: Row, words: Words) -> dict[str, Any]:
    """What becomes of the recommended when things go wrong, the worst first."""
    stress = advice["stress"]
    if not stress:
        return {"answer": words("wrong_nothing" if row["kind"] == "alone" else "wrong_unknown"), "more": []}
    ordered = sorted(stress.items(), key=lambda one: one[1]["accuracy"])
    told = []
    for name, one in ordered:
        lost = row["accuracy"] - one["accuracy"]
        now = words.value("accuracy", one["accuracy"])
        told.append(words(f"wrong_{name}") + words("wrong_light" if lost < LIGHT else "wrong_heavy", value=now))
    if "lying" in stress and row["accuracy"] - stress["lying"]["accuracy"] >= LIGHT:
        told.append(words("wrong_remedy"))
    return {"answer": told[0], "more": told[1:]}


def _misses(row: Row, words: Words) -> str:
    if row["diverged"]:
        return words("miss_diverged")
    return words.join([words(f"miss_{name}") for name in row["misses"]])


def _aimed(name: str, aim: Row, prices: Row, words: Words) -> str:
    value = aim[name]
    if name in ACCURACIES:
        return words.value("accuracy", value)
    return f"{value:g} {prices.get('currency', '')}".strip() if name == "cost" else f"{value:g}"


def _bytes(gigabytes: float, words: Words) -> str:
    return words.value("bytes", 1e9 * gigabytes)
