"""One face for flax's two kinds of module: parameters from a key, logits from parameters and inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from telejax.errors import check_integer, check_name, is_kind, short
from telejax.models.dense import MLP, logistic_regression
from telejax.models.image import VGG, LeNet

MODELS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda classes: MLP(classes, hidden=(64,)),
    "logistic": logistic_regression,
    "lenet": LeNet,
    "vgg": VGG,
}


class Network(Protocol):
    """A model as structure: hashable, equal by value, without arrays."""

    def init(self, key: Key[Array, ""], inputs: Float[Array, "batch ..."]) -> Any: ...

    def apply(self, params: Any, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]: ...


@dataclass(frozen=True)
class Linen:
    """A flax.linen module whose only variables are parameters."""

    module: nn.Module

    def init(self, key: Key[Array, ""], inputs: Float[Array, "batch ..."]) -> Any:
        variables = self.module.init(key, inputs)
        _only_parameters(set(variables) - {"params"})
        return variables.get("params", {})

    def apply(self, params: Any, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        logits: Any = self.module.apply({"params": params}, inputs)
        return logits


@dataclass(frozen=True)
class Nnx:
    """A function from ``nnx.Rngs`` to an nnx module whose only variables are parameters."""

    build: Callable[[nnx.Rngs], Any]

    def init(self, key: Key[Array, ""], inputs: Float[Array, "batch ..."]) -> Any:
        built = self.build(nnx.Rngs(key))
        if not isinstance(built, nnx.Module):
            raise ValueError(f"it makes {type(built).__name__} of nnx.Rngs; let it return an nnx module")
        _, params, _, rest = _split(built)
        _only_parameters({type(leaf).__name__ for leaf in nnx.to_flat_state(rest).leaves})
        return nnx.to_pure_dict(params)

    def apply(self, params: Any, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        graph, state, streams, rest = _split(nnx.eval_shape(lambda: self.build(nnx.Rngs(0))))
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, streams, rest)(inputs)


def as_network(model: Any, classes: int, name: str = "model") -> Network:
    """A network from a name of ``MODELS``, a flax.linen module, or a function from ``nnx.Rngs`` to an nnx module.

    Errors call it ``name``.

    Raises:
        ValueError: an unknown name, or an nnx module itself, which holds arrays.

    >>> as_network("lenet", classes=10)
    Linen(module=LeNet(
        # attributes
        classes = 10
        form = None
    ))
    """
    classes = check_integer("classes", classes, minimum=1)
    if is_kind(model, str):
        return Linen(MODELS[check_name("model", model, MODELS)](classes))
    if is_kind(model, nn.Module):
        return Linen(model)
    if is_kind(model, type) and issubclass(model, nn.Module):
        raise ValueError(f"{name} is the class {model.__name__}; call it, as {model.__name__}(...)")
    if callable(model) and not is_kind(model, nnx.Module):
        return Nnx(model)
    raise ValueError(
        f"{name} is {short(model)}; give a name ({', '.join(MODELS)}), a flax.linen module, or a function "
        "from nnx.Rngs to an nnx module"
    )


def check_fits(network: Network, shape: tuple[int, ...], classes: int) -> None:
    """Raise a ValueError unless the network maps inputs of ``shape`` to one logit a class; computes nothing."""
    remedy = (
        "give a module from inputs to logits that needs nothing but its parameters: no random numbers, as of Dropout, "
        "and no statistics, as of BatchNorm"
    )
    inputs = jax.ShapeDtypeStruct((1, *shape), jnp.result_type(float))
    try:
        params = jax.eval_shape(network.init, jax.random.key(0), inputs)
        logits = jax.eval_shape(network.apply, params, inputs)
    except Exception as error:  # a module may raise anything on inputs that it does not take
        raise ValueError(f"model does not take inputs of shape {shape}: {error}; {remedy}") from error
    if not jax.tree.leaves(params):
        raise ValueError("model has no parameters, so there is nothing to learn; give one with at least a dense layer")
    kind = getattr(logits, "dtype", None)
    if kind is None or not jnp.issubdtype(kind, jnp.floating):
        told = f"an array of {kind}" if kind is not None else type(logits).__name__
        raise ValueError(f"model returned {told}; let it return logits, one array of floats, and nothing beside it")
    if logits.shape != (1, classes):
        raise ValueError(
            f"model gives logits of shape {logits.shape[1:]} and the data has {classes} classes; "
            "build it with one output a class"
        )


def _split(module: Any) -> Any:
    """Structure, parameters, streams of random numbers, and what else the module holds."""
    return nnx.split(module, nnx.Param, nnx.RngState, ...)


def _only_parameters(others: set[str]) -> None:
    if others:
        raise ValueError(
            f"the model has variables {sorted(others)} beside its parameters, which slots do not carry; "
            "replace BatchNorm by GroupNorm, and the like"
        )
