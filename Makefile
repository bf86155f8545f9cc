# Everything happens in .venv, made from python3 and a package index alone; other sets of versions have their own in .venvs.
PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/installed
CONSTRAINTS := $(wildcard constraints/$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt)
PYTEST = python -m pytest -n 2 --dist worksteal -q

PYTHONS = 3.11 3.12 3.13
TESTS = -m "not slow"

# The program of a Python, on the PATH or pyenv's; nothing where it is not installed.
program = $(shell for one in python$(1) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(1).*/bin/python; do \
	"$$one" -c 'import ensurepip' 2>/dev/null && echo "$$one" && break; done)
PRESENT = $(strip $(foreach python,$(PYTHONS),$(if $(call program,$(python)),$(python))))

# Install with a Python, in a folder, with options of pip.
define install
$(1) -m venv $(2)
$(2)/bin/python -m pip install --quiet --upgrade pip
$(2)/bin/python -m pip install --quiet $(3) --editable '.[dev]'
endef

.PHONY: demo test test-fast accelerator docs lint coverage test-matrix constraints dist clean
.SECONDARY:

demo: $(INSTALLED)
	$(BIN)/telejax compare --nodes 25 100 350 --rounds 400 --tune-seeds 1 --evaluated 400 --out runs/demo --force
	$(BIN)/telejax report runs/demo --force

test: $(INSTALLED) lint
	$(BIN)/$(PYTEST)

test-fast: $(INSTALLED)
	$(BIN)/$(PYTEST) -m "not slow"

# On whatever device the jax of python3 finds; WHEELS= names a folder of wheels of what that Python lacks.
accelerator:
	$(PYTHON) experiments/benchmarks/accelerator.py $(WHEELS:%=--wheels %)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/test_size.py

# The site in docs/_build/html, all its code run; WARNINGS= looks over what Sphinx warns of.
WARNINGS = --fail-on-warning
docs: $(INSTALLED)
	$(BIN)/sphinx-build --jobs auto --keep-going --show-traceback $(WARNINGS) --conf-dir docs . docs/_build/html
	$(BIN)/python docs/check_site.py docs/_build/html

coverage: $(INSTALLED)
	$(BIN)/$(PYTEST) --cov --cov-report=term-missing:skip-covered $(COVERED)

# The wheel and the sdist in dist/, proved to work alone.
dist: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python tests/packaging/check_dist.py

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(call install,$(PYTHON),.venv,$(CONSTRAINTS:%=--constraint %))
	touch $@

# Every Python with the oldest and the newest packages; TESTS= runs the slow tests too.
test-matrix: constraints/oldest.txt
	@rm -f .venvs/*.log .venvs/*/passed; mkdir -p .venvs
	@for one in $(foreach python,$(PRESENT),$(python)-oldest $(python)-newest); do \
		$(MAKE) --no-print-directory matrix-$$one 2>&1 | tee .venvs/$$one.log; \
	done
	@failed=0; for python in $(PYTHONS); do for versions in oldest newest; do \
		one=$$python-$$versions; verdict=FAILED; counts=; \
		if [ -f .venvs/$$one.log ]; then counts=$$(grep -E '^[0-9]+ .* in [0-9.]+s' .venvs/$$one.log | tail -n 1); \
		else verdict=skipped; counts="Python $$python is not installed"; fi; \
		if [ -f .venvs/$$one/passed ]; then verdict=passed; fi; \
		if [ $$verdict = FAILED ]; then failed=1; fi; \
		printf '%-12s  %-7s  %s\n' "$$one" "$$verdict" "$$counts"; \
	done; done; exit $$failed

# The types are those of the newest packages.
matrix-%: .venvs/%/installed
	$(if $(findstring newest,$*),.venvs/$*/bin/mypy)
	.venvs/$*/bin/$(PYTEST) $(TESTS)
	touch .venvs/$*/passed

.venvs/%-oldest/installed: pyproject.toml constraints/oldest.txt
	$(call install,$(call program,$*),$(@D),--constraint constraints/oldest.txt)
	touch $@

.venvs/%-newest/installed: pyproject.toml constraints/%.txt
	$(call install,$(call program,$*),$(@D),--constraint constraints/$*.txt)
	touch $@

# The newest packages of every Python that is installed here.
constraints: constraints/oldest.txt
	$(foreach python,$(PRESENT),$(MAKE) --no-print-directory constraints-$(python) &&) true

constraints-%:
	rm -rf .venvs/$*-newest
	$(call install,$(call program,$*),.venvs/$*-newest,--upgrade)
	.venvs/$*-newest/bin/python -m pip freeze --exclude-editable > constraints/$*.txt
	touch .venvs/$*-newest/installed

# The lower bounds of what telejax and its reports need, which pyproject.toml says.
constraints/oldest.txt: pyproject.toml
	$(PYTHON) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		needed = [*project["dependencies"], *project["optional-dependencies"]["privacy"], *project["optional-dependencies"]["report"]]; \
		[print(one.replace(">=", "==")) for one in needed]' > $@

clean:
	rm -rf .venv .venvs runs docs/_build docs/methods docs/reference
