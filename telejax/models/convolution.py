"""Convolution and normalisation of feature maps, fast when every node has its own weights.

Feature maps have the shape (channels, height, width, batch). With the batch last, every shifted window of a map
is a few long contiguous rows, so that gathering the windows, pooling and normalising run at the speed of a copy.
A convolution with per-node weights becomes a grouped convolution under vmap, which XLA computes slowly (1000 LeNets on
an NVIDIA H100: 47 ms for 10); as one product of the weights with the gathered windows it stays a matrix product (see
experiments/benchmarks/gradients.py). Where 2 x 2 pixels are pooled afterwards, all four share one larger window, and
stand on an axis of their own (:func:`convolve_blocks`). All forms take the same weights and give the same numbers.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from telejax.errors import check_integer, check_list, check_name, check_number, is_kind, short

Form = Literal["windows", "plain"]
Padding = Literal["VALID", "SAME"] | Sequence[tuple[int, int]]
PADDING = "give VALID, SAME, or zeros before and after the rows and the columns, as ((1, 1), (2, 2))"
MOST = 2**20  # features, and numbers of pixels that a window moves by or is long
MapLayout = ("CHWN", "HWIO", "CHWN")


def convolve(
    maps: Float[Array, "channels height width batch"],
    kernel: Float[Array, "rows columns channels features"],
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "VALID",
    form: Form | None = None,
) -> Float[Array, "features new_height new_width batch"]:
    """Cross-correlation ``y[f, i, j] = sum_{r, s, c} kernel[r, s, c, f] maps[c, i * strides + r, j * strides + s]``.

    Args:
        maps: shape (channels, height, width, batch).
        kernel: shape (rows, columns, channels, features).
        strides: of rows and columns.
        padding: "VALID", "SAME", or zeros (before, after) the rows and the columns.
        form: "windows" for a product with the gathered windows, "plain" for XLA's convolution; by default the
            faster, windows.

    Raises:
        ValueError: maps smaller than the kernel, or of other channels.

    >>> convolve(jnp.ones((1, 28, 28, 32)), jnp.ones((5, 5, 1, 6))).shape
    (6, 24, 24, 32)
    """
    _check_maps("maps", maps)
    _check_maps("kernel", kernel)
    if form is not None:
        form = check_name("form", form, get_args(Form))
    rows, columns, channels, features = kernel.shape
    strides, pads = _pair("strides", strides, least=1), _pads(maps.shape, (rows, columns), strides, padding)
    _fitting(maps.shape, kernel.shape, pads)
    if form == "plain":
        return jax.lax.conv_general_dilated(maps, kernel, strides, pads, dimension_numbers=MapLayout)
    windows = windows_of(maps, (rows, columns), strides, pads)
    product = kernel.reshape(-1, features).T @ windows.reshape(rows * columns * channels, -1)
    return product.reshape(features, *windows.shape[2:])


def windows_of(
    maps: Float[Array, "channels height width batch"],
    size: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "VALID",
) -> Float[Array, "places channels new_height new_width batch"]:
    """What every pixel of a kernel of so many rows and columns meets; arguments as for :func:`convolve`.

    >>> windows_of(jnp.ones((1, 28, 28, 32)), (5, 5)).shape
    (25, 1, 24, 24, 32)
    """
    rows, columns = size
    pads = _pads(maps.shape, size, strides, padding)
    if any(map(any, pads)):
        maps = jnp.pad(maps, ((0, 0), *pads, (0, 0)))
    height, width = maps.shape[1:3]
    down = [slice(r, height - rows + r + 1, strides[0]) for r in range(rows)]
    across = [slice(s, width - columns + s + 1, strides[1]) for s in range(columns)]
    # one axis after the other: the gradient then adds up rows + columns shifted maps, and not rows * columns
    strips = jnp.stack([maps[:, :, where] for where in across])
    windows = jnp.stack([strips[:, :, where] for where in down])
    return windows.reshape(rows * columns, *windows.shape[2:])


def convolve_blocks(
    maps: Float[Array, "channels height width batch"], kernel: Float[Array, "rows columns channels features"]
) -> Float[Array, "features 4 half_height half_width batch"]:
    """As :func:`convolve`, VALID and without strides, the four pixels of every 2 x 2 block on an axis of their own.

    The four share one window of (rows + 1) x (columns + 1) pixels, so that 36 numbers are gathered where four windows
    of 5 x 5 would take 100; it is multiplied with the kernel in its four places, zeros around it.

    Raises:
        ValueError: as of :func:`convolve`, or an odd number of new rows or columns.

    >>> convolve_blocks(jnp.ones((1, 28, 28, 32)), jnp.ones((5, 5, 1, 6))).shape
    (6, 4, 12, 12, 32)
    """
    _check_maps("maps", maps)
    _check_maps("kernel", kernel)
    rows, columns, _, features = kernel.shape
    new = _fitting(maps.shape, kernel.shape, ((0, 0), (0, 0)))
    if new[0] % 2 or new[1] % 2:
        raise ValueError(
            f"{new[0]} x {new[1]} new pixels are not whole blocks of 2 x 2; give maps of another size, or take convolve"
        )
    places = [jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in range(2) for j in range(2)]
    windows = windows_of(maps, (rows + 1, columns + 1), (2, 2))
    product = jnp.stack(places, axis=-1).reshape(-1, 4 * features).T @ windows.reshape(-1, windows[0, 0].size)
    return product.reshape(features, 4, *windows.shape[2:])


def from_blocks(
    blocks: Float[Array, "channels 4 half_height half_width batch"],
) -> Float[Array, "channels height width batch"]:
    """The maps whose blocks these are.

    >>> from_blocks(jnp.arange(4.0).reshape(1, 4, 1, 1, 1))[0, :, :, 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    channels, _, height, width, batch = blocks.shape
    apart = blocks.reshape(channels, 2, 2, height, width, batch)
    return apart.transpose(0, 3, 1, 4, 2, 5).reshape(channels, 2 * height, 2 * width, batch)


class Conv(nn.Module):
    """A convolution with a bias; see :func:`convolve` for shapes and the form."""

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: Padding = "VALID"
    form: Form | None = None
    blocks: bool = False
    """Whether the four pixels of every 2 x 2 block, which :func:`max_pool` takes together, come out on an axis of their
    own, (features, 4, h, w, batch): they share one larger window. Without strides and padding, of maps whose outputs
    have an even number of rows and columns."""

    @nn.compact
    def __call__(self, maps: Float[Array, "channels height width batch"]) -> Float[Array, "features *pixels batch"]:
        _check_maps("maps", maps)
        features = check_integer("features", self.features, minimum=1, maximum=MOST)
        shape = (*_pair("kernel_size", self.kernel_size, least=1), maps.shape[0], features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if not self.blocks:
            return convolve(maps, kernel, self.strides, self.padding, self.form) + bias[:, None, None, None]
        asked = (tuple(self.strides), self.padding, self.form)
        if asked != ((1, 1), "VALID", None):
            raise ValueError(f"strides, padding and form are {asked}; with blocks leave them at (1, 1), 'VALID', None")
        return convolve_blocks(maps, kernel) + bias[:, None, None, None, None]


class GroupNorm(nn.Module):
    """Each sample's maps, normalised in groups of channels, then scaled and shifted per channel.

    Y. Wu, K. He 2018, arXiv 1803.08494. Scale and shift are folded into one multiply-add per number.
    """

    groups: int = 2
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, maps: Float[Array, "channels *pixels batch"]) -> Float[Array, "channels *pixels batch"]:
        groups = check_integer("groups", self.groups, minimum=1)
        epsilon = check_number("epsilon", self.epsilon, exclusive=True)
        channels, batch = maps.shape[0], maps.shape[-1]
        if channels % groups:
            raise ValueError(f"groups is {groups}, which does not divide {channels} channels; give a divisor")
        scale = self.param("scale", nn.initializers.ones, (channels,)).reshape(groups, -1, 1)
        shift = self.param("bias", nn.initializers.zeros, (channels,)).reshape(groups, -1, 1)
        grouped = maps.reshape(groups, -1, batch)
        mean = jnp.mean(grouped, axis=1)
        variance = jnp.maximum(jnp.mean(grouped**2, axis=1) - mean**2, 0.0)
        factor = scale * jax.lax.rsqrt(variance + epsilon)[:, None]
        per_channel = lambda x: x.reshape(channels, *[1] * (maps.ndim - 2), batch)
        return maps * per_channel(factor) + per_channel(shift - mean[:, None] * factor)


def max_pool(maps: Float[Array, "channels *pixels batch"]) -> Float[Array, "channels h w batch"]:
    """The largest of every 2 x 2 pixels; an odd last row or column is left out.

    Pair by pair, of maps (channels, height, width, batch) or of blocks (channels, 4, h, w, batch): the gradient of a
    maximum over an axis looks for it among numbers that may have been computed again, rounded differently.

    >>> max_pool(jnp.arange(9.0).reshape(1, 3, 3, 1)).item()
    4.0
    """
    if getattr(maps, "ndim", 0) == 5 and maps.shape[1] == 4:
        of_block = [maps[:, place] for place in range(4)]
    else:
        _check_maps("maps", maps)
        height, width = maps.shape[1:3]
        if min(height, width) < 2:
            raise ValueError(f"maps has {height} x {width} pixels; give at least 2 x 2, or leave the pooling out")
        even = maps[:, : height // 2 * 2, : width // 2 * 2]
        of_block = [even[:, i::2, j::2] for i in range(2) for j in range(2)]
    return jnp.maximum(jnp.maximum(*of_block[:2]), jnp.maximum(*of_block[2:]))


def _pads(
    shape: tuple[int, ...], size: tuple[int, int], strides: tuple[int, int], padding: Padding
) -> list[tuple[int, int]]:
    """Zeros before and after the rows and the columns of maps of this shape."""
    if is_kind(padding, str):
        padding = jax.lax.padtype_to_pads(shape[1:3], size, strides, check_name("padding", padding, ("VALID", "SAME")))
    pads = [_pair("padding", one, least=0) for one in check_list("padding", padding, PADDING)]
    if len(pads) != 2:
        raise ValueError(f"padding is {short(padding)}; {PADDING}")
    return pads


def _fitting(maps: tuple[int, ...], kernel: tuple[int, ...], pads: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """New rows and columns without strides, or a ValueError where maps of this shape do not fit the kernel's."""
    height, width = (size + sum(pad) for size, pad in zip(maps[1:3], pads, strict=True))
    rows, columns, channels, _ = kernel
    if maps[0] != channels or height < rows or width < columns:
        raise ValueError(
            f"maps of {maps[0]} channels and {height} x {width} pixels (padding included) do not fit a kernel "
            f"of {channels} channels and {rows} x {columns}; give larger inputs or another model"
        )
    return height - rows + 1, width - columns + 1


def _check_maps(name: str, given: Any) -> None:
    """Raise a ValueError unless this is an array of four axes."""
    if len(getattr(given, "shape", ())) != 4:
        raise ValueError(f"{name} is {short(given)}; give an array of four axes, as of jnp.ones((1, 28, 28, 32))")


def _pair(name: str, given: Any, least: int) -> tuple[int, int]:
    """Two integers, of rows and columns."""
    remedy = f"give two integers of at least {least}, such as ({least}, {least})"
    numbers = [check_integer(name, one, least, remedy, MOST) for one in check_list(name, given, remedy)]
    if len(numbers) != 2:
        raise ValueError(f"{name} is {short(given)}; {remedy}")
    return numbers[0], numbers[1]
