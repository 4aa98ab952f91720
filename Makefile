# Every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup run test gates quick bench docs soak fuzz test-all clean
MAKEFLAGS += --no-print-directory
PREPARE := .ci/prepare
BIN := .venv/bin
FULL := BOT_BOTTLE_FULL=1

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

setup: ## a Python environment in .venv, the programs that are needed, and the bundle's environment
	@$(PREPARE) run
	@$(BIN)/bottle-dash setup

run: setup ## set everything up and open the dashboard
	@$(BIN)/bottle-dash

test: ## set everything up and run every test that this machine can run; ends with what was left out and why
	@$(PREPARE) test
	@$(BIN)/bottle-dash setup
	@$(BIN)/python -m pytest -rs tests

gates: ## linters, types, import contracts, and that the generated parts of the documents are up to date
	@$(PREPARE) python
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.docs --check

quick: gates ## gates, then the unit tests
	@$(BIN)/python -m pytest tests/unit

docs: ## regenerate the generated parts of the documents
	@$(PREPARE) python
	@$(BIN)/python -m tests.docs --write

bench: ## measure start-up, launch, traffic, scanning, approvals and painting, as ratios
	@$(PREPARE) test
	@$(BIN)/bottle-dash setup
	@$(BIN)/python -m tests.bench

soak: ## repeat launches and stops with the full figures
	@$(PREPARE) test
	@$(BIN)/bottle-dash setup
	@$(FULL) $(BIN)/python -m pytest -rs -m soak tests

fuzz: ## random inputs with the full figures
	@$(PREPARE) test
	@$(FULL) $(BIN)/python -m pytest -rs -m fuzz tests

test-all: ## all tests with the full figures
	@$(PREPARE) test
	@$(BIN)/bottle-dash setup
	@$(FULL) $(BIN)/python -m pytest -rs tests

clean: ## remove what the targets made here
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
