"""FedAvg with sampled clients: k of n clients fetch the server's model, take local steps, and are averaged::

    (i_1, ..., i_k)  drawn uniformly without replacement
    x_a <- x;  x_a <- x_a - eta grad F_{i_a}(x_a; xi), local_steps times
    x <- (1/k) sum_a x_a

B. McMahan et al. 2017, arXiv 1602.05629. The server sends k copies and receives k in a round.
"""

from dataclasses import dataclass, field

import jax
from jaxtyping import Array, Key

from telejax.algorithms.base import STATIC, Algorithm, Info, State, copy_bytes, no_handoffs, pytree
from telejax.algorithms.parts import check_active, hand_off, local_update
from telejax.errors import check_integer
from telejax.mixing.forms import Mean, mix
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.random.sampling import sample_distinct
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class FedAvg(Algorithm):
    """See :func:`fedavg`."""

    optimizer: Optimizer | FixedOptimizer
    clients: int = field(metadata=STATIC)
    local_steps: int = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"FedAvg k={self.clients}, {self.local_steps} local"

    def slots(self, nodes: int) -> int:
        return check_active(self.clients, nodes, name="clients")

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (self.clients * self.local_steps,)

    def step(self, key: Key[Array, ""], state: State, task: Task) -> tuple[State, Info]:
        activate_key, data_key = jax.random.split(key)
        holders = sample_distinct(activate_key, task.nodes, self.clients)
        state, _ = hand_off(state, holders, self.optimizer, self.state_travels)
        params, opt_state = local_update(
            data_key, state.params, state.opt_state, holders, task, self.optimizer, self.local_steps
        )
        params = mix(Mean.over(self.clients), params, state.round)
        return State(params, opt_state, holders, state.round + 1), Info(holders, no_handoffs())

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2 * self.clients,),)

    def copy_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.opt_state) if self.state_travels else state.params)


def fedavg(*, clients: int, optimizer: Optimizer, local_steps: int = 1, state_travels: bool = False) -> FedAvg:
    """FedAvg over ``clients`` sampled nodes a round.

    Args:
        clients: k, the number of sampled clients.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        local_steps: steps that a client takes before the average.
        state_travels: whether the optimizer state of slot a goes through the server to its next client, and
            is counted in the bytes; by default it starts afresh with every new client.

    Raises:
        ValueError: ``clients`` or ``local_steps`` below 1, or more clients than nodes.

    >>> import optax, telejax as tj
    >>> tj.fedavg(clients=4, local_steps=2, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gradients(100)
    (8,)
    """
    clients = check_integer("clients", clients, minimum=1)
    local_steps = check_integer("local_steps", local_steps, minimum=1)
    return FedAvg(as_optimizer(optimizer), clients, local_steps, bool(state_travels))
