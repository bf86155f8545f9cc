"""telejax's methods go through the iterates of decent-bench's, where that is installed (see peers.py)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"
PYTHON = BENCHMARKS.parents[1] / ".venv-peers" / "bin" / "python"
NODES, DIM, ROUNDS = 7, 5, 25


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason=f"needs decent-bench in {PYTHON.parents[1]}")
def test_iterates_are_those_of_decent_bench(monkeypatch, x64):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import peers

    hessians, linear = (part.astype(np.float64) for part in peers.problem(NODES, DIM))
    compared = [peer for peer in peers.PEERS if peer.same]
    _, models = peers.with_decent_bench(PYTHON, compared, hessians, linear, ROUNDS)
    task = peers.DenseQuadratic(NODES, jnp.asarray(hessians), jnp.asarray(linear))
    for peer, theirs in zip(compared, models, strict=True):
        ours = peers.with_telejax(peer, task, ROUNDS)
        assert ours.dtype == jnp.float64
        np.testing.assert_allclose(jax.device_get(ours), theirs, atol=1e-12, err_msg=peer.name)
        assert np.abs(theirs).max() > 0.1, peer.name
