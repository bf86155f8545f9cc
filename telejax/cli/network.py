"""``telejax network``: what a file of a network says, as a table and a picture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from telejax.cli.compiling import Compiling
from telejax.errors import check_integer

if TYPE_CHECKING:
    from telejax import network

NODES = 25
"""Where neither the command nor the file says how many there are."""
SHOWN = 60
"""Nodes between which messages are timed."""
TIMED = 10_000
"""Nodes whose gradients are timed."""
MESSAGE = 1e6  # bytes


@dataclass(frozen=True)
class Network(Compiling):
    """Check the TOML file of a network, and show what it says: links, machines, presence.

    Writes network.csv and network.png into --out.
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.TOML")]
    """The file; see docs/how_to/network.md."""
    nodes: int | None = None
    """Number of nodes; by default as many as its tables have, or else 25."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/network"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists and holds only files of telejax."""

    def check(self) -> None:
        if self.nodes is not None:
            check_integer("--nodes", self.nodes, minimum=2, maximum=2**31 - 1)

    def run(self) -> int:
        from telejax.cli.out_folder import OutFolder
        from telejax.cli.output import Output
        from telejax.results.files import new_folder, write_picture

        made = self.build()
        out = OutFolder(self.out, self.force)
        measured = measure(made)

        def write(path: Path, overwrite: bool) -> None:
            with new_folder(path, overwrite, later=["network.png"]) as folder:
                measured.table().write_csv(folder / "network.csv")
            write_picture(path / "network.png", measured.picture, kept=["network.csv"])

        output = Output()
        output.write(lambda: out.fill(write), out.path)  # before printing, for a reader such as head may end early
        title = f"{self.file.name}, {made.nodes:,} nodes"
        output.print(_parts_table(made, title))
        if measured.rows():
            output.print("")
            output.print(_numbers_table(measured))
            output.say(measured.sentence())
        output.print_written(out.path, ["network.csv", "network.png"])
        return 1 if output.failed else 0

    def build(self) -> "network.Network":
        """The network of so many nodes, or a ValueError."""
        from telejax import network
        from telejax.backend.sharding import check_platform
        from telejax.network.from_file import from_toml
        from telejax.network.parts import KINDS

        check_platform()
        made: network.Network = from_toml(network.Network, self.file, argument="FILE.TOML")
        known = [size for name in KINDS if (size := known_nodes(getattr(made, name))) is not None]
        nodes = self.nodes or min(known, default=NODES)
        try:
            return made.bind(nodes, np.ones(nodes) if _by_data(made) else None)
        except ValueError as error:
            given = f"--nodes is {nodes}" if self.nodes else f"{self.file}, with {nodes} nodes"
            raise ValueError(f"{given}: {error}") from error


@dataclass(frozen=True)
class Measured:
    """Numbers of a sample of nodes, and of the links between them."""

    nodes: int
    pairs: dict[str, np.ndarray]
    """Latency, bandwidth and seconds of a message: (shown, shown), from sender to receiver, nan on the diagonal."""
    shown: np.ndarray
    """The nodes between which these links are."""
    each: dict[str, np.ndarray]
    """Seconds of a gradient, the share of the time that a node is present, and messages to a server."""

    def rows(self) -> list[tuple[str, str, float, float, float]]:
        """Quantity, unit, minimum, median and maximum of each."""
        found: list[tuple[str, str, float, float, float]] = []
        for name, values in {**self.pairs, **self.each}.items():
            known = values[~np.isnan(values)]
            quantity, _, unit = name.partition(", ")
            found.append((quantity, unit, float(known.min()), float(np.median(known)), float(known.max())))
        return found

    def table(self) -> Any:
        """The rows as a polars table."""
        import polars as pl

        return pl.DataFrame(self.rows(), schema=["quantity", "unit", "min", "median", "max"], orient="row")

    def sentence(self) -> str:
        """What was measured."""
        told = lambda most: f"all {self.nodes}" if self.nodes <= most else f"{most:,} of {self.nodes:,}"
        pairs = f"links: between {told(SHOWN)} nodes, each way" if self.pairs else "links: none"
        return f"{pairs}; the others: of {told(TIMED)} nodes"

    def picture(self) -> bytes:
        """Seconds of a message between nodes, beside the distribution of the seconds of a gradient."""
        import matplotlib.pyplot as plt

        from telejax.results.plots import figure_png

        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
        left.set_title("a message of 1 MB", fontsize="medium")
        right.set_title("a stochastic gradient", fontsize="medium")
        if (takes := self.pairs.get(MESSAGE_ROW)) is None:
            _empty(left, "no links: messages take no time")
        else:
            drawn = left.imshow(takes, cmap="viridis")
            ticks = [*range(0, len(self.shown), max(1, len(self.shown) // 6))]
            labels = [f"{self.shown[tick]}" for tick in ticks]
            left.set_xticks(ticks, labels, fontsize="small")
            left.set_yticks(ticks, labels, fontsize="small")
            left.set_xlabel("receiver")
            left.set_ylabel("sender")
            figure.colorbar(drawn, ax=left, label="seconds")
        if (seconds := self.each.get(GRADIENT_ROW)) is None:
            _empty(right, "no machines: gradients take no time")
        else:
            right.hist(seconds, bins=min(40, max(5, len(seconds) // 4)))
            right.set_xlabel("seconds")
            right.set_ylabel("nodes")
            right.grid(alpha=0.3)
        return figure_png(left, dpi=120)


MESSAGE_ROW, GRADIENT_ROW = "message of 1 MB, s", "gradient, s"


def measure(made: "network.Network") -> Measured:
    """Time a sample of the nodes of a bound network."""
    import jax
    import jax.numpy as jnp

    nodes = made.nodes
    assert nodes is not None
    shown, timed = (_sample(nodes, most) for most in (SHOWN, TIMED))
    pairs, each = {}, {}
    if made.links is not None and nodes > 1:
        one, other = jnp.asarray(shown)[:, None], jnp.asarray(shown)[None]
        tables = {
            "latency, s": made.links.delay(one, other),
            "bandwidth, MB/s": made.links.rate(one, other) / 1e6,
            MESSAGE_ROW: made.links.takes(one, other, MESSAGE),
        }
        for name, numbers in tables.items():
            pairs[name] = np.array(numbers, np.float64)
            np.fill_diagonal(pairs[name], np.nan)
        if (server := made.links.serving) is not None:
            each["1 MB to the server, s"] = np.asarray(server.reached(MESSAGE, jnp.asarray(timed)), np.float64)
    if made.machines is not None:
        each[GRADIENT_ROW] = np.asarray(made.machines.of(jax.random.key(0), jnp.asarray(timed)), np.float64)
    if made.presence is not None:
        each["present, share"] = _present(made.presence, timed)
    return Measured(nodes, pairs, shown, each)


def known_nodes(part: Any) -> int | None:
    """Of how many nodes a part is, where it is of nodes one by one."""
    from telejax.network import activation, link_kinds, machines, presence

    match part:
        case link_kinds.Sites():
            return int(part.ends[-1])
        case link_kinds.Access():
            return len(part.latencies)
        case link_kinds.Table():
            return len(part.uplinks)
        case link_kinds.Server():
            return known_nodes(part.peers)
        case machines.Table():
            return len(part.seconds)
        case presence.Trace():
            return int(part.begins.shape[1])
        case presence.Epochs() if np.ndim(part.away):
            return int(np.size(part.away))
        case activation.Weighted():
            return None if part.weights is None else len(part.weights)
    return None


def _present(part: Any, nodes: np.ndarray) -> np.ndarray:
    """The share of the time that each node is present, in the long run."""
    from telejax.network import presence

    match part:
        case presence.Trace():
            return part.availability()[nodes]
        case presence.Epochs():
            return 1 - (np.array([part.away]) if np.ndim(part.away) == 0 else np.asarray(part.away)[nodes])
    either = part.leave + part.back  # of a Markov chain; one that never changes stays where all begin
    return np.array([part.back / either if either > 0 else 1.0])


def _by_data(made: "network.Network") -> bool:
    """Whether who is active goes by samples, of which the task alone knows how many there are."""
    return getattr(made.activation, "by", None) == "data"


def _sample(nodes: int, most: int) -> np.ndarray:
    """As many nodes, in order: all, or so many, always the same."""
    drawn = np.arange(nodes) if nodes <= most else np.random.default_rng(0).choice(nodes, most, replace=False)
    return np.sort(drawn).astype(np.int32)


def _parts_table(made: "network.Network", title: str) -> Any:
    """The parts and their numbers."""
    from telejax.network.described import described

    table = _empty_table(title)
    table.add_column("part")
    table.add_column("kind")
    table.add_column("numbers", overflow="fold")
    for row in described(made):
        table.add_row(*row)
    return table


def _numbers_table(measured: Measured) -> Any:
    """The rows as text."""
    table = _empty_table(None)
    table.add_column("")
    table.add_column("unit")
    for column in ("min", "median", "max"):
        table.add_column(column, justify="right")
    for quantity, unit, *numbers in measured.rows():
        table.add_row(quantity, unit, *(f"{number:.4g}" for number in numbers))
    return table


def _empty_table(title: str | None) -> Any:
    import rich.box

    from telejax.results.printed import PrintedTable

    return PrintedTable(title, box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _empty(axes: Any, why: str) -> None:
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
