"""``telejax methods``: every method, what a round costs, and what it asks of its graph, as a table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from telejax.algorithms import registry
from telejax.cli.compiling import Compiling
from telejax.errors import check_integer

if TYPE_CHECKING:
    from telejax.algorithms.base import Algorithm
    from telejax.tasks.base import Task


@dataclass(frozen=True)
class Methods(Compiling):
    """List the methods: what a round of each costs, what it remembers, which graphs it takes, whether it is exact."""

    nodes: int = 16
    """Number of nodes, on a ring where a method takes a graph."""
    active: int = 4
    """Active nodes, clients, tokens, where a method asks for them."""

    def check(self) -> None:
        check_integer("--nodes", self.nodes, minimum=4)
        check_integer("--active", self.active, minimum=1, maximum=self.nodes)

    def run(self) -> int:
        from telejax.backend.bars import progress_bar
        from telejax.cli.output import Output
        from telejax.results.printed import tight_table

        table = tight_table(f"{self.nodes} nodes, {self.active} of them active where a method draws them")
        table.add_column("method", min_width=max(len(one.name) for one in registry.METHODS))
        table.add_column("graph")
        for column in ("mes-\nsages", "gra-\ndients", "mem-\nory"):
            table.add_column(column, justify="right")
        table.add_column("fixed\npoint")
        table.add_column("source", min_width=max(len(one.source) for one in registry.METHODS))
        with progress_bar(total=len(registry.METHODS), desc="methods", unit="method", leave=False, delay=2) as bar:
            for method in registry.METHODS:
                exact = "exact" if method.exact else "biased"
                table.add_row(method.name, _graph(method), *self._costs(method), exact, method.source)
                bar.update()
        output = Output()
        output.print(table)
        output.say(
            "messages, gradients: of a round, in all; memory: copies of the parameters that a node keeps beside its "
            "model; graph: any, fixed (one undirected graph for all rounds), tree, directed, of the slots, to walk on; "
            "fixed point: the optimum of heterogeneous nodes, or off it by the step size"
        )
        output.say(f"Also known as: {', '.join(alias for one in registry.METHODS for alias in one.aliases)}")
        return 1 if output.failed else 0

    def _costs(self, method: registry.Method) -> tuple[str, str, str]:
        """Messages and gradients of a later round, and what a slot remembers in copies of the parameters."""
        import jax
        import optax

        from telejax.optimizers import optimizer
        from telejax.tasks.quadratic import quadratic

        task = quadratic(nodes=self.nodes, dim=DIM)
        made = registry.build(method.spec, optimizer(optax.sgd, learning_rate=0.01), workers=self.active).bind(task)
        state = jax.eval_shape(lambda: made.init(jax.random.key(0), task))
        info = jax.eval_shape(lambda state: made.step(jax.random.key(0), state, task)[1], state)
        messages = _counted_messages(made, task) if info.counters else _declared_messages(made, self.nodes)
        numbers = lambda part: sum(leaf.size for leaf in jax.tree.leaves(part))
        memory = state.memory
        copies = numbers(memory.slot) / (DIM * state.holders.size) + numbers(memory.node) / (DIM * self.nodes)
        return f"{messages:.4g}", f"{sum(made.gradients(self.nodes)):g}", f"{copies:.3g}"


DIM = 100
ROUNDS = 40


def _declared_messages(made: "Algorithm", nodes: int) -> float:
    """Of a round after the first, where their number follows from the graph."""
    import numpy as np

    from telejax.mixing.accounting import sent

    later = np.arange(1, ROUNDS)
    return float(sum(sent(messages, later).mean() for messages in made.gossip_messages(nodes)))


def _counted_messages(made: "Algorithm", task: "Task") -> float:
    """Of a round after the first, where some of them are events, such as hand-offs to another node."""
    from telejax.simulation.simulate import simulate

    count = simulate(made, task, rounds=ROUNDS, eval_every=1, progress=False).history["messages"]
    return float(count[ROUNDS] - count[1]) / (ROUNDS - 1)


def _graph(method: registry.Method) -> str:
    """What a method takes, in a word."""
    if method.graphs != "nodes":
        return {None: "-", "slots": "slots", "walk": "walk"}[method.graphs]
    if method.fixed:
        return "tree" if method.tree else "fixed"
    return "directed" if method.stochastic == "column" else "any"
