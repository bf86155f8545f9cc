"""Who holds which samples: tables of sample numbers, one row a node.

Where nodes hold different numbers of samples, shorter rows end in -1. Each row is in random order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from telejax.errors import check_array, check_integer, check_name, check_number, plain, short

Table = NDArray[np.int32]

MAX_CLASSES = 2**24  # as many as labels may be, see from_arrays


def iid(labels: NDArray[np.integer], nodes: int, seed: int = 0) -> Table:
    """Deal all samples out at random; what does not divide evenly is left over.

    Args:
        labels: shape (samples,).
        nodes: number of nodes, at most the number of samples.
        seed: of the shuffle.

    Returns:
        int32 table of shape (nodes, samples // nodes); no sample appears twice.

    >>> iid(np.zeros(10, int), nodes=3).shape
    (3, 3)
    """
    labels, random = _labels(labels), _stream(seed)
    size, nodes = node_size(len(labels), nodes), int(plain(nodes))
    order = random.permutation(len(labels))
    return order[: nodes * size].reshape(nodes, size).astype(np.int32)


def dirichlet(labels: NDArray[np.integer], nodes: int, alpha: float, seed: int = 0) -> Table:
    """Each node draws its own label proportions from Dirichlet(alpha); all nodes get equally many samples.

    Nodes are filled in random order. A node whose class has run out draws on with its proportions over the
    classes that are left, or evenly over them where its proportions have no weight left.

    Args:
        labels: integer class of each sample, shape (samples,).
        nodes: number of nodes, at most the number of samples.
        alpha: concentration, above 0: small for few classes a node, large for equal mixes.
        seed: of the proportions and the dealing.

    Returns:
        int32 table of shape (nodes, samples // nodes); no sample appears twice.

    Raises:
        ValueError: alpha not above 0, or more nodes than samples.

    >>> labels = np.repeat(np.arange(10), 20)
    >>> dirichlet(labels, nodes=10, alpha=0.1).shape
    (10, 20)
    """
    alpha = check_number("alpha", alpha, exclusive=True)
    labels, random = _labels(labels), _stream(seed)
    size, nodes = node_size(len(labels), nodes), int(plain(nodes))
    classes = np.unique(labels)
    pools = [list(random.permutation(np.flatnonzero(labels == one))) for one in classes]
    table = np.empty((nodes, size), np.int32)
    for node in random.permutation(nodes):
        proportions = _proportions(random, alpha, len(classes))
        filled = 0
        while filled < size:
            stock = np.array([len(pool) for pool in pools])
            counts = random.multinomial(size - filled, _over_stock(proportions, stock))
            for pool, count in zip(pools, np.minimum(counts, stock), strict=True):
                for _ in range(count):
                    table[node, filled] = pool.pop()
                    filled += 1
    return random.permuted(table, axis=1)


def dirichlet_free(labels: NDArray[np.integer], nodes: int, alpha: float, seed: int = 0, at_least: int = 1) -> Table:
    """Each class is divided over the nodes in proportions from Dirichlet(alpha); nodes differ in size.

    H. Hsu et al. 2019 and T. Lin et al. 2021 divide so. A node left with fewer than ``at_least`` samples takes what
    it lacks from the largest, so that the division always ends.

    Args:
        labels: integer class of each sample, shape (samples,).
        nodes: number of nodes; ``nodes * at_least`` is at most the number of samples.
        alpha: concentration, above 0.
        seed: of the proportions and the dealing.
        at_least: samples of the smallest node.

    Returns:
        int32 table of shape (nodes, samples of the largest node), shorter rows ending in -1.

    >>> labels = np.repeat(np.arange(10), 20)
    >>> int((dirichlet_free(labels, nodes=10, alpha=0.1) >= 0).sum())
    200
    """
    alpha = check_number("alpha", alpha, exclusive=True)
    at_least = check_integer("at_least", at_least, minimum=1)
    labels, random = _labels(labels), _stream(seed)
    size, nodes = node_size(len(labels), nodes), int(plain(nodes))
    if size < at_least:
        raise ValueError(
            f"at_least is {at_least} and there are {len(labels)} samples for {nodes} nodes; "
            f"use at most {len(labels) // nodes}"
        )
    rows: list[list[int]] = [[] for _ in range(nodes)]
    for one in np.unique(labels):
        pool = random.permutation(np.flatnonzero(labels == one))
        proportions = _proportions(random, alpha, nodes)
        ends = np.rint(np.cumsum(proportions)[:-1] * len(pool)).astype(int)
        for row, part in zip(rows, np.split(pool, ends), strict=True):
            row.extend(part)
    for row in rows:
        while len(row) < at_least:
            largest = max(rows, key=len)
            row.append(largest.pop(random.integers(len(largest))))
    return pad_rows([random.permutation(row) for row in rows])


def shards(labels: NDArray[np.integer], nodes: int, shards_per_node: int = 2, seed: int = 0) -> Table:
    """Samples sorted by label are cut into equal shards, and each node gets so many of them at random.

    B. McMahan et al. 2017, arXiv 1602.05629. What does not divide evenly is left over.

    Returns:
        int32 table of shape (nodes, shards_per_node * samples // (nodes * shards_per_node)).

    >>> labels = np.repeat(np.arange(10), 20)
    >>> table = shards(labels, nodes=10)
    >>> int(max(len(np.unique(labels[row])) for row in table)) <= 2
    True
    """
    shards_per_node = check_integer("shards_per_node", shards_per_node, minimum=1)
    labels, random = _labels(labels), _stream(seed)
    nodes = check_integer("nodes", nodes, minimum=1)
    count = nodes * shards_per_node
    if count > len(labels):
        raise ValueError(
            f"nodes is {short(nodes)} and shards_per_node {short(shards_per_node)}, which makes {short(count)} shards, "
            f"and there are {len(labels)} training samples; use fewer"
        )
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    cut = order[: count * (len(labels) // count)].reshape(count, -1)
    return random.permuted(cut[random.permutation(count)].reshape(nodes, -1), axis=1).astype(np.int32)


def by_assignment(owners: ArrayLike, seed: int = 0) -> Table:
    """Each sample goes to the node that ``owners`` names, such as its writer.

    Args:
        owners: one value a sample, shape (samples,): integers or strings; the nodes are the sorted distinct values.
        seed: of the order within rows.

    Returns:
        int32 table of shape (distinct owners, samples of the largest), shorter rows ending in -1.

    >>> by_assignment(["ann", "bob", "ann"]).tolist()[1]
    [1, -1]
    """
    remedy = "give one owner for each of at least one sample, integers or texts"
    owners = check_array("owners", owners, remedy)
    if owners.ndim != 1 or not len(owners) or owners.dtype.kind not in "iuSU":
        raise ValueError(f"owners has the shape {owners.shape} and type {owners.dtype}; {remedy}")
    random = _stream(seed)
    _, node = np.unique(owners, return_inverse=True)
    return pad_rows([random.permutation(np.flatnonzero(node == one)) for one in range(node.max() + 1)])


def order(table: Table, labels: NDArray[np.integer], placement: str) -> NDArray[np.int64]:
    """The rows of a table in the order of the nodes.

    "shuffled" is as dealt, at random; "sorted" by their mean label, so that neighbours are alike.

    >>> order(np.array([[2], [0], [1]], np.int32), np.array([0, 1, 2]), "sorted").tolist()
    [1, 2, 0]
    """
    if check_name("placement", placement, ("shuffled", "sorted")) == "shuffled":
        return np.arange(len(table))
    held = table >= 0
    return np.argsort((labels[table] * held).sum(axis=1) / held.sum(axis=1), kind="stable")


def label_counts(table: NDArray[np.integer], labels: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """How many samples of each class each node holds, int64 of shape (nodes, classes).

    >>> label_counts(np.array([[0, 1], [2, -1]]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    labels, classes = _labels(labels), check_integer("classes", classes, minimum=1, maximum=MAX_CLASSES)
    remedy = "give integers of shape (nodes, samples of a node), the numbers of samples, shorter rows ending in -1"
    table = check_array("table", table, remedy)
    if table.ndim != 2 or not len(table) or table.dtype.kind not in "iu":
        raise ValueError(f"table has the shape {table.shape} and type {table.dtype}; {remedy}")
    for number in (int(table.max(initial=0)), int(table.min(initial=0))):
        if not -1 <= number < len(labels):
            raise ValueError(f"table has the number {number}, and there are {len(labels)} labels; {remedy}")
    if labels.max() >= classes:
        raise ValueError(f"classes is {classes}, and labels go up to {labels.max()}; give at least {labels.max() + 1}")
    labels = labels.astype(np.int64)  # unsigned ones are not counted
    return np.stack([np.bincount(labels[row[row >= 0]], minlength=classes) for row in table])


def check_table(table: ArrayLike, samples: int) -> Table:
    """A table of sample numbers as int32, or a ValueError: numbers out of range, a gap, a sample held twice.

    >>> check_table([[0, 1], [2, 2]], samples=3)
    Traceback (most recent call last):
    ...
    ValueError: partition deals sample 2 out twice; give each sample to one node at most
    """
    remedy = "give integers of shape (nodes, samples of a node), shorter rows ending in -1"
    checked = check_array("partition", table, remedy)
    if checked.ndim != 2 or not checked.size or not np.issubdtype(checked.dtype, np.integer):
        raise ValueError(f"partition has the shape {checked.shape} and type {checked.dtype}; {remedy}")
    held = checked >= 0
    if checked.min() < -1 or checked.max() >= samples:
        raise ValueError(
            f"partition has numbers from {checked.min()} to {checked.max()} and there are {samples} training "
            "samples; number them from 0, with -1 at the end of shorter rows"
        )
    if not held[:, 0].all() or (held[:, 1:] > held[:, :-1]).any():
        row = int(np.argmin(held[:, 0] & ~(held[:, 1:] > held[:, :-1]).any(axis=1)))
        raise ValueError(f"partition has no sample, or -1 before a sample, in row {row}; each node holds at least one")
    numbers, times = np.unique(checked[held], return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"partition deals sample {numbers[times > 1][0]} out twice; give each sample to one node at most"
        )
    return checked.astype(np.int32)


def pad_rows(rows: Sequence[NDArray[np.integer]]) -> Table:
    """Rows of several lengths as one table, shorter ones ending in -1."""
    table = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for place_in, row in zip(table, rows, strict=True):
        place_in[: len(row)] = row
    return table


def node_size(samples: int, nodes: int) -> int:
    """Samples each node gets, or a ValueError where there are more nodes than samples."""
    nodes = check_integer("nodes", nodes, minimum=1)
    if nodes > samples:
        raise ValueError(f"nodes is {nodes} and there are {samples} training samples; use at most {samples} nodes")
    return samples // nodes


def _labels(given: ArrayLike) -> NDArray[np.integer]:
    """The classes of the samples, checked."""
    remedy = "give the integer class, from 0, of each of at least one sample"
    labels = check_array("labels", given, remedy)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"labels has the shape {labels.shape} and type {labels.dtype}; {remedy}")
    return labels


def _stream(seed: int) -> np.random.Generator:
    """The draws of a seed."""
    return np.random.default_rng(check_integer("seed", seed, minimum=0))


def _over_stock(proportions: NDArray[np.float64], stock: NDArray[np.int64]) -> NDArray[np.float64]:
    """The proportions over the classes that have samples left, in float64 and summing to one."""
    weights = np.where(stock > 0, proportions, 0.0)
    if weights.sum() < 1e-12:
        weights = (stock > 0).astype(np.float64)
    return weights / weights.sum()


def _proportions(random: np.random.Generator, alpha: float, parts: int) -> NDArray[np.float64]:
    """A draw from Dirichlet(alpha, ..., alpha); where a tiny alpha underflows, its limit: all in one part."""
    drawn = random.dirichlet(np.full(parts, alpha))
    return drawn if np.isfinite(drawn).all() and drawn.sum() > 0.5 else np.eye(parts)[random.integers(parts)]
