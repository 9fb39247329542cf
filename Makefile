# Muniment's chores, one command each. `make run` and `make test` do all the set-up they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUST   := 1.88
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check

# The version of cargo, where there is one that is new enough for the native kernel.
CARGO  := $(shell found=$$(cargo --version 2>/dev/null | cut -d' ' -f2); \
    [ "$$(printf '%s\n' $(RUST) "$$found" | sort -V | head -n 1)" = $(RUST) ] && echo "$$found")
KERNEL := $(wildcard kernel/*.toml kernel/*.lock kernel/*.pyi kernel/src/*.rs)
FUZZED := $(basename $(notdir $(wildcard kernel/fuzz/fuzz_targets/*.rs)))

.PHONY: run demo test lint audit bench fuzz components clean

run: $(VENV)/.run  ## start Muniment on the embedded default
	@$(MAKE) --no-print-directory $(VENV)/.kernel || \
	  echo "the native kernel was not built (see above): Muniment runs without it, more slowly"
	$(BIN)/muniment serve

demo: $(VENV)/.run  ## a whole fleet on this machine, behind HAProxy, with a load to look at
	@$(MAKE) --no-print-directory $(VENV)/.kernel || true
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && trap : INT && \
	  $(BIN)/muniment up --nodes 3 --demo --quiet --dir "$$folder/fleet"

test: $(VENV)/.dev $(VENV)/.kernel components lint  ## install what the tests need and run all of them
ifdef CARGO
	cargo test --locked --quiet --manifest-path kernel/Cargo.toml
endif
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
ifdef CARGO
ifneq (,$(shell cargo fmt --version 2>/dev/null))
	cargo fmt --manifest-path kernel/Cargo.toml --check
	cargo fmt --manifest-path kernel/fuzz/Cargo.toml --check
endif
ifneq (,$(shell cargo clippy --version 2>/dev/null))
	cargo clippy --locked --quiet --manifest-path kernel/Cargo.toml \
	  --all-targets --all-features -- -D warnings
endif
endif

audit: $(VENV)/.dev  ## look the dependencies up in the vulnerability data of the package index
	$(BIN)/pip-audit --local --skip-editable --progress-spinner off

bench: $(VENV)/.dev $(VENV)/.kernel  ## measure, each figure beside its limit in the same run
	$(BIN)/python -m bench

fuzz: $(VENV)/.dev $(VENV)/.kernel  ## search longer for bytes that a reader of them does not bear
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
	  cd kernel && for target in $(FUZZED); do \
	    cargo +nightly fuzz run $$target -- -max_total_time=20 -max_len=65536 || exit 1; \
	  done; \
	else echo "cargo-fuzz or a nightly Rust is not installed: the native kernel is not fuzzed"; fi
	$(BIN)/python -m pytest -n 2 -m fuzz --hypothesis-profile=fuzz

components:  ## the real servers that the tests drive, from Debian packages
	@./.ci/components

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.kernel: $(KERNEL) | $(VENV)/.run
ifdef CARGO
	@echo "building the native kernel with cargo $(CARGO): about a minute, once"
	$(PIP) ./kernel
	@touch $@
else
	@echo "cargo $(RUST) or newer is not installed: Muniment runs on the Python kernel, more slowly" \
	  "(docs/reference/kernel.md)"
endif

clean:  ## remove what was built here; data directories are left alone
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build \
	  kernel/target kernel/fuzz/target kernel/fuzz/corpus kernel/fuzz/artifacts kernel/fuzz/coverage
