# Everything works from nothing: the targets make the environment they need, in .venv.
PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo dev test test-all campaign lint format docs lock benchmark screenshot clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed  ## The sample data against the simulated API, from CSV to Parquet
	$(BIN)/lookup-pipeline demo

dev: $(VENV)/.installed  ## The Dagster UI and daemon against the simulated API (PORT=3000)
	$(BIN)/python -m lookup_pipeline.command_line.dev --port $(PORT)

test: $(VENV)/.installed-dev  ## The tests to run while you work (some minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.installed-dev  ## Every test (a quarter of an hour)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

campaign: $(VENV)/.installed-dev  ## Kills, faults, full disks, bad files: what they cost (three quarters of an hour)
	$(BIN)/python -m lookup_pipeline_tests.campaign

lint: $(VENV)/.installed-dev  ## Style, types, and that the generated docs are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m lookup_pipeline.datasets.dictionary --check

format: $(VENV)/.installed-dev  ## Put the code into the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## Write docs/data-dictionary.md anew
	$(BIN)/python -m lookup_pipeline.datasets.dictionary

benchmark: $(VENV)/.installed-dev  ## Speed, as ratios measured in one run (minutes)
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.names
	$(BIN)/python -m benchmarks.ledger_growth
	$(BIN)/python -m benchmarks.status_calls

screenshot: $(VENV)/.installed-dev  ## Take docs/asset-graph.png anew (chromium; after make dev)
	$(BIN)/python docs/take_screenshot.py

lock:  ## Choose versions anew: constraints.txt
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,postgres,s3,gcs]'
	{ sed -n '/^#/p' constraints.txt; $(VENV)-lock/bin/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-lock

clean:  ## Remove the environment and what was simulated; never .dagster, data/ledger.db, data/output
	rm -rf $(VENV) data/demo data/sandbox data/simulated .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; give it as PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing (once; about a minute) …"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing, with what the tests need (once; about two minutes) …"
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
