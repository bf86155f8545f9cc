"""``telejax topologies``: every communication graph at one number of nodes, as a table and a sheet of drawings."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from telejax.cli.interrupt import Command
from telejax.errors import check_integer

DRAWN_NODES = 32  # more nodes on a circle are a blot


@dataclass(frozen=True)
class Topologies(Command):  # graphs need no jax, whose import would be most of the time
    """List the communication graphs: what each costs and how fast it reaches consensus.

    Writes topologies.csv and topologies.png into --out.
    """

    nodes: int = 25
    """Number of nodes."""
    names: tuple[str, ...] = ()
    """Names with parameters, such as ring or base:degree=2; by default all."""
    seed: int = 0
    """Seed of the random graphs."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = field(default=Path("runs/topologies"))
    """Where to write."""
    force: bool = False
    """Replace --out if it exists and holds only files of telejax."""

    def check(self) -> None:
        check_integer("--nodes", self.nodes, minimum=1)
        check_integer("--seed", self.seed, minimum=0)

    def run(self) -> int:
        from telejax.cli.out_folder import OutFolder
        from telejax.cli.output import Output
        from telejax.results.files import new_folder, write_picture
        from telejax.results.printed import tight_table
        from telejax.topology import NAMES, table

        out = OutFolder(self.out, self.force)
        names = self.names or tuple(NAMES)
        found = table(self.nodes, names, seed=self.seed)
        left_out = found.filter(found["note"].is_not_null()).select("topology", "note").rows()
        if self.names and left_out:  # asked for by name: an error, not a remark
            raise ValueError("; ".join(f"topology {name!r}: {note}" for name, note in left_out))

        def write(path: Path, overwrite: bool) -> None:
            with new_folder(path, overwrite, later=["topologies.png"]) as folder:
                found.write_csv(folder / "topologies.csv")
            write_picture(path / "topologies.png", lambda: self._sheet(names), kept=["topologies.csv"])

        output = Output()
        output.write(lambda: out.fill(write), out.path)  # before printing, for a reader such as head may end early
        shown = tight_table(f"{self.nodes} nodes")
        columns = (
            "period",
            "degree",
            "messages\na round",
            "p",
            "rounds\nto 1e-6",
            "worth\nnodes",
            "finite\ntime",
        )
        shown.add_column("topology", min_width=max(map(len, names)))
        for column in columns:
            shown.add_column(column, justify="right")
        for row in found.iter_rows(named=True):
            if row["note"] is None:
                shown.add_row(row["topology"], *_cells(row))
        output.print(shown)
        output.say(
            "p: share of the squared consensus distance that a period loses; worth: as many nodes as gossip averages "
            "noise over before it is forgotten (decay 0.95); * drawn anew every round"
        )
        for name, note in left_out:
            output.say(f"{name} left out: {note}")
        output.print_written(out.path, ["topologies.csv", "topologies.png"])
        return 1 if output.failed else 0

    def _sheet(self, names: tuple[str, ...]) -> bytes:
        from telejax.results.plots import topology_sheet
        from telejax.topology import Topology, from_spec

        drawn: list[Topology] = []
        for name in names:
            with suppress(ValueError):  # a graph that does not exist at this size, as the table says
                drawn.append(from_spec(name, min(self.nodes, DRAWN_NODES), seed=self.seed))
        return topology_sheet(drawn)


def _cells(row: dict[str, Any]) -> list[str]:
    """The numbers of a row of the table as text."""
    low, high = row["consensus_rate_low"], row["consensus_rate"]
    rate = f"{high:.4g}" if low == high else f"{low:.2g} to {high:.2g}"
    return [
        f"{row['period']}{'*' if row['drawn'] else ''}",
        f"{row['max_degree']}",
        f"{row['messages']:,.6g}",
        rate,
        f"{row['rounds_to_consensus']:,.0f}",
        "-" if row["effective_neighbours"] is None else f"{row['effective_neighbours']:.1f}",
        "yes" if row["finite_time"] else "no",
    ]
