"""How exactly products of matrices are computed: less exactly is faster where a device has units for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from telejax.errors import check_name

PRECISIONS = {"bfloat16": "BF16_BF16_F32", "tensorfloat32": "TF32_TF32_F32", "float32": "F32_F32_F32"}
"""What the factors are rounded to, and jax's name for products of them that are summed in float32."""


def check_precision(precision: str | None) -> str | None:
    """Return the name, or raise a ValueError where there is none such or the device lacks it.

    >>> check_precision("float32")
    'float32'
    >>> check_precision("half")
    Traceback (most recent call last):
    ...
    ValueError: unknown precision 'half'; give one of: bfloat16, float32, tensorfloat32
    """
    if precision is None:
        return None
    precision = check_name("precision", precision, PRECISIONS)
    platform, real = jax.default_backend(), jax.ShapeDtypeStruct((2, 2), jnp.result_type(float))
    lacks = f"precision is {precision!r}, which products of {real.dtype} do not have on {platform}; leave it out"
    if platform == "cpu" and precision != "float32":  # jax may take it there, and computes in float32
        raise ValueError(lacks)
    try:
        with products_in(precision):
            jax.jit(jnp.matmul).lower(real, real)
    except Exception as error:  # a ValueError of some versions, others of others
        raise ValueError(lacks) from error
    return precision


@contextmanager
def products_in(precision: str | None) -> Iterator[None]:
    """What is compiled inside computes its products so, where they do not ask for another precision themselves.

    None leaves it to jax, which takes tensorfloat32 on GPUs that have it, and float32 on CPUs.
    """
    if precision is None:
        yield
        return
    with jax.default_matmul_precision(PRECISIONS[precision]):
        yield
