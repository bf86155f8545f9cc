"""A run that does not fit says so before it starts: how much it needs, how much is free, what to reduce."""

import optax
import pytest

import telejax as tj
from telejax.backend import host, memory

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
TASK = tj.tasks.quadratic(nodes=1000, dim=50)
TELEPORT = tj.teleportation(active=100, topology="ring", optimizer=SGD)


def refuse(*arguments, **named):
    raise AssertionError("compiled")


@pytest.mark.cpu
def test_what_does_not_fit_is_refused_with_what_it_needs(monkeypatch):
    monkeypatch.setattr(host.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**6}))
    monkeypatch.setattr("telejax.simulation.program.Program.start", refuse)
    told = (
        r"the state of TELEPORTATION ring k=100 \(its memory included\) for 1000 runs of 100 slots needs 0.0 GB and "
        r"0.0 GB are free; run fewer seeds or step sizes at once, or fewer nodes \(the task has 1000\) or active ones"
    )
    with pytest.raises(ValueError, match=told):
        tj.simulate(TELEPORT, TASK, rounds=1, seeds=500, tune=[0.1, 0.2])
    with pytest.raises(AssertionError, match="compiled"):  # 20 kB of state, and as much again
        tj.simulate(TELEPORT, TASK, rounds=1)


@pytest.mark.cpu
@pytest.mark.parametrize("error", [OSError, RuntimeError, NotImplementedError])
def test_where_free_memory_is_unknown_nobody_is_blocked(monkeypatch, error):
    def unknown():
        raise error("no /proc here")

    monkeypatch.setattr(host.psutil, "virtual_memory", unknown)
    assert memory.free_bytes() is None and memory.fitting_memory(10**12) == 1
    assert tj.topology.ring(5).mixing().slots == 5
    monkeypatch.setattr("telejax.simulation.program.Program.start", refuse)
    with pytest.raises(AssertionError, match="compiled"):
        tj.simulate(TELEPORT, TASK, rounds=1, seeds=5)


def test_a_device_tells_of_its_own_memory(any_types):
    device = lambda stats: type("Device", (), {"platform": "gpu", "memory_stats": lambda self: stats})()
    assert memory.free_bytes(device({"bytes_limit": 10, "bytes_in_use": 3})) == 7
    assert memory.free_bytes(device(None)) is None
