# Aura: the same targets serve a person, the editor and CI.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help (default)
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up: each stamp is older than the lock it was made from exactly when there is something to do

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old; Aura needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.created requirements/build.txt requirements/run.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/run.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.browser: $(VENV)/.dev requirements/browser.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/browser.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: run demo test check lint conformance fuzz fuzz-rest diff-envoy test-browser test-partitions chaos-events prove bench bench-events bench-logins bench-inprocess bench-abuse bench-profile protos protos-release openapi migrate lock clean

run: $(VENV)/.run ## Serve Aura on the embedded database (Ctrl-C stops it)
	@exec $(BIN)/python server.py

demo: $(VENV)/.run ## Fill the server that runs with people and sessions; show tokens and how to call it
	@$(BIN)/aura demo

test: $(VENV)/.dev ## Run all tests against real PostgreSQL and real servers
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

lint: $(VENV)/.dev ## Check style, types and contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "format with: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/python -m aura.kernel.tooling.protos check
	@$(BIN)/python -m aura.kernel.tooling.protos lint
	@$(BIN)/python -m aura.kernel.tooling.protos breaking

check: lint test ## Do all that decides whether a change is good

conformance: $(VENV)/.dev ## Hold the in-process channel to what gRPC does on TCP and Unix sockets; the last line is JSON
	@$(BIN)/python -m pytest -q --figures=conformance tests/kernel/inprocess --ignore=tests/kernel/inprocess/test_fuzz.py

fuzz: $(VENV)/.dev ## Compare 20,000 random calls over TCP and in-process; the last line is JSON
	@AURA_FUZZ_EXAMPLES=12000 $(BIN)/python -m pytest -q --figures=fuzz --timeout=1800 tests/kernel/inprocess/test_fuzz.py

fuzz-rest: $(VENV)/.dev ## Send 100,000 hostile requests, and what the OpenAPI document admits, over HTTP; the last line is JSON
	@$(BIN)/python -m pytest -q --prove --figures=recorded --timeout=1800 tests/rest

diff-envoy: $(VENV)/.dev ## Compare the gateway with Envoy by some 9,000 requests; the last line is JSON
	@AURA_ENVOY_EXAMPLES=6000 $(BIN)/python -m pytest -q --figures=envoy --timeout=600 tests/gateway/envoy/test_envoy.py

test-browser: $(VENV)/.browser ## Log in and book a session on the page /docs, with a real browser (Chromium)
	@$(BIN)/python -m pytest -q --browser tests/browser

test-partitions: $(VENV)/.dev ## Compare all ways to spread the modules over processes; the last line is JSON
	@$(BIN)/python -m pytest -q --prove --figures=partitions tests/partitions

chaos-events: $(VENV)/.dev ## Deliver 20,000 events while processes are killed at random; the last line is JSON
	@$(BIN)/python -m pytest -q --prove --figures=recorded tests/partitions/test_events_under_kill_9.py

prove: $(VENV)/.dev ## Run the tests that take long, at full size; the last line is JSON
	@AURA_FUZZ_EXAMPLES=12000 $(BIN)/python -m pytest -q --prove --figures=all --timeout=1800

bench: $(VENV)/.bench ## Measure Aura against its peers; needs h2load and wrk; the last line is JSON (QUICK=1: a trial)
	@$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick)

bench-events: $(VENV)/.bench ## Measure events against modupy's outbox; the last line is JSON (QUICK=1: a trial)
	@$(BIN)/python -m benchmarks.events $(if $(QUICK),--quick)

bench-logins: $(VENV)/.bench ## Measure whether the time of a login tells who has an account; the last line is JSON
	@$(BIN)/python -m benchmarks.logins

bench-inprocess: $(VENV)/.run ## Measure the in-process channel against direct calls and sockets; the last line is JSON
	@$(BIN)/python -m benchmarks.inprocess

bench-abuse: $(VENV)/.bench ## Measure what one client notices of another that abuses the server; the last line is JSON
	@$(BIN)/python -m benchmarks.abuse

bench-profile: $(VENV)/.bench ## Show where the time of GetUser goes
	@$(BIN)/python -m benchmarks.profile

protos: $(VENV)/.dev ## Generate Python from the contracts
	@$(BIN)/python -m aura.kernel.tooling.protos generate

protos-release: $(VENV)/.dev ## Keep today's contracts as a release that later ones must not break (VERSION=1.2.3)
	@test -n "$(VERSION)" || { echo "make: name the release: make protos-release VERSION=1.2.3" >&2; exit 1; }
	@$(BIN)/python -m aura.kernel.tooling.protos release $(VERSION)

openapi: $(VENV)/.run ## Write the OpenAPI document of the REST interface to build/openapi.json
	@$(BIN)/aura openapi --output build/openapi.json

migrate: $(VENV)/.run ## Bring the database up to date
	@$(BIN)/aura migrate

lock: $(VENV)/.dev ## Choose new versions of all dependencies, within pyproject.toml
	@export UV_CUSTOM_COMPILE_COMMAND="make lock"; \
	compile="$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url"; \
	$$compile --group build -o requirements/build.txt && \
	$$compile pyproject.toml -o requirements/run.txt && \
	$$compile pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt && \
	$$compile pyproject.toml --group bench -c requirements/run.txt -c requirements/dev.txt -o requirements/bench.txt && \
	$$compile --group browser -c requirements/run.txt -c requirements/dev.txt -o requirements/browser.txt

clean: ## Remove everything that was made here, but not the data in .aura/
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
