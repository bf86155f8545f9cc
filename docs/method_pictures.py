"""Every method beside DSGD and an all-reduce, on heterogeneous nodes; the step size of each is tuned.

    python docs/method_pictures.py      # writes docs/methods/pictures/NAME.png

Loss of the nodes' own models against rounds and against messages, on 16 nodes of telejax's quadratic.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import optax

import telejax as tj
from telejax.algorithms.registry import METHODS, build, grid
from telejax.backend.bars import progress_bar
from telejax.results.plots import LABELS, plot_histories

NODES, ROUNDS, SEEDS = 16, 400, 3
RATES = [0.003, 0.01, 0.03, 0.1, 0.3]
WORKERS = 4  # nodes that are active, clients or tokens
BESIDE = ("decentralized_sgd", "all_reduce_sgd")
SOURCES = Path(tj.__file__).parent
PICTURES = Path(__file__).parent / "methods" / "pictures"


def draw(folder: Path) -> None:
    """Draw the picture of every method, unless all are newer than the code that they show."""
    files = {method.name: folder / f"{method.name}.png" for method in METHODS}
    newest = max(path.stat().st_mtime for path in [Path(__file__), *SOURCES.rglob("*.py")])
    if all(file.exists() and file.stat().st_mtime > newest for file in files.values()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    task = tj.tasks.quadratic(nodes=NODES, dim=20, heterogeneity=3.0, noise=0.5, placement="sorted")
    runs = {}
    with progress_bar(total=len(METHODS), desc="methods", unit="method") as bar:
        for method in METHODS:
            runs[method.name] = tuned(method.spec, task)
            bar.update()
    for name, file in files.items():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
        shown = {runs[one].config["algorithm"]: runs[one].history for one in dict.fromkeys((name, *BESIDE))}
        plot_histories(shown, "loss_slots", "round", left)
        sent = {label: history for label, history in shown.items() if history["messages"].max() > 0}
        plot_histories(sent, "loss_slots", "messages", right)
        right.set_ylabel("")
        left.set_ylabel(LABELS["loss_slots"])
        figure.savefig(file, dpi=80)
        plt.close(figure)


def tuned(spec: str, task: tj.tasks.Quadratic) -> tj.Result:
    """The runs of a method at its best step size (and consensus step, where it has one)."""
    method = build(spec, tj.optimizer(optax.sgd, learning_rate=RATES[0]), WORKERS)
    tune = {"learning_rate": RATES, **grid([spec])}
    return tj.simulate(method, task, rounds=ROUNDS, eval_every=4, seeds=SEEDS, tune=tune, progress=False).tuned()


if __name__ == "__main__":
    draw(PICTURES)
