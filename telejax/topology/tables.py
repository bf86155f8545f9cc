"""All graphs at one number of nodes, side by side."""

from collections.abc import Sequence

import polars as pl

from telejax.errors import check_list
from telejax.topology.base import Topology, check_tolerance
from telejax.topology.random_graphs import check_seed
from telejax.topology.registry import NAMES, from_spec, parse
from telejax.topology.sizes import check_nodes

SCHEMA = {
    "topology": pl.String,
    "nodes": pl.Int64,
    "period": pl.Int64,
    "max_degree": pl.Int64,
    "messages": pl.Float64,
    "consensus_rate": pl.Float64,
    "consensus_rate_low": pl.Float64,
    "rounds_to_consensus": pl.Float64,
    "effective_neighbours": pl.Float64,
    "finite_time": pl.Boolean,
    "drawn": pl.Boolean,
    "note": pl.String,
}


def table(nodes: int, names: Sequence[str] = tuple(NAMES), seed: int = 0, tolerance: float = 1e-6) -> pl.DataFrame:
    """What every communication graph costs and brings at ``nodes`` nodes, one row each.

    Args:
        nodes: number of nodes.
        names: names with parameters, as :func:`telejax.topology.from_spec` takes them; by default all.
        seed: of the random graphs that do not name theirs.
        tolerance: see ``rounds_to_consensus``.

    Returns:
        ``topology`` (as given), ``nodes``, ``period`` (rounds), ``max_degree``, ``messages`` (parameter copies a
        round, on average), ``consensus_rate`` (p over the period) and ``consensus_rate_low``, a smaller lower
        bound where p is only known to lie between the two; ``rounds_to_consensus`` (rounds until the consensus
        distance is at most ``tolerance`` of its start, whatever the start), ``effective_neighbours`` (as many as a
        node averages with, null where that is not known), ``finite_time`` (a period ends in
        exact consensus), ``drawn`` (every round anew), and ``note``: why a graph does not exist at this size, the
        other columns being null then.

    Raises:
        ValueError: an unknown name or parameter.

    >>> table(8, ["ring", "base:degree=1"]).select("topology", "period", "max_degree", "finite_time").rows()
    [('ring', 1, 2, False), ('base:degree=1', 3, 1, True)]
    """
    nodes, seed = check_nodes(nodes), check_seed(seed)
    tolerance = check_tolerance(tolerance)
    names = check_list("names", names, "give a list of names, such as ['ring', 'torus:rows=4']")
    for name in names:
        parse(name)  # a mistyped name is an error, a graph that does not exist at this size a note
    rows = []
    for name in names:
        try:
            rows.append({"topology": name, "nodes": nodes, **_measure(from_spec(name, nodes, seed=seed), tolerance)})
        except ValueError as error:
            rows.append({"topology": name, "nodes": nodes, "note": str(error)})
    return pl.DataFrame(rows, schema=SCHEMA)


def _measure(topology: Topology, tolerance: float) -> dict[str, object]:
    bounds = topology.consensus_bounds()
    return {
        "period": topology.period,
        "max_degree": topology.max_degree,
        "messages": topology.mean_messages,
        "consensus_rate": bounds.high,
        "consensus_rate_low": bounds.low,
        "rounds_to_consensus": topology.rounds_to_consensus(tolerance),
        "effective_neighbours": topology.effective_neighbours(),
        "finite_time": topology.is_finite_time(),
        "drawn": topology.is_drawn,
    }
