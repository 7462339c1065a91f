# Everything a contributor needs: `make demo`, `make test`. The environment is kept in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST_ARGS ?=
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup engine demo test lint unit e2e test-compat bench image docs completions format lock clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) engine ## the Python environment and a container engine

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "vnodectl needs Python 3.11 or newer; name one with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

engine: ## podman, installed where this is root on Debian
	@sh .ci/engine

demo: setup ## the main job, end to end, on a local cluster
	$(BIN)/vnodectl sandbox demo

test: setup lint ## every test, the end-to-end ones included
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY) ## style, types and the rules of who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(READY) ## the tests that need no cluster and no containers
	$(BIN)/python -m pytest -m "not e2e and not containers" $(PYTEST_ARGS)

e2e: setup ## the tests that need the local cluster
	$(BIN)/python -m pytest -m "e2e or containers" $(PYTEST_ARGS)

COMPAT_TESTS := $(addprefix tests/e2e/test_,runtime_scenarios.py runtime_agent.py runtime_certificates.py \
	runtime_replicas.py runtime_kubectl.py kubelet_api.py kube_leases.py)

test-compat: setup ## the node's scenarios on the oldest and the newest Kubernetes; builds both once
	for version in $$($(BIN)/python -m vnodectl.sandbox.versions); do \
		$(BIN)/python -m pytest $(COMPAT_TESTS) --kubernetes-version $$version $(PYTEST_ARGS) || exit 1; \
	done

bench: $(READY) ## how fast and how heavy the node is; BENCH_ARGS="--sizes 200 --kwok PROGRAM"
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH_ARGS)

image: setup ## the connector's container image
	$(BIN)/vnodectl sandbox image

docs: $(READY) ## generate the pages that are made from the code anew
	$(BIN)/python -m vnodectl.agent_settings.document > docs/settings.md
	$(BIN)/python -m vnodectl.runtime.metrics_page > docs/metrics.md
	$(BIN)/python -m vnodectl.emulator.alibaba.document > docs/emulator-alibaba.md
	$(BIN)/python -m vnodectl.emulator.azure.document > docs/emulator-azure.md
	$(BIN)/python -m vnodectl.checks.page > docs/checks.md
	$(BIN)/python -m vnodectl.lint.page > docs/lint.md
	$(BIN)/python -m vnodectl.providers.aci.document > docs/aci.md
	$(BIN)/python -m vnodectl.providers.eci.document > docs/eci.md

completions: $(READY) ## generate completions/ anew
	$(BIN)/vnodectl completion bash > completions/vnodectl.bash
	$(BIN)/vnodectl completion zsh > completions/_vnodectl
	$(BIN)/vnodectl completion fish > completions/vnodectl.fish
	$(BIN)/vnodectl completion powershell > completions/vnodectl.ps1

format: $(READY) ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## resolve the dependencies of pyproject.toml again
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --extra dev pyproject.toml -o requirements-dev.txt

clean: ## the Python environment; `vnodectl sandbox down --all` removes sandboxes
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
