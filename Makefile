# `make help` says what can be made. The environment is .venv; the data are shared by all checkouts.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

supported := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The first that starts and is supported: a name on the PATH may be a shim that leads nowhere.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(supported)' 2>/dev/null && echo $$p && break; done)
needed := error: Python 3.11, 3.12 or 3.13 is needed
fix := Set PYTHON=<path>, or install uv, with which make fetches one
ARGS ?= beta=4
TORCH ?= default
BIN := .venv/bin
torch_index_cpu := --index-url https://download.pytorch.org/whl/cpu

.PHONY: help train test slurm-test check bench bench-quick board sweep clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: .venv/app ## environment, data, and a run: make train ARGS="beta=4 model=conv"; TORCH=cpu for the small torch
	$(BIN)/python train.py $(ARGS)
	@echo
	@echo "next: make board                           the run in TensorBoard"
	@echo "      ls -t outputs                        the run's directory, its figures in figures/"
	@echo "      source .venv/bin/activate            then: python train.py beta=1 model=conv epochs=10"

test: .venv/dev ## environment and all tests
	$(BIN)/python -m pytest -q

slurm-test: .venv/dev ## sweeps under a Slurm of one node, which root starts here: two minutes; skipped where it cannot
	$(BIN)/python tests/programs/slurm.py

check: .venv/dev ## format, lint, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/app ## speed and memory beside others and the machine's limit; pip install '.[bench]' for pythae and disent
	$(BIN)/python scripts/benchmark.py

bench-quick: .venv/app ## the same in a minute: fewer rows, rough numbers
	$(BIN)/python scripts/benchmark.py --quick

board: .venv/app ## TensorBoard on all runs
	$(BIN)/tensorboard --logdir outputs

sweep: .venv/app ## beta = 1, 2, 4, 8, the table of what they cost, and the report
	$(BIN)/python train.py -m beta=1,2,4,8

clean: ## remove the environment and caches; runs and data stay
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python: # the interpreter, checked once; without a supported one, uv fetches it if uv is installed
	@if [ -n "$(PYTHON)" ]; then "$(PYTHON)" -c '$(supported)' || { echo "$(needed), $(PYTHON) is another. $(fix)" >&2; exit 1; }; \
		else command -v uv >/dev/null || { echo "$(needed), none was found. $(fix)" >&2; exit 1; }; fi
	$(if $(PYTHON),"$(PYTHON)" -m venv .venv,uv venv --quiet --seed --python 3.13 .venv)
	touch $@

.venv/torch: .venv/python
	@echo "installing torch: minutes, and several GB but for TORCH=cpu"
	$(BIN)/python -m pip install --quiet $(if $(filter cpu,$(TORCH)),$(torch_index_cpu)) torch torchvision
	touch $@

.venv/app: .venv/torch pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: .venv/app
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
