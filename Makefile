# make demo: see it work.   make test: everything CI runs.   make help: the rest.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# php-fpm and nginx live in directories that Debian leaves out of a user's PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin

# One process for each processor, at most four. Integration tests wait for the servers that they start, so half as many more.
UNIT := -n logical --maxprocesses 4
INTEGRATION := -n $$(( ($$(nproc) * 3 + 1) / 2 )) --maxprocesses 6

.PHONY: help demo test setup lint format unit integration specimens clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo:  ## Install what is missing, run the demo services under traffic, print verdicts and report paths
	@.dev/setup demo
	@.dev/demo

test: setup  ## Everything CI runs: lint, unit tests, integration tests with real servers
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory integration

setup:  ## Make .venv with everything for development, and install the servers the tests start
	@.dev/setup test

lint:  ## Formatting, lint rules, types, import contracts
	ruff format --check
	ruff check
	mypy
	lint-imports

format:  ## Apply the formatting and the safe fixes
	ruff format
	ruff check --fix

unit:  ## Unit tests: no servers
	python -m pytest tests/unit $(UNIT) --dist worksteal

integration:  ## Tests that start gunicorn, php-fpm, nginx and Xdebug
	python -m pytest tests/integration $(INTEGRATION) --dist loadfile --no-loadscope-reorder

# Recorded one after the other, because they measure; what is recorded already is not recorded again.
specimens: setup  ## Record and judge all labelled applications, and write docs/accuracy.md; takes an hour
	python tests/specimens run --keep .cache/specimens
	python tests/specimens report --keep .cache/specimens

clean:  ## Remove caches and build output; .venv and runs/ stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find harness adapters scenarios tests -name __pycache__ -type d -prune -exec rm -rf {} +
