"""Consensus distance against rounds and against messages, for every communication graph.

The classic figure: all nodes start from independent normal vectors and do nothing but mix. Run it with
``python experiments/consensus.py``; it writes consensus.parquet and consensus.png into ``--out``.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import tyro

from telejax.errors import check_integer
from telejax.results.files import check_free, new_folder
from telejax.topology import NAMES, Topology, from_spec

FLOOR = 1e-28  # of the consensus distance: below is rounding


@dataclass(frozen=True)
class Options:
    """Consensus distance of every communication graph against rounds and messages."""

    nodes: tuple[int, ...] = (25, 100, 1000)
    """Numbers of nodes, one row of pictures each."""
    names: tuple[str, ...] = ()
    """Names with parameters; by default all that exist at the size."""
    rounds: int = 100
    """Rounds of mixing."""
    dim: int = 32
    """Numbers each node holds."""
    seed: int = 0
    """Of the starts and the random graphs."""
    out: Path = Path("runs/consensus")
    """Where to write."""
    force: bool = False
    """Replace --out if it exists."""


def decay(topology: Topology, rounds: int, dim: int = 32, seed: int = 0) -> pl.DataFrame:
    """The consensus distance after each round, relative to the first, and the messages sent until then.

    >>> from telejax.topology import base_graph
    >>> decay(base_graph(5), rounds=8)["consensus"].to_numpy().round(6)[[0, -1]].tolist()
    [1.0, 0.0]
    """
    x = np.random.default_rng(seed).normal(size=(topology.nodes, dim))
    x -= x.mean(axis=0)
    start = np.sum(x**2)
    consensus, messages = [1.0], [0]
    for t in range(rounds):
        x = topology.average(x, t)
        consensus.append(max(FLOOR, float(np.sum((x - x.mean(axis=0)) ** 2) / start)))
        messages.append(messages[-1] + topology.messages(t))
    return pl.DataFrame({"round": np.arange(rounds + 1), "messages": messages, "consensus": consensus})


def existing(names: tuple[str, ...], nodes: int, seed: int) -> dict[str, Topology]:
    """The named graphs at this size; a default name without a graph of this size is left out."""
    if names:
        return {name: from_spec(name, nodes, seed=seed) for name in names}
    found = {}
    for name in NAMES:
        try:
            found[name] = from_spec(name, nodes, seed=seed)
        except ValueError as error:
            print(f"{nodes} nodes, {name} left out: {error}")
    return found


def main(options: Options) -> None:
    for nodes in options.nodes:
        check_integer("--nodes", nodes, minimum=2)
    check_integer("--rounds", options.rounds, minimum=1)
    check_free(options.out, options.force)
    tables = []
    figure, grid = plt.subplots(
        len(options.nodes), 2, figsize=(13, 4.6 * len(options.nodes)), layout="constrained", squeeze=False, sharey=True
    )
    for nodes, row in zip(options.nodes, grid, strict=True):
        for number, (name, topology) in enumerate(existing(options.names, nodes, options.seed).items()):
            table = decay(topology, options.rounds, options.dim, options.seed)
            tables.append(table.select(pl.lit(name).alias("topology"), pl.lit(nodes).alias("nodes"), pl.all()))
            style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3], "linewidth": 1.5}
            row[0].plot(table["round"], table["consensus"], label=name, **style)
            row[1].plot(table["messages"][1:] / nodes, table["consensus"][1:], **style)
        for axes, label in zip(row, ("rounds", "messages sent, per node"), strict=True):
            axes.set(yscale="log", xlabel=label, title=f"{nodes} nodes")
            axes.grid(alpha=0.3)
        row[1].set_xscale("log")
        row[0].set_ylabel("consensus distance, relative to the start")
        row[1].legend(
            *row[0].get_legend_handles_labels(), fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5)
        )
    table = pl.concat(tables)
    with new_folder(options.out, options.force) as folder:
        table.write_parquet(folder / "consensus.parquet")
        figure.savefig(folder / "consensus.png", dpi=110)
    plt.close(figure)
    reached = table.filter(pl.col("consensus") <= 1e-6).group_by("nodes", "topology", maintain_order=True).first()
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True):
        print(f"First round at a consensus distance of 1e-6 of the start, within {options.rounds} rounds:")
        print(reached.drop("consensus"))
    print(f"Written: {options.out}/consensus.parquet and consensus.png")


if __name__ == "__main__":
    main(tyro.cli(Options))
