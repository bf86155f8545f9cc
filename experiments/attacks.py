"""Final accuracy under attack: who lies, how many, which rule, and what a protected hand-off buys.

    python experiments/attacks.py                              # the digits, Dirichlet(1): an hour on one core; resumes
    python experiments/attacks.py --alpha 0.1 --no-tables --out runs/attacks01
    python experiments/attacks.py --data fashion_mnist --no-tables --out runs/attacks_fashion
    python experiments/attacks.py --quick                      # minutes

Attackers are a share of n nodes, f of the k active ones in expectation. DSGD on the exponential graph of all nodes,
FedAvg, and TELEPORTATION over a complete graph of k slots, with the usual hand-off and with a protected one. Each cell
takes the step size (and the radius of clipping) of one grid with the lowest held-out loss over all seeds. Then: what a
hand-off costs on other graphs, how k trades robustness, and f holders that fail at once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
import polars as pl
import tyro
from kept_runs import KeptRuns
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.errors import check_integer, check_name
from telejax.results.files import check_free, new_folder
from telejax.simulation.fingerprint import fingerprint

NOBODY = "nobody"
ATTACKS: dict[str, Any] = {
    "sign_flip": tj.attacks.sign_flip(),
    "inner_product": tj.attacks.inner_product(0.5),
    "little_is_enough": tj.attacks.little_is_enough(1.5),
    "mimic": tj.attacks.mimic(0),
    "label_flip": tj.attacks.label_flip(),
}
RADII = [0.1, 0.3, 1.0]
HAND_OFFS = (None, "median:sources=3", "median:sources=5", "median:sources=15")
POLICIES = ("rollback", "neighbour", "lost")
SGD = tj.optimizer(optax.sgd, learning_rate=0.1)


@dataclass(frozen=True)
class Options:
    """Attackers on labelled images."""

    data: str = "digits"
    """Or fashion_mnist, with a logistic model."""
    nodes: int = 100
    active: int = 16
    """Active nodes of TELEPORTATION, clients of FedAvg."""
    alpha: float = 1.0
    rounds: int = 300
    """Of FedAvg and TELEPORTATION; DSGD, in which all nodes work, has half of them."""
    seeds: int = 3
    learning_rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    methods: tuple[str, ...] = ()
    """By the first letters of their names; by default all."""
    rules: tuple[str, ...] = ()
    """Likewise."""
    attacks: tuple[str, ...] = ()
    """Likewise."""
    attackers: tuple[int, ...] = (2, 4, 6)
    """Of the active nodes, in expectation."""
    slots: tuple[int, ...] = (8, 16, 32, 64)
    """k of the second table."""
    tables: bool = True
    """Also the other tables: hand-offs on other graphs, k, holders that fail."""
    finished: bool = False
    """Compute nothing more for the first tables: they have what earlier runs finished."""
    out: Path = Path("runs/attacks")
    force: bool = False
    """Replace the tables and the picture; finished runs are kept."""
    quick: bool = False
    """60 rounds, one seed, two step sizes, one attack, three rules."""


@dataclass(frozen=True)
class Setup:
    """A method: how it is made with a rule, how many vectors a rule is given, how long it runs."""

    make: Callable[[Any], tj.Algorithm]
    received: int
    rounds: int


def setups(options: Options) -> dict[str, Setup]:
    k, most = options.active, (options.active - 1) // 2
    slots = lambda hand_off: (
        lambda rule: tj.teleportation(active=k, topology="complete", optimizer=SGD, aggregation=rule, hand_off=hand_off)
    )
    graph = tj.topology.exponential(options.nodes)
    heard = graph.mixing().degree
    dsgd = lambda rule: tj.decentralized_sgd(topology=graph, optimizer=SGD, aggregation=rule)
    return {
        "DSGD exponential": Setup(dsgd, heard, options.rounds // 2),
        "FedAvg": Setup(lambda rule: tj.fedavg(clients=k, optimizer=SGD, aggregation=rule), k, options.rounds),
        "TELEPORTATION": Setup(slots(None), k, options.rounds),
        "TELEPORTATION, protected": Setup(slots(f"multi_krum:f={most},sources={k}"), k, options.rounds),
    }


def rules(received: int) -> dict[str, Any]:
    """Rules that stand as many as they can; the last one trusts the receiver's own, and keeps a quarter."""
    f = (received - 1) // 2
    return {
        "mean": None,
        "median": tj.robust.median(),
        "trimmed mean": tj.robust.trimmed_mean(f),
        "geometric median": tj.robust.geometric_median(8),
        "multi-Krum": tj.robust.multi_krum(f),
        "NNM, trimmed mean": tj.robust.nearest_neighbour_mixing(f, tj.robust.trimmed_mean(f)),
        "clipping": tj.robust.centered_clipping(1.0),
        "nearest averaging": tj.robust.nearest_neighbour_averaging(3 * received // 4),
    }


def simulated(algorithm: tj.Algorithm, task: Any, rounds: int, options: Options, **given: Any) -> pl.DataFrame:
    """The history of all step sizes and seeds."""
    grid: dict[str, Any] = {"learning_rate": list(options.learning_rates), **given.pop("grid", {})}
    if getattr(algorithm, "aggregation", None) is not None and hasattr(algorithm.aggregation, "radius"):
        grid["radius"] = RADII
    history = tj.simulate(
        algorithm,
        task,
        rounds=rounds,
        eval_every=max(1, rounds // 10),
        seeds=options.seeds,
        tune=grid,
        progress=False,
        **given,
    ).history
    jax.clear_caches()  # a process may map only so many compiled programs
    lacks = [name for name in ("share", "radius") if name not in history.columns]
    return history.with_columns(pl.lit(0.0).alias(name) for name in lacks)


def attacked(setup: Setup, rule: Any, attack: str, task: Any, options: Options) -> pl.DataFrame:
    """With each share of attackers, those of one attack."""
    algorithm, run = setup.make(rule), (task, setup.rounds, options)
    if attack == NOBODY:
        return simulated(algorithm, *run)
    shares = [f / options.active for f in options.attackers]
    if ATTACKS[attack].forges:
        network = tj.Network(adversary=tj.adversary(ATTACKS[attack], share=0.5))
        return simulated(algorithm, *run, network=network, grid={"share": shares})
    worlds = {share: tj.Network(adversary=tj.adversary(ATTACKS[attack], share=share)) for share in shares}
    parts = [
        simulated(algorithm, *run, network=network).with_columns(pl.lit(share).alias("share"))
        for share, network in worlds.items()
    ]
    return pl.concat(parts)


def best_of(history: pl.DataFrame) -> pl.DataFrame:
    """Accuracy at the end, a row a share, at the numbers with the lowest mean held-out loss of the honest slots."""
    last = history.filter(pl.col("round") == pl.col("round").max())
    scores = last.group_by("share", "learning_rate", "radius").agg(
        pl.col("diverged").any(),
        pl.col("validation_loss_slots").fill_nan(None).mean().alias("score"),
        pl.col("accuracy_slots").mean().alias("accuracy"),
        pl.col("accuracy_slots").std().fill_null(0.0).alias("spread"),
    )
    return (
        scores.sort("diverged", "score", nulls_last=True).group_by("share", maintain_order=True).first().sort("share")
    )


def asked_for(known: dict[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    """Those whose names begin so."""
    return {name: one for name, one in known.items() if not first or name.startswith(first)}


def heat(task: Any, options: Options, kept: KeptRuns, start: float) -> pl.DataFrame:
    """The best of every method, rule, attack and number of attackers."""
    attacks, rows, done = [NOBODY, *asked_for(ATTACKS, options.attacks)], [], 0
    chosen = asked_for(setups(options), options.methods)
    several = {method: asked_for(rules(setup.received), options.rules) for method, setup in chosen.items()}
    total = sum(map(len, several.values())) * len(attacks)
    for method, setup in chosen.items():
        for rule_name, rule in several[method].items():
            for attack in attacks:
                name = f"{method}-{rule_name}-{attack}"
                if options.finished and not kept.has(name):
                    continue
                compute = lambda setup=setup, rule=rule, attack=attack: attacked(setup, rule, attack, task, options)
                history, _ = kept.run(name, compute)
                named = {"method": method, "rule": rule_name, "attack": attack}
                rows.append(best_of(history).with_columns(pl.lit(value).alias(name) for name, value in named.items()))
                done += 1
                print(
                    f"[{done}/{total}] {time.perf_counter() - start:.0f} s: {method}, {rule_name}, {attack}", flush=True
                )
    return pl.concat(rows, how="vertical_relaxed").with_columns(
        (pl.col("share") * options.active).round().cast(int).alias("f")
    )


def tell_heat(found: pl.DataFrame, method: str, options: Options) -> Table:
    """Accuracy of a method: rules down, attacks and their numbers across."""
    title = f"{method}: accuracy of the honest slots, f = {', '.join(map(str, options.attackers))}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("rule")
    own = found.filter(method=method)
    attacks = [NOBODY, *(name for name in ATTACKS if name in own["attack"])]
    for attack in attacks:
        table.add_column(attack.replace("_", " "), justify="right")
    for rule in own["rule"].unique(maintain_order=True):
        cells = []
        for attack in attacks:
            rows = own.filter(rule=rule, attack=attack).sort("f")
            cells.append(" ".join(f"{one:.3f}"[1:] if one < 1 else "1.0" for one in rows["accuracy"]))
        table.add_row(rule, *cells)
    return table


def losses_to(found: pl.DataFrame) -> pl.DataFrame:
    """For each method, attack and f the best rule, and how much it loses against itself without attackers."""
    alone = found.filter(attack=NOBODY).select("method", "rule", pl.col("accuracy").alias("alone"))
    under = found.filter(pl.col("attack") != NOBODY).join(alone, on=["method", "rule"])
    order = ["method", "attack", "f"]
    return (
        under.with_columns((pl.col("alone") - pl.col("accuracy")).alias("lost"))
        .sort(*order, "accuracy", descending=[False, False, False, True])
        .group_by(order, maintain_order=True)
        .first()
    )


def tell_losses(found: pl.DataFrame) -> Table:
    title = (
        "The most accurate rule under each attack: accuracy, and points lost against the same rule without attackers"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    best = losses_to(found)
    several = best["f"].unique().sort().to_list()
    for name in ("method", "attack"):
        table.add_column(name)
    for f in several:
        table.add_column(f"f = {f}", justify="right")
    for method in best["method"].unique(maintain_order=True):
        for attack in [name for name in ATTACKS if len(best.filter(method=method, attack=name))]:
            cells = []
            for f in several:
                row = best.filter(method=method, attack=attack, f=f).row(0, named=True)
                cells.append(f"{row['accuracy']:.3f} ± {row['spread']:.3f}, {100 * row['lost']:+.1f}: {row['rule']}")
            table.add_row(method, attack.replace("_", " "), *cells)
    return table


def hand_offs(task: Any, options: Options, kept: KeptRuns) -> Table:
    """What an unprotected hand-off costs under sign_flip, on several graphs of the slots."""
    k = options.active
    graphs = {"complete": (k - 1) // 2, "exponential": 2, "ring": 1}
    shares = [0.0, *(f / k for f in options.attackers)]
    several = ", ".join(map(str, options.attackers))
    title = f"TELEPORTATION k={k}, sign flip: accuracy of the honest slots at f = 0, {several}, by hand-off"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("graph", "rule", *(str(one or "former holder") for one in HAND_OFFS)):
        table.add_column(name, justify="left" if name in ("graph", "rule") else "right")
    for graph, f in graphs.items():
        for rule_name, rule in (
            ("mean", None),
            (f"NNM({f}), trimmed mean", tj.robust.nearest_neighbour_mixing(f, tj.robust.trimmed_mean(f))),
        ):
            cells = []
            for hand_off in HAND_OFFS:
                compute = lambda graph=graph, rule=rule, hand_off=hand_off: simulated(
                    tj.teleportation(active=k, topology=graph, optimizer=SGD, aggregation=rule, hand_off=hand_off),
                    task,
                    options.rounds,
                    options,
                    network=tj.Network(adversary=tj.adversary(tj.attacks.sign_flip(), share=0.5)),
                    grid={"share": shares},
                )
                history, _ = kept.run(f"hand_off-{graph}-{rule_name}-{hand_off}", compute)
                cells.append(" ".join(f"{one:.3f}"[1:] for one in best_of(history)["accuracy"]))
            table.add_row(graph, rule_name, *cells)
    return table


def slots(task: Any, options: Options, kept: KeptRuns) -> Table:
    """How k trades robustness: all slots are sources, and the rule stands as many as rules can."""
    shares = [0.0, *(f / options.active for f in options.attackers), 0.45]
    title = "TELEPORTATION complete, multi-Krum over all slots in gossip and hand-off, sign flip: accuracy"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("k", justify="right")
    for share in shares:
        table.add_column(f"{share:.1%} lie", justify="right")
    table.add_column("messages a round", justify="right")
    for k in (one for one in options.slots if one <= options.nodes):
        f = (k - 1) // 2
        algorithm = tj.teleportation(
            active=k,
            topology="complete",
            optimizer=SGD,
            aggregation=tj.robust.multi_krum(f),
            hand_off=f"multi_krum:f={f},sources={k}",
        )
        network = tj.Network(adversary=tj.adversary(tj.attacks.sign_flip(), share=0.5))
        compute = lambda algorithm=algorithm, network=network: simulated(
            algorithm, task, options.rounds // 2, options, network=network, grid={"share": shares}
        )
        history, _ = kept.run(f"slots-{k}", compute)
        best, last = best_of(history), history.filter(pl.col("round") == pl.col("round").max())
        told = [f"{row['accuracy']:.3f} ± {row['spread']:.3f}" for row in best.iter_rows(named=True)]
        table.add_row(str(k), *told, f"{last['messages'].mean() / last['round'][0]:.0f}")
    return table


def failures(task: Any, options: Options, kept: KeptRuns) -> Table:
    """Holders that fail in the same round, with what only they have: rounds until the slots are where they were."""
    before, after, k = options.rounds // 2, 60 if not options.quick else 10, options.active
    title = f"TELEPORTATION ring k={k}: f holders fail in round {before}; accuracy before, after; rounds to recover"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("policy")
    for f in (0, *options.attackers, k // 2):
        table.add_column(f"f = {f}", justify="right")
    algorithm = tj.teleportation(active=k, topology="ring", optimizer=SGD.with_learning_rate(0.3))
    for policy in POLICIES:
        cells = []
        for f in (0, *options.attackers, k // 2):
            compute = lambda policy=policy, f=f: failing(algorithm, task, options, policy, f / k, before, after)
            history, _ = kept.run(f"failures-{policy}-{f}", compute)
            then = (
                history.filter(pl.col("round") > before)
                .group_by("round")
                .agg(pl.col("accuracy_slots").mean())
                .sort("round")
            )
            was = history.filter(round=before)["accuracy_slots"].mean()
            there = then.filter(pl.col("accuracy_slots") >= was - 0.01)["round"]
            when = f"{there[0] - before}" if len(there) else f"> {after}"
            cells.append(f"{was:.3f}, {then['accuracy_slots'][0]:.3f}; {when}")
        table.add_row(policy, *cells)
    return table


def failing(
    algorithm: tj.Algorithm, task: Any, options: Options, policy: str, share: float, before: int, after: int
) -> pl.DataFrame:
    """A history in which holders fail in one round alone."""
    fails = lambda probability: tj.Network(faults=tj.network.faults.independent(failure=probability, recovery=policy))
    run = {"seeds": options.seeds, "progress": False}
    first = tj.simulate(algorithm, task, rounds=before, eval_every=before, network=fails(0.0), **run)
    struck = tj.simulate(algorithm, task, rounds=1, network=fails(share), state=first, **run)
    rest = tj.simulate(algorithm, task, rounds=after, eval_every=1, network=fails(0.0), state=struck, **run)
    columns = ["round", "seed", "accuracy_slots", "accuracy_worst"]
    parts = [
        first.history,
        struck.history.filter(pl.col("round") > before),
        rest.history.filter(pl.col("round") > before + 1),
    ]
    return pl.concat([part.select(columns) for part in parts])


def draw(found: pl.DataFrame, options: Options) -> Any:
    """A heat map for each method: rules down, attacks and f across."""
    methods, names = found["method"].unique(maintain_order=True), found["rule"].unique(maintain_order=True).to_list()
    figure, grid = plt.subplots(len(methods), 1, figsize=(11, 3.1 * len(methods)), layout="constrained", squeeze=False)
    columns = [
        (NOBODY, 0),
        *((attack, f) for attack in ATTACKS if attack in found["attack"] for f in options.attackers),
    ]
    for axes, method in zip(grid.flat, methods, strict=True):
        values = np.full((len(names), len(columns)), np.nan)
        for row in found.filter(method=method).iter_rows(named=True):
            values[names.index(row["rule"]), columns.index((row["attack"], row["f"]))] = row["accuracy"]
        image = axes.imshow(values, vmin=0, vmax=1, aspect="auto", cmap="viridis")
        for (down, across), value in np.ndenumerate(values):
            if not np.isnan(value):  # else not run
                style = {"ha": "center", "va": "center", "fontsize": 7, "color": "white" if value < 0.6 else "black"}
                axes.text(across, down, f"{value:.2f}", **style)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        labels = [attack.replace("_", "\n") + (f"\nf = {f}" if f else "") for attack, f in columns]
        axes.set_xticks(range(len(columns)), labels, fontsize=6)
        axes.set_title(method, fontsize=9, loc="left")
    figure.colorbar(image, ax=grid[:, 0], label="accuracy of the honest slots at the end")
    return figure


def main(options: Options) -> None:
    check_name("--data", options.data, ["digits", "fashion_mnist"])
    if options.quick:
        few = {"attacks": ("sign",), "rules": ("mean", "median", "multi"), "slots": (8, 16)}
        options = replace(options, rounds=60, seeds=1, learning_rates=(0.1, 0.3), **few)
    for name in ("nodes", "active", "rounds", "seeds"):
        check_integer(f"--{name}", getattr(options, name), minimum=1)
    check_free(options.out / "tables", options.force)
    start, console = time.perf_counter(), Console()
    data = getattr(tj.data, options.data)()
    model = {"digits": "mlp", "fashion_mnist": "logistic"}[options.data]
    task = tj.tasks.classification(data, nodes=options.nodes, alpha=options.alpha, model=model, batch=8, evaluated=1000)
    asked = ("rounds", "seeds", "learning_rates", "attackers", "active", "quick")
    kept = KeptRuns(
        options.out / "runs", fingerprint({**{name: getattr(options, name) for name in asked}, "task": task})
    )
    found = heat(task, options, kept, start)
    with new_folder(options.out / "tables", options.force) as folder:
        found.write_parquet(folder / "attacks.parquet")
        draw(found, options).savefig(folder / "attacks.png", dpi=110)
    for method in found["method"].unique(maintain_order=True):
        console.print(tell_heat(found, method, options))
    console.print(tell_losses(found))
    for table in (hand_offs, slots, failures) if options.tables else ():
        console.print(table(task, options, kept))
    print(f"{time.perf_counter() - start:.0f} seconds; written: {options.out / 'tables'}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
