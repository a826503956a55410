# Two commands: `make demo` sets up a fresh machine and runs the main job on the sample visit; `make test` passes all tests.
PYTHON ?= python3
AUDIO ?= examples/sample-visit/visit.ogg
BIN := .venv/bin
LOCK := requirements/$(shell $(PYTHON) -c 'import sys; print("py%d%d" % sys.version_info[:2])').txt
TEST_PROCESSES ?= 2
STAMP := .venv/.installed

.DELETE_ON_ERROR:
.PHONY: install models demo test test-fast faults lint check lock clean

install: $(STAMP)

$(STAMP): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Osler needs Python 3.11 or newer: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable '.[dev,evals,synth]'
	touch $(STAMP)

models: install
	$(BIN)/osler models pull

demo: models
	$(BIN)/osler demo '$(AUDIO)'

# Two processes take the tests in turns; those that put both cores to work, or kill at chosen instants, come one by one.
test: models
	$(BIN)/python -m pytest -m '' -n $(TEST_PROCESSES) --dist worksteal --ignore tests/engine --ignore tests/faults
	$(BIN)/python -m pytest -m '' tests/engine tests/faults

test-fast: install
	$(BIN)/python -m pytest -x -q

# The long form of the fault tests: 50 kills per database and policy, and a kill at every instant of a visit (hours).
faults: models
	FAULT_KILLS=50 $(BIN)/python -m pytest -m '' tests/faults

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

lock:
	$(PYTHON) requirements/lock.py $(LOCK)

# A Python without a lock of its own takes what the package index offers today.
requirements/py%.txt:
	$(PYTHON) requirements/lock.py $@

clean:
	rm -rf .venv build dist
