# The short commands, the same at home and in CI. `make` alone explains them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
COVERAGE ?= 92
# How many processes run tests side by side. Each has clusters of its own, and takes whole files, the longest first. They
# wait more than they work, so there is one more of them than there are cores.
PROCESSES ?= 3
SIDE_BY_SIDE := --numprocesses $(PROCESSES) --dist loadfile -m "not timed"
# The threat model is compared with the table of attacks where that is.
UNIT := tests/unit tests/attacks/test_threat_model.py
RANDOM_LIVES := tests/unit/lifecycle/test_state_machine.py tests/unit/lifecycle/test_broken_plans.py
# The versions of Python that are allowed, for `make pythons`.
PYTHONS ?= 3.11 3.12 3.13
# How many random lives `make schedules` tries.
SCHEDULES ?= 5000
# How long `make soak` takes, and which random choices it makes.
MINUTES ?= 30
SEED ?=
# The demo: KEEP=1 leaves the cluster up, CONTEXT= uses a cluster of yours, IMAGE= is the operator's image there, for
# one of kind built and loaded, TASK_IMAGE= that of the sessions' pods, with a shell and kubectl.
KEEP ?=
CONTEXT ?=
IMAGE ?=
TASK_IMAGE ?=
# Of cluster-up: real, kwok, none or auto.
NODE ?= auto

.PHONY: help
help: ## Show this help
	@echo "make <target>"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 18

.PHONY: setup
setup: $(STAMP) ## Make .venv with pinned dependencies; does nothing when it is up to date

$(STAMP): pyproject.toml requirements/dev.txt operator/tasksession/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	# All of it is pinned. Left to look for dependencies, pip takes a newer release of a package that is asked for with
	# an extra, and then finds that it has no hash for it.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: check
check: lint types contracts unit ## Format check, lint, types, import contracts, unit tests: under a minute

.PHONY: lint
lint: setup ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: format
format: setup ## Format the code and fix what lint can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: types
types: setup ## Check types, strictly
	$(BIN)/mypy

.PHONY: contracts
contracts: setup ## Check which layer imports which
	$(BIN)/lint-imports

.PHONY: unit
unit: setup ## Unit tests; `make test` measures their coverage as well
	$(BIN)/python -m pytest $(UNIT) --numprocesses auto

# pydantic's decoder, and how deep Python recurses, differ from one version to the next.
.PHONY: pythons
pythons: $(PYTHONS:%=.venv-%/.installed) ## What reads tenants' objects, on every PYTHONS: each has to be on the PATH
	for version in $(PYTHONS); do PYTHONPATH=operator .venv-$$version/bin/python -m pytest tests/unit/cluster tests/unit/api; done

.venv-%/.installed: requirements/dev.txt
	test -x $(@D)/bin/python || python$* -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

.PHONY: schedules
schedules: setup ## Random lives of sessions against the pure plan, SCHEDULES of them, and mistakes that have to be found
	TASKSESSION_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest --numprocesses auto $(RANDOM_LIVES)

.PHONY: integration
integration: binaries ## Tests against a real API server
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/integration

.PHONY: attacks
attacks: binaries ## Attacks, each refused by the right mechanism, and successful once that is taken away; prints the table
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/attacks

.PHONY: faults
faults: binaries ## Faults: every write of three lives as a crash, and every other row of the table; prints what held
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/faults

.PHONY: soak
soak: binaries ## Random faults with 200 sessions at once for MINUTES, checked all the time (SEED=… repeats the choices)
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: e2e
e2e: binaries ## Tests on a real node; skipped, loudly, where none can run
	$(BIN)/python -m pytest tests/e2e

.PHONY: timed
timed: binaries ## Tests that compare times with what is promised, one after the other; want the machine to themselves
	$(BIN)/python -m pytest -m timed tests/integration tests/faults tests/e2e tests/benchmark

.PHONY: test
test: setup ## All of check, and all tests; prints what each stage took
	@$(BIN)/python -m tests.support.stages lint types contracts unit-once binaries side-by-side timed

# The stages of `make test` that are no targets for everyday.

# The random lives come later, in their full number, while tests on clusters wait.
.PHONY: unit-once
unit-once: setup
	$(BIN)/python -m pytest $(UNIT) $(RANDOM_LIVES:%=--ignore=%) --numprocesses auto --cov --cov-fail-under=$(COVERAGE) --cov-report=term-missing:skip-covered

.PHONY: side-by-side
side-by-side: binaries
	TASKSESSION_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/integration tests/attacks tests/faults tests/e2e tests/benchmark $(RANDOM_LIVES)

.PHONY: durations
durations: binaries ## Record what each file of tests takes, for the order in which they run: tests/durations.json
	TASKSESSION_DURATIONS=tests/durations.json TASKSESSION_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/integration tests/attacks tests/faults tests/e2e $(RANDOM_LIVES)

.PHONY: bench
bench: setup binaries ## Measure against the limit, compare with the bars, write docs/performance.md; wants the machine to itself
	$(BIN)/python -m tests.benchmark --size full --write-docs

.PHONY: demo
demo: setup ## Show one session from beginning to end (KEEP=1, CONTEXT=, IMAGE=, TASK_IMAGE=)
	@KEEP='$(KEEP)' CONTEXT='$(CONTEXT)' IMAGE='$(IMAGE)' TASK_IMAGE='$(TASK_IMAGE)' $(BIN)/python -m tests.demo

.PHONY: image
image: setup ## Build the operator's image with docker, podman or buildah (IMAGE_NAME=, BASE=, BUILDER=, TOOL=, CONTEXT=kind-…)
	@$(BIN)/python -m tests.cluster image $(if $(CONTEXT),--context $(CONTEXT)) $(if $(IMAGE_NAME),--tag $(IMAGE_NAME)) $(if $(BASE),--base $(BASE)) $(if $(BUILDER),--builder $(BUILDER)) $(if $(TOOL),--tool $(TOOL))

.PHONY: binaries
binaries: setup ## Build what the test cluster runs, once, into the cache
	$(BIN)/python -m tests.cluster build --node auto kwok

.PHONY: cluster-up
cluster-up: setup ## Start a cluster to play with (NODE=real|kwok|none|auto) and print its KUBECONFIG
	@$(BIN)/python -m tests.cluster up --node $(NODE)

.PHONY: cluster-down
cluster-down: setup ## End that cluster, and what crashed runs left
	@$(BIN)/python -m tests.cluster down

.PHONY: node-tools
node-tools: setup ## Install what a real node needs (Debian or Ubuntu, root); a missing node is a failure from then on
	@$(BIN)/python -m tests.cluster node-tools

.PHONY: crds
crds: setup ## Write the custom resource definitions from the models
	$(BIN)/python -m tools.crds

.PHONY: guards
guards: setup ## Write what the operator compares the guards with, from the chart (needs helm, built once)
	$(BIN)/python -m tests.cluster.guards_file

.PHONY: requirements
requirements: ## Lock the dependencies anew, with hashes and without the name of any index
	requirements/lock

.PHONY: clean
clean: ## Remove what was made in the checkout; the cache outside it stays
	rm -rf .venv .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
