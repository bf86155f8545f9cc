"""Every algorithm again, in plain NumPy float64: loops over rounds, slots and nodes, nothing vectorised over them.

Parameters live at nodes or tokens, where the papers put them, and are handed over for real, so that nothing of
telejax's own bookkeeping of slots is repeated here. What an algorithm draws (who is active, gradient noise) is
given; what it computes and sends is worked out anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Gradient = Callable[[np.ndarray, int, int, int], np.ndarray]
"""The stochastic gradient from (parameters, node, round, local step)."""


@dataclass
class Outcome:
    """What a run ends with, and what it has sent after each round."""

    params: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """float64 (slots, dim)."""
    gradients: list[int] = field(default_factory=lambda: [0])
    gossip: list[int] = field(default_factory=lambda: [0])
    handoffs: list[int] = field(default_factory=lambda: [0])

    def count(self, gradients: int, gossip: int, handoffs: int) -> None:
        self.gradients.append(self.gradients[-1] + gradients)
        self.gossip.append(self.gossip[-1] + gossip)
        self.handoffs.append(self.handoffs[-1] + handoffs)


@dataclass
class Copy:
    """One copy of the parameters with its velocity, wherever it is."""

    x: np.ndarray
    velocity: np.ndarray

    @staticmethod
    def of(x: np.ndarray) -> "Copy":
        return Copy(x.copy(), np.zeros_like(x))

    def sgd(self, gradient: np.ndarray, rate: float, momentum: float) -> None:
        """Polyak's heavy ball: v <- momentum v + g, x <- x - rate v."""
        self.velocity = momentum * self.velocity + gradient
        self.x = self.x - rate * self.velocity


def gossip(copies: list[Copy], matrix: np.ndarray) -> tuple[list[Copy], int]:
    """x_i <- sum_j W_ij x_j and how many messages j -> i that takes; velocities stay where they are."""
    mixed, messages = [], 0
    for i in range(len(copies)):
        total = np.zeros_like(copies[i].x)
        for j in range(len(copies)):
            if matrix[i, j] != 0:
                total = total + matrix[i, j] * copies[j].x
                messages += i != j
        mixed.append(Copy(total, copies[i].velocity))
    return mixed, messages


def decentralized_sgd(start, nodes, rounds, gradient: Gradient, matrices, rate, momentum=0.0) -> Outcome:
    """Every node steps on its own data, then averages with its neighbours."""
    out, copies = Outcome(), [Copy.of(start) for _ in range(nodes)]
    for t in range(rounds):
        for node in range(nodes):
            copies[node].sgd(gradient(copies[node].x, node, t, 0), rate, momentum)
        copies, messages = gossip(copies, matrices[t % len(matrices)])
        out.count(nodes, messages, 0)
    out.params = np.stack([copy.x for copy in copies])
    return out


def all_reduce_sgd(start, nodes, rounds, gradient: Gradient, rate, momentum=0.0) -> Outcome:
    """One common model; a ring all-reduce sends each of n shares of a copy 2 (n - 1) times: 2 (n - 1) copies."""
    out, x, velocities = Outcome(), start.copy(), [np.zeros_like(start) for _ in range(nodes)]
    for t in range(rounds):
        step = np.zeros_like(x)
        for node in range(nodes):
            velocities[node] = momentum * velocities[node] + gradient(x, node, t, 0)
            step = step + velocities[node]
        x = x - rate * step / nodes
        out.count(nodes, 2 * (nodes - 1), 0)
    out.params = np.stack([x] * nodes)
    return out


def teleportation(start, holders, gradient: Gradient, matrices, rate, momentum=0.0, state_travels=True) -> Outcome:
    """Models live at nodes: the node drawn for a slot fetches the model from the node that held it before."""
    out, slots = Outcome(), len(holders[0])
    at: dict[int, Copy] = {int(node): Copy.of(start) for node in holders[0]}
    for t, active in enumerate(holders):
        fetched: dict[int, Copy] = {}
        handoffs = 0
        for slot in range(slots):
            node, before = int(active[slot]), int(holders[t - 1][slot]) if t else int(active[slot])
            copy = at[before]
            if node != before:
                handoffs += 1
                copy = Copy(copy.x, copy.velocity if state_travels else np.zeros_like(copy.x))
            fetched[node] = copy
        for node, copy in fetched.items():
            copy.sgd(gradient(copy.x, node, t, 0), rate, momentum)
        mixed, messages = gossip([fetched[int(node)] for node in active], matrices[t % len(matrices)])
        at = {int(node): copy for node, copy in zip(active, mixed, strict=True)}
        out.count(slots, messages, handoffs)
    out.params = np.stack([at[int(node)].x for node in holders[-1]])
    return out


def fedavg(start, holders, gradient: Gradient, rate, momentum=0.0, local_steps=1, state_travels=False) -> Outcome:
    """A server sends its model to k clients, which take local steps, and averages what comes back."""
    out, server, slots = Outcome(), start.copy(), len(holders[0])
    velocities = [np.zeros_like(start) for _ in range(slots)]
    for t, clients in enumerate(holders):
        total = np.zeros_like(server)
        for slot in range(slots):
            node = int(clients[slot])
            if not state_travels and t and node != int(holders[t - 1][slot]):
                velocities[slot] = np.zeros_like(start)
            client = Copy(server.copy(), velocities[slot])
            for step in range(local_steps):
                client.sgd(gradient(client.x, node, t, step), rate, momentum)
            velocities[slot] = client.velocity
            total = total + client.x
        server = total / slots
        out.count(slots * local_steps, 2 * slots, 0)
    out.params = np.stack([server] * slots)
    return out


def random_walk(start, holders, gradient: Gradient, rate, momentum=0.0) -> Outcome:
    """Each token steps at the node it visits; the velocity travels with it."""
    out, tokens = Outcome(), [Copy.of(start) for _ in holders[0]]
    for t, visited in enumerate(holders):
        moved = 0
        for number, token in enumerate(tokens):
            moved += t > 0 and visited[number] != holders[t - 1][number]
            token.sgd(gradient(token.x, int(visited[number]), t, 0), rate, momentum)
        out.count(len(tokens), 0, int(moved))
    out.params = np.stack([token.x for token in tokens])
    return out
