# The only front door. `make help` explains it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FAULT ?= crash
SEED ?= 1
RUNS ?= 2000
WORKERS ?= 4

.PHONY: help setup servers demo lab test test-systemd lint types layers docs ci clean replays sweep fuzz soak mutate flood sensitivity
BENCHMARKS := $(patsubst benchmarks/bench_%.py,bench-%,$(wildcard benchmarks/bench_*.py))
.PHONY: $(BENCHMARKS)

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p; s/^\$$\(BENCHMARKS\):.*## /bench-NAME\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## the virtual environment with everything pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt scripts/python-env
	@scripts/python-env $(PYTHON) $(VENV)
	@touch $@

servers: ## the real servers and tools the tests and the lab use (apt when root)
	@scripts/servers

demo: setup ## kill Pangyo under load and watch; FAULT=crash|hang|errors|latency; report in build/demo
	@$(BIN)/siteshift lab demo --fault $(FAULT) --out build/demo

lab: setup ## three sites, load and a node that stay up; prints how to reach them
	@$(BIN)/siteshift lab up

test: setup servers ## every test, against real servers; WORKERS=4 files side by side, for most of them wait
	@$(BIN)/pytest tests --ignore=tests/systemd -n $(WORKERS) --dist loadfile

test-systemd: setup servers ## the shipped unit under a real systemd, in a small Debian kept in build/ (root only)
	@scripts/systemd-root build/systemd-root
	@$(BIN)/pytest tests/systemd

replays: setup ## the outage library in virtual time; report in build/replays
	@$(BIN)/siteshift sim run simulations/*.yaml --report build/replays/report.html

sweep: setup ## every fault in 800 of all kinds of world, beside nothing done, worst first; ARGS="--full", "--sample 100", "--only ID"
	@$(BIN)/siteshift sim sweep --jobs 2 $(ARGS)

fuzz: setup ## RUNS=2000 random virtual hours from SEED=1, every law's checker on
	@$(BIN)/siteshift sim fuzz --runs $(RUNS) --seed $(SEED) --jobs 2

soak: setup ## thirty minutes of healthy but noisy traffic in the lab: there must be no move
	@$(BIN)/python benchmarks/soak_noise.py $(ARGS)

mutate: setup ## 160 small faults in laws, lifecycle, plan and operate: do the tests notice 85 %? ARGS="--only all", "--seed 2"
	@nice -n 5 $(BIN)/python scripts/mutate $(ARGS)

flood: setup ## a whole node under a flood of clients and hostile answers: lateness, memory, moves; ARGS=--quick
	@scripts/servers
	@$(BIN)/python benchmarks/flood.py $(ARGS)

sensitivity: setup ## each constant of the theory of load halved and doubled: what it costs; ARGS="--jobs 2", --quick, "--only ID"
	@$(BIN)/python benchmarks/sensitivity.py $(ARGS)

lint: setup ## ruff
	@$(BIN)/ruff check src tests benchmarks

types: setup ## mypy --strict
	@$(BIN)/mypy

layers: setup ## the layers of docs/ARCHITECTURE.md, kept by import-linter
	@$(BIN)/lint-imports

docs: setup ## the documents are true: links, commands, generated parts
	@$(BIN)/python scripts/check-docs

ci: ## what CI runs
	@.ci/run

# A static pattern rule: for what is .PHONY, make looks for no implicit rule (`bench-%:` alone) and would do nothing.
$(BENCHMARKS): bench-%: setup ## benchmarks/bench_NAME.py, its options in ARGS; ends with a line of JSON
	@case "$*" in dns|haproxy|probe|detect|loss) scripts/servers;; esac
	@$(BIN)/python benchmarks/bench_$*.py $(ARGS)

clean: ## remove what was built
	@rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
