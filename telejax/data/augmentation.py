"""Random changes to a batch of images, on the device, with the batch's key."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from telejax.backend.shapes import is_number, kind_of
from telejax.errors import attribute, check_integer, check_name, is_kind, short
from telejax.random.keys import check_key
from telejax.random.threefry import integers, split

Augmentation = Callable[[Array, Array], Array]
"""``(key, images) -> images``, shapes (batch, height, width, channels)."""


def random_crop(
    key: Key[Array, ""], images: Float[Array, "batch height width channels"], padding: int = 4
) -> Float[Array, "batch height width channels"]:
    """Move every image by up to ``padding`` pixels each way, zeros coming in.

    >>> random_crop(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """
    _check_batch(key, images)
    padding = check_integer("padding", padding, minimum=0)
    batch, height, width, channels = images.shape
    if padding > max(height, width):
        raise ValueError(f"padding is {padding}, beyond images of {height} x {width} pixels; give a few pixels")
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = integers(key, (batch, 2), 2 * padding + 1)
    cut = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), (height, width, channels))
    return jax.vmap(cut)(padded, corners)


def random_flip(
    key: Key[Array, ""], images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch height width channels"]:
    """Mirror every image left to right, or leave it, with equal chances.

    >>> random_flip(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """
    _check_batch(key, images)
    mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def crop_and_flip(
    key: Key[Array, ""], images: Float[Array, "batch height width channels"]
) -> Float[Array, "batch height width channels"]:
    """:func:`random_crop`, then :func:`random_flip`: what is usual for CIFAR-10.

    >>> import jax, jax.numpy as jnp
    >>> crop_and_flip(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
    (2, 8, 8, 1)
    """
    _check_batch(key, images)
    crop_key, flip_key = split(key)
    return random_flip(flip_key, random_crop(crop_key, images))


def _check_batch(key: Array, images: Array) -> None:
    """Raise a ValueError unless these are a key and a batch of images."""
    check_key("key", key)
    if not is_number(images) or attribute(images, "ndim") != 4:
        raise ValueError(f"images is {kind_of(images)}; give floats of shape (batch, height, width, channels)")


AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": random_crop,
    "flip": random_flip,
    "crop+flip": crop_and_flip,
}


def as_augmentation(given: str | Augmentation | None) -> Augmentation | None:
    """A function of :data:`AUGMENTATIONS` by its name; a function or None as it is; else a ValueError."""
    if is_kind(given, str):
        return AUGMENTATIONS[check_name("augmentation", given, AUGMENTATIONS)]
    if given is None or callable(given):
        return given
    raise ValueError(
        f"augment is {short(given)}; give one of {', '.join(AUGMENTATIONS)} or a function of key and images"
    )


def check_keeps_shape(augment: Augmentation, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless a batch of inputs of ``shape`` keeps its shape; computes nothing."""
    inputs = jax.ShapeDtypeStruct((2, *shape), jnp.result_type(float))
    remedy = "leave it out, or give images of shape (height, width, channels) and a function that keeps their shape"
    try:
        changed = jax.eval_shape(augment, jax.random.key(0), inputs)
    except Exception as error:  # a user's own function may raise anything
        raise ValueError(f"augment does not take inputs of shape {shape} ({error}); {remedy}") from error
    if kind_of(changed) != kind_of(inputs):
        raise ValueError(f"augment makes {kind_of(changed)} of a batch {kind_of(inputs)}; {remedy} and floats")
