"""A quadratic of any number of nodes whose optimum, heterogeneity and gradient are known exactly.

Node i sits on a circle at the angle ``theta_i = 2 pi pos(i) / n`` and has ::

    f_i(x) = a_i / 2 ||x - b_i||^2            a_i = exp(s cos theta_i) / mean_j exp(s cos theta_j)
    b_i = x* - g_i / a_i                      g_i = zeta (cos theta_i u + sin theta_i v)

with orthonormal u, v. The a_i have mean one and the gradients g_i at the optimum sum to zero and have norm zeta,
so ``grad f(x) = x - x*`` and ``f(x) - f(x*) = ||x - x*||^2 / 2``. Curvature and optimum vary together along the
circle, which a slow graph over neighbours on the circle suffers from.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from telejax.backend.host import check_host_memory
from telejax.errors import check_integer, check_name, check_number, check_scale, short
from telejax.random.normal import fast_normal
from telejax.random.permutation import Shuffle, sorted_or_shuffled
from telejax.random.sampling import MAX_NODES

MAX_SPREAD = 40  # exp of it is a float32
BYTES_A_DIMENSION = 64  # the direction, and the plane with what its QR decomposition needs, float64
SUMMED_NODES = 4096  # from here the mean of exp(s cos theta) equals I_0(s) to all digits of a float64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Quadratic:
    """See :func:`quadratic`."""

    nodes: int = field(metadata={"static": True})
    dim: int = field(metadata={"static": True})
    spread: Float[Array, ""]
    mean_exp: Float[Array, ""]
    heterogeneity: Float[Array, ""]
    noise: Float[Array, ""] | None
    optimum: Float[Array, " dim"]
    plane: Float[Array, "2 dim"]
    shuffle: Shuffle | None

    def init(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """Zeros of shape (dim,)."""
        return jnp.zeros_like(self.optimum)

    def loss(self, params: Float[Array, " dim"], node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """f_i(x), plus ``<noise, x>`` with noise of total variance ``noise^2`` where there is noise."""
        curvature, gradient = self.local(node)
        value = 0.5 * curvature * jnp.sum((params - self.optimum + gradient / curvature) ** 2)
        return value + gradient_noise(self.noise, params, key)

    def local(self, node: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " dim"]]:
        """The curvature a_i and the gradient at the optimum g_i of a node."""
        position = node if self.shuffle is None else self.shuffle(node)
        angle = (2 * np.pi / self.nodes) * position.astype(self.optimum.dtype)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        curvature = jnp.exp(self.spread * cos) / self.mean_exp
        return curvature, self.heterogeneity * (cos * self.plane[0] + sin * self.plane[1])

    def evaluate(self, params: Float[Array, " dim"]) -> dict[str, Float[Array, ""]]:
        """``loss`` is f(x) - f(x*), exact; ``grad_norm_sq`` is ||grad f(x)||^2."""
        distance_sq = jnp.sum((params - self.optimum) ** 2)
        return {"loss": 0.5 * distance_sq, "grad_norm_sq": distance_sq}


def quadratic(
    *,
    nodes: int,
    dim: int = 50,
    heterogeneity: float = 5.0,
    noise: float = 0.0,
    spread: float = 1.5,
    placement: str = "shuffled",
    distance_sq: float = 10.0,
    seed: int = 0,
) -> Quadratic:
    """A quadratic task with exact heterogeneity, optimum and gradient at any number of nodes.

    Memory and time of a node do not depend on ``nodes``.

    Args:
        nodes: n, from 2 to 2^31 - 1.
        dim: d, at least 2.
        heterogeneity: zeta, the norm of every node's gradient at the optimum.
        noise: sigma, the root of the expected squared norm of the gradient noise; 0 draws none.
        spread: s, how much the curvatures differ: exp(2 s) between the extremes.
        placement: "sorted" puts node i at angle 2 pi i / n, "shuffled" at a pseudo-random permutation of it.
        distance_sq: ||x_0 - x*||^2.
        seed: of the optimum, the plane of the gradients and the permutation.

    Raises:
        ValueError: an argument out of its range, or an unknown placement.

    >>> import jax.numpy as jnp, telejax as tj
    >>> task = tj.tasks.quadratic(nodes=10**8, dim=8)
    >>> round(float(task.evaluate(jnp.zeros(8))["loss"]), 4)
    5.0
    """
    nodes = check_integer("nodes", nodes, minimum=2)
    if nodes > MAX_NODES:
        raise ValueError(f"nodes is {nodes}; give at most {MAX_NODES}, node numbers are int32")
    dim = check_integer("dim", dim, minimum=2)
    check_host_memory(f"dim is {short(dim)}, which", dim * BYTES_A_DIMENSION, "give fewer dimensions")
    seed = check_integer("seed", seed, minimum=0)
    heterogeneity = check_scale("heterogeneity", heterogeneity)
    noise = check_scale("noise", noise)
    spread = check_number("spread", spread)
    if spread > MAX_SPREAD:
        raise ValueError(f"spread is {spread}; give at most {MAX_SPREAD}, exp(2 s) is the ratio of the curvatures")
    distance_sq = check_number("distance_sq", distance_sq)
    placement = check_name("placement", placement, ["sorted", "shuffled"])
    random = np.random.default_rng(seed)
    direction = random.normal(size=dim)
    plane = np.linalg.qr(random.normal(size=(dim, 2)))[0].T
    angles = 2 * np.pi * np.arange(min(nodes, SUMMED_NODES)) / nodes
    mean_exp = np.mean(np.exp(spread * np.cos(angles))) if nodes <= SUMMED_NODES else np.i0(spread)
    number = lambda value: jax.device_put(np.asarray(value, jnp.result_type(float)))  # jnp.asarray would compile
    return Quadratic(
        nodes=nodes,
        dim=dim,
        spread=number(spread),
        mean_exp=number(mean_exp),
        heterogeneity=number(heterogeneity),
        noise=number(noise) if noise else None,
        optimum=number(direction * np.sqrt(distance_sq) / np.linalg.norm(direction)),
        plane=number(plane),
        shuffle=sorted_or_shuffled(placement, nodes, seed),
    )


def gradient_noise(noise: Array | None, params: Any, key: Key[Array, ""]) -> Float[Array, ""] | float:
    """``<e, params>`` with e ~ N(0, noise^2 / d I): a term of the loss that adds e to its gradient."""
    if noise is None:
        return 0.0
    e = fast_normal(key, params.shape, params.dtype)
    return noise / np.sqrt(params.size) * jnp.vdot(e, params)
