"""Every notebook runs from top to bottom, at a small size."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import telejax as tj

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    monkeypatch.setenv("TELEJAX_NOTEBOOK_ROUNDS", "20")
    notebook = nbformat.read(path, as_version=4)
    if any("fashion_mnist()" in cell.source for cell in notebook.cells):
        try:
            tj.data.fashion_mnist()
        except FileNotFoundError as missing:
            pytest.skip(str(missing))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    pictures = [out for cell in notebook.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert pictures, "the notebook shows no picture"
