# Carillon: two commands to know are `make up` and `make test`. `make help` lists the rest.

CARGO    ?= cargo
GATEWAYS ?= 2
UP       ?=

RELEASE := target/release/carillon

.DEFAULT_GOAL := help
.PHONY: help up down status reset debug install test unit interop check pages fmt build

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: build ## Start everything on this machine; installs Postgres, Redis and HAProxy if needed (GATEWAYS=3, UP="--detach").
	@$(RELEASE) up --gateways $(GATEWAYS) $(UP)

down: ## Stop what `make up` started; data stays.
	@if test -x $(RELEASE); then $(RELEASE) down; else echo "nothing is running"; fi

status: ## Say what runs and whether it is ready.
	@$(RELEASE) status

reset: ## Stop everything and delete its data.
	@$(RELEASE) reset

build: ## Build the release binaries.
	$(CARGO) build --release --workspace --bins --locked

# Binaries and tests in one build: built apart they want libraries with other features, and those compile twice.
debug: ## Build the debug binaries and the tests.
	$(CARGO) build --workspace --bins --tests --locked

install: debug ## Install the servers that are missing (needs root and apt).
	target/debug/carillon install

test: unit interop ## Run every test: unit, property, system with real servers, and foreign clients.

unit: install ## Build the services and run the Rust tests against real Postgres, Redis and HAProxy.
	$(CARGO) test --workspace --locked

interop: debug ## Let WebSocket clients that nobody here wrote use a running stack.
	loadtest/interop/run.sh

check: ## Format and lints, as the gate runs them.
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

pages: ## Write docs/CONFIGURATION.md and docs/METRICS.md anew from the declarations.
	UPDATE_PAGES=1 $(CARGO) test --workspace --locked --test reference_page

fmt: ## Format the code.
	$(CARGO) fmt --all
