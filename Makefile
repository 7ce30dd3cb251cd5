# `make demo` and `make test` do all their own set-up: a virtual environment in .venv, and the package
# with what the target needs. Both can be run first on a fresh machine, and again at no cost.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test coverage slow browser docs lint types layers check clean

demo: $(VENV)/.installed
	$(BIN)/python -m flsim scenarios/quickstart.yaml

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser"

# The quick tests again, and how much of flsim they come by. Takes longer: every branch is noted.
coverage: $(VENV)/.installed-dev
	rm -rf outputs/coverage
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser" --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m tests.branches

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 -m "slow and not browser"

# The report in a real browser: Debian's Chromium, which is installed if there is none.
browser: $(VENV)/.installed-dev
	command -v chromium > /dev/null || $(AS_ROOT) apt-get update
	command -v chromium > /dev/null || $(AS_ROOT) apt-get install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest -m browser

# The documentation as a site, in outputs/site; open index.html there.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --quiet --config-file docs/site/mkdocs.yml
	@echo outputs/site/index.html

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

check: lint types layers test

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache outputs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed
