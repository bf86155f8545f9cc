"""The notebook on the number of active nodes runs from top to bottom, at a small size."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02_how_many_active_nodes.ipynb"
SIZES = "NODES, ROUNDS, SEEDS = 256, 300, 4"


@pytest.mark.slow
def test_notebook_runs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cell = next(cell for cell in notebook.cells if SIZES in cell.source)
    cell.source = cell.source.replace(SIZES, "NODES, ROUNDS, SEEDS = 16, 48, 1")
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    text = "".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "of 16 nodes" in text and "48 rounds" in text and "gradients for every candidate" in text
