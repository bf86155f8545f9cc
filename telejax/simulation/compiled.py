"""The compiled part of a simulation: one program starts a batch of runs, one advances them and evaluates.

What differs between the runs (seeds, hyperparameters) is a batch axis; graphs, data and numbers enter as arguments,
so that other ones compile nothing anew. Only ``round`` is shared by all runs.
"""

from collections.abc import Hashable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from telejax.algorithms.base import Algorithm, start_key
from telejax.backend.batched_map import map_nodes
from telejax.backend.loops import on_all_threads
from telejax.backend.memory import tree_bytes
from telejax.backend.packing import Packed, pack
from telejax.backend.programs import RUN_ONCE
from telejax.backend.scopes import scope
from telejax.backend.shapes import traced_shapes
from telejax.backend.sharding import SlotSharding
from telejax.network import IDEAL, Network
from telejax.random.keys import key_shape
from telejax.random.threefry import fold_in, stored_key
from telejax.simulation.batching import BatchAxes, HyperparameterBatch, Leaves, structure_of
from telejax.simulation.metrics import Metrics, evaluate, wide
from telejax.simulation.own_code import is_own_class
from telejax.simulation.spending import begun, counted
from telejax.state import Info, Metric, Params, State
from telejax.tasks.base import OnMesh, OptionalMembers, Task

LOSSES = np.uint32(2**31 + 64)
"""What is folded into the key of a round for the losses that an activation asks for; see ``telejax.network.draws``."""

Member = tuple[Algorithm, Task, Network]
"""What one run consists of; the algorithm is bound to the task."""

Events = Mapping[str, tuple[Array, Array]]
"""Counts by name: high and low 32 bits, uint32."""
Carry = tuple[State, Events, Mapping[str, Array], Array | None]
"""What passes from round to round inside a program: the state, the events so far, the last gauges and the extremes of
the holders so far."""


class Keys(NamedTuple):
    """Of every seed, shape () or (seeds,)."""

    start: Key[Array, "*seeds"]
    """For the first state."""
    rounds: Key[Array, "*seeds"]
    """Folded with the round for each."""


class Measured(NamedTuple):
    """What an evaluation found; every array has the batch axes, then groups."""

    counters: Events
    """Those since the last evaluation."""
    gauges: Mapping[str, Array]
    metrics: Metrics
    judged: Array | None
    """How many slots were judged; None for all."""
    extremes: Array
    """The least and the largest node that holds a slot, and the least count of events below 0, int32 (..., 3): at the
    evaluation, and of a user's own method in any round since the last."""
    uses: Array | None = None
    """How often each node's data were used, int32 (..., 1, nodes), where the task is private."""


class Evaluation(NamedTuple):
    """What an evaluation brings to the host."""

    packed: Packed
    means: Params
    """Mean models, leaves (..., groups, ...)."""

    @property
    def measured(self) -> Measured:
        """What was found, as NumPy arrays."""
        found: Measured = jax.tree.map(np.asarray, self.packed).unpack()
        return found


def state_shape(algorithm: Algorithm, task: Task, network: Network) -> State:
    """Shapes and dtypes of the state of one run."""
    first = lambda key: begun(network.start(algorithm.init(key, task)), algorithm, task)
    return jax.eval_shape(first, key_shape())


_ROUND_SHAPES: dict[Hashable, tuple[State, Info]] = {}


def round_shape(member: Member, state: State) -> tuple[State, Info]:
    """Shapes and dtypes of what a round returns, be it of the right kind or not; traced once for each structure."""
    key = structure_of((*member, state))
    try:
        if key not in _ROUND_SHAPES:
            _ROUND_SHAPES[key] = _traced_round(member, state)
        return _ROUND_SHAPES[key]
    except TypeError:  # static fields that have no hash, which jax refuses later
        return _traced_round(member, state)


def _traced_round(member: Member, state: State) -> tuple[State, Info]:
    algorithm, task, network = member
    step = lambda key, state: take_step(algorithm, key, state, task, network)
    return traced_shapes(step, key_shape(), state)


def take_step(
    algorithm: Algorithm, key: Key[Array, ""], state: State, task: Task, network: Network
) -> tuple[State, Info]:
    """A round; methods for ideal networks only need not know of networks."""
    if network is IDEAL or network.ideal:
        return algorithm.step(key, state, task)
    return algorithm.step(key, state, task, network)


def losses_met(algorithm: Algorithm, state: State, task: Task, key: Key[Array, ""]) -> Float[Array, " slots"]:
    """The losses of the slots' models at their holders, after a round with this key."""
    of_models = fold_in(key, LOSSES)
    one = lambda model, node: task.loss(model, node, fold_in(of_models, node))
    members = OptionalMembers.of(task)
    with scope("evaluation"):
        return map_nodes(one, (algorithm.models(state), state.holders), members.node_batch, members.mesh)


@partial(jax.jit, static_argnames=("settings",), compiler_options=RUN_ONCE)
def first_params(tasks: HyperparameterBatch, keys: Key[Array, "*seeds"], *, settings: int | None) -> Params:
    """One copy of the parameters for each run; a program of its own, which all methods on a task share."""

    def one_seed(key: Key[Array, ""]) -> Params:
        init = lambda batched: tasks.member(batched).init(key)
        return init(tasks.batched) if settings is None else jax.vmap(init, axis_size=settings)(tasks.batched)

    return jax.vmap(one_seed)(keys) if keys.ndim else one_seed(keys)


@partial(jax.jit, static_argnames=("axes", "sharding"), compiler_options=RUN_ONCE)
def start(
    batch: HyperparameterBatch, params: Params, keys: Key[Array, "*seeds"], *, axes: BatchAxes, sharding: SlotSharding
) -> State:
    """The states before the first round, from the first parameters of the runs."""

    def one(params: Params, key: Key[Array, ""], batched: Leaves) -> State:
        algorithm, task, network = batch.member(batched)
        first = algorithm.start(start_key(key), params, task)
        return begun(network.start(first), algorithm, task).replace(round=None)

    first = axes.run(one, params, keys, batch.batched)
    return _constrained(first.replace(round=jnp.int32(0)), sharding)


@partial(jax.jit, static_argnames=("axes", "sharding", "metrics", "same_holders", "length"), donate_argnames=("state",))
def advance(
    batch: HyperparameterBatch,
    state: State,
    keys: Key[Array, "*seeds"],
    rounds: Int[Array, ""],
    *,
    axes: BatchAxes,
    sharding: SlotSharding,
    metrics: tuple[Metric, ...],
    same_holders: bool,
    length: int | None = None,
) -> tuple[State, Evaluation]:
    """The states so many rounds later, and their evaluation.

    ``rounds`` is traced, so that other lengths compile nothing, unless their ``length`` is given.

    Where all settings of a seed start from the same holders, they are given once: as long as a method does not make
    them depend on parameters or tuned numbers, they carry no batch axis, and neither do the events counted from them.
    """
    start_round, carried = state.round, tree_bytes(state)
    held = state.holders[..., 0, :] if same_holders else None

    def one(
        state: State, seed: tuple[Key[Array, ""], Array | None], batched: Leaves
    ) -> tuple[State, Evaluation, Array | None]:
        run_key, holders = seed
        algorithm, task, network = batch.member(batched)
        placed = task if sharding.mesh is None else OnMesh(task, sharding.mesh)
        state = state.replace(round=start_round, holders=state.holders if holders is None else holders)

        def one_round(turn: Int[Array, ""], carry: Carry) -> Carry:
            state, counters, gauges, extremes = carry
            now = state.round + on_all_threads(turn, carried)
            key = stored_key(fold_in(run_key, now))
            state, info = take_step(algorithm, key, state, placed, network)
            state = network.met(state, partial(losses_met, algorithm, state, placed, key))
            state = counted(state, info, algorithm, task)
            state = state.replace(round=now + 1)  # whatever the method says, no round has the key of another
            counters = {name: add_events(counters[name], info.counters[name]) for name in counters}
            gauges = {name: jnp.broadcast_to(info.gauges[name], gauges[name].shape) for name in gauges}
            return state, counters, gauges, None if extremes is None else _extremes(state.holders, info, extremes)

        groups = len(algorithm.groups(task.nodes))
        _, happens = round_shape((algorithm, placed, network), state)
        no_events = {name: (jnp.zeros(groups, jnp.uint32),) * 2 for name in happens.counters}
        at_zero = {name: jnp.zeros(groups, jnp.result_type(gauge)) for name, gauge in happens.gauges.items()}
        turns = rounds if length is None else length
        # telejax's own methods hold to their nodes; asking in every round would cost those that compute little
        extremes = _extremes(state.holders) if is_own_class(type(algorithm)) else None
        carry = (state, no_events, at_zero, extremes)
        state, counters, gauges, extremes = jax.lax.fori_loop(0, turns, one_round, carry)
        with scope("evaluation"):
            measured, means, judged = evaluate(state, algorithm, task, network, metrics, sharding.mesh)
        gauges = {name: wide(value) for name, value in gauges.items()}
        extremes = _extremes(state.holders) if extremes is None else extremes
        uses = None if state.spent is None else state.spent.uses[None]
        found = Evaluation(pack(Measured(counters, gauges, measured, judged, extremes, uses)), means)
        return without(state), found, state.holders if same_holders else None

    without = lambda state: state.replace(round=None, holders=None if same_holders else state.holders)
    advanced, evaluation, holders = axes.run(one, without(state), (keys, held), batch.batched)
    state = advanced.replace(round=start_round + jnp.asarray(rounds, jnp.int32))
    state = state if holders is None else state.replace(holders=holders)
    return _constrained(state, sharding), sharding.replicated(evaluation)


@partial(jax.jit, static_argnames=("sharding",), donate_argnames=("state",))
def place(state: State, *, sharding: SlotSharding) -> State:
    """A state where those of a program are."""
    return _constrained(state, sharding)


def _constrained(state: State, sharding: SlotSharding) -> State:
    """Slots over the mesh, nodes too where it divides them, and the rest on every device."""
    memory, spread, everywhere = state.memory, sharding.sharded, sharding.replicated
    return state.replace(
        params=spread(state.params),
        opt_state=spread(state.opt_state),
        holders=everywhere(state.holders),
        round=everywhere(state.round),
        memory=type(memory)(spread(memory.slot), spread(memory.node), everywhere(memory.common)),
        world=everywhere(state.world),
        spent=everywhere(state.spent),
    )


def _extremes(
    holders: Int[Array, " slots"], info: Info | None = None, before: Int[Array, "3"] | None = None
) -> Int[Array, "3"]:
    """The least and the largest holder, also of who worked, and the least count, 0 at most, of a round and before."""
    counts = [] if info is None else [*info.counters.values(), info.steps, info.skipped]
    signed = [count for count in counts if count is not None and jnp.issubdtype(count.dtype, jnp.signedinteger)]
    least = jnp.min(jnp.stack([jnp.int32(0), *(jnp.min(count).astype(jnp.int32) for count in signed)]))
    held = [holders] if info is None else [holders, info.holders.astype(holders.dtype)]
    bounds = [jnp.stack([bound(one) for one in held]) for bound in (jnp.min, jnp.max)]
    now = jnp.stack([jnp.min(bounds[0]), jnp.max(bounds[1]), least])
    if before is None:
        return now
    return jnp.stack([jnp.minimum(now[0], before[0]), jnp.maximum(now[1], before[1]), jnp.minimum(now[2], before[2])])


def add_events(total: tuple[Array, Array], events: Int[Array, "..."]) -> tuple[Array, Array]:
    """Add events to a count of 64 bits, carried as two uint32: high, low.

    >>> high, low = add_events((jnp.uint32(0), jnp.uint32(2**32 - 1)), jnp.int32(2))
    >>> int(high), int(low)
    (1, 1)
    """
    high, low = total
    events = jnp.broadcast_to(events, low.shape).astype(jnp.uint32)
    return high + (low + events < low).astype(jnp.uint32), low + events
