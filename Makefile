# Everything happens in .venv, made from python3 and a package index alone.
PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: demo test lint clean

demo: $(INSTALLED)
	$(BIN)/telejax compare --out runs/demo --force

test: $(INSTALLED) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/test_size.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv runs
