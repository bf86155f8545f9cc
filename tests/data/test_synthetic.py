"""Made-up data: as asked, repeatable, and as hard as it says."""

import numpy as np
import pytest

from telejax.data import synthetic


def best_possible(spread: float, seed: int) -> float:
    """The accuracy on the test set of the rule that knows the clusters (Bayes)."""
    data = synthetic(10, spread=spread, seed=seed)
    centres = np.random.default_rng([seed, 0]).standard_normal((10, 2, 20), np.float32)
    near = -((data.test.inputs[:, None, None] - centres[None]) ** 2).sum(-1) / (2 * spread**2)
    return float((np.logaddexp.reduce(near, axis=2).argmax(1) == data.test.labels).mean())


@pytest.mark.parametrize(("spread", "accuracy"), [(1.0, 0.97), (1.2, 0.93), (1.5, 0.82)])
def test_it_is_as_hard_as_its_docstring_says(spread, accuracy):
    assert best_possible(spread, seed=0) == pytest.approx(accuracy, abs=0.01)


def test_labels_are_those_given_and_held_out_samples_do_not_depend_on_them():
    labels = np.array([3, 3, 0, 1])
    one, other = synthetic(labels=labels, classes=4), synthetic(7, classes=4)
    assert one.train.labels.tolist() == labels.tolist() and len(other.train) == 7
    assert (one.test.inputs == other.test.inputs).all() and (one.validation.inputs == other.validation.inputs).all()
    assert synthetic(7, seed=1, classes=4).test.inputs[0, 0] != other.test.inputs[0, 0]
    own = synthetic(7, classes=4, test_labels=[2, 2, 1])
    assert own.test.labels.tolist() == [2, 2, 1] and (own.train.inputs == other.train.inputs).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "samples is None and labels None; give one"),
        ({"samples": 3, "labels": [1]}, "give one of the two"),
        ({"samples": 0}, "samples is 0"),
        ({"labels": [1, 10]}, "labels has the label 10; give an integer from 0 to 9"),
        ({"labels": [0.5]}, "give an integer from 0 to 9"),
        ({"samples": 3, "spread": 0}, "spread is 0"),
        ({"samples": 3, "classes": 1}, "classes is 1"),
        ({"samples": 10**13}, "give fewer of either"),
        ({"samples": 3, "test_labels": [-1]}, "test_labels has the label -1"),
    ],
)
def test_what_cannot_be_made_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        synthetic(**given)
