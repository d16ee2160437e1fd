# Everything a user or a developer runs. Each target first installs what it needs (see testbed/setup.sh).
#
#   make demo            the whole story on this machine        DEMO_ARGS="--once --json", --real: with the real Argo CD
#   make test            the tests                              PYTEST_ARGS="-k name"
#   make chaos           kill and disturb the operator everywhere, into docs/survival.md (an hour and more)
#   make check           linters, types, layers, generated files, known weaknesses of packages

PYTHON ?= python3
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
PROFILE_ARGS ?=
CHAOS_ARGS ?=
BIN := .venv/bin
PYTEST := $(BIN)/pytest $(PYTEST_ARGS)
# Two processes, a file after the other to whichever is free, in this order: what starts servers comes last.
# PYTEST_ARGS="-n0" runs all in one.
SIDE_BY_SIDE := $(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: demo test test-unit test-apiserver test-e2e test-real chaos bench profile check audit image docs setup setup-bench setup-tests setup-real python lock

demo: $(if $(findstring --real,$(DEMO_ARGS)),setup-real,setup)
	@$(BIN)/devops-reconciler demo $(DEMO_ARGS)

# Too slow for every run: many projects, long outages, and what looks back on a whole run. `make test-e2e` has them.
LONG := beginnings changes_of_mind crowd drain expiries ill_services many metrics policies rights
test: setup-tests
	@$(SIDE_BY_SIDE) tests/unit tests/contract tests/chaos tests/real tests/e2e tests/apiserver \
		$(LONG:%=--ignore=tests/e2e/test_%.py)

test-unit: python
	@$(SIDE_BY_SIDE) tests/unit

test-apiserver: setup-tests
	@$(PYTEST) tests/apiserver

test-e2e: setup
	@$(PYTEST) tests/e2e

# What runs against real services: Kubernetes, Git, a registry, Argo CD. Its first build takes long. The rest of
# tests/apiserver meets the real Kubernetes and RabbitMQ in `make test`.
REAL_APISERVER := kubernetes_client kubernetes_apply
REAL_CONTRACT := argocd_applications argocd_auth argocd_projects argocd_stream argocd_sync git git_access \
	git_certificates git_processes registry resources_argo
test-real: setup-real
	@$(SIDE_BY_SIDE) --real tests/real $(REAL_APISERVER:%=tests/apiserver/test_%.py) \
		$(REAL_CONTRACT:%=tests/contract/test_%.py)

# CHAOS=full for all failures at each call; CHAOS_ARGS="--help" for the rest.
chaos: setup
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

# BENCH_ARGS="children --large" chooses; what is not measured keeps its last figures in docs/benchmarks.md.
bench: setup-bench
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

# Where the operator spends its time while a thousand objects are created, as a tree on stdout.
profile: setup
	@$(BIN)/python -m tests.bench.profile $(PROFILE_ARGS)

check: python
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m testbed.fresh
	$(BIN)/python -m testbed.weaknesses

# As `make check` does it, but a package that the index cannot tell of is a failure too.
audit: python
	@$(BIN)/python -m testbed.weaknesses --strict

# The image by the Containerfile, with buildah, and whether it is what it has to be. BASE=... for the image to build on.
image:
	@testbed/image.sh

# Everything in the repository that is made from the code, and the documents as a site in the folder `site`.
docs: python
	$(BIN)/python -m testbed.fresh --write
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

setup:
	@PYTHON="$(PYTHON)" testbed/setup.sh

setup-bench:
	@PYTHON="$(PYTHON)" testbed/setup.sh bench

setup-tests:
	@PYTHON="$(PYTHON)" testbed/setup.sh tests

setup-real:
	@PYTHON="$(PYTHON)" testbed/setup.sh real

python:
	@PYTHON="$(PYTHON)" testbed/setup.sh python

# New versions of all packages, within the bounds of pyproject.toml.
lock: python
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		-o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --extra dev --universal --python-version 3.11 \
		--generate-hashes -c requirements.txt -o requirements-dev.txt
	echo 'hatchling>=1.27' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header -c requirements-dev.txt -o requirements-build.txt
	echo uv | $(BIN)/uv pip compile - --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header -o testbed/bootstrap.txt
