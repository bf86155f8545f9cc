"""What breaks the contract is refused before anything is compiled, by argument, value and remedy."""

from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from refusals import ReachedCompilation, check

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

NODES = 8
TASK = tj.tasks.quadratic(nodes=NODES, dim=3, noise=0.5)
SGD = tj.optimizer(optax.sgd, learning_rate=0.05, momentum=0.9)
DSGD = tj.decentralized_sgd(topology="ring", optimizer=SGD)
TELEPORT = tj.teleportation(active=4, topology="ring", optimizer=SGD)
LOSSY = tj.Network(loss=0.1)
RING = tj.topology.ring(NODES).mixing()
NAN = float("nan")


def method(cls: type) -> Any:
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(cls))


class Mine(tj.Algorithm):
    """Local steps without any mixing; tests replace its members."""

    optimizer: Any
    mixing: Any

    name = "Mine"

    def slots(self, nodes):
        return NODES

    def first_holders(self, nodes):
        return jnp.arange(NODES, dtype=jnp.int32)

    def gossip_messages(self, nodes):
        return ((0,),)

    def changed(self, state):
        return state

    def info(self, state):
        return tj.Info(state.holders)

    def step(self, key, state, task):
        params, opt_state = tj.local_update(key, state.params, state.opt_state, state.holders, task, self.optimizer)
        state = state.replace(params=params, opt_state=opt_state, round=state.round + 1)
        return self.changed(state), self.info(state)


def mine(optimizer: Any = SGD, **members: Any) -> Any:
    """A method with other members."""
    cls = type("Mine", (Mine,), {**members, "__annotations__": {"optimizer": Any, "mixing": Any}})
    return method(cls)(optimizer, RING)


def reports(counters: Any = None, gauges: Any = None) -> Any:
    info = lambda self, state: tj.Info(state.holders, {} if counters is None else counters, gauges or {})
    return mine(info=info)


def changes(**fields: Any) -> Any:
    """A method whose step returns other fields of the state."""
    return mine(
        changed=lambda self, state: state.replace(
            **{name: value(state) if callable(value) else value for name, value in fields.items()}
        )
    )


def starts(**fields: Any) -> Any:
    """A method whose start returns other fields of the state."""

    def start(self, key, params, task):
        state = tj.Algorithm.start(self, key, params, task)
        return state.replace(**{name: value(state) if callable(value) else value for name, value in fields.items()})

    return mine(start=start)


def drops(self, key, state, task, network=None):
    """A step that builds the state anew, and so forgets what it does not know."""
    return tj.State(state.params, state.opt_state, state.holders, state.round + 1), tj.Info(state.holders)


def task(nodes: Any = NODES, **members: Any) -> Any:
    """A user's task with other members."""
    own = {
        "init": lambda self, key: jnp.zeros(3),
        "loss": lambda self, params, node, key: jnp.sum((params - self.centre) ** 2),
        "evaluate": lambda self, params: {"loss": jnp.sum(params**2)},
        **members,
    }
    fields = [("centre", Any), ("nodes", Any, field(metadata={"static": True}))]
    cls = make_dataclass("MyTask", fields, namespace=own, frozen=True)
    return jax.tree_util.register_dataclass(cls)(1.0, nodes)


def gives(value: Any) -> Callable[..., Any]:
    return lambda *arguments: value


def raises(error: Exception) -> Callable[..., Any]:
    def member(*arguments: Any) -> None:
        raise error

    return member


def run(algorithm: Any = DSGD, task: Any = TASK, **arguments: Any) -> tj.Result:
    return tj.simulate(algorithm, task, **{"rounds": 3, "progress": False, **arguments})


PERPLEXED = {
    "evaluate": lambda self, params: {"loss": jnp.sum(params**2), "perplexity": 1.0},
    "higher_is_better": {"perplexity": False},
}

FN = gives(jnp.zeros(1))
ONE = jnp.zeros(1)
COUNT = jnp.zeros(1, jnp.int32)

ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"until": 3}, "until is 3; give a metric and its target"),
    ({"until": ("loss",)}, "until is ('loss',); give a metric and its target"),
    ({"until": ("los", 1.0)}, "unknown metric of until 'los'; did you mean 'loss'?"),
    ({"until": (None, 1.0)}, "unknown metric of until None"),
    ({"until": ("loss", NAN)}, "give a finite number to reach"),
    ({"until": ("loss", "x")}, "give a finite number to reach"),
    ({"until": ("loss", True)}, "give a finite number to reach"),
    ({"metrics": 5}, "metrics is 5; give a list of telejax.Metric"),
    ({"metrics": "loss"}, "metrics is 'loss'; give a list of telejax.Metric"),
    ({"metrics": None}, "metrics is None; give a list of telejax.Metric"),
    ({"metrics": ["loss"]}, "metrics holds 'loss'; give a list of telejax.Metric"),
    ({"metrics": [tj.Metric("a", FN)] * 2}, "metrics holds one named 'a', a column already there"),
    ({"metrics": tj.Metric("loss_slots", FN)}, "named 'loss_slots', a column already there"),
    ({"metrics": tj.Metric("lost", FN), "network": LOSSY}, "named 'lost', a column already there"),
    ({"metrics": tj.Metric("mean_drift", FN)}, "named 'mean_drift', a column already there"),
    ({"tune": 0.1}, "tune is 0.1; give a list of step sizes, or a mapping"),
    ({"tune": True}, "tune is True; give a list of step sizes"),
    ({"tune": "x"}, "tune is 'x'; give a list of step sizes"),
    ({"tune": b"ab"}, "tune is b'ab'; give a list of step sizes"),
    ({"tune": abs}, "give a list of step sizes"),
    ({"tune": np.array(0.1)}, "tune is array(0.1); give a list"),
    ({"tune": jnp.float32(0.1)}, "give a list of step sizes"),
    ({"tune": {}}, "tune is empty; give a list"),
    ({"tune": [[0.1]]}, "tune is [0.1]; give a finite number above 0"),
    ({"tune": ["0.1"]}, "tune is '0.1'; give a finite number above 0"),
    ({"tune": [True]}, "tune is True; give a finite number above 0"),
    ({"tune": [None]}, "tune is None; give a finite number above 0"),
    ({"tune": [NAN]}, "tune is nan; give a finite number above 0"),
    ({"tune": [0.1, 0.1 + 1e-12]}, "each only once"),
    ({"tune": {"learning_rate": []}}, "tune is []; give at least one value"),
    ({"tune": {"momentum": 0.9}}, "tune is {'momentum': 0.9}; give at least one value, in a list"),
    ({"tune": {"momentum": None}}, "tune is {'momentum': None}; give at least one value, in a list"),
    ({"tune": {"momentum": {0.1, 0.2}}}, "give at least one value, in a list"),
    ({"tune": {"momentum": [-0.5]}}, "tune['momentum'] is -0.5; give a finite number of at least 0"),
    ({"tune": {"momentun": [0.9]}}, "unknown number in tune 'momentun'; did you mean 'momentum'?"),
    ({"tune": {3: [0.9]}}, "unknown number in tune 3; give one of: "),
    ({"tune": {"learning_rate": [0.1], "optimizer.learning_rate": [0.1]}}, "which are one number; give one of them"),
    ({"tune": {"loss": [2.0]}}, "tune has 'loss', and the network has none; give network=telejax.Network(loss=...)"),
    ({"tune": {"network.loss": [0.1]}}, "the network has none; give network=telejax.Network(loss=...)"),
    ({"tune": {"loss": [2.0]}, "network": LOSSY}, "loss is 2.0; give a probability from 0 to 1"),
    ({"tune": {"loss": [NAN]}, "network": LOSSY}, "tune['loss'] is nan; give a finite number"),
    ({"tune": {"outage": [0.1]}, "network": LOSSY}, "give network=telejax.Network(outage=...)"),
    ({"network": "x"}, "network is 'x'; give a telejax.Network(...), or None"),
    ({"network": 0.1}, "network is 0.1; give a telejax.Network(...)"),
    ({"network": {"loss": 0.1}}, "network is {'loss': 0.1}; give a telejax.Network(...)"),
    ({"network": tj.Network}, "give a telejax.Network(...)"),
    ({"network": tj.Network(loss=jnp.array(2.0))}, "give a probability from 0 to 1"),
    ({"network": tj.Network(outage=jnp.float32(NAN))}, "give a probability from 0 to 1"),
    ({"network": tj.Network(loss=jnp.zeros(3))}, "loss is Array([0., 0., 0.], dtype=float32); give a probability"),
    ({"every": 3}, "every is 3 and checkpoint is None; give a folder"),
    ({"every": 0}, "every is 0; give an integer of at least 1"),
    ({"eval_every": "x"}, "eval_every is 'x'; give an integer"),
    ({"seeds": 2.0}, "seeds is 2.0; give an integer"),
    ({"seeds": "ab"}, "seeds is 'ab'; give an integer"),
    ({"seeds": b"a"}, "seeds is b'a'; give an integer"),
    ({"seeds": abs}, "give an integer"),
    ({"seeds": [1, 1]}, "seeds is [1, 1]; give at least one seed, and each only once"),
    ({"seeds": {"a": 1}}, "seeds is {'a': 1}; give an integer"),
    ({"seed": -1}, "seed is -1; give an integer of at least 0"),
    ({"seed": True}, "seed is True; give an integer"),
    ({"rounds": 2**31}, "rounds is 2147483648; rounds are counted in int32"),
    ({"rounds": 1.5}, "rounds is 1.5; give an integer"),
    ({"rounds": "10"}, "rounds is '10'; give an integer"),
    ({"rounds": None}, "rounds is None and gradients is None; give exactly one"),
    ({"gradients": 10}, "rounds is 3 and gradients is 10; give exactly one"),
    ({"rounds": None, "gradients": "x"}, "gradients is 'x'; give at least 8"),
    ({"devices": "cpu"}, "devices is 'cpu'; give a platform and how many"),
    ({"devices": 2}, "devices is 2; give a platform and how many"),
    ({"devices": ["cpu"]}, "devices is ['cpu']; give a platform"),
    ({"mesh": "x"}, "mesh is 'x'; give a jax mesh of one axis"),
    ({"on_evaluation": 5}, "on_evaluation is 5; give a function"),
    ({"checkpoint": 3}, "checkpoint is 3; give the path of a folder"),
    ({"checkpoint": ""}, "checkpoint is ''; give the path of a folder"),
    ({"metrics": tj.Metric("a", gives(jnp.zeros(2)))}, "metric 'a' returned float32[2]; return numbers of shape (1,)"),
    ({"metrics": tj.Metric("a", gives("x"))}, "metric 'a' returned str; return numbers"),
    ({"metrics": tj.Metric("a", gives(None))}, "metric 'a' returned NoneType; return numbers"),
    (
        {"metrics": tj.Metric("a", gives(np.array(["x"])))},
        "metric 'a' returned ndarray of dtype('<U1'); return numbers",
    ),
    ({"metrics": tj.Metric("a", gives(np.ma.ones(1)))}, "metric 'a' returned a masked array; return numbers"),
    ({"metrics": tj.Metric("momentum", FN), "tune": {"momentum": [0.1]}}, "['momentum'] would be several columns"),
    ({"state": 5}, "state is a int; give a result of simulate, or its state"),
    ({"state": {"params": 1}}, "state is a dict; give a result of simulate"),
]


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_arguments(arguments: dict[str, Any], words: str, uncompiled: None) -> None:
    check(lambda: run(**arguments), words)


def test_a_metric_that_fails_is_named(uncompiled: None) -> None:
    broken = tj.Metric("a", raises(KeyError("boo")))
    check(lambda: run(metrics=broken), ("metric 'a' failed on arguments of the right shapes", "boo"), TypeError)
    check(lambda: run(reports({"a": COUNT}), metrics=tj.Metric("a", FN)), "['a'] would be several columns each")


def test_what_is_right_is_taken(uncompiled: None) -> None:
    own = reports({"events": COUNT}, {"clock": ONE, "scalar": jnp.float32(0)})
    for accepted in (
        lambda: run(own, tune=np.array([0.1, 0.2]), seeds=np.arange(2), until=("loss", np.float32(1))),
        lambda: run(tj.decentralized_sgd(topology="ou_equidyn", optimizer=SGD)),  # counts drawn messages by a function
        lambda: run(task=task(**PERPLEXED), tune=range(1, 3)),
        lambda: run(TELEPORT, network=tj.Network(loss=np.array(0.5)), tune={"loss": [0.0, 1.0]}),
        lambda: run(task=task(gradient=lambda self, params, node, key: params), metrics=[tj.Metric("a", FN, True)]),
    ):
        with pytest.raises(ReachedCompilation):
            accepted()


READY = tj.decentralized_sgd(topology="ring", optimizer=optax.sgd(0.1))
SCHEDULE = tj.decentralized_sgd(
    topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=optax.linear_schedule(0.1, 0.0, 9), nesterov=True)
)


@method
class TwoOptimizers(Mine):
    optimizer: Any
    mixing: Any
    server_optimizer: Any
    threshold: Any


TWO = TwoOptimizers(SGD, RING, SGD, 3)


@pytest.mark.parametrize(
    ("algorithm", "tune", "words"),
    [
        (TELEPORT, {"active": [2, 4]}, "tune has 'active', which is structure of TELEPORTATION"),
        (SCHEDULE, {"nesterov": [1.0]}, "tune has 'nesterov', which is structure of"),
        (READY, [0.1], "a ready optax transformation, whose step size cannot be tuned; give telejax.optimizer"),
        (READY, {"optimizer.learning_rate": [0.1]}, "a ready optax transformation"),
        (READY, {"momentum": [0.1]}, "has no numbers to tune; give optimizer=telejax.optimizer("),
        (SCHEDULE, [0.1], "was given a schedule as learning_rate, so a step size cannot be tuned; give a number"),
        (TWO, [0.1], "optimizer.learning_rate or server_optimizer.learning_rate; give one of these names"),
        (TWO, {"server_optimiser.momentum": [0.1]}, "did you mean 'server_optimizer.momentum'?"),
        (TWO, {"threshold": [0.1]}, "tune has 'threshold', which is 3 in Mine; write 3.0 to tune it"),
    ],
)
def test_numbers_to_tune(algorithm: Any, tune: Any, words: str, uncompiled: None) -> None:
    check(lambda: run(algorithm, tune=tune), words)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tj.Metric("a", FN, "yes"), "higher_is_better of Metric 'a' is 'yes'; give True, False or None"),
        (lambda: tj.Metric("a", FN, 1), "higher_is_better of Metric 'a' is 1"),
        (lambda: tj.Metric(3, FN), "name of a Metric is 3"),
        (lambda: tj.Metric("", FN), "name of a Metric is ''"),
        (lambda: tj.Metric("a", None), "fn of Metric 'a' is None; give fn(models, judged, state, task, groups)"),
        (lambda: tj.Metric("a", FN, label=3), "label of Metric 'a' is 3"),
        (lambda: tj.Network(loss=1.1), "loss is 1.1; give a probability from 0 to 1, or None"),
        (lambda: tj.Network(outage=-0.1), "outage is -0.1; give a probability"),
        (lambda: tj.Network(loss=NAN), "loss is nan; give a probability"),
        (lambda: tj.Network(loss="0.1"), "loss is '0.1'; give a probability"),
        (lambda: tj.Network(loss=True), "loss is True; give a probability"),
        (lambda: tj.Network(outage=[0.1]), "outage is [0.1]; give a probability"),
        (lambda: tj.optimizer(optax.sgd, learning_rate="0.1"), "learning_rate is '0.1'; give a finite number"),
        (lambda: tj.optimizer(optax.sgd, learning_rate=True), "learning_rate is True; give a finite number"),
        (lambda: tj.optimizer(optax.sgd, learning_rate=0.1, momentum=NAN), "momentum is nan; give a number"),
        (lambda: tj.optimizer(optax.constant_schedule, value=0.1), "constant_schedule, which returned function and no"),
        (lambda: tj.as_optimizer(optax.sgd), "optimizer is <function sgd"),
        (lambda: DSGD.with_learning_rate(-1.0), "learning_rate is -1.0; give a finite number of at least 0"),
        (lambda: DSGD.with_learning_rate("x"), "learning_rate is 'x'; give a finite number of at least 0"),
        (lambda: SCHEDULE.with_learning_rate(0.1), "was given a schedule as learning_rate"),
    ],
)
def test_parts(call: Callable[[], Any], words: str) -> None:
    check(call, words)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (reports({"e": ONE}), "counter 'e' is float32[1]; give integers of shape (1,)"),
        (reports({"e": jnp.zeros(2, jnp.int32)}), "counter 'e' is int32[2]; give integers of shape (1,)"),
        (reports({"e": 0}), "counter 'e' is int32[]; give integers"),
        (reports({"e": None}), "counter 'e' is NoneType; give integers"),
        (reports({"e": "x"}), "counter 'e' is str; give integers"),
        (reports({"e": {"a": COUNT}}), "counter 'e' is dict; give integers"),
        (reports([1]), "counters of Info is list; give a dict"),
        (reports({3: COUNT}), "counters of Info has one named 3"),
        (reports({"bytes": COUNT}), "Mine reports ['bytes'], names of columns already there"),
        (reports({"loss_slots": COUNT}), "Mine reports ['loss_slots'], names of columns already there"),
        (reports({"e": COUNT}, {"e": ONE}), "Mine reports ['e'], names of columns already there"),
        (reports(gauges={"e": jnp.zeros(2)}), "gauge 'e' is float32[2]; give numbers of shape (1,)"),
        (reports(gauges={"e": "x"}), "gauge 'e' is str; give numbers"),
        (reports(gauges={"consensus": ONE}), "Mine reports ['consensus']"),
        (reports(gauges={"messages": ONE}), "Mine reports ['messages']"),
        (mine(info=gives(None)), "Mine.step returned (State, NoneType); return state.replace(...), telejax.Info(...)"),
        (mine(info=gives(tj.Info(jnp.zeros(3)))), "holders of Info is float32[3]; give int32[8]"),
        (mine(step=lambda self, key, state, task: state), "Mine.step returned State; return state.replace(...)"),
        (mine(step=gives(None)), "Mine.step returned NoneType; return state.replace(...)"),
        (changes(opt_state=None), ("Mine.step changed opt_state of the state", "write state.replace(...)")),
        (
            changes(params=lambda state: state.params.astype(jnp.float16)),
            "params was float32[8,3] and is float16[8,3]; write state.replace(...)",
        ),
        (changes(params=lambda state: {"a": state.params}), "params was float32[8,3] and is {'a': float32[8,3]}"),
        (changes(params="x"), "params was float32[8,3] and is str"),
        (changes(holders=None), "Mine.step changed holders of the state"),
        (changes(round=lambda state: state.round * 1.0), "round was int32[] and is float32[]"),
        (changes(memory=tj.Memory(slot=jnp.zeros(8))), "memory was an empty Memory and is Memory(slot=float32[8]"),
        (changes(memory=None), "memory was an empty Memory and is an empty NoneType"),
        (changes(world={"a": ONE}), "Mine.step changed world of the state"),
        (mine(bind=gives(None)), "bind returned None; return the method itself"),
        (mine(init_optimizer=gives(None)), "Mine.init_optimizer returned None; return arrays (slots, ...)"),
        (starts(world={"a": ONE}), ("world of the state of Mine.start is", "leave it to the network")),
        (starts(memory=tj.Memory(slot=jnp.zeros((3, 2)))), "memory.slot has a leaf of shape (3, 2); its first axis"),
        (starts(memory=tj.Memory(slot=1.0)), "memory.slot has a leaf of shape (); its first axis"),
        (starts(memory=tj.Memory(node=jnp.zeros(3))), "memory.node has a leaf of shape (3,); its first axis"),
        (starts(memory=tj.Memory(common="x")), "has 'x' in .memory.common; give arrays"),
        (starts(memory={"slot": ONE}), "memory of the state of Mine.start is dict; give telejax.Memory("),
        (
            starts(memory=lambda state: tj.Memory(node=jnp.zeros((NODES, 2**38)))),
            (
                "the state of Mine (its memory included) for 1 run of 8 slots needs 8796.1 GB",
                "GB are free; run fewer seeds",
            ),
        ),
        (starts(params=None), "params of the state of Mine.start is None"),
        (starts(params=lambda state: state.params[0]), "params of the state of Mine.start has a leaf float32[3]"),
        (starts(holders=jnp.zeros(3, jnp.int32)), "holders of the state of Mine.start is int32[3]; give int32[8]"),
        (starts(holders=jnp.zeros(8)), "holders of the state of Mine.start is float32[8]; give int32[8]"),
        (starts(round=None), "round of the state of Mine.start is NoneType; give jnp.int32(0)"),
        (mine(start=gives(None)), "Mine.start returned NoneType; return the State of super().start(...)"),
        (mine(slots=gives(0)), "Mine.slots(8) is 0; let it return an integer of at least 1"),
        (mine(slots=gives(-1)), "Mine.slots(8) is -1; let it return an integer of at least 1"),
        (mine(slots=gives(2.5)), "Mine.slots(8) is 2.5; let it return an integer of at least 1"),
        (mine(slots=gives(None)), "Mine.slots(8) is None; let it return an integer of at least 1"),
        (mine(name=3), "Mine.name is 3; give a text"),
        (mine(copy_bytes=gives(0.5)), "Mine.copy_bytes(state) is 0.5; give an integer of at least 0"),
        (mine(handoff_bytes=gives(-1)), "Mine.handoff_bytes(state) is -1; give an integer of at least 0"),
        (mine(groups=gives((3, 3))), "Mine.groups returned (3, 3); give a tuple of integers whose sum is the 8 slots"),
        (mine(groups=gives(8)), "Mine.groups returned 8; give a tuple"),
        (mine(gossip_messages=gives((3,))), "Mine.gossip_messages returned (3,); give a tuple with a tuple"),
        (mine(gossip_messages=gives(None)), "Mine.gossip_messages returned None"),
        (mine(gradients=gives((3.0,))), "Mine.gradients returned (3.0,); give a tuple with an integer"),
        (mine(first_gradients=gives((3, 3))), "Mine.first_gradients returned (3, 3)"),
        (mine(models=lambda self, state: state.params[:3]), "Mine.models returned other shapes than those of params"),
        (mine(judged=gives([True])), "Mine.judged returned list; return bool[8], or None"),
        (mine(judged=gives(jnp.ones(3, bool))), "Mine.judged returned bool[3]"),
        (mine(optax.sgd(0.1)), "optimizer is a bare optax transformation; give telejax.optimizer(optax.sgd"),
        (
            mine(optax.linear_schedule(0.1, 0.0, 9)),
            ("optimizer is <function", "give telejax.optimizer", "as_optimizer"),
        ),
        (mine(optax.sgd), "optimizer is <function sgd"),
        (mine(None), "optimizer is None; give telejax.optimizer"),
        (TwoOptimizers(SGD, RING, optax.sgd(0.1), 1.0), "server_optimizer is a bare optax transformation"),
        (None, "algorithm is None; give an algorithm"),
        ("dsgd", "algorithm is 'dsgd'; give an algorithm"),
        (3, "algorithm is 3; give an algorithm"),
        (tj.teleportation, "algorithm is teleportation, which was not called"),
        (type(DSGD), "algorithm is DecentralizedSGD, which was not called"),
        (TASK, "algorithm is a Quadratic, a task; give simulate(algorithm, task) in this order"),
        (type("Loose", (Mine,), {"optimizer": SGD})(), "no pytree, so its numbers cannot enter a program; decorate"),
    ],
)
def test_methods(algorithm: Any, words: str | tuple[str, ...], uncompiled: None) -> None:
    check(lambda: run(algorithm), words)


def test_what_a_step_forgets_is_named(uncompiled: None) -> None:
    def start(self, key, params, task):
        return tj.Algorithm.start(self, key, params, task).replace(memory=tj.Memory(slot=jnp.zeros((NODES, 2))))

    words = ("Mine.step changed memory of the state: memory was Memory(slot=float32[8,2]", "is an empty Memory")
    check(lambda: run(mine(start=start, step=drops)), words)
    check(lambda: run(mine(step=drops), network=LOSSY), ("changed world of the state", "write state.replace(...)"))
    check(
        lambda: run(mine(), network=LOSSY),
        "and Mine.step takes none; take another method or, where it is yours, give its step a fourth argument, network",
    )
    groups = {"groups": gives((4, 4)), "gossip_messages": gives(((0,), (0,)))}

    def by_nodes(self, key, params, task):
        return tj.Algorithm.start(self, key, params, task).replace(memory=tj.Memory(node=jnp.zeros(NODES)))

    check(lambda: run(mine(start=by_nodes, **groups)), "memory.node is kept by nodes, and Mine has 2 groups")
    check(lambda: mine(optax.sgd(0.1)).init(jax.random.key(0), TASK), "optimizer is a bare optax transformation")
    check(lambda: run(mine(gradients=gives((0,))), rounds=None, gradients=9), "Mine computes none; give rounds")


@pytest.mark.parametrize("bases", [(Mine,), (type("Mixin", (), {"init": gives(None)}), Mine)])
def test_init_is_final(bases: tuple[type, ...]) -> None:
    members = {"init": gives(None)} if len(bases) == 1 else {}
    words = "Other overrides init, which is final; override start(key, params, task)"
    check(lambda: type("Other", bases, members), words, TypeError)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "task is None, which has no nodes and no init"),
        (3, "task is 3, which has no nodes"),
        ("quadratic", "task is 'quadratic', which has no nodes"),
        (tj.tasks.quadratic, "task is quadratic, which was not called"),
        (type(TASK), "task is Quadratic, which was not called"),
        (DSGD, "task is a DecentralizedSGD, which has no nodes"),
        (type("Loose", (), {"nodes": 8, **{m: gives(None) for m in ("init", "loss", "evaluate")}})(), "no pytree"),
        (task(0), "task.nodes is 0; make it a static field"),
        (task(-1), "task.nodes is -1; make it a static field"),
        (task(8.0), "task.nodes is 8.0; make it a static field"),
        (task(2**31), "task.nodes is 2147483648; make it a static field with an integer from 1 to 2147483647"),
        (task(np.zeros(2)), "task.nodes is array([0., 0.]); make it a static field"),
        (task(init=gives(jnp.zeros(3, jnp.float8_e4m3fn))), "task.init returned float8_e4m3fn"),
        (task(init=gives(jnp.zeros(3, jnp.int32))), "task.init returned int32; parameters are arrays of floats"),
        (task(init=gives(1.0)), "task.init returned float; parameters are arrays of floats"),
        (task(init=gives(None)), "task.init returned None, no arrays"),
        (task(init=gives({"a": "x"})), "task.init returned str; parameters are arrays"),
        (task(loss=gives(jnp.zeros(3))), ("task.loss returned", "shape=(3,)", "return a scalar float")),
        (task(loss=gives(jnp.int32(1))), "return a scalar float"),
        (task(loss=gives(None)), "task.loss returned None; return a scalar float"),
        (task(loss=gives("x")), "task.loss returned 'x'; return a scalar float"),
        (task(evaluate=gives({"a": 1.0})), "task.evaluate returned ['a']; it needs a 'loss'"),
        (task(evaluate=gives(None)), "task.evaluate returned None; return a mapping"),
        (task(evaluate=gives([("loss", 1.0)])), "return a mapping of names to scalars"),
        (task(evaluate=gives({"loss": jnp.zeros(2)})), "task.evaluate returned loss of shape (2,); return scalars"),
        (task(evaluate=gives({"loss": "x"})), "task.evaluate returned loss as str; return scalars"),
        (task(evaluate=gives({"loss": None})), "task.evaluate returned loss as NoneType; return scalars"),
        (task(evaluate=gives({"loss": {"a": 1.0}})), "task.evaluate returned loss as dict; return scalars"),
        (task(evaluate=gives({"loss": jnp.complex64(1)})), "loss as complex64[]; return scalars"),
        (task(evaluate=gives({"loss": 1.0, 3: 1.0})), "names cannot be sorted; make all of them text"),
        (task(evaluate=gives({"loss": jnp.float8_e5m2(1)})), "loss as float8_e5m2[]; return scalars"),
        (task(evaluate=gives({"loss": 1.0, "nodes": 1.0})), "returned ['nodes'], names of columns already there"),
        (task(evaluate=gives({"loss": 1.0, "round": 1.0})), "returned ['round'], names of columns already there"),
        (task(evaluate=gives({"loss": 1.0, "lost": 1.0})), "returned ['lost'], names of columns already there"),
        (task(evaluate=gives({"loss": 1.0, "loss_slots": 1.0})), "['loss_slots'], names of columns already there"),
        (task(higher_is_better=5), "task.higher_is_better is 5; give a mapping"),
        (task(higher_is_better={"loss": "low"}), "task.higher_is_better has 'loss': 'low'; give True or False"),
        (task(higher_is_better={"loss": 1}), "task.higher_is_better has 'loss': 1; give True or False"),
        (task(higher_is_better={3: True}), "task.higher_is_better has 3: True"),
        (task(higher_is_better={"los": True}), "higher_is_better names ['los'], and task.evaluate returned ['loss']"),
        (
            task(init=gives({"w": jax.ShapeDtypeStruct((3,), "float32")})),
            ("task.init returned", "a shape without numbers; return arrays"),
        ),
        (
            task(evaluate=gives({"loss": jax.ShapeDtypeStruct((), "float32")})),
            "task.evaluate returned ShapeDtypeStruct",
        ),
        (task(gradient=3), "task.gradient is 3; give a function"),
        (task(gradient=gives(jnp.zeros(4))), "was float32[3] and is float32[4]; return their gradient"),
        (task(node_batch=0), "task.node_batch is 0; give an integer of at least 1"),
        (task(name=3), "task.name is 3; give a text"),
    ],
)
def test_tasks(given: Any, words: str | tuple[str, ...], uncompiled: None) -> None:
    check(lambda: run(task=given), words)


@pytest.mark.parametrize("error", [TypeError, AttributeError, ValueError, KeyError, ZeroDivisionError, NameError])
@pytest.mark.parametrize("member", ["init", "loss", "evaluate"])
def test_members_that_raise_are_named(member: str, error: type[Exception], uncompiled: None) -> None:
    broken = task(**{member: raises(error("boo"))})
    check(lambda: run(task=broken), (f"task.{member} failed on arguments of the right shapes", "boo"), TypeError)


@pytest.fixture(scope="module")
def result() -> tj.Result:
    return tj.simulate(DSGD, TASK, rounds=2, seeds=2, progress=False)


@pytest.mark.slow
def test_states_of_other_runs(result: tj.Result, tmp_path: Path, uncompiled: None) -> None:
    state = result.state
    assert state is not None
    with pytest.raises(ReachedCompilation):
        run(state=result, seeds=2)
    other = tj.decentralized_sgd(topology="ring", optimizer=tj.optimizer(optax.sgd, learning_rate=0.1))
    rows: list[tuple[Any, dict[str, Any], str]] = [
        (DSGD, {"state": result}, "state.params is float32[2, 8, 3], and this run needs float32[8, 3]"),
        (DSGD, {"state": result, "seeds": 3}, "give a state of as many slots, seeds and step sizes"),
        (DSGD, {"state": result, "seeds": 2, "tune": [0.1]}, "this run needs float32[2, 1, 8, 3]"),
        (TELEPORT, {"state": result, "seeds": 2}, "this run needs float32[2, 4, 3]"),
        (other, {"state": result, "seeds": 2}, "state has another structure than this run in opt_state"),
    ]
    for algorithm, arguments, words in rows:
        check(lambda algorithm=algorithm, arguments=arguments: run(algorithm, **arguments), words)
    changed: list[tuple[dict[str, Any], str]] = [
        ({"params": None}, "another structure than this run in params"),
        ({"memory": tj.Memory(common=ONE)}, "another structure than this run in memory"),
        ({"params": state.params.astype(jnp.float16)}, "state.params is float16[2, 8, 3]"),
        ({"holders": state.holders + 1}, "a slot held by node 8, and the task has 8 nodes"),
        ({"holders": state.holders - 2}, "a slot held by node -2"),
        ({"holders": 3}, "state.holders is int[], and this run needs int32[2, 8]"),
        ({"round": jnp.int32(-1)}, "give an int32 scalar, the rounds done: 0 to"),
        ({"round": 2**31}, "state.round is 2147483648; give an int32 scalar"),
        ({"round": None}, "state.round is None; give an int32 scalar"),
        ({"round": jnp.zeros(2, jnp.int32)}, "give an int32 scalar"),
        ({"round": jnp.int32(2**31 - 3)}, "rounds is 3; rounds are counted in int32, give at most 2"),
    ]
    for fields, words in changed:
        check(lambda fields=fields: run(state=state.replace(**fields), seeds=2), words)
    lossy, strange = {"network": LOSSY, "seeds": 2}, state.replace(world={"a": ONE})
    check(lambda: run(state=strange, **lossy), "another structure than this run in world")
    with pytest.raises(ReachedCompilation):  # the network begins here
        run(state=state, **lossy)
    halves = mine(groups=gives((4, 4)), gossip_messages=gives(((0,), (0,))))
    check(lambda: run(halves, state=result, seeds=2), "2 seeds, 1 settings and 1 groups, and this run has 2 seeds")
    result.save(tmp_path / "saved")
    check(lambda: run(state=tj.load(tmp_path / "saved"), seeds=2), "state is a result without a final state")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda result: result.tuned("los"), "unknown column 'los'; did you mean 'loss'?"),
        (lambda result: result.tuned("bytes"), "nobody knows whether a higher one is better; declare it"),
        (lambda result: result.tuned(group=3), "group is 3; give one of the groups [0]"),
        (lambda result: result.tuned("loss", False), "group is False; give one of the groups [0]"),
        (lambda result: result.tuned("loss", -0.0), "group is -0.0; give one of the groups [0]"),
        (lambda result: result.tuned("loss", np.zeros(2)), "group is array([0., 0.]); give one of the groups [0]"),
        (lambda result: jax.jit(lambda group: result.tuned("loss", group))(0), "give one of the groups [0]"),
        (lambda result: result.tuned(""), "unknown column ''"),
        (lambda result: result.tuned({}), "unknown column {}"),
        (lambda result: result.first("loss", 1j), "target is 1j; give a finite number"),
        (lambda result: result.summary(np.array(3)), "metrics is array(3); give a list of columns"),
        (lambda result: result.first("los", 1.0), "unknown column 'los'; did you mean 'loss'?"),
        (lambda result: result.first("loss", NAN), "target is nan; give a finite number"),
        (lambda result: result.first("loss", True), "target is True; give a finite number"),
        (lambda result: result.first("loss", 1.0, x="time"), "unknown x 'time'; give one of: bytes"),
        (lambda result: result.rounds_to(1.0), "unknown column 'accuracy'"),
        (lambda result: result.rounds_to("x", "loss"), "target is 'x'; give a finite number"),
        (lambda result: result.plot("los"), "unknown column 'los'; did you mean 'loss'?"),
        (lambda result: result.plot(None), "unknown column None"),
        (lambda result: result.plot("loss", x="byte"), "unknown column 'byte'; did you mean 'bytes'?"),
        (lambda result: result.summary(["los"]), "unknown column 'los'; did you mean 'loss'?"),
        (lambda result: result.summary("loss"), "metrics is 'loss'; give a list of columns"),
        (lambda result: result.summary(5), "metrics is 5; give a list of columns"),
        (lambda result: result.summary(["loss", "loss"]), "metrics is ['loss', 'loss']; give each column only once"),
        (lambda result: result.save(None), "path is None; give the path of a new folder"),
        (lambda result: result.summary(["seed"]), "a summary has ['seed'] already; leave them out"),
    ],
)
def test_results(call: Callable[[tj.Result], Any], words: str, result: tj.Result) -> None:
    check(lambda: call(result), words)


def test_checkpoints_are_folders(tmp_path: Path, uncompiled: None) -> None:
    file = tmp_path / "file"
    file.write_text("taken")
    check(lambda: run(checkpoint=file), ("checkpoint is", "which is a file; give a folder"))
    check(lambda: run(checkpoint=file / "below"), ("checkpoint is", "below a file; give another folder"), OSError)
    for every in (0, "x", 2.5, True):
        check(lambda every=every: run(checkpoint=tmp_path / "new", every=every), f"every is {every!r}; give an integer")


@pytest.mark.slow
def test_a_tuned_number_named_like_a_column_goes_by_its_full_name() -> None:
    history = run(TELEPORT, network=LOSSY, tune={"loss": [0.0, 0.5]}).history
    assert history["network.loss"].unique().sort().to_list() == [0.0, 0.5]


def first_alone(learning_rate):
    """SGD that returns an update for the first number alone, which would be broadcast."""
    sgd = optax.sgd(learning_rate)

    def update(grads, state, params=None):
        changes, state = sgd.update(grads, state, params)
        return jax.tree.map(lambda x: x[:1], changes), state

    return optax.GradientTransformation(sgd.init, update)


def test_updates_of_other_shapes_are_refused() -> None:
    method = tj.random_walk(optimizer=tj.optimizer(first_alone, learning_rate=0.1))
    with pytest.raises(ValueError, match=r"updates of shapes \[\(1,\)\] for parameters of shapes \[\(3,\)\]"):
        tj.simulate(method, TASK, rounds=1)


@pytest.mark.parametrize(
    ("holders", "message"),
    [
        (jnp.array([0, 99]), "holders has node 99, and the task has 8"),
        (jnp.array([-1, 2]), "holders has node -1, and the task has 8"),
        (jnp.array([0.0, 1.0]), "holders is .*; give integers"),
    ],
)
def test_holders_that_are_no_nodes_are_refused(holders, message) -> None:
    params = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=message):
        tj.gradients(jax.random.key(0), params, holders, TASK)
    with pytest.raises(ValueError, match=message):
        tj.local_update(jax.random.key(0), params, jax.vmap(SGD.build().init)(params), holders, TASK, SGD)


def test_no_local_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        tj.local_update(jax.random.key(0), jnp.zeros((1, 3)), (), jnp.array([0]), TASK, SGD, steps=0)


@pytest.mark.slow
def test_many_local_steps_are_a_loop_of_the_same_steps() -> None:
    params, holders = jnp.ones((2, 3)), jnp.array([0, 5])
    state = jax.vmap(SGD.build().init)(params)
    update = lambda: tj.local_update(jax.random.key(0), params, state, holders, TASK, SGD, steps=4)[0]
    written = update()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telejax.algorithms.parts.WRITTEN_OUT", 3)
        looped = update()
    np.testing.assert_allclose(looped, written, rtol=1e-5)  # float32, compiled apart


@dataclass(frozen=True)
class Standing(type(TELEPORT)):
    """A method that leaves the number of the round as it is, or counts two at once."""

    adds: int = field(metadata={"static": True})

    def step(self, key, state, task):
        after, info = super().step(key, state, task)
        return after.replace(round=state.round + self.adds), info


jax.tree_util.register_dataclass(Standing)


@pytest.mark.slow
@pytest.mark.parametrize("adds", [0, 2])
def test_rounds_are_counted_by_the_engine(adds) -> None:
    odd = Standing(*(getattr(TELEPORT, one.name) for one in fields_of(TELEPORT)), adds)
    sound, found = (tj.simulate(one, TASK, rounds=3, progress=False).history for one in (TELEPORT, odd))
    assert found["loss"].to_list() == sound["loss"].to_list()


@pytest.mark.parametrize("number", [1e39, 10**400])
def test_numbers_that_the_device_cannot_hold_are_refused(number) -> None:
    with pytest.raises(ValueError, match=r"noise is .*; give a number of at most"):
        tj.tasks.quadratic(nodes=4, noise=number)
    with pytest.raises(ValueError, match=r"tune is .*; give a number of at most"):
        tj.simulate(TELEPORT, TASK, rounds=1, tune=[number])
