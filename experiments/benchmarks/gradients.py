"""One SGD step of 25 LeNets with their own weights, batch 32: telejax, other forms of the same in jax, and torch.

    python experiments/benchmarks/gradients.py [--nodes 1000]

All take the same step on the same shapes (28 x 28 x 1, 44 470 parameters, GroupNorm). They run in turn, so that a
drift of the machine's speed meets them all, some steps in a row as in a run, and the shortest time counts. The lines of
torch need torch (``pip install torch==2.13.0`` for the version reported) and are left out without it. As in ``telejax
compare`` with this model, each core of the CPU is a jax device, over which telejax divides the nodes. On an accelerator
all run there, torch's vmap (torch.func) in place of its loop on a CPU.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import tyro
from rich.console import Console
from rich.table import Table
from timing import interleaved

from telejax import models
from telejax.backend import batched_map as execution
from telejax.backend.sharding import one_device_a_core

BATCH, RATE, REPEATS, STEPS = 32, 0.1, 10, 5


class PlainLeNet(nn.Module):
    """LeNet as one writes it with flax: nn.Conv, nn.GroupNorm, nn.max_pool."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in (6, 16):
            x = nn.Conv(features, (5, 5), padding="VALID")(x)
            x = nn.max_pool(nn.relu(nn.GroupNorm(2)(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


def jax_step(model: nn.Module, how: str, nodes: int) -> Callable[[], Any]:
    """A compiled step of all models; ``how`` is vmap, loop (a map), telejax (its own choice) or this on one device."""

    def one(params: Any, inputs: jax.Array, labels: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, inputs)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

        return jax.tree.map(lambda x, g: x - RATE * g, params, jax.grad(loss)(params))

    def on_one_device(*xs: Any) -> Any:
        return execution.map_nodes(one, xs, mesh=jax.make_mesh((1,), ("nodes",)))

    ways = {
        "vmap": jax.vmap(one),
        "loop": lambda *xs: jax.lax.map(lambda x: one(*x), xs),
        "telejax": lambda *xs: execution.map_nodes(one, xs),
        "one device": on_one_device,
    }
    step = jax.jit(ways[how])
    keys = jax.random.split(jax.random.key(0), nodes)
    params = jax.vmap(lambda key: model.init(key, jnp.zeros((1, 28, 28, 1)))["params"])(keys)
    inputs = jax.random.normal(jax.random.key(1), (nodes, BATCH, 28, 28, 1))
    labels = jax.random.randint(jax.random.key(2), (nodes, BATCH), 0, 10)
    return lambda: step(params, inputs, labels)


def torch_lenet() -> Any:
    from torch import nn as tnn

    return tnn.Sequential(
        *(tnn.Conv2d(1, 6, 5), tnn.GroupNorm(2, 6), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Conv2d(6, 16, 5), tnn.GroupNorm(2, 16), tnn.ReLU(), tnn.MaxPool2d(2)),
        *(tnn.Flatten(), tnn.Linear(256, 120), tnn.ReLU(), tnn.Linear(120, 84), tnn.ReLU(), tnn.Linear(84, 10)),
    )


def torch_loop(nodes: int, threads: int) -> Callable[[], Any]:
    """A Python loop over torch modules on the CPU, each with its own optimizer."""
    import torch

    nets = [torch_lenet() for _ in range(nodes)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=RATE) for net in nets]
    inputs = torch.randn(nodes, BATCH, 1, 28, 28)
    labels = torch.randint(0, 10, (nodes, BATCH))

    def step() -> None:
        torch.set_num_threads(threads)
        for net, optimizer, x, y in zip(nets, optimizers, inputs, labels, strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    return step


def torch_vmap(nodes: int) -> Callable[[], Any]:
    """torch.func.vmap over stacked weights on the GPU, its products in TF32 as jax's are by default there."""
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    nets = [torch_lenet().cuda() for _ in range(nodes)]
    params, buffers = stack_module_state(nets)
    params = {name: value.detach() for name, value in params.items()}
    inputs = torch.randn(nodes, BATCH, 1, 28, 28, device="cuda")
    labels = torch.randint(0, 10, (nodes, BATCH), device="cuda")

    def loss(params: Any, buffers: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(functional_call(nets[0], (params, buffers), (x,)), y)

    gradients = vmap(grad(loss), in_dims=(0, 0, 0, 0))

    def step() -> None:
        grads = gradients(params, buffers, inputs, labels)
        for name, value in params.items():
            value.sub_(grads[name], alpha=RATE)
        torch.cuda.synchronize()

    return step


def main(nodes: int = 25) -> None:
    """Time a step.

    Args:
        nodes: how many networks.
    """
    windows, plain = models.LeNet(10, form="windows"), models.LeNet(10, form="plain")
    cores = one_device_a_core()  # before jax computes anything
    accelerator = jax.default_backend() != "cpu"
    device = jax.devices()[0].device_kind if accelerator else f"{cores} devices"
    ours = f"telejax, {device}"
    steps = {ours: jax_step(models.LeNet(10), "telejax", nodes)}
    if not accelerator:
        steps["telejax, one device"] = jax_step(models.LeNet(10), "one device", nodes)
    for how in ("vmap",) if accelerator else ("vmap", "loop"):
        steps |= {
            f"windows, {how}": jax_step(windows, how, nodes),
            f"plain convolutions, {how}": jax_step(plain, how, nodes),
            f"flax convolutions, {how}": jax_step(PlainLeNet(), how, nodes),
        }
    if importlib.util.find_spec("torch"):
        if accelerator:
            steps["torch.func.vmap"] = torch_vmap(nodes)
        else:
            steps |= {f"torch, {threads} thread{'s'[: threads - 1]}": torch_loop(nodes, threads) for threads in (1, 2)}
    times = interleaved(steps, repeats=REPEATS, calls=STEPS)
    table = Table("how", "ms", "times telejax", title=f"One SGD step of {nodes} LeNets, batch {BATCH}")
    for how, time in times.items():
        table.add_row(how, f"{time * 1e3:.1f}", f"{time / times[ours]:.2f}")
    Console().print(table)
    if not importlib.util.find_spec("torch"):
        print("torch is not installed; its lines are left out")
    others = {how: time for how, time in times.items() if not how.startswith("telejax")}
    nearest = min(others, key=lambda how: others[how])
    print(
        f"telejax {times[ours] * 1e3:.1f} ms; the fastest other, {nearest}: {others[nearest] / times[ours]:.2f} times"
    )


if __name__ == "__main__":
    tyro.cli(main)
