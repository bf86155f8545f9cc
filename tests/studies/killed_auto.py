"""A run of tj.auto in a process of its own, which tells how far it is and leaves time to be killed in."""

import sys
import time

import optax

import telejax as tj
from telejax.simulation.recorder import Recorder

add = Recorder.add


def slow_add(self, *arguments):
    rows = add(self, *arguments)
    print("round", self.round, flush=True)
    time.sleep(0.2)
    return rows


Recorder.add = slow_add
tj.simulate(
    tj.auto(candidates=(1, 4, 16), optimizer=tj.optimizer(optax.adam, learning_rate=0.1), tolerance=1e9),
    tj.tasks.quadratic(nodes=64, dim=6, heterogeneity=4.0, noise=3.0),
    rounds=33,
    eval_every=2,
    progress=False,
    checkpoint=sys.argv[1],
)
