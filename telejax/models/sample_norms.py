"""Norms of the gradient of every sample, without the gradients themselves.

One pass backwards over the whole batch finds what arrives at the output of every layer. Of a dense layer the gradient
of sample i is the outer product of its input x_i and what arrives, g_i, so that its norm is ||x_i|| ||g_i|| (I.
Goodfellow 2015, arXiv 1510.01799); of a convolution it is a small product of its windows and g_i (G. Rochette et al.
2019, arXiv 1912.06015). The gradients of all samples together are as many times larger than one as there are samples,
which no cache holds: see experiments/benchmarks/privacy.py.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from telejax.models.convolution import Conv, GroupNorm, from_blocks, windows_of
from telejax.models.network import Linen, Network

LossOfLogits = Callable[[Float[Array, "batch classes"]], Float[Array, " batch"]]
Rule = Callable[[Any, Any, Array, Array], Float[Array, " batch"] | None]


def sample_norms(
    network: Network, params: Any, inputs: Float[Array, "batch ..."], losses: LossOfLogits
) -> Float[Array, " batch"] | None:
    """``||grad_params loss_i||`` of every sample i.

    Args:
        network: none of whose outputs depends on another sample.
        params: of the network.
        inputs: (batch, ...).
        losses: of logits (batch, classes), the loss of each sample.

    Returns:
        Float (batch,), or None where a layer is another than ``flax.linen.Dense`` on rows, ``Conv`` and ``GroupNorm``
        of telejax, is used twice, or the module is one of nnx.
    """
    if not isinstance(network, Linen):
        return None
    layers: dict[tuple[str, ...], Any] = {}

    def forward(added: Any) -> tuple[Float[Array, ""], dict[tuple[str, ...], Array]]:
        """The sum of losses with something added to what every layer gives out, and what the layers were given."""
        given: dict[tuple[str, ...], Array] = {}

        def note(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            layer, out = context.module, call(*args, **kwargs)
            if type(layer) not in RULES or context.method_name != "__call__" or kwargs:
                return out
            if added is not None:
                given[layer.path] = args[0]
                return out + added[layer.path]
            first = layer.path not in layers
            layers[layer.path] = (layer.clone(parent=None), layer.variables["params"]) if first else None
            given[layer.path] = out
            return out

        with nn.intercept_methods(note):
            logits = network.apply(params, inputs)
        return jnp.sum(losses(logits)), given

    _, outputs = jax.eval_shape(lambda: forward(None))
    known = [layer for layer in layers.values() if layer is not None]
    if len(known) < len(layers) or sum(len(own) for _, own in known) != len(jax.tree.leaves(params)):
        return None
    nothing = {path: jnp.zeros(out.shape, out.dtype) for path, out in outputs.items()}
    arriving, given = jax.grad(forward, has_aux=True)(nothing)
    square = jnp.zeros(len(inputs))
    for path, (layer, own) in layers.items():
        if (found := RULES[type(layer)](layer, own, given[path], arriving[path])) is None:
            return None
        square = square + found
    return jnp.sqrt(square)


def _dense(layer: nn.Dense, params: Any, x: Array, arriving: Array) -> Float[Array, " batch"] | None:
    if x.ndim != 2:
        return None
    square = lambda rows: jnp.sum(jnp.square(rows.astype(jnp.promote_types(rows.dtype, jnp.float32))), axis=1)
    return square(arriving) * (square(x) + ("bias" in params))


def _convolution(layer: Conv, params: Any, maps: Array, arriving: Array) -> Float[Array, " batch"]:
    arriving = from_blocks(arriving) if layer.blocks else arriving
    windows = windows_of(maps, layer.kernel_size, layer.strides, layer.padding)
    kernel = jnp.einsum("wcijb,fijb->bwcf", windows, arriving)
    bias = jnp.sum(arriving, axis=(1, 2))
    return jnp.sum(kernel**2, axis=(1, 2, 3)) + jnp.sum(bias**2, axis=0)


def _group_norm(layer: GroupNorm, params: Any, maps: Array, arriving: Array) -> Float[Array, " batch"]:
    plain = {"scale": jnp.ones_like(params["scale"]), "bias": jnp.zeros_like(params["bias"])}
    normalised: Any = layer.apply({"params": plain}, maps)
    pixels = tuple(range(1, maps.ndim - 1))
    scale, shift = jnp.sum(arriving * normalised, axis=pixels), jnp.sum(arriving, axis=pixels)
    return jnp.sum(scale**2 + shift**2, axis=0)


RULES: dict[type, Rule] = {nn.Dense: _dense, Conv: _convolution, GroupNorm: _group_norm}
"""The squared norm of every sample, from a layer, its parameters, its input and what arrives at its output."""
