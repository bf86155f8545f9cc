"""FedAvg with sampled clients: k of n clients fetch the server's model, take local steps, and are averaged::

    (i_1, ..., i_k)  drawn uniformly without replacement
    x_a <- x;  x_a <- x_a - eta grad F_{i_a}(x_a; xi), local_steps times
    x <- (1/k) sum_a x_a

B. McMahan et al. 2017, arXiv 1602.05629. The server sends k copies and receives k in a round.
"""

from dataclasses import dataclass, field

from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.parts import check_active, data_key, local_update, refreshed
from telejax.errors import check_flag, check_integer
from telejax.mixing.forms import Mean
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, State, pytree
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

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, self.clients)
        state, changed = network.hand_off(key, state, holders, self.copy_bytes(state))
        state = refreshed(state, changed, self.optimizer, self.state_travels)
        params, opt_state = local_update(
            data_key(key), state.params, state.opt_state, state.holders, task, self.optimizer, self.local_steps
        )
        server = Mean("server", self.clients, self.gossip_messages(task.nodes)[0], transport="server")
        state, params, _ = network.gossip(key, server, params, state, self.copy_bytes(state), steps=self.local_steps)
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))

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
    return FedAvg(as_optimizer(optimizer), clients, local_steps, check_flag("state_travels", state_travels))
