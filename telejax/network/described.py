"""What a network consists of, part by part, as tables show it."""

import inspect

import numpy as np

from telejax.network.from_file import FACTORIES
from telejax.network.parts import KINDS, Parts
from telejax.optimizers import numbers_in


def described(network: Parts) -> list[tuple[str, str, str]]:
    """Name, kind and numbers of each part that there is.

    >>> import telejax as tj
    >>> described(tj.Network(loss=0.1, machines=tj.network.machines.constant(2.0)))
    [('loss', '', '0.1'), ('waiting', 'barrier', ''), ('machines', 'constant', 'seconds 2')]
    """
    number = lambda value: f"{float(value):g}" if np.ndim(value) == 0 else f"{np.size(value)} values"
    lost = {name: getattr(network, name) for name in ("loss", "outage")}
    told = [(name, "", number(value)) for name, value in lost.items() if value is not None]
    if network.timed:
        told.append(("waiting", network.waiting, "one message after another" if network.contention else ""))
    for name in KINDS:
        if (part := getattr(network, name)) is not None:
            numbers = [f"{called} {float(np.asarray(value)):g}" for called, value in numbers_in(part, "").items()]
            if name == "adversary" and part.nodes is not None:
                numbers.append(f"{len(part.nodes)} nodes")
            kinds = {inspect.signature(make).return_annotation: kind for kind, make in FACTORIES[name].items()}
            kind = type(getattr(part, "attack", part))
            told.append((name, kinds.get(kind, kind.__name__), ", ".join(numbers)))
    return told or [("ideal", "", "nothing is lost, late, away or forged")]
