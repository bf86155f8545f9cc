"""What nodes get on their own data equals a count by hand."""

import jax
import numpy as np
import optax
import pytest

import telejax as tj
from telejax.data.datasets import Dataset, Split

pytestmark = pytest.mark.usefixtures("compiled_fast")

SGD = tj.optimizer(optax.sgd, learning_rate=0.3)
LOCAL = tj.tasks.local_accuracy()


def data(tests: int = 60) -> Dataset:
    stream = np.random.default_rng(0)
    split = lambda count: Split(stream.normal(size=(count, 4)).astype(np.float32), np.arange(count, dtype=np.int32) % 3)
    return Dataset("noise", split(90), split(12), split(tests))


def right(task, params, slots) -> np.ndarray:
    """Which test samples the model of each slot tells right, (slots, tests)."""
    inputs = task.samples.inputs[-60:]
    labels = np.asarray(task.samples.labels)[-60:]
    models = [jax.tree.map(lambda x, a=a: x[a], params) for a in slots]
    return np.stack([np.argmax(task.network.apply(one, inputs), axis=-1) == labels for one in models])


def last(method, task, **given):
    run = tj.simulate(method, task, rounds=4, eval_every=4, metrics=LOCAL, progress=False, **given)
    return run, run.history.row(-1, named=True)


@pytest.mark.slow
def test_labels_weigh_as_they_are_frequent_at_a_node():
    task = tj.tasks.classification(data(), nodes=6, alpha=0.3, batch=4)
    run, row = last(tj.decentralized_sgd(topology="ring", optimizer=SGD), task)
    told = right(task, run.state.params, range(6))
    labels = np.asarray(task.samples.labels)
    each = [
        np.mean([told[node][labels[-60:] == label].mean() for label in labels[np.asarray(task.table[node])]])
        for node in range(6)
    ]
    assert row["accuracy_local"] == pytest.approx(np.mean(each), abs=1e-6)
    assert row["accuracy_local_worst"] == pytest.approx(min(each), abs=1e-6)


@pytest.mark.slow
def test_test_samples_of_their_own_judge_nodes_that_take_slots_in_turn():
    owners = np.arange(60) % 30
    table = np.arange(90).reshape(30, 3)
    task = tj.tasks.classification(data(), partition=table, batch=2, test_owners=owners)
    run, row = last(tj.teleportation(active=4, topology="ring", optimizer=SGD), task)
    told = right(task, run.state.params, range(4))
    each = np.array([told[node % 4][owners == node].mean() for node in range(30)])
    assert row["accuracy_local"] == pytest.approx(each.mean(), abs=1e-6)
    assert row["accuracy_local_worst"] == pytest.approx(np.sort(each)[:3].mean(), abs=1e-6)


def test_owners_are_the_rows_of_the_partition_however_nodes_are_placed():
    """Three nodes of which each holds one class, dealt from the last class to the first."""
    labels = np.asarray(data().train.labels)
    partition = tj.data.by_assignment(2 - labels)
    owners = 2 - data().test.labels
    tasks = {
        placement: tj.tasks.classification(data(), partition=partition, test_owners=owners, placement=placement)
        for placement in ("shuffled", "sorted")
    }
    for placement, classes in (("shuffled", [2, 1, 0]), ("sorted", [0, 1, 2])):
        task = tasks[placement]
        assert [int(labels[task.table[node, 0]]) for node in range(3)] == classes
        assert (np.asarray(classes)[np.asarray(task.test_owners)] == data().test.labels).all()


@pytest.mark.slow
def test_of_many_nodes_some_are_looked_at_and_liars_are_not():
    task = tj.tasks.classification(tj.data.synthetic(12_000, features=3), nodes=12_000, batch=1)
    _, row = last(tj.teleportation(active=4, topology="ring", optimizer=SGD), task)
    assert 0 < row["accuracy_local"] < 1
    few = tj.tasks.classification(data(), nodes=6, alpha=0.3, batch=4)
    liars = tj.Network(adversary=tj.adversary(tj.attacks.zero(), nodes=[0, 3]))
    method = tj.decentralized_sgd(topology="ring", optimizer=SGD)
    run, row = last(method, few, network=liars)
    accuracy = np.asarray(few.accuracy_at(run.state.params, np.arange(6), np.arange(6)))
    assert row["accuracy_local"] == pytest.approx(accuracy[[1, 2, 4, 5]].mean(), abs=1e-6)
    assert row["accuracy_local_worst"] == pytest.approx(accuracy[[1, 2, 4, 5]].min(), abs=1e-6)


@pytest.mark.slow
def test_it_costs_nothing_where_it_is_not_asked_for_and_is_known_to_be_better_higher():
    task = tj.tasks.classification(data(), nodes=6, batch=4)
    method = tj.local_training(optimizer=SGD)
    plain = tj.simulate(method, task, rounds=2, progress=False).history
    assert not [name for name in plain.columns if "local" in name]
    run, _ = last(method, task, tune=[0.1, 0.3])
    assert run.higher_is_better("accuracy_local_worst") and run.tuned(by="accuracy_local").history.height == 2


@pytest.mark.parametrize(
    ("owners", "words"),
    [
        (np.zeros(60, int), "names node 1 for no test sample"),
        (np.arange(59), "give a node from 0 to 5 for each of the 60"),
        (np.arange(60), "holds 59; give a node from 0 to 5"),
        (np.zeros(60), "give a node from 0 to 5"),
    ],
)
def test_owners_that_are_none_are_refused(owners, words):
    with pytest.raises(ValueError, match=words):
        tj.tasks.classification(data(), nodes=6, test_owners=owners)


def test_a_task_without_nodes_of_its_own_is_refused():
    with pytest.raises((ValueError, TypeError), match="accuracy_at"):
        last(tj.local_training(optimizer=SGD), tj.tasks.quadratic(nodes=6))
