"""Modules are type-checked while tests run, but for those with pytree dataclasses, of which the essentials are here."""

import ast
import inspect
from importlib import import_module

import jax
import jax.numpy as jnp
import pytest
import type_checked
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

import telejax as tj
from telejax.random import sampling


def test_exceptions_are_modules_that_define_pytree_dataclasses():
    decorators = {"pytree", "jax.tree_util.register_dataclass"}
    found = {
        name
        for name, path in type_checked.modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and decorators.intersection(map(ast.unparse, node.decorator_list))
    }
    assert found == type_checked.PYTREES


@pytest.mark.parametrize("name", sorted(type_checked.modules().keys() - type_checked.PYTREES))
def test_every_other_module_is_checked(name):
    own = [one for one in vars(import_module(name)).values() if getattr(one, "__module__", None) == name]
    unchecked = [one for one in own if inspect.isfunction(one) and not hasattr(one, "__wrapped__")]
    assert [one.__name__ for one in unchecked if one.__name__ != "<lambda>"] == []


@pytest.mark.slow
def test_what_is_left_out_defines_nothing():
    for path in type_checked.PACKAGE.rglob("*.py"):
        if path not in type_checked.modules().values():
            assert path.name == "__init__.py" and not type_checked.defines(path, ast.Lambda)


@pytest.mark.slow
def test_wrong_arrays_are_seen():
    assert sampling.sample_distinct(jax.random.key(0), 1000, 5).shape == (5,)
    with pytest.raises(TypeCheckError):
        sampling.sample_distinct(jnp.zeros(3), 1000, 5)
    with pytest.raises(TypeCheckError):
        sampling.first_occurrence(jnp.array([3.0, 1.0]))


def test_checks_can_be_left_out(any_types):
    with pytest.raises(ValueError, match="nodes is 'many'"):
        tj.topology.ring("many")


def checked(function):
    return jaxtyped(typechecker=beartype)(function)


@pytest.mark.slow
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
