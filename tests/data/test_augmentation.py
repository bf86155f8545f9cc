"""Random changes to images move and mirror them, and change nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj


@pytest.mark.slow
def test_augmentation_moves_and_mirrors():
    image = jnp.zeros((50, 9, 9, 1)).at[:, 4, 3].set(1.0)
    moved = tj.data.crop_and_flip(jax.random.key(0), image)
    rows, columns = (np.unique(np.asarray(index)) for index in np.nonzero(np.asarray(moved))[1:3])
    assert len(rows) > 4 and len(columns) > 4 and float(moved.sum(axis=(1, 2, 3)).max()) == 1
    flipped = tj.data.random_flip(jax.random.key(1), image)
    assert set(np.nonzero(np.asarray(flipped))[2].tolist()) == {3, 5}
