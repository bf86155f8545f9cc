"""The usual synthetic problem of the field: node i = 1 .. n has ::

    f_i(x) = 1/2 ||A_i x - b_i||^2,   A_i^2 = (i^2 / n) I,   b_i ~ N(0, (zeta^2 / i^2) I)

and gradient noise N(0, (sigma^2 / d) I). A. Koloskova et al. 2020, arXiv 2003.10422.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from telejax.backend.host import check_host_memory
from telejax.errors import check_integer, check_scale, short
from telejax.tasks.quadratic import gradient_noise

MAX_NODES = 2**14


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KoloskovaQuadratic:
    """See :func:`koloskova_quadratic`."""

    nodes: int = field(metadata={"static": True})
    scales: Float[Array, " nodes"]
    """The diagonal i / sqrt(n) of A_i."""
    targets: Float[Array, "nodes dim"]
    """b_i."""
    optimum: Float[Array, " dim"]
    curvature: Float[Array, ""]
    """Mean over nodes of A_i^2."""
    noise: Float[Array, ""] | None

    def init(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """Ones of shape (dim,)."""
        return jnp.ones_like(self.optimum)

    def loss(self, params: Float[Array, " dim"], node: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, ""]:
        """f_i(x), plus the noise term."""
        value = 0.5 * jnp.sum((self.scales[node] * params - self.targets[node]) ** 2)
        return value + gradient_noise(self.noise, params, key)

    def local(self, node: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " dim"]]:
        """The curvature of a node, and its gradient at the optimum."""
        scale = self.scales[node]
        return scale**2, scale * (scale * self.optimum - self.targets[node])

    def evaluate(self, params: Float[Array, " dim"]) -> dict[str, Float[Array, ""]]:
        """``loss`` is f(x) - f(x*), exact; ``grad_norm_sq`` is ||grad f(x)||^2."""
        distance_sq = jnp.sum((params - self.optimum) ** 2)
        return {"loss": 0.5 * self.curvature * distance_sq, "grad_norm_sq": self.curvature**2 * distance_sq}


def koloskova_quadratic(
    *, nodes: int, dim: int = 50, heterogeneity: float = 1.0, noise: float = 0.0, seed: int = 0
) -> KoloskovaQuadratic:
    """The synthetic problem of Koloskova et al. 2020; its largest curvature is n.

    Args:
        nodes: n, at most 2^14: the curvature n of the last node leaves no usable step size beyond.
        dim: d, the number of parameters.
        heterogeneity: zeta, the scale of the b_i.
        noise: sigma, the root of the expected squared norm of the gradient noise; 0 draws none.
        seed: of the b_i.

    Raises:
        ValueError: an argument out of its range.

    >>> import telejax as tj
    >>> tj.tasks.koloskova_quadratic(nodes=25).targets.shape
    (25, 50)
    """
    nodes = check_integer("nodes", nodes, minimum=1)
    if nodes > MAX_NODES:
        raise ValueError(
            f"nodes is {nodes}; this problem has a node of curvature n, which leaves no usable step size above "
            f"{MAX_NODES} nodes; tasks.quadratic has bounded curvature at any n"
        )
    dim = check_integer("dim", dim, minimum=1)
    check_host_memory(f"dim is {short(dim)}, which", 24 * dim * nodes, f"give fewer for {nodes} nodes")
    noise = check_scale("noise", noise)
    heterogeneity = check_scale("heterogeneity", heterogeneity)
    index = np.arange(1, nodes + 1)
    random = np.random.default_rng(check_integer("seed", seed, minimum=0))
    scales = index / np.sqrt(nodes)
    targets = random.normal(size=(nodes, dim)) * heterogeneity / index[:, None]
    curvature = np.mean(scales**2)
    dtype = jnp.result_type(float)
    return KoloskovaQuadratic(
        nodes=nodes,
        scales=jnp.asarray(scales, dtype),
        targets=jnp.asarray(targets, dtype),
        optimum=jnp.asarray((scales[:, None] * targets).mean(axis=0) / curvature, dtype),
        curvature=jnp.asarray(curvature, dtype),
        noise=jnp.asarray(noise, dtype) if noise else None,
    )
