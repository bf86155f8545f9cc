"""TELEPORTATION: k of n nodes are active in a round and gossip over a small graph of k slots.

Round t, with W the k x k mixing matrix of the round::

    (i_1, ..., i_k)  drawn uniformly without replacement from the n nodes       activate
    node i_a fetches x_a from the node that held slot a before                  hand off
    x_a <- x_a - eta grad F_{i_a}(x_a; xi)                                      update
    x_a <- sum_b W_ab x_b                                                       mix

The graph terms of its convergence bound depend on k, not on n. Y. Takezawa, S. U. Stich, "Scalable
Decentralized Learning with Teleportation", ICLR 2025, arXiv 2501.15259.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.local import check_local_steps
from telejax.algorithms.parts import check_active, data_key, local_update, refreshed
from telejax.errors import check_flag, check_integer
from telejax.mixing.accounting import Messages
from telejax.mixing.compression import Compressor, check_compressor, fetched
from telejax.mixing.forms import Mixing
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.sampling import MAX_NODES
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

    @property
    def name(self) -> str:
        told = f", {self.local_steps} local" if self.local_steps > 1 else ""
        return f"TELEPORTATION {self.mixing.name} k={self.active}{told}"

    def slots(self, nodes: int) -> int:
        return check_active(self.active, nodes)

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, self.active)
        state, moved = network.hand_off(key, state, holders, self.handoff_bytes(state))
        if self.hand_off_compressor is not None:
            state = state.replace(params=fetched(key, self.hand_off_compressor, state.params, moved))
        state = refreshed(state, moved, self.optimizer, self.state_travels)
        params, opt_state = local_update(
            data_key(key), state.params, state.opt_state, state.holders, task, self.optimizer, self.local_steps
        )
        size = self.copy_bytes(state)
        state, params, _ = network.gossip(key, self.mixing, params, state, size, steps=self.local_steps)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1), handoffs=moved)

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (self.active * self.local_steps,)

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return (self.mixing.messages,)

    def handoff_bytes(self, state: State) -> int:
        compressor = self.hand_off_compressor
        fetched = copy_bytes(state.params) if compressor is None else compressor.slot_bytes(state.params)
        return fetched + (copy_bytes(state.opt_state) if self.state_travels else 0)


def teleportation(
    *,
    active: int,
    topology: TopologyLike,
    optimizer: Optimizer,
    state_travels: bool = True,
    local_steps: int = 1,
    hand_off_compressor: Compressor | None = None,
) -> Teleportation:
    """TELEPORTATION with ``active`` of the task's nodes in each round (Takezawa & Stich, ICLR 2025).

    Args:
        active: k, the number of active nodes and of slots; :func:`telejax.auto` finds it while running.
        topology: the graph over the k slots: a Topology, a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        state_travels: whether the optimizer state is handed over with the parameters, and counted in the
            bytes; otherwise it starts afresh whenever a slot changes hands.
        local_steps: steps that a node takes before it gossips.
        hand_off_compressor: of ``tj.compression``, of the parameters that a new holder fetches (the optimizer state
            travels whole); such as ``tj.compression.cast(jnp.bfloat16)``, at half the bytes.

    Raises:
        ValueError: ``active`` or ``local_steps`` below 1; a topology of another size; once the task is known, more
            active than its nodes.

    >>> import optax, telejax as tj
    >>> tj.teleportation(active=8, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'TELEPORTATION ring k=8'
    """
    remedy = "give an integer of at least 1, or use telejax.auto(...), which finds the number while it runs"
    active = check_integer("active", active, minimum=1, remedy=remedy)
    check_integer("active", active, minimum=1, maximum=MAX_NODES)
    state_travels = check_flag("state_travels", state_travels)
    local_steps = check_local_steps(local_steps)
    mixing = resolve(topology, active).mixing()
    compressor = hand_off_compressor
    if compressor is not None:
        check_compressor("hand_off_compressor", compressor)
    return Teleportation(as_optimizer(optimizer), mixing, active, state_travels, local_steps, compressor)
