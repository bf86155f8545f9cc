"""Every hot path against what this device could do at best: bytes moved at copy speed, products at matmul speed.

    python experiments/benchmarks/roofline.py [--only mixing] [--quick]

For each path the fewest bytes that it must move (every input read once, every output written once) and the
multiplications and additions of its matrix products are counted by hand, in this file. The two ceilings are measured
first: a copy of a large array, and a large float32 product as jax does it by default. The larger of the two times that
a path's counts allow is its bound; "of bound" is that time over the time taken. Work that is neither (random bits,
exponentials, launching kernels) has no ceiling here and shows as a low share.

Single steps are repeated inside one compiled loop until they last some tens of milliseconds, so that starting a program
is not counted; "compile" is the first call less a later one.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from peers import DenseQuadratic, problem
from rich.console import Console
from rich.table import Table

import telejax as tj
from telejax.backend.batched_map import batched_map
from telejax.random.normal import fast_normal

LONG_ENOUGH = 0.05
"""Seconds that a timed call should last."""
REPEATS = 5
FLOAT = 4

Step = Callable[[Any, jax.Array], Any]
"""From a carry and the number of the turn to the next carry, alike in shapes."""


@dataclass(frozen=True)
class Case:
    """A step to be timed, with what it must do at least."""

    path: str
    size: str
    gigabytes: float
    """Moved by one step at least, 10^9 bytes."""
    gigaflops: float
    """Of its matrix products, 10^9 operations."""
    make: Callable[[], tuple[Step, Any]]
    """The step and the carry to start from."""


@dataclass(frozen=True)
class Timed:
    seconds: float
    compile: float


def timed(make: Callable[[], tuple[Step, Any]]) -> Timed:
    """Seconds of one step, the shortest of some calls, and of compiling it."""
    step, carry = make()
    program = lambda turns: jax.jit(partial(repeated, step, turns), donate_argnums=0)  # of static length
    loop = program(1)
    start = time.perf_counter()
    carry = jax.block_until_ready(loop(carry))
    first = time.perf_counter() - start
    start = time.perf_counter()
    carry = jax.block_until_ready(loop(carry))
    once = time.perf_counter() - start
    turns = min(1000, math.ceil(LONG_ENOUGH / max(once, 1e-6)))
    if turns > 1:
        loop = program(turns)
    carry = jax.block_until_ready(loop(carry))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        carry = jax.block_until_ready(loop(carry))
        times.append(time.perf_counter() - start)
    return Timed(min(times) / turns, first - once)


def repeated(step: Step, turns: int, carry: Any) -> Any:
    return jax.lax.fori_loop(0, turns, lambda turn, carry: step(carry, turn), carry)


def normals(*shape: int) -> jax.Array:
    return jax.jit(partial(fast_normal, shape=shape))(jax.random.key(0))


def copy(gigabytes: float) -> Case:
    """A whole array read and written: the ceiling of moving."""
    rows = int(gigabytes * 1e9 / FLOAT / 1024)
    make = lambda: (lambda x, _: x * 1.0001, jnp.ones((rows, 1024)))
    return Case("copy", f"{rows} x 1024", 2 * rows * 1024 * FLOAT / 1e9, 0, make)


def matmul(size: int) -> Case:
    """A square product: the ceiling of multiplying."""

    def make() -> tuple[Step, Any]:
        other = normals(size, size) / size**0.5
        return lambda x, _: x @ other, normals(size, size)

    return Case("matmul", f"{size} x {size}", 3 * size**2 * FLOAT / 1e9, 2 * size**3 / 1e9, make)


def mixing(graph: str, slots: int, dim: int) -> Case:
    """Mixing, and the update of every model before it, without which it could not be written into the old ones' place.

    Two passes over the models: each reads and writes all of them.
    """

    def make() -> tuple[Step, Any]:
        form = jax.tree.map(jnp.asarray, tj.topology.from_spec(graph, slots).mixing())
        return lambda x, turn: tj.mix(form, x * 1.0001, turn), normals(slots, dim)

    flops = 2 * slots**2 * dim if graph.startswith("erdos") else 0
    moved = 4 * slots * dim * FLOAT
    return Case(f"mixing {graph.split(':')[0]}", f"{slots} x {dim}", moved / 1e9, flops / 1e9, make)


def sampling(nodes: int, count: int) -> Case:
    def step(carry: Any, turn: jax.Array) -> Any:
        drawn = tj.sample_distinct(jax.random.fold_in(jax.random.key(0), turn), nodes, count)
        return carry + drawn

    make = lambda: (step, jnp.zeros(count, jnp.int32))
    return Case("sampling", f"{count} of {nodes:.0e}", 2 * count * FLOAT / 1e9, 0, make)


def noise(slots: int, dim: int) -> Case:
    """A keyed draw a slot, written once."""

    def step(_: Any, turn: jax.Array) -> Any:
        key = jax.random.fold_in(jax.random.key(0), turn)
        one = lambda node: fast_normal(jax.random.fold_in(key, node), (dim,), jnp.float32)
        return jax.vmap(one)(jnp.arange(slots))

    return Case("noise", f"{slots} x {dim}", slots * dim * FLOAT / 1e9, 0, lambda: (step, jnp.zeros((slots, dim))))


def hessians(nodes: int, dim: int) -> Case:
    """Gradients of quadratics with a dense Hessian a node, each read once."""
    task = DenseQuadratic(nodes, *map(jnp.asarray, problem(nodes, dim)))

    def step(params: Any, turn: jax.Array) -> Any:
        grads = tj.gradients(jax.random.key(0), params, jnp.arange(nodes, dtype=jnp.int32), task)
        return params - 1e-3 * grads

    make = lambda: (step, normals(nodes, dim))
    return Case("gradient, Hessians", f"{nodes} x {dim}^2", nodes * dim * (dim + 2) * FLOAT / 1e9, 0, make)


def images(nodes: int, model: Any, batch: int, shape: tuple[int, ...] = (28, 28, 1)) -> tuple[Any, Any]:
    """A task on made-up images, one batch a node, and the stacked parameters of its nodes."""
    random = np.random.default_rng(0)
    samples = 4 * nodes
    inputs = random.normal(size=(samples, *shape)).astype(np.float32)
    labels = np.arange(samples) % 10
    data = tj.data.from_arrays((inputs, labels), (inputs[:64], labels[:64]), name="noise", validation=8)
    task = tj.tasks.classification(data, nodes=nodes, model=model, batch=batch)
    keys = jax.random.split(jax.random.key(0), nodes)
    return task, jax.jit(jax.vmap(task.init))(keys)


def dense_flops(widths: tuple[int, ...], batch: int) -> int:
    """Forward, and backward to weights and to inputs."""
    return sum(6 * a * b * batch for a, b in itertools.pairwise(widths))


LENET_MACS = 24 * 24 * 6 * 25 + 8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 84 * 10
LENET_PARAMETERS = 44_470


def network(path: str, nodes: int, model: Any, batch: int, shape: tuple[int, ...], flops: float) -> Case:
    """An SGD step of every node on its own batch: parameters read and written, samples read."""

    def make() -> tuple[Step, Any]:
        task, params = images(nodes, model, batch, shape)

        def step(params: Any, turn: jax.Array) -> Any:
            grads = tj.gradients(jax.random.key(1), params, jnp.arange(nodes, dtype=jnp.int32), task)
            return jax.tree.map(lambda x, g: x - 1e-3 * g, params, grads)

        return step, params

    parameters = LENET_PARAMETERS if model == "lenet" else 64 * 64 + 64 + 64 * 10 + 10
    moved = nodes * (2 * parameters + batch * math.prod(shape)) * FLOAT
    return Case(path, f"{nodes} x batch {batch}", moved / 1e9, flops * nodes / 1e9, make)


def lenets(nodes: int, batch: int = 32) -> Case:
    return network("gradient, LeNet", nodes, "lenet", batch, (28, 28, 1), 6 * LENET_MACS * batch)


def mlps(nodes: int, batch: int = 8) -> Case:
    return network("gradient, MLP", nodes, "mlp", batch, (8, 8, 1), dense_flops((64, 64, 10), batch))


def evaluation(path: str, nodes: int, task: Any, macs: int, parameters: int, pixels: int) -> Case:
    """All samples that are evaluated through every slot's network."""

    def make() -> tuple[Step, Any]:
        params = jax.jit(jax.vmap(task.init))(jax.random.split(jax.random.key(0), nodes))
        judge = lambda model: task.evaluate(model)["loss"]

        def step(carry: Any, turn: jax.Array) -> Any:
            params, total = carry
            losses = batched_map(judge, params)
            return jax.tree.map(lambda x: x * (1 + 0 * losses.mean()), params), total + losses

        return step, (params, jnp.zeros(nodes))

    samples = len(task.subset.rows)
    moved = nodes * parameters + samples * pixels
    return Case(path, f"{nodes} x {samples}", moved * FLOAT / 1e9, 2 * nodes * samples * macs / 1e9, make)


def rounds(path: str, size: str, algorithm: Any, task: Any, moved: int) -> Case:
    """A whole round as simulate compiles it."""

    def make() -> tuple[Step, Any]:
        bound = algorithm.bind(task)
        state = bound.init(jax.random.key(0), task)
        key = jax.random.key(1)
        return lambda state, _: bound.step(jax.random.fold_in(key, state.round), state, task)[0], state

    return Case(path, size, moved / 1e9, 0, make)


SGD = tj.optimizer(optax.sgd, learning_rate=0.05)


def dsgd(nodes: int, dim: int, noise: float = 0.0) -> Case:
    """The update is written before neighbours read it: two reads and two writes of the parameters."""
    task = tj.tasks.quadratic(nodes=nodes, dim=dim, placement="sorted", noise=noise)
    algorithm = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    told = ", noise" if noise else ""
    return rounds(f"round, DSGD ring{told}", f"{nodes} x {dim}", algorithm, task, 4 * nodes * dim * FLOAT)


def teleport(nodes: int, active: int, dim: int) -> Case:
    task = tj.tasks.quadratic(nodes=nodes, dim=dim, noise=1.0)
    algorithm = tj.teleportation(active=active, topology="ring", optimizer=SGD)
    size = f"{active} of {nodes:.0e}, {dim}"
    return rounds("round, TELEPORTATION", size, algorithm, task, 4 * active * dim * FLOAT)


def grid(runs: int) -> Case:
    """So many runs of TELEPORTATION side by side, as a grid of step sizes is."""
    task = tj.tasks.quadratic(nodes=256, dim=50, noise=1.0)
    algorithm = tj.teleportation(active=16, topology="ring", optimizer=SGD)

    def make() -> tuple[Step, Any]:
        key, rates = jax.random.key(1), jnp.geomspace(0.003, 0.15, runs)
        state = algorithm.init(jax.random.key(0), task)

        def step(params: Any, turn: jax.Array) -> Any:
            def one(params: Any, rate: Any) -> Any:
                tuned = algorithm.with_learning_rate(rate)
                return tuned.step(jax.random.fold_in(key, turn), replace(state, params=params), task)[0].params

            return jax.vmap(one)(params, rates)

        return step, jnp.broadcast_to(state.params, (runs, *state.params.shape)) + 0.0

    return Case("round, grid of runs", f"{runs} runs", 4 * runs * 16 * 50 * FLOAT / 1e9, 0, make)


def cases(accelerator: bool, quick: bool) -> Iterator[Case]:
    """Small enough for two cores and 24 GB, or for an accelerator."""
    wide = 4096 if accelerator else 2048
    tall = 10**6 if accelerator else 10**5
    for graph in ("ring", "exponential", "one_peer_exponential", "base:degree=1"):
        yield mixing(graph, wide, wide)
    yield mixing("complete", wide, wide)
    yield mixing("erdos_renyi:probability=0.1", 1024, wide)
    yield mixing("random_matching", wide, wide)
    for graph in ("ring", "exponential"):
        yield mixing(graph, 1000, 1000)
        yield mixing(graph, tall, 100)
    if not quick:
        yield mixing("star", tall, 100)
    for count in (8, 64, 1024):
        yield sampling(10**8, count)
    yield noise(64, 1000)
    yield noise(tall, 100)
    yield hessians(1000, 50)
    for nodes in (25, 1000):
        yield mlps(nodes)
        if nodes == 25 or accelerator:
            yield lenets(nodes)
    yield evaluation("evaluation, MLP", 100, tj.tasks.digits(nodes=100), 4736, 4810, 64)
    lenets_of_100 = images(100, "lenet", batch=8)[0]
    yield evaluation("evaluation, LeNet", 100, lenets_of_100, LENET_MACS, LENET_PARAMETERS, 28 * 28)
    yield dsgd(1000, 50)
    yield dsgd(tall, 100)
    yield dsgd(tall, 100, noise=1.0)
    yield teleport(1000, 64, 1000)
    yield teleport(10**8, 64, 1000)
    yield grid(60)


def duration(seconds: float) -> str:
    """With a unit that leaves few digits."""
    unit, scale = next((pair for pair in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)) if seconds >= pair[1]), ("ns", 1e-9))
    return f"{seconds / scale:.3g} {unit}"


def main(only: str = "", quick: bool = False) -> None:
    """Time every path and print the table.

    Args:
        only: paths whose name holds this.
        quick: leave out what takes long to set up.
    """
    device = jax.devices()[0]
    accelerator = device.platform != "cpu"
    ceilings = copy(4.0 if accelerator else 0.4), matmul(8192 if accelerator else 2048)
    moving, multiplying = (timed(one.make).seconds for one in ceilings)
    speed, rate = ceilings[0].gigabytes / moving, ceilings[1].gigaflops / multiplying
    title = f"{device.device_kind}, jax {jax.__version__}: copy {speed:.4g} GB/s, matmul {rate:.4g} GFLOP/s"
    table = Table(title=title)
    for column in ("path", "size", "MB", "GFLOP", "bound", "taken", "of bound", "compile"):
        table.add_column(column, justify="left" if column in ("path", "size") else "right", no_wrap=True)
    shares = []
    for case in cases(accelerator, quick):
        if only not in case.path:
            continue
        bound = max(case.gigabytes / speed, case.gigaflops / rate)
        taken = timed(case.make)
        shares.append(bound / taken.seconds)
        table.add_row(
            case.path,
            case.size,
            f"{case.gigabytes * 1e3:.3g}",
            f"{case.gigaflops:.2g}" if case.gigaflops else "",
            duration(bound),
            duration(taken.seconds),
            f"{bound / taken.seconds:.2f}",
            f"{taken.compile:.1f} s",
        )
    console = Console(width=max(118, Console().width))
    console.print(table)
    if shares:
        low, middle, high = np.quantile(shares, (0, 0.5, 1))
        console.print(f"{len(shares)} paths: {low:.2f} to {high:.2f} of their bounds, half of them above {middle:.2f}")


if __name__ == "__main__":
    tyro.cli(main)
