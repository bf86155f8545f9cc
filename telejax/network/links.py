"""How long a message is under way: links between any two nodes.

A message of b bytes from node i to node j takes ``latency_ij + b / bandwidth_ij`` seconds. With contention a node's
uplink sends one message after another, each of which occupies it for ``b / uplink_i`` seconds.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from telejax.errors import (
    NON_NEGATIVE,
    POSITIVE,
    SECONDS,
    check_array,
    check_integer,
    check_kind,
    check_list,
    check_numbers,
    short,
)
from telejax.network.link_kinds import Access, Links, Plane, Preferred, Server, Sites, Table, Uniform
from telejax.network.tables import read_table
from telejax.topology import TopologyLike, check_topology

Rows = Sequence[Sequence[float]] | np.ndarray | Array

MAX_PAIRS = 2**24


def uniform(latency: float = 0.0, bandwidth: float = 1e9) -> Uniform:
    """The same latency and bandwidth between any two nodes.

    Args:
        latency: seconds; may be tuned, as all numbers of links: ``tune={"latency": [0.01, 0.1]}``.
        bandwidth: bytes a second, also of the uplink of a node.

    Raises:
        ValueError: a latency below 0, a bandwidth of 0 or less.

    >>> import jax.numpy as jnp
    >>> float(uniform(latency=0.5, bandwidth=1e6).takes(jnp.int32(0), jnp.int32(1), 2e6))
    2.5
    """
    return Uniform(SECONDS.check("latency", latency), POSITIVE.check("bandwidth", bandwidth))


def preferred(topology: TopologyLike, cost: float = 1.0, tau: float = 5.0) -> Preferred:
    """A message costs ``cost`` seconds over an edge of a graph and ``tau`` times as much otherwise, whatever its size.

    The heterogeneous network of section 5.3 of the paper.

    Args:
        topology: the graph of the cheap links over all nodes: a Topology, a name, or a function of their number.
        cost: seconds of a message over them.
        tau: how many times more any other link takes.

    Raises:
        ValueError: numbers below 0, an unknown graph.

    >>> import jax.numpy as jnp
    >>> links = preferred("ring", tau=5.0).bind(nodes=8)
    >>> links.takes(jnp.int32(0), jnp.array([1, 4]), size=100).tolist()
    [1.0, 5.0]
    """
    check_topology("topology", topology)
    return Preferred(topology, SECONDS.check("cost", cost), NON_NEGATIVE.check("tau", tau))


def sites(
    sizes: Sequence[int] | np.ndarray,
    *,
    within: Uniform | None = None,
    between: Uniform | None = None,
    wireless: Sequence[int] = (),
    radio: Uniform | None = None,
) -> Sites:
    """Groups of nodes, fast inside, slower and thinner between; the way out of some of them is by radio.

    Args:
        sizes: nodes of each site, at least 1; nodes are numbered site by site.
        within: :func:`uniform` links inside a site, by default 1 ms and 1e8 bytes a second.
        between: links between sites, by default 20 ms and 1e7 bytes a second.
        wireless: sites, from 0, whose way out goes by radio:
        radio: whose latency is added for each such end, and whose bandwidth bounds; by default 50 ms and 1e6 bytes a
            second.

    Raises:
        ValueError: a site without nodes, a wireless site that there is not, links that are not uniform.

    >>> import jax.numpy as jnp
    >>> links = sites([3, 2], wireless=[1])
    >>> [round(float(links.delay(jnp.int32(0), jnp.int32(node))), 3) for node in (1, 3)]
    [0.001, 0.07]
    """
    sizes = check_list("sizes", sizes, "give the nodes of each site, such as [12, 30]")
    if not sizes:
        raise ValueError("sizes is empty; give the nodes of each site, such as [12, 30]")
    counts = [check_integer(f"sizes[{place}]", one, minimum=1) for place, one in enumerate(sizes)]
    by_radio = np.zeros(len(counts), np.int32)
    for one in check_list("wireless", wireless, "give the numbers of sites, from 0"):
        by_radio[check_integer("wireless", one, minimum=0, maximum=len(counts) - 1)] = 1
    given = {"within": (within, (1e-3, 1e8)), "between": (between, (0.02, 1e7)), "radio": (radio, (0.05, 1e6))}
    parts = {name: uniform(*usual) if one is None else one for name, (one, usual) in given.items()}
    for name, one in parts.items():
        check_kind(name, one, Uniform, "give telejax.network.links.uniform(latency, bandwidth)")
    if (total := sum(counts)) > 2**31 - 1:
        raise ValueError(f"sizes adds up to {short(total)}; give at most {2**31 - 1} nodes")
    return Sites(np.cumsum(counts).astype(np.int32), by_radio, **parts)


def access(
    latency: Sequence[float] | np.ndarray | Array,
    bandwidth: Sequence[float] | np.ndarray | Array,
    *,
    server: Uniform | None = None,
) -> Access:
    """Every node behind a line of its own, which leads to all others and to a server, where there is one.

    A message takes the latencies of both ends, at the bandwidth of the slower one.

    Args:
        latency: seconds, of each node's line, (nodes,);
        bandwidth: bytes a second, likewise.
        server: :func:`uniform`, the line of a server, as ``fedavg`` and ``scaffold`` need it; by default there is none.

    Raises:
        ValueError: arrays of other shapes, a latency below 0, a bandwidth of 0 or less, a server that is not uniform.

    >>> import jax.numpy as jnp
    >>> links = access([0.01, 0.2], [1e7, 1e5])
    >>> round(float(links.takes(jnp.int32(0), jnp.int32(1), size=1e5)), 2)
    1.21
    """
    remedy = "give a number for each node, (nodes,)"
    latencies = check_numbers("latency", latency, SECONDS, f"{remedy}, finite and at least 0")
    bandwidths = check_numbers("bandwidth", bandwidth, POSITIVE, f"{remedy}, finite and above 0")
    if len(latencies) != len(bandwidths):
        raise ValueError(f"bandwidth is of {len(bandwidths)} nodes and latency of {len(latencies)}; give both alike")
    if server is not None:
        check_kind("server", server, Uniform, "give telejax.network.links.uniform(latency, bandwidth)")
    return Access(latencies.astype(np.float32), bandwidths.astype(np.float32), server)


def plane(latency: float = 0.0, pace: float = 0.1, bandwidth: float = 1e7, seed: int = 0) -> Plane:
    """Nodes at pseudo-random places of the unit square: the farther apart, the later a message arrives.

    Args:
        latency: seconds between two nodes at one place.
        pace: seconds more for each unit of distance.
        bandwidth: bytes a second.
        seed: of the places, which are computed node by node.

    Raises:
        ValueError: numbers below 0, a bandwidth of 0.

    >>> import jax.numpy as jnp
    >>> 0 < float(plane(pace=1.0).delay(jnp.int32(0), jnp.int32(10**9))) < 2**0.5
    True
    """
    return Plane(
        SECONDS.check("latency", latency),
        SECONDS.check("pace", pace),
        POSITIVE.check("bandwidth", bandwidth),
        np.array(check_integer("seed", seed, minimum=0, maximum=2**32 - 1), np.uint32),
    )


def table(latency: Rows, bandwidth: Rows, uplink: Sequence[float] | np.ndarray | Array | None = None) -> Table:
    """Measured links: arrays (nodes, nodes), from sender i to receiver j; their diagonals are not read.

    Args:
        latency: seconds;
        bandwidth: bytes a second.
        uplink: bytes a second that each node can send in all, (nodes,); by default that of its fastest link.

    Raises:
        ValueError: arrays that are not square or differ in size; a latency that is missing or below 0; a bandwidth of
            0 or less.

    >>> import jax.numpy as jnp
    >>> links = table([[0, 1], [2, 0]], [[1, 100], [10, 1]])
    >>> links.takes(jnp.int32(1), jnp.int32(0), size=50).tolist()
    7.0
    """
    remedy = "give an array (nodes, nodes), from sender i to receiver j"
    arrays = {name: _square(name, x, remedy) for name, x in (("latency", latency), ("bandwidth", bandwidth))}
    nodes = len(arrays["latency"])
    if len(arrays["bandwidth"]) != nodes:
        raise ValueError(f"bandwidth is of {len(arrays['bandwidth'])} nodes and latency of {nodes}; give both alike")
    for name, bound in (("latency", SECONDS), ("bandwidth", POSITIVE)):
        np.fill_diagonal(arrays[name], 1)
        for extreme in (arrays[name].argmin(), arrays[name].argmax()):  # the first nan is both
            sender, receiver = divmod(int(extreme), nodes)
            bound.check(f"{name} from node {sender} to {receiver}", float(arrays[name][sender, receiver]))
    np.fill_diagonal(arrays["latency"], 0)
    np.fill_diagonal(arrays["bandwidth"], 0)
    fastest = arrays["bandwidth"].max(axis=1) if nodes > 1 else np.ones(1)
    np.fill_diagonal(arrays["bandwidth"], fastest)
    if uplink is not None:
        remedy = f"give {nodes} finite numbers above 0"
        fastest = check_numbers("uplink", uplink, POSITIVE, remedy)
        if len(fastest) != nodes:
            raise ValueError(f"uplink is {short(uplink)}; {remedy}")
    return Table(*(x.astype(np.float32) for x in (arrays["latency"], arrays["bandwidth"], fastest)))


def from_csv(path: str | os.PathLike[str]) -> Table:
    """Measured links from a CSV file with the columns sender, receiver, latency, bandwidth: a row for every pair.

    Nodes are numbered from 0. Latencies are in seconds, bandwidths in bytes a second.

    Raises:
        ValueError: a missing column, a number that is none or out of its range, a pair twice or not at all, naming
            file and line.
        OSError: the file cannot be read.

    >>> import pathlib, tempfile, telejax as tj
    >>> file = pathlib.Path(tempfile.mkdtemp(), "links.csv")
    >>> _ = file.write_text("sender,receiver,latency,bandwidth\\n0,1,0.02,1e6\\n1,0,0.03,1e6\\n")
    >>> links = tj.network.links.from_csv(file)
    """
    rows = read_table(path, {"sender": int, "receiver": int}, {"latency": SECONDS, "bandwidth": POSITIVE})
    nodes = 1 + max(max(rows.columns["sender"]), max(rows.columns["receiver"]))
    if nodes**2 > MAX_PAIRS:
        raise ValueError(f"{path} has nodes up to {nodes - 1}; give at most {int(MAX_PAIRS**0.5)} nodes in all")
    tables = {name: np.full((nodes, nodes), np.nan) for name in ("latency", "bandwidth")}
    for place, line in enumerate(rows.lines):
        link = rows.columns["sender"][place], rows.columns["receiver"][place]
        if not np.isnan(tables["latency"][link]):
            raise ValueError(f"{path}, line {line}: the link from {link[0]} to {link[1]} is given twice; give it once")
        for name, values in tables.items():
            values[link] = rows.columns[name][place]
    missing = np.isnan(tables["latency"]) & ~np.eye(nodes, dtype=bool)
    for sender, receiver in np.argwhere(missing)[:1].tolist():
        raise ValueError(f"{path} has no row from node {sender} to {receiver}; give every pair of its {nodes} nodes")
    return table(tables["latency"], tables["bandwidth"])


def server(latency: float = 0.0, bandwidth: float = 1e9, peers: Links | None = None) -> Server:
    """A server that every node reaches over a link of its own, as ``fedavg`` and ``scaffold`` need it.

    Args:
        latency: seconds between a node and the server, either way;
        bandwidth: bytes a second.
        peers: links between nodes; by default messages between nodes go over the server, which passes them on.

    Raises:
        ValueError: a latency below 0, a bandwidth of 0 or less, peers that are no links.

    >>> import jax.numpy as jnp
    >>> float(server(latency=0.5, bandwidth=100.0).takes(jnp.int32(0), jnp.int32(1), size=50))
    2.0
    """
    if peers is not None:
        check_kind("peers", peers, Links, "give links, such as telejax.network.links.uniform(latency, bandwidth)")
    return Server(SECONDS.check("latency", latency), POSITIVE.check("bandwidth", bandwidth), peers)


def _square(name: str, value: Any, remedy: str) -> np.ndarray:
    array = check_array(name, value, remedy)
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[0] != array.shape[1] or not len(array):
        raise ValueError(f"{name} is {short(value)}; {remedy}")
    return array.astype(np.float64)
