"""What a fingerprint sees of the code that a user wrote: classes as well as functions, the same in every process."""

import os
import subprocess
import sys

import numpy as np
import pytest

import telejax as tj
from telejax.simulation.fingerprint import difference, fingerprint
from telejax.simulation.start import check_order

CLASS = """
import functools
from dataclasses import dataclass, field
import flax.linen as nn

def helper(x):
    return x + {number}

@dataclass(frozen=True)
class Task:
    nodes: int
    scale: float = 1.0

    def loss(self, x):
        return helper(x) * {factor}

    @property
    def optimum(self):
        return {optimum}

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense({width})(x)

def make(nodes):
    return Task(nodes)
"""
USUAL = {"number": 1, "factor": 2.0, "optimum": 3, "width": 4}


def module(name: str, **changed: float):
    """A module of the user with this source, as if it was imported."""
    made = type(sys)(name)
    sys.modules[name] = made
    exec(CLASS.format(**USUAL | changed), made.__dict__)
    return made


@pytest.mark.parametrize("changed", [{"factor": 5.0}, {"optimum": 4}])
def test_another_body_of_a_class_is_another_task(changed):
    first, same, other = (fingerprint(module("users_own", **how).Task(3)) for how in ({}, {}, changed))
    assert not difference(first, same)
    assert ".code was" in difference(first, other) or " was " in difference(first, other)


def test_another_body_of_a_flax_module_is_another_model():
    first, same, other = (fingerprint(module("users_own", **how).Net()) for how in ({}, {}, {"width": 5}))
    assert not difference(first, same) and "__call__" in difference(first, other)


def test_what_a_function_of_the_user_reads_is_followed():
    first, other = fingerprint(module("users_own").make), fingerprint(module("users_own", factor=9.0).make)
    assert difference(first, other).startswith("read_Task.loss.code was")
    assert not difference(first, fingerprint(module("users_own").make))
    helped = fingerprint(module("users_own", number=7).make)
    assert "read_Task.loss.read_helper.code was" in difference(first, helped)
    assert fingerprint(np.add) == {"": "numpy.add"}  # of a library


READER = """
import functools
import users_settings as settings

SIZES = {sizes}
SCALE = {scale}

def activation(x):
    return x * SCALE

chosen = functools.partial(activation)

def loss(x):
    def inner(y):
        return chosen(y) * SIZES["wide"][0] * settings.RATE + settings.more.OFFSET + twice(y)
    return inner(x)

def twice(x):
    return loss(x) if x > 100 else 2 * x
"""

OBJECTS = {
    "a member that is None": ("dict(scale=1.0, note=None)", "dict(scale=2.0, note=None)"),
    "a library's function": ("jax.nn.relu", "jax.nn.gelu"),
    "a function of C": ("math.sin", "math.cos"),
    "a type of numbers": ("jnp.float32", "jnp.bfloat16"),
    "a namespace": ("types.SimpleNamespace(scale=1.0)", "types.SimpleNamespace(scale=2.0)"),
    "what a schedule encloses": ("optax.constant_schedule(1.0)", "optax.constant_schedule(2.0)"),
    "a bound method": ("Own(1.0).get", "Own(2.0).get"),
    "slots of an object": ("Own(1.0)", "Own(2.0)"),
    "attributes of a list": ("Listed(1.0)", "Listed(2.0)"),
    "attributes of a float": ("Number(1.0)", "Number(2.0)"),
    "an attribute of a function": ("marked(1.0)", "marked(2.0)"),
    "a range": ("range(3)", "range(4)"),
    "lists in lists": ("[[[[[[1]]]]]]", "[[[[[[2]]]]]]"),
    "what a mapping makes": ("collections.defaultdict(lambda: 1.0)", "collections.defaultdict(lambda: 2.0)"),
    "a long list": ("[0.0] * 2000 + [1.0]", "[0.0] * 2000 + [2.0]"),
    "a long set": ("set(range(2000)) | {-1}", "set(range(2000)) | {-2}"),
    "a member of an enum": ("{Kind.FAST: 1.0}", "{Kind.FAST: 2.0}"),
    "a member without a name": ("{None: 1.0, int: 1.0}", "{None: 1.0, int: 2.0}"),
    "a list of a class": (
        "type('Settings', (), {'pull': [1.0], '__module__': 'users_own'})",
        "type('Settings', (), {'pull': [2.0], '__module__': 'users_own'})",
    ),
    "a namespace of a class": ("holding(argparse.Namespace(w=2.0))", "holding(argparse.Namespace(w=2.5))"),
    "a spline": (
        "scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 2])",
        "scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 3])",
    ),
    "a sparse matrix of a class": ("holding(scipy.sparse.eye(3))", "holding(2 * scipy.sparse.eye(3))"),
    "the rule of a derivative of a class": ("holding(with_rule(1.0))", "holding(with_rule(2.0))"),
    "a static method with a rule": ("holding(staticmethod(with_rule(1.0)))", "holding(staticmethod(with_rule(2.0)))"),
    "a class of a class": ("Meta1('Made', (), {})", "Meta2('Made', (), {})"),
    "a private slot": ("Private(1.0)", "Private(2.0)"),
    "a mask": ("np.ma.array([1.0, 2.0], mask=[0, 1])", "np.ma.array([1.0, 2.0], mask=[1, 0])"),
    "the sign of zero": ("0.0", "-0.0"),
    "arrays in a queue": ("collections.deque([np.zeros(3000)])", "collections.deque([np.ones(3000)])"),
    "a view of bytes": ("memoryview(b'ab')", "memoryview(b'ac')"),
    "a default of a dataclass": ("Default1", "Default2"),
    "the rule of a derivative": ("with_rule(1.0)", "with_rule(2.0)"),
    "pairs in a long list": ("[(np.zeros(3000), 1)] * 1001", "[(np.ones(3000), 1)] * 1001"),
    "functions in a long list": ("[lambda x: x] * 1001", "[lambda x: 2 * x] * 1001"),
    "an array of objects": ("np.array([1.0, 'x', None], dtype=object)", "np.array([1.0, 'y', None], dtype=object)"),
    "arguments of a partial method": ("Partial1", "Partial2"),
    "what a graph is called": ("nx.Graph(name='a')", "nx.Graph(name='b')"),
    "a table": ("pl.DataFrame({'a': [1.0, 2.0]})", "pl.DataFrame({'a': [1.0, 3.0]})"),
    "a series": ("pl.Series([1.0, 2.0])", "pl.Series([1.0, 3.0])"),
    "texts of a table": ("pl.DataFrame({'a': ['x', 'y']})", "pl.DataFrame({'a': ['x', 'z']})"),
    "a graph": ("nx.path_graph(4)", "nx.cycle_graph(4)"),
    "arrays in a long list": ("[np.zeros(3000)] * 1001", "[np.ones(3000)] * 1001"),
}
OWN = """
import argparse, collections, dataclasses, enum, functools, math, types
import jax, jax.numpy as jnp, networkx as nx, numpy as np, optax, polars as pl, scipy.interpolate, scipy.sparse

class Kind(enum.Enum):
    FAST = 1

class Own:
    __slots__ = ("scale",)
    def __init__(self, scale): self.scale = scale
    def get(self): return self.scale

class Private:
    __slots__ = ("__scale",)
    def __init__(self, scale): self.__scale = scale

class Meta1(type):
    scale = property(lambda kind: 1.0)

class Meta2(type):
    scale = property(lambda kind: 2.0)

Meta1.__qualname__ = Meta2.__qualname__ = "Meta"

def holding(one):
    return type("Holder", (), {"held": one, "__module__": "users_own"})

class Listed(list):
    def __init__(self, scale): self.scale = scale

class Number(float):
    def __new__(cls, scale):
        made = super().__new__(cls, 0.0)
        made.scale = scale
        return made

@dataclasses.dataclass
class Default1:
    x: float = 1.0

@dataclasses.dataclass
class Default2:
    x: float = 2.0

Default1.__qualname__ = Default2.__qualname__ = "Default"

class Partial1:
    def go(self, x): return x
    one = functools.partialmethod(go, 1.0)

class Partial2:
    def go(self, x): return x
    one = functools.partialmethod(go, 2.0)

def with_rule(scale):
    @jax.custom_vjp
    def clip(x): return x
    clip.defvjp(lambda x: (x, None), lambda _, g: (g * scale,))
    return clip

def marked(scale):
    def function(): return 0
    function.scale = scale
    return function
"""


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"sizes": {"wide": [4]}}, "SIZES.wide.0 was 3 and is 4"),
        ({"scale": 2.5}, "SCALE was 1.5 and is 2.5"),
        ({"rate": 0.2}, "settings.RATE was 0.1 and is 0.2"),
        ({"offset": 8}, "settings.more.OFFSET was 7 and is 8"),
    ],
)
def test_settings_of_modules_are_compared_wherever_a_function_reads_them(monkeypatch, changed, named):
    def made(sizes=None, scale=1.5, rate=0.1, offset=7):
        for name, content in {"users_settings": {"RATE": rate}, "users_settings.more": {"OFFSET": offset}}.items():
            monkeypatch.setitem(sys.modules, name, one := type(sys)(name))
            vars(one).update(content)
        sys.modules["users_settings"].more = sys.modules["users_settings.more"]
        monkeypatch.setitem(sys.modules, "users_reader", one := type(sys)("users_reader"))
        exec(OWN + READER.format(sizes=sizes or {"wide": [3]}, scale=scale), one.__dict__)
        return fingerprint(one.loss)

    assert not difference(made(), made())
    assert named in difference(made(), made(**changed))


def test_what_a_docstring_says_changes_nothing(monkeypatch):
    def made(doc):
        monkeypatch.setitem(sys.modules, "users_own", one := type(sys)("users_own"))
        inner = f"def inner(y):\n        {doc}\n        return 2 * y"
        exec(f"def loss(x):\n    {doc}\n    {inner}\n    return inner(x), 'a text'", one.__dict__)
        return fingerprint(one.loss)

    assert not difference(made("'One.'"), made("'Another.'"))
    assert not difference(made("'One.'"), made(""))


@pytest.mark.slow
@pytest.mark.parametrize("what", OBJECTS)
def test_whatever_a_function_reads_is_compared(monkeypatch, what):
    def made(text):
        monkeypatch.setitem(sys.modules, "users_own", one := type(sys)("users_own"))
        exec(f"{OWN}\nREAD = {text}\ndef loss(x): return x, READ", one.__dict__)
        return fingerprint(one.loss)

    first, same, other = (made(OBJECTS[what][place]) for place in (0, 0, 1))
    assert not difference(first, same)
    assert "read_READ" in difference(first, other)


COUNTS = """
import dataclasses, itertools, sys
import jax, jax.numpy as jnp, optax, telejax as tj

LAYERS = {"conv", "dense", "bias", "norm"}
SCALE = 1.0 if len(sys.argv) < 4 else float(sys.argv[3])
COUNT, LOG, CACHE, CONFIG = [0], [], {}, {"calls": 0, "scale": 1.0}
TOTAL = 0

@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Counting:
    nodes: int = dataclasses.field(metadata={"static": True})

    def init(self, key):
        return jnp.zeros(2)

    def loss(self, params, node, key):
        global TOTAL
        TOTAL += 1
        COUNT[0] += 1
        CONFIG["calls"] += 1
        LOG.append(str(params.shape))
        CACHE[len(CACHE)] = jnp.zeros(1)
        return SCALE * CONFIG["scale"] * jnp.sum((params - node) ** 2) * ("dense" in LAYERS)

    def evaluate(self, params):
        return {"loss": jnp.sum(params**2)}

def run(folder, stop):
    def at(rows):
        if stop and rows["round"][-1] == 4:
            raise InterruptedError
    walk = tj.random_walk(optimizer=tj.optimizer(optax.sgd, learning_rate=0.01))
    return tj.simulate(walk, Counting(6), rounds=8, eval_every=2, checkpoint=folder, on_evaluation=at, progress=False)

if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2] == "stop").history["loss"].to_list())
"""


@pytest.mark.slow
def test_counters_logs_and_caches_of_the_run_itself_are_no_settings(tmp_path, monkeypatch):
    (tmp_path / "counts.py").write_text(COUNTS)

    def process(*arguments, seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "counts.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)

    monkeypatch.setitem(sys.modules, "counts_here", one := type(sys)("counts_here"))
    exec(COUNTS.replace("sys.argv", "[]"), one.__dict__)
    assert "InterruptedError" in process("parts", "stop", seed="1").stderr
    assert "SCALE was 1.0 and is 2.0" in process("parts", "go", "2.0", seed="2").stderr
    assert process("parts", "go", seed="2").stdout == f"{one.run(None, False).history['loss'].to_list()}\n"


@pytest.mark.slow
def test_counters_do_not_keep_a_process_from_going_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["counts"])
    monkeypatch.setitem(sys.modules, "counts", one := type(sys)("counts"))
    exec(COUNTS, one.__dict__)
    with pytest.raises(InterruptedError):
        one.run(tmp_path / "parts", True)
    assert one.run(tmp_path / "parts", False).history.equals(one.run(tmp_path / "whole", False).history)
    one.CONFIG["scale"] = 2.0
    with pytest.raises(ValueError, match=r"CONFIG\.scale was 1\.0 and is 2\.0"):
        one.run(tmp_path / "parts", False)
    one.SCALE = 3.0
    with pytest.raises(ValueError, match=r"SCALE was 1\.0 and is 3\.0"):
        one.run(tmp_path / "parts", False)


def test_telejax_own_classes_go_by_their_names():
    task = tj.tasks.quadratic(nodes=10)
    assert fingerprint(task)["type"] == "Quadratic" and not any("class" in name for name in fingerprint(task))


@pytest.mark.slow
def test_every_process_says_the_same(tmp_path):
    (tmp_path / "mine.py").write_text(CLASS.format(**USUAL))
    script = "import mine; from telejax.simulation.fingerprint import fingerprint; "
    script += "print(fingerprint(mine.Task(3)), fingerprint(mine.Net()))"
    run = lambda: (
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )
    assert run() == run() != ""


@pytest.mark.slow
def test_a_result_goes_on_in_its_own_order():
    sgd = tj.optimizer(__import__("optax").sgd, learning_rate=0.1)
    task = tj.tasks.quadratic(nodes=4, dim=2)
    walk = tj.random_walk(optimizer=sgd)
    result = tj.simulate(walk, task, rounds=1, seeds=[0, 1], tune=[0.1, 0.2], progress=False)
    settings = [{"learning_rate": 0.1}, {"learning_rate": 0.2}]
    check_order(result, [0, 1], settings)
    check_order(result, [5, 6], [{"learning_rate": 0.3}, {"learning_rate": 0.4}])  # fresh draws, other step sizes
    with pytest.raises(ValueError, match=r"seeds has what state has in another order: \[1, 0\] after \[0, 1\]"):
        check_order(result, [1, 0], settings)
    with pytest.raises(ValueError, match="give tune in the order of the result"):
        tj.simulate(walk, task, rounds=1, seeds=[0, 1], tune=[0.2, 0.1], state=result, progress=False)


def test_a_matrix_that_is_given_or_answered_is_a_copy():
    from scipy import sparse

    given = sparse.csr_array(tj.topology.star(5).matrix())
    for topology in (tj.topology.star(5), tj.topology.from_matrix(given)):
        topology.sparse().data[:] = 0
        given.data[:] = 0
        np.testing.assert_allclose(topology.matrix().sum(axis=1), 1)
