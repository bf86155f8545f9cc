"""Several runs in one program: seeds and variants as lanes of its arrays."""

from dataclasses import dataclass
from typing import Any

from telejax.backend import batched_map as execution


@dataclass(frozen=True)
class Lanes:
    """Which axes the runs have, and how many of them run side by side.

    The outer axis is the seed, the inner one the variant (a step size, a noise, ...). Keys and holders have no
    variant axis and the round has none at all, so that what depends on them alone is computed once for all
    lanes of a batch.
    """

    seeds: int | None
    variants: int | None
    seeds_at_once: int
    variants_at_once: int

    @staticmethod
    def plan(seeds: int | None, variants: int | None, run_bytes: int) -> "Lanes":
        """Side by side as far as the states of the runs fit in the cache together."""
        variants_at_once = execution.dividing_batch(run_bytes, variants or 1)
        seed_bytes = run_bytes * (variants or 1)
        return Lanes(seeds, variants, execution.dividing_batch(seed_bytes, seeds or 1), variants_at_once)

    @property
    def axes(self) -> int:
        """How many lane axes there are."""
        return (self.seeds is not None) + (self.variants is not None)

    def run(self, function: Any, state: Any, seed: Any, own: Any, holders: Any, round: Any) -> tuple[Any, Any]:
        """``function((state, own), (seed, holders, round)) -> (lane_out, shared_out)`` on every lane.

        ``seed`` is any pytree with one entry a seed, ``own`` one with an entry a variant. The first of
        ``shared_out`` is the holders, the second the round.
        """

        def one_seed(lane: Any, shared: Any) -> tuple[Any, Any]:
            (state, seed, holders), (own, round) = lane, shared
            inner = function if self.variants is None else execution.map_lanes(function, self.variants_at_once)
            out, (holders, round, *rest) = inner((state, own), (seed, holders, round))
            return (out, holders, rest), round

        outer = one_seed if self.seeds is None else execution.map_lanes(one_seed, self.seeds_at_once)
        (out, holders, rest), round = outer((state, seed, holders), (own, round))
        return out, (holders, round, *rest)
