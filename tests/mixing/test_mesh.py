"""Slots sharded over several devices give one device's results; rings send boundary rows only.

Devices are virtual and made in a subprocess, since jax fixes their number when it starts.
"""

import os
import socket
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import telejax as tj
from telejax.mixing.sharded import circulant_rounds

pytestmark = [pytest.mark.cpu, pytest.mark.usefixtures("compiled_fast")]

COMMON = """
import sys, jax, numpy as np, optax, telejax as tj
from jax.sharding import Mesh

def run(algorithm, task, **options):
    result = tj.simulate(algorithm, task, rounds=30, eval_every=10, progress=False, **options)
    return result.history.select("loss", "loss_slots", "consensus").to_numpy()

task = tj.tasks.quadratic(nodes=32, dim=6, noise=1.0)
momentum = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.5)
def dsgd(topology):
    return tj.decentralized_sgd(topology=topology, optimizer=momentum)
"""

FOUR_DEVICES = """
assert len(jax.devices()) == 4
mesh = Mesh(np.array(jax.devices()), ("nodes",))
star, dense = tj.topology.star(32), tj.topology.complete(32)
methods = [dsgd(name) for name in ("ring", "one_peer_exponential", "torus:rows=4", star, dense)]
methods.append(tj.teleportation(active=8, topology="ring", optimizer=momentum))
methods.append(tj.all_reduce_sgd(optimizer=momentum))
methods.append(tj.random_walk(tokens=8, topology="ring", optimizer=momentum))
methods.append(dsgd("ou_equidyn"))  # partners drawn in every round
methods.append(tj.joint_teleportation(active=(4, 8), topology="ring", optimizer=momentum))
for method in methods:
    # 1e-6: float32 sums in another order, over 30 rounds of a contraction
    np.testing.assert_allclose(run(method, task, mesh=mesh), run(method, task), rtol=1e-6, atol=1e-6)
axes = {"seeds": 2, "tune": [0.02, 0.05]}
np.testing.assert_allclose(
    run(methods[0], task, devices="cpu:4", **axes), run(methods[0], task, **axes), rtol=1e-6, atol=1e-6
)
from telejax.backend import memory
memory.BYTES_AT_ONCE["cpu"] = 1  # one run after another
apart = [run(methods[0], task, **devices, **axes) for devices in ({"devices": "cpu:4"}, {})]
np.testing.assert_allclose(*apart, rtol=1e-6, atol=1e-6)
sharded = tj.simulate(methods[0], task, rounds=5, devices="cpu:4", progress=False, **axes).state
assert {shard.data.shape for shard in sharded.params.addressable_shards} == {(2, 2, 8, 6)}
memory.BYTES_AT_ONCE["cpu"] = 2**22
explicit = jax.make_mesh((4,), ("nodes",))  # whose axis the compiler would not place by itself
np.testing.assert_allclose(run(methods[0], task, mesh=explicit), run(methods[0], task), rtol=1e-6, atol=1e-6)
state = tj.simulate(methods[0], task, rounds=5, mesh=mesh, progress=False).state
assert {shard.data.shape for shard in state.params.addressable_shards} == {(8, 6)}

# the compiled program: one row of each block crosses each boundary, and nothing is gathered
from telejax.network import IDEAL
from telejax.simulation.program import Program
for topology, gathers in (("ring", False), ("torus:rows=4", True)):
    algorithm = dsgd(topology).bind(task)
    program = Program.build(
        [(algorithm, task, IDEAL)], [0], seed_axis=False, hyperparameter_axis=False, mesh=mesh, metrics=()
    )
    text = program.lowered(program.start()).compile().as_text()
    in_loop = [line for line in text.splitlines() if "all-gather" in line and "f32[32,6]" in line]
    assert bool(in_loop) == gathers, (topology, in_loop)
    if topology == "ring":
        moved = [line for line in text.splitlines() if " collective-permute" in line and "-done" not in line]
        assert len(moved) == 2 and all("f32[1,6]" in line for line in moved), moved
"""

JOINED = """
import sys, jax
index, port, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=index)
"""

TWO_PROCESSES = """
assert len(jax.devices()) == 2 and len(jax.local_devices()) == 1
mesh = Mesh(np.array(jax.devices()), ("nodes",))
np.save(f"{out}/{index}.npy", run(dsgd("ring"), task, mesh=mesh))
jax.distributed.shutdown()
"""


def python(code, *arguments, devices=1):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finished(process):
    _, error = process.communicate(timeout=400)
    assert process.returncode == 0, error


@pytest.mark.slow
def test_four_devices_give_the_results_of_one():
    finished(python(COMMON + FOUR_DEVICES, devices=4))


@pytest.mark.slow
def test_two_processes_give_the_results_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [python(JOINED + COMMON + TWO_PROCESSES, index, port, tmp_path) for index in range(2)]
    for process in processes:
        finished(process)
    names: dict = {}
    exec(COMMON, names)
    alone = names["run"](names["dsgd"]("ring"), names["task"])
    for index in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"{index}.npy"), alone, rtol=1e-6, atol=1e-6)


def test_circulant_graphs_are_recognised():
    assert circulant_rounds(tj.topology.torus(16).mixing()) is None
    (ring,) = circulant_rounds(tj.topology.ring(16).mixing())
    assert sorted(offset for offset, _ in ring) == [0, 1, 15]
    assert len(circulant_rounds(tj.topology.one_peer_exponential(16).mixing())) == 4


def simulate(**options):
    task = tj.tasks.quadratic(nodes=9, dim=3)
    walk = tj.random_walk(tokens=3, optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    return tj.simulate(walk, task, rounds=2, progress=False, **options)


@pytest.mark.slow
def test_tokens_walk_along_a_ring_on_a_mesh():
    walk = tj.random_walk(tokens=3, topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    run = partial(tj.simulate, walk, tj.tasks.quadratic(nodes=9, dim=3), rounds=5, eval_every=1, progress=False)
    alone, meshed = (run(mesh=mesh).history for mesh in (None, Mesh(np.array(jax.devices()[:1]), ("a",))))
    assert alone.equals(meshed)


def test_wrong_meshes_are_refused():
    one = np.array(jax.devices()[:1])
    with pytest.raises(ValueError, match=r"mesh has the axes \('a', 'b'\)"):
        simulate(mesh=Mesh(one.reshape(1, 1), ("a", "b")))
    with pytest.raises(ValueError, match="give one of them"):
        simulate(mesh=Mesh(one, ("a",)), devices="cpu:1")
    with pytest.raises(ValueError, match="JAX_NUM_CPU_DEVICES=64"):
        simulate(devices="cpu:64")
    with pytest.raises(ValueError, match="give a platform and how many"):
        simulate(devices="two")


def test_a_mesh_that_does_not_divide_the_slots():
    from telejax.backend.sharding import SlotSharding

    class FourDevices:
        size = 4

    with pytest.raises(ValueError, match="4 devices, which do not divide 6 slots; use 2 devices"):
        SlotSharding(FourDevices(), 0).check(6)
