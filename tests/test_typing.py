"""The shapes and dtypes that public functions are annotated with are those they take and return."""

import jax
import jax.numpy as jnp
import pytest
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

import telejax as tj
from telejax.random import sampling


def checked(function):
    return jaxtyped(typechecker=beartype)(function)


def test_sampling():
    draw, first = checked(sampling.sample_distinct), checked(sampling.first_occurrence)
    assert draw(jax.random.key(0), 1000, 5).shape == (5,)
    assert first(jnp.array([3, 3, 1])).tolist() == [True, False, True]
    with pytest.raises(TypeCheckError):
        draw(jnp.zeros(3), 1000, 5)
    with pytest.raises(TypeCheckError):
        first(jnp.array([3.0, 1.0]))


@pytest.mark.parametrize("name", ["ring", "complete", "base", "random_matching"])
def test_every_form_of_mixing_keeps_shape_and_dtype(name):
    form = tj.topology.from_spec(name, 6).mixing()
    apply = checked(type(form).apply)
    assert apply(form, jnp.ones((6, 2)), jnp.ones((6, 2)), jnp.int32(1)).shape == (6, 2)
    with pytest.raises(TypeCheckError):
        apply(form, jnp.ones((6, 2)), jnp.ones((6, 2)), jnp.ones(3))  # the round is a scalar


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (tj.tasks.Quadratic, tj.tasks.quadratic(nodes=20, dim=4, noise=1.0)),
        (tj.tasks.KoloskovaQuadratic, tj.tasks.koloskova_quadratic(nodes=20, dim=4, noise=1.0)),
    ],
)
def test_tasks(kind, task):
    loss, key, node = checked(kind.loss), jax.random.key(0), jnp.int32(3)
    assert loss(task, checked(kind.init)(task, key), node, key).shape == ()
    assert checked(kind.evaluate)(task, jnp.zeros(4))["loss"].shape == ()
    with pytest.raises(TypeCheckError):
        loss(task, jnp.zeros((2, 4)), node, key)
    with pytest.raises(TypeCheckError):
        loss(task, jnp.zeros(4), jnp.float32(3), key)
