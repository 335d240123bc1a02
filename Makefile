# Everything sets itself up: a fresh clone needs Python 3.11 or newer, make and git.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
PATHS := binance_margin_stream bench examples fuzz interop scripts simulation test

.PHONY: help demo test coverage lint format generate check-generated bench interop soak soak-mutations soak-sockets soak-sockets-long \
	fuzz leak-check docs dist sbom audit clean
.DEFAULT_GOAL := help

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1 	/' | expand -t 24

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml setup.py | $(BIN)/python
	@echo "setting up $(VENV)"
	@$(PIP) --editable '.[cli,relay,sandbox]'
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo "setting up the tools"
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

demo: $(VENV)/installed  ## Run the main job for real, against the embedded sandbox
	@$(BIN)/python -m binance_margin_stream.demo

test: $(VENV)/installed-dev  ## Run the tests
	@$(BIN)/python -m pytest -n 2 --quiet

coverage: $(VENV)/installed-dev  ## Run the tests and report what they do not reach
	@$(BIN)/python -m pytest -n 2 --quiet --cov --cov-report=term
	@echo "every line of these has to run:"
	@$(BIN)/python -m coverage report --fail-under=100 --include='*/auth.py,*/client.py,*/exceptions.py'

lint: $(VENV)/installed-dev  ## Check style, types, the spec, the workflows and the links
	@PATH="$(abspath $(BIN)):$$PATH" scripts/lint

format: $(VENV)/installed-dev  ## Put the hand-written code in form
	@$(BIN)/ruff check --fix --quiet $(PATHS)
	@$(BIN)/ruff format --quiet $(PATHS)

generate: $(VENV)/installed-dev  ## Turn the spec into the generated half
	@$(BIN)/python scripts/generate.py

check-generated: $(VENV)/installed-dev  ## Fail when the generated half is not what the spec yields
	@$(BIN)/python scripts/generate.py --check

PEERS := exchange_sdk python_binance ccxt_pro unicorn connector

.venv-peers/%/installed: bench/peers/%.txt | $(BIN)/python
	@echo "setting up the peer $*"
	@$(PYTHON) -m venv .venv-peers/$*
	@.venv-peers/$*/bin/python -m pip --disable-pip-version-check install -qq --requirement $<
	@touch $@

bench: $(VENV)/installed-dev $(PEERS:%=.venv-peers/%/installed)  ## Measure, beside others; the figures go into docs/
	@$(BIN)/python bench/compare.py

.venv-interop/installed: interop/requirements.txt | $(BIN)/python
	@echo "setting up the clients of other houses"
	@$(PYTHON) -m venv .venv-interop
	@.venv-interop/bin/python -m pip --disable-pip-version-check install -qq --requirement interop/requirements.txt
	@touch $@

interop: $(VENV)/installed .venv-interop/installed  ## Let clients of other houses use the sandbox, and print what they can
	@$(BIN)/python interop/run.py --peers .venv-interop/bin/python

soak: $(VENV)/installed-dev  ## Play a thousand months of trouble in memory
	@$(BIN)/python -m simulation soak

soak-mutations: $(VENV)/installed-dev  ## Break rules of the life cycle on purpose, and see who notices
	@$(BIN)/python -m simulation mutations

soak-sockets: $(VENV)/installed-dev  ## Play the same trouble over real sockets, for five minutes
	@$(BIN)/python -m simulation.loopback_soak --minutes 5

soak-sockets-long: $(VENV)/installed-dev  ## The same for half an hour
	@$(BIN)/python -m simulation.loopback_soak --minutes 30

FUZZ_MINUTES ?= 10

fuzz: $(VENV)/installed-dev  ## Fuzz all that reads bytes from the network, for FUZZ_MINUTES (10)
	@$(BIN)/python fuzz/run.py --minutes $(FUZZ_MINUTES)

leak-check: $(VENV)/installed-dev  ## Measure memory and files over 10,000 reconnects, and draw them
	@$(BIN)/python scripts/leak_check.py --plot docs/reconnects.svg

docs: $(VENV)/installed-dev  ## Build the documentation's site into site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

dist: $(VENV)/installed-dev  ## Build wheel and sdist twice, see that they are the same, and check them
	@rm -rf dist
	@$(BIN)/python scripts/build_reproducible.py
	@$(BIN)/python -m twine check --strict dist/*

sbom: $(VENV)/installed-dev  ## Write down what comes with the wheel of `make dist`, as CycloneDX
	@mkdir -p build
	@$(BIN)/python scripts/sbom.py dist/*.whl build/sbom.cdx.json

audit: sbom  ## Ask for known vulnerabilities in what comes with the wheel; needs the network
	@$(BIN)/python -m pip --disable-pip-version-check --python .venv-sbom freeze --exclude binance-margin-stream \
		> build/requirements.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement build/requirements.txt

clean:  ## Remove what can be made again
	@rm -rf $(VENV) .venv-peers .venv-interop .venv-sbom build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
