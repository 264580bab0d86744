# Two commands on a fresh machine with Python 3.11 or newer and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo test lint check format slow bench docs clean

help: ## say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with whybuy and everything for development, pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  f"Found Python {sys.version.split()[0]}. 3.11 or newer is needed. Run make PYTHON=python3.12 " + "$(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## draw a shop with known truth, run everything on it, compare
	$(BIN)/whybuy demo

test: $(STAMP) ## all tests but the slow ones; those on real logs read WHYBUY_DATA (default ../shared/data)
	$(PYTEST) -m "not slow"

lint: $(STAMP) ## format, lint, types, layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## all of that, and the tests without whole runs and real logs
	$(PYTEST) -q -m "not slow and not whole and not real_data"

format: $(STAMP) ## format the code and mend what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

slow: $(STAMP) ## statistical proofs and long runs; goes on where an interrupted one stopped
	$(PYTEST) -m slow --resume=.slow

bench: $(STAMP) ## every benchmark, one line of JSON each; figures stand in benchmarks/RESULTS.md
	@set -e; for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file --json; done

docs: $(STAMP) ## links, commands and targets that the pages name exist
	$(PYTEST) -q tests/test_docs.py

clean: ## remove caches and the demo's workspace
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .slow build dist whybuy-workspace
