"""Peak memory of TELEPORTATION with k = 8 slots of LeNet: 25 nodes against 10 000.

    python experiments/benchmarks/memory.py

Each number of nodes runs in a process of its own. Counted is the peak of resident memory after the task, with its
data set, has been built, less what was resident then: states, gradients, evaluation and the compiler.
"""

import subprocess
import sys

ACTIVE, ROUNDS = 8, 5


def measure(nodes: int) -> None:
    """Print the growth of resident memory in MiB."""
    import numpy as np
    import optax
    import psutil

    import telejax as tj

    random = np.random.default_rng(0)
    images = random.integers(256, size=(20_000, 28, 28, 1), dtype=np.uint8)
    labels = random.integers(10, size=20_000)
    data = tj.data.from_arrays((images, labels), (images[:1000], labels[:1000]), normalise=True)
    task = tj.tasks.classification(data, nodes=nodes, model="lenet", batch=32, evaluated=500)
    sgd = tj.optimizer(optax.sgd, learning_rate=0.01, momentum=0.9)
    before = psutil.Process().memory_info().rss
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")  # the kernel starts the peak afresh
    tj.simulate(tj.teleportation(active=ACTIVE, topology="ring", optimizer=sgd), task, rounds=ROUNDS, progress=False)
    with open("/proc/self/status") as status:
        peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print((peak_kib * 1024 - before) / 2**20)


def main() -> None:
    grown = {}
    for nodes in (25, 10_000):
        out = subprocess.run([sys.executable, __file__, str(nodes)], capture_output=True, text=True, check=True).stdout
        grown[nodes] = float(out)
        print(f"n = {nodes}: {grown[nodes]:.0f} MiB")
    print(f"ratio: {grown[10_000] / grown[25]:.3f}")


if __name__ == "__main__":
    measure(int(sys.argv[1])) if len(sys.argv) > 1 else main()
