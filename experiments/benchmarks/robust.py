"""What a robust rule costs in the place of the average, and attackers beside it: ratios to plain gossip.

    python experiments/benchmarks/robust.py        # a minute

Every slot holds d numbers and hears its neighbours of a graph; a rule has as many vectors as it hears and its own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from timing import interleaved

import telejax as tj
from telejax.mixing.aggregate import aggregate

ROUNDS, REPEATS = 5, 7
GRAPHS = {"ring": 1, "torus": 2, "exponential": 4}
"""And how many forged vectors of those that they bring are to be stood."""


def gossips(slots: int, dim: int, mixing: Any, f: int) -> dict[str, Callable[[Any, Any], Any]]:
    """What is compared: functions of the parameters (slots, dim) and the round."""
    liars = tj.Network(adversary=tj.adversary(tj.attacks.little_is_enough(), share=0.1)).bind(slots)
    holders = jnp.arange(slots, dtype=jnp.int32)

    def attacked(x: Any, now: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(0), now)
        return liars.gossip(key, mixing, x, tj.State(x, None, holders, now), 4 * dim)[1]

    rules = {
        "median": tj.robust.median(),
        "trimmed_mean": tj.robust.trimmed_mean(f),
        "meamed": tj.robust.meamed(f),
        "clipped_gossip": tj.robust.clipped_gossip(1.0),
        "geometric_median, 3 steps": tj.robust.geometric_median(),
        "multi_krum": tj.robust.multi_krum(f),
        "nearest_neighbour_mixing, median": tj.robust.nearest_neighbour_mixing(f, tj.robust.median()),
    }
    robust = {name: lambda x, now, rule=rule: aggregate(rule, mixing, x, now) for name, rule in rules.items()}
    return {"plain gossip": lambda x, now: tj.mix(mixing, x, now), "plain, a tenth lies": attacked, **robust}


def running(gossip: Callable[[Any, Any], Any], x: Any) -> Callable[[], Any]:
    """Several rounds in one program."""
    rounds = jax.jit(lambda x: jax.lax.fori_loop(0, ROUNDS, lambda now, x: gossip(x, now), x))
    return partial(rounds, x)


def main(slots: int = 1000, dim: int = 5000) -> None:
    table = Table(title=f"{slots} slots, {dim} numbers each: times plain gossip", box=None, title_justify="left")
    table.add_column("rule")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(slots, dim)), jnp.float32)
    rows: dict[str, list[str]] = {}
    for graph, f in GRAPHS.items():
        mixing = tj.topology.from_spec(graph, slots).mixing()
        table.add_column(f"{graph}, {mixing.degree} vectors, f = {f}", justify="right")
        compared = gossips(slots, dim, mixing, f)
        times = interleaved({name: running(one, x) for name, one in compared.items()}, repeats=REPEATS)
        for name, time in times.items():
            plain = f"{1e3 * time / ROUNDS:.1f} ms" if name == "plain gossip" else ""
            rows.setdefault(name, []).append(plain or f"{time / times['plain gossip']:.1f}")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
