"""What a state and the events of a round look like."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from telejax.backend.shapes import is_number, kind_of
from telejax.testing.compare import alike, same
from telejax.testing.trial import ROUNDS, Trial


def structure(trial: Trial) -> None:
    """The state has the slot axis first, constant structure, shapes and dtypes, and counts its rounds."""
    slots, groups = trial.slots, trial.groups
    assert sum(groups) == slots, f"groups is {groups} and slots {slots}; the groups must add up to the slots"
    for leaf in jax.tree.leaves((trial.first.params, trial.first.opt_state)):
        assert leaf.shape[:1] == (slots,), f"a leaf of the state has shape {leaf.shape}; the slot axis comes first"
    assert trial.first.round.dtype == jnp.int32, f"state.round is {trial.first.round.dtype}; it must be int32"
    for round in range(ROUNDS):
        state, _ = trial.after(round)
        alike(f"the state at the start and after {round + 1} rounds", trial.first, state)
        assert int(state.round) == round + 1, f"state.round is {state.round} after {round + 1} rounds; add one a round"


def holders(trial: Trial) -> None:
    """``info.holders`` are int32 (slots,), nodes of the task, and those of the state."""
    for round in range(ROUNDS):
        state, info = trial.after(round)
        kind = kind_of(info.holders)
        assert kind == f"int32[{trial.slots}]", f"info.holders is {kind}; give int32[{trial.slots}], one node a slot"
        given = np.asarray(info.holders)
        valid = ((given >= 0) & (given < trial.task.nodes)).all()
        assert valid, f"info.holders {given} are not all nodes of the task, 0 to {trial.task.nodes - 1}"
        same("info.holders and state.holders", info.holders, state.holders)


def memory(trial: Trial) -> None:
    """``memory.slot`` has the slots first and ``memory.node`` the nodes, whose rows only the nodes at work change."""
    nodes = trial.task.nodes
    before = trial.first
    for round in range(ROUNDS):
        for part, length in (("slot", trial.slots), ("node", nodes)):
            for leaf in jax.tree.leaves(getattr(before.memory, part)):
                shape = jnp.shape(leaf)
                assert shape[:1] == (length,), f"memory.{part} has a leaf of shape {shape}; give ({length}, ...)"
        state, info = trial.after(round)
        alike(f"the memory before and after round {round}", before.memory, state.memory)
        idle = np.setdiff1d(np.arange(nodes), np.asarray(info.holders))
        for old, new in zip(jax.tree.leaves(before.memory.node), jax.tree.leaves(state.memory.node), strict=True):
            changed = [int(node) for node in idle if np.asarray(old[node]).tobytes() != np.asarray(new[node]).tobytes()]
            assert not changed, (
                f"round {round} changed memory.node of the nodes {changed}, which hold no slot in it; "
                "write the rows of state.holders alone"
            )
        before = state


def counters(trial: Trial) -> None:
    """Counters are integers (groups,), never negative; no slot is handed off in round 0, and none twice in a round."""
    groups, names = trial.groups, None
    for round in range(ROUNDS):
        _, info = trial.after(round)
        kind = type(info.counters).__name__
        assert isinstance(info.counters, Mapping), f"info.counters is a {kind}; give a dict of names to arrays"
        for name, count in info.counters.items():
            whole = hasattr(count, "dtype") and jnp.issubdtype(count.dtype, jnp.integer)
            assert whole and count.shape == (len(groups),), (
                f"counter {name!r} is {kind_of(count)}; give integers of shape ({len(groups)},), one a group"
            )
            assert (np.asarray(count) >= 0).all(), f"counter {name!r} is {count} in round {round}; count events"
        names = names or set(info.counters)
        assert set(info.counters) == names, f"counters are {sorted(info.counters)}, and were {sorted(names)} in round 0"
        for size, moved in zip(groups, np.asarray(info.counters.get("handoffs", np.zeros(len(groups)))), strict=True):
            most = size if round else 0
            assert moved <= most, f"the counter handoffs is {moved} in round {round}, and at most {most} slots can move"


def gauges(trial: Trial) -> None:
    """Gauges are numbers, scalar or (groups,), and have the same names in every round."""
    groups, names = len(trial.groups), None
    for round in range(ROUNDS):
        _, info = trial.after(round)
        kind = type(info.gauges).__name__
        assert isinstance(info.gauges, Mapping), f"info.gauges is a {kind}; give a dict of names to arrays"
        names = set(info.gauges) if names is None else names
        assert set(info.gauges) == names, (
            f"gauges are {sorted(info.gauges)} in round {round}, and were {sorted(names)}; give the same in every round"
        )
        for name, gauge in info.gauges.items():
            fits = is_number(gauge) and jnp.shape(gauge) in ((), (groups,))
            assert fits, f"gauge {name!r} is {kind_of(gauge)}; give numbers of shape () or ({groups},)"


def models(trial: Trial) -> None:
    """``models`` gives one model a slot, which the task can evaluate and which is finite where it is judged."""
    evaluate = jax.jit(jax.vmap(trial.task.evaluate))
    for round in range(-1, ROUNDS):
        state = trial.first if round < 0 else trial.after(round)[0]
        given = trial.algorithm.models(state)
        alike("state.params and models(state)", state.params, given)
        among = trial.algorithm.judged(state, trial.task)
        chosen = np.ones(trial.slots, bool) if among is None else np.asarray(among)
        for leaf in jax.tree.leaves(given):
            assert np.isfinite(np.asarray(leaf)[chosen]).all(), (
                f"a model is not finite after {round + 1} rounds; leave its slot out in judged, or mend the round"
            )
        measured = evaluate(given)
        assert np.isfinite(np.asarray(measured["loss"])[chosen]).all(), (
            f"the losses of models(state) are {measured['loss']} after {round + 1} rounds; give models of the task"
        )


def judged(trial: Trial) -> None:
    """``judged`` gives None, or bool (slots,)."""
    for round in range(-1, ROUNDS):
        given = trial.algorithm.judged(trial.first if round < 0 else trial.after(round)[0], trial.task)
        kind = "None" if given is None else kind_of(given)
        assert kind in ("None", f"bool[{trial.slots}]"), f"judged is {kind}; give bool[{trial.slots}], or None for all"
