"""A comparison made by hand, of which tests of reports know what must be said."""

import polars as pl


def history(**changes) -> pl.DataFrame:
    """Two methods, two step sizes, three seeds, five rounds: a is best, b close and cheap, by columns to change."""
    rows = [
        {
            "method": method,
            "tuned": rate == 0.2,
            "seed": seed,
            "learning_rate": rate,
            "round": at,
            "accuracy_slots": (0.9 if method == "a" else 0.885) * at / 4 + 0.001 * seed,
            "accuracy": 0.9 * at / 4,
            "bytes": at * (1000 if method == "a" else 10),
            "gradients": at,
            "messages": at,
            "diverged": False,
        }
        for method in ("a", "b")
        for rate in (0.1, 0.2, 0.3)
        for seed in range(3)
        for at in range(5)
    ]
    return pl.DataFrame(rows).with_columns(**changes)


CONFIG = {
    "title": "digits, 10 nodes",
    "nodes": 10,
    "tune": {"learning_rate": [0.1, 0.2, 0.3]},
    "target": {"metric": "accuracy", "value": 0.8},
    "seeds": 3,
}


def advised(**changes) -> tuple[pl.DataFrame, dict]:
    """An advice of 300 sites: representatives are recommended, a server is dearer, alone is not enough."""
    spread = {f"{name}{end}": 0.9 for name in ("accuracy", "worst") for end in ("_low", "_high")}
    row = {"learning_rate": 0.1, "rounds": 40, "accuracy": 0.9, "accuracy_std": 0.01, "worst": 0.8, "worst_std": 0.02}
    row |= spread | {"hours": 2.0, "gigabytes": 6.0, "load": 0.2, "cost": 3.0, "misses": [], "meets": True}
    row |= {"diverged": False, "pareto": True}
    table = [
        {**row, "name": "a", "kind": "representatives", "active": 4},
        {**row, "name": "b", "kind": "server", "active": 4, "cost": 250.0},
        {**row, "name": "c", "kind": "alone", "active": 300, "accuracy": 0.6, "meets": False, "misses": ["accuracy"]},
    ]
    end = {**row, "name": "a", "active": 4, "sites": 30}
    advice = {
        "recommended": "a",
        "nearest": "a",
        "least": "cost",
        "aim": {"accuracy": 0.85, "hours": 8.0},
        "prices": {"site_hour": 0.1, "gigabyte": 0.5, "server": 250.0, "currency": "EUR"},
        "table": table,
        "pilot": end,
        "stress": {"away": {**end, "accuracy": 0.89}, "lying": {**end, "accuracy": 0.1}},
        "left_out": {"d": "no_server", "e": "too_many"},
        "server": True,
        "data": {"kind": "synthetic", "low": 20, "high": 40},
        "others": ["f"],
    }
    rows = pl.DataFrame(
        {
            "method": name,
            "tuned": name != "f",
            "seed": seed,
            "learning_rate": 0.1,
            "round": at,
            "accuracy_local": 0.9 * at / 4,
            "accuracy_local_worst": 0.8 * at / 4,
            "bytes": 1000 * at,
            "time": 2.0 * at,
            "gradients": at,
            "messages": at,
            "diverged": False,
        }
        for name in "abcf"
        for seed in range(3)
        for at in range(5)
    )
    return rows, {"advice": {**advice, **changes}, "title": "300 sites", "nodes": 300, "seeds": 3, "sites": {}}
