"""Who holds which samples: tables of sample numbers, one row a node, all rows of equal length."""

import numpy as np
from numpy.typing import NDArray

from telejax.errors import check_integer, check_number

Table = NDArray[np.int32]


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
    size = node_size(len(labels), nodes)
    order = np.random.default_rng(seed).permutation(len(labels))
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
    size = node_size(len(labels), nodes)
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    pools = [list(random.permutation(np.flatnonzero(labels == one))) for one in classes]
    table = np.empty((nodes, size), np.int32)
    for node in random.permutation(nodes):
        proportions = random.dirichlet(np.full(len(classes), alpha))
        filled = 0
        while filled < size:
            stock = np.array([len(pool) for pool in pools])
            counts = random.multinomial(size - filled, _over_stock(proportions, stock))
            for pool, count in zip(pools, np.minimum(counts, stock), strict=True):
                for _ in range(count):
                    table[node, filled] = pool.pop()
                    filled += 1
    return table


def node_size(samples: int, nodes: int) -> int:
    """Samples each node gets, or a ValueError where there are more nodes than samples."""
    nodes = check_integer("nodes", nodes, minimum=1)
    if nodes > samples:
        raise ValueError(f"nodes is {nodes} and there are {samples} training samples; use at most {samples} nodes")
    return samples // nodes


def _over_stock(proportions: NDArray[np.float64], stock: NDArray[np.int64]) -> NDArray[np.float64]:
    """The proportions over the classes that have samples left, in float64 and summing to one."""
    weights = np.where(stock > 0, np.nan_to_num(proportions), 0.0)
    if weights.sum() < 1e-12:
        weights = (stock > 0).astype(np.float64)
    return weights / weights.sum()
