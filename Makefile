# The front door. `make demo` and `make test` set up what they need themselves.

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n 2
CODE := logwarden tests

.DEFAULT_GOAL := help
.PHONY: help setup demo test unit lint bench corpus grouping reference torture soak quiet fuzz deb clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 16

setup: .venv/test.stamp ## install what all other targets need: Debian packages (as root or with sudo) and .venv

demo: .venv/demo.stamp ## run the daemon on a growing sample log: attacks banned, a digest mailed; half a minute
	@$(PYTHON) -m tests.demo

test: setup ## every test; those that need root skip themselves where there is none
	$(PYTEST)

# In one process: to divide the work of a few seconds costs more than it saves. What pytest rewrites is kept.
unit: export PYTHONDONTWRITEBYTECODE =
unit: setup ## the tests that need no root and take no seconds
	$(PYTEST) -m 'not root and not slow' --hypothesis-profile=quick

lint: setup ## ruff and mypy --strict
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m mypy --strict -p logwarden -p tests.demo -p tests.bench -p tests.torture -p tests.quiet

bench: setup ## lines a second, as ratios to the engine's raw scan and to the peers that are installed; sources, memory, idleness; a start, an edit; grouping; bans
	@$(PYTHON) -m tests.bench
	@$(PYTHON) -m tests.bench.sources
	@$(PYTHON) -m tests.bench.cores
	@$(PYTHON) -m tests.bench.start
	@$(PYTHON) -m tests.bench.groups
	@if [ "$$(id -u)" = 0 ]; then $(PYTHON) -m tests.bench.bans; else echo "bans: need root, for a namespace of their own"; fi

corpus: setup ## the attack rules against labelled lines of other projects: make corpus CORPUS=DIR
	@$(PYTHON) -m tests.corpus $(CORPUS)

grouping: setup ## how lines of other people's logs are grouped, whose events are known: make grouping LOGS=DIR
	@$(PYTHON) tests/grouping.py $(LOGS)

reference: setup ## write packaging/doc/rules.md, the page of all attack rules, anew
	$(PYTHON) -m logwarden rules page attack.d > packaging/doc/rules.new && mv packaging/doc/rules.new packaging/doc/rules.md

torture: setup ## SIGKILL fifty times while logs are written and rotated, and every line counted: KILLS=1000 for more
	@$(PYTHON) -m tests.torture --kills $(or $(KILLS),50) $(if $(SEED),--seed $(SEED))

soak: setup ## the installed service under steady load for half an hour, as root: memory, files and lag must not grow
	SOAK=$(or $(SOAK),1800) $(PYTHON) -m pytest -n 0 -s tests/test_soak.py

quiet: .venv/quiet.stamp ## boot a real Debian, use it, break it: what logwarden and logcheck report of it; as root, six minutes (AGAIN=1: no boot)
	@$(PYTHON) -m tests.quiet $(if $(AGAIN),--again)

fuzz: setup ## the property tests with a hundred times the examples and a new seed
	$(PYTEST) -m hypothesis --hypothesis-profile=fuzz

deb: setup ## the Debian package, into dist/, checked by lintian
	packaging/deb.sh

clean: ## remove what the other targets made, .venv included
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/%.stamp: packaging/setup.sh pyproject.toml $(wildcard logwarden/*/_*.[ch])
	packaging/setup.sh $*
	@touch $@
