"""What is known of the sites that might train together: their data and lines, the model, the aim, what things cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from telejax.errors import (
    POSITIVE,
    SECONDS,
    Bound,
    check_integer,
    check_kind,
    check_list,
    check_name,
    check_number,
    is_text,
    short,
)
from telejax.models.network import MODELS, as_network
from telejax.network import Network, links, machines, presence
from telejax.network.link_kinds import Uniform
from telejax.network.machines import SIGMA
from telejax.state import STATIC
from telejax.tasks.classification import Model

MAX_SITES = 2**20
MAX_SAMPLES = 2**26
EPOCH = 10
"""Rounds for which a site that is away stays away."""
Least = Literal["cost", "time", "bytes", "load"]
REACHED = Bound(0.0, 1.0, exclusive=True)


@dataclass(frozen=True)
class Group:
    """Sites that are alike.

    Args:
        count: how many.
        samples: labelled samples of each; or
        data: CSV files of their own data: a path, with {} for the number of the site from 1 where there are several.
        labels: the classes that they see; all by default.
        latency: seconds that a message takes on a site's line;
        bandwidth: bytes a second of that line.
        seconds: of one stochastic gradient, a batch of samples, at a site.
        spread: how much sites differ in that: the deviation of the logarithm.
        away: share of the time that a site cannot be reached.
        name: for tables.
    """

    count: int
    latency: float
    bandwidth: float
    seconds: float
    samples: int | None = None
    data: str | Path | None = None
    labels: Sequence[int] | None = None
    spread: float = 0.0
    away: float = 0.0
    name: str = "sites"

    def __post_init__(self) -> None:
        checked = {
            "count": check_integer("count", self.count, minimum=1, maximum=MAX_SITES),
            "latency": SECONDS.check("latency", self.latency),
            "bandwidth": POSITIVE.check("bandwidth", self.bandwidth),
            "seconds": SECONDS.check("seconds", self.seconds),
            "spread": SIGMA.check("spread", self.spread),
            "away": Bound(0.0, 1.0, below=True).check("away", self.away),
        }
        if (self.samples is None) == (self.data is None):
            raise ValueError(
                f"samples is {short(self.samples)} and data {short(self.data)}; give the number of labelled samples of "
                "each site, or the files that hold them"
            )
        if self.samples is not None:
            remedy = "give the labelled samples of each site, at least 1"
            checked["samples"] = check_integer("samples", self.samples, minimum=1, remedy=remedy, maximum=MAX_SAMPLES)
        if self.labels is not None:
            labels = [check_integer("labels", one, minimum=0) for one in check_list("labels", self.labels, LABELS)]
            if not labels or len({*labels}) < len(labels):
                raise ValueError(f"labels is {short(self.labels)}; {LABELS}")
            checked["labels"] = tuple(labels)  # type: ignore[assignment]
            if self.data is not None:
                raise ValueError(f"labels is {short(self.labels)}, and data have labels of their own; leave it out")
        if not is_text(self.name):
            raise ValueError(f"name is {short(self.name)}; give a text")
        for name, value in checked.items():
            object.__setattr__(self, name, value)


LABELS = "give different classes, from 0, such as [0, 1, 2]"


@dataclass(frozen=True)
class Data:
    """What stands in for the data of sites that give none: their number and labels are the sites', their kind is not.

    Args:
        kind: "synthetic" (as hard as ``spread`` says), "digits" or "fashion-mnist".
        alpha: how alike the sites' labels are: the concentration of a Dirichlet distribution, small for few classes a
            site; by default each sees all its classes alike.
        classes: of synthetic data; likewise
        features: numbers of an input,
        clusters: of a class, and
        spread: of a cluster; see :func:`telejax.data.synthetic`.
        seed: of all draws.
    """

    kind: Literal["synthetic", "digits", "fashion-mnist"] = "synthetic"
    alpha: float | None = None
    classes: int = 10
    features: int = 20
    clusters: int = 2
    spread: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_name("kind of data", self.kind, ["synthetic", "digits", "fashion-mnist"])
        if self.alpha is not None:
            check_number("alpha", self.alpha, exclusive=True)
        for name, least in (("classes", 2), ("features", 1), ("clusters", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), minimum=least, maximum=2**16)
        check_number("spread", self.spread, exclusive=True)


@dataclass(frozen=True)
class Learner:
    """The model that is trained.

    Args:
        kind: "mlp", "logistic", "lenet", ..., as of :func:`telejax.tasks.classification`.
        batch: samples of a stochastic gradient.
        bytes: of the model that will really be trained, where the one that is simulated stands in for a larger one.
    """

    kind: Model = "mlp"
    batch: int = 16
    bytes: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.kind, str):
            check_name("kind of model", self.kind, MODELS)
        as_network(self.kind, classes=2, name="kind")
        check_integer("batch", self.batch, minimum=1, maximum=2**16)
        if self.bytes is not None:
            POSITIVE.check("bytes", self.bytes)


@dataclass(frozen=True)
class Aim:
    """What is to be reached.

    Args:
        accuracy: of the sites' models on data like their own, the mean over sites;
        worst: the same over the tenth of the sites with the lowest; one of the two at least.
        hours: until the deadline.
        gigabytes_a_day: that the busiest site may send and receive. Training that needs more takes longer.
        cost: at most, in the currency of the prices.
        least: of all that reaches the aim, what has the least "cost", "time", "bytes" (of all sites) or "load" (bytes
            of the busiest site). By default the cost where there are prices; else the bytes where there is a deadline;
            else the time.
    """

    accuracy: float | None = None
    worst: float | None = None
    hours: float | None = None
    gigabytes_a_day: float | None = None
    cost: float | None = None
    least: Least | None = None

    def __post_init__(self) -> None:
        for name, bound in (("accuracy", REACHED), ("worst", REACHED), ("hours", POSITIVE)):
            if getattr(self, name) is not None:
                bound.check(name, getattr(self, name))
        if self.gigabytes_a_day is not None:
            POSITIVE.check("gigabytes_a_day", self.gigabytes_a_day)
        if self.cost is not None:
            check_number("cost", self.cost)
        if self.least is not None:
            check_name("least", self.least, get_args(Least))
        if self.accuracy is None and self.worst is None:
            raise ValueError("accuracy is None and worst too; give the accuracy that is to be reached, such as 0.9")


@dataclass(frozen=True)
class Prices:
    """What things cost, in money or in energy.

    Args:
        site_hour: of an hour of computing at a site.
        gigabyte: of a gigabyte that is sent.
        server: of a server for the training, where a method needs one.
        currency: what all of them are counted in, such as "EUR" or "kWh".
    """

    site_hour: float = 0.0
    gigabyte: float = 0.0
    server: float = 0.0
    currency: str = "EUR"

    def __post_init__(self) -> None:
        for name in ("site_hour", "gigabyte", "server"):
            check_number(name, getattr(self, name))
        if not is_text(self.currency) or not self.currency:
            raise ValueError(f"currency is {short(self.currency)}; give a text, such as 'EUR'")


@dataclass(frozen=True)
class Sites:
    """All that is known, for :func:`telejax.advise`.

    Args:
        groups: of sites.
        aim: what is to be reached.
        data: what stands in for their data, where they give none.
        model: that is trained.
        prices: None where nobody knows them.
        server: its line, ``links.uniform(latency, bandwidth)``; None where there is none.
        world: what else happens between sites: loss, outage, waiting, contention, faults, activation.

    Raises:
        ValueError: an argument out of its range, or a number without its meaning, such as a cost without prices.

    >>> from telejax import advice
    >>> shops = advice.Group(count=20, samples=50, latency=0.02, bandwidth=1e6, seconds=0.1)
    >>> advice.Sites([shops], advice.Aim(accuracy=0.8)).nodes
    20
    """

    groups: Sequence[Group]
    aim: Aim
    data: Data = Data()
    model: Learner = Learner()
    prices: Prices | None = None
    server: Uniform | None = None
    world: Network = field(default_factory=lambda: Network(links=links.uniform(), contention=True), metadata=STATIC)

    def __post_init__(self) -> None:
        groups = check_list("groups", self.groups, "give a list of telejax.advice.Group(...)")
        for one in groups:
            check_kind("groups holds one, which", one, Group, "give telejax.advice.Group(...)")
        if not groups:
            raise ValueError("groups is empty; give at least one telejax.advice.Group(...)")
        object.__setattr__(self, "groups", tuple(groups))
        kinds: dict[str, type] = {"aim": Aim, "data": Data, "model": Learner, "world": Network}
        for name, kind in kinds.items():
            check_kind(name, getattr(self, name), kind, f"give a {kind.__name__}")
        if self.prices is not None:
            check_kind("prices", self.prices, Prices, "give telejax.advice.Prices(...), or None")
        if self.server is not None:
            check_kind(
                "server", self.server, Uniform, "give telejax.network.links.uniform(latency, bandwidth), or None"
            )
        if len({one.data is None for one in groups}) > 1:
            raise ValueError("data is given for some groups and not for others; give the files of all, or of none")
        if groups[0].data is not None and self.data != Data(seed=self.data.seed):
            raise ValueError("data says what stands in for data, and the sites have their own; leave out all but seed")
        if self.nodes < 2:
            raise ValueError("count adds up to 1 site; give at least 2, for one has nobody to train with")
        if self.nodes > MAX_SITES:
            raise ValueError(f"count adds up to {self.nodes} sites; give at most {MAX_SITES}")
        if self.prices is None and (self.aim.cost is not None or self.aim.least == "cost"):
            told = "least is 'cost'" if self.aim.cost is None else f"cost is {self.aim.cost}"
            raise ValueError(f"{told}, and there are no prices; give prices, or leave it out")
        for one in groups:
            known = self.data.classes if self.data.kind == "synthetic" else 10
            if one.labels and max(one.labels) >= known:
                raise ValueError(f"labels has {max(one.labels)}, and data has {known} classes; give less")

    @property
    def nodes(self) -> int:
        """How many sites there are."""
        return sum(one.count for one in self.groups)

    def of_each(self, name: str) -> NDArray[np.float64]:
        """A number of the groups at each site, (nodes,)."""
        counts = [one.count for one in self.groups]
        return np.repeat(np.array([getattr(one, name) for one in self.groups], np.float64), counts)

    def speeds(self) -> NDArray[np.float64]:
        """Seconds of a gradient at each site, (nodes,)."""
        drawn = np.random.default_rng([self.data.seed, 7]).standard_normal(self.nodes)
        return self.of_each("seconds") * np.exp(self.of_each("spread") * drawn)

    def network(self, chosen: NDArray[np.integer], scale: float, away: float = 0.0) -> Network:
        """The network of some of the sites.

        Args:
            chosen: those sites.
            scale: bytes of the real model by those of the simulated one.
            away: share of the time that every site is away beyond what is known of it.
        """
        server = self.server and links.uniform(self.server.latency, self.server.bandwidth / scale)
        lines = links.access(self.of_each("latency")[chosen], self.of_each("bandwidth")[chosen] / scale, server=server)
        absent = 1 - (1 - self.of_each("away")[chosen]) * (1 - away)
        pause = float(np.median(self.speeds()))  # of a round for which too few are there
        known = presence.epochs(absent, length=EPOCH, wait=pause) if absent.any() else None
        return replace(self.world, links=lines, machines=machines.table(self.speeds()[chosen]), presence=known)

    def held(self) -> dict[str, Any]:
        """What each of them holds: its kind, and the least and the most samples where they gave none of their own."""
        if self.groups[0].data is not None:
            return {"kind": "own"}
        samples = [int(one.samples or 0) for one in self.groups]
        return {"kind": self.data.kind, "low": min(samples), "high": max(samples)}

    def describe_data(self) -> str:
        """The same in a few words."""
        held = self.held()
        if held["kind"] == "own":
            return "their own data"
        count = f"{held['low']}" if held["low"] == held["high"] else f"{held['low']} to {held['high']}"
        return f"{count} samples each ({held['kind']})"

    def describe(self) -> dict[str, Any]:
        """All of it in plain values, for what is saved."""
        from telejax.simulation.fingerprint import fingerprint

        found = fingerprint({name: getattr(self, name) for name in ("groups", "aim", "data", "model", "prices")})
        return {"nodes": self.nodes, **found}
