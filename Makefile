# The two commands that matter: `make demo` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file's tests stay together, so that a server that they share is started once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test test-full lint types fix schemas bench clean

demo: $(VENV)/.demo
	$(BIN)/tracer-bullet demo

test: $(VENV)/.dev
	@sh tests/setup.sh
	$(PYTEST) -m "not slow"

test-full: $(VENV)/.dev
	@sh tests/setup.sh
	$(PYTEST)

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
