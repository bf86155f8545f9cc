"""TELEPORTATION with several numbers of active nodes at once, in one program (Algorithm 2 of the paper).

The candidates k_1, k_2, ... are groups of slots side by side. Round t::

    k_1 + k_2 + ... nodes  drawn uniformly without replacement, in random order   activate
    each candidate hands off, updates and mixes its own slots as TELEPORTATION does

Any k of the drawn nodes are themselves uniform without replacement, so each candidate is TELEPORTATION run
alone, while no node works for two candidates in the same round. Y. Takezawa, S. U. Stich, ICLR 2025,
arXiv 2501.15259.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.parts import data_key, local_update, refreshed
from telejax.errors import check_flag, check_integer, check_list
from telejax.mixing.accounting import Messages
from telejax.mixing.compose import Blocks, block_diagonal
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, State, pytree
from telejax.tasks.base import Task
from telejax.topology import TopologyLike, resolve


@pytree
@dataclass(frozen=True)
class JointTeleportation(Algorithm):
    """See :func:`joint_teleportation`."""

    optimizer: Optimizer | FixedOptimizer
    mixing: Blocks
    active: tuple[int, ...] = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"TELEPORTATION {self.mixing.parts[0].name} k={','.join(map(str, self.active))}"

    def slots(self, nodes: int) -> int:
        slots = sum(self.active)
        if slots > nodes:
            raise ValueError(
                f"active is {self.active}, {slots} in all, and the task has {nodes} nodes; "
                f"run at most {nodes} active nodes side by side"
            )
        return slots

    def groups(self, nodes: int) -> tuple[int, ...]:
        return self.active

    def check_network(self, network: Network) -> None:
        if network.faults is not None and network.faults.recovery == "neighbour":
            raise ValueError(
                "faults recover from a neighbour, which may be of another candidate; give another recovery"
            )
        if network.forges:
            raise ValueError(
                "the network has an adversary, who forges what all honest slots have, and these are of several "
                "candidates; simulate each candidate by itself"
            )

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, sum(self.active))
        state, moved = network.hand_off(key, state, holders, self.handoff_bytes(state))
        state = refreshed(state, moved, self.optimizer, self.state_travels)
        params, opt_state = local_update(
            data_key(key), state.params, state.opt_state, state.holders, task, self.optimizer
        )
        state, params, _ = network.gossip(key, self.mixing, params, state, self.copy_bytes(state))
        state = state.replace(params=params, opt_state=opt_state, round=state.round + 1)
        return network.report(state, groups=self.active, handoffs=moved)

    def gossip_messages(self, nodes: int) -> tuple[Messages, ...]:
        return tuple(part.messages for part in self.mixing.parts)

    def handoff_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.opt_state) if self.state_travels else state.params)

    def keep(self, places: Sequence[int]) -> tuple["JointTeleportation", tuple[int, ...]]:
        """The candidates at these places alone, and the slots they go on from; a place may appear more than once."""
        for place in places:
            check_integer("places", place, minimum=0, maximum=len(self.active) - 1)
        ends = np.cumsum((0, *self.active))
        slots = tuple(int(slot) for place in places for slot in range(ends[place], ends[place + 1]))
        mixing = block_diagonal([self.mixing.parts[place] for place in places])
        return replace(self, mixing=mixing, active=tuple(self.active[place] for place in places)), slots


def joint_teleportation(
    *, active: Sequence[int], topology: TopologyLike, optimizer: Optimizer | FixedOptimizer, state_travels: bool = True
) -> JointTeleportation:
    """TELEPORTATION with each of several numbers of active nodes, side by side on disjoint nodes.

    All run the same rounds; :func:`telejax.search` also gives each the same gradients.

    Args:
        active: k of each candidate.
        topology: the graph over the slots of a candidate: a name, or a function of k.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        state_travels: as for :func:`telejax.teleportation`.

    Raises:
        ValueError: no candidates or one below 1; once the task is known, more in all than it has nodes; a
            topology that cannot be built.

    >>> import optax, telejax as tj
    >>> sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
    >>> joint = joint_teleportation(active=[1, 2, 4], topology="ring", optimizer=sgd)
    >>> tj.simulate(joint, tj.tasks.quadratic(nodes=100), rounds=20).final()["active"].to_list()
    [1, 2, 4]
    """
    sizes = tuple(
        check_integer("active", k, minimum=1)
        for k in check_list("active", active, "give a list of numbers of active nodes")
    )
    if not sizes:
        raise ValueError("active is empty; give at least one number of active nodes")
    mixing = block_diagonal([resolve(topology, k).mixing() for k in sizes])
    return JointTeleportation(as_optimizer(optimizer), mixing, sizes, check_flag("state_travels", state_travels))
