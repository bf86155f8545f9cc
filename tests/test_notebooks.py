"""Every notebook runs from top to bottom, at a small size."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

import telejax as tj

pytestmark = pytest.mark.usefixtures("compiled_fast")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SMALLER = {
    "01_quickstart": ("ROUNDS = 300", "ROUNDS = 20"),
    "02_how_many_active_nodes": ("NODES, ROUNDS, SEEDS = 256, 300, 4", "NODES, ROUNDS, SEEDS = 16, 48, 1"),
    "03_fashion_mnist": ("ROUNDS, EVALUATED = 150, 500", "ROUNDS, EVALUATED = 5, 20"),
    "04_methods": ("NODES, ROUNDS = 16, 400", "NODES, ROUNDS = 8, 20"),
    "05_real_networks": ("NODES, ROUNDS = 48, 400", "NODES, ROUNDS = 8, 20"),
    "06_trust": ("NODES, ACTIVE, ROUNDS = 100, 16, 300", "NODES, ACTIVE, ROUNDS = 20, 8, 10"),
}
SHOWN = {
    "01_quickstart": ["validation_loss_slots", "TELEPORTATION ring k=8"],
    "02_how_many_active_nodes": ["of 16 nodes", "48 rounds", "gradients for every candidate"],
    "03_fashion_mnist": ["accuracy_worst", "gradients"],
    "04_methods": ["exact diffusion", "SCAFFOLD"],
    "05_real_networks": ["gini", "recovered"],
    "06_trust": ["byzantine holders in a round", "messages_handoff"],
}


def test_every_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALLER) == set(SHOWN)


@pytest.fixture(scope="module")
def kernel(compiled_fast: None) -> Iterator[KernelManager]:
    """One for all notebooks, each of which begins by forgetting the names of those before: starting takes seconds."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_runs(name, kernel):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    if any("fashion_mnist()" in cell.source for cell in notebook.cells):
        try:
            tj.data.fashion_mnist()
        except FileNotFoundError as missing:
            pytest.skip(str(missing))
    size, smaller = SMALLER[name]
    cell = next(cell for cell in notebook.cells if size in cell.source)
    cell.source = cell.source.replace(size, smaller)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=kernel, timeout=300).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs), "the notebook shows no picture"
    text = "".join(str(output) for output in outputs)
    assert not [shown for shown in SHOWN[name] if shown not in text]
