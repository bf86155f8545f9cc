"""Methods of the field against NumPy in float64, written out from their formulas, and the invariants of the others."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import check
from scipy.sparse.csgraph import shortest_path

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES, DIM, ROUNDS, RATE, MOMENTUM = 9, 3, 50, 0.05, 0.4
SGD = tj.optimizer(optax.sgd, learning_rate=RATE)
HEAVY = tj.optimizer(optax.sgd, learning_rate=RATE, momentum=MOMENTUM)
W = tj.topology.ring(NODES).matrix()
V = (np.eye(NODES) + W) / 2
NEGATIVE = tj.topology.from_matrix(np.roll(np.eye(NODES), 1, 0) / 2 + np.roll(np.eye(NODES), -1, 0) / 2)


def task(noise: float = 0.0, nodes: int = NODES) -> tj.tasks.Quadratic:
    return tj.tasks.quadratic(nodes=nodes, dim=DIM, heterogeneity=3.0, noise=noise, placement="sorted")


def gradients() -> Callable[[np.ndarray], np.ndarray]:
    """x (nodes, dim) -> the gradient of every node at its row: a_i x + b_i, read off at two points."""
    at = jax.vmap(jax.grad(task().loss), (0, 0, None))
    nodes, key = jnp.arange(NODES, dtype=jnp.int32), jax.random.key(0)
    start = np.asarray(at(jnp.zeros((NODES, DIM)), nodes, key))
    slope = np.asarray(at(jnp.ones((NODES, DIM)), nodes, key)) - start
    return lambda x: slope * x + start


class Steps:
    """SGD with momentum as optax has it: the velocity is the sum of what it was given, and the step follows it."""

    def __init__(self, momentum: float) -> None:
        self.momentum, self.velocity = momentum, 0.0

    def __call__(self, direction: np.ndarray) -> np.ndarray:
        self.velocity = direction + self.momentum * self.velocity
        return RATE * self.velocity


def gradient_tracking(variant: str) -> Callable:
    def run(x, g, step):
        y = before = g(x)
        for _ in range(ROUNDS):
            x = W @ x - step(y) if variant == "cta" else W @ (x - step(y))
            new = g(x)
            y = W @ (y + new - before) if variant == "atc" else W @ y + new - before
            before = new
        return x

    return run


def exact_diffusion(mixing: np.ndarray) -> Callable:
    def run(x, g, step):
        before = x
        for _ in range(ROUNDS):
            psi = x - step(g(x))
            x, before = mixing @ (x + psi - before), psi
        return x

    return run


def nids(x, g, step):
    last = step(g(x))
    before, x = x, x - last
    for _ in range(ROUNDS - 1):
        update = step(g(x))
        before, x, last = x, V @ (2 * x - before - (update - last)), update
    return x


def extra(x, g, step):
    last = step(g(x))
    before, x = x, W @ x - last
    for _ in range(ROUNDS - 1):
        update = step(g(x))
        before, x, last = x, x + W @ x - V @ before - (update - last), update
    return x


def k_gt(local_steps: int, communication: float) -> Callable:
    def run(x, g, step):
        c = np.zeros_like(x)
        for _ in range(ROUNDS):
            z = x
            for _ in range(local_steps):
                z = z - step(g(z) + c)
            v = (x - z) / (local_steps * RATE)
            c = c - v + W @ v
            x = W @ (x - communication * (x - z))
        return x

    return run


def local_exact_diffusion(local_steps: int, dual: float) -> Callable:
    def run(x, g, step):
        y = np.zeros_like(x)
        for _ in range(ROUNDS):
            phi = x
            for _ in range(local_steps):
                phi = phi - step(g(phi)) - dual * y
            x = W @ phi
            y = y + phi - x
        return x

    return run


def prox_skip(dual: float, chi: float) -> Callable:
    """With gossip in every round."""

    def run(x, g, step):
        y, mixing = np.zeros_like(x), np.eye(NODES) - (np.eye(NODES) - W) / (2 * chi)
        for _ in range(ROUNDS):
            z = x - step(g(x)) - y
            x = mixing @ z
            y = y + dual * (z - x)
        return x

    return run


def quasi_global_momentum(beta: float, mu: float) -> Callable:
    def run(x, g, step):
        m = np.zeros_like(x)
        for _ in range(ROUNDS):
            new = W @ (x - step(beta * m + g(x)))
            m = mu * m + (1 - mu) * (x - new) / RATE
            x = new
        return x

    return run


def combine_then_adapt(x, g, step):
    for _ in range(ROUNDS):
        x = W @ x - step(g(x))
    return x


def local_steps(count: int) -> Callable:
    def run(x, g, step):
        for _ in range(ROUNDS):
            for _ in range(count):
                x = x - step(g(x))
            x = W @ x
        return x

    return run


def choco(gamma: float, share: float) -> Callable:
    def run(x, g, step):
        known = np.zeros_like(x)
        kept = max(1, int(np.ceil(share * DIM)))
        for _ in range(ROUNDS):
            x = x - step(g(x))
            change = x - known
            smallest = np.argsort(np.abs(change), axis=1)[:, : DIM - kept]
            np.put_along_axis(change, smallest, 0, axis=1)
            known = known + change
            x = x + gamma * (W @ known - known)
        return x

    return run


CASES: dict[str, tuple[Callable, Callable, int]] = {
    "gradient tracking": (tj.gradient_tracking, gradient_tracking("atc"), 2),
    "gradient tracking, semi": (lambda **o: tj.gradient_tracking(variant="semi", **o), gradient_tracking("semi"), 2),
    "gradient tracking, cta": (lambda **o: tj.gradient_tracking(variant="cta", **o), gradient_tracking("cta"), 2),
    "exact diffusion": (tj.exact_diffusion, exact_diffusion(V), 1),
    "NIDS": (tj.nids, nids, 1),
    "EXTRA": (tj.extra, extra, 1),
    "K-GT": (lambda **o: tj.k_gt(local_steps=3, communication_step=0.7, **o), k_gt(3, 0.7), 2),
    "LED": (
        lambda **o: tj.local_exact_diffusion(local_steps=3, dual_step=0.2, **o),
        local_exact_diffusion(3, 0.2),
        1,
    ),
    "ProxSkip": (
        lambda **o: tj.prox_skip(probability=1.0, dual_step=0.4, chi=1.5, **o),
        prox_skip(0.4, 1.5),
        1,
    ),
    "QG momentum": (lambda **o: tj.quasi_global_momentum(beta=0.7, mu=0.8, **o), quasi_global_momentum(0.7, 0.8), 1),
    "combine, then adapt": (
        lambda **o: tj.decentralized_sgd(order="combine_then_adapt", **o),
        combine_then_adapt,
        1,
    ),
    "local steps": (lambda **o: tj.decentralized_sgd(local_steps=3, **o), local_steps(3), 1),
    "CHOCO-SGD": (
        lambda **o: tj.choco_sgd(compressor=tj.compression.top_k(0.5), consensus_step=0.2, **o),
        choco(0.2, 0.5),
        1,
    ),
}
"""Name to the method, its reference, and the copies that a message holds."""
EXACT = ("gradient tracking", "exact diffusion", "NIDS", "EXTRA", "K-GT", "LED", "ProxSkip")


@pytest.mark.fast_cases("gradient tracking")
@pytest.mark.parametrize("name", CASES)
def test_iterates_are_those_of_the_formula(name: str, x64: None) -> None:
    make, reference, copies = CASES[name]
    start = np.broadcast_to(np.asarray(task().init(jax.random.key(0))), (NODES, DIM))
    for optimizer, momentum in ((SGD, 0.0), (HEAVY, MOMENTUM)):
        run = tj.simulate(make(topology="ring", optimizer=optimizer), task(), rounds=ROUNDS, progress=False)
        expected = reference(start.copy(), gradients(), Steps(momentum))
        np.testing.assert_allclose(run.state.params, expected, rtol=0, atol=1e-10)
    last = run.history.row(-1, named=True)
    messages = (ROUNDS - (name == "NIDS")) * 2 * NODES * copies
    assert last["messages"] == messages
    size = 8 * DIM if name != "CHOCO-SGD" else -(-2 * (64 + 2) // 8)
    assert last["bytes"] == messages * size
    steps = {"K-GT": 3, "LED": 3, "local steps": 3}.get(name, 1)
    assert last["gradients"] == NODES * (ROUNDS * steps + name.startswith("gradient tracking"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_exact_methods_reach_the_optimum_of_heterogeneous_nodes(name: str, x64: None) -> None:
    run = tj.simulate(CASES[name][0](topology="ring", optimizer=SGD), task(), rounds=8000, progress=False)
    assert run.history["loss_slots"][-1] < 1e-10


@pytest.mark.slow
def test_decentralized_sgd_stalls_where_they_do_not(x64: None) -> None:
    biased = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    assert tj.simulate(biased, task(), rounds=8000, progress=False).history["loss_slots"][-1] > 1e-4


@pytest.mark.slow
def test_prox_skip_is_exact_with_few_messages_which_it_counts(x64: None) -> None:
    method = tj.prox_skip(topology="ring", optimizer=SGD, probability=0.3)
    run = tj.simulate(method, task(), rounds=8000, seeds=2, progress=False)
    last = run.final()
    assert last["loss_slots"].max() < 1e-10
    share = np.asarray(last["messages"]) / (8000 * 2 * NODES)
    assert (np.abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 8000)).all() and share[0] != share[1]


@pytest.mark.slow
def test_the_fixed_point_of_quasi_global_momentum_is_that_of_decentralized_sgd(x64: None) -> None:
    momentum, plain = (
        tj.simulate(method, task(), rounds=8000, progress=False)
        for method in (
            tj.quasi_global_momentum(topology="ring", optimizer=SGD, beta=0.5),
            tj.decentralized_sgd(topology="ring", optimizer=SGD),
        )
    )
    np.testing.assert_allclose(momentum.state.params, plain.state.params, atol=1e-9)


def uneven() -> tj.Topology:
    """Column-stochastic and not doubly: every second node sends to one more."""
    sends = np.eye(NODES) + np.roll(np.eye(NODES), 1, axis=0)
    sends[:, ::2] += np.roll(np.eye(NODES), 3, axis=0)[:, ::2]
    return tj.topology.directed(sends / sends.sum(axis=0), stochastic="column")


@pytest.mark.slow
def test_push_sum_conserves_its_weights_also_where_messages_are_lost(x64: None) -> None:
    method, matrix = tj.push_sum(topology=uneven(), optimizer=SGD), uneven().matrix()
    x, w, g = (
        np.broadcast_to(np.asarray(task().init(jax.random.key(0))), (NODES, DIM)),
        np.ones((NODES, 1)),
        gradients(),
    )
    for _ in range(ROUNDS):
        x, w = matrix @ (x - RATE * g(x / w)), matrix @ w
    run = tj.simulate(method, task(), rounds=ROUNDS, progress=False)
    np.testing.assert_allclose(run.state.params, x, atol=1e-10)
    np.testing.assert_allclose(run.state.memory.slot, w[:, 0], atol=1e-10)
    still = tj.push_sum(topology=uneven(), optimizer=tj.optimizer(optax.sgd, learning_rate=0.0))
    for network in (None, tj.Network(loss=0.3)):
        run = tj.simulate(still, task(), rounds=300, network=network, progress=False)
        assert float(run.state.memory.slot.sum()) == pytest.approx(NODES, abs=1e-10)
        assert run.history["bytes"][-1] == run.history["messages"][-1] * 8 * (DIM + 1)
    assert run.history["lost"][-1] > 0 and run.history["mean_drift"].max() < 1e-12


@pytest.mark.slow
def test_scaffold_does_not_drift_and_knows_the_mean_of_its_controls(x64: None) -> None:
    options = {"clients": 4, "local_steps": 5, "optimizer": SGD}
    scaffold = tj.simulate(tj.scaffold(**options), task(), rounds=3000, progress=False)
    drifting = tj.simulate(tj.fedavg(**options), task(), rounds=3000, progress=False)
    assert scaffold.history["loss"][-1] < 1e-10 and drifting.history["loss"][-1] > 1e-3
    memory = scaffold.state.memory
    np.testing.assert_allclose(memory.node.mean(axis=0), memory.common, atol=1e-10)
    assert scaffold.history["messages"][-1] == 3000 * 4 * 4


@pytest.mark.slow
def test_a_server_with_sgd_of_rate_one_is_the_mean_and_a_proximal_term_holds_clients_back(x64: None) -> None:
    options = {"clients": 4, "local_steps": 3, "optimizer": SGD}
    one = tj.optimizer(optax.sgd, learning_rate=1.0)
    plain, served, free, held = (
        tj.simulate(tj.fedavg(**options, **more), task(), rounds=ROUNDS, progress=False)
        for more in ({}, {"server_optimizer": one}, {"proximal": 0.0}, {"proximal": 5.0})
    )
    np.testing.assert_allclose(served.state.params, plain.state.params, atol=1e-12)
    np.testing.assert_allclose(free.state.params, plain.state.params, atol=1e-12)
    assert not np.allclose(held.state.params, plain.state.params)
    adam = tj.fedavg(**options, server_optimizer=tj.optimizer(optax.adam, learning_rate=0.05))
    assert tj.simulate(adam, task(), rounds=300, progress=False).history["loss"][-1] < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["tree", "path", "star"])
def test_relayed_models_are_as_old_as_they_are_far(graph: str, x64: None) -> None:
    """``x_i+ = mean_j x'_j(t - max(d_ij - 1, 0))``, and one's own in the place of those that are on the way."""
    topology, g = tj.topology.from_spec(graph, NODES), gradients()
    distance = shortest_path(topology.sparse() != 0, unweighted=True).astype(int)
    x, after = np.broadcast_to(np.asarray(task().init(jax.random.key(0))), (NODES, DIM)), []
    for round in range(ROUNDS):
        after.append(x - RATE * g(x))
        then = round - np.maximum(distance - 1, 0)
        heard = lambda i, j, t: after[t][j] if t >= 0 else after[-1][i]
        known = np.array([[heard(i, j, t) for j, t in enumerate(row)] for i, row in enumerate(then)])
        x = known.mean(axis=1)
    run = tj.simulate(tj.relay_sgd(topology=graph, optimizer=SGD), task(), rounds=ROUNDS, progress=False)
    np.testing.assert_allclose(run.state.params, x, atol=1e-10)
    assert run.history["messages"][-1] == ROUNDS * 2 * (NODES - 1)


@pytest.mark.slow
def test_a_compressed_hand_off_costs_fewer_bytes_and_changes_what_moves_alone() -> None:
    plain, narrow, whole = (
        tj.simulate(
            tj.teleportation(active=4, topology="ring", optimizer=HEAVY, hand_off_compressor=compressor),
            task(noise=1.0),
            rounds=40,
            progress=False,
        )
        for compressor in (None, tj.compression.cast(jnp.bfloat16), tj.compression.top_k(1.0))
    )
    size = lambda run: run.history["bytes_handoff"][-1] / run.history["messages_handoff"][-1]
    assert (size(plain), size(narrow), size(whole)) == (8 * DIM, 6 * DIM, 4 * DIM + -(-DIM * (32 + 2) // 8))
    np.testing.assert_array_equal(whole.state.params, plain.state.params)  # all numbers arrive
    apart = np.abs(np.asarray(narrow.state.params) - np.asarray(plain.state.params))
    assert 0 < apart.max() < 0.05
    make = lambda optimizer: tj.teleportation(
        active=4, topology="ring", optimizer=optimizer, hand_off_compressor=tj.compression.cast(jnp.bfloat16)
    )
    tj.testing.check_algorithm(make, only=("handoffs", "messages", "structure"))
    check(
        lambda: tj.teleportation(active=4, topology="ring", optimizer=SGD, hand_off_compressor="x"),
        "hand_off_compressor is 'x'; give one of telejax.compression",
    )


@pytest.mark.slow
def test_a_round_of_pairs_is_one_step_and_one_link(x64: None) -> None:
    method, problem = tj.gossip_pairs(topology="ring", optimizer=HEAVY).bind(task()), task()
    state, g = method.init(jax.random.key(0), problem), gradients()
    met = set()
    for round in range(60):
        before = np.asarray(state.params)
        state, _ = method.step(jax.random.key(round), state, problem)
        one, other = np.flatnonzero((np.asarray(state.params) != before).any(axis=1))
        assert other - one in (1, NODES - 1)
        met.add((one, other))
        np.testing.assert_allclose(state.params[one], state.params[other], atol=1e-12)
        if round == 0:  # a plain step, as velocities are still 0
            ends = [(before[i] - RATE * g(before)[i] + before[j]) / 2 for i, j in ((one, other), (other, one))]
            assert any(np.allclose(state.params[one], end, atol=1e-12) for end in ends)
    assert len(met) == NODES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gradient tracking", "exact diffusion", "ProxSkip"])
def test_exact_methods_stay_exact_where_links_fail(name: str, x64: None) -> None:
    method = CASES[name][0](topology="ring", optimizer=SGD)
    run = tj.simulate(method, task(), rounds=12_000, network=tj.Network(outage=0.1), progress=False)
    assert run.history["loss_slots"][-1] < 1e-8


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda o: tj.exact_diffusion(topology=NEGATIVE, lazy=False, optimizer=o), "has the eigenvalue -0.9397"),
        (lambda o: tj.nids(topology="exponential", optimizer=o), "is directed and the method takes symmetric weights"),
        (lambda o: tj.extra(topology="random_matching", optimizer=o), "is drawn anew every round and the method takes"),
        (lambda o: tj.k_gt(topology="base:degree=1", optimizer=o), "rounds and the method takes one matrix"),
        (lambda o: tj.gradient_tracking(topology=uneven(), optimizer=o), "is column-stochastic and the method takes"),
        (
            lambda o: tj.push_sum(topology=tj.topology.directed(uneven().matrix().T, "row"), optimizer=o),
            "is row-stochastic and the method takes column-stochastic",
        ),
        (lambda o: tj.k_gt(topology="ring", optimizer=optax.sgd(0.1)), "divides by its step size; give a number"),
        (lambda o: tj.k_gt(topology="ring", local_steps=0, optimizer=o), "local_steps is 0; give an integer"),
        (lambda o: tj.k_gt(topology="ring", communication_step=0, optimizer=o), "communication_step is 0; give"),
        (lambda o: tj.local_exact_diffusion(topology="ring", dual_step=-1, optimizer=o), "dual_step is -1; give"),
        (lambda o: tj.prox_skip(topology="ring", probability=0, optimizer=o), "probability is 0; give"),
        (lambda o: tj.prox_skip(topology="ring", probability=1.5, optimizer=o), "probability is 1.5; give"),
        (lambda o: tj.prox_skip(topology="ring", chi=0.5, optimizer=o), "chi is 0.5; give"),
        (
            lambda o: tj.quasi_global_momentum(topology="ring", beta=1, optimizer=o),
            "beta is 1; give a number of at least 0",
        ),
        (lambda o: tj.scaffold(clients=99, optimizer=o), "clients is 99 and the task has 9 nodes"),
        (lambda o: tj.fedavg(clients=2, proximal=-1, optimizer=o), "proximal is -1; give"),
        (lambda o: tj.decentralized_sgd(topology="ring", local_steps=0, optimizer=o), "local_steps is 0; give"),
        (
            lambda o: tj.decentralized_sgd(topology="ring", order="combine_then_adapt", local_steps=2, optimizer=o),
            "local_steps is 2, and combining first takes one step",
        ),
        (lambda o: tj.gradient_tracking(topology="ring", variant="x", optimizer=o), "unknown variant 'x'"),
        (
            lambda o: tj.relay_sgd(topology="ring", optimizer=o),
            "'ring' is no tree: 9 nodes have 9 links",
        ),
        (lambda o: tj.relay_sgd(topology=tj.topology.path(5), optimizer=o), "has 5 nodes and the task 9"),
        (lambda o: tj.gossip_pairs(topology=tj.topology.ring(5), optimizer=o), "has 5 nodes and the task 9"),
        (lambda o: tj.gossip_pairs(topology="exponential", optimizer=o), "takes symmetric weights"),
        (lambda o: tj.choco_sgd(topology="ring", compressor="x", optimizer=o), "compressor is 'x'; give one of"),
        (
            lambda o: tj.choco_sgd(topology="ring", compressor=tj.compression.qsgd(unbiased=True), optimizer=o),
            "which scales what it sends; give it with unbiased=False",
        ),
    ],
)
def test_what_a_method_does_not_take_is_refused(make: Callable, words: str) -> None:
    check(lambda: make(SGD).bind(task()), words)


def test_a_network_that_loses_messages_is_refused_where_neighbours_store_copies() -> None:
    for method, network in (
        (tj.choco_sgd(topology="ring", optimizer=SGD), tj.Network(loss=0.1)),
        (tj.fedavg(clients=2, optimizer=SGD, server_optimizer=SGD), tj.Network(loss=0.1)),
    ):
        check(partial(tj.simulate, method, task(), rounds=2, network=network), "network is Network")
