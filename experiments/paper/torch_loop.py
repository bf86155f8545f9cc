"""One point of section 5.2 against an independent loop in PyTorch: 25 modules, trained and averaged one after another.

    python experiments/paper/torch_loop.py --quick      # needs torch, which is no dependency of telejax
    python experiments/paper/torch_loop.py

DSGD on a ring of 25 nodes, LeNet on Fashion-MNIST, labels split by Dirichlet(0.1), momentum 0.9, batch 32, step size
0.01. Both have the same split and the same start; batches are drawn by each in its own way, so that they agree in
distribution, not in numbers. One row a seed and system: the accuracy of the nodes' own models, and of the mean model.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
import polars as pl
from tables import Options, command, show, table_of

import telejax as tj

VERSION = 1
KEYS = ["system", "seed"]
NODES, BATCH, RATE, MOMENTUM = 25, 32, 0.01, 0.9
SCORES = ("accuracy_slots", "accuracy")


@dataclass(frozen=True)
class Settings(Options):
    """How long, and how often."""

    rounds: int = 300
    seeds: int = 5

    @classmethod
    def quickly(cls) -> dict[str, Any]:
        return {"rounds": 40, "seeds": 3}


def main(settings: Settings) -> None:
    table = table_of(settings, __file__, VERSION, {"rounds": settings.rounds})
    task = task_of()
    for seed in range(settings.seeds):
        for system, run in (("telejax", by_telejax), ("torch", by_torch)):
            key = {"system": system, "seed": seed}
            rows = table.cell(key, lambda: pl.DataFrame([run(task, settings.rounds, seed)]))  # noqa: B023
            table.tell(f"{system}, seed {seed}: {rows['accuracy_slots'][0]:.3f}", seed + 1, settings.seeds)
    show(compared(table.rows))
    table.close(KEYS)


def task_of() -> Any:
    """25 LeNets, judged on all test samples."""
    return tj.tasks.classification(
        tj.data.fashion_mnist(),
        nodes=NODES,
        alpha=0.1,
        model="lenet",
        batch=BATCH,
        evaluated=(100, 100, 10_000),
        seed=0,
    )


def by_telejax(task: Any, rounds: int, seed: int) -> dict[str, float]:
    """One row, from the first parameters of this seed."""
    sgd = tj.optimizer(optax.sgd, learning_rate=RATE, momentum=MOMENTUM)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=sgd).bind(task)
    start = algorithm.init(jax.random.key(seed), task)
    run = tj.simulate(
        algorithm, task, rounds=rounds, eval_every=rounds, seed=seed, state=start, progress=False
    )  # fmt: skip
    return {name: float(run.history[name][-1]) for name in SCORES}


def by_torch(task: Any, rounds: int, seed: int) -> dict[str, float]:
    """The same by torch alone: its modules, optimizer and draws."""
    import torch

    torch.manual_seed(1000 + seed)
    draw = np.random.default_rng(seed)
    data = tj.data.fashion_mnist()
    read = lambda split: (
        (torch.tensor(np.asarray(split.inputs, np.float32) / 255).reshape(-1, 1, 28, 28) - float(task.mean[0]))
        / float(task.std[0]),
        torch.tensor(np.asarray(split.labels, np.int64)),
    )
    (inputs, labels), (test_inputs, test_labels) = read(data.train), read(data.test)
    rows = np.asarray(task.table)
    models = [lenet(jax.tree.map(np.asarray, task.init(jax.random.key(seed)))) for _ in range(NODES)]
    steps = [torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM) for model in models]
    for _ in range(rounds):
        for node, (model, step) in enumerate(zip(models, steps, strict=True)):
            chosen = draw.choice(rows[node], BATCH)
            step.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
            step.step()
        with torch.no_grad():
            for parts in zip(*(model.parameters() for model in models), strict=True):
                old = [part.clone() for part in parts]
                for node, part in enumerate(parts):
                    part.copy_((old[node - 1] + old[node] + old[(node + 1) % NODES]) / 3)
    with torch.no_grad():
        score = lambda model: float((model(test_inputs).argmax(1) == test_labels).float().mean())
        own = float(np.mean([score(model) for model in models]))
        mean = lenet(jax.tree.map(np.asarray, task.init(jax.random.key(seed))))
        for part, *parts in zip(mean.parameters(), *(model.parameters() for model in models), strict=True):
            part.copy_(torch.stack(parts).mean(0))
        return {"accuracy_slots": own, "accuracy": score(mean)}


def lenet(params: Any) -> Any:
    """The module with these parameters of telejax's LeNet."""
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.GroupNorm(2, 6, eps=1e-6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.GroupNorm(2, 16, eps=1e-6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    given = []
    for part in ("Conv_0", "GroupNorm_0", "Conv_1", "GroupNorm_1", "Dense_0", "Dense_1", "Dense_2"):
        weight = params[part].get("kernel", params[part].get("scale"))
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[weight.ndim]
        given += [weight.transpose(order), params[part]["bias"]]
    with torch.no_grad():
        for part, value in zip(model.parameters(), given, strict=True):
            part.copy_(torch.tensor(value))
    return model


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a score: both means, their difference, and its standard error over seeds."""
    found = []
    for name in SCORES:
        ours, theirs = (rows.filter(system=system)[name] for system in ("telejax", "torch"))
        error = float(np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)))
        told = {
            "score": name,
            "telejax": ours.mean(),
            "torch": theirs.mean(),
            "difference": ours.mean() - theirs.mean(),
        }
        found.append(told | {"se": error, "off": (ours.mean() - theirs.mean()) / error})
    return pl.DataFrame(found)


if __name__ == "__main__":
    command(main, Settings, __doc__)
