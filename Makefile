# Commands of this workspace; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
OURVIDZ = $(CARGO) run --quiet --release --locked -p ourvidz-bin --

.PHONY: help packages setup setup-gpu setup-for-tests demo test fmt clippy unit doc deny check-arrows

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

packages: ## Install the system packages the build needs
	@scripts/ensure-packages

setup: packages ## Fetch ONNX Runtime's CPU library
	$(OURVIDZ) setup

setup-gpu: packages ## Fetch ONNX Runtime for CUDA 13 and the NVIDIA libraries it needs
	$(OURVIDZ) setup --cuda

demo: setup ## Make what the demo models can, by the way that jobs go; prints where it is
	$(OURVIDZ) demo --out demo-output

test: fmt clippy setup-for-tests unit doc deny check-arrows ## Run every check

fmt:
	$(CARGO) fmt --all --check

# The second is a build without FFmpeg and demo models, which still generates frames.
clippy: packages
	$(CARGO) clippy --locked --workspace --all-targets --features ourvidz-wan/video -- -D warnings
	$(CARGO) clippy --locked -p ourvidz-wan -p ourvidz-bin --no-default-features -- -D warnings

# The development build is the one the tests compile anyway.
setup-for-tests:
	@scripts/ensure-packages tests
	$(CARGO) run --quiet --locked -p ourvidz-bin -- setup
	@scripts/fetch-test-models

# Tests of models that were fetched fail where these are missing; under plain `cargo test` they say so and pass.
unit: setup-for-tests
	OURVIDZ_TESTS_WITH_MODELS=1 $(CARGO) test --locked --workspace --features ourvidz-wan/video

doc: packages
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --features ourvidz-wan/video

# Building cargo-deny takes minutes, so it is used when it is there; ci.yml always runs it. Advisories come from the
# network: where they cannot be fetched, the rest is checked all the same.
deny:
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "cargo-deny is not installed: licences and advisories were not checked (cargo install --locked cargo-deny)"; \
	else \
		$(CARGO) deny --locked check bans licenses sources; \
		if $(CARGO) deny --locked fetch db >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
		else echo "the advisory database cannot be fetched: advisories were not checked"; fi; \
	fi

check-arrows: ## Check who depends on whom, who is unsafe, who reads the environment
	@scripts/check-arrows
