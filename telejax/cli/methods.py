"""``telejax methods``: every method, what a round costs, and what it asks of its graph, as a table."""

from dataclasses import dataclass
from typing import Any

from telejax.algorithms import registry
from telejax.cli.interrupt import Command
from telejax.errors import check_integer


@dataclass(frozen=True)
class Methods(Command):
    """List the methods: what a round of each costs, what it remembers, which graphs it takes, whether it is exact."""

    nodes: int = 16
    """Number of nodes, on a ring where a method takes a graph."""
    active: int = 4
    """Active nodes, clients, tokens, where a method asks for them."""

    def run(self) -> int:
        check_integer("--nodes", self.nodes, minimum=4)
        check_integer("--active", self.active, minimum=1, maximum=self.nodes)
        import rich.box
        from rich.table import Table
        from tqdm import tqdm

        from telejax.cli.output import Output

        table = Table(
            title=f"{self.nodes} nodes, {self.active} of them active where a method draws them",
            title_justify="left",
            box=rich.box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        table.add_column("method", min_width=max(len(one.name) for one in registry.METHODS))
        table.add_column("graph")
        for column in ("mes-\nsages", "gra-\ndients", "mem-\nory"):
            table.add_column(column, justify="right")
        table.add_column("fixed\npoint")
        table.add_column("source", min_width=max(len(one.source) for one in registry.METHODS))
        for method in tqdm(registry.METHODS, leave=False, delay=2):
            exact = "exact" if method.exact else "biased"
            table.add_row(method.name, _graph(method), *self._costs(method), exact, method.source)
        output = Output()
        output.print(table)
        output.print(
            "messages, gradients: of a round, in all; memory: copies of the parameters that a node keeps beside its "
            "model; graph: any, fixed (one undirected graph for all rounds), tree, directed, of the slots, to walk on; "
            "fixed point: the optimum of heterogeneous nodes, or off it by the step size"
        )
        output.print(f"Also known as: {', '.join(alias for one in registry.METHODS for alias in one.aliases)}")
        return 1 if output.failed else 0

    def _costs(self, method: registry.Method) -> tuple[str, str, str]:
        """Messages and gradients of a later round, and what a slot remembers in copies of the parameters."""
        import optax

        from telejax.optimizers import optimizer
        from telejax.simulation.simulate import simulate
        from telejax.tasks.quadratic import quadratic

        task = quadratic(nodes=self.nodes, dim=100)
        made = registry.build(method.spec, optimizer(optax.sgd, learning_rate=0.01), workers=self.active)
        run = simulate(made, task, rounds=ROUNDS, eval_every=1, progress=False)
        first, last = run.history.row(1, named=True), run.history.row(-1, named=True)
        a_round = {name: (last[name] - first[name]) / (ROUNDS - 1) for name in ("messages", "gradients")}
        assert run.state is not None
        memory = run.state.memory
        held = sum(leaf.size for part in (memory.slot, memory.node) for leaf in _leaves(part))
        copies = held / (100 * (self.nodes if _leaves(memory.node) else run.state.holders.size))
        return f"{a_round['messages']:.4g}", f"{a_round['gradients']:g}", f"{copies:.3g}"


ROUNDS = 40


def _leaves(tree: object) -> list[Any]:
    import jax

    return jax.tree.leaves(tree)


def _graph(method: registry.Method) -> str:
    """What a method takes, in a word."""
    if method.graphs != "nodes":
        return {None: "-", "slots": "slots", "walk": "walk"}[method.graphs]
    if method.fixed:
        return "tree" if method.tree else "fixed"
    return "directed" if method.stochastic == "column" else "any"
