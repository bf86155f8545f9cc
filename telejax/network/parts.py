"""The parts of a network: what there is, whether it fits together and the task, and what it keeps at the start."""

import os
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array

from telejax.backend.shapes import is_deleted
from telejax.errors import (
    MOST,
    attribute,
    check_array,
    check_flag,
    check_integer,
    check_name,
    check_number,
    is_kind,
    short,
)
from telejax.network import recovery
from telejax.network.activation import Activation, Uniform
from telejax.network.adversary import Adversary
from telejax.network.clocks import Clocks
from telejax.network.faults import Faults
from telejax.network.from_file import from_toml
from telejax.network.link_kinds import Links
from telejax.network.load import Load
from telejax.network.machines import Machines
from telejax.network.presence import Presence, Trace
from telejax.network.record import Record
from telejax.network.world import World
from telejax.state import STATIC, State, pytree
from telejax.tasks.base import Task, reweighted

KINDS: dict[str, tuple[type, str]] = {
    "links": (Links, "telejax.network.links.uniform(latency, bandwidth)"),
    "machines": (Machines, "telejax.network.machines.constant(seconds)"),
    "presence": (Presence, "telejax.network.presence.epochs(away)"),
    "activation": (Activation, "telejax.network.activation.shuffled_epochs()"),
    "faults": (Faults, "telejax.network.faults.independent(failure=0.01)"),
    "adversary": (Adversary, "telejax.adversary(telejax.attacks.sign_flip(), share=0.1)"),
}
"""Of the parts of a network, and an example of each."""

A_PROBABILITY = "give a probability from 0 to 1, or None"
SAMPLES = "give the samples of each node"

OF_A_RUN: dict[str, tuple[type, str]] = {
    "load": (Load, "simulate(load=True) asks for it"),
    "record": (Record, "simulate(record=20) asks for it"),
    "nodes": (int, "network.bind(nodes) tells it"),
}
"""What a network is told by the run that it is given to."""


@pytree
@dataclass(frozen=True)
class Parts:
    """What a :class:`telejax.Network` is made of."""

    loss: float | Array | None = None
    outage: float | Array | None = None
    links: Links | None = None
    machines: Machines | None = None
    waiting: Literal["barrier", "neighbours"] = field(metadata=STATIC, default="barrier")
    contention: bool = field(metadata=STATIC, default=False)
    presence: Presence | None = None
    activation: Activation | None = None
    faults: Faults | None = None
    adversary: Adversary | None = None
    load: Load | None = None
    """Of which nodes the load is counted: ``simulate(load=True)``."""
    record: Record | None = None
    """How many rounds are written down: ``simulate(record=rounds)``."""
    nodes: int | None = field(metadata=STATIC, default=None)
    """How many there are, once the network is bound to a task."""

    def __post_init__(self) -> None:
        for name in ("loss", "outage"):
            value = getattr(self, name)
            traced = attribute(value, "shape") is not None and not is_kind(value, np.generic)
            if is_kind(value, np.ndarray | jax.Array) and not _are_probabilities(value):
                raise ValueError(f"{name} is {short(value)}; {A_PROBABILITY}")
            if value is None or traced or type(value) is object:  # object: jax rebuilds trees with placeholders
                continue
            object.__setattr__(self, name, check_probability(name, value))
        for name, (kind, example) in KINDS.items():
            value = getattr(self, name)
            if not (value is None or is_kind(value, kind) or type(value) is object):
                raise ValueError(f"{name} is {short(value)}; give {example}, or None")
        for name, (kind, remedy) in OF_A_RUN.items():
            value = getattr(self, name)
            if not (value is None or is_kind(value, kind) or type(value) is object) or is_kind(value, bool):
                raise ValueError(f"{name} is {short(value)}; leave it out: {remedy}")
        if type(self.nodes) is int and self.nodes < 1:
            raise ValueError(f"nodes is {self.nodes}; leave it out: {OF_A_RUN['nodes'][1]}")
        object.__setattr__(self, "waiting", check_name("waiting", self.waiting, ["barrier", "neighbours"]))
        if check_flag("contention", self.contention) and self.links is None:
            raise ValueError("contention is True, and there are no links; give links=telejax.network.links.uniform()")
        if self.waiting != "barrier" and self.links is None and self.machines is None:
            told = f"waiting is {self.waiting!r}, and there are no clocks without links or machines"
            raise ValueError(f"{told}; give links=telejax.network.links.uniform(), or leave it out")
        if is_kind(self.activation, Uniform):
            object.__setattr__(self, "activation", None)

    def _repr_html_(self) -> str:
        from telejax.network.described import described  # which knows the functions that make parts
        from telejax.results import cards

        rows = pl.DataFrame(described(self), schema=["part", "kind", "numbers"], orient="row")
        return cards.card("network" + (f" of {self.nodes} nodes" if self.nodes else ""), cards.table(rows))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """The network that a TOML file describes.

        A table for each part, ``[links]``, ``[machines]``, ``[presence]``, ``[activation]``, ``[faults]``, has a
        ``kind``, which is the function of this name in ``telejax.network.links`` and so on, and its arguments; "csv" is
        ``from_csv``. ``[network]`` has loss, outage, waiting, contention. Links in links are tables in the table, such
        as ``[links.within]`` of sites and ``[links.peers]`` of a server. Paths are relative to the file.

        Args:
            path: of the file.

        Raises:
            ValueError: no such file, no TOML, an unknown table or key, a missing kind, a value out of its range, with
                file, line and key.

        >>> import pathlib, tempfile, telejax as tj
        >>> file = pathlib.Path(tempfile.mkdtemp(), "sites.toml")
        >>> text = "[network]\\nloss = 0.1\\n[links]\\nkind = 'sites'\\nsizes = [3, 2]\\nbetween = {latency = 0.2}"
        >>> network = file.write_text(text) and tj.Network.from_toml(file)
        >>> network.loss, network.links.between.latency
        (0.1, 0.2)
        """
        made: Self = from_toml(cls, path)
        return made

    def check_parts(self) -> None:
        """Raise a ValueError where a part is an ``object()``, which stands for one while jax rebuilds a tree."""
        for name, (_, example) in KINDS.items():
            if type(getattr(self, name)) is object:
                raise ValueError(f"{name} is an object; give {example}, or None")
        for name, (_, remedy) in OF_A_RUN.items():
            if type(getattr(self, name)) is object:
                raise ValueError(f"{name} is an object; leave it out: {remedy}")

    def check(self) -> None:
        """Raise a ValueError where an array was given that is no probability; not for use inside a program."""
        self.check_parts()
        for name in ("loss", "outage"):
            if (value := getattr(self, name)) is not None:
                check_probability(name, value)
        if is_kind(self.presence, Trace) and not self.timed:
            raise ValueError("presence is a trace, in seconds, and the network has no clocks; give links= or machines=")

    def check_server(self, called: str, complete: bool = False) -> None:
        """Raise a ValueError where a method needs a server that the links lack, or all models where some are lost."""
        if complete and self.thins:
            raise ValueError(
                f"network is {self}, and a server with an optimizer has all models; leave server_optimizer out"
            )
        if self.links is not None and self.links.serving is None:
            raise ValueError(
                f"links is {short(self.links)}, without a server, which {called} needs; give "
                "links=telejax.network.links.server(latency, bandwidth, peers=...), or links.access(..., server=...)"
            )

    def bind(self, nodes: int, samples: np.ndarray | None = None) -> Self:
        """The network of a task with so many nodes.

        Args:
            nodes: of the task.
            samples: of each node, where the task says so.

        Raises:
            ValueError: a part of fewer nodes, or an activation by what is not known.
        """
        self.check_parts()
        nodes = check_integer("nodes", nodes, minimum=1)
        if samples is not None:
            array, remedy = check_array("samples", samples, SAMPLES), f"{SAMPLES}, ({nodes},)"
            if array.shape != (nodes,) or array.dtype.kind not in "iuf":
                raise ValueError(f"samples is {short(samples)}; {remedy}")
        links = None if self.links is None else self.links.bind(nodes)
        machines = None if self.machines is None else self.machines.bind(nodes)
        presence = None if self.presence is None else self.presence.bind(nodes)
        adversary = None if self.adversary is None else self.adversary.bind(nodes)
        bound = replace(self, links=links, machines=machines, presence=presence, adversary=adversary, nodes=nodes)
        if self.activation is None:
            return bound
        return replace(bound, activation=self.activation.bind(nodes, bound._known(nodes, samples)))

    @property
    def ideal(self) -> bool:
        """Whether nothing happens to anything."""
        parts = (one for one in fields(self) if not one.metadata.get("static"))
        return all(getattr(self, one.name) is None for one in parts)

    def met_by(self, task: Task) -> Task:
        """The task as its nodes meet it, once this is bound: losses corrected for activation, data forged."""
        if self.adversary is not None:
            task = self.adversary.poisoned(task)
        if self.activation is None or self.nodes is None:
            return task
        return reweighted(task, self.activation.correction(self.nodes))

    @property
    def forges(self) -> bool:
        """Whether messages may be forged."""
        return self.adversary is not None and self.adversary.attack.forges

    @property
    def timed(self) -> bool:
        """Whether the slots have clocks."""
        return self.links is not None or self.machines is not None

    @property
    def thins(self) -> bool:
        """Whether messages of gossip may be missing."""
        return self.loss is not None or self.outage is not None or self.undoes

    @property
    def undoes(self) -> bool:
        """Whether a slot's round may come to nothing."""
        return self.presence is not None or self.faults is not None

    @property
    def columns(self) -> list[str]:
        """What an evaluation tells of the network."""
        return ["mean_drift"] * self.thins + ["time", "busy", "waiting"] * self.timed

    def start(self, state: State) -> State:
        """The state before the first round with what the network keeps in ``world``."""
        if self.ideal:
            return state
        world, slots = World(), state.holders.shape[0]
        none = jnp.zeros(slots, jnp.int32)
        if self.thins:
            world = world.with_slot(lost=none, surplus=jnp.zeros(slots))
        if self.undoes:
            world = world.with_slot(unsent=none, skipped=none, idle=jnp.zeros(slots, bool))
        if self.presence is not None:
            world = self.presence.start(world, self._bound("presence"), state.round).with_common(
                stalled=jnp.array(False)
            )
        if self.activation is not None:
            world = self.activation.start(world, self._bound("activation"))
        if self.faults is not None:
            world = world.with_slot(retries=none, failed=jnp.zeros(slots, bool), broke=jnp.zeros(slots, bool))
            first = jax.tree.map(lambda x: x[0], recovery.rows_of(state))
            world = world.with_common(initial=first) if self.faults.recovery == "lost" else world
        if self.timed:
            world = self.clocks.start(world, slots, self._bound("links" if self.links else "machines"))
        if self.load is not None:
            world = self.load.start(world).with_slot(sent=none, received=none)
        if self.record is not None:
            world = self.record.start(world, slots, self.timed)
        if self.load is not None or self.record is not None:
            world = world.with_slot(source=none - 1)
        return state.replace(world=world)

    @property
    def clocks(self) -> Clocks:
        """How time passes."""
        return Clocks(self.links, self.machines, self.waiting, self.contention)

    def _bound(self, part: str) -> int:
        if self.nodes is None:
            raise ValueError(
                f"the network has {part} and was not told how many nodes there are; call network.bind(nodes)"
            )
        return self.nodes

    def _known(self, nodes: int, samples: np.ndarray | None) -> dict[str, np.ndarray | None]:
        """What an activation may go by, of every node."""
        speed = available = None
        if getattr(self.activation, "by", None) == "speed" and self.machines and self.machines.fixed:
            seconds = np.asarray(self.machines.of(jax.random.key(0), jnp.arange(nodes, dtype=jnp.int32)), np.float64)
            speed = 1 / np.maximum(seconds, seconds.max() * 1e-6)
        if is_kind(self.presence, Trace):
            available = self.presence.availability()
        return {"speed": speed, "data": samples, "availability": available}


def check_probability(name: str, value: Any) -> float:
    """Return one number from 0 to 1, or raise a ValueError."""
    if (number := check_number(name, value, remedy=A_PROBABILITY)) > 1:
        raise ValueError(f"{name} is {short(value)}; {A_PROBABILITY}")
    return number


def _are_probabilities(array: np.ndarray | Array) -> bool:
    """Whether an array, of a run or of several, holds numbers from 0 to 1; one of jax, any that are real.

    Those are not waited for: they may be traced, and ``Parts.check`` reads them.
    """
    real = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
    some = 0 < array.size <= MOST
    if is_kind(array, np.ma.MaskedArray) or not real or not some or array.dtype.kind == "m" or is_deleted(array):
        return False
    return is_kind(array, jax.Array) or bool(((np.asarray(array) >= 0) & (np.asarray(array) <= 1)).all())
