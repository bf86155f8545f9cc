"""FedAvg with sampled clients: k of n clients fetch the server's model, take local steps, and are averaged::

    (i_1, ..., i_k)  drawn uniformly without replacement
    x_a <- x;  x_a <- x_a - eta grad F_{i_a}(x_a; xi), local_steps times
    x <- (1/k) sum_a x_a

B. McMahan et al. 2017, arXiv 1602.05629. The server sends k copies and receives k in a round. FedProx (T. Li et al.
2020, arXiv 1812.06127) adds mu (x_a - x) to the gradients; FedOpt (S. Reddi et al. 2021, arXiv 2003.00295: FedAdam,
FedYogi, FedAdagrad) gives x - mean x_a to an optimizer of the server.

**When to use it**: there is a server, or clients take part now and then. Several local steps save messages; on
heterogeneous nodes they pull the model towards the clients.
"""

from dataclasses import dataclass, field
from functools import partial

from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm, copy_bytes
from telejax.algorithms.local import check_local_steps, extras, near, served
from telejax.algorithms.parts import check_active, data_key, local_update, refreshed
from telejax.errors import check_flag, check_integer, check_number
from telejax.mixing.means import Mean
from telejax.mixing.robust import Rule, check_aggregation
from telejax.network import IDEAL, Network
from telejax.optimizers import FixedOptimizer, Optimizer, as_optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class FedAvg(Algorithm):
    """See :func:`fedavg`."""

    optimizer: Optimizer | FixedOptimizer
    clients: int = field(metadata=STATIC)
    local_steps: int = field(metadata=STATIC)
    state_travels: bool = field(metadata=STATIC)
    proximal: float | None
    server_optimizer: Optimizer | FixedOptimizer | None
    aggregation: Rule | None

    @property
    def name(self) -> str:
        called = "FedAvg" if self.proximal is None else "FedProx"
        if self.server_optimizer is not None:
            called += f" {self.server_optimizer.describe()['name']}"
        return f"{called} k={self.clients}, {self.local_steps} local{extras(1, self.aggregation)}"

    def slots(self, nodes: int) -> int:
        return check_active(self.clients, nodes, name="clients")

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (self.clients * self.local_steps,)

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        server = None if self.server_optimizer is None else self.server_optimizer.build().init(params)
        return super().start(key, params, task).replace(memory=Memory(common=server))

    def check_network(self, network: Network) -> None:
        network.check_server(self.name, complete=self.server_optimizer is not None)

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, self.clients, ordered=False)
        state, changed = network.hand_off(key, state, holders, self.copy_bytes(state), served=True)
        state = refreshed(state, changed, self.optimizer, self.state_travels)
        local = {} if self.proximal is None else {"step": near(self.proximal), "given": state.params}
        params, opt_state = local_update(
            data_key(key), state.params, state.opt_state, state.holders, task, self.optimizer, self.local_steps, **local
        )
        mean = Mean("server", self.clients, (2 * self.clients,), transport="server")
        gossip = partial(network.gossip, steps=self.local_steps, aggregation=self.aggregation, server=state.params)
        state, params, _ = gossip(key, mean, params, state, self.copy_bytes(state))
        if self.server_optimizer is not None:
            params, server = served(self.server_optimizer, state.params, params, state.memory.common)
            state = state.replace(memory=Memory(common=server))
        return network.report(state.replace(params=params, opt_state=opt_state, round=state.round + 1))

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((2 * self.clients,),)

    def copy_bytes(self, state: State) -> int:
        return copy_bytes((state.params, state.opt_state) if self.state_travels else state.params)


def fedavg(
    *,
    clients: int,
    optimizer: Optimizer,
    local_steps: int = 1,
    state_travels: bool = False,
    proximal: float | None = None,
    server_optimizer: Optimizer | None = None,
    aggregation: Rule | str | None = None,
) -> FedAvg:
    """FedAvg over ``clients`` sampled nodes a round.

    Args:
        clients: k, the number of sampled clients; where it is n, client i has slot i in every round.
        optimizer: from :func:`telejax.optimizer`, or any optax transformation.
        local_steps: steps that a client takes before the average.
        state_travels: whether the optimizer state of slot a goes through the server to its next client, and
            is counted in the bytes; by default it starts afresh with every new client.
        proximal: mu of FedProx, which holds clients near the server's model; may be tuned.
        server_optimizer: of FedOpt, such as ``telejax.optimizer(optax.adam, learning_rate=0.01)``.
        aggregation: a rule of ``tj.robust`` in the place of the average, whose own vector is the server's model.

    Raises:
        ValueError: ``clients`` or ``local_steps`` below 1, more clients than nodes or too few for ``aggregation``;
            ``proximal`` below 0, or with one local step, at which it does nothing.

    >>> import optax, telejax as tj
    >>> tj.fedavg(clients=4, local_steps=2, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).gradients(100)
    (8,)
    """
    clients, local_steps = check_integer("clients", clients, minimum=1), check_local_steps(local_steps)
    proximal = None if proximal is None else check_number("proximal", proximal)
    if proximal and local_steps == 1:
        told = f"proximal is {proximal} and local_steps is 1, by which a client leaves the server's model alone"
        raise ValueError(f"{told}; give local_steps of at least 2, or leave proximal out")
    state_travels = check_flag("state_travels", state_travels)
    server = None if server_optimizer is None else as_optimizer(server_optimizer, "server_optimizer")
    rule = check_aggregation(aggregation, Mean.over(clients, "server"))
    return FedAvg(as_optimizer(optimizer), clients, local_steps, state_travels, proximal, server, rule)
