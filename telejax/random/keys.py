"""Keys of jax's random numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from telejax.backend.shapes import is_deleted
from telejax.errors import is_kind, short


def key_shape() -> jax.ShapeDtypeStruct:
    """Shape and dtype of a key, for what is traced alone: a key itself is a program of jax's.

    >>> key_shape()
    ShapeDtypeStruct(shape=(), dtype=key<fry>)
    """
    shape: jax.ShapeDtypeStruct = jax.eval_shape(jax.random.key, 0)
    return shape


def check_key(name: str, key: object) -> None:
    """Raise a ValueError unless ``key`` is a key, typed or of the older kind.

    >>> check_key("key", 0)
    Traceback (most recent call last):
    ...
    ValueError: key is 0; give a key, such as jax.random.key(0)
    """
    array = key if is_kind(key, jax.Array | np.ndarray) else np.zeros(())  # whose type is that of no key
    raw = array.dtype == jnp.uint32 and array.shape == jax.eval_shape(jax.random.PRNGKey, 0).shape
    typed, shape = jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key), array.shape
    if typed and shape:
        raise ValueError(f"{name} holds {shape} keys; give a key, such as jax.random.key(0), or use jax.vmap")
    if not (raw or typed) or is_deleted(key):
        raise ValueError(f"{name} is {short(key)}; give a key, such as jax.random.key(0)")
