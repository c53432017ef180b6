# Everything a person does with this repository. `make help` lists it.
#
# One virtual environment holds what the lock files in requirements/ name, checked by hash. A stamp file in it remembers
# each finished installation, so a second `make run` starts at once.

PYTHON ?= python3
# Another interpreter gets an environment of its own, so that `make PYTHON=python3.13 test` never spoils the usual one.
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

ARGS ?=
PYTEST_ARGS ?=
# At a time: more than there are cores, because many tests wait for something.
PYTEST_WORKERS ?= $(shell expr $$(nproc) + 3)
LOCK_ARGS ?=
# The Python Packaging Advisory Database, and ids in it that were looked at and do not matter here.
ADVISORIES ?= .advisories
ADVISORIES_FROM ?= https://github.com/pypa/advisory-database
ACCEPTED ?=

# Where `make dist` builds, and the repository that the README of a release links to: https://github.com/OWNER/NAME
DIST := dist
REPOSITORY :=

SBOM := build/holdfast-queue.cdx.json
MADE := $(VENV)/.made
SERVE := $(VENV)/.serve
DEV := $(VENV)/.dev
CLUSTER := $(VENV)/.cluster

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-django test-fast check docs advisories sbom format client bench fuzz torture torture-cluster lock dist pyz artefacts \
	test-built release-check release-notes changelog freeze clean \
	openapi cluster cluster-kill cluster-replace cluster-status cluster-load cluster-count

help: ## Show this list
	@echo "Usage: make TARGET [ARGS='…'] [PYTHON=python3.13]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(SERVE) ## Start the server: make run ARGS='--port 8080'
	@$(BIN)/holdfast serve $(ARGS)

test: $(DEV) ## Run the tests: make test PYTEST_ARGS='-k lease'
	@$(BIN)/python -m pytest --numprocesses=$(PYTEST_WORKERS) --dist=loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-django: $(DEV) ## Run the suites of Django's own tasks and of django-tasks-db against holdfast.django; needs Python 3.12 or later beside this one
	@$(BIN)/python -m tests.system.django $(ARGS)

test-fast: $(DEV) ## Run the tests that need no server, in about a minute: before each commit
	@$(BIN)/python -m pytest --numprocesses=$$(nproc) --dist=loadfile --no-loadscope-reorder tests/unit tests/contract/stores/conformance \
		-k 'not postgres and not sqlite-file' $(PYTEST_ARGS)

check: $(DEV) $(SBOM) ## Lint (Dockerfiles and workflows, too), formatting, types, the import contract, the site, known weaknesses of locked packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m website
	$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows
	$(BIN)/hadolint deploy/Dockerfile deploy/compose/patroni/Dockerfile
	$(BIN)/python requirements/audit.py --advisories $(ADVISORIES) $(ACCEPTED:%=--accept %) requirements/*.txt

docs: $(DEV) ## Build the site of the documentation into build/site
	@$(BIN)/python -m website $(ARGS)

advisories: ## Get the advisories that `make check` audits the locked packages by, or newer ones
	@if [ -d $(ADVISORIES) ]; then git -C $(ADVISORIES) fetch --quiet --depth 1 origin && git -C $(ADVISORIES) reset --quiet --hard FETCH_HEAD; \
		else git clone --quiet --depth 1 $(ADVISORIES_FROM) $(ADVISORIES); fi

# What a server has under it, as CycloneDX. The version, which hatchling finds, is written into the copy that the tool reads.
sbom: $(SBOM) ## Write the bill of materials (SBOM) of a server: build/holdfast-queue.cdx.json
$(SBOM): requirements/serve.txt pyproject.toml src/holdfast/__init__.py $(DEV)
	@mkdir -p $(@D)
	@sed "s/^dynamic = .*/version = \"$$($(BIN)/hatchling version)\"/" pyproject.toml > $(@D)/pyproject.toml
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject $(@D)/pyproject.toml --mc-type application --spec-version 1.6 \
		--output-reproducible --no-validate --output-file $@ requirements/serve.txt

format: $(DEV) ## Format the code and repair what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

openapi: $(DEV) ## Write the OpenAPI document that a test compares with
	@$(BIN)/python -m tests.contract.doors.rest.write_openapi

client: $(DEV) ## Make the client without asyncio from the one with it
	@$(BIN)/python -m tests.contract.client.generate

bench: $(DEV) ## Measure: make bench ARGS='--help'
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(DEV) ## Send it what no client should: make fuzz ARGS='--help'
	@$(BIN)/python -m fuzz $(ARGS)

torture: $(DEV) ## Break it on purpose: make torture ARGS='--help'
	@$(BIN)/python -m torture $(ARGS)

# Faults, then failover by Patroni, then the mutants; with ARGS only what they ask for.
torture-cluster: $(DEV) ## Break a cluster on purpose: make torture-cluster ARGS='--help'
ifeq ($(ARGS),)
	@$(BIN)/python -m torture.cluster
	@$(BIN)/python -m torture.cluster --patroni
	@$(BIN)/python -m torture.cluster --mutants
else
	@$(BIN)/python -m torture.cluster $(ARGS)
endif

# One machine stands for many. NODE=n2 or NODE=h1 chooses another than the usual one.
NODE ?=
cluster: $(CLUSTER) ## Start three PostgreSQL and three Holdfast nodes here: make cluster ARGS='--help'
	@$(BIN)/python -m cluster up $(ARGS)

cluster-kill: $(CLUSTER) ## Take the PostgreSQL primary away, with kill -9: make cluster-kill NODE=h1
	@$(BIN)/python -m cluster kill $(NODE)

cluster-replace: $(CLUSTER) ## Put a fresh, empty node in the lost one's place
	@$(BIN)/python -m cluster replace $(NODE)

cluster-status: $(CLUSTER) ## Which node is what
	@$(BIN)/python -m cluster status

cluster-load: $(CLUSTER) ## Push jobs, and write down every answer: make cluster-load ARGS='--seconds 60'
	@$(BIN)/python -m cluster load $(ARGS)

cluster-count: $(CLUSTER) ## Look for every job that was acknowledged
	@$(BIN)/python -m cluster count

# All are held to the versions of serve.txt: what is tested is what is served.
COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(LOCK_ARGS)
COMPILE_OURS = $(COMPILE) --extra server pyproject.toml
lock: $(DEV) ## Rebuild requirements/*.txt from pyproject.toml: make lock LOCK_ARGS=--upgrade
	$(COMPILE_OURS) --group build --output-file requirements/serve.txt
	$(COMPILE_OURS) --group build --group cluster --constraints requirements/serve.txt --output-file requirements/cluster.txt
	$(COMPILE_OURS) --group dev --constraints requirements/serve.txt --output-file requirements/dev.txt
# What the benchmark compares with gets nothing of ours, and ours nothing of it.
	$(COMPILE) --group peers --output-file requirements/peers.txt

# The build backend is the locked one: nothing is downloaded for it, and the same tree makes the same wheel. Its manual pages are those of its own source.
# The manual pages lie in a folder of their own each time: builds of one tree may run at once.
dist: $(SERVE) ## Build a wheel and a source archive into dist/
	@rm -f $(DIST)/*.whl $(DIST)/*.tar.gz $(DIST)/*.pyz $(DIST)/*.json $(DIST)/SHA256SUMS
	@man=$$(mktemp -d) && trap 'rm -rf "$$man"' EXIT && \
	PYTHONPATH=src $(BIN)/python -m holdfast man --to "$$man" && \
	HOLDFAST_REPOSITORY=$(REPOSITORY) HOLDFAST_MAN="$$man" $(BIN)/python -m hatchling build --directory $(DIST)

# An environment by the lock file, then the wheel, then both in one file. No path of this machine gets into it. The version is named because one in the
# making (.dev0) is taken only then.
PACKED := build/pyz
UV_INTO = $(BIN)/uv pip install --quiet --python
pyz: dist $(DEV) ## Build dist/holdfast.pyz: a server in one file, for this Python and this platform
	@rm -rf $(PACKED)
	@$(BIN)/uv venv --quiet --python $(BIN)/python $(PACKED)
	@$(UV_INTO) $(PACKED) --require-hashes --requirement requirements/serve.txt
	@$(UV_INTO) $(PACKED) --no-deps --no-index --find-links $(DIST) 'holdfast-queue==$(VERSION)'
	@$(BIN)/pex --venv-repository $(PACKED) 'holdfast-queue[server]==$(VERSION)' --venv --console-script holdfast --preamble-file pyz_preamble.py --output-file $(DIST)/holdfast.pyz

# What the release workflow runs. Its tests run it here.
artefacts: pyz $(SBOM) ## Build all that a release hands out into dist/: make artefacts REPOSITORY=https://github.com/OWNER/NAME
	@cp $(SBOM) $(DIST)/
	@cd $(DIST) && sha256sum *.whl *.tar.gz *.pyz *.json > SHA256SUMS

test-built: $(DEV) ## Test what was built, as it is: make test-built DIST=dist
	@chmod +x $(DIST)/holdfast.pyz  # which an archive of a workflow forgets
	@BUILT=$(abspath $(DIST)) $(BIN)/python -m pytest tests/system/packages/test_installed.py tests/system/packages/test_release.py $(PYTEST_ARGS)

VERSION = $(shell $(BIN)/hatchling version)
TAG :=
release-check: $(DEV) ## Is this tree what a tag says? make release-check TAG=v0.2.0
	@test "$(TAG)" = "v$(VERSION)" || { echo "The tag is '$(TAG)', the version is $(VERSION)." >&2; exit 1; }
	@grep -q '^## \[$(VERSION)\] - ' CHANGELOG.md || { echo "CHANGELOG.md has no section of $(VERSION): make changelog" >&2; exit 1; }
	@test -z "$$(ls changelog.d/*.*.md 2>/dev/null)" || { echo "changelog.d has fragments that are in no section: make changelog" >&2; exit 1; }

release-notes: $(DEV) ## Print the section of this version in CHANGELOG.md
	@awk '/^## \[/ {inside = index($$0, "## [$(VERSION)]") == 1; next} inside' CHANGELOG.md

# Until the first release, what has changed stands under "Unreleased", and that becomes its section.
changelog: $(DEV) ## Make the fragments of changelog.d the section of this version in CHANGELOG.md
	@if grep -q '^## \[Unreleased\]' CHANGELOG.md; \
		then sed -i "s/^## \[Unreleased\]/## [$(VERSION)] - $$(date -u +%F)/" CHANGELOG.md; \
		else $(BIN)/towncrier build --yes --version $(VERSION); fi

# After the commit that is to be released, and before the next change: what it adds is committed by itself.
freeze: $(DEV) ## Keep what this commit releases for the tests of later versions, and begin the next: make freeze ARGS=0.3.0.dev0
	@$(BIN)/python -m tests.system.upgrade.freeze $(ARGS)

clean: ## Remove the environment, caches and build products (never the data)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SERVE): requirements/serve.txt pyproject.toml $(MADE)
$(DEV): requirements/dev.txt pyproject.toml $(MADE)
$(CLUSTER): requirements/cluster.txt pyproject.toml $(MADE)
$(SERVE) $(DEV) $(CLUSTER):
	@echo "Installing $< into $(VENV)"
	@$(PIP) install --require-hashes --requirement $<
# Nothing may be downloaded without a hash: the build backend came with the line above.
	@$(PIP) install --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Holdfast needs Python 3.11 or later, and '$(PYTHON)' is not one. Name one: make PYTHON=python3.13 …" >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed, most likely because its venv or ensurepip module is missing." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; }
	@touch $@
