# Two commands for a fresh machine: `make run` and `make test`. Everything else is below `help`.

# The first Python that is there, runs (a shim may not) and is new enough.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

CLIENTS    := .clients
PINNED     := tests/end_to_end/clients
FUZZ_S     ?= 60
OPENAI2    := $(CLIENTS)/openai2/.installed
NODE       := $(CLIENTS)/node/.installed
REAL_MODEL := $(CLIENTS)/real_model/.installed

.PHONY: help run test lint types suite clients postgresql redis real-model soak bench schema clean

help:
	@echo "make run         start the gateway on 127.0.0.1:8080, with what the environment offers"
	@echo "make test        lint, types and the whole suite"
	@echo "make clients     the SDKs that the suite drives, in environments of their own"
	@echo "make postgresql  the database that the suite tests the ledger on, beside SQLite"
	@echo "make redis       the server that the suite counts limits in, beside memory"
	@echo "make real-model  one test against a small local language model"
	@echo "make soak        kill, starve and flood it for an hour, and print what was lost or late"
	@echo "make fuzz        feed every parser with nonsense, a minute each, and try new examples of all properties"
	@echo "make bench       compare with nginx in the same run"
	@echo "make schema      write config/gateway.schema.json anew"

run: $(RUN)
	@$(BIN)/daobo serve

test: lint types clients postgresql redis suite

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

suite: $(DEV)
	$(BIN)/pytest -n 2

clients: $(OPENAI2) $(NODE)

postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends postgresql; }

redis:
	@command -v redis-server >/dev/null || \
	  { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends redis-server; }

real-model: $(DEV) $(REAL_MODEL)
	$(BIN)/pytest -m real_model tests/end_to_end/test_real_model.py

# TABLE=docs/operations.md writes the tables to the page as well. SOAK_MINUTES is how long the test
# with that name goes on, 30 unless said; the others take as long as they take.
soak: $(DEV) postgresql redis
	$(BIN)/pytest tests/faults -m 'not real_model' -k 'not short' \
	  $(if $(TABLE),--write-table $(TABLE))
	$(BIN)/pytest -n 2 -m soak tests/stores tests/limits tests/long_scripts

# Each parser for FUZZ_S seconds. What is found stops it and is left in the folder that is named.
# Then every property test with examples that it has not seen: `make test` takes the same each time.
fuzz: $(DEV)
	@for name in $$($(BIN)/python -m tests.fuzz.run 2>/dev/null); do \
	  nice $(BIN)/python -m tests.fuzz.run $$name -max_total_time=$(FUZZ_S) >$(VENV)/fuzz.log 2>&1 \
	    && echo "$$name: $$(grep -h '^Done' $(VENV)/fuzz.log)" || { cat $(VENV)/fuzz.log; exit 1; }; \
	done
	$(BIN)/pytest -n 2 -m 'hypothesis and not soak' --hypothesis-profile=explore

bench: $(DEV)
	@command -v wrk >/dev/null && { command -v nginx || test -x /usr/sbin/nginx; } >/dev/null || \
	  { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends nginx-light wrk; }
	$(BIN)/python -m benchmarks

schema: $(RUN)
	$(BIN)/daobo schema > config/gateway.schema.json

$(CLIENTS)/%/.installed: $(PINNED)/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(NODE): $(PINNED)/package.json
	@command -v npm >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends nodejs npm; }
	@mkdir -p $(@D)
	cp $< $(@D)
	npm install --silent --no-audit --no-fund --no-package-lock --prefix $(@D)
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@ $(RUN)

clean:
	rm -rf $(VENV) .clients .mypy_cache .pytest_cache .ruff_cache .hypothesis
