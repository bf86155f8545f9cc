"""What ``simulate`` may do with a method: batch axes, meshes, checkpoints, warm starts, networks with faults."""

import tempfile
from contextlib import suppress
from typing import Any

import jax
import numpy as np
import polars as pl
from jax.sharding import Mesh

from telejax.algorithms.base import takes_network
from telejax.mixing.accounting import total
from telejax.network import Network, links, machines, presence
from telejax.testing.compare import same
from telejax.testing.trial import ROUNDS, Trial, round_key

HALF = ROUNDS // 2
REAL: dict[str, Any] = {
    "links": links.server(0.1, 1e6, peers=links.uniform(0.1, 1e6)),
    "machines": machines.constant(1.0),
    "presence": presence.epochs(0.2, length=2),
}
"""Parts of a network that every method stands."""


class Interrupted(Exception):
    """In place of a kill."""


def batch_axes(trial: Trial) -> None:
    """Seeds and step sizes as batch axes give every column that they give alone."""
    rates, seeds = [0.02, 0.05], [3, 4]
    together = trial.simulate(seeds=seeds, tune=rates).history
    for seed in seeds:
        for rate in rates:
            alone = trial.simulate(algorithm=trial.algorithm.with_learning_rate(rate), seed=seed).history
            batched = together.filter(pl.col("seed") == seed, (pl.col("learning_rate") - rate).abs() < 1e-6)
            _same_history("runs as batch axes and alone", batched, alone)


def mesh(trial: Trial) -> None:
    """On a mesh of as many devices as divide the slots, a run gives the same history, with the same counts."""
    devices = jax.devices()
    most = max(size for size in range(1, len(devices) + 1) if trial.slots % size == 0)
    placed = trial.simulate(mesh=Mesh(np.array(devices[:most]), ("slots",)))
    _same_history("runs on a mesh and without one", placed.history, trial.run.history)


def checkpoint(trial: Trial) -> None:
    """A run that is interrupted and called again ends as an uninterrupted one, bit for bit."""

    def interrupt(rows: pl.DataFrame) -> None:
        if rows["round"][0] > HALF:
            raise Interrupted

    whole = trial.run
    with tempfile.TemporaryDirectory() as folder:
        with suppress(Interrupted):
            trial.simulate(checkpoint=folder, on_evaluation=interrupt)
        resumed = trial.simulate(checkpoint=folder)
    _same_end("an interrupted and an uninterrupted run", resumed, whole, whole.history)


def warm_start(trial: Trial) -> None:
    """Rounds in two calls with ``state=result`` give what they give in one, bit for bit."""
    whole = trial.run
    later = trial.simulate(rounds=ROUNDS - HALF, state=trial.simulate(rounds=HALF))
    _same_end("rounds in two calls and in one", later, whole, whole.history.filter(pl.col("round") >= HALF))


def network(trial: Trial) -> None:
    """Under lost messages and links that are down, with absent nodes and clocks that tick, it runs, stays finite, and
    reports what was lost."""
    algorithm, nodes = trial.algorithm, trial.task.nodes
    if not takes_network(algorithm):
        return
    groups = zip(algorithm.gossip_messages(nodes), trial.groups, strict=True)
    gossips = any(size > 1 and total(one, ROUNDS) for one, size in groups)
    both: list[dict[str, Any]] = [{"loss": 0.3, "outage": 0.0}, {"loss": 0.0, "outage": 0.3}]  # one program
    if _refused(trial, both[0]):
        both = [given for given in ({"loss": 0.3}, {"outage": 0.3}) if not _refused(trial, given)]
    for faults in both:
        history = trial.simulate(network=Network(**faults, **REAL)).history
        assert not history["diverged"].any(), f"under Network(**{faults}) it becomes non-finite; mend the step"
        missing = [name for name in ("lost", "mean_drift") if gossips and name not in history.columns]
        assert not missing, f"under Network(**{faults}) the columns {missing} are missing; end with network.report"
        assert history["time"][-1] > 0, "gradients of a second each take no time; end with network.report"


def _refused(trial: Trial, faults: dict[str, Any]) -> bool:
    """Whether the method refuses such a network by a ValueError that names a fault, as one with replicas may."""
    network = Network(**faults, **REAL).bind(trial.task.nodes)
    try:
        trial.algorithm.check_network(network)
        state = network.start(trial.first)
        jax.eval_shape(lambda state: trial.algorithm.step(round_key(0), state, trial.task, network), state)
    except ValueError as error:
        return any(name in str(error) for name in faults)
    return False


def _same_history(what: str, one: pl.DataFrame, other: pl.DataFrame) -> None:
    """Equal columns: counts exactly, floats up to the rounding of sums in another order."""
    assert one.columns == other.columns, f"{what} have the columns {one.columns} and {other.columns}"
    for name in one.columns:
        ours, theirs = one[name], other[name]
        if not ours.dtype.is_float():
            assert ours.equals(theirs), f"{what} differ in {name}: {ours.to_list()} and {theirs.to_list()}"
        else:
            close = np.allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-4, atol=1e-5, equal_nan=True)
            assert close, f"{what} differ in {name}: {ours.to_list()} and {theirs.to_list()}"


def _same_end(what: str, one: Any, other: Any, history: pl.DataFrame) -> None:
    """Equal histories and last states, bit for bit."""
    for name in history.columns:
        ours, theirs = one.history[name], history[name]
        assert ours.equals(theirs), f"{what} differ in {name}: {ours.to_list()} and {theirs.to_list()}"
    same(f"the states after {what}", one.state, other.state)
