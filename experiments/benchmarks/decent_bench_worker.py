"""Run by peers.py with an interpreter that has decent-bench: time its ATC algorithm on a given problem."""

import json
import sys
import time
from pathlib import Path

import decent_array.interoperability as iop
import networkx as nx
import numpy as np
from decent_bench.agents import Agent
from decent_bench.algorithms.p2p import ATC
from decent_bench.costs import QuadraticCost
from decent_bench.networks import P2PNetwork

REPEATS = 3


def main(folder: Path, rounds: int, step: float) -> None:
    iop.set_backend("numpy")
    problem = np.load(folder / "problem.npz")
    times = []
    for _ in range(REPEATS):
        agents = [
            Agent(QuadraticCost(iop.from_numpy(a), iop.from_numpy(b)), state_snapshot_period=rounds)
            for a, b in zip(problem["hessians"], problem["linear"], strict=True)
        ]
        network = P2PNetwork(nx.cycle_graph(len(agents)), agents)
        algorithm = ATC(step_size=step)
        algorithm.initialize(network)  # sets up the weights; not timed
        start = time.perf_counter()
        for iteration in range(rounds):
            network._step(iteration)
            algorithm.step(network, iteration)
        times.append(time.perf_counter() - start)
    np.save(folder / "models.npy", np.stack([iop.to_numpy(agent.x) for agent in agents]))
    print(json.dumps({"seconds": min(times)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
