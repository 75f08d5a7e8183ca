# `make demo` and `make test` work on a fresh computer with Python 3.11 or newer; the rest is for developers.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test slow lint types format clean

demo: $(INSTALLED)  ## fuse the bundled pair
	@mkdir -p demo
	@$(BIN)/cmmdl fuse examples/ir.png examples/vis.png -o demo/fused.png --overwrite

test: $(INSTALLED)  ## the tests that CI runs
	$(BIN)/python -m pytest -n auto

slow: $(INSTALLED)  ## the slow tests
	$(BIN)/python -m pytest -n auto -m slow

lint: $(INSTALLED)  ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(INSTALLED)  ## static types
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo

$(INSTALLED): pyproject.toml constraints.txt
	@echo "creating the environment $(VENV); the first time takes a few minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "CMMDL needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
