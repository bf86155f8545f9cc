"""SCAFFOLD: sampled clients take local steps that control variates hold on the way of all::

    (i_1, ..., i_k)  drawn uniformly without replacement
    z <- x;  z <- z - eta (g_i(z) - c_i + c),  s times
    c_i+ = c_i - c + (x - z) / (s eta)
    x <- x + mean (z - x),   c <- c + (k / n) mean (c_i+ - c_i)

with all c = 0 at the start, so that c is the mean of all c_i in every round of an ideal network. The server sends and
receives two copies for each client. S. P. Karimireddy et al. 2020, arXiv 1910.06378.

**When to use it**: as FedAvg on heterogeneous clients: control variates undo the pull of local steps, at two copies a
message, and one that each node keeps.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from telejax.algorithms.base import Algorithm
from telejax.algorithms.local import check_local_steps, combined, corrected, per_step_size, with_step_size
from telejax.algorithms.parts import check_active, data_key, local_update
from telejax.errors import check_integer
from telejax.mixing.means import Mean
from telejax.network import IDEAL, Network
from telejax.optimizers import Optimizer
from telejax.state import STATIC, Info, Memory, Params, State, pytree
from telejax.tasks.base import Task


@pytree
@dataclass(frozen=True)
class Scaffold(Algorithm):
    """See :func:`scaffold`."""

    optimizer: Optimizer
    clients: int = field(metadata=STATIC)
    local_steps: int = field(metadata=STATIC)

    @property
    def name(self) -> str:
        return f"SCAFFOLD k={self.clients}, {self.local_steps} local"

    def slots(self, nodes: int) -> int:
        return check_active(self.clients, nodes, name="clients")

    def gradients(self, nodes: int) -> tuple[int, ...]:
        return (self.clients * self.local_steps,)

    def gossip_messages(self, nodes: int) -> tuple[tuple[int, ...], ...]:
        return ((4 * self.clients,),)  # a model and a control variate, down and up

    def check_network(self, network: Network) -> None:
        network.check_server(self.name)

    def start(self, key: Key[Array, ""], params: Params, task: Task) -> State:
        own = jax.tree.map(lambda x: jnp.zeros((task.nodes, *x.shape), x.dtype), params)
        common = jax.tree.map(jnp.zeros_like, params)
        return super().start(key, params, task).replace(memory=Memory(node=own, common=common))

    def step(self, key: Key[Array, ""], state: State, task: Task, network: Network = IDEAL) -> tuple[State, Info]:
        state, holders = network.activate(key, state, task.nodes, self.clients, ordered=False)
        state, _ = network.hand_off(key, state, holders, 2 * self.copy_bytes(state), served=True)
        x, c = state.params, state.memory.common
        own = jax.tree.map(lambda all_own: all_own[holders], state.memory.node)
        fresh = jax.vmap(self.optimizer.build().init)(x)
        z, opt_state = local_update(
            data_key(key),
            x,
            fresh,
            holders,
            task,
            self.optimizer,
            self.local_steps,
            step=corrected,
            given=combined(lambda own, c: c[None] - own, own, c),
        )
        rate = per_step_size(self.optimizer, self.local_steps)
        change = combined(lambda x, z, c: rate * (x - z) - c[None], x, z, c)  # c_i+ - c_i
        server = Mean("server", self.clients, (2 * self.clients,), transport="server")
        size = 2 * self.copy_bytes(state)
        state, (params, heard), _ = network.gossip(
            key, server, (z, change), state, size, steps=self.local_steps, messages=2
        )
        share = self.clients / task.nodes
        memory = Memory(
            node=jax.tree.map(lambda all_own, change: all_own.at[holders].add(change), state.memory.node, change),
            common=combined(lambda c, heard: c + share * jnp.mean(heard, axis=0), c, heard),
        )
        return network.report(state.replace(params=params, opt_state=opt_state, memory=memory, round=state.round + 1))


def scaffold(*, clients: int, optimizer: Optimizer, local_steps: int = 1) -> Scaffold:
    """SCAFFOLD over ``clients`` sampled nodes a round: no drift of the clients, however heterogeneous they are.

    The control variates of all nodes are stored, n copies of the parameters.

    Args:
        clients: k, the number of sampled clients; where it is n, client i has slot i in every round.
        optimizer: from :func:`telejax.optimizer`, with a number as its step size, by which the method divides; its
            state starts afresh with every client.
        local_steps: s, the steps that a client takes before the average.

    Raises:
        ValueError: ``clients`` or ``local_steps`` below 1, more clients than nodes, a step size that is no number.

    >>> import optax, telejax as tj
    >>> tj.scaffold(clients=4, local_steps=2, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1)).name
    'SCAFFOLD k=4, 2 local'
    """
    clients = check_integer("clients", clients, minimum=1)
    local_steps = check_local_steps(local_steps)
    return Scaffold(with_step_size(optimizer, "scaffold"), clients, local_steps)
