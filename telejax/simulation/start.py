"""From where a simulation starts: the beginning, a state, or a result whose counters continue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from telejax.algorithms.parts import stranger
from telejax.backend.shapes import leaves_of
from telejax.errors import is_kind, short
from telejax.results.progress import Progress
from telejax.results.result import Result
from telejax.simulation.fingerprint import Plain, fingerprint
from telejax.simulation.program import Program
from telejax.simulation.spending import privacy_of
from telejax.state import State
from telejax.tasks.base import Task

MAX_ROUND = 2**31 - 1  # of the int32 round on the device


@dataclass(frozen=True)
class StartingPoint:
    """A round, the state there (None for the beginning), and what was counted up to there."""

    round: int = 0
    state: State | None = None
    progress: Progress | None = None

    @property
    def identity(self) -> dict[str, Plain] | None:
        """What a checkpoint compares: the round and digests of the arrays."""
        return None if self.state is None else {"round": self.round, **fingerprint(self.state)}

    def check(self, shape: State, program: Program, task: Task) -> None:
        """Raise a ValueError unless the state is one of the runs of ``program``.

        Args:
            shape: of the state of one run.
            program: tells the batch axes.
            task: whose nodes hold the slots.
        """
        if self.state is None:
            return
        _check_spent(self.state, shape)
        axes = program.axes.shape
        batched = lambda x: jax.ShapeDtypeStruct((*axes, *x.shape), x.dtype)
        expected, given = replace(jax.tree.map(batched, shape), round=shape.round), self.state
        if expected.world is None or given.world is None:  # the network begins, or ends, with this run
            expected, given = replace(expected, world=None), replace(given, world=None)
        if expected.spent is None:
            given = replace(given, spent=None)
        for name, kept in (("load", "node"), ("record", "common")):
            before, now = (name in getattr(world, kept, ()) for world in (given.world, expected.world))
            if before != now:
                how = f"with {name}=, give it again" if before else f"without {name}=, leave it out"
                raise ValueError(f"state is of a run {how}, or give a state of another run")
        ours, theirs = jax.tree.structure(expected), jax.tree.structure(given)
        if ours != theirs:  # type: ignore[operator]
            differ = [
                one.name
                for one in fields(State)
                if jax.tree.structure(getattr(expected, one.name)) != jax.tree.structure(getattr(given, one.name))  # type: ignore[operator]
            ]
            raise ValueError(
                f"state has another structure than this run in {', '.join(differ)}: it has {short(theirs, 200)}, and "
                f"this run {short(ours, 200)}; give the state of a run of the same method, optimizer and task"
            )
        named = jax.tree_util.tree_leaves_with_path(given)
        for (path, leaf), like in zip(named, jax.tree.leaves(expected), strict=True):
            shaped = getattr(leaf, "shape", None), getattr(leaf, "dtype", type(leaf).__name__)
            if shaped != (like.shape, like.dtype) and "'record'" in jax.tree_util.keystr(path):
                rounds = jnp.shape(leaf)[-2]
                raise ValueError(
                    f"record is of {like.shape[-2]} rounds, and that of state is of {rounds}; give record={rounds} "
                    "again, for rounds are written down once"
                )
            if shaped != (like.shape, like.dtype):
                width = ", computed with the same jax_enable_x64" if shaped[0] == like.shape else ""
                raise ValueError(
                    f"state{jax.tree_util.keystr(path)} is {shaped[1]}{list(shaped[0] or ())}, and this run needs "
                    f"{like.dtype}{list(like.shape)}; give a state of as many slots, seeds and step sizes{width}"
                )
        if (node := stranger(self.state.holders, task.nodes)) is not None:
            raise ValueError(
                f"state has a slot held by node {node}, and the task has {task.nodes} nodes; give a state of a run "
                "on a task of as many nodes"
            )
        counted = None if self.progress is None else self.progress.diverged.shape
        groups = len(program.members[0][0].groups(task.nodes))
        runs = (len(program.seeds), len(program.members), groups)
        if counted is not None and counted != runs:
            told = "{} seeds, {} settings and {} groups".format
            raise ValueError(
                f"state is a result of {told(*counted)}, and this run has {told(*runs)}; give the same seeds, tune "
                "and groups, or result.state, whose counters start at 0"
            )

    def placed(self, program: Program) -> list[State]:
        """A copy of the state on the devices of ``program``, batch by batch, with what its network keeps."""
        assert self.state is not None
        network = program.members[0][2]
        state = self.state
        if privacy_of(program.members[0][1]) is None:
            state = state.replace(spent=None)
        else:
            _check_noise(state, program)
        if network.ideal:
            state = state.replace(world=None)
        elif state.world is None:
            begin = lambda holders: network.start(state.replace(holders=holders)).world
            for _ in program.axes.shape:
                begin = jax.vmap(begin)
            state = state.replace(world=begin(jnp.asarray(state.holders)))
        return program.take(state)


def _check_spent(state: State, shape: State) -> None:
    """Raise a ValueError where what a state has spent does not add up with what a private run will spend."""
    if shape.spent is None:
        return
    if state.spent is None:
        raise ValueError(
            "state is one of a run without privacy, which has met the data as they are, so that its epsilon is not "
            "finite; give the state of a private run, or start anew"
        )
    if state.spent.batch != shape.spent.batch:
        told = lambda batch: "nodes" if batch is None else f"samples in batches of {batch}"
        raise ValueError(
            f"state was private at the level of {told(state.spent.batch)}, and this run is at that of "
            f"{told(shape.spent.batch)}; go on with the same level and batch, or start anew"
        )


def _check_noise(state: State, program: Program) -> None:
    """Raise a ValueError where a private run would go on with another noise, at which its uses do not count."""
    noise = np.array([float(privacy_of(task).noise_multiplier) for _, task, _ in program.members])  # type: ignore[union-attr]
    before = np.asarray(state.spent.noise_multiplier)
    settings = before if program.axes.hyperparameters is not None else before[..., None]
    if not np.allclose(settings, noise, rtol=1e-6):
        raise ValueError(
            f"state was private with noise_multiplier {before.ravel().tolist()}, and this run has {noise.tolist()}; go "
            "on with the same noise, or start anew"
        )


def check_order(state: State | Result | None, seeds: Sequence[int], settings: Sequence[Mapping[str, Any]]) -> None:
    """Raise a ValueError where a result would go on with its own seeds or settings in another order.

    Its models would stand under the names of others. Other seeds and settings than its own are fresh draws and another
    continuation, which is allowed.
    """
    if not is_kind(state, Result):
        return
    for name, before, now in (("seeds", state.seeds, list(seeds)), ("tune", state.settings, list(settings))):
        by_text = lambda values: sorted(map(repr, values))
        if before != now and by_text(before) == by_text(now):
            raise ValueError(
                f"{name} has what state has in another order: {short(now)} after {short(before)}, so that models would "
                f"go on under the name of others; give {name} in the order of the result"
            )


def given_start(state: State | Result | None) -> StartingPoint:
    """The starting point that the argument ``state`` of ``simulate`` names.

    Raises:
        ValueError: a result without a state, or what is neither a result nor a state with the rounds done.
    """
    if state is None:
        return StartingPoint()
    leaves_of("state", state.state if is_kind(state, Result) else state)
    if is_kind(state, Result):
        if state.state is None:
            raise ValueError("state is a result without a final state, as after loading; give one from simulate")
        return StartingPoint(int(state.state.round), state.state, state.progress)
    if not is_kind(state, State):
        raise ValueError(f"state is a {type(state).__name__}; give a result of simulate, or its state")
    round = np.asarray(state.round)
    if round.ndim or not np.issubdtype(round.dtype, np.integer) or not 0 <= int(round) < MAX_ROUND:
        raise ValueError(
            f"state.round is {short(state.round)}; give an int32 scalar, the rounds done: 0 to {MAX_ROUND - 1}"
        )
    return StartingPoint(int(state.round), state, None)
