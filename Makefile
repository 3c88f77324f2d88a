# make demo   sets up and trains the default job on embedded real data; shows the result
# make ablation   six mechanisms x five seeds on the same data: a table, pictures, a page
# make test   lint, types, documentation, tests
# make docs   the documentation as a site, in site/index.html
# make soak   long tests, an hour and more: kills, memory, a large sweep; new figures in docs/reliability.md
# make audit   asks PyPI for known vulnerabilities of what is installed; needs the network
# PYTHON=python3.13 make ...   chooses the interpreter for a new environment

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# A hundred processes of the tests import the same modules: compiled once, a start takes a third of the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo ablation test soak lint types docs tests audit clean

demo: .venv/installed
	$(BIN)/python -m chanattn.demo

ablation: .venv/installed
	$(BIN)/python -m chanattn.sweep --config=configs/ablations/mechanisms.py:digits --workdir=runs/ablation

# Lint, types and documentation are checked beside the tests, and told of behind them; whatever fails, fails the whole.
test: .venv/installed-dev
	@$(MAKE) --no-print-directory --keep-going lint types docs > .venv/checks.log 2>&1 & checks=$$!; \
	$(MAKE) --no-print-directory tests; tested=$$?; \
	wait $$checks; checked=$$?; cat .venv/checks.log; \
	[ $$tested = 0 ] && [ $$checked = 0 ]

soak: .venv/installed-dev
	$(BIN)/python -m pytest --soak -n 0
	$(BIN)/python -m tests.soak.kills --json=docs/reliability/soak-kills.json
	$(BIN)/python -m tests.soak.training --json=docs/reliability/soak-training.json
	$(BIN)/python -m tests.soak.sweep --json=docs/reliability/soak-sweep.json
	$(BIN)/python -m tests.soak.staying --json=docs/reliability/soak-staying.json
	$(BIN)/python -m tests.soak.page

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed-dev
	$(BIN)/mypy

# The variable silences the theme's notice that it is maintained until 2027. A warning fails the build, as does a link that leads nowhere.
docs: .venv/installed-dev
	PATH="$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

tests: .venv/installed-dev
	$(BIN)/python -m pytest --durations=30

# Strict: a package that cannot be looked up fails the audit, which would pass in silence otherwise.
audit: .venv/installed-dev
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet 'pip-audit>=2.7,<3'
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audit/installed.txt
	.venv/audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner=off --requirement .venv/audit/installed.txt

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "chanattn needs Python 3.11 to 3.13; choose one: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet --editable '.[lab]'
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
