# gpuward: everything a developer or a curious visitor runs. `make demo` and `make test` need Python 3.11+ only.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The newest Python from 3.11 on that is installed; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

# Without bytecode every command compiles all of its source again, which takes as long as everything else it does.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint docs manifests types bench profile chaos simulate run pins clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "gpuward needs Python 3.11 or later; none was found (set PYTHON=...)" >&2; exit 2; }
	@echo "Setting up $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/runtime.txt
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo "Installing the development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(RUNTIME) ## start the webhook on localhost and send it real ML workloads
	@$(BIN)/python -m webhook demo

# Files go to processes whole, as what their tests share is made once a file; each process with end-to-end tests has a
# control plane of its own.
test: $(DEV) ## run every test; builds a real control plane once if Go is there
	@# Beforehand, so that its progress shows: the first build takes minutes. Without Go the tests say what is missing.
	@if [ -z "$$KUBEBUILDER_ASSETS" ] && command -v go >/dev/null; then \
		$(BIN)/python tests/e2e/controlplane/build.py; \
		$(BIN)/python -m tests.e2e.helm.build; fi
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(DEV) ## ruff, mypy, import-linter, and gpuward's own lint and test of the shipped policies, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/gpuward lint policies
	@$(BIN)/gpuward test policies --require-coverage
	@$(BIN)/hadolint Dockerfile

docs: $(DEV) ## write the reference pages, and what of the chart follows from the code
	@$(BIN)/python -m docs.generate

manifests: docs ## write the plain manifests, which are the rendered chart
	@$(BIN)/python -m manifests.generate --helm "$$($(BIN)/python -m tests.e2e.helm.build)"

types: $(DEV) ## how Kubernetes merges its built-in kinds, from the OpenAPI of a real API server
	@$(BIN)/python -m tests.e2e.applied_types

bench: $(DEV) ## reviews a second against a constant server, in one run (ARGS=--quick)
	@$(BIN)/python -m tests.bench $(ARGS)

profile: $(DEV) ## where the time of a review goes, function by function
	@$(BIN)/python -m tests.bench.profile_review $(ARGS)

chaos: $(DEV) ## what goes wrong, planned or not, under load on a real API server (ARGS="--only kill")
	@$(BIN)/python -m tests.chaos $(ARGS)

simulate: $(DEV) ## bursts of job arrays over replicas, by simulation (docs/scale.md)
	@$(BIN)/python -m tests.scale $(ARGS)

run: $(RUNTIME) ## serve on localhost with a throw-away certificate and the shipped policies
	@$(BIN)/python -m webhook serve --dev --no-cluster --default-mode enforce

pins: $(DEV) ## renew the hashed pins in requirements/
	@requirements/compile.sh

clean: ## remove what was set up here
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
