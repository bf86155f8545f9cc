"""Run by peers.py and its test with an interpreter that has decent-bench: time methods on a given problem.

The folder holds problem.npz (hessians, linear) and methods.json, a list of objects with ``theirs`` (a class), its
``arguments``, ``federated`` and ``rounds``. The seconds of each are printed as JSON; the final models, (methods, nodes,
dim), are written to models.npy. All is float64 here.
"""

import json
import sys
import time
from pathlib import Path

import decent_array.interoperability as iop
import networkx as nx
import numpy as np
from decent_bench.agents import Agent
from decent_bench.algorithms import federated, p2p
from decent_bench.costs import QuadraticCost
from decent_bench.networks import FedNetwork, P2PNetwork


def run(problem: dict[str, np.ndarray], method: dict) -> tuple[float, np.ndarray]:
    """Seconds and final models of one run; nothing of it is used twice."""
    pairs = zip(problem["hessians"], problem["linear"], strict=True)
    rounds = method["rounds"]
    agents = [
        Agent(QuadraticCost(iop.from_numpy(a), iop.from_numpy(b)), state_snapshot_period=rounds) for a, b in pairs
    ]
    network = FedNetwork(agents) if method["federated"] else P2PNetwork(nx.cycle_graph(len(agents)), agents)
    algorithm = getattr(federated if method["federated"] else p2p, method["theirs"])(**method["arguments"])
    algorithm.initialize(network)  # sets up the weights; not timed
    start = time.perf_counter()
    for iteration in range(rounds):
        network._step(iteration)
        algorithm.step(network, iteration)
    seconds = time.perf_counter() - start
    held = [network.server()] * len(agents) if method["federated"] else agents
    return seconds, np.stack([iop.to_numpy(agent.x) for agent in held])


def main(folder: Path) -> None:
    iop.set_backend("numpy")
    problem, methods = dict(np.load(folder / "problem.npz")), json.loads((folder / "methods.json").read_text())
    seconds, models = zip(*(run(problem, method) for method in methods), strict=True)
    np.save(folder / "models.npy", np.stack(models))
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
