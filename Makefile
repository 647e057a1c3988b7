# The two commands that matter: `make demo` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay together, so that a server that they share is started once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

OLDEST := .venvs/oldest

.PHONY: demo test test-full test-again test-oldest lint types fix schemas bench clean

demo: $(VENV)/.demo
	$(BIN)/tracer-bullet demo

test: $(VENV)/.dev
	@sh tests/setup.sh
	$(PYTEST) -m "not slow"

test-full: $(VENV)/.dev
	@sh tests/setup.sh
	$(PYTEST)

# What failed in the run before, once more and one after the other: CI tells so what is broken from what is only flaky.
test-again: $(VENV)/.dev
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none

# The guards against the oldest version of every library that they take; .venv has the newest. Deprecations in the
# old libraries' own code, and nothing else, are no errors here. ONLY=Contract runs the contract suites alone, as CI does.
test-oldest: $(OLDEST)/.done
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile -m "not slow" tests/unit/guards tests/unit/context $(if $(ONLY),-k $(ONLY)) \
		-o filterwarnings="$$(printf 'error\nignore::DeprecationWarning:(?!tests|tracer_bullet)')"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/.dev
	$(BIN)/python -m tracer_bullet.workspace.schemas

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.guard
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.traces
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.omission
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.load_plan

clean:
	rm -rf $(VENV) .venvs .tools demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[sim]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(OLDEST)/.done: pyproject.toml tests/oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	@sh tests/setup.sh
	grep -v '^mysqlclient=' tests/oldest.txt >$(OLDEST)/wheels.txt
	$(OLDEST)/bin/python -m pip install --quiet --editable '.[harness]' --requirement $(OLDEST)/wheels.txt
	$(OLDEST)/bin/python -m pip install --quiet $$(grep '^mysqlclient=' tests/oldest.txt) || \
		echo "mysqlclient could not be built; its tests will be skipped"
	@touch $@
