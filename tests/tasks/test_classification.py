"""Classification: the loss is the cross-entropy of the node's own samples, and of nothing else."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import telejax as tj
from telejax.testing import check_task

pytestmark = pytest.mark.usefixtures("compiled_fast")


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


def test_loss_is_the_cross_entropy_of_a_batch_of_the_node(task) -> None:
    params = task.init(jax.random.key(3))
    data = tj.data.digits()
    for node in (0, 7, 19):
        key = jax.random.key(node)
        picks = np.asarray(jax.random.randint(key, (5,), 0, task.table.shape[1]))
        chosen = np.asarray(task.table)[node][picks]
        expected, _ = cross_entropy(params, data.train.inputs[chosen], data.train.labels[chosen])
        assert float(task.loss(params, jnp.int32(node), key)) == pytest.approx(expected, rel=1e-5)  # float32


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


def test_parts_of_the_digits_do_not_overlap() -> None:
    from sklearn.datasets import load_digits

    data = tj.data.digits()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1400, 197, 200]
    rows = np.concatenate([part.inputs for part in (data.train, data.validation, data.test)])
    everything = load_digits().data / 16
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, everything.astype(np.float32).tolist()))
    assert data.classes == 10


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "logistic"])
def test_contract(model: str) -> None:
    check_task(tj.tasks.digits(nodes=14, alpha=0.5, model=model, batch=4))


def test_own_model_is_used() -> None:
    task = tj.tasks.digits(nodes=10, model=nn.Dense(10, use_bias=False))
    assert jax.tree.map(jnp.shape, task.init(jax.random.key(0))) == {"kernel": (64, 10)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 1401}, "nodes is 1401 and there are 1400 training samples; use at most 1400"),
        ({"nodes": 0}, "nodes is 0; give an integer of at least 1"),
        ({"alpha": 0.0}, "alpha is 0.0; give a finite number above 0"),
        ({"alpha": -0.5}, "alpha is -0.5; give a finite number above 0"),
        ({"batch": 0}, "batch is 0; give an integer of at least 1"),
        ({"model": "mpl"}, "unknown model 'mpl'; did you mean 'mlp'"),
        ({"seed": -1}, "seed is -1; give an integer of at least 0"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tj.tasks.digits(**arguments)
