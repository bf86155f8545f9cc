"""Classification: the loss is the cross-entropy of the node's own samples, whatever the way it is computed."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import telejax as tj
from telejax.backend import memory
from telejax.testing import check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")

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


@pytest.fixture(scope="module")
def task() -> tj.tasks.Classification:
    return tj.tasks.digits(nodes=20, alpha=0.1, model="logistic", batch=5)


def cross_entropy(params, inputs: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean loss and accuracy of logistic regression, in NumPy float64."""
    layer = params["Dense_0"]
    logits = np.asarray(inputs, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
    logits -= logits.max(axis=1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_probability[np.arange(len(labels)), labels].mean(), (logits.argmax(axis=1) == labels).mean()


@pytest.mark.slow
def test_loss_is_the_cross_entropy_of_a_batch_of_the_node(task) -> None:
    params = task.init(jax.random.key(3))
    data = tj.data.digits()
    for node in (0, 7, 19):
        key = jax.random.key(node)
        picks = np.asarray(jax.random.randint(key, (5,), 0, task.table.shape[1]))
        chosen = np.asarray(task.table)[node][picks]
        expected, _ = cross_entropy(params, data.train.inputs[chosen], data.train.labels[chosen])
        assert float(task.loss(params, jnp.int32(node), key)) == pytest.approx(expected, rel=1e-5)  # float32


@pytest.mark.slow
def test_evaluation_is_over_all_held_training_samples_and_both_other_splits(task) -> None:
    params, data = task.init(jax.random.key(3)), tj.data.digits()
    held = np.asarray(task.table).ravel()
    measured = task.evaluate(params)
    loss, _ = cross_entropy(params, data.train.inputs[held], data.train.labels[held])
    validation = cross_entropy(params, data.validation.inputs, data.validation.labels)
    _, accuracy = cross_entropy(params, data.test.inputs, data.test.labels)
    expected = {
        "loss": loss,
        "accuracy": accuracy,
        "validation_loss": validation[0],
        "validation_accuracy": validation[1],
    }
    assert set(measured) == set(expected)
    for name, value in expected.items():
        assert float(measured[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.slow
def test_a_node_draws_all_of_its_samples_and_no_others() -> None:
    """With the sample's number as its only input, the gradient of a linear model tells which were drawn."""
    labels = np.arange(60) % 3
    split = tj.data.Split(np.eye(60, dtype=np.float32), labels.astype(np.int32))
    task = tj.tasks.classification(tj.data.Dataset("numbers", split, split, split), nodes=6, model="logistic", batch=4)
    params = task.init(jax.random.key(0))
    grads = jax.jit(jax.vmap(lambda key: jax.grad(task.loss)(params, jnp.int32(2), key)))
    kernel = np.asarray(grads(jax.random.split(jax.random.key(1), 200))["Dense_0"]["kernel"])
    drawn = np.flatnonzero(np.abs(kernel).sum(axis=(0, 2)))
    assert set(drawn) == set(np.asarray(task.table)[2].tolist())


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        lambda: tj.tasks.classification(DIGITS, nodes=5, alpha=0.1, model=Two),
        lambda: tj.tasks.classification(
            DIGITS, partition=tj.data.dirichlet_free(DIGITS.train.labels, 6, 0.2), model="logistic"
        ),
    ],
    ids=["nnx, equal sizes", "linen, free sizes"],
)
def test_contract(task):
    check_task(task())


def test_own_model_is_used() -> None:
    task = tj.tasks.digits(nodes=10, model=nn.Dense(10, use_bias=False))
    assert jax.tree.map(jnp.shape, task.init(jax.random.key(0))) == {"kernel": (64, 10)}


@pytest.mark.slow
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


@pytest.mark.slow
def test_evaluation_in_batches_equals_all_at_once(monkeypatch):
    task = tj.tasks.classification(PICTURES, nodes=4)
    params, measured = task.init(jax.random.key(0)), []
    for room, loops in ((2**40, False), (2**14, True)):
        monkeypatch.setitem(memory.BYTES_AT_ONCE, "cpu", room)
        evaluate = lambda task, room=room: task.evaluate(params)  # a function of its own: traced anew
        assert ("scan" in str(jax.make_jaxpr(evaluate)(task))) == loops
        measured.append(jax.jit(evaluate)(task))
    for name, value in measured[0].items():
        assert float(measured[1][name]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.slow
def test_evaluated_draws_a_subset_whose_mean_is_close():
    whole = tj.tasks.classification(DIGITS, nodes=10, alpha=0.1)
    part = tj.tasks.classification(DIGITS, nodes=10, alpha=0.1, evaluated=(150, 20, 1000))
    params = whole.init(jax.random.key(0))
    assert (part.subset.weights > 0).sum(axis=0).tolist() == [150, 20, 200]
    exact, drawn = (task.evaluate(params) for task in (whole, part))
    assert exact["loss"] != drawn["loss"]
    assert float(drawn["loss"]) == pytest.approx(float(exact["loss"]), rel=0.1)  # 150 losses near log 10, deviation < 1
    assert float(drawn["accuracy"]) == pytest.approx(float(exact["accuracy"]))  # all of the test set


def test_pixels_are_normalised_on_the_device():
    task = tj.tasks.classification(PICTURES, nodes=2)
    read = task._read(task.samples.inputs[: len(PICTURES.train)])
    assert task.samples.inputs.dtype == jnp.uint8
    assert abs(float(read.mean())) < 1e-3 and float(read.std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_node_batch_changes_rounding_only():
    params = jax.vmap(tj.tasks.classification(PICTURES, nodes=6).init)(jax.random.split(jax.random.key(0), 6))
    updated = []
    for node_batch in (1, 4, None):
        task = tj.tasks.classification(PICTURES, nodes=6, batch=2, augment="crop+flip", node_batch=node_batch)
        assert task.node_batch == node_batch
        opt_state = jax.vmap(SGD.build().init)(params)
        update = jax.jit(
            lambda task, opt_state: tj.local_update(jax.random.key(1), params, opt_state, jnp.arange(6), task, SGD)
        )
        updated.append(jax.tree.leaves(update(task, opt_state)[0]))
    for batched in updated[:2]:
        for one, other in zip(batched, updated[2], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)  # float32 sums in another order


@pytest.mark.slow
def test_schedules_momentum_and_weight_decay_of_optax():
    schedule = lambda learning_rate: optax.sgd(optax.cosine_decay_schedule(learning_rate, 20), momentum=0.9)
    decayed = tj.optimizer(tj.optimizers.decayed_sgd, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    for sgd in (tj.optimizer(schedule, learning_rate=0.1), decayed):
        task = tj.tasks.digits(nodes=10, alpha=None, model="logistic")
        algorithm = tj.decentralized_sgd(topology="ring", optimizer=sgd)
        run = tj.simulate(algorithm, task, rounds=20, tune=[0.05, 0.1], eval_every=20, progress=False)
        assert (run.final()["loss"] < 2).all()


def cut(key, images):
    return images[:, 1:]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"nodes": 1401}, "nodes is 1401 and there are 1400 training samples; use at most 1400"),
        ({"nodes": 0}, "nodes is 0; give an integer of at least 1"),
        ({}, "nodes is None"),
        ({"nodes": 10, "alpha": 0.0}, "alpha is 0.0; give a finite number above 0"),
        ({"nodes": 3, "partition": [[0], [1]]}, "partition has 2 rows, nodes is 3"),
        ({"partition": [[0, 0]]}, "sample 0 out twice"),
        ({"nodes": 5, "batch": 0}, "batch is 0; give an integer of at least 1"),
        ({"nodes": 5, "seed": -1}, "seed is -1; give an integer of at least 0"),
        ({"nodes": 5, "model": "mpl"}, "unknown model 'mpl'; did you mean 'mlp'"),
        ({"nodes": 5, "model": "lenet"}, r"\(64,\).*16 x 16"),
        ({"nodes": 5, "model": "vgg"}, r"\(64,\).*8 x 8"),
        ({"nodes": 5, "augment": "crp"}, "did you mean 'crop'"),
        ({"nodes": 5, "augment": 3}, "augment is 3"),
        ({"nodes": 5, "augment": "crop"}, r"augment does not take inputs of shape \(64,\).*leave it out"),
        ({"nodes": 5, "augment": cut}, r"augment makes float32\[2,63\] of a batch float32\[2,64\]"),
        ({"nodes": 5, "node_batch": 0}, "node_batch is 0"),
        ({"nodes": 5, "evaluated": 0}, "evaluated is 0"),
        ({"nodes": 5, "evaluated": (5, 5)}, r"evaluated is \(5, 5\); give one number, or three"),
        ({"nodes": 5, "placement": "random"}, "unknown placement 'random'"),
    ],
)
def test_bad_input_is_told(options, told):
    with pytest.raises(ValueError, match=told):
        tj.tasks.classification(DIGITS, **options)


@pytest.mark.parametrize("labels", [[[0], [1]], [0.0, 1.0], [0, -1], [0]])
def test_labels_of_a_data_set_of_ones_own_are_checked(labels):
    with pytest.raises(ValueError, match=r"(?s)^labels .*; give .*integer"):
        tj.data.Split(np.zeros((2, 3), np.float32), np.array(labels))


@pytest.mark.slow
def test_a_model_has_an_output_for_the_classes_of_every_split():
    split = lambda *labels: tj.data.Split(np.zeros((len(labels), 3), np.float32), np.array(labels, np.int32))
    own = tj.data.Dataset("own", split(0, 1), split(3), split(0))
    task = tj.tasks.classification(own, nodes=2, model="logistic")
    assert own.classes == 4 and np.isfinite(list(task.evaluate(task.init(jax.random.key(0))).values())).all()
