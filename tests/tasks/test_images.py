"""The classification task: exact where it says so, and the same whatever the way it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import telejax as tj

LABELS = np.arange(240) % 10
IMAGES = np.random.default_rng(0).integers(256, size=(240, 16, 16, 1), dtype=np.uint8)
PICTURES = tj.data.from_arrays((IMAGES, LABELS), (IMAGES[:37], LABELS[:37]), name="noise", normalise=True)
DIGITS = tj.data.digits()
SGD = tj.optimizer(optax.sgd, learning_rate=0.05)


class Two(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(64, 8, rngs=rngs), nnx.Linear(8, 10, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](jax.nn.relu(self.layers[0](x)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        lambda: tj.tasks.classification(DIGITS, nodes=5, alpha=0.1, model=Two),
        lambda: tj.tasks.classification(DIGITS, partition=tj.data.dirichlet_free(DIGITS.train.labels, 6, 0.2)),
    ],
    ids=["nnx", "free sizes"],
)
def test_contract(task):
    tj.testing.check_task(task())


def test_nodes_of_free_sizes_draw_their_own_samples_and_count_the_same():
    table = np.array([[0, -1, -1], [1, 2, 3]])
    task = tj.tasks.classification(DIGITS, partition=table, model="logistic", batch=64)
    params = task.init(jax.random.key(0))
    alone = tj.tasks.classification(DIGITS, partition=[[0]], model="logistic", batch=64)
    loss = lambda t, node: t.loss(params, jnp.int32(node), jax.random.key(1))
    assert float(loss(task, 0)) == pytest.approx(float(loss(alone, 0)), rel=1e-5)  # all 64 draws are sample 0
    other = tj.tasks.classification(DIGITS, partition=[[1, 2, 3]], model="logistic")
    exact = [float(t.evaluate(params)["loss"]) for t in (task, alone, other)]
    assert exact[0] == pytest.approx(np.mean(exact[1:]), rel=1e-5)


def test_evaluation_in_batches_equals_all_at_once(monkeypatch):
    task = tj.tasks.classification(PICTURES, nodes=4, model="lenet")
    params = task.init(jax.random.key(0))
    batched = jax.jit(lambda task: task.evaluate(params))(task)
    monkeypatch.setitem(tj.execution.BYTES_AT_ONCE, "cpu", 2**40)
    for name, value in jax.jit(lambda task: task.evaluate(params))(task).items():
        assert float(batched[name]) == pytest.approx(float(value), rel=1e-5)


def test_evaluated_draws_a_subset_whose_mean_is_close():
    whole = tj.tasks.classification(DIGITS, nodes=10, alpha=0.1)
    part = tj.tasks.classification(DIGITS, nodes=10, alpha=0.1, evaluated=150)
    params = whole.init(jax.random.key(0))
    assert (part.judged.weights > 0).sum(axis=0).tolist() == [150, 150, 150]
    exact, drawn = (float(task.evaluate(params)["loss"]) for task in (whole, part))
    assert exact != drawn and drawn == pytest.approx(exact, rel=0.1)  # 150 losses near log 10, deviation below 1


def test_pixels_are_normalised_on_the_device():
    task = tj.tasks.classification(PICTURES, nodes=2)
    read = task._read(task.samples.inputs[: len(PICTURES.train)])
    assert task.samples.inputs.dtype == jnp.uint8
    assert abs(float(read.mean())) < 1e-3 and float(read.std()) == pytest.approx(1, abs=1e-3)


def test_augmentation_moves_and_mirrors():
    image = jnp.zeros((50, 9, 9, 1)).at[:, 4, 3].set(1.0)
    moved = tj.data.crop_and_flip(jax.random.key(0), image)
    rows, columns = (np.unique(np.asarray(index)) for index in np.nonzero(np.asarray(moved))[1:3])
    assert len(rows) > 4 and len(columns) > 4 and float(moved.sum(axis=(1, 2, 3)).max()) == 1
    flipped = tj.data.random_flip(jax.random.key(1), image)
    assert set(np.nonzero(np.asarray(flipped))[2].tolist()) == {3, 5}


@pytest.mark.slow
def test_node_batch_changes_rounding_only():
    runs = []
    for node_batch in (1, 3, None):
        task = tj.tasks.classification(
            PICTURES, nodes=6, model="lenet", batch=2, augment="crop+flip", node_batch=node_batch
        )
        algorithm = tj.teleportation(active=3, topology="ring", optimizer=SGD)
        runs.append(tj.simulate(algorithm, task, rounds=3, eval_every=3, progress=False).history["loss"][-1])
    assert runs == pytest.approx([runs[0]] * 3, rel=1e-4)  # float32 sums in another order, three steps


def test_schedules_momentum_and_weight_decay_of_optax():
    schedule = lambda learning_rate: optax.sgd(optax.cosine_decay_schedule(learning_rate, 20), momentum=0.9)
    decayed = tj.optimizer(tj.optimizers.decayed_sgd, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    for sgd in (tj.optimizer(schedule, learning_rate=0.1), decayed):
        task = tj.tasks.digits(nodes=10, alpha=None, model="logistic")
        algorithm = tj.decentralized_sgd(topology="ring", optimizer=sgd)
        run = tj.simulate(algorithm, task, rounds=20, tune=[0.05, 0.1], eval_every=20, progress=False)
        assert (run.final()["loss"] < 2).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"nodes": 10, "alpha": 0.0}, "alpha is 0.0"),
        ({"nodes": 1401}, "nodes is 1401 and there are 1400"),
        ({}, "nodes is None"),
        ({"nodes": 3, "partition": [[0], [1]]}, "partition has 2 rows, nodes is 3"),
        ({"partition": [[0, 0]]}, "sample 0 out twice"),
        ({"nodes": 5, "model": "lenet"}, r"\(64,\).*16 x 16"),
        ({"nodes": 5, "augment": "crp"}, "did you mean 'crop'"),
        ({"nodes": 5, "augment": 3}, "augment is 3"),
        ({"nodes": 5, "node_batch": 0}, "node_batch is 0"),
        ({"nodes": 5, "evaluated": 0}, "evaluated is 0"),
        ({"nodes": 5, "placement": "random"}, "unknown placement 'random'"),
    ],
)
def test_bad_input_is_told(options, told):
    with pytest.raises(ValueError, match=told):
        tj.tasks.classification(DIGITS, **options)
