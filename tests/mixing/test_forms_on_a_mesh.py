"""Every form over four devices gives what it gives on one: kept and sent, delivered, and whole lossy runs.

Devices are virtual and made in a subprocess, since jax fixes their number when it starts.
"""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.cpu, pytest.mark.usefixtures("compiled_fast")]

FORMS = """
import jax, jax.numpy as jnp, numpy as np, telejax as tj
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from telejax.mixing import forms, means
from telejax.mixing.compose import Permuted
from telejax.mixing.sharded import Shifts

assert len(jax.devices()) == 4
T = tj.topology
order = np.roll(np.arange(16, dtype=np.int32)[::-1], 3)
links = np.eye(16) + np.roll(np.eye(16), 1, axis=0)
links[:, ::2] += np.roll(np.eye(16), 5, axis=0)[:, ::2]
lists = [T.ring(8), T.path(4), T.star(4)]
FORMS = {
    "ring": T.ring(16),
    "exponential": T.exponential(16),
    "one-peer exponential": T.one_peer_exponential(16),
    "directed": T.directed(links / links.sum(axis=0), stochastic="column"),
    "mean": T.complete(16),
    "matchings": T.ou_equidyn(16),
    "dense": T.star(40),
    "permuted ring": Permuted(T.ring(16).mixing(), order, np.argsort(order).astype(np.int32)),
    "permuted matchings": T.permuted(T.random_matching(16), order),
    "periodic": T.sequence([T.ring(16), T.random_matching(16), T.complete(16)]),
    "blocks": tj.block_diagonal([one.mixing() for one in lists]),
    "blocks with periods": tj.block_diagonal([T.one_peer_exponential(8).mixing(), T.ring(8).mixing()]),
    "server": means.Mean("server", 16, (32,), transport="server"),
}
SHIFTS = ("ring", "exponential", "one-peer exponential")
TABLE = np.random.default_rng(0).random((41, 41)) < 0.6


@jax.jit
def applied(mixing, round, kept, sent):
    table = jnp.asarray(TABLE)
    delivered = mixing.delivered(round, lambda sender, receiver: table[sender, receiver])
    again = delivered.mixing.delivered(0, lambda sender, receiver: table[receiver, sender])  # of what is left
    return [
        (tj.mix(one, kept, t), tj.mix(one, kept, t, sent=sent), as_matrix(*tj.neighbours(one, t)), one.exchanged(t))
        for one, t in ((mixing, round), (delivered.mixing, 0), (again.mixing, 0))
    ] + [(left.lost, left.surplus) for left in (delivered, again)]


def as_matrix(indices, weights):  # lists may go in another order
    slots = jnp.broadcast_to(jnp.arange(indices.shape[1]), indices.shape)
    return jnp.zeros((indices.shape[1],) * 2).at[slots, indices].add(weights)


def tree(slots, seed):
    rng = np.random.default_rng(seed)
    return {"one": rng.normal(size=slots).astype(np.float32), "two": rng.normal(size=(slots, 3)).astype(np.float32)}


def compare(name, ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape, name
        # float32 sums of at most 40 products in another order
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-6, err_msg=name)


mesh = Mesh(np.array(jax.devices()), ("nodes",))
for name, form in FORMS.items():
    mixing = form if isinstance(form, forms.Mixing) else form.mixing()
    sharded = mixing.sharded(mesh)
    inner = sharded.part if name == "permuted ring" else sharded.parts[0] if name == "periodic" else sharded
    assert isinstance(inner, Shifts) == (name in (*SHIFTS, "permuted ring", "periodic")), name
    kept, sent = (tree(mixing.slots, seed) for seed in (0, 1))
    placed = [jax.device_put(one, NamedSharding(mesh, PartitionSpec("nodes"))) for one in (kept, sent)]
    for t in range(4):
        compare(name, applied(sharded, t, *placed), applied(mixing, t, kept, sent))
    if name in SHIFTS:  # a lost NaN reaches nobody, and those who hear it are those on one device
        for b in (0, 3, 4):
            broken = {leaf: value.copy() for leaf, value in sent.items()}
            for value in broken.values():
                value[b] = np.nan
            over = jax.device_put(broken, NamedSharding(mesh, PartitionSpec("nodes")))
            for ours, theirs in zip(
                applied(sharded, 1, placed[0], over)[:2], applied(mixing, 1, kept, broken)[:2], strict=True
            ):
                for leaf in ("one", "two"):
                    np.testing.assert_array_equal(np.isnan(ours[1][leaf]), np.isnan(theirs[1][leaf]), name)
"""

RUNS = """
import jax, numpy as np, optax, telejax as tj
assert len(jax.devices()) == 4
task = tj.tasks.quadratic(nodes=32, dim=6, noise=1.0)
momentum = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.5)
methods = [
    tj.decentralized_sgd(topology="ring", optimizer=momentum),
    tj.teleportation(active=8, topology="ring", optimizer=momentum),
    tj.teleportation(active=8, topology="complete", optimizer=momentum, state_travels=False),
    tj.fedavg(clients=8, optimizer=momentum),
]
networks = [
    tj.Network(loss=0.2),
    tj.Network(loss=0.1, outage=0.1),
    tj.Network(loss=0.1, presence=tj.network.presence.markov(0.2, 0.4)),
]
pairs = [(method, networks[0]) for method in methods] + [(methods[0], network) for network in networks[1:]]
for method, network in pairs:
    ours, theirs = (
        tj.simulate(
            method, task, rounds=30, eval_every=10, network=network, devices=devices, seeds=2, progress=False
        ).history
        for devices in ("cpu:4", None)
    )
    assert ours.columns == theirs.columns and (theirs["lost"] > 0).sum() == (theirs["round"] > 0).sum()
    for column in ours.columns:  # float32 sums in another order, over 30 rounds of a contraction
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, atol=1e-5, err_msg=f"{method}: {column}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [FORMS, RUNS], ids=["forms", "runs"])
def test_four_devices_give_the_results_of_one(code):
    environment = {
        **os.environ,
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
