"""The two convolutional networks of the paper's experiments, with GroupNorm in place of BatchNorm."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from telejax.models.convolution import Conv, Form, GroupNorm, max_pool


class LeNet(nn.Module):
    """Two 5 x 5 convolutions of 6 and 16 channels with GroupNorm, ReLU and pooling; dense 120, 84, one a class.

    Inputs of shape (batch, height, width, channels), at least 16 pixels each way, or (batch, height, width);
    outputs are logits of shape (batch, classes). 44 470 parameters at 28 x 28 x 1 and ten classes. After Y. LeCun
    et al. 1998.

    >>> jax.eval_shape(LeNet(10).init_with_output, jax.random.key(0), jnp.zeros((2, 28, 28, 1)))[0].shape
    (2, 10)
    """

    classes: int
    form: Form | None = None
    """How convolutions are computed; by default the fastest way, as products with windows that pooled pixels share."""

    @nn.compact
    def __call__(self, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        maps = feature_maps(inputs, smallest=16, model="LeNet")
        for features in (6, 16):
            whole = not any(size % 2 for size in maps.shape[1:3])  # so are the four fewer that come out
            maps = Conv(features, (5, 5), form=self.form, blocks=whole and self.form is None)(maps)
            maps = jax.nn.relu(max_pool(GroupNorm(2)(maps)))
        x = flat(maps)
        for width in (120, 84):
            x = jax.nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.classes)(x)


class VGG(nn.Module):
    """A small VGG: 3 x 3 convolutions with GroupNorm and ReLU, pooling between stages, one dense layer.

    ``stages`` lists the channels of the convolutions of each stage; the default has six convolutions and 0.31
    million parameters at 32 x 32 x 3. Inputs of shape (batch, height, width, channels), at least 2 ^ stages
    pixels each way; outputs are logits of shape (batch, classes). After K. Simonyan, A. Zisserman 2014, arXiv
    1409.1556.

    >>> jax.eval_shape(VGG(10).init_with_output, jax.random.key(0), jnp.zeros((2, 32, 32, 3)))[0].shape
    (2, 10)
    """

    classes: int
    stages: Sequence[Sequence[int]] = ((32, 32), (64, 64), (128, 128))
    groups: int = 2
    form: Form | None = None

    @nn.compact
    def __call__(self, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        maps = feature_maps(inputs, smallest=2 ** len(self.stages), model="VGG")
        for stage in self.stages:
            for features in stage:
                maps = Conv(features, (3, 3), padding="SAME", form=self.form)(maps)
                maps = jax.nn.relu(GroupNorm(self.groups)(maps))
            maps = max_pool(maps)
        return nn.Dense(self.classes)(flat(maps))


def feature_maps(inputs: Float[Array, "batch ..."], smallest: int, model: str) -> Array:
    """Images (batch, height, width[, channels]) as maps (channels, height, width, batch), or a ValueError."""
    shape = inputs.shape[1:]
    if len(shape) not in (2, 3) or min(shape[:2]) < smallest:
        raise ValueError(
            f"inputs have the shape {shape}; {model} takes images of shape (height, width, channels) of at least "
            f"{smallest} x {smallest} pixels; reshape the data, or choose an MLP"
        )
    return jnp.transpose(inputs.reshape(*inputs.shape[:3], -1), (3, 1, 2, 0))


def flat(maps: Float[Array, "channels height width batch"]) -> Float[Array, "batch features"]:
    """All numbers of a sample in one row."""
    return maps.reshape(-1, maps.shape[-1]).T
