"""Private gradients: clipped sample by sample as by a loop, noised by the law that is said, and refused elsewhere."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from flax import nnx
from refusals import check

import telejax as tj
from telejax.models.convolution import Conv, GroupNorm, max_pool
from telejax.tasks.base import OptionalMembers, reweighted
from telejax.tasks.privacy import batch_of, clipped_sum

pytestmark = pytest.mark.usefixtures("compiled_fast")

RANDOM = np.random.default_rng(0)
LABELS = np.arange(160) % 4
ROWS = RANDOM.normal(size=(160, 6)).astype(np.float32)
PICTURES = RANDOM.random((160, 8, 8, 2), np.float32)
NODE, KEY = jnp.int32(1), jax.random.key(3)


class Convolved(nn.Module):
    """As LeNet, its first convolution with strides and padding, its second in blocks."""

    @nn.compact
    def __call__(self, x):
        maps = jnp.transpose(x, (3, 1, 2, 0))
        maps = jnp.tanh(GroupNorm(2)(Conv(4, (3, 3), (2, 2), "SAME")(maps)))
        maps = jax.nn.relu(max_pool(GroupNorm(2)(Conv(6, (3, 3), blocks=True)(maps))))
        return nn.Dense(4)(nn.relu(nn.Dense(5)(maps.reshape(-1, maps.shape[-1]).T)))


class Normed(nn.Module):
    """With a layer whose norms no rule knows."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(nn.LayerNorm()(nn.Dense(5)(x)))


class Twice(nn.Module):
    """With a layer that is used twice, so that its gradients add up."""

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(6)
        return nn.Dense(4)(layer(jax.nn.relu(layer(x))))


class Rows(nn.Module):
    """With a dense layer on several rows of each sample."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(nn.Dense(3)(x.reshape(-1, 3, 2)).reshape(len(x), -1))


class Own(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        return self.layer(x)


def classification(model, inputs=ROWS, batch=5, **more):
    data = tj.data.from_arrays((inputs, LABELS), (inputs[:20], LABELS[:20]))
    return tj.tasks.classification(data, nodes=6, model=model, batch=batch, **more)


def started(task):
    """Parameters of which none is 0, nor all alike."""
    around = lambda x: x + 0.1 * RANDOM.normal(size=x.shape).astype(x.dtype)
    return jax.tree.map(around, jax.jit(task.init)(jax.random.key(0)))


def in_a_row(tree) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def one_by_one(task, params, key, clip):
    """The gradients of the samples one after another, and the sum of the clipped ones, in NumPy."""
    own = jax.jit(jax.grad(lambda params, i: task.losses(params, NODE, key)[i]))
    grads = np.array([in_a_row(own(params, i)) for i in range(batch_of(task))], np.float64)
    norms = np.linalg.norm(grads, axis=1)
    return norms, (grads * np.minimum(1, clip / norms)[:, None]).sum(axis=0)


@pytest.mark.fast_cases("mlp")
@pytest.mark.parametrize(
    ("model", "inputs"),
    [("mlp", ROWS), (Convolved(), PICTURES), (Normed(), ROWS), (Twice(), ROWS), (Rows(), ROWS), (Own, ROWS)],
    ids=["mlp", "convolutions", "unknown layer", "layer used twice", "dense on rows", "nnx"],
)
def test_samples_are_clipped_as_by_a_loop(model, inputs) -> None:
    task = classification(model, inputs)
    params = started(task)
    norms = jax.jit(task.gradient_norms)(params, NODE, KEY)
    clip = float(np.median(norms))  # some are clipped, some are not
    expected, total = one_by_one(task, params, KEY, clip)
    np.testing.assert_allclose(norms, expected, rtol=2e-5)
    found, batch = jax.jit(clipped_sum, static_argnums=0)(Hashed(task), params, NODE, KEY, clip)
    assert int(batch) == 5
    np.testing.assert_allclose(in_a_row(found), total, rtol=1e-4, atol=1e-5)


class Hashed:
    """A task by its identity, for a static argument."""

    def __init__(self, task):
        self.losses, self.gradient_norms = task.losses, task.gradient_norms


@pytest.mark.slow
def test_a_task_with_losses_alone_is_clipped_too() -> None:
    task = classification("logistic")
    bare = type("Bare", (), {"losses": task.losses})
    params = started(task)
    _, total = one_by_one(task, params, KEY, 0.7)
    found = clipped_sum(bare, params, NODE, KEY, 0.7)[0]
    np.testing.assert_allclose(in_a_row(found), total, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_no_sample_is_drawn_twice_and_each_is_augmented_alone() -> None:
    task = classification("logistic", PICTURES, batch=24)
    params = started(task)
    every = [np.sort(task.losses(params, NODE, jax.random.key(k))) for k in range(2)]
    np.testing.assert_allclose(every[0], every[1], rtol=1e-6)  # all samples of the node, each once
    assert len(set(every[0].tolist())) == 24
    mixing = lambda key, inputs: inputs + jnp.mean(inputs, axis=0, keepdims=True)
    mixed = classification("logistic", PICTURES, batch=24, augment=mixing)
    alone = classification("logistic", PICTURES, batch=24, augment=lambda key, inputs: 2 * inputs)
    np.testing.assert_allclose(  # a mean over a batch of one is that sample
        np.sort(mixed.losses(params, NODE, KEY)), np.sort(alone.losses(params, NODE, KEY)), rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", ["sample", "node"])
def test_noise_is_normal_of_the_deviation_that_is_said(level) -> None:
    task, clip, z = classification("mlp"), 0.5, 3.0
    private = tj.privacy(clip=clip, noise_multiplier=z, level=level)(task)
    params = task.init(jax.random.key(0))
    flat = lambda tree: jax.flatten_util.ravel_pytree(tree)[0]
    same = tj.privacy(clip=clip, noise_multiplier=1e-9, level=level)(task)
    noise = jax.jit(
        jax.vmap(
            lambda node, key: flat(private.gradient(params, node, key)) - flat(same.gradient(params, node, key)),
            in_axes=(0, 0),
        )
    )(jnp.arange(6), jax.random.split(KEY, 6))
    std = z * clip / (batch_of(task) if level == "sample" else 1)
    scaled = np.asarray(noise, np.float64) / std
    count = scaled.size  # 6 x 708: variance within 4 deviations of its estimate, sqrt(2 / count)
    assert abs(scaled.var() - 1) < 4 * np.sqrt(2 / count) and abs(scaled.mean()) < 4 / np.sqrt(count)
    assert scipy.stats.kstest(scaled.ravel(), "norm").pvalue > 1e-3
    between = np.corrcoef(scaled)[np.triu_indices(6, 1)]  # nodes are independent
    assert np.abs(between).max() < 4.5 / np.sqrt(scaled.shape[1])


@pytest.mark.slow
def test_a_node_is_clipped_whole() -> None:
    task = classification("mlp")
    params = jax.tree.map(lambda x: 3 * x, task.init(jax.random.key(0)))
    plain = jax.flatten_util.ravel_pytree(jax.grad(task.loss)(params, NODE, KEY))[0]
    norm = float(jnp.linalg.norm(plain))
    for clip, length in ((0.5 * norm, 0.5 * norm), (2 * norm, norm)):
        private = tj.privacy(clip=clip, noise_multiplier=1e-9, level="node")(task)
        found = jax.flatten_util.ravel_pytree(private.gradient(params, NODE, KEY))[0]
        np.testing.assert_allclose(found, plain * length / norm, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_private_task_tells_no_samples_and_is_reweighted_after_its_noise() -> None:
    private = tj.privacy(clip=1.0, noise_multiplier=1.0)(classification("logistic"))
    members = OptionalMembers.of(private)
    assert members.losses is None and members.gradient_norms is None and members.gradient is not None
    assert private.nodes == 6 and members.name == "data"
    flipped = private.label_flipped(np.array([0]))
    assert flipped.privacy == private.privacy and (flipped.samples.labels != private.samples.labels).any()
    params = private.init(jax.random.key(0))
    twice = reweighted(private, np.full(6, 2.0, np.float32))
    plain, doubled = (one.gradient(params, NODE, KEY) for one in (private, twice))
    np.testing.assert_allclose(doubled["Dense_0"]["bias"], 2 * plain["Dense_0"]["bias"], rtol=1e-6)


@pytest.mark.slow
def test_the_optimizer_never_meets_a_gradient_that_is_not_clipped() -> None:
    task = tj.tasks.quadratic(nodes=4, dim=3, heterogeneity=5.0)
    clip = 1e-3  # far below any gradient of a node
    private = tj.privacy(clip=clip, noise_multiplier=1e-6, level="node")(task)
    momentum = tj.optimizer(optax.sgd, learning_rate=0.1, momentum=0.9)
    run = tj.simulate(tj.decentralized_sgd(topology="ring", optimizer=momentum), private, rounds=2, progress=False)
    kept = jax.vmap(lambda tree: jax.flatten_util.ravel_pytree(tree)[0])(run.state.opt_state)
    assert 0 < float(jnp.linalg.norm(kept, axis=1).max()) <= 1.9 * clip * 1.01  # 1 + 0.9 of the round before
    with pytest.raises(ValueError, match="needs more than gradients"):
        tj.optimizer(optax.contrib.reduce_on_plateau)  # it would keep the loss


QUADRATIC = tj.tasks.quadratic(nodes=4, dim=3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tj.privacy(clip=0.0, noise_multiplier=1.0), ("clip is 0.0", "give a finite number above 0")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=-1.0), ("noise_multiplier is -1.0", "above 0")),
        (lambda: tj.privacy(clip=float("nan"), noise_multiplier=1.0), ("clip is nan", "above 0")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier="1"), ("noise_multiplier is '1'", "above 0")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=1.0, delta=1.0), ("delta is 1.0", "above 0 and below 1")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=1.0, delta=0), ("delta is 0", "above 0 and below 1")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=1.0, level="user"), ("level", "'user'", "node")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=1.0)(QUADRATIC), ("has no losses", "level='node'")),
        (lambda: tj.privacy(clip=1.0, noise_multiplier=1.0)(3), ("task is 3", "give a task")),
        (
            lambda: tj.privacy(clip=1.0, noise_multiplier=1.0)(classification("mlp", batch=25)),
            ("batch is 25 and a node has 24 samples", "at most 24"),
        ),
        (
            lambda: tj.privacy(clip=1.0, noise_multiplier=1.0)(
                tj.privacy(clip=1.0, noise_multiplier=1.0)(classification("mlp"))
            ),
            "task is private already",
        ),
    ],
)
def test_bad_input(call, words) -> None:
    check(call, words)
