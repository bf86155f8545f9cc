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
