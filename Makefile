# make sweep      three suspected causes against the failing run: a table, a report, a study folder
# make test       the whole test suite
# make lint       style, types, structure
# make faults     kills, full disks, damaged files, random words and tables: an hour; N=10: ten minutes
# make bench      speed against a straightforward implementation, side by side; what verdicts are worth
# make coverage   the test suite, and the lines that no test runs; TESTS=tests/audit: one part of it
# make release    sdist and wheel, installed and run on the oldest and the newest Python; PYTHONS="...": those not on PATH

PYTHON ?= python3
BIN = .venv/bin

.PHONY: sweep test lint faults bench coverage release

sweep: .venv/installed
	$(BIN)/python -m ssc_sweep -m hypothesis=lr,batch,ema

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

N ?= 60
faults: .venv/installed
	$(BIN)/python -m tests.faults $(N)
	SSC_SWEEP_EXAMPLES=1000 $(BIN)/python -m pytest tests/test_faults.py -k property

bench: .venv/installed
	$(BIN)/python -m tests.bench.steps
	$(BIN)/python -m tests.bench.models
	$(BIN)/python -m tests.bench.memory
	$(BIN)/python -m tests.bench.peak
	$(BIN)/python -m tests.bench.workers
	$(BIN)/python -m tests.bench.pages
	$(BIN)/python -m tests.bench.ending
	$(BIN)/python -m tests.bench.scaling
	$(BIN)/python -m tests.bench.load
	$(BIN)/python -m tests.bench.report
	$(BIN)/python -m tests.bench.confirming
	$(BIN)/python -m tests.bench.search
	$(BIN)/python -m tests.bench.verdicts

TESTS ?= tests
coverage: .venv/installed
	rm -rf .coverage && mkdir .coverage
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

PYTHONS ?=
release: .venv/installed
	$(BIN)/python -m tests.release $(PYTHONS)

# One environment for everything; the constraints pin every version, torch first of all.
.venv/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	touch $@
