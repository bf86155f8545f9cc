"""Small runs of every method, task and form of mixing, as arrays: what a refactoring must not change.

Only public names that stay are used here. A case is a function without arguments, so that it runs alone, in any
order and in either width of floats; it makes its tasks itself, as their arrays are of the width at that time.
"""

import inspect
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl

import telejax as tj

Arrays = dict[str, np.ndarray]

WIDTHS = {"float32": False, "float64": True}
FEATURES = ("sse", "ssse", "avx", "fma")  # of a processor, that decide in which order and how fused XLA adds up
MODEL = ("vendor_id", "cpu family", "model")  # LLVM tunes for it
SHOWN = 64  # rows of a mixed array that are kept

SGD = tj.optimizer(optax.sgd, learning_rate=0.1)
MOMENTUM = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.9)
ADAM = tj.optimizer(optax.adam, learning_rate=0.05)
DIVERGING = tj.optimizer(optax.sgd, learning_rate=1e30)


def table_arrays(table: pl.DataFrame, prefix: str = "history") -> Arrays:
    """Every column of numbers or truth values, in the order of the rows: int64 or float64, null as nan."""
    arrays = {}
    for column in table.iter_columns():
        whole = column.dtype.is_integer() or column.dtype == pl.Boolean
        if whole and not column.null_count():
            arrays[f"{prefix}.{column.name}"] = column.cast(pl.Int64).to_numpy()
        elif whole or column.dtype.is_float():
            arrays[f"{prefix}.{column.name}"] = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return arrays


def tree_arrays(prefix: str, tree: Any) -> Arrays:
    """The leaves of a pytree by their number."""
    return {f"{prefix}.{place}": np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(tree))}


def result_arrays(result: tj.Result, with_state: bool = True) -> Arrays:
    """The history, the mean models and the last state; holders of the first seed and step size alone."""
    arrays = table_arrays(result.history) | tree_arrays("params", result.params)
    if result.state is None or not with_state:
        return arrays
    holders = np.asarray(result.state.holders)
    arrays["state.holders"] = holders.reshape(-1, holders.shape[-1])[0]
    arrays |= tree_arrays("state.params", result.state.params)
    return arrays | tree_arrays("state.opt_state", result.state.opt_state)


def task(nodes: int = 16, **options: Any) -> Any:
    """The quadratic that most cases run on."""
    return tj.tasks.quadratic(**{"nodes": nodes, "dim": 5, "heterogeneity": 2.0, "noise": 1.0, **options})


def run(method: Any, on: Callable[[], Any] = task, rounds: int = 8, with_state: bool = True, **options: Any) -> Arrays:
    """A simulation whose last stretch between evaluations is shorter than the others."""
    options = {"eval_every": 3, "progress": False, **options}
    if "gradients" not in options:
        options["rounds"] = rounds
    return result_arrays(tj.simulate(method, on(), **options), with_state)


def diverging() -> Arrays:
    """Every run reaches non-finite values: the result of the error."""
    try:
        run(tj.teleportation(active=4, topology="ring", optimizer=DIVERGING), rounds=12, seeds=2)
    except tj.DivergenceError as error:
        return result_arrays(error.result)
    raise AssertionError("no DivergenceError")


def auto(**options: Any) -> Arrays:
    """The number of active nodes is found on the way; its last state is no promise, its history is."""
    if hasattr(tj, "auto"):
        method = tj.auto(topology="ring", optimizer=SGD)
    else:
        method = tj.teleportation(active="auto", topology="ring", optimizer=SGD)
    return run(method, partial(task, nodes=40, noise=3.0), rounds=64, eval_every=4, with_state=False, **options)


def search(**options: Any) -> Arrays:
    """Two passes, as the nodes are too few for all candidates at once."""
    if "tune" not in inspect.signature(tj.search).parameters:  # as it was called before the redesign
        options["learning_rates"] = options.pop("tune", None)
    result = tj.search(task(nodes=12), optimizer=SGD, seeds=2, eval_every=3, progress=False, **options)
    used = {"rounds_used": np.array(result.rounds_used)}
    return table_arrays(result.histories, "histories") | table_arrays(result.table, "table") | used


def sweep() -> Arrays:
    """Two cells, whose noises, step sizes and seeds are one program each."""
    spec = {
        "rounds": 8,
        "eval_every": 4,
        "seeds": [0, 1],
        "task": {"name": "quadratic", "nodes": 12, "dim": 4, "noise": [0.5, 1.0]},
        "method": [{"name": "teleportation", "topology": "ring", "active": 4}, {"name": "random_walk"}],
        "optimizer": {"name": "sgd", "learning_rate": [0.03, 0.1]},
    }
    with tempfile.TemporaryDirectory() as folder:
        return table_arrays(tj.sweep(spec, Path(folder) / "out", progress=False).table, "table")


def checkpointed() -> Arrays:
    """A run that goes on from its checkpoint before the last, and the same run read back whole."""
    method = tj.teleportation(active=4, topology="one_peer_exponential", optimizer=MOMENTUM)
    with tempfile.TemporaryDirectory() as folder:
        again = lambda: run(method, rounds=12, seeds=2, tune=[0.05, 0.1], checkpoint=folder)
        again()
        number = lambda step: int(step.name.removeprefix("round_"))  # as they are called now
        steps = [step for step in Path(folder).iterdir() if step.name.removeprefix("round_").isdigit()]
        assert len(steps) > 1
        shutil.rmtree(max(steps, key=number))
        resumed, read = again(), again()
    return {f"resumed.{name}": x for name, x in resumed.items()} | {f"read.{name}": x for name, x in read.items()}


def local_update() -> Arrays:
    """Three local steps of slots at given nodes."""
    quadratic = task()
    optimizer = MOMENTUM.build()
    params = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.result_type(float))
    opt_state = jax.vmap(optimizer.init)(params)
    holders = jnp.array([3, 0, 11, 8], jnp.int32)
    update = jax.jit(lambda *given: tj.local_update(*given, quadratic, MOMENTUM, 3))
    params, opt_state = update(jax.random.key(0), params, opt_state, holders)
    return tree_arrays("params", params) | tree_arrays("opt_state", opt_state)


def sample_distinct() -> Arrays:
    """Few of many nodes, and most of few."""
    arrays = {}
    for n, k in ((10**8, 5), (40, 30)):
        draw = jax.jit(jax.vmap(lambda seed, n=n, k=k: tj.sample_distinct(jax.random.key(seed), n, k)))
        arrays[f"{k}_of_{n}"] = np.asarray(draw(np.arange(4)))
    return arrays


@jax.jit
def _mix(mixing: Any, tree: Any, round: Any) -> Any:
    return tj.mix(mixing, tree, round)


def mix(mixing: Callable[[], Any], rounds: tuple[int, ...] = (0, 1, 2, 3, 7)) -> Arrays:
    """W applied to a vector and a matrix a slot, in some rounds."""
    form = mixing()
    random = np.random.default_rng(0)
    dtype = jnp.result_type(float)
    tree = [jnp.asarray(random.normal(size=(form.slots, *shape)), dtype) for shape in ((), (3, 2))]
    arrays: Arrays = {}
    for round in rounds:
        mixed = jax.tree.map(lambda x: x[:SHOWN], _mix(form, tree, np.int32(round)))
        arrays |= tree_arrays(f"round_{round}", mixed)
    return arrays


def _graph(build: Callable[..., tj.Topology], *arguments: Any, **options: Any) -> Callable[[], Any]:
    return lambda: build(*arguments, **options).mixing()


def _schedule() -> optax.GradientTransformation:
    return optax.sgd(optax.exponential_decay(0.1, 3, 0.5), momentum=0.9)


top = tj.topology
sorted_task = partial(task, placement="sorted", noise=0.0)
koloskova = lambda: tj.tasks.koloskova_quadratic(nodes=12, dim=5, noise=0.5)
digits = lambda: tj.tasks.digits(nodes=8)

dsgd, teleport = tj.decentralized_sgd, tj.teleportation

CASES: dict[str, Callable[[], Arrays]] = {
    # decentralized SGD over each form of a graph
    "dsgd_ring": lambda: run(dsgd(topology="ring", optimizer=SGD)),
    "dsgd_exponential_sorted": lambda: run(dsgd(topology="exponential", optimizer=SGD), sorted_task),
    "dsgd_one_peer_exponential": lambda: run(dsgd(topology="one_peer_exponential", optimizer=MOMENTUM)),
    "dsgd_star_dense": lambda: run(dsgd(topology="star", optimizer=SGD), partial(task, nodes=40, noise=0.0)),
    "dsgd_random_matching": lambda: run(dsgd(topology="random_matching:seed=3", optimizer=SGD), partial(task, 13)),
    "dsgd_equidyn": lambda: run(dsgd(topology="equidyn", optimizer=SGD), partial(task, 6)),
    "dsgd_base_graph_koloskova": lambda: run(
        dsgd(topology="base:degree=2", optimizer=tj.optimizer(optax.sgd, learning_rate=0.01)), koloskova
    ),
    "dsgd_complete_adam": lambda: run(dsgd(topology="complete", optimizer=ADAM)),
    "dsgd_seeds_and_step_sizes": lambda: run(
        dsgd(topology="ring", optimizer=MOMENTUM), seeds=[3, 5], tune=[0.02, 0.05, 0.1]
    ),
    "all_reduce": lambda: run(tj.all_reduce_sgd(optimizer=MOMENTUM), seed=2),
    # TELEPORTATION
    "teleportation": lambda: run(teleport(active=8, topology="exponential", optimizer=SGD), gradients=70),
    "teleportation_momentum": lambda: run(teleport(active=5, topology="ring", optimizer=MOMENTUM)),
    "teleportation_momentum_stays": lambda: run(
        teleport(active=5, topology="ring", optimizer=MOMENTUM, state_travels=False)
    ),
    "teleportation_adam": lambda: run(teleport(active=6, topology="base", optimizer=ADAM), sorted_task),
    "teleportation_adam_stays": lambda: run(
        teleport(active=4, topology="random_matching", optimizer=ADAM, state_travels=False)
    ),
    "teleportation_schedule_stays": lambda: run(
        teleport(active=4, topology="complete", optimizer=_schedule(), state_travels=False)
    ),
    "teleportation_seeds_and_step_sizes": lambda: run(
        teleport(active=4, topology="ring", optimizer=MOMENTUM), seeds=2, tune=[0.05, 0.1]
    ),
    "teleportation_digits": lambda: run(teleport(active=4, topology="ring", optimizer=SGD), digits, rounds=4),
    "teleportation_of_a_million": lambda: run(teleport(active=4, topology="ring", optimizer=SGD), partial(task, 10**6)),
    # the other methods
    "fedavg": lambda: run(tj.fedavg(clients=4, local_steps=3, optimizer=MOMENTUM)),
    "fedavg_state_travels": lambda: run(
        tj.fedavg(clients=4, local_steps=2, optimizer=MOMENTUM, state_travels=True), seeds=2
    ),
    "one_token": lambda: run(tj.random_walk(optimizer=MOMENTUM)),
    "tokens_anywhere": lambda: run(tj.random_walk(optimizer=SGD, tokens=3), tune=[0.05, 0.1]),
    "tokens_on_a_ring": lambda: run(tj.random_walk(optimizer=SGD, tokens=3, topology="ring"), seeds=2),
    "token_on_a_star": lambda: run(tj.random_walk(optimizer=SGD, topology="star"), partial(task, nodes=40)),
    "joint": lambda: run(tj.joint_teleportation(active=(1, 2, 4), topology="ring", optimizer=MOMENTUM), seeds=2),
    "joint_stays": lambda: run(
        tj.joint_teleportation(
            active=(1, 2, 4), topology="one_peer_exponential", optimizer=MOMENTUM, state_travels=False
        ),
        tune=[0.05, 0.1],
    ),
    "auto": auto,
    "auto_seeds": partial(auto, seeds=2),
    # what is built on top of them
    "search_rounds": partial(search, rounds=12, tune=[0.05, 0.1]),
    "search_gradients": partial(search, gradients=48, candidates=(2, 4, 8), objective="mean"),
    "sweep": sweep,
    "checkpointed": checkpointed,
    "diverging": diverging,
    "one_of_two_diverges": lambda: run(teleport(active=4, topology="ring", optimizer=SGD), tune=[0.1, 1e30]),
    # the parts
    "local_update": local_update,
    "sample_distinct": sample_distinct,
    "mix_shared_weights": partial(mix, _graph(top.exponential, 12)),
    "mix_own_weights": partial(mix, _graph(top.path, 12)),
    "mix_period": partial(mix, _graph(top.base_graph, 13)),
    "mix_dense": partial(mix, _graph(top.star, 40)),
    "mix_edges": partial(mix, _graph(top.star, 5000), (0, 1)),
    "mix_mean": partial(mix, _graph(top.complete, 12)),
    "mix_lazy_mean": partial(mix, lambda: top.with_self_loops(top.complete(12), 0.25).mixing()),
    "mix_drawn": partial(mix, _graph(top.random_matching, 13)),
    "mix_lazy_drawn": partial(mix, lambda: top.with_self_loops(top.random_matching(12), 0.25).mixing()),
    "mix_directed_drawn": partial(mix, _graph(top.od_equidyn, 12)),
    "mix_undirected_drawn": partial(mix, _graph(top.ou_equidyn, 12)),
    "mix_permuted": partial(mix, lambda: top.permuted(top.random_matching(12), (np.arange(12) * 5 + 3) % 12).mixing()),
    "mix_permuted_graph": partial(mix, lambda: top.permuted(top.path(12), (np.arange(12) * 5 + 3) % 12).mixing()),
    "mix_sequence": partial(mix, lambda: top.sequence([top.complete(12), top.random_matching(12)]).mixing()),
    "mix_blocks": partial(mix, lambda: top.block_diagonal([top.complete(5), top.random_matching(6)]).mixing()),
    "mix_joined_blocks": partial(
        mix,
        lambda: tj.block_diagonal(
            [top.ring(5).mixing(), top.path(6).mixing(), top.complete(4).mixing(), top.base_graph(6).mixing()]
        ),
    ),
}

NARROW = {
    *("auto", "auto_seeds", "checkpointed", "search_gradients", "search_rounds", "sweep"),
    *("dsgd_equidyn", "dsgd_random_matching", "dsgd_seeds_and_step_sizes", "diverging", "fedavg_state_travels"),
    *("joint_stays", "sample_distinct", "token_on_a_star", "tokens_anywhere", "tokens_on_a_ring"),
    *("teleportation_adam_stays", "teleportation_digits", "teleportation_of_a_million"),
    *("teleportation_schedule_stays", "teleportation_momentum_stays", "one_of_two_diverges", "dsgd_star_dense"),
    *("fedavg", "joint", "one_token", "teleportation_seeds_and_step_sizes", "teleportation_adam", "dsgd_complete_adam"),
}
"""Cases in float32 alone: they take long, and what they have besides the others does not depend on the width."""

FAST = {
    *("dsgd_ring", "teleportation", "local_update"),
    *("mix_shared_weights", "mix_own_weights", "mix_dense", "mix_mean", "mix_drawn"),
}
"""Cases whose float32 is in the fast loop."""

LONG = {
    *("auto", "checkpointed", "dsgd_equidyn", "search_gradients", "search_rounds", "sweep", "teleportation_digits"),
    *("tokens_on_a_ring", "fedavg_state_travels", "diverging", "dsgd_seeds_and_step_sizes"),
}
"""Cases that ``two_checkouts.py`` runs and the tests do not: the tests of their parts say what must be."""

WIDE = {"dsgd_ring", "teleportation", "local_update", "mix_own_weights", "mix_dense"}
"""Cases that the tests run in float64, too; ``two_checkouts.py`` runs all that are not narrow."""

RUNS = [(name, width) for name in CASES for width in WIDTHS if width == "float32" or name not in NARROW]
"""Every case in its widths."""


@contextmanager
def floats_of(width: str) -> Iterator[None]:
    """All threads in this width; ``jax.enable_x64`` as a context would hold for the present one alone."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", WIDTHS[width])
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def arrays_of(name: str, width: str) -> Arrays:
    """Run a case: its arrays by ``case/width/array``."""
    with floats_of(width):
        return {f"{name}/{width}/{key}": np.asarray(array) for key, array in CASES[name]().items()}


def relative_difference(left: np.ndarray, right: np.ndarray) -> float:
    """The largest |left - right|, as a share of the largest |left|; inf where shapes or non-finite values differ."""
    if left.shape != right.shape or left.dtype.kind != right.dtype.kind:
        return float("inf")
    with np.errstate(over="ignore"):
        left, right = left.astype(np.float64), right.astype(np.float64)
        finite = np.isfinite(left)
        if not np.array_equal(left[~finite], right[~finite], equal_nan=True) or not np.isfinite(right[finite]).all():
            return float("inf")
        difference = np.max(np.abs(left - right), where=finite, initial=0.0)
        return float(difference / np.max(np.abs(left), where=finite, initial=np.finfo(np.float64).tiny))


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Shapes, dtypes and all bits are equal; one nan is as good as another."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    undefined = np.isnan(left)
    zero = np.zeros((), left.dtype)
    kept = [np.where(undefined, zero, x).tobytes() for x in (left, right)]
    return kept[0] == kept[1] and np.array_equal(undefined, np.isnan(right))


def machine() -> dict[str, Any]:
    """What bits depend on, here and now: the versions, and the processor's model and features."""
    processor: dict[str, Any] = {"machine": platform.machine()}
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = (line.partition(":") for line in information.read_text().partition("\n\n")[0].splitlines())
        told = {key.strip(): value.strip() for key, _, value in lines}
        processor |= {key: told[key] for key in MODEL if key in told}
        processor["features"] = sorted(word for word in told.get("flags", "").split() if word.startswith(FEATURES))
    versions = {name: version(name) for name in ("jax", "jaxlib", "numpy")}
    return {**versions, "python": platform.python_version(), "processor": processor}
