"""A run of tj.auto in a process of its own, which tells how far it is and leaves time to be killed in."""

import sys
import time
from typing import Any

import optax

import telejax as tj
from telejax.simulation.recorder import Recorder


def main(folder: str) -> None:
    """The run that test_auto.py kills."""
    add = Recorder.add

    def slow_add(self: Recorder, *arguments: Any) -> Any:
        rows = add(self, *arguments)
        print("round", self.round, flush=True)
        time.sleep(0.2)
        return rows

    Recorder.add = slow_add  # type: ignore[method-assign]
    tj.simulate(
        tj.auto(candidates=(1, 4, 16), optimizer=tj.optimizer(optax.adam, learning_rate=0.1), tolerance=1e9),
        tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=4.0, noise=3.0),
        rounds=33,
        eval_every=2,
        progress=False,
        checkpoint=folder,
    )


if __name__ == "__main__":  # not where tests are collected
    main(sys.argv[1])
