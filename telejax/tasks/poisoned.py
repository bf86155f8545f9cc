"""Tasks whose attackers hold forged data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from telejax.errors import attribute, check_array, check_integer, short


def label_flipped(task: Any, nodes: Sequence[int] | np.ndarray) -> Any:
    """The same task, but some nodes train on labels c that were turned into classes - 1 - c.

    Nothing of it is computed in a run: the labels of their samples are changed before. The training loss is that of the
    samples of the other nodes.

    Args:
        task: of :func:`telejax.tasks.classification`, or one of your own with a member ``label_flipped(nodes)`` that
            returns the changed task.
        nodes: whose labels are flipped.

    Raises:
        ValueError: a task without that member, nodes that are none of the task, or all of them.

    >>> import telejax as tj
    >>> task = tj.tasks.digits(nodes=50)
    >>> own = task.table[3]
    >>> bool((label_flipped(task, [3]).samples.labels[own] == 9 - task.samples.labels[own]).all())
    True
    """
    flipped = attribute(task, "label_flipped")
    if not callable(flipped):
        raise ValueError(f"task is {short(task)}, which has no label_flipped(nodes); give a task of classification")
    count = check_integer("nodes of task", attribute(task, "nodes"), minimum=1)
    remedy = f"give a list of nodes from 0 to {count - 1}"
    liars = check_array("nodes", nodes, remedy)
    several = liars.ndim == 1 and liars.dtype.kind in "iu" and len(liars)
    if not several or liars.min() < 0 or liars.max() >= count:
        raise ValueError(f"nodes is {short(nodes)}; {remedy}")
    if len(np.unique(liars)) == count:
        raise ValueError(f"nodes is {short(nodes)}, all nodes of the task; leave one that is honest")
    return flipped(liars)
