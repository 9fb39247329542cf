# Muniment's chores, one command each. `make run` and `make test` do all the set-up they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: run test lint audit bench fuzz components clean

run: $(VENV)/.run  ## start Muniment on the embedded default
	$(BIN)/muniment serve

test: $(VENV)/.dev components lint  ## install what the tests need and run all of them
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

audit: $(VENV)/.dev  ## look the dependencies up in the vulnerability data of the package index
	$(BIN)/pip-audit --local --skip-editable --progress-spinner off

bench: $(VENV)/.dev  ## measure, each figure beside its limit in the same run
	$(BIN)/python -m bench

fuzz: $(VENV)/.dev  ## a longer run of the property tests over every reader of outside bytes
	$(BIN)/python -m pytest -n 2 -m fuzz --hypothesis-profile=fuzz

components:  ## the real servers that the tests drive, from Debian packages
	@./.ci/components

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:  ## remove what was built here; data directories are left alone
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
