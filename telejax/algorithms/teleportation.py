"""TELEPORTATION: k of n nodes are active in a round and gossip over a small graph of k slots.

Round t, with W the k x k mixing matrix of the round::

    (i_1, ..., i_k)  drawn uniformly without replacement from the n nodes       activate
    node i_a fetches x_a from the node that held slot a before                  hand off
    x_a <- x_a - eta grad F_{i_a}(x_a; xi)                                      update
    x_a <- sum_b W_ab x_b                                                       mix

The graph terms of its convergence bound depend on k, not on n. Y. Takezawa, S. U. Stich 2025, arXiv 2501.15259.

**When to use it**: many nodes: only k of them work in a round, so that neither the number of rounds nor their cost
grows with n. ``telejax search`` and :func:`telejax.auto` find k.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.local import check_local_steps, extras
from telejax.algorithms.parts import check_active, check_slots, data_key, local_update, refreshed
from telejax.errors import check_flag
from telejax.mixing.accounting import Messages
from telejax.mixing.compression import Compressor, fetched
from telejax.mixing.forms import Mixing
from telejax.mixing.robust import Rule, check_aggregation
from telejax.network import IDEAL, Network
from telejax.network.sources import Sources, check_sources
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike, resolve


@pytree
@dataclass(frozen=True)
class Teleportation(Algorithm):
    """See :func:`teleportation`."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Mixing
    active: int = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)
    local_steps: int = field(metadata=STATIC)
    hand_off_compressor: Compressor | None
    aggregation: Rule | None
    sources: Sources | None

    @property
    def name(self) -> str:
        told = extras(self.local_steps, self.aggregation, self.sources)
        return f"TELEPORTATION {self.mixing.name} k={self.active}{told}"

    def slots(self, nodes: int) -> int:
        return check_active(self.active, nodes)

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, self.active)
        state, moved = network.hand_off(key, state, holders, self.handoff_bytes(state), sources=self.sources)
        if self.hand_off_compressor is not None:
            state = state.replace(params=fetched(key, self.hand_off_compressor, state.params, moved))
        state = refreshed(state, moved, self.optimizer, self.state_travels)
        slots, steps = (state.params, state.opt_state, state.holders), self.local_steps
        params, opt_state = local_update(data_key(key), *slots, task, self.optimizer, steps)
        size, rule = self.copy_bytes(state), self.aggregation
        state, params, _ = network.gossip(key, self.mixing, params, state, size, steps=steps, aggregation=rule)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1), handoffs=moved)

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (self.active * self.local_steps,)

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return (self.mixing.messages,)

    @property
    def handoff_messages(self) -> int:
        return 1 if self.sources is None else self.sources.count

    def handoff_bytes(self, state: State) -> int:
        size = copy_bytes if self.hand_off_compressor is None else self.hand_off_compressor.slot_bytes
        return size(state.params) + (copy_bytes(state.opt_state) if self.state_travels else 0)


def teleportation(
    *,
    active: int,
    topology: TopologyLike,
    optimizer: Optimizer,
    state_travels: bool = True,
    local_steps: int = 1,
    hand_off_compressor: Compressor | None = None,
    hand_off: str | None = None,
    aggregation: Rule | str | None = None,
) -> Teleportation:
    """TELEPORTATION with ``active`` of the task's nodes in each round (Takezawa & Stich, ICLR 2025).

    Args:
        active: k, the number of active nodes and of slots; :func:`telejax.auto` finds it while running.
        topology: the graph over the k slots: a Topology, a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        state_travels: whether the optimizer state is handed over with the parameters, and counted in the
            bytes; otherwise it starts afresh whenever a slot changes hands.
        local_steps: steps that a node takes before it gossips.
        hand_off_compressor: of ``tj.compression``, of the parameters that a new holder fetches, but not of what else
            it fetches, such as ``tj.compression.cast(jnp.bfloat16)``, at half the bytes.
        hand_off: such as "median:sources=3": a new holder fetches its slot and the next two from their former holders,
            a message each, and goes on from what this rule of ``tj.robust`` makes of them.
        aggregation: a rule of ``tj.robust`` in the place of the average, such as "trimmed_mean:f=2".

    Raises:
        ValueError: ``active`` or ``local_steps`` below 1; a topology of another size, or with too few neighbours for
            ``aggregation``; fewer slots than sources; once the task is known, more active than its nodes.

    >>> import optax, telejax as tj
    >>> tj.teleportation(active=8, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'TELEPORTATION ring k=8'
    """
    active, local_steps = check_slots(active), check_local_steps(local_steps)
    state_travels, mixing = check_flag("state_travels", state_travels), resolve(topology, active).mixing()
    safe = check_aggregation(aggregation, mixing), check_sources(hand_off, active, state_travels, hand_off_compressor)
    kept = as_optimizer(optimizer), mixing, active, state_travels, local_steps
    return Teleportation(*kept, hand_off_compressor, *safe)
