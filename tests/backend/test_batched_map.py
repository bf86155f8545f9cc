"""The ways to run the same work side by side give the same numbers."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax.backend import batched_map as execution
from telejax.backend import memory
from telejax.backend.sharding import one_device_a_core

pytestmark = pytest.mark.usefixtures("compiled_fast")


def work(weights, x):
    return jnp.sum(jnp.tanh(weights @ x)), weights * 2


XS = jax.random.normal(jax.random.key(0), (10, 4, 3)), jax.random.normal(jax.random.key(1), (10, 3))


@pytest.mark.parametrize("batch", [None, 1, 2, 3, 10, 99])
def test_map_nodes_equals_vmap(batch):
    for mapped, expected in zip(execution.map_nodes(work, XS, batch), jax.vmap(work)(*XS), strict=True):
        np.testing.assert_allclose(mapped, expected, rtol=1e-5)  # sums in another order, tanh by another program


@pytest.mark.cpu
def test_small_pieces_run_at_once_and_large_ones_in_dividing_batches():
    assert memory.node_batch(100, 10_000) == 10_000
    assert memory.node_batch(8 * 2**20, 25) == 1
    assert 25 % memory.node_batch(2**18, 25) == 0


def test_measured_batch_is_a_candidate():
    assert execution.measured_batch(work, XS, repeats=1) in (1, 2, 4, 8, 10)


@pytest.mark.cpu
def test_sum_over_batches_fills_the_last_one_up():
    data = jnp.arange(10_000.0).reshape(-1, 1)
    wide = lambda x: jnp.sum(jnp.tile(x, (1, 1000)), axis=0)[:3]  # 4 kB a row: ten batches or more
    assert memory.batch_for(4000, len(data)) < len(data) / 9
    np.testing.assert_allclose(execution.sum_over_batches(wide, data), data.sum() * jnp.ones(3), rtol=1e-5)


def test_largest_intermediate_looks_into_loops():
    inside = lambda x: jax.lax.map(lambda row: jnp.sum(jnp.outer(row, row)), x)
    assert memory.largest_intermediate(inside, jnp.zeros((2, 100))) == 40_000


SIMULATE = """
import dataclasses, jax, optax, telejax as tj
from telejax.backend import batched_map as execution
sgd = tj.optimizer(optax.sgd, learning_rate=0.1)
algorithm = tj.teleportation(active=5, topology="ring", optimizer=sgd)
task = dataclasses.replace(tj.tasks.digits(nodes=10), node_batch=1)
run = tj.simulate(algorithm, task, rounds=4, progress=False)
even = tj.teleportation(active=4, topology="ring", optimizer=sgd)
meshes = (None, f"cpu:{len(jax.devices())}")
ends = [tj.simulate(even, task, rounds=4, progress=False, devices=one).history["loss"][-1] for one in meshes]
assert abs(ends[0] - ends[1]) < 1e-5, ends
text = jax.jit(lambda x: execution.map_nodes(jax.numpy.sin, (x,), 1)).lower(jax.numpy.arange(7.0)).as_text()
total = lambda x: jax.lax.scan(lambda total, one: (total + one, None), 0.0, x)[0]
assert execution.map_nodes(total, (jax.numpy.ones((7, 3)),), 1).tolist() == [3.0] * 7
print(run.history["loss"][-1], "num_partitions = 2" in text)
"""


@pytest.mark.slow
def test_two_devices_share_the_nodes():
    def run(devices):
        command = [sys.executable, "-c", SIMULATE]
        env = os.environ | {
            "JAX_NUM_CPU_DEVICES": devices,
            "JAX_PLATFORMS": "cpu",
        }
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()

    (one, alone), (two, shared) = run("1"), run("2")
    assert (alone, shared) == ("False", "True")
    assert float(two) == pytest.approx(float(one), rel=1e-4)  # float32 sums in another order


def test_a_device_for_each_core_before_jax_starts_and_none_more_afterwards():
    script = (
        "import os; from telejax.backend.sharding import one_device_a_core; "
        "assert one_device_a_core() == one_device_a_core() == os.cpu_count()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert one_device_a_core() == jax.local_device_count("cpu")  # jax has started here
