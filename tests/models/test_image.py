"""The convolutional networks: of the paper's size, and the same in both forms of their convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from telejax import models

pytestmark = pytest.mark.usefixtures("compiled_fast")


@pytest.mark.slow
@pytest.mark.parametrize("model", [models.LeNet, models.VGG])
def test_forms_give_the_same_gradients_with_weights_per_node(model):
    shape = (28, 28, 1) if model is models.LeNet else (8, 8, 3)
    inputs = jax.random.normal(jax.random.key(0), (2, 3, *shape))
    labels = jnp.arange(3)

    def network(form):
        return model(10, form=form) if model is models.LeNet else model(10, stages=((4,),), form=form)

    init = jax.jit(jax.vmap(lambda key: network("plain").init(key, inputs[0])["params"]))
    params = init(jax.random.split(jax.random.key(1)))

    def gradients(form):
        outputs = lambda p, x: network(form).apply({"params": p}, x)
        loss = lambda p, x: -jnp.mean(jax.nn.log_softmax(outputs(p, x))[labels, labels])
        return jax.jit(jax.vmap(jax.grad(loss)))(params, inputs)

    plain = jax.tree.leaves(gradients("plain"))
    for form in ("windows", None):
        for fast, slow in zip(jax.tree.leaves(gradients(form)), plain, strict=True):
            np.testing.assert_allclose(fast, slow, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [17, 18, 21])
def test_lenet_takes_pictures_whose_pixels_are_no_whole_blocks(size):
    inputs = jax.random.normal(jax.random.key(0), (3, size, size, 1))
    params = jax.jit(models.LeNet(4).init)(jax.random.key(1), inputs)
    ours, plain = (jax.jit(models.LeNet(4, form=form).apply)(params, inputs) for form in (None, "plain"))
    np.testing.assert_allclose(ours, plain, atol=1e-5)


def test_lenet_has_the_papers_size():
    params = jax.eval_shape(models.LeNet(10).init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    assert sum(x.size for x in jax.tree.leaves(params)) == 44_470
