# Two commands for a fresh machine: `make run` and `make test`. Everything else is below `help`.

PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help run test lint types suite bench soak schema clean

help:
	@echo "make run     start the gateway on 127.0.0.1:8080, with what the environment offers"
	@echo "make test    lint, types and the whole suite"
	@echo "make bench   compare with nginx in the same run"
	@echo "make schema  write config/gateway.schema.json anew"

run: $(RUN)
	@$(BIN)/daobo serve

test: lint types suite

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

suite: $(DEV)
	$(BIN)/pytest

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
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
