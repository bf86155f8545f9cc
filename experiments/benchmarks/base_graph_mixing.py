"""A period of a base graph on n slots of 4096 float32 numbers, against as many copies.

    python experiments/benchmarks/base_graph_mixing.py

The copy is x * 1.0001, jitted, which reads and writes the array once. Rounds are timed as a simulation without a
fused update would run them: one call each, every call allocating its result, the round a traced argument.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import telejax as tj
from telejax.mixing.forms import Mixing

SLOTS = DIM = 4096
REPEATS = 7


def main() -> None:
    x = jax.random.normal(jax.random.key(0), (SLOTS, DIM))
    copy, mix = jax.jit(lambda x: x * 1.0001), jax.jit(tj.mix)
    print(
        f"{SLOTS} x {DIM} float32, {jax.devices()[0].device_kind}; milliseconds a round, minimum of {REPEATS} periods"
    )
    for degree in (1, 2, 4):
        topology = tj.topology.base_graph(SLOTS, degree)
        mixing = jax.tree.map(jnp.asarray, topology.mixing())
        rounds = [jnp.int32(t) for t in range(topology.period)]

        def mix_period(mixing: Mixing = mixing, rounds: list[jax.Array] = rounds) -> jax.Array:
            y = x
            for t in rounds:
                y = mix(mixing, y, t)
            return y

        def copy_period(rounds: list[jax.Array] = rounds) -> jax.Array:
            y = x
            for _ in rounds:
                y = copy(y)
            return y

        error = float(jnp.max(jnp.abs(mix_period() - jnp.mean(x, axis=0))))
        mixed, copied = (time / topology.period for time in in_turn(mix_period, copy_period))
        print(
            f"{topology.name}, {topology.period} rounds: mixing {mixed * 1e3:.1f}, copy {copied * 1e3:.1f}, "
            f"of copy speed {copied / mixed:.2f}; distance to the exact mean {error:.1e}"
        )


def in_turn(*functions: Callable[[], jax.Array]) -> list[float]:
    """The shortest time of each, warmed up and blocked until ready, in turn so that a drift meets them all."""
    times = np.zeros((REPEATS, len(functions)))
    for repeat in range(-1, REPEATS):
        for which, function in enumerate(functions):
            start = time.perf_counter()
            jax.block_until_ready(function())
            if repeat >= 0:
                times[repeat, which] = time.perf_counter() - start
    return list(times.min(axis=0))


if __name__ == "__main__":
    main()
