# Everything runs in virtual environments below .venvs/, which each target sets up as it needs them.
# The newest ag2[openai] and autogen[openai] need different major versions of openai, so there are two.

PYTHON ?= python3
AG2 := .venvs/ag2
AUTOGEN := .venvs/autogen
DOCS := .venvs/docs
DRAWINGS := tests/drawings/node_modules/.ready
JAEGER := .venvs/jaeger/jaeger
# Of its Go module; the program calls itself 2.13.
JAEGER_VERSION := v1.76.0
PIP := 25.3

.PHONY: help demo test test-ag2 test-autogen drawings check-jaeger lint format docs docs-update bench-store bench-live bench-query chaos sql constraints clean

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(AG2)/.ready ## Discover Kepler's third law with a team of agents, and show the run
	@$(AG2)/bin/spandag demo

# The rooms that see frameworks. The others, the store and what is asked of it, know none: once is enough.
OF_FRAMEWORKS := $(addprefix tests/,demo e2e foreign instrumentation spans testing workflow cli/test_run.py \
	test_environment.py test_setup.py)

test: test-ag2 test-autogen ## Run all tests with smolagents and ag2, then what depends on frameworks with autogen

test-ag2: $(AG2)/.ready drawings
	SPANDAG_TEST_FRAMEWORKS=smolagents,ag2 $(AG2)/bin/python -m pytest -q $(TESTS)

test-autogen: $(AUTOGEN)/.ready
	SPANDAG_TEST_FRAMEWORKS=smolagents,autogen $(AUTOGEN)/bin/python -m pytest -q $(or $(TESTS),$(OF_FRAMEWORKS))

drawings: ## Install Mermaid and Graphviz, which tests draw with; needs npm
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(DRAWINGS); \
	else echo "npm is not installed: no test draws with Mermaid and Graphviz"; fi

check-jaeger: $(AG2)/.ready $(JAEGER) ## Upload exported runs to a real Jaeger; building it needs go and ten minutes
	SPANDAG_TEST_JAEGER=$(abspath $(JAEGER)) $(AG2)/bin/python -m pytest -q tests/e2e/test_jaeger.py

lint: $(AG2)/.ready ## Check style, docstrings and types
	$(AG2)/bin/ruff check .
	$(AG2)/bin/ruff format --check .
	$(AG2)/bin/mypy

format: $(AG2)/.ready ## Mend what can be mended by a machine
	$(AG2)/bin/ruff check --fix .
	$(AG2)/bin/ruff format .

docs: $(DOCS)/.ready ## Run every command shown in README and docs and check its output
	$(DOCS)/bin/python docs/check.py

docs-update: $(DOCS)/.ready ## The same, but write what the commands print into the pages
	$(DOCS)/bin/python docs/check.py --update

bench-store: $(AG2)/.ready ## Measure the store beside the bare drivers; writes benchmarks/results/
	$(AG2)/bin/python benchmarks/store.py

bench-live: $(AG2)/.ready ## Measure what recording costs a program, and how soon a span is stored
	$(AG2)/bin/python benchmarks/live.py

bench-query: $(AG2)/.ready ## Measure the questions out of a million nodes, and how long commands take to start
	$(AG2)/bin/python benchmarks/query.py

chaos: $(AG2)/.ready ## Kill a recorded program fifty times, and print what was lost
	$(AG2)/bin/python tests/support/spandag_test_kill.py

sql: $(AG2)/.ready ## Write the migrations as plain SQL files
	$(AG2)/bin/python -m spandag.store.plain_sql

constraints: ## Pin the newest versions of everything, for review
	rm -rf .venvs
	$(MAKE) CONSTRAIN= $(AG2)/.ready $(AUTOGEN)/.ready
	$(AG2)/bin/pip freeze --exclude-editable > constraints/ag2.txt
	$(AUTOGEN)/bin/pip freeze --exclude-editable > constraints/autogen.txt

clean: ## Remove what the other targets made
	rm -rf .venvs tests/drawings/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

CONSTRAIN = -c constraints/$(notdir $(@D)).txt

$(AG2)/.ready: pyproject.toml $(wildcard constraints/ag2.txt)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q pip==$(PIP)
	$(@D)/bin/pip install -q $(CONSTRAIN) -e '.[smolagents,ag2]' --group test --group lint
	@touch $@

$(AUTOGEN)/.ready: pyproject.toml $(wildcard constraints/autogen.txt)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q pip==$(PIP)
	$(@D)/bin/pip install -q $(CONSTRAIN) -e '.[smolagents,autogen]' --group test
	@touch $@

$(DRAWINGS): tests/drawings/package.json
	npm install --prefix tests/drawings --no-audit --no-fund --loglevel=error
	@touch $@

$(JAEGER):
	mkdir -p $(@D)
	cd $(@D) && { test -f go.mod || go mod init jaeger.built; }
	cd $(@D) && go get -tool github.com/jaegertracing/jaeger/cmd/jaeger@$(JAEGER_VERSION)
	cd $(@D) && go build -o $(@F) github.com/jaegertracing/jaeger/cmd/jaeger

# The wheel as users get it; reinstalled whenever the source changes.
$(DOCS)/.ready: pyproject.toml constraints/ag2.txt $(shell find src -type f -not -name '*.pyc' 2>/dev/null)
	test -x $(@D)/bin/pip || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q pip==$(PIP)
	rm -rf dist && $(@D)/bin/pip wheel -q --no-deps -w dist .
	$(@D)/bin/pip install -q -c constraints/ag2.txt "$$(ls dist/*.whl)[smolagents,ag2]"
	$(@D)/bin/pip install -q --force-reinstall --no-deps dist/*.whl
	@touch $@
