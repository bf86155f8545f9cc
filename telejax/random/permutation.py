"""Where on the circle a node sits: in order, or at a pseudo-random permutation computed node by node.

The permutation is a Feistel network on the smallest number of bits that holds all nodes, walked along its
cycle until it lands below ``nodes``: a bijection that stores nothing of size n. (An affine map would spread
neighbours so evenly that the effect of placement vanishes.)
"""

import math
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt

from telejax.backend.loops import repeat_while
from telejax.random.normal import GOLDEN, scramble

LONGEST_WALK = 72  # bits: the longest of 2^31 walks, which is longer once in 2^41 permutations
FEISTEL_ROUNDS = 4  # Luby & Rackoff 1988: four rounds of a pseudo-random function make a strong permutation


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shuffle:
    """A permutation of 0 .. nodes - 1, evaluated at a single node in constant memory."""

    nodes: int = field(metadata={"static": True})
    keys: Array
    """uint32, shape (FEISTEL_ROUNDS,)."""

    def __call__(self, node: Int[Array, ""]) -> Int[Array, ""]:
        return _permuted(self.keys, node, nodes=self.nodes)


@partial(jax.jit, static_argnames=("nodes",))  # traced once, however often a program differentiates through it
def _permuted(keys: UInt[Array, " rounds"], node: Int[Array, ""], *, nodes: int) -> Int[Array, ""]:
    bits = max(2, (nodes - 1).bit_length())
    # beyond the last node there are cycles that never come below it
    first = _encrypt(keys, jnp.minimum(node.astype(jnp.uint32), np.uint32(nodes - 1)), bits)
    outside = 2**bits - nodes
    # a walk stays outside for j turns with chance (outside / 2^bits)^j, and visits no place twice
    longest = min(outside, math.ceil(LONGEST_WALK / (bits - math.log2(outside)))) if outside else 0
    further = lambda place: _encrypt(keys, place, bits)
    landed = repeat_while(lambda place: place >= nodes, further, first, at_most=longest)
    return landed.astype(jnp.int32)


def _encrypt(keys: UInt[Array, " rounds"], value: UInt[Array, ""], bits: int) -> UInt[Array, ""]:
    """An unbalanced Feistel network on ``bits`` bits; the halves swap their sizes every round."""
    low_bits = bits // 2
    for round_key in keys:
        low, high = value & ((1 << low_bits) - 1), value >> low_bits
        high_bits = bits - low_bits
        high = high ^ (_hash(low, round_key) & ((1 << high_bits) - 1))
        value = (low << high_bits) | high
        low_bits = high_bits
    return value


def sorted_or_shuffled(placement: str, nodes: int, seed: int) -> Shuffle | None:
    """The permutation of a placement; None stands for the sorted one."""
    if placement == "sorted":
        return None
    stream = np.random.default_rng([seed, 1])
    return Shuffle(nodes, jax.device_put(stream.integers(2**32, size=FEISTEL_ROUNDS, dtype=np.uint32)))


def _hash(value: Array, key: Array) -> Array:
    return scramble((value ^ key) * GOLDEN)
