# Each target does all of its own set-up in .venv; a second run does it no more.
# PYTHON=/path/to/python3.12 chooses the interpreter; otherwise the first one that is 3.10 or newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-real test-versions check lint types docs package bench bench-quick soak fuzz clean

VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
WORKERS ?= 2
SECONDS ?= 60

SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.10 python3.14 python; do \
	$$name -c '$(SUITABLE)' >/dev/null 2>&1 && { command -v $$name; break; }; done)

# $(call install,what,requirement): into the environment in whose folder the stamp $@ stands.
define install
	@echo "setting up: $(1)"
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check --editable $(2)
	@touch $@
endef

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.package ## stream an answer from a simulated service through both clients
	@$(BIN)/python -m glmclient demo

test: $(VENV)/.test ## run every test, in parallel, with coverage; WORKERS=n
	@$(BIN)/python -m pytest --cache-clear -n $(WORKERS) --dist loadgroup \
		--cov=glmclient --cov-branch --cov-report=term --cov-fail-under=99 $(ARGS) \
	|| { echo "once more, one at a time: time limits and real servers can suffer from a busy machine"; \
		$(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none; }

test-real: $(VENV)/.test ## test beside real libraries, each in an environment of its own; ARGS="langchain"
	@failed=0; \
	test -n "$(ARGS)" || $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/real \
		|| $(BIN)/python -m pytest -n 0 --last-failed --last-failed-no-failures none tests/real || failed=1; \
	$(BIN)/python scripts/test_real.py $(ARGS) || failed=1; \
	exit $$failed

test-versions: $(VENV)/bin/python ## core suites on the lowest and newest versions, and other Pythons; ARGS="lowest"
	@$(BIN)/python scripts/test_versions.py $(ARGS)

check: lint types docs package ## everything but the tests: lint, format, types, documents, packages

lint: $(VENV)/.dev ## rules and format (ruff), spelling, and the files of the public host
	@echo "ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "codespell"
	@$(BIN)/codespell
	@echo "workflow files"
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[fp]*.yml

types: $(VENV)/.dev ## mypy --strict, and whether the public types are complete
	@echo "mypy --strict"
	@$(BIN)/mypy --strict
	@$(BIN)/python scripts/verify_types.py
	@$(BIN)/python -m pytest -q tests/typing

docs: $(VENV)/.docs ## build docs/_build/html, without warnings
	@echo "sphinx"
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

package: $(VENV)/.dev ## build the wheel and the source distribution, and check both
	@$(BIN)/python scripts/verify_distribution.py

bench: $(BENCH)/.bench ## measure beside the peers and write the tables and plots
	@$(BENCH)/bin/python -m benchmarks

bench-quick: $(BENCH)/.bench ## the same in two minutes
	@$(BENCH)/bin/python -m benchmarks --quick

soak: $(VENV)/.test ## the long run of breaks and cancels
	@$(BIN)/python -m tests.soak

fuzz: $(VENV)/.fuzz ## fuzz the decoders, guided by coverage; SECONDS=n
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

clean: ## remove everything that the targets made
	rm -rf $(VENV) $(BENCH) build dist docs/_build htmlcov *.egg-info .coverage .coverage.* \
		.cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps of what is installed. A change of setup.cfg installs again.

$(VENV)/bin/python $(BENCH)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.10 or newer with venv was found. Install one" \
		"(on Debian also python3-venv), or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c '$(SUITABLE)' || { echo "$(PYTHON) is older than 3.10 or lacks venv." >&2; exit 1; }
	@echo "making $(@D:/bin=) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/.package: setup.cfg setup.py | $(BIN)/python
	$(call install,the package,.)

$(VENV)/.docs: setup.cfg setup.py | $(BIN)/python
	$(call install,the tools of the documents,'.[docs]')

$(VENV)/.test: setup.cfg setup.py | $(BIN)/python
	$(call install,the tests,'.[test]')

$(VENV)/.dev: setup.cfg setup.py | $(BIN)/python
	$(call install,the checks,'.[dev]')

# The peers bring requirements of their own, so they live apart.
$(BENCH)/.bench: setup.cfg setup.py | $(BENCH)/bin/python
	$(call install,the peers to measure beside,'.[bench]')

$(VENV)/.fuzz: setup.cfg setup.py | $(BIN)/python
	$(call install,the fuzzer,'.[fuzz]')
