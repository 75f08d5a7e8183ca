# `make demo` and `make test` work on a fresh computer with Python 3.11 or newer; the rest is for developers.

PYTHON ?= python3
VENV ?= .venv
OLDEST ?= .venv-oldest
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
INSTALLED := $(VENV)/.installed

.PHONY: demo test slow slow-ray site lint types format golden mutants oldest dist container-size web clean

demo: $(INSTALLED)  ## fuse the bundled pair
	@mkdir -p demo
	@$(BIN)/cmmdl fuse examples/ir.png examples/vis.png -o demo/fused.png --overwrite

test: $(INSTALLED)  ## the tests that CI runs
	$(BIN)/python -m pytest -n auto --dist worksteal

slow: $(INSTALLED)  ## the slow tests
	$(BIN)/python -m pytest -n auto -m slow

slow-ray: $(INSTALLED)  ## the slow tests of runs on a cluster; 440 MB of packages are installed for them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray]' 'moto[s3,server]' boto3
	$(BIN)/python -m pytest -n 0 -m slow tests/test_ray.py

site: $(INSTALLED)  ## the documentation site, into site/; broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: $(INSTALLED)  ## style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(INSTALLED)  ## static types
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

golden: $(INSTALLED)  ## write anew what the shipped weights give, after they have changed
	$(BIN)/python tests/golden/rewrite.py

mutants: $(INSTALLED)  ## break the code in 400 places and count what the tests notice; an hour or more
	$(BIN)/python benchmarks/mutants/run.py --count 400 --seed 13

oldest: $(OLDEST)/.installed  ## the tests with the oldest versions that pyproject.toml allows
	$(OLDEST)/$(SCRIPTS)/python -m pytest -n auto

dist:  ## wheel, source archive, bill of materials and checksums in dist/, tried in an empty environment
	@PYTHON="$(PYTHON)" .ci/dist

container-size:  ## what the layer of container/Containerfile holds, in bytes, without building it
	@PYTHON="$(PYTHON)" container/size

web:  ## the page that needs no server, in web/dist; needs Node
	@cd web && npm ci --no-audit --no-fund --silent && node build.mjs

clean:
	rm -rf $(VENV) $(OLDEST) .mutants demo dist web/dist web/node_modules

$(INSTALLED): pyproject.toml constraints.txt
	@echo "creating the environment $(VENV); the first time takes a few minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "CMMDL needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	@$(PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt \
		-e '.[onnx,openvino,train,plot,video,heic,serve,thermal]' httpx hypothesis pytest pytest-timeout pytest-xdist \
		scikit-image scikit-learn
	@touch $@
