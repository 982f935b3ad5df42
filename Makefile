PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: all test reproduce lint benchmark clean

all: test reproduce

# The stamp is as old as the last install, so that a changed pyproject.toml or version installs again.
$(VENV)/installed: pyproject.toml ttc_jax/_version.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

reproduce: $(VENV)/installed
	$(BIN)/ttc reproduce

lint: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

benchmark: $(VENV)/installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) results .mypy_cache .pytest_cache .ruff_cache
